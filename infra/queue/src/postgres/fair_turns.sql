-- Ready messages have an index of their own, in the order in which each group's are taken. What
-- becomes ready later (delayed, or in somebody's hands) is `parked`, in another index by time. So
-- each message is in one of the two, and neither is ever searched for what the other holds.
-- Programs of an older version know neither column: what they send is parked, and ready at once by
-- its time; what they receive stays in the first index, where `visible_at` tells that it is taken.
-- Their own index, `message_ready`, stays for them; a later version drops it.
ALTER TABLE fluxus_queue.message
    ADD COLUMN parked boolean NOT NULL DEFAULT true,
    -- Within a group the lower goes first: twice the priority's distance from 9, and one more for
    -- what yields.
    ADD COLUMN rank smallint NOT NULL DEFAULT 18 CHECK (rank BETWEEN 0 AND 19);

CREATE INDEX message_turn ON fluxus_queue.message (queue, group_id, rank, message_id)
    WHERE NOT parked;
CREATE INDEX message_due ON fluxus_queue.message (queue, visible_at) WHERE parked;

-- A received version that fits into the page of the first is logged as what differs between them,
-- without the body. Half of the page is room for all.
ALTER TABLE fluxus_queue.message SET (fillfactor = 50);
