-- How many identifiers a key may ask for in a minute; null: what the setting says, 0: as many as it likes.
ALTER TABLE api_key ADD COLUMN quota integer CHECK (quota >= 0);

-- What is left of it, for all processes. It fills up by itself as time goes by, and is full for a key that has none. Not
-- logged: after a crash all are full.
CREATE UNLOGGED TABLE quota_bucket (
    key_id text PRIMARY KEY REFERENCES api_key,
    units double precision NOT NULL,
    at timestamptz NOT NULL,
    granted double precision NOT NULL
) WITH (fillfactor = 50);
