-- name: take
-- $1 turns, in order, until the transaction ends.
SELECT FROM turn WHERE turn = ANY ($1::smallint []) ORDER BY turn FOR UPDATE;
