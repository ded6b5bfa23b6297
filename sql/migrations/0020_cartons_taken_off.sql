-- What came off an SSCC came off that one only: where it stood elsewhere by then, it stays there, and where it turns
-- out later that it had stood there, it counts. Such a row has the SSCC in taken_off, and '' as its parent.
ALTER TABLE nesting ADD COLUMN taken_off text NOT NULL DEFAULT '' CHECK (taken_off = '' OR parent = '');

UPDATE nesting AS n SET taken_off = substr(e.parents[1], 4)
FROM epcis_event AS e
WHERE
    n.source = 'event:' || e.event_id AND n.parent = '' AND NOT e.is_error
    AND e.event_type = 'AggregationEvent' AND e.action = 'DELETE' AND e.parents[1] LIKE '00:%';

-- On which SSCC ('': on none) a carton stood at a moment: where it was put last, unless it came off there since. No
-- row where nothing is told of it.
CREATE FUNCTION carton_stood(carton text, moment timestamptz) RETURNS TABLE (parent text)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT
        CASE
            WHEN EXISTS (
                SELECT FROM nesting AS n
                WHERE
                    n.child = carton AND n.taken_off = put.parent AND n.taken_off <> '' AND NOT n.withdrawn
                    AND (n.moved_at, n.nesting_id) > (put.moved_at, put.nesting_id) AND n.moved_at <= moment
            ) THEN ''
            ELSE put.parent
        END
    FROM (
        SELECT n.parent, n.moved_at, n.nesting_id FROM nesting AS n
        WHERE n.child = carton AND n.taken_off = '' AND NOT n.withdrawn AND n.moved_at <= moment
        ORDER BY n.moved_at DESC, n.nesting_id DESC
        LIMIT 1
    ) AS put
$$;
