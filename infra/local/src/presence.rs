//! Knowing whether another system works on the same database, and taking over from a dead one.
//!
//! Whoever dies by `kill -9` leaves messages hidden and leases running, up to a minute long: without
//! more ado its tasks would stand still for that time after a restart, and those whose own time is
//! shorter would fail for nothing. So every system holds an advisory lock while it lives. One that
//! finds nobody else frees what the dead one held, and goes on at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use fluxus_postgres::types::Type;
use fluxus_postgres::{Database, DatabaseError, Param, Session};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// Key of the advisory lock: "fluxlive" in ASCII.
const KEY: i64 = 0x666c_7578_6c69_7665;

/// How often to look, and how long to wait in between, for a killed process's connections to be
/// noticed as gone. Another system that lives costs us this half second at the start.
const LOOKS: u32 = 10;
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// The longest that a worker hides a message while it works on it. What is hidden for longer is
/// meant to come later.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// Leases of tasks begun before this are left to end by themselves, so that the record is not
/// searched from its beginning.
const LEASES_OF_LAST: Duration = Duration::from_secs(60 * 60);

/// How often to look whether the lock was lost with its connection. Until it is there again, a
/// process that starts may take this one for dead.
const RENEW_EVERY: Duration = Duration::from_millis(500);

/// How often to look whether other processes are there, in looks at the lock: every two seconds.
const LOOKS_A_COUNT: u32 = 4;

/// Says that a system works on the database, until dropped.
pub(crate) struct Presence {
    /// Holds the session that the lock is of.
    keeping: JoinHandle<()>,
    others: Others,
}

/// Whether other processes work on the same database, as it was found a moment ago. Clones are one.
#[derive(Clone)]
pub(crate) struct Others(Arc<AtomicBool>);

impl Others {
    pub(crate) fn are_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

impl Presence {
    /// Announces this system; if it is the only one, frees what a dead one held. A system may be
    /// several processes, each of which announces itself: the first to start takes over.
    ///
    /// Another process that works on the queues without a presence only has its messages delivered
    /// a second time, which all receivers bear.
    ///
    /// # Errors
    /// If a statement fails; safe to try again.
    pub(crate) async fn announce(database: &Database) -> anyhow::Result<Self> {
        let session = database.session().await?;
        let announced = async {
            if is_alone(&session).await? {
                take_over(&session).await?;
                lock(&session, SHARE).await?;
                lock(&session, "SELECT pg_advisory_unlock($1)").await
            } else {
                lock(&session, SHARE).await
            }
        };
        announced.await.context("take over from the last run")?;
        let others = Others(Arc::new(AtomicBool::new(true)));
        let keeping = tokio::spawn(keep(database.clone(), session, others.clone()));
        Ok(Self { keeping, others })
    }

    /// Who else is there.
    pub(crate) fn others(&self) -> Others {
        self.others.clone()
    }
}

/// Holds the lock, and takes it again where it went with its connection: when Postgres restarts,
/// nobody is to be taken for dead who is not. Counts those who hold it, now and then.
async fn keep(database: Database, mut session: Session, others: Others) {
    let mut looks = tokio::time::interval(RENEW_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for look in 0_u32.. {
        looks.tick().await;
        if !session.is_closed() {
            if look.is_multiple_of(LOOKS_A_COUNT) {
                match has_others(&session).await {
                    Ok(found) => others.0.store(found, Ordering::Relaxed),
                    Err(error) => tracing::debug!(%error, "cannot look for other processes"),
                }
            }
            continue;
        }
        let again = async {
            let session = database.session().await?;
            lock(&session, SHARE).await?;
            Ok::<_, DatabaseError>(session)
        };
        match again.await {
            Ok(again) => session = again,
            Err(error) => tracing::debug!(%error, "cannot announce this process; trying again"),
        }
    }
}

const SHARE: &str = "-- announce this process\nSELECT pg_advisory_lock_shared($1)";

/// Whether nobody else is there; the lock is then held exclusively.
async fn is_alone(session: &Session) -> Result<bool, DatabaseError> {
    const TRY: &str = "-- look for another system\nSELECT pg_try_advisory_lock($1)";
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        let rows = session.query(TRY, &[(&KEY, Type::INT8)]).await?;
        if rows.iter().any(|row| row.get(0)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether more than this process hold the lock.
async fn has_others(session: &Session) -> Result<bool, DatabaseError> {
    // A key of 64 bits is shown in two halves, with the third number 1.
    const COUNT: &str = "-- look for other processes
        SELECT count(*) > 1 AS found FROM pg_locks
         WHERE locktype = 'advisory' AND objsubid = 1 AND granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND classid::bigint << 32 | objid::bigint = $1";
    let rows = session.query(COUNT, &[(&KEY, Type::INT8)]).await?;
    Ok(rows.iter().any(|row| row.get("found")))
}

async fn lock(session: &Session, sql: &str) -> Result<(), DatabaseError> {
    session.query(sql, &[(&KEY, Type::INT8)]).await.map(|_rows| ())
}

async fn take_over(session: &Session) -> Result<(), DatabaseError> {
    // The receive count stays: a message that kills whoever takes it ends as a dead letter.
    const FREE_MESSAGES: &str = "-- free the messages of a dead process
        UPDATE fluxus_queue.message SET visible_at = statement_timestamp()
         WHERE receive_count > 0 AND visible_at > statement_timestamp()
           AND visible_at <= statement_timestamp() + $1 * interval '1 second'";
    const FREE_LEASES: &str = "-- free the leases of a dead process
        UPDATE idempotency SET lease_until = $1
         WHERE status = 'STARTED' AND lease_until > $1 AND created_at > $2";
    let hold = LONGEST_HOLD.as_secs_f64();
    let messages = session.execute(FREE_MESSAGES, &[(&hold, Type::FLOAT8)]).await?;
    let now_ms = u64::try_from(fluxus_store::clock::now().as_millis()).unwrap_or(0);
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms);
    let params: [Param<'_>; 2] =
        [(&now, Type::TIMESTAMPTZ), (&(now - LEASES_OF_LAST), Type::TIMESTAMPTZ)];
    let leases = session.execute(FREE_LEASES, &params).await?;
    if messages > 0 || leases > 0 {
        tracing::info!(messages, leases, "freed what a process that died had in hand");
    }
    Ok(())
}
