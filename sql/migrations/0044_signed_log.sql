-- The log's heads as others are shown them: signed notes (C2SP), and what witnesses have put under them.
ALTER TABLE audit_checkpoint ADD COLUMN note text;

-- Hashes of full subtrees of 256 leaves, of 65,536, and so on: number n of level l is over the leaves from n * 256^l on.
-- Those of level 0 are the leaves.
CREATE TABLE audit_node (
    level smallint NOT NULL CHECK (level BETWEEN 1 AND 7),
    number bigint NOT NULL CHECK (number >= 0),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, number)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_node
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

-- The keys that checkpoints were ever signed with, as others are told them.
CREATE TABLE audit_verifier (
    verifier text PRIMARY KEY CHECK (verifier <> ''),
    since timestamptz NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_verifier
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

-- What witnesses have put under them.
CREATE TABLE audit_cosignature (
    size bigint NOT NULL REFERENCES audit_checkpoint,
    witness text NOT NULL CHECK (witness <> ''),
    line text NOT NULL CHECK (line <> ''),
    PRIMARY KEY (size, witness)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_cosignature
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

-- Each witness: how long the log was when he signed it last, what he says against it ('': nothing), until when one
-- worker asks him or nobody does, and when he is shown the newest head even if he has signed it.
CREATE TABLE audit_witness (
    witness text PRIMARY KEY CHECK (witness <> ''),
    size bigint NOT NULL DEFAULT 0,
    objection text NOT NULL DEFAULT '',
    next_at timestamptz NOT NULL DEFAULT now(),
    again_at timestamptz NOT NULL DEFAULT now()
);
