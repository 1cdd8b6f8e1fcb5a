-- Messages committed with a step and not known to be sent. Nearly always empty.
CREATE TABLE outbox (
    outbox_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant     text NOT NULL,
    claim_id   uuid NOT NULL,
    queue      text NOT NULL,
    body       text NOT NULL,
    delay_ms   integer NOT NULL CHECK (delay_ms >= 0),
    created_at timestamptz NOT NULL
) WITH (
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0
);
