//! The network between the processes and Postgres: as it should be, slow, silent, or cut.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Good,
    /// Everything takes so much longer, each way.
    Slow(Duration),
    /// Nothing gets through, and nobody is told.
    Silent,
    /// Connections are closed, and new ones too.
    Cut,
}

/// A network that can be changed.
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    /// Where Postgres is; it may be elsewhere after a restart.
    server: watch::Sender<SocketAddr>,
}

impl Proxy {
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (network, state) = watch::channel(Network::Good);
        let (server, target) = watch::channel(server);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, *target.borrow(), state.clone()));
            }
        });
        Self { address, network, server }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn become_(&self, network: Network) {
        self.network.send_replace(network);
    }

    pub fn lead_to(&self, server: SocketAddr) {
        self.server.send_replace(server);
    }
}

async fn carry(client: TcpStream, server: SocketAddr, state: watch::Receiver<Network>) {
    if *state.borrow() == Network::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = state.clone();
    tokio::select! {
        () = pump(from_client, to_server, state.clone()) => {}
        () = pump(from_server, to_client, state) => {}
        _ = cut.wait_for(|network| *network == Network::Cut) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<Network>,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut bytes).await else { return };
        let network = *state.borrow();
        match network {
            Network::Slow(by) => sleep_until(Instant::now() + by).await,
            Network::Silent => {
                let _ = state.wait_for(|network| *network != Network::Silent).await;
            }
            Network::Good | Network::Cut => {}
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
