-- The events of each step, append-only, in partitions of one day (UTC); retention drops them.
-- The key is in the order in which a history is read, so a page of it is a walk along the index.
CREATE TABLE history (
    claim_id    uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    branch_id   text COLLATE "C" NOT NULL,
    revision    integer NOT NULL CHECK (revision >= 0),
    part        integer NOT NULL DEFAULT 0 CHECK (part >= 0),
    tenant      text NOT NULL,
    events      json NOT NULL CHECK (json_typeof(events) = 'array'),
    PRIMARY KEY (claim_id, recorded_at, branch_id, revision, part)
) PARTITION BY RANGE (recorded_at);

-- Takes what no partition was made for. Nothing is refused because a schedule did not run.
CREATE TABLE history_default PARTITION OF history DEFAULT;

-- Makes the partition of a day, and moves there what the default partition already has of it.
-- True where it was missing. Attaching, other than creating in place, lets writers go on.
CREATE FUNCTION history_make_partition(day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    name text := 'history_' || to_char(day, 'YYYYMMDD');
    first timestamptz := day::timestamp AT TIME ZONE 'UTC';
    past timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('fluxus history partition', 0));
    -- Asked of the table itself: `to_regclass` may remember what was so before the lock came.
    IF EXISTS (SELECT FROM pg_class WHERE relname = name
                  AND relnamespace = current_schema()::regnamespace) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE history INCLUDING ALL)', name);
    -- Spares the attachment a look at every row.
    EXECUTE format(
        'ALTER TABLE %I ADD CONSTRAINT bounds CHECK (recorded_at >= %L AND recorded_at < %L)',
        name, first, past);
    IF EXISTS (SELECT FROM history_default WHERE recorded_at >= first AND recorded_at < past) THEN
        LOCK TABLE history_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('WITH moved AS (
                DELETE FROM history_default WHERE recorded_at >= %L AND recorded_at < %L
                RETURNING claim_id, recorded_at, branch_id, revision, part, tenant, events
            )
            INSERT INTO %I (claim_id, recorded_at, branch_id, revision, part, tenant, events)
            SELECT claim_id, recorded_at, branch_id, revision, part, tenant, events FROM moved',
            first, past, name);
    END IF;
    EXECUTE format(
        'ALTER TABLE history ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        name, first, past);
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT bounds', name);
    RETURN true;
END
$$;

-- The first week, for installations that are looked after by nobody yet.
SELECT history_make_partition((now() AT TIME ZONE 'UTC')::date + ahead)
  FROM generate_series(-1, 7) AS ahead;

-- One row per event, for people who ask in SQL. Postgres takes no JSON apart that holds U+0000,
-- so that one is shown as U+FFFD here.
CREATE VIEW history_event AS
SELECT history.tenant, history.claim_id, history.branch_id, history.revision, history.part,
       (event.number - 1)::integer AS position, history.recorded_at,
       event.document ->> 'type' AS type, event.document ->> 'prev' AS previous,
       event.document -> 'd' AS details
  FROM history
 CROSS JOIN LATERAL json_array_elements(replace(history.events::text, '\u0000', '\ufffd')::json)
       WITH ORDINALITY AS event (document, number);
