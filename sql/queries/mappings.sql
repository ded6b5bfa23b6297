-- name: save
INSERT INTO column_mapping (name, columns, saved_at, saved_by) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET columns = $2, saved_at = $3, saved_by = $4;

-- name: find
SELECT name, columns, saved_at, saved_by FROM column_mapping WHERE name = $1;

-- name: everyone
SELECT name, columns, saved_at, saved_by FROM column_mapping ORDER BY name;

-- name: forget
DELETE FROM column_mapping WHERE name = $1;
