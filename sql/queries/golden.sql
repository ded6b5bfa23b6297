-- name: bear_waiting
SET LOCAL lock_timeout = '5s';

-- name: hold_listings
-- Nobody lists anything until this transaction ends, and what others were listing is there to be seen; who looks up goes
-- on. Without it, one could become golden and suspect at the same moment.
LOCK TABLE listing IN SHARE ROW EXCLUSIVE MODE;

-- name: holders
-- $1 lowest key, $2 highest: the incidents by which identifiers of these are suspect or blocked now.
SELECT h.incident_id, count(*) AS identifiers
FROM listing AS l
CROSS JOIN unnest(l.held_by) AS h (incident_id)
WHERE l.key BETWEEN $1 AND $2 AND l.status > 0
GROUP BY h.incident_id
ORDER BY h.incident_id
LIMIT 10;

-- name: add
INSERT INTO golden (digits, why, added_at, added_by)
SELECT digits, $2, $3, $4 FROM unnest($1::text []) AS digits
ON CONFLICT DO NOTHING
RETURNING digits;

-- name: remove
DELETE FROM golden WHERE digits = $1
RETURNING why;

-- name: listed
-- $1 after these digits, $2 rows.
SELECT digits, why, added_at, added_by FROM golden
WHERE digits > $1
ORDER BY digits
LIMIT $2;
