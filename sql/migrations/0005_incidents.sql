-- The decisions. draft → submitted → approved → closed, or rejected, or withdrawn.
CREATE TABLE incident (
    incident_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL CHECK (title <> ''),
    kind text NOT NULL CHECK (kind IN ('theft', 'robbery', 'loss', 'fraud')),
    site text NOT NULL,
    occurred_from timestamptz,
    occurred_to timestamptz,
    police_reference text NOT NULL,
    scope jsonb NOT NULL,
    state text NOT NULL CHECK (
        state IN ('draft', 'submitted', 'approved', 'closed', 'rejected', 'withdrawn')
    ),
    drafted_by text NOT NULL,
    drafted_at timestamptz NOT NULL,
    submitted_by text,
    submitted_at timestamptz,
    approved_by text,
    approved_at timestamptz,
    ended_by text,
    ended_at timestamptz,
    reason text NOT NULL DEFAULT '',
    -- the preview as it was last shown, and what was frozen at submission: the SHA-256 of the claimed keys
    preview jsonb,
    frozen bytea,
    -- counted as decisions are made, so that watching an incident counts no rows
    identifiers integer NOT NULL DEFAULT 0,
    devices integer NOT NULL DEFAULT 0,
    lifted_identifiers integer NOT NULL DEFAULT 0,
    lifted_devices integer NOT NULL DEFAULT 0,
    CHECK (lifted_identifiers <= identifiers AND lifted_devices <= devices),
    CHECK (occurred_from <= occurred_to),
    CHECK (state = 'draft' OR state = 'withdrawn' OR submitted_by IS NOT NULL),
    CHECK (state NOT IN ('approved', 'closed') OR approved_by IS NOT NULL),
    CONSTRAINT two_people CHECK (approved_by <> submitted_by)
);

-- One incident's hold on one identifier (and so on its device, where that is registered). Without foreign
-- keys, as the registry's own rows: written from the scope in one statement, never deleted.
CREATE TABLE claim (
    incident_id bigint NOT NULL,
    key bigint NOT NULL,
    device_id bigint,
    state smallint NOT NULL CHECK (state IN (0, 1, 2)), -- 0 suspected, 1 active, 2 lifted
    PRIMARY KEY (incident_id, key)
) WITH (fillfactor = 80);
CREATE INDEX claim_key ON claim (key);
