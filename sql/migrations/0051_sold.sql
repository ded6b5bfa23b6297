-- no-transaction
-- What was sold, and is not erased yet.
CREATE INDEX CONCURRENTLY IF NOT EXISTS device_sold ON device (sold_at) WHERE sold_at IS NOT NULL AND erased_at IS NULL;
