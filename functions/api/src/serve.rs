//! Serves the router on a socket, with every wait and every buffer bounded.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::auth::{AuthError, check_listen};
use crate::limits::{
    HEADER_READ_TIMEOUT, MAX_CONNECTIONS, MAX_HEADER_BYTES, MAX_HEADERS, SHUTDOWN_GRACE,
};
use crate::{App, router};

/// What hyper takes of a request head before it answers a bare 431. More than the router's own
/// bound, so that a head a little too large gets a problem document.
const MAX_HEAD_BUFFER: usize = 4 * MAX_HEADER_BYTES;

/// The pause after a failed accept: running out of file descriptors mends only by others' closing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address may not be listened on without keys.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The listener has no address.
    #[error("cannot tell the listener's address")]
    Address(#[source] io::Error),
}

/// Serves until `shutdown`, then lets open requests finish and drains the intake. Requests that
/// wait for a claim's end are answered at once with where it stands, those that wait for a task with
/// none.
///
/// # Errors
/// [`ServeError`], before anything is served.
pub async fn serve(
    app: App,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let addr = listener.local_addr().map_err(ServeError::Address)?;
    check_listen(addr, app.auth())?;
    tracing::info!(%addr, "listening");
    let router = router(app.clone());
    let mut connections = accept(&router, listener, &shutdown).await;
    app.waiters().close();
    app.pollers().close();
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_GRACE, finished).await.is_err() {
        let open = connections.len();
        tracing::warn!(open, "closing connections that did not finish in time");
        connections.shutdown().await;
    }
    app.shutdown().await;
    Ok(())
}

async fn accept(
    router: &Router,
    listener: TcpListener,
    shutdown: &CancellationToken,
) -> JoinSet<()> {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, permit)
        };
        tokio::select! {
            () = shutdown.cancelled() => return connections,
            Some(_ended) = connections.join_next() => {}
            (accepted, permit) = accepted => match accepted {
                Ok((stream, _peer)) => {
                    let serving = connection(router.clone(), stream, shutdown.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn connection(router: Router, stream: TcpStream, shutdown: CancellationToken) {
    // Answers are small and written whole; waiting to fill a packet only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = shutdown.cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}
