-- The core's queue is called `core`: in SQS the name of the stack stands before it, and a stack may
-- be called fluxus itself. What is under way keeps going on under the new name.

UPDATE timer SET queue = 'core' WHERE queue = 'fluxus-core';
UPDATE outbox SET queue = 'core' WHERE queue = 'fluxus-core';

-- The queues may be elsewhere, or not be there yet.
DO $$
BEGIN
    IF to_regclass('fluxus_queue.message') IS NOT NULL THEN
        UPDATE fluxus_queue.message SET queue = 'core' WHERE queue = 'fluxus-core';
        UPDATE fluxus_queue.dead_letter SET queue = 'core' WHERE queue = 'fluxus-core';
    END IF;
END
$$;
