-- Each check is read and set up anew by every statement that writes to the table. What the sender
-- checks too, for every adapter, is not checked twice; the size of a body stays checked.
ALTER TABLE fluxus_queue.message
    DROP CONSTRAINT IF EXISTS message_receive_count_check,
    DROP CONSTRAINT IF EXISTS message_queue_check,
    DROP CONSTRAINT IF EXISTS message_group_id_check,
    DROP CONSTRAINT IF EXISTS message_rank_check;
