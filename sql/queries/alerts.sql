-- name: raise_
-- $1 kinds, $2 subjects, $3 whom they concern, $4 details, in step and none twice; $5 now. Gives the places of those that
-- were not raised before, from 1.
WITH said AS (
    SELECT * FROM unnest($1::text [], $2::text [], $3::text [], $4::text []) WITH ORDINALITY
        AS t (kind, subject, concerns, detail, place)
),
raised AS (
    INSERT INTO alert AS a (kind, subject, concerns, detail, first_at, last_at)
    SELECT kind, subject, concerns, detail::jsonb, $5, $5 FROM said
    ORDER BY kind, subject
    ON CONFLICT (kind, subject) WHERE seen_at IS NULL DO UPDATE SET
        times = a.times + 1, last_at = greatest(a.last_at, $5), detail = excluded.detail, concerns = excluded.concerns
    RETURNING kind, subject, xmax = 0 AS is_new
)
SELECT s.place FROM said AS s JOIN raised AS r USING (kind, subject) WHERE r.is_new ORDER BY s.place;

-- name: listed
-- $1 the seen ones too, $2 after this number, $3 rows.
SELECT alert_id AS id, kind, subject, concerns, detail::text, times, first_at, last_at, seen_at, seen_by
FROM alert
WHERE alert_id > $2 AND ($1 OR seen_at IS NULL)
ORDER BY alert_id
LIMIT $3;

-- name: see
-- $1 number, $2 now, $3 by. Gives whether it was open; no row where there is none.
WITH seen AS (
    UPDATE alert SET seen_at = $2, seen_by = $3 WHERE alert_id = $1 AND seen_at IS NULL
    RETURNING kind, subject
)
SELECT a.kind, a.subject, EXISTS (SELECT FROM seen) AS was_open FROM alert AS a WHERE a.alert_id = $1;

-- name: erase
-- $1 devices as alerts name them: what was said of where they were seen.
UPDATE alert SET detail = detail - 'place' - 'note' WHERE detail ->> 'last' = ANY ($1::text []);

-- name: open_
SELECT count(*) FROM alert WHERE seen_at IS NULL;
