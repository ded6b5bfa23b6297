-- name: open
INSERT INTO receipt (source, kind, supplier, declared, columns, delimiter, received_at, received_by, digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
RETURNING receipt_id;

-- name: close
UPDATE receipt SET
    rows = $2, registered = $3, updated = $4, arrived = $5, unchanged = $6, rejected = $7, warnings = $8
WHERE receipt_id = $1;

-- name: find
SELECT
    receipt_id,
    source,
    kind,
    supplier,
    received_at,
    received_by,
    declared,
    rows,
    registered,
    updated,
    arrived,
    unchanged,
    rejected,
    warnings
FROM receipt
WHERE receipt_id = $1;

-- name: latest
-- $1 before this number (null: from the newest), $2 kind (null: any), $3 limit
SELECT
    receipt_id,
    source,
    kind,
    supplier,
    received_at,
    received_by,
    declared,
    rows,
    registered,
    updated,
    arrived,
    unchanged,
    rejected,
    warnings
FROM receipt
WHERE receipt_id < coalesce($1, 9223372036854775807) AND ($2::text IS NULL OR kind = $2)
ORDER BY receipt_id DESC
LIMIT $3;

-- name: latest_of
-- $4 supplier. An event has none, and saying so leads to the index.
SELECT
    receipt_id,
    source,
    kind,
    supplier,
    received_at,
    received_by,
    declared,
    rows,
    registered,
    updated,
    arrived,
    unchanged,
    rejected,
    warnings
FROM receipt
WHERE
    supplier = $4 AND source NOT LIKE 'event:%'
    AND receipt_id < coalesce($1, 9223372036854775807) AND ($2::text IS NULL OR kind = $2)
ORDER BY receipt_id DESC
LIMIT $3;

-- name: gaps
-- $1 receipt. The pallets on which its devices stand, and how many devices that were announced for each have not
-- come at all. A device that has not come is on the pallet of its announcement unless it was moved meanwhile.
WITH here AS (
    SELECT pallet FROM device WHERE receipt_id = $1 AND pallet <> ''
    UNION
    SELECT d.pallet
    FROM receipt_repeat AS r
    CROSS JOIN unnest(r.device_ids) AS again (device_id)
    JOIN device AS d ON d.device_id = again.device_id
    WHERE r.receipt_id = $1 AND d.pallet <> ''
),
expected AS (
    SELECT here.pallet, d.device_id
    FROM here
    JOIN device AS d ON d.pallet = here.pallet AND d.pallet <> ''
    WHERE
        d.arrived_in IS NULL
        AND NOT EXISTS (
            SELECT FROM movement AS m
            WHERE m.device_id = d.device_id AND m.moved_at = '-infinity' AND m.pallet <> here.pallet
        )
    UNION
    SELECT here.pallet, d.device_id
    FROM here
    JOIN movement AS m ON m.pallet = here.pallet AND m.pallet <> '' AND m.moved_at = '-infinity'
    JOIN device AS d ON d.device_id = m.device_id
    WHERE d.arrived_in IS NULL
)
SELECT pallet, count(*) AS missing FROM expected
GROUP BY pallet
ORDER BY pallet;

-- name: columns
SELECT columns, delimiter FROM receipt WHERE receipt_id = $1;

-- name: usual_rows
-- $1 supplier, $2 who sends (where no supplier is named): the largest of the latest ten submissions.
-- Events are none: most bring a single device.
SELECT max(latest.rows)
FROM (
    SELECT rows FROM receipt
    WHERE supplier = $1 AND ($1 <> '' OR received_by = $2) AND rows > 0 AND source NOT LIKE 'event:%'
    ORDER BY receipt_id DESC
    LIMIT 10
) AS latest;

-- name: usual_rows_of_sender
-- $1 who sends: the largest of the latest ten submissions, whoever the supplier was.
SELECT max(latest.rows)
FROM (
    SELECT recent.rows
    FROM (
        SELECT rows, received_by FROM receipt
        WHERE rows > 0 AND source NOT LIKE 'event:%'
        ORDER BY receipt_id DESC
        LIMIT 1000
    ) AS recent
    WHERE recent.received_by = $1
    LIMIT 10
) AS latest;

-- name: findings
-- $1 receipt, $2 kind, $3 after this finding, $4 limit. With the receipt, which not everybody sees.
SELECT f.finding, f.line, f.field, f.value, f.code, f.sentence
FROM receipt_finding AS f
JOIN receipt USING (receipt_id)
WHERE f.receipt_id = $1 AND f.kind = $2 AND f.finding > $3
ORDER BY f.finding
LIMIT $4;

-- name: rejects_size
SELECT coalesce(sum(octet_length(array_to_string(cells || codes || sentences, ''))), 0)::bigint
FROM receipt_reject WHERE receipt_id = $1;

-- name: rejects
-- $1 receipt, $2 after this reject, $3 limit: rows as they came, with why they were rejected.
SELECT j.reject, j.line, j.cells, j.codes, j.sentences FROM receipt_reject AS j
JOIN receipt USING (receipt_id)
WHERE j.receipt_id = $1 AND j.reject > $2
ORDER BY j.reject
LIMIT $3;
