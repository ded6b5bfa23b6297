-- name: note
-- No row: the message was here before.
INSERT INTO partner_message (partner_id, message_id, received_at) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: forget
DELETE FROM partner_message WHERE received_at < $1;
