-- Reach: somebody may see and touch the goods of some owners, or of some sites, alone. What he may is said in two
-- settings of each transaction of his: 'any', or an array. Without them nothing is in reach.
ALTER TABLE api_key
-- null: all
ADD COLUMN owners text [] CHECK (cardinality(owners) > 0),
ADD COLUMN sites text [] CHECK (cardinality(sites) > 0);

CREATE FUNCTION reach_of(setting text) RETURNS text []
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(nullif(current_setting(setting, true), ''), 'any')::text []
$$;

-- Whose work it is, where its maker's reach had an end: null, if he might see all.
ALTER TABLE receipt
ADD COLUMN owners text [] DEFAULT reach_of('imei_gateway.owners'),
ADD COLUMN sites text [] DEFAULT reach_of('imei_gateway.sites');
ALTER TABLE incident
ADD COLUMN owners text [] DEFAULT reach_of('imei_gateway.owners'),
ADD COLUMN sites text [] DEFAULT reach_of('imei_gateway.sites');
ALTER TABLE column_mapping
ADD COLUMN owners text [] DEFAULT reach_of('imei_gateway.owners'),
ADD COLUMN sites text [] DEFAULT reach_of('imei_gateway.sites');
ALTER TABLE epcis_capture
ADD COLUMN owners text [] DEFAULT reach_of('imei_gateway.owners'),
ADD COLUMN sites text [] DEFAULT reach_of('imei_gateway.sites');

-- Goods of this owner at this site.
CREATE FUNCTION in_reach(owner text, site text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT
        coalesce(owner = ANY (reach_of('imei_gateway.owners')), current_setting('imei_gateway.owners') = 'any')
        AND coalesce(site = ANY (reach_of('imei_gateway.sites')), current_setting('imei_gateway.sites') = 'any')
$$;

-- The work of somebody whose reach was no longer than this one.
CREATE FUNCTION within_reach(owners text [], sites text []) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT
        coalesce(owners <@ reach_of('imei_gateway.owners'), current_setting('imei_gateway.owners') = 'any')
        AND coalesce(sites <@ reach_of('imei_gateway.sites'), current_setting('imei_gateway.sites') = 'any')
$$;

-- The next three see all rows, whoever asks: they are run as the owner of the tables.

-- Which of these keys are of devices that are out of reach.
CREATE FUNCTION keys_out_of_reach(wanted bigint []) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT i.key
    FROM device_imei AS i
    JOIN device AS d USING (device_id)
    WHERE i.key = ANY (wanted) AND NOT in_reach(d.owner, d.site)
$$;

-- Which of these serials and GTINs, in step, are.
CREATE FUNCTION serials_out_of_reach(serials text [], gtins text []) RETURNS TABLE (serial text, gtin text)
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT d.serial, d.gtin
    FROM unnest(serials, gtins) AS w (serial, gtin)
    JOIN device AS d ON d.serial = w.serial AND d.gtin = w.gtin AND d.serial <> ''
    WHERE NOT in_reach(d.owner, d.site)
$$;

-- Whether all goods on an SSCC, and in the cartons on it, are in reach.
CREATE FUNCTION stands_in_reach(sscc text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    WITH RECURSIVE below AS (
        SELECT sscc AS carton
        UNION
        SELECT n.child FROM below AS b JOIN nesting AS n ON n.parent = b.carton AND NOT n.withdrawn
    )
    SELECT NOT EXISTS (
        SELECT FROM below AS b JOIN device AS d ON d.pallet = b.carton
        WHERE d.pallet <> '' AND NOT in_reach(d.owner, d.site)
    )
$$;

-- Nobody's table of the same name is taken for ours there.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION keys_out_of_reach SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION serials_out_of_reach SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION stands_in_reach SET search_path = %I, pg_temp', current_schema());
END
$$;
