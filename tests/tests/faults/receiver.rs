//! A receiver that keeps none of the rules, straight on the queue's table: messages come twice, late,
//! in another order, and are dropped by whoever received them.

use std::time::Duration;

use fluxus_postgres::{Database, Options};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::interval;

use crate::draws::Draws;

/// Pause between two mischiefs.
const PACE: Duration = Duration::from_millis(60);

/// The receiver at work. It ends with this value.
pub struct Receiver {
    running: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Starts it on the database at this address, which may be away at times.
    pub fn start(url: watch::Receiver<String>, draws: Draws) -> Self {
        let running = watch::Sender::new(false);
        let task = tokio::spawn(run(url, draws, running.subscribe()));
        Self { running, task }
    }

    pub fn set_running(&self, running: bool) {
        self.running.send_replace(running);
    }
}

async fn run(url: watch::Receiver<String>, draws: Draws, mut running: watch::Receiver<bool>) {
    let mut pace = interval(PACE);
    let mut database: Option<Database> = None;
    loop {
        pace.tick().await;
        if running.wait_for(|running| *running).await.is_err() {
            return;
        }
        let known = match &database {
            Some(known) => known.clone(),
            None => {
                let at = url.borrow().clone();
                let Ok(new) = Database::connect(&at, Options::ONE).await else { continue };
                database.insert(new).clone()
            }
        };
        if mischief(&known, &draws).await.is_none() {
            database = None;
        }
    }
}

/// One mischief; none if Postgres is away.
async fn mischief(database: &Database, draws: &Draws) -> Option<()> {
    // All columns but the key, whatever they are in this version.
    const COLUMNS: &str = "SELECT string_agg(quote_ident(column_name), ', ')
          FROM information_schema.columns
         WHERE table_schema = 'fluxus_queue' AND table_name = 'message'
           AND column_name <> 'message_id' AND is_generated = 'NEVER'";
    const SOME: &str = "SELECT message_id FROM fluxus_queue.message
         ORDER BY random() LIMIT 3 FOR UPDATE SKIP LOCKED";
    let session = database.session().await.ok()?;
    let sql = match draws.below(4) {
        0 => {
            let rows = session.query(COLUMNS, &[]).await.ok()?;
            let columns: String = rows.first()?.get(0);
            format!(
                "INSERT INTO fluxus_queue.message ({columns}) SELECT {columns}
                   FROM fluxus_queue.message WHERE message_id IN ({SOME})"
            )
        }
        1 => format!(
            "UPDATE fluxus_queue.message SET visible_at = visible_at + interval '700 ms'
              WHERE receive_count = 0 AND message_id IN ({SOME})"
        ),
        // What was to come later comes now, and before what came first.
        2 => format!(
            "UPDATE fluxus_queue.message SET visible_at = now() - random() * interval '5 s'
              WHERE receive_count = 0 AND message_id IN ({SOME})"
        ),
        // Received and never dealt with; as often as a receiver may without the message dying.
        _ => format!(
            "UPDATE fluxus_queue.message
                SET visible_at = now() + interval '900 ms', receive_count = receive_count + 1
              WHERE receive_count < 2 AND visible_at <= now() AND message_id IN ({SOME})"
        ),
    };
    session.batch(&sql).await.ok()
}
