-- name: turn
-- $1 keys, $2 change of blocked_by, $3 change of suspected_by, $4 now, $5 the incident whose claims turn. Rows are
-- touched in key order, so overlapping decisions wait for each other and never deadlock. What is blocked is so since its
-- first block, whatever is suspected of it besides. Answers with what became (un)blocked, and with what may be told
-- differently now: keys and versions, by what is said alike of them.
WITH turned AS (
    INSERT INTO listing AS l (key, blocked_by, suspected_by, held_by, version, since)
    SELECT
        key,
        greatest($2::integer, 0),
        greatest($3::integer, 0),
        CASE WHEN greatest($2, $3) > 0 THEN ARRAY[$5::bigint] ELSE '{}' END,
        CASE WHEN $2 > 0 THEN 1 ELSE 0 END,
        $4
    FROM unnest($1::bigint []) AS key
    ORDER BY key
    ON CONFLICT (key) DO UPDATE SET
        blocked_by = l.blocked_by + $2,
        suspected_by = l.suspected_by + $3,
        held_by = CASE
            WHEN $2 > 0
                THEN l.held_by[:l.blocked_by] || $5::bigint || array_remove(l.held_by[l.blocked_by + 1:], $5::bigint)
            WHEN $3 > 0 THEN l.held_by || $5::bigint
            ELSE array_remove(l.held_by, $5::bigint)
        END,
        version = l.version + CASE WHEN (l.blocked_by > 0) <> (l.blocked_by + $2 > 0) THEN 1 ELSE 0 END,
        since = CASE
            WHEN
                (l.blocked_by > 0, l.blocked_by = 0 AND l.suspected_by > 0)
                <> (l.blocked_by + $2 > 0, l.blocked_by + $2 = 0 AND l.suspected_by + $3 > 0)
                THEN $4
            ELSE l.since
        END
    RETURNING
        key,
        version,
        status,
        coalesce(held_by[1], $5) AS incident_id,
        CASE WHEN $2 < 0 THEN 2 WHEN $3 > 0 THEN 0 ELSE 1 END AS before,
        (($2 > 0 AND blocked_by = $2) OR ($2 < 0 AND blocked_by = 0)) AS turned,
        CASE
            WHEN $2 > 0 THEN blocked_by = $2
            WHEN $2 < 0 THEN true
            WHEN $3 > 0 THEN blocked_by = 0 AND suspected_by = $3
            ELSE blocked_by = 0
        END AS told
)
SELECT
    turned, told, status, before, incident_id, array_agg(key ORDER BY key) AS keys, array_agg(version ORDER BY key) AS versions
FROM turned
GROUP BY turned, told, status, before, incident_id
ORDER BY status, before, incident_id;

-- name: look_up
-- $1 keys. A first row with how far the block list has come at this moment, and which of the keys are registered, as
-- which devices; then a row for each key that has a listing.
SELECT
    h.position,
    d.keys,
    d.devices,
    NULL::bigint AS key,
    NULL::smallint AS status,
    NULL::timestamptz AS since,
    NULL::bigint AS version,
    NULL::bigint [] AS held_by,
    NULL::text AS kind,
    NULL::text AS reference
FROM blocklist_head AS h
CROSS JOIN (
    SELECT array_agg(key) AS keys, array_agg(device_id) AS devices FROM device_imei WHERE key = ANY ($1::bigint [])
) AS d
UNION ALL
SELECT NULL, NULL, NULL, l.key, l.status, l.since, l.version, l.held_by, i.kind, i.reference
FROM listing AS l
LEFT JOIN incident AS i ON i.incident_id = l.held_by[1]
WHERE l.key = ANY ($1::bigint []);

-- name: look_up_units
-- $1 serials, $2 GTINs, in step; a row for each unit that is registered, or was declared without being so: the gravest
-- of its identifiers.
SELECT DISTINCT ON (asked.serial, asked.gtin)
    asked.serial, asked.gtin, l.status, l.since, l.version, l.held_by, i.kind, i.reference, d.device_id,
    coalesce(l.key, d.keys[1]) AS key
FROM unnest($1::text [], $2::text []) AS asked (serial, gtin)
LEFT JOIN device AS d ON d.serial = asked.serial AND d.gtin = asked.gtin AND d.serial <> ''
LEFT JOIN serial_number AS n ON n.serial = asked.serial AND n.gtin = asked.gtin
LEFT JOIN listing AS l ON l.key = ANY (array_append(d.keys, -n.serial_id))
LEFT JOIN incident AS i ON i.incident_id = l.held_by[1]
WHERE d.device_id IS NOT NULL OR l.key IS NOT NULL
ORDER BY asked.serial, asked.gtin, l.status DESC NULLS LAST, l.since;

-- name: blocked_now
SELECT count(*) FROM listing WHERE status = 2;

-- name: past_blocks
-- $1 keys: the times for which each was blocked and is not any more, however many incidents blocked it at once, with the
-- kind of the first. What a clock that ran back would have ended before it began was no time.
WITH held AS (
    SELECT
        c.key,
        c.incident_id,
        i.kind,
        i.approved_at AS since,
        CASE WHEN c.state = 2 THEN greatest(c.lifted_at, i.approved_at) END AS until
    FROM claim AS c
    JOIN incident AS i USING (incident_id)
    WHERE c.key = ANY ($1::bigint []) AND i.approved_at IS NOT NULL
),
blocked AS (
    SELECT key, unnest(range_agg(tstzrange(since, until))) AS span FROM held GROUP BY key
)
SELECT
    b.key,
    lower(b.span) AS since,
    upper(b.span) AS until,
    (
        SELECT h.kind FROM held AS h WHERE h.key = b.key AND h.since = lower(b.span) ORDER BY h.incident_id LIMIT 1
    ) AS kind
FROM blocked AS b
WHERE NOT upper_inf(b.span)
ORDER BY b.key, lower(b.span);
