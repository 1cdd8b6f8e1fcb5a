//! A database per test, cloned from a migrated template.
//!
//! All tests share one Postgres server: the one in `FLUXUS_TEST_DATABASE_URL` if that is set, else
//! a private cluster in `target/fluxus-test-postgres`, which the first test starts. It syncs
//! nothing to disk and is left running for the next test program; it ends when its folder goes
//! (`cargo clean`), or by `kill $(head -1 target/fluxus-test-postgres/data/postmaster.pid)`.

// Tests are the callers: a loud end with the reason is what they want from here.
#![allow(clippy::panic)]

#[cfg(feature = "aws")]
pub mod aws;
mod server;
mod template;

use fluxus_postgres::{Database, Options};

pub use template::template_name;

/// A database of a test's own, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    server_url: String,
}

/// An empty database.
///
/// # Panics
/// Where no Postgres can be had, saying why.
pub async fn database() -> TestDatabase {
    create(None).await.unwrap_or_else(|error| give_up(&error))
}

impl TestDatabase {
    /// A copy of a template, which is made by `migrate` the first time anybody asks for it. The
    /// name must change with what `migrate` does: see [`template_name`].
    ///
    /// # Panics
    /// Where no Postgres can be had or `migrate` fails, saying why.
    pub async fn new<M, F>(template: &str, migrate: M) -> Self
    where
        M: FnOnce(String) -> F,
        F: Future<Output = anyhow::Result<()>>,
    {
        let made = async {
            let server = server::url().await?;
            template::ensure(&server, template, migrate).await?;
            create(Some(template)).await
        };
        made.await.unwrap_or_else(|error| give_up(&error))
    }

    /// Where to connect, password included.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name in the server.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDatabase {
    /// Best effort, on a thread with a runtime of its own, because the test's may be ending. What
    /// is left behind is dropped by a later run.
    fn drop(&mut self) {
        let (server, name) = (self.server_url.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(server::drop_database(&server, &name)))
        });
        let _best_effort = dropping.join();
    }
}

async fn create(template: Option<&str>) -> anyhow::Result<TestDatabase> {
    let server_url = server::url().await?;
    let name = server::new_name();
    let from = template.map_or_else(String::new, |name| format!(" TEMPLATE \"{name}\""));
    server::batch(&server_url, &format!("CREATE DATABASE \"{name}\"{from}")).await?;
    let url = server::with_database(&server_url, &name);
    Ok(TestDatabase { name, url, server_url })
}

fn give_up(error: &anyhow::Error) -> ! {
    panic!(
        "\n\nThis test needs PostgreSQL and has none: {error:#}\n\
         Install it, or set FLUXUS_TEST_DATABASE_URL to a server where databases may be created.\n"
    )
}

/// One connection for the few statements here.
async fn connect(url: &str) -> anyhow::Result<Database> {
    let options = Options { max_connections: 1, ..Options::default() };
    Ok(Database::connect(url, options).await?)
}
