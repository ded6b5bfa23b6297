-- name: nest
-- $1 children, $2 parents, $3 moments; then source, now, who. Answered are those that stand elsewhere by it.
WITH told AS (
    SELECT * FROM unnest($1::text [], $2::text [], $3::timestamptz []) AS told (child, parent, moved_at)
),
kept AS (
    INSERT INTO nesting (child, parent, moved_at, source, recorded_at, recorded_by)
    SELECT child, parent, moved_at, $4, $5, $6 FROM told
)
SELECT told.child
FROM told
LEFT JOIN LATERAL carton_stood(told.child, 'infinity') AS before ON true
WHERE
    told.parent <> coalesce(before.parent, '')
    AND NOT EXISTS (
        SELECT FROM nesting AS n WHERE n.child = told.child AND NOT n.withdrawn AND n.moved_at > told.moved_at
    );

-- name: take_off
-- $1 cartons, $2 what they came off, $3 moment; then source, now, who
INSERT INTO nesting (child, parent, taken_off, moved_at, source, recorded_at, recorded_by)
SELECT moved.child, '', $2, $3, $4, $5, $6
FROM unnest($1::text []) AS moved (child);

-- name: withdraw
-- The nestings of one source did not happen.
UPDATE nesting SET withdrawn = true WHERE source = $1 AND NOT withdrawn;

-- name: standing
-- $1 pallet, $2 moment. What stood on it itself then.
SELECT near.child
FROM (
    SELECT DISTINCT n.child FROM nesting AS n WHERE n.parent = $1 AND n.parent <> '' AND NOT n.withdrawn
) AS near
CROSS JOIN LATERAL carton_stood(near.child, $2) AS stood
WHERE stood.parent = $1
ORDER BY near.child;

-- name: ever_on
-- $1 pallet, $2 moment. What was put on it by then, wherever it stood then.
SELECT DISTINCT n.child FROM nesting AS n
WHERE n.parent = $1 AND n.parent <> '' AND NOT n.withdrawn AND n.moved_at <= $2;

-- name: above
-- $1 pallets, $2 moment (null: now). What they stood on then, what that stood on, and so on: each once.
WITH RECURSIVE way AS (
    SELECT named.pallet, stood.parent
    FROM (SELECT DISTINCT unnest($1::text [])) AS named (pallet)
    CROSS JOIN LATERAL carton_stood(named.pallet, coalesce($2::timestamptz, 'infinity')) AS stood
    UNION
    SELECT way.parent, stood.parent
    FROM way
    CROSS JOIN LATERAL carton_stood(way.parent, coalesce($2::timestamptz, 'infinity')) AS stood
)
SELECT pallet, parent FROM way WHERE parent <> '';
