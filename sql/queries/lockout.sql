-- name: attempt
-- $1 buckets, $2 how many tries each has, $3 now, $4 seconds. Takes a try of each, or of none where one of them has no
-- more; of all processes, and of tries at the same moment, no more than there are.
WITH said AS (
    SELECT s.bucket, s.most FROM unnest($1::bytea [], $2::integer []) AS s (bucket, most)
),
closed AS (
    SELECT s.bucket, s.most, t.tries, t.until
    FROM sign_in_try AS t
    JOIN said AS s USING (bucket)
    WHERE t.until > $3 AND t.tries > s.most
),
taken AS (
    INSERT INTO sign_in_try AS t (bucket, tries, until)
    SELECT s.bucket, 1, $3 + make_interval(secs => $4)
    FROM said AS s
    WHERE NOT EXISTS (SELECT FROM closed)
    ORDER BY s.bucket
    ON CONFLICT (bucket) DO UPDATE SET
        tries = CASE WHEN t.until <= $3 THEN 1 ELSE t.tries + 1 END,
        until = CASE WHEN t.until <= $3 THEN excluded.until ELSE t.until END
    RETURNING t.bucket, t.tries, t.until
)
SELECT t.bucket, t.until, t.tries > s.most AS is_closed, t.tries = s.most + 1 AS is_new
FROM taken AS t
JOIN said AS s USING (bucket)
UNION ALL
SELECT c.bucket, c.until, true, false FROM closed AS c;

-- name: forgive
-- $1 buckets that get one try back, $2 those that get all.
UPDATE sign_in_try SET tries = CASE WHEN bucket = ANY ($2::bytea []) THEN 0 ELSE greatest(tries - 1, 0) END
WHERE bucket = ANY ($1::bytea []) OR bucket = ANY ($2::bytea []);

-- name: forget
WITH gone AS (
    DELETE FROM sign_in_try
    WHERE bucket IN (SELECT bucket FROM sign_in_try WHERE until <= now() LIMIT $1)
    RETURNING true
)
SELECT count(*) FROM gone;
