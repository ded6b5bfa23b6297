-- name: add
-- $1 key_ids, $2 blocks, $3 masks in hexadecimal, in step and none twice; $4 now, $5 what is from before then counts no
-- more. Gives how many of each block were asked for, and how many of which hundred in it at most.
WITH added AS (
    INSERT INTO enumeration AS e (key_id, block, asked, at)
    SELECT key_id, block, ('x' || mask)::bit (10000), $4
    FROM unnest($1::text [], $2::bigint [], $3::text []) AS t (key_id, block, mask)
    ORDER BY key_id, block
    ON CONFLICT (key_id, block) DO UPDATE SET
        asked = CASE WHEN e.at < $5 THEN excluded.asked ELSE e.asked | excluded.asked END,
        at = greatest(e.at, excluded.at)
    RETURNING key_id, block, asked
)
SELECT a.key_id, a.block, bit_count(a.asked) AS asked, h.hundred, h.run
FROM added AS a
CROSS JOIN LATERAL (
    -- The first bit is that of the last number.
    SELECT hundred, bit_count(substring(a.asked FROM 9901 - 100 * hundred FOR 100)) AS run
    FROM generate_series(0, 99) AS hundred
    ORDER BY run DESC, hundred
    LIMIT 1
) AS h;

-- name: forget
DELETE FROM enumeration WHERE at < $1;
