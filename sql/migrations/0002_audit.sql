-- The memory. An entry is written in the transaction that it describes; one sealer orders entries
-- afterwards (audit_leaf), so no business transaction ever waits for a chain.
CREATE TABLE audit_entry (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body text NOT NULL,
    kind text GENERATED ALWAYS AS ((body::jsonb) ->> 'kind') STORED,
    subject text GENERATED ALWAYS AS ((body::jsonb) ->> 'subject') STORED
);
CREATE INDEX audit_entry_subject ON audit_entry (subject, entry_id);
CREATE INDEX audit_entry_kind ON audit_entry (kind, entry_id);

-- Entries that are not sealed yet. A row leaves by DELETE … RETURNING, so an entry that commits late
-- with a low id is never missed.
CREATE TABLE audit_pending (entry_id bigint PRIMARY KEY);

-- The log's order: leaf number seq holds the RFC 6962 leaf hash of one entry's body.
CREATE TABLE audit_leaf (
    seq bigint PRIMARY KEY,
    entry_id bigint NOT NULL UNIQUE REFERENCES audit_entry,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);

CREATE TABLE audit_checkpoint (
    size bigint PRIMARY KEY,
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    sealed_at timestamptz NOT NULL
);

-- The sealer's working state: how many leaves, and the roots of the full subtrees, largest first.
CREATE TABLE audit_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    size bigint NOT NULL,
    frontier bytea [] NOT NULL
);
INSERT INTO audit_head (size, frontier) VALUES (0, '{}');

CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % on % is refused', tg_op, tg_table_name
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_leaf
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoint
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
