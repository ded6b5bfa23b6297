-- What the holder of a key may do for a while without showing it again. Of a token only the SHA-256 is kept.
CREATE TABLE access_token (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    key_id text NOT NULL REFERENCES api_key,
    scopes text [] NOT NULL CHECK (cardinality(scopes) > 0),
    -- the SHA-256 of the certificate that it must come with (RFC 8705); null: with any, or none
    certificate bytea CHECK (octet_length(certificate) = 32),
    expires_at timestamptz NOT NULL
);
CREATE INDEX access_token_key ON access_token (key_id, expires_at);
CREATE INDEX access_token_expires ON access_token (expires_at);
