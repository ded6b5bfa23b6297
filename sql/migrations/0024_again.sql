-- Told again: what is decided stays as it is, and one partner hears of it once more.
ALTER TABLE command ADD COLUMN again boolean NOT NULL DEFAULT false;

-- A partner that was removed keeps its row, for what it was told.
ALTER TABLE partner ADD COLUMN removed_at timestamptz;

-- Of which incidents a partner is told (null: of all): these kinds, and these countries (ISO 3166-1 alpha-2); and how
-- it calls a kind, where its own word is another.
ALTER TABLE partner
ADD COLUMN incidents text [],
ADD COLUMN countries text [],
ADD COLUMN reasons jsonb NOT NULL DEFAULT '{}';
ALTER TABLE incident ADD COLUMN country text NOT NULL DEFAULT '' CHECK (country ~ '^([A-Z]{2})?$');
