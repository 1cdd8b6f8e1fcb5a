-- What is large in the bodies of messages, once, under its SHA-256. Such a message is
-- `{"fluxus:payloads": ["<sha256>", …], "body": …}`, with references in the body.
CREATE TABLE IF NOT EXISTS fluxus_queue.body (
    sha256 text COLLATE "C" PRIMARY KEY CHECK (length(sha256) = 64),
    body text NOT NULL,
    -- Whether the body has references of its own.
    refers boolean NOT NULL,
    -- When a message was last sent that needs it.
    used_at timestamptz NOT NULL
) WITH (
    autovacuum_vacuum_threshold = 100,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX IF NOT EXISTS body_used ON fluxus_queue.body (used_at);

-- Finds the messages that need one. Nearly none does, so it is nearly empty.
CREATE INDEX IF NOT EXISTS message_in_parts ON fluxus_queue.message (message_id)
    WHERE left(body, 19) = '{"fluxus:payloads":';
CREATE INDEX IF NOT EXISTS dead_letter_in_parts ON fluxus_queue.dead_letter (message_id)
    WHERE left(body, 19) = '{"fluxus:payloads":';
