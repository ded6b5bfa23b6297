-- name: open_stage
-- Rows that share a name with a device. verdict: 0 new after all, 1 unchanged, 2 updates the device, 3 says
-- otherwise than what is registered, 4 waits for a row above: one that updates the same device, gives another one
-- the same serial and GTIN, or adds the same IMEI to another one.
CREATE TEMPORARY TABLE IF NOT EXISTS staged (
    place integer PRIMARY KEY,
    line integer NOT NULL,
    keys bigint [] NOT NULL,
    serial text NOT NULL,
    gtin text NOT NULL,
    pallet text NOT NULL,
    site text NOT NULL,
    owner text NOT NULL,
    model text NOT NULL,
    unit_value numeric(14, 2),
    currency text NOT NULL,
    -- how many devices it names, and the first of them
    devices integer NOT NULL DEFAULT 0,
    device_id bigint,
    verdict smallint NOT NULL DEFAULT 0,
    changed text [],
    differing text [],
    -- IMEIs that the device is not known to have
    adds bigint [],
    arrives boolean,
    -- the change of pallet is a movement
    moves boolean
) ON COMMIT DROP;

-- name: clear_stage
TRUNCATE staged;

-- name: analyse_stage
ANALYZE staged;

-- name: match
WITH hit AS (
    SELECT s.place, i.device_id
    FROM staged AS s
    CROSS JOIN unnest(s.keys) AS k (key)
    CROSS JOIN LATERAL (SELECT device_id FROM device_imei AS i WHERE i.key = k.key OFFSET 0) AS i
    UNION
    SELECT s.place, d.device_id
    FROM staged AS s
    CROSS JOIN LATERAL (
        SELECT device_id FROM device AS d
        WHERE d.serial = s.serial AND d.gtin = s.gtin AND d.serial <> ''
        OFFSET 0
    ) AS d
    WHERE s.serial <> ''
),
found AS (
    SELECT place, min(device_id) AS device_id, count(*) AS devices FROM hit GROUP BY place
)
UPDATE staged AS s SET device_id = found.device_id, devices = found.devices
FROM found
WHERE s.place = found.place;

-- name: judge
-- $1 whether the devices are here. What a row leaves empty it does not contradict, and what the registry
-- leaves empty a row may fill in, more IMEIs of the same device among it; a device that was announced may arrive
-- on another pallet and site. One that has moved since is not contradicted by the row that registered it. What is
-- claimed by its serial alone keeps to it: the claim would not be found by an IMEI. What was erased stays erased.
WITH compared AS (
    SELECT
        s.place,
        d.device_id,
        coalesce(nullif(d.serial, ''), s.serial) AS serial,
        coalesce(nullif(d.gtin, ''), s.gtin) AS gtin,
        ARRAY(SELECT k.key FROM unnest(s.keys) AS k (key) WHERE k.key <> ALL (d.keys)) AS adds,
        arriving.arrives,
        d.erased_at IS NOT NULL AS is_erased,
        d.pallet <> '' OR moved.pallet IS NOT NULL AS has_stood,
        array_remove(
            ARRAY[
                CASE
                    WHEN s.devices > 1 OR NOT (s.keys <@ d.keys OR s.keys @> d.keys OR bare.is_bare AND NOT bare.is_listed)
                        THEN 'imeis'
                END,
                CASE WHEN s.serial NOT IN ('', d.serial) AND d.serial <> '' THEN 'serial' END,
                CASE WHEN s.gtin NOT IN ('', d.gtin) AND d.gtin <> '' THEN 'gtin' END,
                CASE
                    WHEN
                        s.pallet NOT IN ('', d.pallet, coalesce(moved.pallet, d.pallet))
                        AND (d.pallet <> '' OR moved.pallet IS NOT NULL) AND NOT arriving.arrives
                        THEN 'pallet'
                END,
                CASE WHEN s.site NOT IN ('', d.site) AND d.site <> '' AND NOT arriving.arrives THEN 'site' END,
                CASE WHEN s.owner NOT IN ('', d.owner) AND d.owner <> '' THEN 'owner' END,
                CASE WHEN s.model NOT IN ('', d.model) AND d.model <> '' THEN 'model' END,
                CASE
                    WHEN
                        s.unit_value IS NOT NULL AND d.unit_value IS NOT NULL
                        AND (s.unit_value, s.currency) <> (d.unit_value, d.currency)
                        THEN 'unit_value'
                END
            ],
            NULL
        ) AS differing,
        array_remove(
            ARRAY[
                CASE WHEN NOT s.keys <@ d.keys THEN 'imeis' END,
                CASE WHEN s.serial NOT IN ('', d.serial) THEN 'serial' END,
                CASE WHEN s.gtin NOT IN ('', d.gtin) THEN 'gtin' END,
                CASE
                    WHEN s.pallet NOT IN ('', d.pallet) AND (arriving.arrives OR s.pallet IS DISTINCT FROM moved.pallet)
                        THEN 'pallet'
                END,
                CASE WHEN s.site NOT IN ('', d.site) THEN 'site' END,
                CASE WHEN s.owner NOT IN ('', d.owner) THEN 'owner' END,
                CASE WHEN s.model NOT IN ('', d.model) THEN 'model' END,
                CASE
                    WHEN
                        s.unit_value IS NOT NULL
                        AND (s.unit_value, s.currency) IS DISTINCT FROM (d.unit_value, d.currency)
                        THEN 'unit_value'
                END
            ],
            NULL
        ) AS changed
    FROM staged AS s
    CROSS JOIN LATERAL (SELECT * FROM device AS d WHERE d.device_id = s.device_id OFFSET 0) AS d
    CROSS JOIN LATERAL (SELECT $1 AND d.arrived_in IS NULL AS arrives) AS arriving
    CROSS JOIN LATERAL (
        SELECT
            d.keys[1] < 0 AS is_bare,
            EXISTS (SELECT FROM listing AS l WHERE l.key = ANY (d.keys) AND l.status > 0) AS is_listed
    ) AS bare
    LEFT JOIN LATERAL (
        SELECT m.pallet FROM movement AS m
        WHERE m.device_id = d.device_id AND m.moved_at = '-infinity'
    ) AS moved ON true
    WHERE s.device_id IS NOT NULL
),
unlike AS (
    -- a serial or a GTIN filled in must not make it another device's namesake
    SELECT
        c.*,
        c.differing <> '{}' OR (
            c.serial <> '' AND c.changed && ARRAY['serial', 'gtin'] AND EXISTS (
                SELECT FROM device AS o
                WHERE o.serial = c.serial AND o.gtin = c.gtin AND o.serial <> '' AND o.device_id <> c.device_id
            )
        ) AS differs
    FROM compared AS c
),
ruled AS (
    SELECT
        u.*,
        CASE WHEN u.differs THEN 3 WHEN u.is_erased THEN 1 WHEN u.arrives OR u.changed <> '{}' THEN 2 ELSE 1 END AS verdict
    FROM unlike AS u
),
first_to_add AS (
    SELECT k.key, min(r.place) AS place
    FROM ruled AS r
    CROSS JOIN unnest(r.adds) AS k (key)
    WHERE r.verdict = 2
    GROUP BY k.key
),
ordered AS (
    SELECT
        r.*,
        EXISTS (
            SELECT FROM unnest(r.adds) AS k (key)
            JOIN first_to_add AS f ON f.key = k.key
            WHERE f.place < r.place
        ) AS comes_second,
        row_number() OVER (PARTITION BY r.verdict, r.device_id ORDER BY r.place) AS turn,
        CASE
            WHEN r.serial = '' THEN 1
            ELSE row_number() OVER (PARTITION BY r.verdict, r.serial, r.gtin ORDER BY r.place)
        END AS namesake
    FROM ruled AS r
)
UPDATE staged AS s SET
    changed = o.changed,
    differing = CASE WHEN o.differing = '{}' THEN ARRAY['serial'] ELSE o.differing END,
    adds = o.adds,
    arrives = o.arrives,
    moves = o.has_stood AND 'pallet' = ANY (o.changed),
    verdict = CASE
        WHEN o.verdict = 2 AND (greatest(o.turn, o.namesake) > 1 OR o.comes_second) THEN 4
        ELSE o.verdict
    END
FROM ordered AS o
WHERE s.place = o.place;

-- name: conflicts
-- Rows that say otherwise than the registry, and whether the device is suspect or blocked.
SELECT
    s.place,
    s.line,
    s.keys,
    s.serial,
    s.differing,
    s.devices,
    d.device_id,
    d.keys AS known_keys,
    d.serial AS known_serial,
    d.receipt_id AS known_receipt,
    d.gtin AS known_gtin,
    d.pallet AS known_pallet,
    d.site AS known_site,
    d.owner AS known_owner,
    d.model AS known_model,
    concat_ws(' ', d.unit_value, nullif(d.currency, '')) AS known_unit_value,
    EXISTS (SELECT FROM listing AS l WHERE l.key = ANY (d.keys) AND l.status > 0) AS listed
FROM staged AS s
JOIN device AS d USING (device_id)
WHERE s.verdict = 3
ORDER BY s.place;

-- name: undecided
SELECT place, verdict FROM staged WHERE verdict IN (0, 4);

-- name: count_unchanged
SELECT count(*) FROM staged WHERE verdict = 1;

-- name: arrivals_elsewhere
-- Announced devices that are about to arrive on another pallet than the one where they stand.
SELECT device_id, pallet FROM staged WHERE verdict = 2 AND moves;

-- name: named_again
SELECT device_id FROM staged WHERE verdict IN (1, 2);

-- name: open_entries
-- New devices on their way in, where each is looked at: of somebody who may enter goods of his own alone.
DO $$
BEGIN
    CREATE TEMPORARY TABLE IF NOT EXISTS entering_device ON COMMIT DROP AS
    SELECT
        device_id, keys, serial, gtin, pallet, site, owner, model, unit_value, currency, receipt_id, registered_at,
        arrived_in
    FROM device
    WITH NO DATA;
    CREATE TEMPORARY TABLE IF NOT EXISTS entering_device_imei ON COMMIT DROP AS
    SELECT key, device_id FROM device_imei
    WITH NO DATA;
END
$$;

-- name: clear_entries
TRUNCATE entering_device, entering_device_imei;
