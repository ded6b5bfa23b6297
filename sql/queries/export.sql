-- name: hash
-- For this transaction. To merge what is said alike with those of whom it is said, a page would be sorted twice over.
SET LOCAL enable_mergejoin = off;

-- name: imeis
-- $1 after this key, $2 rows, $3 form, $4 what comes before an IMEI in that form, $5 the least status that is listed, $6 kinds
-- of incidents and $7 the classes of their reasons, in step. Many rows share all but the IMEI, so the rest is made once
-- for all of them.
WITH page AS MATERIALIZED (
    SELECT l.key, l.status, l.since, l.version, l.held_by[1] AS incident_id
    FROM listing AS l
    WHERE l.key > $1 AND l.key >= 0 AND l.status >= $5
    ORDER BY l.key
    LIMIT $2
),
word AS MATERIALIZED (
    SELECT
        p.*,
        (ARRAY['suspect', 'blocked'])[p.status] AS called,
        to_char(p.since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS moment,
        class.reason,
        i.reference
    FROM (SELECT DISTINCT status, since, version, incident_id FROM page) AS p
    JOIN incident AS i USING (incident_id)
    JOIN unnest($6::text [], $7::text []) AS class (kind, reason) USING (kind)
),
said AS MATERIALIZED (
    SELECT
        w.status, w.since, w.version, w.incident_id,
        CASE $3
            WHEN 'ndjson' THEN concat(
                '","status":"', w.called, '","since":"', w.moment, '","reason":"', w.reason,
                '","reference":"', w.reference, '","version":', w.version, E'}\n'
            )
            WHEN 'csv' THEN concat(
                ',,,', w.called, ',', w.moment, ',', w.reason, ',', w.reference, ',', w.version, E'\n'
            )
            WHEN 'operator' THEN concat(',', to_char(w.since AT TIME ZONE 'UTC', 'YYYYMMDD'), ',', w.reason, E'\n')
        END AS line
    FROM word AS w
)
SELECT
    string_agg($4 || lpad(page.key::text, 14, '0') || said.line, '' ORDER BY page.key) AS lines,
    max(page.key) AS last
FROM page
JOIN said USING (status, since, version, incident_id);

-- name: units
-- $1 after this number of a serial, $2 rows, $3 form, $4 kinds and $5 classes: devices that are listed by GTIN and serial.
-- A serial that a spreadsheet would take for a formula has an apostrophe before it in CSV (OWASP, ASVS 1.2.10).
WITH page AS MATERIALIZED (
    SELECT
        n.serial_id,
        n.serial,
        n.gtin,
        l.version,
        (ARRAY['suspect', 'blocked'])[l.status] AS called,
        to_char(l.since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS moment,
        class.reason,
        i.reference
    FROM listing AS l
    JOIN serial_number AS n ON n.serial_id = -l.key
    JOIN incident AS i ON i.incident_id = l.held_by[1]
    JOIN unnest($4::text [], $5::text []) AS class (kind, reason) USING (kind)
    WHERE l.key < -$1::bigint AND l.status > 0
    ORDER BY l.key DESC
    LIMIT $2
)
SELECT
    string_agg(
        CASE $3
            WHEN 'ndjson' THEN concat(
                '{"serial":', to_json(p.serial), ',"gtin":"', p.gtin, '","status":"', p.called, '","since":"', p.moment,
                '","reason":"', p.reason, '","reference":"', p.reference, '","version":', p.version, E'}\n'
            )
            WHEN 'csv' THEN concat(
                ',"', CASE WHEN p.serial ~ '^[=+@-]' THEN '''' END, replace(p.serial, '"', '""'), '",', p.gtin, ',', p.called, ',', p.moment, ',', p.reason, ',',
                p.reference, ',', p.version, E'\n'
            )
        END, '' ORDER BY p.serial_id
    ) AS lines,
    max(p.serial_id) AS last
FROM page AS p;

-- name: number_of
-- $1 serial, $2 GTIN
SELECT serial_id FROM serial_number WHERE serial = $1 AND gtin = $2;

-- name: day
-- $1 from this moment, $2 until before that one, $3 what the day did, $4 kinds and $5 classes: what became of each IMEI
-- in between, in the end.
WITH told AS (
    SELECT u.key, c.first, c.at, c.before, c.status, c.incident_id
    FROM blocklist_change AS c
    CROSS JOIN unnest(c.keys) AS u (key)
    WHERE c.at >= $1 AND c.at < $2 AND u.key >= 0
),
net AS (
    SELECT
        key,
        (array_agg(before ORDER BY first))[1] AS before,
        (array_agg(status ORDER BY first DESC))[1] AS status,
        max(at) AS at,
        (array_agg(incident_id ORDER BY first DESC))[1] AS incident_id
    FROM told
    GROUP BY key
)
SELECT
    string_agg(
        concat(
            lpad(n.key::text, 14, '0'), ',', to_char(n.at AT TIME ZONE 'UTC', 'YYYYMMDD'), ',',
            class.reason, E'\n'
        ), '' ORDER BY n.key
    ) AS lines
FROM net AS n
JOIN incident AS i USING (incident_id)
JOIN unnest($4::text [], $5::text []) AS class (kind, reason) USING (kind)
WHERE CASE $3
    WHEN 'blocked' THEN n.before < 2 AND n.status = 2
    WHEN 'unblocked' THEN n.before = 2 AND n.status < 2
    WHEN 'changed' THEN n.before = 2 AND n.status = 2
END;

-- name: is_forgotten
-- $1 a moment: whether changes from after it may have been forgotten.
SELECT h.forgotten_until >= $1 FROM blocklist_head AS h;
