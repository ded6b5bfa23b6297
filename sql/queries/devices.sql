-- name: bear_waiting
SET LOCAL lock_timeout = '20s';

-- name: wait_for_twin
-- Senders who hear nothing send again: the second waits until the first is done, and finds all as it would be.
-- $1 the submission's digest as a number
SELECT pg_advisory_xact_lock($1);

-- name: bear_long_waiting
-- Ended here and not by the client, whose statement would go on waiting behind its back.
SET LOCAL lock_timeout = '50s';

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

-- name: hold_matched
-- Nobody moves or updates these devices from here on; in order, so that two submissions wait and do not block.
SELECT d.device_id
FROM device AS d
WHERE d.device_id IN (SELECT s.device_id FROM staged AS s)
ORDER BY d.device_id
FOR NO KEY UPDATE;

-- name: hold_growing
-- Nor does anybody claim those of them that may get more IMEIs: who does so holds them FOR KEY SHARE.
SELECT d.device_id
FROM device AS d
WHERE d.device_id IN (SELECT s.device_id FROM staged AS s WHERE NOT s.keys <@ d.keys)
ORDER BY d.device_id
FOR UPDATE;

-- name: own_more
-- IMEIs that rows fill in, each with its own standing and with that of its device, before `update`.
WITH added AS (
    INSERT INTO device_imei (key, device_id)
    SELECT k.key, s.device_id
    FROM staged AS s
    CROSS JOIN unnest(s.adds) AS k (key)
    WHERE s.verdict = 2
    ORDER BY k.key
    RETURNING key, device_id
)
SELECT
    added.key,
    s.line,
    coalesce(l.status, 0) AS status,
    (
        SELECT coalesce(max(held.status), 0)
        FROM device AS d
        JOIN listing AS held ON held.key = ANY (d.keys)
        WHERE d.device_id = added.device_id
    ) AS device_status
FROM added
JOIN staged AS s ON s.device_id = added.device_id AND s.verdict = 2
LEFT JOIN listing AS l ON l.key = added.key
ORDER BY s.line, added.key;

-- name: update
-- $1 receipt. Fills in what was left open, and lets announced devices arrive.
UPDATE device AS d SET
    keys = CASE WHEN s.adds <> '{}' THEN s.keys ELSE d.keys END,
    serial = coalesce(nullif(d.serial, ''), s.serial),
    gtin = coalesce(nullif(d.gtin, ''), s.gtin),
    pallet = CASE WHEN 'pallet' = ANY (s.changed) AND NOT s.moves THEN s.pallet ELSE d.pallet END,
    pallet_by_arrival = d.pallet_by_arrival OR (
        'pallet' = ANY (s.changed) AND NOT s.moves
        AND (SELECT r.kind = 'arrival' FROM receipt AS r WHERE r.receipt_id = $1)
    ),
    site = coalesce(nullif(s.site, ''), d.site),
    owner = coalesce(nullif(d.owner, ''), s.owner),
    model = coalesce(nullif(d.model, ''), s.model),
    unit_value = coalesce(d.unit_value, s.unit_value),
    currency = CASE WHEN d.unit_value IS NULL THEN s.currency ELSE d.currency END,
    arrived_in = CASE WHEN s.arrives THEN $1 ELSE d.arrived_in END,
    touched = true
FROM staged AS s
WHERE s.verdict = 2 AND d.device_id = s.device_id
RETURNING s.line, s.changed, s.arrives, d.keys, d.serial, d.gtin;

-- name: remember_repeats
-- $1 receipt, $2 part, $3 devices: those of earlier receipts.
INSERT INTO receipt_repeat (receipt_id, part, device_ids)
SELECT $1, $2, array_agg(DISTINCT d.device_id)
FROM device AS d
WHERE d.device_id = ANY ($3::bigint []) AND d.receipt_id <> $1
    AND d.erased_at IS NULL
HAVING count(*) > 0;

-- name: place_moved
-- Every one of these devices stands where it was moved to last.
UPDATE device AS d SET pallet = latest.pallet, touched = true
FROM (
    SELECT moved.device_id, stood.pallet
    FROM unnest($1::bigint []) AS moved (device_id)
    CROSS JOIN LATERAL device_stood(moved.device_id, 'infinity') AS stood
) AS latest
WHERE d.device_id = latest.device_id AND d.pallet <> latest.pallet
RETURNING d.device_id;

-- name: leave
UPDATE device SET left_at = $2 WHERE device_id = ANY ($1::bigint []) AND (left_at IS NULL OR left_at < $2);

-- name: see
UPDATE device SET seen_at = $2 WHERE device_id = ANY ($1::bigint []) AND (seen_at IS NULL OR seen_at < $2);

-- name: place_sold
-- Each of these devices is sold, or not, as it was told of it last. What came back may be told of anew.
UPDATE device AS d SET
    sold_at = latest.sold_at,
    erased_at = CASE WHEN latest.sold_at IS NOT NULL THEN d.erased_at END
FROM (
    SELECT told.device_id, CASE WHEN s.sold THEN s.at END AS sold_at
    FROM unnest($1::bigint []) AS told (device_id)
    LEFT JOIN LATERAL (
        SELECT sold, at FROM sale
        WHERE device_id = told.device_id AND NOT withdrawn
        ORDER BY at DESC, sale_id DESC
        LIMIT 1
    ) AS s ON true
) AS latest
WHERE d.device_id = latest.device_id AND d.sold_at IS DISTINCT FROM latest.sold_at
RETURNING d.device_id, d.sold_at IS NOT NULL AS is_sold;

-- name: claimed_by
-- $1 devices: the incidents by which they are suspect or blocked, how many of them each holds, and whom that concerns.
SELECT h.incident_id, i.submitted_by, count(DISTINCT d.device_id)::integer AS devices
FROM device AS d
JOIN listing AS l ON l.key = ANY (d.keys) AND l.status > 0
CROSS JOIN unnest(l.held_by) AS h (incident_id)
JOIN incident AS i USING (incident_id)
WHERE d.device_id = ANY ($1::bigint [])
GROUP BY h.incident_id, i.submitted_by
ORDER BY h.incident_id;

-- name: hold_to_erase
-- Nobody claims these before this transaction ends: who does so holds them FOR KEY SHARE.
SELECT device_id FROM device WHERE device_id = ANY ($1::bigint []) ORDER BY device_id FOR UPDATE;

-- name: erasable
SELECT
    d.device_id,
    d.keys,
    d.sold_at IS NOT NULL AS is_sold,
    d.erased_at IS NOT NULL AS is_erased,
    (
        SELECT coalesce(array_agg(DISTINCT c.incident_id), '{}') FROM claim AS c
        WHERE c.key = ANY (d.keys) AND c.state IN (0, 1)
    ) AS held_by
FROM device AS d
WHERE d.device_id = ANY ($1::bigint [])
ORDER BY d.device_id;

-- name: due_for_erasure
-- $1 sold before this moment, $2 rows: of what no incident ever claimed.
SELECT d.device_id FROM device AS d
WHERE
    d.sold_at < $1 AND d.sold_at IS NOT NULL AND d.erased_at IS NULL
    AND NOT EXISTS (SELECT FROM claim AS c WHERE c.key = ANY (d.keys))
ORDER BY d.sold_at
LIMIT $2
FOR UPDATE SKIP LOCKED;

-- name: erase
-- $1 devices, $2 now.
UPDATE device SET
    owner = '', site = '', pallet = '', receipt_id = 0, arrived_in = 0, left_at = NULL, seen_at = NULL, touched = true,
    erased_at = $2
WHERE device_id = ANY ($1::bigint []);

-- name: forget_parts
-- Before `erase`: that these rows registered them. Sent again, they are looked at one by one.
DELETE FROM receipt_part AS p
USING device AS d
WHERE d.device_id = ANY ($1::bigint []) AND p.receipt_id = d.receipt_id AND p.device_ids && $1;

-- name: forget_repeats
UPDATE receipt_repeat SET
    device_ids = ARRAY(SELECT k.device_id FROM unnest(device_ids) AS k (device_id) WHERE k.device_id <> ALL ($1))
WHERE device_ids && $1::bigint [];

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

-- name: taken_keys
SELECT key FROM keys_out_of_reach($1::bigint []) AS key;

-- name: taken_serials
SELECT serial, gtin FROM serials_out_of_reach($1::text [], $2::text []);

-- name: enter_devices
INSERT INTO device (
    device_id, keys, serial, gtin, pallet, site, owner, model, unit_value, currency, receipt_id, registered_at,
    arrived_in
)
OVERRIDING SYSTEM VALUE
SELECT
    device_id, keys, serial, gtin, pallet, site, owner, model, unit_value, currency, receipt_id, registered_at,
    arrived_in
FROM entering_device;

-- name: enter_imeis
INSERT INTO device_imei (key, device_id) SELECT key, device_id FROM entering_device_imei;
