-- name: ours
-- $1 the key of an IMEI or null, $2 the same identifier as a text: whether a device here has it, and whether an
-- incident has ever named it.
SELECT
    EXISTS (SELECT FROM device_imei WHERE key = $1)
    OR EXISTS (SELECT FROM device WHERE serial = $2 AND serial <> '') AS registered,
    EXISTS (SELECT FROM listing WHERE key = $1)
    OR EXISTS (SELECT FROM serial_number WHERE serial = $2) AS listed;
