-- Messages in which partners report results, by their own number: one that comes twice counts once.
CREATE TABLE partner_message (
    partner_id integer NOT NULL REFERENCES partner,
    message_id text NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (partner_id, message_id)
);
CREATE INDEX partner_message_age ON partner_message (received_at);
