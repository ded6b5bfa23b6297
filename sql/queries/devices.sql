-- name: open_receipt
INSERT INTO receipt (source, received_at, received_by, digest) VALUES ($1, $2, $3, $4)
RETURNING receipt_id;

-- name: close_receipt
UPDATE receipt SET rows = $2, registered = $3, unchanged = $4, rejected = $5, warnings = $6
WHERE receipt_id = $1;

-- name: open_stage
-- verdict: 0 new, 1 unchanged, 2 differs from what is registered, 3 differs from a line above
CREATE TEMPORARY TABLE staged (
    line integer PRIMARY KEY,
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
    other_line integer,
    device_id bigint
) ON COMMIT DROP;

-- name: analyse_stage
ANALYZE staged;

-- name: judge_lines
-- A scanner repeats lines: a line that says the same again is unchanged, one that says otherwise is not.
-- Only lines that stand count: one whose first bearer is in doubt itself waits for the next round, so a line
-- that is rejected shadows no other.
WITH name AS (
    SELECT key::text AS name, '' AS gtin, line FROM staged CROSS JOIN unnest(keys) AS key WHERE verdict = 0
    UNION ALL
    SELECT serial, gtin, line FROM staged WHERE serial <> '' AND verdict = 0
),
twice AS (
    SELECT name, gtin, min(line) AS first FROM name GROUP BY name, gtin HAVING count(*) > 1
),
later AS (
    SELECT name.line, min(twice.first) AS first
    FROM name JOIN twice USING (name, gtin)
    WHERE name.line > twice.first
    GROUP BY name.line
)
UPDATE staged AS s SET
    other_line = later.first,
    verdict = CASE
        WHEN
            (s.keys, s.serial, s.gtin, s.pallet, s.site, s.owner, s.model, s.currency)
            = (f.keys, f.serial, f.gtin, f.pallet, f.site, f.owner, f.model, f.currency)
            AND s.unit_value IS NOT DISTINCT FROM f.unit_value
            THEN 1
        ELSE 3
    END
FROM later
JOIN staged AS f ON f.line = later.first
WHERE s.line = later.line AND later.first NOT IN (SELECT line FROM later);

-- name: judge_registered
-- What a row leaves empty it does not contradict.
WITH hit AS (
    SELECT s.line, i.device_id
    FROM staged AS s
    CROSS JOIN unnest(s.keys) AS k (key)
    JOIN device_imei AS i ON i.key = k.key
    WHERE s.verdict = 0
    UNION
    SELECT s.line, d.device_id
    FROM staged AS s
    JOIN device AS d ON d.serial = s.serial AND d.gtin = s.gtin
    WHERE s.verdict = 0 AND s.serial <> '' AND d.serial <> ''
),
found AS (
    SELECT line, min(device_id) AS device_id, count(*) AS devices FROM hit GROUP BY line
)
UPDATE staged AS s SET
    device_id = found.device_id,
    verdict = CASE
        WHEN
            found.devices = 1
            AND (s.keys = d.keys OR (cardinality(s.keys) = 0 AND d.keys[1] < 0))
            AND s.serial IN ('', d.serial) AND s.gtin IN ('', d.gtin)
            AND s.pallet IN ('', d.pallet) AND s.site IN ('', d.site) AND s.owner IN ('', d.owner)
            AND s.model IN ('', d.model)
            AND (s.unit_value IS NULL OR (s.unit_value, s.currency) = (d.unit_value, d.currency))
            THEN 1
        ELSE 2
    END
FROM found
JOIN device AS d USING (device_id)
WHERE s.line = found.line;

-- name: conflicts
SELECT
    s.line,
    s.verdict,
    s.other_line,
    s.keys,
    s.serial,
    d.keys AS known_keys,
    d.serial AS known_serial,
    d.receipt_id AS known_receipt,
    array_remove(
        ARRAY[
            CASE WHEN s.serial NOT IN ('', d.serial) THEN 'serial' END,
            CASE WHEN s.gtin NOT IN ('', d.gtin) THEN 'gtin' END,
            CASE WHEN s.pallet NOT IN ('', d.pallet) THEN 'pallet' END,
            CASE WHEN s.site NOT IN ('', d.site) THEN 'site' END,
            CASE WHEN s.owner NOT IN ('', d.owner) THEN 'owner' END,
            CASE WHEN s.model NOT IN ('', d.model) THEN 'model' END,
            CASE
                WHEN s.unit_value IS NOT NULL AND (s.unit_value, s.currency) IS DISTINCT FROM (d.unit_value, d.currency)
                    THEN 'unit_value'
            END
        ],
        NULL
    ) AS differing
FROM staged AS s
LEFT JOIN device AS d USING (device_id)
WHERE s.verdict IN (2, 3)
ORDER BY s.line;

-- name: listed_already
-- New devices of which an identifier is suspect or blocked: declared stolen before they were registered.
SELECT s.line, k.key
FROM staged AS s
CROSS JOIN unnest(s.keys) AS k (key)
JOIN listing AS l ON l.key = k.key AND l.status > 0
WHERE s.verdict = 0
ORDER BY s.line, k.key;

-- name: number_serials
INSERT INTO serial_number (serial, gtin)
SELECT serial, gtin FROM staged WHERE verdict = 0 AND cardinality(keys) = 0
ORDER BY serial, gtin
ON CONFLICT DO NOTHING;

-- name: number_unknown
-- A serial that nobody registered gets a number of its own, so that it can be declared all the same. Read
-- it back in a statement of its own: one that waited here for another decision does not see its rows.
INSERT INTO serial_number (serial, gtin) SELECT serial, '' FROM unnest($1::text []) AS serial
ORDER BY serial
ON CONFLICT DO NOTHING;

-- name: register
-- $1 receipt, $2 now. Identifiers go in in key order: two files at once wait for each other, no more.
WITH added AS (
    INSERT INTO device (
        keys, serial, gtin, pallet, site, owner, model, unit_value, currency, receipt_id, registered_at
    )
    SELECT
        CASE WHEN cardinality(s.keys) = 0 THEN ARRAY[-n.serial_id] ELSE s.keys END,
        s.serial,
        s.gtin,
        s.pallet,
        s.site,
        s.owner,
        s.model,
        s.unit_value,
        s.currency,
        $1,
        $2
    FROM staged AS s
    LEFT JOIN serial_number AS n
        ON cardinality(s.keys) = 0 AND n.serial = s.serial AND n.gtin = s.gtin
    WHERE s.verdict = 0
    ORDER BY s.line
    RETURNING device_id, keys
)
INSERT INTO device_imei (key, device_id)
SELECT k.key, added.device_id FROM added CROSS JOIN unnest(added.keys) AS k (key)
WHERE k.key >= 0
ORDER BY k.key;

-- name: remember_repeats
INSERT INTO receipt_repeat (receipt_id, part, device_ids)
SELECT $1, part, array_agg(device_id)
FROM (
    SELECT device_id, (row_number() OVER (ORDER BY device_id) - 1) / 1000 AS part
    FROM (SELECT DISTINCT device_id FROM staged WHERE verdict = 1 AND device_id IS NOT NULL) AS d
) AS numbered
GROUP BY part;

-- name: verdicts
SELECT
    count(*) FILTER (WHERE verdict = 0)::integer AS registered,
    count(*) FILTER (WHERE verdict = 1)::integer AS unchanged,
    count(*) FILTER (WHERE verdict IN (2, 3))::integer AS rejected
FROM staged;

-- name: new_keys
SELECT k.key FROM device AS d CROSS JOIN unnest(d.keys) AS k (key) WHERE d.receipt_id = $1 ORDER BY k.key;

-- name: receipt
SELECT receipt_id, source, received_at, received_by, rows, registered, unchanged, rejected, warnings
FROM receipt
WHERE receipt_id = $1;

-- name: findings
-- $1 receipt, $2 rejections (true) or warnings (false), $3 after this finding, $4 limit
SELECT finding, line, field, value, code, sentence
FROM receipt_finding
WHERE receipt_id = $1 AND rejected = $2 AND finding > $3
ORDER BY finding
LIMIT $4;

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
