-- One row per strand of a running execution; written at every step. Branch ids are ASCII paths,
-- so collation "C" gives them the order of bytes, in which rows are locked.
CREATE TABLE branch (
    claim_id        uuid NOT NULL,
    branch_id       text COLLATE "C" NOT NULL CHECK (branch_id LIKE '/%'),
    tenant          text NOT NULL,
    parent          text COLLATE "C",
    parent_revision integer NOT NULL CHECK (parent_revision >= 0),
    -- Index among its siblings.
    position        integer NOT NULL CHECK (position >= 0),
    revision        integer NOT NULL CHECK (revision >= 0),
    status          text NOT NULL CHECK (status IN ('PENDING', 'OPEN', 'ENDED')),
    failed          boolean NOT NULL,
    -- The machine's own document; opaque here.
    state           json NOT NULL,
    -- The capability that no fluxling offers; the branch waits for one.
    unserved        text,
    changed_at      timestamptz NOT NULL,
    PRIMARY KEY (claim_id, branch_id),
    CONSTRAINT branch_has_a_parent_unless_root CHECK ((parent IS NULL) = (branch_id = '/')),
    CONSTRAINT branch_fails_at_its_end CHECK (NOT failed OR status = 'ENDED'),
    CONSTRAINT branch_waits_while_open CHECK (unserved IS NULL OR status = 'OPEN')
) WITH (
    -- Half of each page is left for new versions of its rows: a step that changes no indexed
    -- column then stays on the page and touches no index (HOT).
    fillfactor = 50,
    -- Rows live for seconds. Vacuum early and without pauses.
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

-- What a join and a Map's next item look for. `status` changes at most twice in a branch's life.
CREATE INDEX branch_not_ended ON branch (claim_id, parent, position)
    WHERE parent IS NOT NULL AND status <> 'ENDED';

-- What a fluxling that registers looks for.
CREATE INDEX branch_unserved ON branch (unserved, tenant, claim_id, branch_id)
    WHERE unserved IS NOT NULL;
