-- name: in_stock
-- $1 devices. Those that arrived, were not sold, and were not seen to leave since they were last seen, at a site that
-- tells what leaves.
SELECT d.device_id
FROM device AS d
WHERE
    d.device_id = ANY ($1::bigint []) AND d.arrived_in IS NOT NULL AND d.sold_at IS NULL AND (d.left_at IS NULL OR d.seen_at > d.left_at)
    AND EXISTS (SELECT FROM device AS gone WHERE gone.site = d.site AND gone.left_at IS NOT NULL);

-- name: note
-- $1 keys, $2 what was told, $3 who asked, $4 ways, $5 places, $6 notes, $7 incidents, $8 devices, $9 how often,
-- $10 first and $11 last time, in step and none twice. Gives the incidents of which something new was seen.
WITH said AS (
    SELECT *
    FROM unnest(
        $1::bigint [], $2::smallint [], $3::text [], $4::text [], $5::text [], $6::text [], $7::bigint [], $8::bigint [],
        $9::bigint [], $10::timestamptz [], $11::timestamptz []
    ) AS t (key, told, asked_by, way, place, note, incident_id, device_id, times, first_at, last_at)
),
noted AS (
    INSERT INTO sighting AS s
        (key, told, asked_by, way, place, note, incident_id, device_id, times, first_at, last_at)
    SELECT key, told, asked_by, way, place, note, incident_id, device_id, times, first_at, last_at FROM said
    ORDER BY key, told, asked_by, way, place
    ON CONFLICT (key, told, asked_by, way, place) DO UPDATE SET
        times = s.times + excluded.times,
        last_at = greatest(s.last_at, excluded.last_at),
        first_at = least(s.first_at, excluded.first_at),
        note = coalesce(nullif(excluded.note, ''), s.note)
    RETURNING key, incident_id, told, xmax = 0 AS is_new
)
SELECT DISTINCT incident_id FROM noted WHERE is_new AND told > 0;

-- name: leads
-- $1 incidents: what was seen of each so far (10,000: there may be more), who was the last, and whom it concerns.
SELECT
    i.incident_id, i.submitted_by, i.reference, s.sightings, s.identifiers,
    format('key:%s (%s)', k.key_id, k.name) AS asked_by
FROM incident AS i
CROSS JOIN LATERAL (
    SELECT count(*) AS sightings, count(DISTINCT key) AS identifiers
    FROM (SELECT key FROM sighting WHERE incident_id = i.incident_id LIMIT 10000) AS counted
) AS s
CROSS JOIN LATERAL (
    SELECT asked_by FROM sighting WHERE incident_id = i.incident_id ORDER BY sighting_id DESC LIMIT 1
) AS newest
JOIN api_key AS k ON k.key_id = newest.asked_by
WHERE i.incident_id = ANY ($1::bigint [])
ORDER BY i.incident_id;

-- name: crowded
-- $1 who reports, $2 the way of reports, $3 places: devices that he has reported from so many already.
SELECT key FROM sighting WHERE asked_by = $1 AND way = $2 GROUP BY key HAVING count(*) >= $3;

-- name: forget
-- $1 from before this moment, $2 rows.
WITH gone AS (
    DELETE FROM sighting WHERE sighting_id IN (
        SELECT s.sighting_id
        FROM sighting AS s
        WHERE
            s.last_at < $1
            AND NOT EXISTS (
                SELECT FROM incident AS i
                WHERE i.incident_id = s.incident_id AND i.state IN ('submitted', 'approved')
            )
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    )
    RETURNING sighting_id
)
SELECT count(*) FROM gone;

-- name: erase
-- $1 keys: who asked about these, and reported them.
WITH gone AS (
    DELETE FROM sighting WHERE key = ANY ($1::bigint []) RETURNING sighting_id
)
SELECT count(*) FROM gone;

-- name: judge
-- $1 from before this moment, $2 rows, $3 now. Of devices that were in stock when they were asked about: looks once more,
-- lets go of those whose departure was told since, and gives the others, by site.
WITH due AS (
    SELECT s.sighting_id, s.device_id, s.asked_by
    FROM sighting AS s
    WHERE s.told = 0 AND s.way <> 'report' AND s.judged_at IS NULL AND s.first_at < $1
    ORDER BY s.first_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),
looked AS (
    SELECT
        u.*, d.site, d.sold_at IS NULL AND (d.left_at IS NULL OR coalesce(d.seen_at > d.left_at, false)) AS is_there
    FROM due AS u
    JOIN device AS d USING (device_id)
),
gone AS (
    DELETE FROM sighting WHERE sighting_id IN (SELECT sighting_id FROM looked WHERE NOT is_there)
),
stayed AS (
    UPDATE sighting SET judged_at = $3 WHERE sighting_id IN (SELECT sighting_id FROM looked WHERE is_there)
)
SELECT
    site,
    count(*) AS looked,
    count(DISTINCT device_id) FILTER (WHERE is_there) AS devices,
    (array_agg(DISTINCT device_id ORDER BY device_id) FILTER (WHERE is_there))[:100] AS device_ids,
    array_agg(DISTINCT asked_by ORDER BY asked_by) FILTER (WHERE is_there) AS asked_by
FROM looked
GROUP BY site;

-- name: count
SELECT count(*) FROM (SELECT FROM sighting WHERE incident_id = $1 LIMIT 10000) AS counted;

-- name: listed
-- $1 incident, $2 key, $3 those of devices in stock alone, $4 after this number, $5 rows.
SELECT
    s.sighting_id AS id, s.key, n.serial, n.gtin, s.told, s.way, s.place, s.note, s.incident_id AS incident,
    s.device_id AS device, s.times, s.first_at, s.last_at, format('key:%s (%s)', k.key_id, k.name) AS asked_by
FROM sighting AS s
JOIN api_key AS k ON k.key_id = s.asked_by
LEFT JOIN serial_number AS n ON n.serial_id = -s.key
WHERE
    s.sighting_id > $4
    AND ($1::bigint IS NULL OR s.incident_id = $1)
    AND ($2::bigint IS NULL OR s.key = $2)
    AND (NOT $3 OR s.told = 0)
ORDER BY s.sighting_id
LIMIT $5;
