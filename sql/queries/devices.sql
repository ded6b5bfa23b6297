-- name: be_patient
-- For this transaction. Between its batches it waits for the one who reads the file, and nobody else.
SET LOCAL idle_in_transaction_session_timeout = '90s';

-- name: known_keys
SELECT key, device_id FROM device_imei WHERE key = ANY ($1::bigint []);

-- name: listed_already
SELECT key FROM listing WHERE key = ANY ($1::bigint []) AND status > 0;

-- name: known_serials
-- The planner knows nothing of a table that is being filled: OFFSET 0 keeps it to the index.
SELECT asked.serial, asked.gtin, d.device_id
FROM unnest($1::text [], $2::text []) AS asked (serial, gtin)
CROSS JOIN LATERAL (
    SELECT device_id FROM device AS d
    WHERE d.serial = asked.serial AND d.gtin = asked.gtin AND d.serial <> ''
    OFFSET 0
) AS d;

-- name: recall
-- $1 digest of rows, $2 whether the devices are here, $3 receipt, $4 part: how many devices these very rows
-- registered in an earlier receipt, if all of them still are what the rows say.
WITH earlier AS (
    SELECT device_ids FROM receipt_part WHERE digest = $1 AND receipt_id <> $3
    ORDER BY receipt_id DESC
    LIMIT 1
),
same AS (
    SELECT count(*) AS devices
    FROM device AS d
    WHERE
        d.device_id = ANY ((SELECT device_ids FROM earlier)::bigint [])
        AND NOT d.touched AND (d.arrived_in IS NOT NULL OR NOT $2)
)
INSERT INTO receipt_repeat (receipt_id, part, device_ids)
SELECT $3, $4, earlier.device_ids
FROM earlier
JOIN same ON same.devices = cardinality(earlier.device_ids)
RETURNING cardinality(device_ids);

-- name: keep_part
INSERT INTO receipt_part (receipt_id, part, digest, device_ids) VALUES ($1, $2, $3, $4);

-- name: repeats
-- $1 first keys of rows, and $2 texts: theirs in step, then those of rows without IMEI. $3 whether the devices are
-- here, which is news of one that was only announced. $4 receipt, $5 part. The places of the rows that say what is
-- registered, to the letter; devices of earlier receipts are remembered.
WITH home AS (
    SELECT
        asked.place,
        asked.text,
        coalesce(
            (SELECT i.device_id FROM device_imei AS i WHERE i.key = asked.key),
            (
                SELECT d.device_id
                FROM device AS d
                WHERE
                    asked.key IS NULL AND d.serial <> ''
                    AND d.serial = split_part(asked.text, E'\t', 2) AND d.gtin = split_part(asked.text, E'\t', 3)
            )
        ) AS device_id
    FROM unnest($1::bigint [], $2::text []) WITH ORDINALITY AS asked (key, text, place)
),
same AS (
    SELECT home.place, d.device_id, d.receipt_id
    FROM home
    CROSS JOIN LATERAL (
        SELECT
            device_id,
            receipt_id,
            concat_ws(
                E'\t', CASE WHEN keys[1] < 0 THEN '{}' ELSE keys::text END, serial, gtin, pallet, site, owner, model,
                coalesce(unit_value::text, '\N'), currency
            ) AS text
        FROM device
        WHERE device_id = home.device_id AND (arrived_in IS NOT NULL OR NOT $3)
        OFFSET 0
    ) AS d
    WHERE d.text = home.text
),
remembered AS (
    INSERT INTO receipt_repeat (receipt_id, part, device_ids)
    SELECT $4, $5, array_agg(device_id) FROM same WHERE receipt_id <> $4
    HAVING count(*) > 0
)
SELECT array_agg(place) FROM same;

-- name: device_numbers
SELECT array_agg(nextval('device_device_id_seq')) FROM generate_series(1, $1::integer);

-- name: serial_numbers
SELECT array_agg(nextval('serial_number_serial_id_seq')) FROM generate_series(1, $1::integer);

-- name: open_stage
-- Rows that share a name with a device. verdict: 0 new after all, 1 unchanged, 2 updates the device, 3 says
-- otherwise than what is registered, 4 waits for a row above that updates the same device.
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
    verdict smallint NOT NULL DEFAULT 0,
    device_id bigint,
    changed text [],
    arrives boolean
) ON COMMIT DROP;

-- name: clear_stage
TRUNCATE staged;

-- name: analyse_stage
ANALYZE staged;

-- name: judge
-- $1 whether the devices are here. What a row leaves empty it does not contradict, and what the registry
-- leaves empty a row may fill in; a device that was announced may arrive on another pallet and site.
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
),
compared AS (
    SELECT
        s.place,
        d.device_id,
        coalesce(nullif(d.serial, ''), s.serial) AS serial,
        coalesce(nullif(d.gtin, ''), s.gtin) AS gtin,
        $1 AND d.arrived_in IS NULL AS arrives,
        found.devices = 1
        AND s.keys <@ d.keys
        AND (s.serial IN ('', d.serial) OR d.serial = '')
        AND (s.gtin IN ('', d.gtin) OR d.gtin = '')
        AND (s.owner IN ('', d.owner) OR d.owner = '')
        AND (s.model IN ('', d.model) OR d.model = '')
        AND (s.pallet IN ('', d.pallet) OR d.pallet = '' OR ($1 AND d.arrived_in IS NULL))
        AND (s.site IN ('', d.site) OR d.site = '' OR ($1 AND d.arrived_in IS NULL))
        AND (
            s.unit_value IS NULL OR d.unit_value IS NULL
            OR (s.unit_value, s.currency) = (d.unit_value, d.currency)
        ) AS agrees,
        array_remove(
            ARRAY[
                CASE WHEN s.serial NOT IN ('', d.serial) THEN 'serial' END,
                CASE WHEN s.gtin NOT IN ('', d.gtin) THEN 'gtin' END,
                CASE WHEN s.pallet NOT IN ('', d.pallet) THEN 'pallet' END,
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
    FROM found
    JOIN staged AS s USING (place)
    CROSS JOIN LATERAL (SELECT * FROM device AS d WHERE d.device_id = found.device_id OFFSET 0) AS d
),
ruled AS (
    SELECT
        c.place,
        c.device_id,
        c.changed,
        c.arrives,
        CASE
            WHEN NOT c.agrees THEN 3
            -- a serial or a GTIN filled in must not make it another device's namesake
            WHEN c.serial <> '' AND c.changed && ARRAY['serial', 'gtin'] AND EXISTS (
                SELECT FROM device AS o
                WHERE o.serial = c.serial AND o.gtin = c.gtin AND o.serial <> '' AND o.device_id <> c.device_id
            ) THEN 3
            WHEN c.arrives OR c.changed <> '{}' THEN 2
            ELSE 1
        END AS verdict,
        c.serial,
        c.gtin
    FROM compared AS c
),
ordered AS (
    SELECT
        r.*,
        row_number() OVER (PARTITION BY r.verdict, r.device_id ORDER BY r.place) AS turn,
        CASE
            WHEN r.serial = '' THEN 1
            ELSE row_number() OVER (PARTITION BY r.verdict, r.serial, r.gtin ORDER BY r.place)
        END AS namesake
    FROM ruled AS r
)
UPDATE staged AS s SET
    device_id = o.device_id,
    changed = o.changed,
    arrives = o.arrives,
    verdict = CASE WHEN o.verdict = 2 AND greatest(o.turn, o.namesake) > 1 THEN 4 ELSE o.verdict END
FROM ordered AS o
WHERE s.place = o.place;

-- name: conflicts
-- Rows that say otherwise than the registry, and whether the device is suspect or blocked.
SELECT
    s.place,
    s.line,
    s.keys,
    s.serial,
    s.changed AS differing,
    d.device_id,
    d.keys AS known_keys,
    d.serial AS known_serial,
    d.receipt_id AS known_receipt,
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
-- Announced devices that are about to arrive on another pallet.
SELECT s.device_id, s.pallet
FROM staged AS s
JOIN device AS d USING (device_id)
WHERE s.verdict = 2 AND s.pallet NOT IN ('', d.pallet) AND d.pallet <> '';

-- name: update
-- $1 receipt. Fills in what was left open, and lets announced devices arrive.
UPDATE device AS d SET
    serial = coalesce(nullif(d.serial, ''), s.serial),
    gtin = coalesce(nullif(d.gtin, ''), s.gtin),
    pallet = coalesce(nullif(s.pallet, ''), d.pallet),
    site = coalesce(nullif(s.site, ''), d.site),
    owner = coalesce(nullif(d.owner, ''), s.owner),
    model = coalesce(nullif(d.model, ''), s.model),
    unit_value = coalesce(d.unit_value, s.unit_value),
    currency = CASE WHEN d.unit_value IS NULL THEN s.currency ELSE d.currency END,
    arrived_in = CASE WHEN s.arrives THEN $1 ELSE d.arrived_in END,
    touched = true
FROM staged AS s
WHERE s.verdict = 2 AND d.device_id = s.device_id
RETURNING s.line, s.changed, s.arrives, d.keys, d.serial;

-- name: named_again
SELECT device_id FROM staged WHERE verdict IN (1, 2);

-- name: remember_repeats
-- $1 receipt, $2 part, $3 devices: those of earlier receipts.
INSERT INTO receipt_repeat (receipt_id, part, device_ids)
SELECT $1, $2, array_agg(DISTINCT d.device_id)
FROM device AS d
WHERE d.device_id = ANY ($3::bigint []) AND d.receipt_id <> $1
HAVING count(*) > 0;

-- name: place_moved
-- Every one of these devices stands where it was moved to last.
UPDATE device AS d SET pallet = latest.pallet, touched = true
FROM (
    SELECT DISTINCT ON (m.device_id) m.device_id, m.pallet
    FROM movement AS m
    WHERE m.device_id = ANY ($1::bigint []) AND NOT m.withdrawn
    ORDER BY m.device_id, m.moved_at DESC, m.movement_id DESC
) AS latest
WHERE d.device_id = latest.device_id AND d.pallet <> latest.pallet
RETURNING d.device_id;

-- name: leave
UPDATE device SET left_at = $2 WHERE device_id = ANY ($1::bigint []) AND (left_at IS NULL OR left_at < $2);

-- name: see
UPDATE device SET seen_at = $2 WHERE device_id = ANY ($1::bigint []) AND (seen_at IS NULL OR seen_at < $2);

-- name: numbered
-- The numbers that serials have already, as those that were declared before they were registered.
SELECT n.serial, n.gtin, n.serial_id
FROM unnest($1::text [], $2::text []) AS asked (serial, gtin)
CROSS JOIN LATERAL (
    SELECT * FROM serial_number AS n WHERE n.serial = asked.serial AND n.gtin = asked.gtin OFFSET 0
) AS n;

-- name: number_unknown
-- A serial that nobody registered gets a number of its own, so that it can be declared all the same. Read
-- it back in a statement of its own: one that waited here for another decision does not see its rows.
INSERT INTO serial_number (serial, gtin)
SELECT serial, gtin FROM unnest($1::text [], $2::text []) AS asked (serial, gtin)
ORDER BY serial, gtin
ON CONFLICT DO NOTHING;

-- name: named
-- $1 keys of IMEIs or null, $2 serials, $3 GTINs, in step: the devices that each may mean. A device that was
-- registered without a GTIN is meant by a name that has one if no other is.
SELECT asked.place, meant.device_id
FROM unnest($1::bigint [], $2::text [], $3::text []) WITH ORDINALITY AS asked (key, serial, gtin, place)
CROSS JOIN LATERAL (
    SELECT i.device_id FROM device_imei AS i WHERE i.key = asked.key
    UNION ALL
    SELECT d.device_id FROM device AS d
    WHERE d.serial = asked.serial AND d.serial <> '' AND asked.gtin = '' AND asked.key IS NULL
    UNION ALL
    (
        SELECT d.device_id FROM device AS d
        WHERE d.serial = asked.serial AND d.serial <> '' AND d.gtin IN (asked.gtin, '') AND asked.gtin <> ''
        ORDER BY d.gtin DESC
        LIMIT 1
    )
) AS meant;

-- name: gtins_of
SELECT d.serial, array_agg(d.gtin ORDER BY d.gtin) AS gtins
FROM device AS d
WHERE d.serial = ANY ($1::text []) AND d.serial <> ''
GROUP BY d.serial
ORDER BY d.serial;

-- name: new_keys
SELECT k.key FROM device AS d CROSS JOIN unnest(d.keys) AS k (key) WHERE d.receipt_id = $1 ORDER BY k.key;

-- name: by_key
SELECT d.* FROM device_imei AS i JOIN device AS d USING (device_id)
WHERE i.key = $1 AND d.device_id > $2
ORDER BY d.device_id
LIMIT $3;

-- name: by_serial
SELECT d.* FROM device AS d
WHERE d.serial = $1 AND d.serial <> '' AND d.device_id > $2
ORDER BY d.device_id
LIMIT $3;

-- name: by_pallet
SELECT d.* FROM device AS d
WHERE d.pallet = $1 AND d.pallet <> '' AND d.device_id > $2
ORDER BY d.device_id
LIMIT $3;

-- name: by_number
SELECT d.* FROM device AS d
WHERE d.device_id = ANY ($1::bigint []) AND d.device_id > $2
ORDER BY d.device_id
LIMIT $3;

-- name: by_receipt
SELECT d.* FROM device AS d
WHERE d.receipt_id = $1 AND d.device_id > $2
ORDER BY d.device_id
LIMIT $3;

-- name: standings
-- The listing of every identifier of these devices that has one.
SELECT l.key, l.status FROM listing AS l WHERE l.key = ANY ($1::bigint []);

-- name: count
SELECT count(*) FROM device;
