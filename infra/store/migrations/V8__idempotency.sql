-- What a fluxling remembers of an attempt: that it is at work, or what came of it.
CREATE TABLE idempotency (
    token       text COLLATE "C" PRIMARY KEY,
    tenant      text NOT NULL,
    status      text NOT NULL CHECK (status IN ('STARTED', 'DONE')),
    outcome     json,
    -- Another may take over after this, if the work is not done.
    lease_until timestamptz NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT idempotency_has_outcome_once_done CHECK ((outcome IS NOT NULL) = (status = 'DONE'))
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX idempotency_by_age ON idempotency (created_at);
