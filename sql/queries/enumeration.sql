-- name: add
-- $1 key_ids, $2 hundreds, $3 masks, in step and none twice; $4 now, $5 what is from before then counts no more. Gives how
-- many of each hundred were asked for.
INSERT INTO enumeration AS e (key_id, hundred, asked, at)
SELECT key_id, hundred, mask::bit (100), $4
FROM unnest($1::text [], $2::bigint [], $3::text []) AS t (key_id, hundred, mask)
ORDER BY key_id, hundred
ON CONFLICT (key_id, hundred) DO UPDATE SET
    asked = CASE WHEN e.at < $5 THEN excluded.asked ELSE e.asked | excluded.asked END, at = greatest(e.at, excluded.at)
RETURNING key_id, hundred, bit_count(asked) AS asked;

-- name: forget
DELETE FROM enumeration WHERE at < $1;
