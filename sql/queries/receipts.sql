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

-- name: findings
-- $1 receipt, $2 kind, $3 after this finding, $4 limit
SELECT finding, line, field, value, code, sentence
FROM receipt_finding
WHERE receipt_id = $1 AND kind = $2 AND finding > $3
ORDER BY finding
LIMIT $4;

-- name: rejects_size
SELECT coalesce(sum(octet_length(array_to_string(cells || codes || sentences, ''))), 0)::bigint
FROM receipt_reject WHERE receipt_id = $1;

-- name: rejects
-- $1 receipt, $2 after this reject, $3 limit: rows as they came, with why they were rejected.
SELECT reject, line, cells, codes, sentences FROM receipt_reject
WHERE receipt_id = $1 AND reject > $2
ORDER BY reject
LIMIT $3;
