-- The executions that a claim's recipe started; claims that clients submitted cost it nothing.
CREATE INDEX claim_by_parent ON claim ((origin ->> 'parent'), claim_id) WHERE origin IS NOT NULL;
