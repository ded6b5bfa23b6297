-- Partners that are asked: for results that they leave for us to fetch, and for what they hold. One worker asks at a
-- time; `reconciled` is what came of it last.
ALTER TABLE partner_pace
ADD COLUMN poll_at timestamptz NOT NULL DEFAULT now(),
ADD COLUMN reconcile_at timestamptz NOT NULL DEFAULT now() + interval '1 day',
ADD COLUMN asking_until timestamptz NOT NULL DEFAULT '-infinity',
ADD COLUMN reconciled jsonb;
