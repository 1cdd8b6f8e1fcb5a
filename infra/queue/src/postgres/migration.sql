-- The queues of Fluxus: messages that wait or are being worked on, and those given up.

CREATE SCHEMA IF NOT EXISTS fluxus_queue;

-- A message lives for a moment and its row is written three times: sent, received, deleted. So the
-- row is narrow and has only the two indexes that are used: by queue and time to receive, by id to
-- delete. Room is left in each page for the received version.
CREATE TABLE fluxus_queue.message (
    message_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- A message can be received from then on; moved ahead while somebody has it.
    visible_at timestamptz NOT NULL,
    sent_at timestamptz NOT NULL,
    receive_count integer NOT NULL DEFAULT 0 CHECK (receive_count >= 0),
    queue text COLLATE "C" NOT NULL CHECK (octet_length(queue) BETWEEN 1 AND 80),
    -- Whose message it is (the tenant), for adapters that are fair between groups.
    group_id text COLLATE "C" CHECK (octet_length(group_id) <= 128),
    body text NOT NULL CHECK (octet_length(body) <= 1048576)
) WITH (
    fillfactor = 70,
    -- Dead rows at the front of the index are what slows a queue down: clear them away early, at
    -- full speed, and whatever the size of the table.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.2,
    autovacuum_analyze_threshold = 10000,
    toast.autovacuum_vacuum_scale_factor = 0.05,
    -- See below.
    vacuum_truncate = false
);

CREATE INDEX message_ready ON fluxus_queue.message (queue, visible_at);

-- A queue is empty most of the time, and a plan made for an empty table reads the whole table: a
-- disaster when it is cached and the queue fills up. The planner looks at the size of the file, not
-- only at the statistics. So the file is made 128 pages (1 MiB) long once and never cut: every plan,
-- at any time, uses the indexes.
INSERT INTO fluxus_queue.message (visible_at, sent_at, queue, body)
SELECT 'infinity', now(), 'filler', filler.body
  FROM (SELECT string_agg(md5(piece::text), '') AS body FROM generate_series(1, 55) AS piece) AS filler,
       generate_series(1, 128 * 3);
DELETE FROM fluxus_queue.message;

CREATE TABLE fluxus_queue.dead_letter (
    message_id bigint PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    group_id text COLLATE "C",
    body text NOT NULL,
    receive_count integer NOT NULL,
    reason text NOT NULL,
    sent_at timestamptz NOT NULL,
    dead_at timestamptz NOT NULL,
    -- When the core learned of it; null until then.
    reported_at timestamptz
);

CREATE INDEX dead_letter_unreported ON fluxus_queue.dead_letter (dead_at, message_id)
    WHERE reported_at IS NULL;
CREATE INDEX dead_letter_queue ON fluxus_queue.dead_letter (queue);
