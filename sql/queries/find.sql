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

-- name: by_unit
-- $1 serial and GTIN. A device that was registered without a GTIN is meant if no other is, as in `named`.
SELECT meant.*
FROM (
    SELECT d.* FROM device AS d
    WHERE d.serial = ($1::text [])[1] AND d.serial <> '' AND d.gtin IN (($1::text [])[2], '')
    ORDER BY d.gtin DESC
    LIMIT 1
) AS meant
WHERE meant.device_id > $2
LIMIT $3;

-- name: by_number
SELECT d.* FROM device AS d
WHERE d.device_id = ANY ($1::bigint []) AND d.device_id > $2
ORDER BY d.device_id
LIMIT $3;

-- name: by_receipt
-- Those that it registered, and those of earlier ones that it named again.
WITH named AS (
    (
        SELECT device_id FROM device WHERE receipt_id = $1 AND device_id > $2
        ORDER BY device_id
        LIMIT $3
    )
    UNION
    SELECT again.device_id
    FROM receipt_repeat AS r
    CROSS JOIN unnest(r.device_ids) AS again (device_id)
    WHERE r.receipt_id = $1 AND again.device_id > $2
)
SELECT d.* FROM named JOIN device AS d USING (device_id)
ORDER BY d.device_id
LIMIT $3;

-- name: standings
-- The listing of every identifier of these devices that has one.
SELECT l.key, l.status FROM listing AS l WHERE l.key = ANY ($1::bigint []);

-- name: count
SELECT count(*) FROM device;
