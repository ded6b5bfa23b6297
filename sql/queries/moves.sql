-- name: hold
-- $1 devices, in order: two movements of the same devices wait for each other.
SELECT device_id FROM device WHERE device_id = ANY ($1::bigint []) ORDER BY device_id FOR UPDATE;

-- name: begin
-- A device that moves for the first time was on its pallet until then. $2 source, $3 now, $4 who
INSERT INTO movement (device_id, pallet, moved_at, source, recorded_at, recorded_by)
SELECT d.device_id, d.pallet, '-infinity', $2, $3, $4
FROM device AS d
WHERE
    d.device_id = ANY ($1::bigint [])
    AND NOT EXISTS (SELECT FROM movement AS m WHERE m.device_id = d.device_id);

-- name: move
-- $1 devices, $2 pallets, $3 moments; then source, now, who
INSERT INTO movement (device_id, pallet, moved_at, source, recorded_at, recorded_by)
SELECT moved.device_id, moved.pallet, moved.moved_at, $4, $5, $6
FROM unnest($1::bigint [], $2::text [], $3::timestamptz []) AS moved (device_id, pallet, moved_at);

-- name: withdraw
-- The movements of one source did not happen.
UPDATE movement SET withdrawn = true WHERE source = $1 AND moved_at > '-infinity' AND NOT withdrawn
RETURNING device_id;

-- name: on_pallets
-- $1 pallets, $2 moment (null: now). The devices that stood on them then, and on which.
WITH near AS (
    SELECT device_id FROM device WHERE pallet = ANY ($1::text []) AND pallet <> ''
    UNION
    SELECT device_id FROM movement WHERE pallet = ANY ($1::text []) AND pallet <> '' AND NOT withdrawn
)
SELECT near.device_id, stood.pallet
FROM near
CROSS JOIN LATERAL (
    SELECT coalesce(
        (
            SELECT m.pallet FROM movement AS m
            WHERE m.device_id = near.device_id AND NOT m.withdrawn AND m.moved_at <= coalesce($2::timestamptz, 'infinity')
            ORDER BY m.moved_at DESC, m.movement_id DESC
            LIMIT 1
        ),
        (SELECT d.pallet FROM device AS d WHERE d.device_id = near.device_id)
    ) AS pallet
) AS stood
WHERE stood.pallet = ANY ($1::text [])
ORDER BY near.device_id;

-- name: stood_on
-- $1 devices, $2 pallet, $3 moment. Those of them that stood on it then.
SELECT d.device_id
FROM device AS d
WHERE
    d.device_id = ANY ($1::bigint [])
    AND $2 = coalesce(
        (
            SELECT m.pallet FROM movement AS m
            WHERE m.device_id = d.device_id AND NOT m.withdrawn AND m.moved_at <= $3
            ORDER BY m.moved_at DESC, m.movement_id DESC
            LIMIT 1
        ),
        d.pallet
    );

-- name: history
-- Where one device was, latest first.
SELECT m.pallet, nullif(m.moved_at, '-infinity') AS moved_at, m.source, m.recorded_at, m.recorded_by, m.withdrawn
FROM movement AS m
WHERE m.device_id = $1
ORDER BY m.moved_at DESC, m.movement_id DESC
LIMIT 1000;

-- name: announced_for
-- $1 pallet. Every device that an announcement put on it or that stands on it: where it was announced for,
-- where it stands, whether it has arrived.
WITH near AS (
    SELECT device_id FROM device WHERE pallet = $1 AND pallet <> ''
    UNION
    SELECT device_id FROM movement WHERE pallet = $1 AND moved_at = '-infinity' AND pallet <> ''
)
SELECT
    d.device_id,
    d.keys,
    d.serial,
    d.gtin,
    d.pallet,
    d.arrived_in IS NOT NULL AS arrived,
    r.kind = 'announcement' AS announced,
    coalesce(
        (SELECT m.pallet FROM movement AS m WHERE m.device_id = d.device_id AND m.moved_at = '-infinity'),
        d.pallet
    ) AS first_pallet
FROM near
JOIN device AS d USING (device_id)
JOIN receipt AS r ON r.receipt_id = d.receipt_id
ORDER BY d.device_id;
