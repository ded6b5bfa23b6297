-- Who may do what in the database (app/core/grants.py): the service, and those who see a part of it only.

-- name: act_as_service
-- Nothing where there is no such role, or who asks may not act as it.
SELECT set_config('role', rolname, false) FROM pg_roles
WHERE rolname = 'imei_gateway_service' AND rolbypassrls AND pg_has_role(oid, 'MEMBER');

-- name: create_service
-- What web processes and workers act as: it owns nothing, and can change nothing of what must stay.
CREATE ROLE imei_gateway_service NOLOGIN BYPASSRLS;

-- name: create_narrow
-- What they act as for somebody who may see the goods of some owners, or of some sites, alone.
CREATE ROLE imei_gateway_narrow NOLOGIN;

-- name: join_service
GRANT imei_gateway_service TO current_user;

-- name: join_narrow
GRANT imei_gateway_narrow TO current_user;

-- name: are_wanted
-- Whether there are both roles, and some table of ours that one of them cannot read yet.
SELECT EXISTS (
    SELECT FROM pg_class AS c
    JOIN pg_roles AS r ON r.rolname = 'imei_gateway_service' AND r.rolbypassrls
    WHERE
        c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
        AND EXISTS (SELECT FROM pg_roles AS n WHERE n.rolname = 'imei_gateway_narrow')
        AND NOT has_table_privilege(r.oid, c.oid, 'SELECT')
);

-- name: serve
-- Everything to everything; of the memory, only to add to it, and what the sealer needs. What is refused here, no fault
-- of ours and no stolen password of the service can do.
DO $$
BEGIN
    EXECUTE format(
        'GRANT USAGE ON SCHEMA %I TO imei_gateway_service, imei_gateway_narrow', current_schema()
    );
    EXECUTE format(
        'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO imei_gateway_service, imei_gateway_narrow',
        current_schema()
    );
    EXECUTE format(
        'GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO imei_gateway_service, imei_gateway_narrow', current_schema()
    );
    REVOKE INSERT, UPDATE, DELETE ON schema_migration FROM imei_gateway_service, imei_gateway_narrow;
    REVOKE UPDATE, DELETE ON
        audit_entry, audit_leaf, audit_node, audit_checkpoint, audit_cosignature, audit_verifier
    FROM imei_gateway_service, imei_gateway_narrow;
    REVOKE INSERT, DELETE ON audit_head FROM imei_gateway_service, imei_gateway_narrow;
    REVOKE UPDATE ON audit_pending FROM imei_gateway_service, imei_gateway_narrow;
    IF current_setting('server_version_num')::integer >= 170000 THEN
        EXECUTE 'GRANT MAINTAIN ON tac TO imei_gateway_service';
    END IF;
    -- Nobody whose sight is narrow reads of others' keys, of what is remembered, or of partners' secrets.
    REVOKE ALL ON
        api_key, access_token, quota_bucket, enumeration, audit_leaf, audit_node, audit_checkpoint, audit_cosignature,
        audit_verifier, audit_witness, audit_head, blocklist_filter, tac_import, tac_finding,
        person, recovery_code, invitation, session, known_browser, sign_in_try, sign_on
    FROM imei_gateway_narrow;
    REVOKE INSERT, UPDATE, DELETE ON golden FROM imei_gateway_narrow;
    REVOKE INSERT, UPDATE, DELETE ON approval_rule FROM imei_gateway_narrow;
    REVOKE SELECT, DELETE ON audit_entry, audit_pending FROM imei_gateway_narrow;
    GRANT SELECT (entry_id) ON audit_entry TO imei_gateway_narrow;
    GRANT SELECT (key_id, name) ON api_key TO imei_gateway_narrow;
END
$$;

-- name: narrow
-- What the narrow see, and may write: rows of their own goods. Without a policy, nothing of a table with row-level
-- security. claim has none: whether another incident holds a device must be known whoever lets it go. Nor has what is
-- copied in by the thousand, which COPY would not do then: findings and rejects are read with their receipt, which has
-- one; what waits to be stored is read by workers alone.
DO $$
DECLARE
    own text [] [] := ARRAY[
        ['device', 'in_reach(owner, site)'],
        ['device_imei', 'EXISTS (SELECT FROM device AS d WHERE d.device_id = device_imei.device_id)'],
        ['movement', 'EXISTS (SELECT FROM device AS d WHERE d.device_id = movement.device_id)'],
        ['sale', 'EXISTS (SELECT FROM device AS d WHERE d.device_id = sale.device_id)'],
        ['receipt', 'within_reach(owners, sites)'],
        ['receipt_part', 'EXISTS (SELECT FROM receipt AS r WHERE r.receipt_id = receipt_part.receipt_id)'],
        ['receipt_repeat', 'EXISTS (SELECT FROM receipt AS r WHERE r.receipt_id = receipt_repeat.receipt_id)'],
        ['incident', 'within_reach(owners, sites)'],
        ['incident_site', 'EXISTS (SELECT FROM incident AS i WHERE i.incident_id = incident_site.incident_id)'],
        ['column_mapping', 'within_reach(owners, sites)'],
        [
            'approval',
            $s$CASE subject
                WHEN 'incident' THEN EXISTS (SELECT FROM incident AS i WHERE i.incident_id = approval.number)
                ELSE EXISTS (SELECT FROM proposal AS p WHERE p.proposal_id = approval.number)
            END$s$
        ],
        ['proposal', 'EXISTS (SELECT FROM incident AS i WHERE i.incident_id = proposal.incident_id)'],
        ['epcis_capture', 'within_reach(owners, sites)'],
        [
            'epcis_capture_error',
            'EXISTS (SELECT FROM epcis_capture AS c WHERE c.capture_id = epcis_capture_error.capture_id)'
        ],
        ['epcis_event', 'EXISTS (SELECT FROM epcis_capture AS c WHERE c.capture_id = epcis_event.capture_id)'],
        [
            'sighting',
            'EXISTS (SELECT FROM device AS d WHERE d.device_id = sighting.device_id)'
            || ' OR EXISTS (SELECT FROM incident AS i WHERE i.incident_id = sighting.incident_id)'
        ],
        [
            'alert',
            $s$CASE split_part(subject, ':', 1)
                WHEN 'incident' THEN EXISTS (SELECT FROM incident AS i WHERE subject = 'incident:' || i.incident_id)
                WHEN 'receipt' THEN EXISTS (SELECT FROM receipt AS r WHERE subject = 'receipt:' || r.receipt_id)
                ELSE false
            END$s$
        ],
        ['nesting', 'stands_in_reach(child)']
    ];
    one text [];
BEGIN
    FOREACH one SLICE 1 IN ARRAY own LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one[1]);
        EXECUTE format('DROP POLICY IF EXISTS reach ON %I', one[1]);
        EXECUTE format('CREATE POLICY reach ON %I TO imei_gateway_narrow USING (%s)', one[1], one[2]);
    END LOOP;
END
$$;
