-- name: turn
-- $1 keys, $2 change of blocked_by, $3 change of suspected_by, $4 now. Rows are touched in key order, so
-- overlapping decisions wait for each other and never deadlock. What is blocked is so since its first block, whatever is
-- suspected of it besides. Answers with what became (un)blocked.
INSERT INTO listing AS l (key, blocked_by, suspected_by, version, since)
SELECT key, greatest($2::integer, 0), greatest($3::integer, 0), CASE WHEN $2 > 0 THEN 1 ELSE 0 END, $4
FROM unnest($1::bigint []) AS key
ORDER BY key
ON CONFLICT (key) DO UPDATE SET
    blocked_by = l.blocked_by + $2,
    suspected_by = l.suspected_by + $3,
    version = l.version + CASE WHEN (l.blocked_by > 0) <> (l.blocked_by + $2 > 0) THEN 1 ELSE 0 END,
    since = CASE
        WHEN
            (l.blocked_by > 0, l.blocked_by = 0 AND l.suspected_by > 0)
            <> (l.blocked_by + $2 > 0, l.blocked_by + $2 = 0 AND l.suspected_by + $3 > 0)
            THEN $4
        ELSE l.since
    END
RETURNING key, version, (($2 > 0 AND blocked_by = $2) OR ($2 < 0 AND blocked_by = 0)) AS turned;

-- name: look_up
-- $1 keys; one row for each key that has a listing or is registered.
SELECT
    asked.key,
    coalesce(l.status, 0) AS status,
    l.since,
    coalesce(l.version, 0) AS version,
    d.key IS NOT NULL AS registered
FROM unnest($1::bigint []) AS asked (key)
LEFT JOIN listing AS l ON l.key = asked.key
LEFT JOIN device_imei AS d ON d.key = asked.key
WHERE l.key IS NOT NULL OR d.key IS NOT NULL;

-- name: blocked_now
SELECT count(*) FROM listing WHERE status = 2;
