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
LEFT JOIN LATERAL (
    SELECT n.parent, n.moved_at FROM nesting AS n
    WHERE n.child = told.child AND NOT n.withdrawn
    ORDER BY n.moved_at DESC, n.nesting_id DESC
    LIMIT 1
) AS before ON true
WHERE told.parent <> coalesce(before.parent, '') AND told.moved_at >= coalesce(before.moved_at, '-infinity');

-- name: withdraw
-- The nestings of one source did not happen.
UPDATE nesting SET withdrawn = true WHERE source = $1 AND NOT withdrawn;

-- name: standing
-- $1 pallet, $2 moment, $3 only these (null: any). What stood on it itself then.
SELECT near.child
FROM (
    SELECT DISTINCT n.child FROM nesting AS n
    WHERE n.parent = $1 AND n.parent <> '' AND NOT n.withdrawn AND ($3::text [] IS NULL OR n.child = ANY ($3))
) AS near
WHERE
    $1 = (
        SELECT n.parent FROM nesting AS n
        WHERE n.child = near.child AND NOT n.withdrawn AND n.moved_at <= $2
        ORDER BY n.moved_at DESC, n.nesting_id DESC
        LIMIT 1
    )
ORDER BY near.child;

-- name: above
-- $1 pallets, $2 moment (null: now). What they stood on then, what that stood on, and so on: each once.
WITH RECURSIVE way AS (
    SELECT named.pallet, stood.parent
    FROM (SELECT DISTINCT unnest($1::text [])) AS named (pallet)
    CROSS JOIN LATERAL (
        SELECT n.parent FROM nesting AS n
        WHERE n.child = named.pallet AND NOT n.withdrawn AND n.moved_at <= coalesce($2::timestamptz, 'infinity')
        ORDER BY n.moved_at DESC, n.nesting_id DESC
        LIMIT 1
    ) AS stood
    UNION
    SELECT way.parent, stood.parent
    FROM way
    CROSS JOIN LATERAL (
        SELECT n.parent FROM nesting AS n
        WHERE n.child = way.parent AND NOT n.withdrawn AND n.moved_at <= coalesce($2::timestamptz, 'infinity')
        ORDER BY n.moved_at DESC, n.nesting_id DESC
        LIMIT 1
    ) AS stood
)
SELECT pallet, parent FROM way WHERE parent <> '';
