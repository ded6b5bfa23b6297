-- no-transaction
-- What one has reported, and what is old.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sighting_reported ON sighting (asked_by, key) WHERE way = 'report';
CREATE INDEX CONCURRENTLY IF NOT EXISTS sighting_last_at ON sighting (last_at);
