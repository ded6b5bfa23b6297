-- The record of migrations (app/core/migrate.py).

-- name: lock
SELECT pg_try_advisory_lock(4902846301);

-- name: unlock
SELECT pg_advisory_unlock(4902846301);

-- name: unsafe
-- Settings under which the server forgets what it has said is kept.
SELECT name FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
ORDER BY name;

-- name: exists
SELECT to_regclass('schema_migration') IS NOT NULL;

-- name: create_table
CREATE TABLE IF NOT EXISTS schema_migration (
    number int PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: applied
SELECT number, name, checksum FROM schema_migration ORDER BY number;

-- name: record
INSERT INTO schema_migration (number, name, checksum) VALUES ($1, $2, $3);
