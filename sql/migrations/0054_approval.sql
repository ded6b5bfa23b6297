-- How many people it takes: rules that apply together, the strictest of each. Rules are ended, and never changed.
CREATE TABLE approval_rule (
    rule_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL CHECK (subject IN ('block', 'lift', 'partner', 'key', 'rule')),
    -- from so many devices, or so much money on; both 0: always
    least_devices integer NOT NULL DEFAULT 0 CHECK (least_devices >= 0),
    least_value numeric(14, 2) NOT NULL DEFAULT 0 CHECK (least_value >= 0),
    currency text NOT NULL DEFAULT '',
    -- null: all; kinds of incidents, and for keys and people their roles
    sites text [] CHECK (cardinality(sites) > 0),
    kinds text [] CHECK (cardinality(kinds) > 0),
    approvers smallint NOT NULL CHECK (approvers BETWEEN 0 AND 3),
    -- one approver at least of each of these
    groups text [] NOT NULL DEFAULT '{}' CHECK (cardinality(groups) <= 3),
    distinct_groups boolean NOT NULL DEFAULT false,
    people_only boolean NOT NULL DEFAULT false,
    hours integer NOT NULL DEFAULT 72 CHECK (hours BETWEEN 1 AND 720),
    made_by text NOT NULL,
    made_at timestamptz NOT NULL,
    ended_by text,
    ended_at timestamptz,
    CHECK (subject <> 'block' OR approvers > 0),
    CHECK ((least_value > 0) = (currency <> '')),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
-- Of keys and people, those who decide about goods, or about the others.
INSERT INTO approval_rule (subject, kinds, approvers, made_by, made_at)
SELECT
    subject,
    CASE subject WHEN 'key' THEN ARRAY['incident-manager', 'approver', 'admin'] END,
    1,
    'migration',
    now()
FROM unnest(ARRAY['block', 'lift', 'partner', 'key', 'rule']) AS subject;

-- Who has approved what. A round ends when what was to be approved is submitted anew.
CREATE TABLE approval (
    subject text NOT NULL,
    number bigint NOT NULL,
    round integer NOT NULL,
    identity text NOT NULL,
    label text NOT NULL,
    groups text [] NOT NULL,
    -- of what he approved
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    at timestamptz NOT NULL,
    PRIMARY KEY (subject, number, round, identity)
);

ALTER TABLE api_key ADD COLUMN groups text [] NOT NULL DEFAULT '{}';

ALTER TABLE incident
ADD COLUMN round integer NOT NULL DEFAULT 0,
-- what was demanded when it was submitted, and until when approvals count
ADD COLUMN demand jsonb,
ADD COLUMN approve_until timestamptz,
-- who has approved in this round
ADD COLUMN assents text [] NOT NULL DEFAULT '{}',
-- an emergency: approved by one person, to be reviewed by another until then
ADD COLUMN glass_broken_by text,
ADD COLUMN review_until timestamptz,
ADD COLUMN reviewed_by text,
ADD COLUMN reviewed_at timestamptz,
ADD COLUMN verdict text CHECK (verdict IN ('upheld', 'reversed')),
-- how often somebody was reminded of what waits
ADD COLUMN reminders smallint NOT NULL DEFAULT 0,
ADD CHECK ((glass_broken_by IS NULL) = (review_until IS NULL)),
ADD CHECK ((reviewed_by IS NULL) = (reviewed_at IS NULL) AND (reviewed_by IS NULL) = (verdict IS NULL)),
ADD CONSTRAINT reviewed_by_another CHECK (reviewed_by <> glass_broken_by);
UPDATE incident SET assents = ARRAY[approved_by] WHERE approved_by IS NOT NULL;
ALTER TABLE incident
DROP CONSTRAINT two_people,
ADD CONSTRAINT two_people CHECK (
    approved_by <> submitted_by OR glass_broken_by IS NOT DISTINCT FROM approved_by
),
ADD CONSTRAINT enough_people CHECK (
    state NOT IN ('approved', 'closed') OR glass_broken_by IS NOT NULL
    OR cardinality(assents) >= coalesce((demand ->> 'approvers')::integer, 1)
);
CREATE INDEX incident_waiting ON incident (approve_until) WHERE state = 'submitted';
CREATE INDEX incident_unreviewed ON incident (review_until) WHERE glass_broken_by IS NOT NULL AND reviewed_at IS NULL;
