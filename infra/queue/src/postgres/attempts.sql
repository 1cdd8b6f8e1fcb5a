-- What a dead letter keeps of its past. When a message was received is noted in its own row, which a
-- receive writes anyway; why it could not be handled, in a table that is nearly always empty.
ALTER TABLE fluxus_queue.message ADD COLUMN IF NOT EXISTS received_at timestamptz[];

ALTER TABLE fluxus_queue.dead_letter
    ADD COLUMN IF NOT EXISTS received_at timestamptz[],
    -- Reasons by the number of the receive: {"1": "…", "3": "…"}.
    ADD COLUMN IF NOT EXISTS failures jsonb;

CREATE TABLE IF NOT EXISTS fluxus_queue.failure (
    message_id    bigint NOT NULL,
    receive_count integer NOT NULL,
    reason        text NOT NULL,
    noted_at      timestamptz NOT NULL,
    PRIMARY KEY (message_id, receive_count)
);

CREATE INDEX IF NOT EXISTS failure_by_age ON fluxus_queue.failure (noted_at);
