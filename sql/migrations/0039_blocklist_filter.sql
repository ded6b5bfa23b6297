-- The filter over the blocked IMEIs, for those who check offline: the latest that was made, as a file.
CREATE TABLE blocklist_filter (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- the position of the change feed that it was made at; none was made yet: -1
    position bigint NOT NULL DEFAULT -1,
    made_at timestamptz NOT NULL DEFAULT '-infinity',
    content bytea NOT NULL DEFAULT ''
);
-- It looks like noise, which nothing compresses.
ALTER TABLE blocklist_filter ALTER COLUMN content SET STORAGE EXTERNAL;
INSERT INTO blocklist_filter DEFAULT VALUES;
