-- name: claim
-- $1 seconds: takes the row where the block list has come further than the filter, that is so old, and nobody else has
-- taken it. It is held until the transaction ends.
SELECT f.position
FROM blocklist_filter AS f
CROSS JOIN blocklist_head AS h
WHERE f.position <> h.position AND f.made_at <= now() - make_interval(secs => $1)
FOR UPDATE OF f SKIP LOCKED;

-- name: blocked
-- How far the block list has come, and the 14 digits of every IMEI that is blocked there, one after another.
SELECT h.position, now() AS at, listed.digits
FROM blocklist_head AS h
CROSS JOIN (
    SELECT coalesce(string_agg(lpad(l.key::text, 14, '0'), ''), '') AS digits
    FROM listing AS l
    WHERE l.key >= 0 AND l.status = 2
) AS listed;

-- name: store
-- $1 position, $2 the file; in the transaction that has read what is in it.
UPDATE blocklist_filter SET position = $1, made_at = now(), content = $2;

-- name: position
SELECT position FROM blocklist_filter;

-- name: stored
SELECT position, content FROM blocklist_filter;
