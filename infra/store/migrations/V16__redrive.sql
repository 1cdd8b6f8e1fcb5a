-- Claims that ended without success can be redriven. A constant default is no rewrite of the table,
-- and a check that holds only for what comes reads none of it.
ALTER TABLE claim
    ADD COLUMN redrive_count integer NOT NULL DEFAULT 0,
    ADD COLUMN redriven_at timestamptz,
    ADD CONSTRAINT claim_is_redriven_as_a_whole
        CHECK (redrive_count >= 0 AND (redrive_count = 0) = (redriven_at IS NULL)) NOT VALID;
