//! The faults beside the kills.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::draws::Draws;
use crate::house::House;
use crate::postgres::Server;
use crate::preload;
use crate::proxy::{Network, Proxy};

/// How long a fault lasts, in milliseconds.
const LASTS_MS: (u64, u64) = (200, 1_500);

/// How much longer everything takes on a slow network, in milliseconds, each way.
const SLOWER_MS: (u64, u64) = (20, 150);

/// Something that is wrong with Postgres or on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing but the kills.
    Nothing,
    PostgresKilled,
    BackendKilled,
    ReadOnly,
    OutOfConnections,
    DiskFull,
    Slow,
    Silent,
    Cut,
    /// A table that somebody holds locked.
    Locked,
}

impl Fault {
    pub const ALL: [Self; 10] = [
        Self::Nothing,
        Self::PostgresKilled,
        Self::BackendKilled,
        Self::ReadOnly,
        Self::OutOfConnections,
        Self::DiskFull,
        Self::Slow,
        Self::Silent,
        Self::Cut,
        Self::Locked,
    ];

    /// Those that can be had here, or the one of this name.
    pub fn possible(only: Option<&str>) -> Vec<Self> {
        let is_possible = |fault: &Self| match only {
            Some(name) => format!("{fault:?}") == name,
            None => *fault != Self::DiskFull || preload::is_there(),
        };
        let possible: Vec<_> = Self::ALL.into_iter().filter(is_possible).collect();
        assert!(!possible.is_empty(), "{only:?} is no fault; there are {:?}", Self::ALL);
        possible
    }

    /// Makes it so for a while, then all is well again.
    pub async fn happen(self, server: &mut Server, proxy: &Proxy, house: &House, draws: &Draws) {
        let (from, to) = LASTS_MS;
        let until = Instant::now() + Duration::from_millis(draws.between(from, to));
        let (from, to) = SLOWER_MS;
        let slower = Duration::from_millis(draws.between(from, to));
        match self {
            Self::Nothing => sleep_until(until).await,
            Self::PostgresKilled => {
                server.kill().await;
                sleep_until(until).await;
                server.start_again().await;
                proxy.lead_to(server.address());
            }
            Self::BackendKilled => {
                server.kill_backend().await;
                sleep_until(until).await;
            }
            Self::ReadOnly => {
                server.read_only(true).await;
                sleep_until(until).await;
                server.read_only(false).await;
            }
            Self::OutOfConnections => {
                let taken = server.take_connections().await;
                sleep_until(until).await;
                drop(taken);
            }
            Self::DiskFull => {
                let file = house.disk_is_full();
                std::fs::write(&file, "").expect("a file");
                sleep_until(until).await;
                std::fs::remove_file(&file).expect("it was there");
            }
            Self::Slow => on(proxy, Network::Slow(slower), until).await,
            Self::Silent => on(proxy, Network::Silent, until).await,
            Self::Cut => on(proxy, Network::Cut, until).await,
            Self::Locked => {
                let tables = ["claim", "branch", "history", "timer", "fluxus_queue.message"];
                let locked = server.lock(draws.one_of::<&str>(&tables)).await;
                sleep_until(until).await;
                drop(locked);
            }
        }
    }
}

async fn on(proxy: &Proxy, network: Network, until: Instant) {
    proxy.become_(network);
    sleep_until(until).await;
    proxy.become_(Network::Good);
}
