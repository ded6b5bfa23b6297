-- Whether a partner may have an address that is not public, and how TLS is spoken with it (its private key is
-- sealed). Partners from before keep reaching where they reached; new ones are public unless somebody says so.
ALTER TABLE partner
ADD COLUMN allow_private boolean NOT NULL DEFAULT true,
ADD COLUMN tls jsonb NOT NULL DEFAULT '{}';
ALTER TABLE partner ALTER COLUMN allow_private SET DEFAULT false;
