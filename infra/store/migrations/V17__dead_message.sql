-- Messages to the core that nobody could handle, by the claim they are about: it is stuck until they
-- are sent again. The letters themselves stay in the queue that gave them up.
CREATE TABLE dead_message (
    claim_id      uuid NOT NULL,
    -- The letter's id in its queue.
    message_id    text COLLATE "C" NOT NULL,
    tenant        text NOT NULL,
    -- The branch that it is about; null where it is the claim as a whole.
    branch_id     text COLLATE "C",
    body          text NOT NULL,
    reason        text NOT NULL,
    receive_count integer NOT NULL CHECK (receive_count >= 0),
    dead_at       timestamptz NOT NULL,
    PRIMARY KEY (claim_id, message_id)
);

CREATE INDEX dead_message_by_letter ON dead_message (message_id);
