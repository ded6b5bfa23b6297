-- name: be_patient
-- For this transaction. Between its batches it waits for the one who reads the file, and nobody else.
SET LOCAL idle_in_transaction_session_timeout = '90s';

-- name: bear_waiting
SET LOCAL lock_timeout = '20s';

-- name: wait_for_twin
-- Senders who hear nothing send again: the second waits until the first is done, and finds all as it would be.
-- $1 the submission's digest as a number
SELECT pg_advisory_xact_lock($1);

-- name: bear_all_waiting
SET LOCAL lock_timeout = 0;

-- name: known_keys
SELECT key, device_id FROM device_imei WHERE key = ANY ($1::bigint []);

-- name: listed_already
SELECT key, status FROM listing WHERE key = ANY ($1::bigint []) AND status > 0;

-- name: some_serial_is_listed
SELECT EXISTS (SELECT FROM listing WHERE key < 0 AND status > 0);

-- name: listed_serials
-- Of these serials the ones that were declared, with or without a GTIN, and whether they are suspect or blocked.
SELECT n.serial, n.gtin, max(l.status) AS status
FROM serial_number AS n
JOIN listing AS l ON l.key = -n.serial_id AND l.status > 0
WHERE n.serial = ANY ($1::text [])
GROUP BY n.serial, n.gtin;

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
    -- how many devices it names, and the first of them
    devices integer NOT NULL DEFAULT 0,
    device_id bigint,
    verdict smallint NOT NULL DEFAULT 0,
    changed text [],
    differing text [],
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

-- name: hold_matched
-- Nobody moves or updates these devices from here on; in order, so that two submissions wait and do not block.
SELECT d.device_id
FROM device AS d
WHERE d.device_id IN (SELECT s.device_id FROM staged AS s)
ORDER BY d.device_id
FOR UPDATE;

-- name: judge
-- $1 whether the devices are here. What a row leaves empty it does not contradict, and what the registry
-- leaves empty a row may fill in; a device that was announced may arrive on another pallet and site. One that has
-- moved since is not contradicted by the row that registered it.
WITH compared AS (
    SELECT
        s.place,
        d.device_id,
        coalesce(nullif(d.serial, ''), s.serial) AS serial,
        coalesce(nullif(d.gtin, ''), s.gtin) AS gtin,
        arriving.arrives,
        d.pallet <> '' OR moved.pallet IS NOT NULL AS has_stood,
        array_remove(
            ARRAY[
                CASE WHEN s.devices > 1 OR NOT s.keys <@ d.keys THEN 'imeis' END,
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
        CASE WHEN u.differs THEN 3 WHEN u.arrives OR u.changed <> '{}' THEN 2 ELSE 1 END AS verdict
    FROM unlike AS u
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
    changed = o.changed,
    differing = CASE WHEN o.differing = '{}' THEN ARRAY['serial'] ELSE o.differing END,
    arrives = o.arrives,
    moves = o.has_stood AND 'pallet' = ANY (o.changed),
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
    s.differing,
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
-- Announced devices that are about to arrive on another pallet than the one where they stand.
SELECT device_id, pallet FROM staged WHERE verdict = 2 AND moves;

-- name: update
-- $1 receipt. Fills in what was left open, and lets announced devices arrive.
UPDATE device AS d SET
    serial = coalesce(nullif(d.serial, ''), s.serial),
    gtin = coalesce(nullif(d.gtin, ''), s.gtin),
    pallet = CASE WHEN 'pallet' = ANY (s.changed) AND NOT s.moves THEN s.pallet ELSE d.pallet END,
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
