-- What stood between the cells of a CSV: its rejected rows are given back with the same.
ALTER TABLE receipt ADD COLUMN delimiter text NOT NULL DEFAULT ',';
