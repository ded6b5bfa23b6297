-- name: publish
-- $1 statuses, $2 what they were before, $3 incidents, $4 of how many identifiers, in step; $5 the keys of the first, then
-- those of the next, …, $6 their versions, $7 now. The head's row is held until the transaction ends. Its time never runs
-- back, whatever the clocks of the processes say.
WITH head AS (
    UPDATE blocklist_head
    SET position = position + cardinality($5::bigint []), at = greatest(at, $7)
    RETURNING position - cardinality($5::bigint []) AS before, at
),
said AS (
    SELECT *, (sum(size) OVER (ORDER BY number))::integer AS until
    FROM unnest($1::smallint [], $2::smallint [], $3::bigint [], $4::integer [])
        WITH ORDINALITY AS t (status, before, incident_id, size, number)
)
INSERT INTO blocklist_change (first, at, status, before, incident_id, keys, versions)
SELECT
    head.before + place,
    head.at,
    s.status,
    s.before,
    s.incident_id,
    ($5::bigint [])[place:least(place + 999, s.until)],
    ($6::bigint [])[place:least(place + 999, s.until)]
FROM said AS s
CROSS JOIN LATERAL generate_series(s.until - s.size + 1, s.until, 1000) AS place
CROSS JOIN head;

-- name: head
-- How far the block list has come, and up to where its changes are forgotten.
SELECT position, forgotten, at FROM blocklist_head;

-- name: void
-- $1 by how many positions it leaps ahead, and forgets the way there. The changes of days stay.
UPDATE blocklist_head SET position = position + $1, forgotten = position + $1
RETURNING position;

-- name: changes
-- $1 after this position, $2 up to this one. The first row may begin before.
SELECT c.first, c.at, c.status, c.keys, c.versions, i.kind, i.reference
FROM blocklist_change AS c
JOIN incident AS i USING (incident_id)
WHERE
    c.first >= (SELECT coalesce(max(b.first), 0) FROM blocklist_change AS b WHERE b.first <= $1::bigint + 1)
    AND c.first <= $2::bigint
ORDER BY c.first;

-- name: units
-- $1 negative keys: the serials that they stand for.
SELECT -n.serial_id AS key, n.serial, n.gtin
FROM serial_number AS n
WHERE n.serial_id IN (SELECT -key FROM unnest($1::bigint []) AS key);

-- name: forget
-- $1 before this moment, $2 rows. Gives how many rows went.
WITH gone AS (
    DELETE FROM blocklist_change
    WHERE first IN (SELECT first FROM blocklist_change WHERE at < $1 ORDER BY first LIMIT $2)
    RETURNING first + cardinality(keys) - 1 AS last, at
),
told AS (
    UPDATE blocklist_head
    SET forgotten = greatest(forgotten, g.last), forgotten_until = greatest(forgotten_until, g.until)
    FROM (SELECT max(last) AS last, max(at) AS until FROM gone) AS g
    WHERE g.last IS NOT NULL
)
SELECT count(*) FROM gone;
