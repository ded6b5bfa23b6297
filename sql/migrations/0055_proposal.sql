-- What takes several people before it is done, and waits for them. content is sealed, for partners' secrets may be in
-- it, and is gone once it was decided; digest is of what was sealed, and would is what it comes to, as others are shown.
CREATE TABLE proposal (
    proposal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deed text NOT NULL,
    place text NOT NULL,
    incident_id bigint REFERENCES incident,
    content text NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    would jsonb NOT NULL,
    matter jsonb NOT NULL,
    demand jsonb NOT NULL,
    approve_until timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'rejected', 'withdrawn')),
    assents text [] NOT NULL DEFAULT '{}',
    proposed_by text NOT NULL,
    proposed_at timestamptz NOT NULL,
    ended_by text,
    ended_at timestamptz,
    reason text NOT NULL DEFAULT '',
    reminders smallint NOT NULL DEFAULT 0,
    CHECK ((state = 'waiting') = (ended_at IS NULL) AND (ended_at IS NULL) = (ended_by IS NULL)),
    CHECK (state = 'waiting' OR content = ''),
    CONSTRAINT another_person CHECK (state <> 'done' OR ended_by <> proposed_by),
    CONSTRAINT enough_people CHECK (state <> 'done' OR cardinality(assents) >= (demand ->> 'approvers')::integer)
);
CREATE INDEX proposal_waiting ON proposal (approve_until) WHERE state = 'waiting';
CREATE INDEX proposal_incident ON proposal (incident_id) WHERE incident_id IS NOT NULL;
