-- Whether a partner that takes whole lists is to be given one: only when somebody says so, for it takes the place of
-- all that the partner's list holds.
ALTER TABLE partner_pace ADD COLUMN list_wanted boolean NOT NULL DEFAULT false;
