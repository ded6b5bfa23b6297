-- Who asks a partner holds a lease that is renewed meanwhile; whoever lost it books nothing any more.
ALTER TABLE partner_pace ADD COLUMN asking_token bigint NOT NULL DEFAULT 0;
