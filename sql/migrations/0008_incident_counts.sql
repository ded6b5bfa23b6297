-- What a list and a watcher are told of an incident is of one size, however large its scope and its preview are.
ALTER TABLE incident
ADD COLUMN named_pallets integer GENERATED ALWAYS AS (
    coalesce(jsonb_array_length(scope -> 'pallets'), 0)
) STORED,
ADD COLUMN named_receipts integer GENERATED ALWAYS AS (
    coalesce(jsonb_array_length(scope -> 'receipts'), 0)
) STORED,
ADD COLUMN named_imeis integer GENERATED ALWAYS AS (
    coalesce(jsonb_array_length(scope -> 'imeis'), 0)
) STORED,
ADD COLUMN named_serials integer GENERATED ALWAYS AS (
    coalesce(jsonb_array_length(scope -> 'serials'), 0)
) STORED,
ADD COLUMN shown_devices integer GENERATED ALWAYS AS (
    coalesce((preview ->> 'devices')::integer, 0)
) STORED,
ADD COLUMN shown_identifiers integer GENERATED ALWAYS AS (
    coalesce((preview ->> 'identifiers')::integer, 0)
) STORED;
