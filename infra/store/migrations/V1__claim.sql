-- One row per claim. Documents that are only carried are `json`, kept to the letter.
CREATE TABLE claim (
    claim_id        uuid PRIMARY KEY,
    tenant          text NOT NULL,
    claim_type      text NOT NULL,
    status          text NOT NULL CHECK (status IN (
        'RECEIVED', 'REJECTED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'TIMED_OUT', 'ABORTED')),
    subject         text,
    body            json NOT NULL,
    output          json,
    error           text,
    cause           text,
    recipe          text,
    recipe_version  integer CHECK (recipe_version >= 1),
    idempotency_key text CHECK (idempotency_key <> ''),
    priority        smallint NOT NULL CHECK (priority BETWEEN 0 AND 9),
    deadline        timestamptz,
    attributes      jsonb NOT NULL CHECK (jsonb_typeof(attributes) = 'object'),
    traceparent     text,
    -- The source of all randomness of the execution; never shown to clients.
    seed            bytea NOT NULL CHECK (octet_length(seed) = 16),
    received_at     timestamptz NOT NULL,
    started_at      timestamptz,
    ended_at        timestamptz,
    -- Ended otherwise than by success: what people search for most.
    unfulfilled     boolean NOT NULL
        GENERATED ALWAYS AS (ended_at IS NOT NULL AND status <> 'SUCCEEDED') STORED,
    CONSTRAINT claim_ends_with_its_status
        CHECK ((ended_at IS NULL) = (status IN ('RECEIVED', 'RUNNING'))),
    CONSTRAINT claim_has_output_once_succeeded
        CHECK ((output IS NOT NULL) = (status = 'SUCCEEDED')),
    CONSTRAINT claim_starts_as_a_whole
        CHECK (num_nulls(recipe, recipe_version, started_at) IN (0, 3)),
    CONSTRAINT claim_starts_with_its_status
        CHECK (CASE WHEN status IN ('RECEIVED', 'REJECTED') THEN started_at IS NULL
                    WHEN status IN ('RUNNING', 'SUCCEEDED') THEN started_at IS NOT NULL
                    ELSE true END)
) WITH (
    -- Room on the page for the update to RUNNING, which touches no index.
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);

CREATE UNIQUE INDEX claim_idempotency_key ON claim (tenant, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- Ids are UUIDv7, so these also sort by time. None leads with the claim id, on purpose: they
-- serve the search over many claims.
CREATE INDEX claim_by_tenant ON claim (tenant, claim_id);
CREATE INDEX claim_by_type ON claim (tenant, claim_type, claim_id);
CREATE INDEX claim_by_subject ON claim (tenant, subject, claim_id) WHERE subject IS NOT NULL;
CREATE INDEX claim_open ON claim (tenant, claim_id) WHERE ended_at IS NULL;
CREATE INDEX claim_unfulfilled ON claim (tenant, claim_id) WHERE unfulfilled;
-- Most claims have no attributes; those cost this index nothing.
CREATE INDEX claim_by_attribute ON claim USING gin (attributes jsonb_path_ops)
    WHERE attributes <> '{}';

-- How many claims ended, per status. Spread over slots, so that batches that run side by side
-- do not wait for one row.
CREATE TABLE claim_tally (
    tenant     text NOT NULL,
    claim_type text NOT NULL,
    status     text NOT NULL CHECK (status IN (
        'REJECTED', 'SUCCEEDED', 'FAILED', 'TIMED_OUT', 'ABORTED')),
    slot       smallint NOT NULL,
    ended      bigint NOT NULL CHECK (ended >= 0),
    PRIMARY KEY (tenant, claim_type, status, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
