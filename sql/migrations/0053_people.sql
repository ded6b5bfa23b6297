-- People: who they are, how they prove it, and where they are signed in. Of every secret that is shown once only a hash
-- is kept; that of the second factor is sealed, for it must be read.
CREATE TABLE person (
    person_id text PRIMARY KEY,
    name text NOT NULL CHECK (name <> ''),
    -- folded: in lower case, and without compatibility forms
    email text NOT NULL CHECK (email <> ''),
    role text NOT NULL CHECK (
        role IN ('goods-in', 'incident-manager', 'approver', 'carrier', 'auditor', 'admin')
    ),
    -- teams, such as security and warehouse
    groups text [] NOT NULL DEFAULT '{}',
    -- null: all
    owners text [] CHECK (cardinality(owners) > 0),
    sites text [] CHECK (cardinality(sites) > 0),
    password_hash text,
    totp_secret text,
    -- the last step of time whose code was taken: none is taken twice
    totp_step bigint NOT NULL DEFAULT 0,
    -- who he is for the OpenID provider
    issuer text,
    subject text,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    ended_at timestamptz,
    ended_by text,
    CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CHECK ((issuer IS NULL) = (subject IS NULL)),
    CHECK ((password_hash IS NULL) = (totp_secret IS NULL))
);
CREATE UNIQUE INDEX person_email ON person (email) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX person_subject ON person (issuer, subject) WHERE ended_at IS NULL;

CREATE TABLE recovery_code (
    person_id text NOT NULL REFERENCES person,
    code_hash bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    PRIMARY KEY (person_id, code_hash)
);

-- One a person; what he chooses counts once a code has shown that his device has the secret.
CREATE TABLE invitation (
    person_id text PRIMARY KEY REFERENCES person,
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    expires_at timestamptz NOT NULL,
    password_hash text,
    totp_secret text
);

CREATE TABLE session (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    session_id text NOT NULL UNIQUE,
    person_id text NOT NULL REFERENCES person,
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    -- when the second factor was last shown
    factor_at timestamptz NOT NULL,
    source text NOT NULL
);
CREATE INDEX session_person ON session (person_id, created_at);
CREATE INDEX session_ends ON session (ends_at);

-- Browsers from which a person has signed in: others' failures close nothing for them.
CREATE TABLE known_browser (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    person_id text NOT NULL REFERENCES person,
    expires_at timestamptz NOT NULL
);
CREATE INDEX known_browser_person ON known_browser (person_id);
CREATE INDEX known_browser_expires ON known_browser (expires_at);

-- Tries to sign in that have not succeeded, by the hash of who tried what from where; counted anew from `until` on.
CREATE TABLE sign_in_try (
    bucket bytea PRIMARY KEY CHECK (octet_length(bucket) = 32),
    tries integer NOT NULL,
    until timestamptz NOT NULL
);
CREATE INDEX sign_in_try_until ON sign_in_try (until);

-- Single sign-ons on their way: to the OpenID provider, and back by the same browser.
CREATE TABLE sign_on (
    state_hash bytea PRIMARY KEY CHECK (octet_length(state_hash) = 32),
    -- the SHA-256 of the browser's cookie
    browser_hash bytea NOT NULL CHECK (octet_length(browser_hash) = 32),
    nonce text NOT NULL,
    verifier text NOT NULL,
    until timestamptz NOT NULL,
    -- the session that is to be fresh again
    session_id text,
    -- who has come back, and still owes a second factor
    person_id text REFERENCES person
);
CREATE INDEX sign_on_until ON sign_on (until);

-- A person has a quota too.
ALTER TABLE quota_bucket DROP CONSTRAINT quota_bucket_key_id_fkey;
