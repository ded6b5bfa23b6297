-- name: save
INSERT INTO column_mapping (name, columns, saved_at, saved_by) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET columns = $2, saved_at = $3, saved_by = $4;

-- name: add
-- What is stored under the name stays, but for columns of the same name.
INSERT INTO column_mapping (name, columns, saved_at, saved_by) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET columns = column_mapping.columns || $2, saved_at = $3, saved_by = $4;

-- name: alike
-- Names that differ from this one in case alone, unless one does not differ at all.
SELECT name FROM column_mapping
WHERE lower(name) = lower($1) AND NOT EXISTS (SELECT FROM column_mapping WHERE name = $1)
ORDER BY name;

-- name: find
SELECT name, columns, saved_at, saved_by FROM column_mapping WHERE name = $1;

-- name: everyone
SELECT name, columns, saved_at, saved_by FROM column_mapping ORDER BY name;

-- name: forget
DELETE FROM column_mapping WHERE name = $1;
