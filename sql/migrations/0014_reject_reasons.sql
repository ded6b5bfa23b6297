-- Why a row was rejected stands with the row: rows of a dispatch advice share a line.
ALTER TABLE receipt_reject
ADD COLUMN codes text [] NOT NULL DEFAULT '{}',
ADD COLUMN sentences text [] NOT NULL DEFAULT '{}';
UPDATE receipt_reject AS r SET codes = found.codes, sentences = found.sentences
FROM (
    SELECT
        f.receipt_id,
        f.line,
        array_agg(f.code ORDER BY f.finding) AS codes,
        array_agg(f.sentence ORDER BY f.finding) AS sentences
    FROM receipt_finding AS f
    WHERE f.kind = 'rejection'
    GROUP BY f.receipt_id, f.line
) AS found
WHERE found.receipt_id = r.receipt_id AND found.line = r.line;
ALTER TABLE receipt_reject ALTER COLUMN codes DROP DEFAULT, ALTER COLUMN sentences DROP DEFAULT;
