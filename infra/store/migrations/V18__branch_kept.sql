-- online: outside of a transaction
-- Root branches that are kept to be redriven, for whoever forgets them in the end. A claim that
-- succeeds never has an entry here: its root goes without having been `ENDED`.
DROP INDEX CONCURRENTLY IF EXISTS branch_kept;

CREATE INDEX CONCURRENTLY branch_kept ON branch (claim_id)
    WHERE parent IS NULL AND status = 'ENDED';
