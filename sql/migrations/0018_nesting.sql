-- Pallets on pallets: on which SSCC (the parent; '': on none) a carton (the child) stood from a moment on. One that
-- nothing is told of stands on none. As with movement, the latest by the time it happened holds.
CREATE TABLE nesting (
    nesting_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    child text NOT NULL CHECK (child <> ''),
    parent text NOT NULL CHECK (parent <> child),
    moved_at timestamptz NOT NULL,
    source text NOT NULL,
    recorded_at timestamptz NOT NULL,
    recorded_by text NOT NULL,
    withdrawn boolean NOT NULL DEFAULT false
);
CREATE INDEX nesting_child ON nesting (child, moved_at, nesting_id) WHERE NOT withdrawn;
CREATE INDEX nesting_parent ON nesting (parent, child) WHERE parent <> '' AND NOT withdrawn;
CREATE INDEX nesting_source ON nesting (source);

-- Events that were captured before cartons counted: what they packed, and then what they unpacked, which takes off
-- what stood on that pallet by then. One that named some children by their class only did not empty it.
INSERT INTO nesting (child, parent, moved_at, source, recorded_at, recorded_by)
SELECT
    substr(packed.child, 4), substr(e.parents[1], 4), e.event_time, 'event:' || e.event_id, e.record_time,
    format('key:%s (%s)', c.key_id, c.key_name)
FROM epcis_event AS e
JOIN epcis_capture AS c USING (capture_id)
CROSS JOIN unnest(e.epcs) AS packed (child)
WHERE
    e.event_type = 'AggregationEvent' AND e.action = 'ADD' AND NOT e.is_error
    AND e.parents[1] LIKE '00:%' AND packed.child LIKE '00:%' AND packed.child <> e.parents[1]
    AND NOT EXISTS (SELECT FROM epcis_event AS d WHERE d.event_id = e.event_id AND d.is_error)
ORDER BY e.event_no;

INSERT INTO nesting (child, parent, moved_at, source, recorded_at, recorded_by)
SELECT
    stood.child, '', e.event_time, 'event:' || e.event_id, e.record_time,
    format('key:%s (%s)', c.key_id, c.key_name)
FROM epcis_event AS e
JOIN epcis_capture AS c USING (capture_id)
CROSS JOIN LATERAL (
    SELECT DISTINCT n.child FROM nesting AS n WHERE n.parent = substr(e.parents[1], 4) AND n.moved_at <= e.event_time
) AS stood
WHERE
    e.event_type = 'AggregationEvent' AND e.action = 'DELETE' AND NOT e.is_error AND e.parents[1] LIKE '00:%'
    AND (
        '00:' || stood.child = ANY (e.epcs)
        OR (e.epcs = '{}' AND e.body NOT LIKE '%"childQuantityList"%')
    )
    AND NOT EXISTS (SELECT FROM epcis_event AS d WHERE d.event_id = e.event_id AND d.is_error)
    AND substr(e.parents[1], 4) = (
        SELECT n.parent FROM nesting AS n
        WHERE n.child = stood.child AND n.moved_at <= e.event_time
        ORDER BY n.moved_at DESC, n.nesting_id DESC
        LIMIT 1
    )
ORDER BY e.event_no;
