-- Which of ten thousand numbers in a row a key has asked for lately, where that were hundreds before. Not logged: after a
-- crash it begins anew, as it does here.
DROP TABLE enumeration;
CREATE UNLOGGED TABLE enumeration (
    key_id text NOT NULL,
    block bigint NOT NULL,
    asked bit (10000) NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (key_id, block)
);
CREATE INDEX enumeration_at ON enumeration (at);
