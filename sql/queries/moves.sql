-- name: hold
-- $1 devices, in order: two movements of the same devices wait for each other.
SELECT device_id FROM device WHERE device_id = ANY ($1::bigint []) ORDER BY device_id FOR NO KEY UPDATE;

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

-- name: take_off
-- $1 devices, $2 the pallet they came off, $3 moment; then source, now, who
INSERT INTO movement (device_id, pallet, taken_off, moved_at, source, recorded_at, recorded_by)
SELECT moved.device_id, '', $2, $3, $4, $5, $6
FROM unnest($1::bigint []) AS moved (device_id);

-- name: withdraw
-- The movements of one source did not happen.
UPDATE movement SET withdrawn = true WHERE source = $1 AND moved_at > '-infinity' AND NOT withdrawn
RETURNING device_id;

-- name: forget
-- Where these devices stood.
DELETE FROM movement WHERE device_id = ANY ($1::bigint []);

-- name: on_pallets
-- $1 pallets, $2 moment (null: now). The devices that stood on them then, or on what stood on them, to any depth, and
-- on which of these pallets. One that is named itself is not reached through another: as each stands on one at most,
-- each is reached once, and a circle ends. OFFSET 0 keeps the planner, which knows little of depths, to the indexes.
WITH RECURSIVE held AS (
    SELECT DISTINCT named.pallet, named.pallet AS unit
    FROM unnest($1::text []) AS named (pallet)
    WHERE named.pallet <> ''
    UNION
    SELECT held.pallet, near.child
    FROM held
    CROSS JOIN LATERAL (
        SELECT DISTINCT n.child FROM nesting AS n
        WHERE n.parent = held.unit AND n.parent <> '' AND NOT n.withdrawn AND n.child <> ALL ($1)
        OFFSET 0
    ) AS near
    CROSS JOIN LATERAL carton_stood(near.child, coalesce($2::timestamptz, 'infinity')) AS stood
    WHERE stood.parent = held.unit
),
near AS (
    SELECT d.device_id
    FROM held
    CROSS JOIN LATERAL (
        SELECT device_id FROM device WHERE pallet = held.unit AND pallet <> ''
        OFFSET 0
    ) AS d
    UNION
    SELECT m.device_id
    FROM held
    CROSS JOIN LATERAL (
        SELECT device_id FROM movement WHERE pallet = held.unit AND pallet <> '' AND NOT withdrawn
        OFFSET 0
    ) AS m
)
SELECT near.device_id, held.pallet
FROM near
CROSS JOIN LATERAL (
    SELECT coalesce(
        (SELECT s.pallet FROM device_stood(near.device_id, coalesce($2::timestamptz, 'infinity')) AS s),
        (SELECT d.pallet FROM device AS d WHERE d.device_id = near.device_id)
    ) AS pallet
) AS stood
JOIN held ON held.unit = stood.pallet
ORDER BY near.device_id;

-- name: directly_on
-- $1 pallet, $2 moment. The devices that stood on it itself then.
WITH near AS (
    SELECT device_id FROM device WHERE pallet = $1 AND pallet <> ''
    UNION
    SELECT device_id FROM movement WHERE pallet = $1 AND pallet <> '' AND NOT withdrawn
)
SELECT near.device_id
FROM near
WHERE
    $1 = coalesce(
        (SELECT s.pallet FROM device_stood(near.device_id, $2) AS s),
        (SELECT d.pallet FROM device AS d WHERE d.device_id = near.device_id)
    )
ORDER BY near.device_id;

-- name: ever_on
-- $1 pallet, $2 moment. The devices that were put on it by then, wherever they stood then.
SELECT d.device_id FROM device AS d
WHERE
    d.pallet = $1 AND d.pallet <> ''
    AND NOT EXISTS (SELECT FROM movement AS m WHERE m.device_id = d.device_id)
UNION
SELECT m.device_id FROM movement AS m
WHERE m.pallet = $1 AND m.pallet <> '' AND NOT m.withdrawn AND m.moved_at <= $2;

-- name: history
-- Where one device was, latest first. What took it off a pallet on which it did not stand is none of that.
SELECT m.pallet, nullif(m.moved_at, '-infinity') AS moved_at, m.source, m.recorded_at, m.recorded_by, m.withdrawn
FROM movement AS m
WHERE
    m.device_id = $1
    AND (
        m.taken_off = ''
        OR m.taken_off = (
            SELECT put.pallet FROM movement AS put
            WHERE
                put.device_id = $1 AND put.taken_off = '' AND NOT put.withdrawn
                AND (put.moved_at, put.movement_id) < (m.moved_at, m.movement_id)
            ORDER BY put.moved_at DESC, put.movement_id DESC
            LIMIT 1
        )
    )
ORDER BY m.moved_at DESC, m.movement_id DESC
LIMIT 1000;

-- name: announced_for
-- $1 pallet. Every device that an announcement put on it, or that stands on it, each to any depth: whether it stands
-- there, whether it was announced for there and for which pallet, whether it has arrived.
WITH RECURSIVE held AS (
    SELECT $1::text AS unit
    UNION
    SELECT near.child
    FROM held
    CROSS JOIN LATERAL (
        SELECT DISTINCT n.child FROM nesting AS n
        WHERE n.parent = held.unit AND n.parent <> '' AND NOT n.withdrawn
        OFFSET 0
    ) AS near
    CROSS JOIN LATERAL carton_stood(near.child, 'infinity') AS stood
    WHERE stood.parent = held.unit
),
near AS (
    SELECT d.device_id
    FROM held
    CROSS JOIN LATERAL (
        SELECT device_id FROM device WHERE pallet = held.unit AND pallet <> ''
        OFFSET 0
    ) AS d
    UNION
    SELECT m.device_id
    FROM held
    CROSS JOIN LATERAL (
        SELECT device_id FROM movement WHERE pallet = held.unit AND pallet <> '' AND moved_at = '-infinity'
        OFFSET 0
    ) AS m
)
SELECT
    d.device_id,
    d.keys,
    d.serial,
    d.gtin,
    d.pallet,
    d.arrived_in IS NOT NULL AS arrived,
    d.pallet IN (SELECT unit FROM held) AS here,
    first.pallet AS announced_for,
    first.pallet IN (SELECT unit FROM held) AS announced
FROM near
CROSS JOIN LATERAL (SELECT * FROM device WHERE device_id = near.device_id OFFSET 0) AS d
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN r.kind = 'announcement' AND NOT d.pallet_by_arrival THEN coalesce(
                (SELECT m.pallet FROM movement AS m WHERE m.device_id = d.device_id AND m.moved_at = '-infinity'),
                d.pallet
            )
            ELSE ''
        END AS pallet
    FROM receipt AS r
    WHERE r.receipt_id = d.receipt_id
) AS first
ORDER BY d.device_id;
