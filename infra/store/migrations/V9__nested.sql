-- Executions that recipes start. `origin` says who started the claim, with which recipe and under
-- which name; it is null where a client submitted it.
ALTER TABLE claim ADD COLUMN origin json CHECK (json_typeof(origin) = 'object');

-- Tasks that wait for the end of a claim. Whoever ends it takes them, and answers.
CREATE TABLE waiter (
    claim_id uuid NOT NULL,
    token    text COLLATE "C" NOT NULL,
    tenant   text NOT NULL,
    -- Whether the claim's input and output are told as JSON, not as text.
    as_json  boolean NOT NULL,
    PRIMARY KEY (claim_id, token)
) WITH (
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);
