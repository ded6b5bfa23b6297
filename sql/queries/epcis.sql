-- name: open_capture
INSERT INTO epcis_capture (behaviour, digest, events, failed, key_id, key_name, key_role, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING capture_id;

-- name: fail
-- $1 capture, $2 [{place, failure}]
INSERT INTO epcis_capture_error (capture_id, place, failure)
SELECT $1, place, failure FROM jsonb_to_recordset($2::jsonb) AS given (place integer, failure jsonb);

-- name: next_capture
-- The oldest that is not finished. Captures are worked one after another, in the order in which they came: what
-- a later one says of a pallet rests on the earlier ones.
SELECT capture_id, behaviour, key_id, key_name, key_role, owners, sites
FROM epcis_capture
WHERE capture_id = (SELECT min(capture_id) FROM epcis_capture WHERE finished_at IS NULL) AND finished_at IS NULL
FOR UPDATE SKIP LOCKED;

-- name: take_pending
-- $1 capture, $2 limit: the next of its events, which wait no longer.
WITH taken AS (
    DELETE FROM epcis_pending
    WHERE (capture_id, place) IN (
        SELECT capture_id, place FROM epcis_pending WHERE capture_id = $1 ORDER BY place LIMIT $2
    )
    RETURNING place, body, context
)
SELECT place, body, context FROM taken ORDER BY place;

-- name: add_events
-- $1 capture, $2 now, $3 the events. Those that are stored already stay as they are; answered are the new ones.
INSERT INTO epcis_event (
    event_id, is_error, digest, capture_id, place, event_type, event_time, record_time, action, step, disposition,
    persists, ceases, read_point, location, parents, epcs, others, body
)
SELECT
    event_id, is_error, decode(digest, 'hex'), $1, place, event_type, event_time, $2, action, step, disposition,
    persists, ceases, read_point, location, parents, epcs, others, body
FROM jsonb_to_recordset($3::jsonb) AS given (
    place integer,
    event_id text,
    is_error boolean,
    digest text,
    event_type text,
    event_time timestamptz,
    action text,
    step text,
    disposition text,
    persists text [],
    ceases text [],
    read_point text,
    location text,
    parents text [],
    epcs text [],
    others text [],
    body text
)
ORDER BY place
ON CONFLICT (event_id, is_error) DO NOTHING
RETURNING place;

-- name: digests
-- $1 event identities
SELECT event_id, is_error, digest FROM epcis_event WHERE event_id = ANY ($1::text []);

-- name: declared_before
-- $1 event identities: those of events that had been declared wrong before they came.
SELECT e.event_id
FROM epcis_event AS e
JOIN epcis_event AS declared ON declared.event_id = e.event_id AND declared.is_error
WHERE e.event_id = ANY ($1::text []) AND NOT e.is_error AND declared.event_no < e.event_no;

-- name: unpacked_after
-- $1 identity of an event that packed, $2 its parent, $3 its children, $4 its time. The events that were stored
-- before it and took all, or some of these, off again at a later time.
SELECT e.body
FROM epcis_event AS e
WHERE
    e.event_type = 'AggregationEvent' AND e.action = 'DELETE' AND e.parents[1] LIKE '00:%'
    AND e.parents = $2::text [] AND e.event_time > $4 AND NOT e.is_error
    AND (e.epcs = '{}' OR e.epcs && $3::text [])
    AND e.event_no < (SELECT p.event_no FROM epcis_event AS p WHERE p.event_id = $1 AND NOT p.is_error)
    AND NOT EXISTS (SELECT FROM epcis_event AS d WHERE d.event_id = e.event_id AND d.is_error)
ORDER BY e.event_time, e.event_no;

-- name: advance
-- $1 capture, and how many more events were $2 stored, $3 known already, $4 failed
UPDATE epcis_capture
SET stored = stored + $2, known = known + $3, failed = failed + $4, hindered = 0, hindered_since = NULL
WHERE capture_id = $1;

-- name: hinder
-- $1 capture, $2 now. How often in a row it has been hindered, and since when.
UPDATE epcis_capture SET hindered = hindered + 1, hindered_since = coalesce(hindered_since, $2)
WHERE capture_id = $1
RETURNING hindered, hindered_since;

-- name: finish
UPDATE epcis_capture SET finished_at = $2 WHERE capture_id = $1
RETURNING behaviour, events, stored, known, failed;

-- name: captures
-- $1 only this one (null: any), $2 before this number (null: from the newest), $3 limit
SELECT
    c.capture_id,
    c.behaviour,
    c.created_at,
    c.finished_at,
    coalesce(
        (
            SELECT jsonb_agg(e.failure ORDER BY e.place) FROM epcis_capture_error AS e
            WHERE e.capture_id = c.capture_id
        ),
        '[]'
    ) AS failures
FROM epcis_capture AS c
WHERE ($1::bigint IS NULL OR c.capture_id = $1) AND ($2::bigint IS NULL OR c.capture_id < $2)
ORDER BY c.capture_id DESC
LIMIT $3;

-- name: event
-- $1 identity. Where it was declared wrong, the declaration, which says all that the event said.
SELECT body FROM epcis_event WHERE event_id = $1 ORDER BY is_error DESC LIMIT 1;

-- name: events
-- $1 after this number, $2 limit; the others are what must hold, null where nothing must.
SELECT event_no, body
FROM epcis_event
WHERE
    event_no > $1
    AND ($3::text [] IS NULL OR event_type = ANY ($3))
    AND ($4::timestamptz IS NULL OR event_time >= $4)
    AND ($5::timestamptz IS NULL OR event_time < $5)
    AND ($6::timestamptz IS NULL OR record_time >= $6)
    AND ($7::timestamptz IS NULL OR record_time < $7)
    AND ($8::text [] IS NULL OR action = ANY ($8))
    AND ($9::text [] IS NULL OR step = ANY ($9))
    AND ($10::text [] IS NULL OR disposition = ANY ($10))
    AND ($11::text [] IS NULL OR persists && $11)
    AND ($12::text [] IS NULL OR ceases && $12)
    AND ($13::text [] IS NULL OR read_point = ANY ($13))
    AND ($14::text [] IS NULL OR location = ANY ($14))
    AND ($15::text [] IS NULL OR epcs && $15)
    AND ($16::text [] IS NULL OR parents && $16)
    AND ($17::text [] IS NULL OR epcs && $17 OR parents && $17 OR others && $17)
    AND ($18::text [] IS NULL OR event_id = ANY ($18))
    AND (NOT $19::boolean OR is_error)
ORDER BY event_no
LIMIT $2;
