-- Who may knock: API keys. Only the SHA-256 of a key is kept; the key itself is shown once.
CREATE TABLE api_key (
    key_id text PRIMARY KEY,
    name text NOT NULL CHECK (name <> ''),
    role text NOT NULL CHECK (
        role IN ('goods-in', 'incident-manager', 'approver', 'carrier', 'auditor', 'admin')
    ),
    secret_hash bytea NOT NULL UNIQUE CHECK (octet_length(secret_hash) = 32),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    revoked_at timestamptz,
    revoked_by text,
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
