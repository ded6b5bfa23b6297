-- name: open_import
INSERT INTO tac_import (source, title, format, replaces, imported_at, imported_by, digest)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING import_id;

-- name: close_import
UPDATE tac_import SET lines = $2, imported = $3, unchanged = $4, updated = $5, rejected = $6, warnings = $7
WHERE import_id = $1;

-- name: open_stage
CREATE TEMPORARY TABLE staged_tac (
    line integer NOT NULL,
    tac integer NOT NULL,
    brand text NOT NULL,
    brand_folded text NOT NULL,
    model text NOT NULL
) ON COMMIT DROP;

-- name: open_verdicts
-- verdict: 0 new, 1 unchanged, 2 updates what is known, 3 differs from a line above, 4 differs from what is known
CREATE TEMPORARY TABLE judged_tac (
    LIKE staged_tac,
    verdict smallint NOT NULL,
    first_line integer NOT NULL,
    known_brand text,
    known_model text,
    known_source text,
    known_since timestamptz
) ON COMMIT DROP;

-- name: analyse_stage
ANALYZE staged_tac;

-- name: hold_tacs
-- One import at a time; whoever reads does not wait.
LOCK TABLE tac IN SHARE ROW EXCLUSIVE MODE;

-- name: judge
-- $1 source, $2 replace. Of lines with one TAC the first counts, whatever becomes of it, so that the same file
-- comes to the same again. What a line leaves empty it does not contradict, and what is known to be empty may be
-- filled by anybody.
WITH placed AS (
    SELECT
        s.*,
        first_value(s.line) OVER same AS first_line,
        first_value(s.brand) OVER same AS first_brand,
        first_value(s.model) OVER same AS first_model
    FROM staged_tac AS s
    WINDOW same AS (PARTITION BY s.tac ORDER BY s.line)
)
INSERT INTO judged_tac
SELECT
    p.line,
    p.tac,
    p.brand,
    p.brand_folded,
    p.model,
    CASE
        WHEN p.line > p.first_line
            THEN CASE WHEN p.brand IN ('', p.first_brand) AND p.model IN ('', p.first_model) THEN 1 ELSE 3 END
        WHEN t.tac IS NULL THEN 0
        WHEN p.brand IN ('', t.brand) AND p.model IN ('', t.model) THEN 1
        WHEN
            $2::boolean OR i.source = $1
            OR ('' IN (p.brand, t.brand) OR p.brand = t.brand) AND ('' IN (p.model, t.model) OR p.model = t.model)
            THEN 2
        ELSE 4
    END,
    p.first_line,
    t.brand,
    t.model,
    i.source,
    i.imported_at
FROM placed AS p
LEFT JOIN tac AS t USING (tac)
LEFT JOIN tac_import AS i USING (import_id);

-- name: told_again
-- Lines that change what is known, or may not.
SELECT line, tac, verdict, brand, model, known_brand, known_model, known_source, known_since
FROM judged_tac
WHERE verdict IN (2, 4)
ORDER BY line;

-- name: repeats
SELECT line, tac, first_line FROM judged_tac WHERE verdict = 3 ORDER BY line;

-- name: add_new
INSERT INTO tac (tac, brand, brand_folded, model, import_id)
SELECT tac, brand, brand_folded, model, $1 FROM judged_tac WHERE verdict = 0
ORDER BY tac;

-- name: update_known
UPDATE tac AS t SET
    brand = CASE WHEN j.brand = '' THEN t.brand ELSE j.brand END,
    brand_folded = CASE WHEN j.brand = '' THEN t.brand_folded ELSE j.brand_folded END,
    former_brands = CASE
        WHEN '' IN (j.brand, t.brand) OR j.brand_folded = t.brand_folded THEN t.former_brands
        ELSE array_append(array_remove(t.former_brands, j.brand_folded), t.brand_folded)
    END,
    model = CASE WHEN j.model = '' THEN t.model ELSE j.model END,
    import_id = $1
FROM judged_tac AS j
WHERE j.verdict = 2 AND t.tac = j.tac;

-- name: analyse
ANALYZE tac;

-- name: verdicts
SELECT
    count(*)::integer AS lines,
    count(*) FILTER (WHERE verdict = 0)::integer AS imported,
    count(*) FILTER (WHERE verdict = 1)::integer AS unchanged,
    count(*) FILTER (WHERE verdict = 2)::integer AS updated,
    count(*) FILTER (WHERE verdict IN (3, 4))::integer AS rejected
FROM judged_tac;

-- name: tac_import
SELECT * FROM tac_import WHERE import_id = $1;

-- name: findings
-- $1 import, $2 verdict (null: any), $3 after this finding, $4 limit
SELECT finding, line, verdict, field, value, code, sentence
FROM tac_finding
WHERE import_id = $1 AND ($2::text IS NULL OR verdict = $2) AND finding > $3
ORDER BY finding
LIMIT $4;

-- name: page
-- $1 TACs (null: any), $2 folded brand (null: any), $3 after this TAC, $4 limit
SELECT t.tac, t.brand, t.model, i.source, i.imported_at
FROM tac AS t
JOIN tac_import AS i USING (import_id)
WHERE ($1::integer [] IS NULL OR t.tac = ANY ($1)) AND ($2::text IS NULL OR t.brand_folded = $2) AND t.tac > $3
ORDER BY t.tac
LIMIT $4;

-- name: brands
SELECT tac, brand FROM tac WHERE tac = ANY ($1::integer []) AND brand <> '';

-- name: make
SELECT brand, model FROM tac WHERE tac = $1;

-- name: unheard
-- Which of these folded brands no TAC has.
SELECT folded FROM unnest($1::text []) AS folded
WHERE NOT EXISTS (SELECT FROM tac AS t WHERE t.brand_folded = folded)
ORDER BY folded;
