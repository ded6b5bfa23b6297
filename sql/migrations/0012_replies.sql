-- Replies: what a request under a key was answered, written in the transaction of the work that it answers.
-- A reply without a status exists only inside that transaction, for others to wait at.
CREATE TABLE reply (
    sender text NOT NULL,
    target text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    kept_until timestamptz NOT NULL,
    status smallint,
    headers jsonb,
    body bytea,
    PRIMARY KEY (sender, target, key),
    CHECK ((status IS NULL) = (headers IS NULL))
);
CREATE INDEX reply_kept_until ON reply (kept_until);
