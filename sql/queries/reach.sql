-- Who sees a part only (app/core/reach.py), until the transaction ends.

-- name: narrow
-- $1 owners, $2 sites; null: all.
SELECT
    set_config('imei_gateway.owners', coalesce($1::text []::text, 'any'), true),
    set_config('imei_gateway.sites', coalesce($2::text []::text, 'any'), true),
    set_config('role', 'imei_gateway_narrow', true);
