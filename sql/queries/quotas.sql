-- name: lease
-- $1 key_id, $2 quota, $3 seconds in which it fills up, $4 wanted, $5 needed. Takes what is wanted out of the bucket, or
-- all that is there if that is at least what is needed, or nothing.
INSERT INTO quota_bucket AS b (key_id, units, at, granted)
VALUES ($1, $2::double precision - least($4::double precision, $2), clock_timestamp(), least($4, $2))
ON CONFLICT (key_id) DO UPDATE SET (units, at, granted) = (
    SELECT f.there - t.taken, greatest(b.at, f.moment), t.taken
    FROM (
        SELECT
            clock_timestamp() AS moment,
            least($2, b.units + greatest(extract(epoch FROM clock_timestamp() - b.at), 0) * $2 / $3::double precision)
                AS there
    ) AS f
    CROSS JOIN LATERAL (
        SELECT CASE WHEN f.there >= $4 THEN $4 WHEN f.there >= $5::double precision THEN floor(f.there) ELSE 0 END
            AS taken
    ) AS t
)
RETURNING granted::bigint AS granted, units;

-- name: forget
-- Buckets that have been full for long.
DELETE FROM quota_bucket WHERE at < now() - interval '1 day';
