-- name: leave_out_golden
-- Devices of which one identifier is golden go from the scope whole. How many went, the first golden ones with their
-- reasons, and of what went the IMEIs that nobody registered.
WITH golden_ones AS (
    SELECT s.key, s.device_id, g.why FROM scoped AS s JOIN golden AS g ON g.places = 14 AND g.number = s.key
    UNION
    SELECT s.key, s.device_id, g.why FROM scoped AS s JOIN golden AS g ON g.places = 8 AND g.number = s.key / 1000000
    WHERE s.key >= 0
    UNION
    SELECT s.key, s.device_id, g.why
    FROM scoped AS s
    JOIN golden AS g ON g.places = 2 AND g.number = s.key / 1000000000000
    WHERE s.key >= 0
),
gone AS (
    DELETE FROM scoped AS s
    WHERE s.key IN (SELECT key FROM golden_ones) OR s.device_id IN (SELECT device_id FROM golden_ones)
    RETURNING s.key, s.device_id
),
first AS (
    SELECT DISTINCT ON (key) key, why FROM golden_ones
    ORDER BY key, why
    LIMIT $1
)
SELECT
    count(*) AS identifiers,
    count(DISTINCT gone.device_id) AS devices,
    coalesce(array_agg(gone.key) FILTER (WHERE gone.device_id IS NULL), '{}') AS unregistered,
    (SELECT coalesce(array_agg(key ORDER BY key), '{}') FROM first) AS first_keys,
    (SELECT coalesce(array_agg(why ORDER BY key), '{}') FROM first) AS first_whys
FROM gone;

-- name: sold
-- $1 how many of the first.
SELECT
    count(DISTINCT s.device_id) AS devices,
    count(*) AS identifiers,
    coalesce((array_agg(s.key ORDER BY s.key))[:$1], '{}') AS first_keys
FROM scoped AS s
JOIN device AS d USING (device_id)
WHERE d.sold_at IS NOT NULL;

-- name: leave_out_sold
DELETE FROM scoped AS s USING device AS d
WHERE d.device_id = s.device_id AND d.sold_at IS NOT NULL;

-- name: serials_of
SELECT -n.serial_id AS key, n.serial FROM serial_number AS n WHERE n.serial_id = ANY ($1::bigint []);

-- name: figures
-- What the scope's registered devices have in common, and what they lack.
SELECT
    count(DISTINCT d.site) FILTER (WHERE d.site <> '') AS sites,
    count(DISTINCT d.owner) FILTER (WHERE d.owner <> '') AS owners,
    count(*) FILTER (WHERE d.left_at IS NOT NULL AND (d.seen_at IS NULL OR d.seen_at <= d.left_at)) AS away,
    count(*) FILTER (WHERE d.unit_value IS NULL) AS unvalued
FROM (SELECT DISTINCT device_id FROM scoped) AS s
JOIN device AS d USING (device_id);

-- name: by_site
-- $1 this incident (null for a draft that is being made), $2 more than so many, $3 serials that nobody registered and that
-- have no number yet. Devices of the scope by their site, what nobody registered at '', and the most that an earlier
-- incident held of that site; one that was taken back is no measure.
SELECT
    found.site,
    found.devices,
    (
        SELECT max(e.devices) FROM incident_site AS e
        JOIN incident AS i USING (incident_id)
        WHERE e.site = found.site AND i.state IN ('approved', 'closed') AND e.incident_id IS DISTINCT FROM $1
    ) AS largest
FROM (
    SELECT
        coalesce(d.site, '') AS site,
        count(DISTINCT s.device_id) + count(*) FILTER (WHERE s.device_id IS NULL) AS devices
    FROM (
        SELECT device_id FROM scoped
        UNION ALL
        SELECT NULL FROM generate_series(1, $3::integer)
    ) AS s
    LEFT JOIN device AS d USING (device_id)
    GROUP BY coalesce(d.site, '')
) AS found
WHERE found.devices > $2
ORDER BY found.devices DESC, found.site;

-- name: present
-- $1 site, $2 the most that is counted: its devices that arrived, and that nobody told to have left or to be sold.
SELECT count(*)
FROM (
    SELECT FROM device AS d
    WHERE
        d.site = $1 AND d.arrived_in IS NOT NULL AND d.sold_at IS NULL
        AND (d.left_at IS NULL OR d.seen_at > d.left_at)
    LIMIT $2
) AS counted;

-- name: forget
DELETE FROM incident_site WHERE incident_id = $1;

-- name: remember
INSERT INTO incident_site (incident_id, site, devices)
SELECT
    $1,
    coalesce(d.site, ''),
    count(DISTINCT s.device_id) + count(*) FILTER (WHERE s.device_id IS NULL)
FROM scoped AS s
LEFT JOIN device AS d USING (device_id)
GROUP BY coalesce(d.site, '');
