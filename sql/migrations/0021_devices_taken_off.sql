-- As with cartons: what came off an SSCC came off that one only.
ALTER TABLE movement ADD COLUMN taken_off text NOT NULL DEFAULT '' CHECK (taken_off = '' OR pallet = '');

UPDATE movement AS m SET taken_off = substr(e.parents[1], 4)
FROM epcis_event AS e
WHERE
    m.source = 'event:' || e.event_id AND m.pallet = '' AND m.moved_at > '-infinity' AND NOT e.is_error
    AND e.event_type = 'AggregationEvent' AND e.action = 'DELETE' AND e.parents[1] LIKE '00:%';

-- On which pallet ('': on none) a device stood at a moment: where it was put last, unless it came off there since. No
-- row for a device that never moved: it stands where it was registered.
CREATE FUNCTION device_stood(device bigint, moment timestamptz) RETURNS TABLE (pallet text)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT
        CASE
            WHEN EXISTS (
                SELECT FROM movement AS m
                WHERE
                    m.device_id = device AND m.taken_off = put.pallet AND m.taken_off <> '' AND NOT m.withdrawn
                    AND (m.moved_at, m.movement_id) > (put.moved_at, put.movement_id) AND m.moved_at <= moment
            ) THEN ''
            ELSE put.pallet
        END
    FROM (
        SELECT m.pallet, m.moved_at, m.movement_id FROM movement AS m
        WHERE m.device_id = device AND m.taken_off = '' AND NOT m.withdrawn AND m.moved_at <= moment
        ORDER BY m.moved_at DESC, m.movement_id DESC
        LIMIT 1
    ) AS put
$$;
