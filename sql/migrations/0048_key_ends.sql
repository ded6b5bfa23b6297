-- A key may end by itself, and be good from some networks alone. Its secret is changed without a gap: for a while the
-- former one is good as well. It stays the same key, so that nobody becomes a second person by it.
ALTER TABLE api_key
ADD COLUMN expires_at timestamptz,
-- null: from anywhere
ADD COLUMN networks cidr [] CHECK (cardinality(networks) > 0),
ADD COLUMN former_hash bytea UNIQUE CHECK (octet_length(former_hash) = 32),
ADD COLUMN former_until timestamptz,
ADD CONSTRAINT former_ends CHECK ((former_hash IS NULL) = (former_until IS NULL));
