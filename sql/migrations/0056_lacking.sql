-- Whom it still takes, in words, as of the last approval. Of what waits since before, at least one.
ALTER TABLE incident ADD COLUMN lacking text NOT NULL DEFAULT '';
UPDATE incident SET lacking = '1 person more' WHERE state = 'submitted';
ALTER TABLE proposal ADD COLUMN lacking text NOT NULL DEFAULT '';
UPDATE proposal SET lacking = '1 person more' WHERE state = 'waiting';
