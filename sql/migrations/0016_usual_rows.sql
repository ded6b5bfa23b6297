-- Events bring a receipt each, and say nothing of how large a file usually is.
CREATE INDEX receipt_of_file ON receipt (supplier, receipt_id) WHERE source NOT LIKE 'event:%';
DROP INDEX receipt_supplier;
