-- A message that is due later: when its time has come, `body` goes to `queue`.
CREATE TABLE timer (
    claim_id  uuid NOT NULL,
    timer_key text COLLATE "C" NOT NULL,
    tenant    text NOT NULL,
    due_at    timestamptz NOT NULL,
    queue     text NOT NULL,
    body      text NOT NULL,
    PRIMARY KEY (claim_id, timer_key)
) WITH (
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX timer_due ON timer (due_at);
