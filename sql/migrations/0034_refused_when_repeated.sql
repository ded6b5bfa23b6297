-- A partner may refuse to be told again what it has taken before: then it holds the block, whatever it says.
ALTER TABLE delivery_item
ADD COLUMN heard boolean NOT NULL DEFAULT false CHECK (NOT heard OR state = 'refused');
