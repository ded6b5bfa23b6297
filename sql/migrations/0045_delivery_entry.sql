-- no-transaction
-- What the log says of calls to partners, by the incident that they were about.
CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_entry_delivery
ON audit_entry ((((body::jsonb) -> 'detail' ->> 'incident')::bigint), entry_id)
WHERE kind = 'delivery.attempted';
