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

-- name: create_role
-- What web processes and workers act as: it owns nothing, and can change nothing of what must stay.
CREATE ROLE imei_gateway_service NOLOGIN;

-- name: join_role
GRANT imei_gateway_service TO current_user;

-- name: grants_are_missing
-- Whether there is the role, and some table of ours that it cannot read.
SELECT EXISTS (
    SELECT FROM pg_class AS c
    JOIN pg_roles AS r ON r.rolname = 'imei_gateway_service'
    WHERE
        c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
        AND NOT has_table_privilege(r.oid, c.oid, 'SELECT')
);

-- name: grant
-- Everything to everything; of the memory, only to add to it, and what the sealer needs. What is refused here, no fault
-- of ours and no stolen password of the service can do.
DO $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO imei_gateway_service', current_schema());
    EXECUTE format(
        'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO imei_gateway_service', current_schema()
    );
    EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO imei_gateway_service', current_schema());
    REVOKE INSERT, UPDATE, DELETE ON schema_migration FROM imei_gateway_service;
    REVOKE UPDATE, DELETE ON
        audit_entry, audit_leaf, audit_node, audit_checkpoint, audit_cosignature, audit_verifier
    FROM imei_gateway_service;
    REVOKE INSERT, DELETE ON audit_head FROM imei_gateway_service;
    REVOKE UPDATE ON audit_pending FROM imei_gateway_service;
    IF current_setting('server_version_num')::integer >= 170000 THEN
        EXECUTE 'GRANT MAINTAIN ON tac TO imei_gateway_service';
    END IF;
END
$$;
