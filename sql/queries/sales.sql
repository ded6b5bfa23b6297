-- name: tell
-- $1 devices, $2 whether they were sold or came back, $3 when; then source, now, who.
INSERT INTO sale (device_id, sold, at, source, recorded_at, recorded_by)
SELECT told.device_id, $2, $3, $4, $5, $6
FROM unnest($1::bigint []) AS told (device_id);

-- name: ever_sold
-- Those of these devices of which a sale was told.
SELECT DISTINCT s.device_id FROM sale AS s WHERE s.device_id = ANY ($1::bigint []) AND s.sold AND NOT s.withdrawn;

-- name: withdraw
-- What this source told did not happen.
UPDATE sale SET withdrawn = true WHERE source = $1 AND NOT withdrawn
RETURNING device_id;

-- name: history
SELECT s.sold, s.at, s.source, s.recorded_at, s.recorded_by, s.withdrawn FROM sale AS s
WHERE s.device_id = $1
ORDER BY s.at DESC, s.sale_id DESC
LIMIT 1000;
