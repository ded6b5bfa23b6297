-- A listing knows which incidents hold it: those that block it first, in the order of their approval, then those that
-- suspect it. The first of them is the one whose reason and reference are told to whoever asks.
ALTER TABLE listing ADD COLUMN held_by bigint [] NOT NULL DEFAULT '{}';
UPDATE listing AS l SET held_by = h.held_by
FROM (
    SELECT c.key, array_agg(c.incident_id ORDER BY c.state DESC, i.approved_at, c.incident_id) AS held_by
    FROM claim AS c
    JOIN incident AS i USING (incident_id)
    WHERE c.state IN (0, 1)
    GROUP BY c.key
) AS h
WHERE h.key = l.key;
ALTER TABLE listing ADD CHECK (cardinality(held_by) = blocked_by + suspected_by);

-- What carriers quote when they call: it names the incident to us, and nothing to them.
ALTER TABLE incident ADD COLUMN reference text NOT NULL UNIQUE
DEFAULT 'IG-' || upper(substr(replace(gen_random_uuid()::text, '-', ''), 1, 12));

-- How far the block list has come: every change of what is told of an identifier has a position of its own. Whoever
-- changes it takes this row last in its transaction, so positions are in the order of the commits, without a gap.
CREATE TABLE blocklist_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    position bigint NOT NULL DEFAULT 0,
    -- the changes up to here are forgotten, and all from before this moment
    forgotten bigint NOT NULL DEFAULT 0,
    forgotten_until timestamptz NOT NULL DEFAULT '-infinity',
    at timestamptz NOT NULL DEFAULT '-infinity',
    CHECK (forgotten <= position)
) WITH (fillfactor = 50);
INSERT INTO blocklist_head DEFAULT VALUES;

-- Up to a thousand changes in a row, at the positions from `first` on.
CREATE TABLE blocklist_change (
    first bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    status smallint NOT NULL CHECK (status BETWEEN 0 AND 2),
    -- what they were until then
    before smallint NOT NULL CHECK (before BETWEEN 0 AND 2),
    incident_id bigint NOT NULL,
    keys bigint [] NOT NULL CHECK (cardinality(keys) BETWEEN 1 AND 1000),
    versions bigint [] NOT NULL CHECK (cardinality(versions) = cardinality(keys))
);
CREATE INDEX blocklist_change_at ON blocklist_change (at);
