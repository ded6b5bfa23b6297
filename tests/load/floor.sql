-- The floor that goods-in is measured against: the same rows by psql, already clean and normal, and one merge into
-- the registry's own indexed tables, as fast as we can write it by hand. It gives no verdicts.
BEGIN;
CREATE TEMPORARY TABLE floor_stage (
    device_id bigint NOT NULL DEFAULT nextval('device_device_id_seq'),
    keys bigint [] NOT NULL,
    serial text NOT NULL,
    gtin text NOT NULL,
    pallet text NOT NULL,
    site text NOT NULL,
    owner text NOT NULL,
    model text NOT NULL,
    unit_value numeric(14, 2),
    currency text NOT NULL
) ON COMMIT DROP;
\copy floor_stage (keys, serial, gtin, pallet, site, owner, model, unit_value, currency) from pstdin
ANALYZE floor_stage;
INSERT INTO serial_number (serial, gtin)
SELECT serial, gtin FROM floor_stage WHERE cardinality(keys) = 0
ORDER BY serial, gtin
ON CONFLICT DO NOTHING;
INSERT INTO device (
    device_id, keys, serial, gtin, pallet, site, owner, model, unit_value, currency, receipt_id, registered_at,
    arrived_in
)
OVERRIDING SYSTEM VALUE
SELECT
    s.device_id,
    CASE WHEN cardinality(s.keys) = 0 THEN ARRAY[-n.serial_id] ELSE s.keys END,
    s.serial,
    s.gtin,
    s.pallet,
    s.site,
    s.owner,
    s.model,
    s.unit_value,
    s.currency,
    1,
    now(),
    1
FROM floor_stage AS s
LEFT JOIN serial_number AS n ON cardinality(s.keys) = 0 AND n.serial = s.serial AND n.gtin = s.gtin
ORDER BY s.serial
ON CONFLICT DO NOTHING;
INSERT INTO device_imei (key, device_id)
SELECT key, device_id FROM floor_stage CROSS JOIN unnest(keys) AS key
ORDER BY key
ON CONFLICT DO NOTHING;
COMMIT;
