//! Accepts connections and speaks HTTP on them. Whoever is slow to ask costs a place for some seconds, and no more.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Time for a request's head to arrive, and how long a connection may rest between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest request head, in bytes.
const HEAD_MAX_BYTES: u16 = 32 * 1024;

/// Connections open at once; more wait in the kernel.
const CONNECTIONS_MAX: usize = 4096;

/// Requests under way at once on one HTTP/2 connection.
#[cfg(feature = "tls")]
const STREAMS_MAX: u32 = 100;

/// The pause after the system would not accept a connection: out of file descriptors, most likely.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Where connections come from.
pub(crate) trait Connections: Send + 'static {
    /// What is read and written.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Whom it is with, as handlers know it.
    type Peer: Clone + Send + Sync + 'static;

    /// The next one, and whether HTTP/2 was agreed on.
    fn next(&mut self) -> impl Future<Output = io::Result<(Self::Io, Self::Peer, bool)>> + Send;
}

impl Connections for TcpListener {
    type Io = TcpStream;
    type Peer = SocketAddr;

    async fn next(&mut self) -> io::Result<(TcpStream, SocketAddr, bool)> {
        let (stream, peer) = self.accept().await?;
        // An answer goes out at once.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer, false))
    }
}

/// Answers every request with what `router` gives at that moment, until `stop`; then lets what is under way end.
pub(crate) async fn serve<C: Connections>(
    mut connections: C,
    router: impl Fn() -> Arc<Router> + Clone + Send + 'static,
    stop: CancellationToken,
) {
    let (graceful, places, mut open) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS_MAX)), JoinSet::new());
    loop {
        while open.try_join_next().is_some() {}
        let accepted = stop.run_until_cancelled(async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, connections.next().await)
        });
        let (place, (io, peer, http2)) = match accepted.await {
            // Nobody closes the places.
            None | Some((Err(_), Ok(_))) => break,
            Some((Ok(place), Ok(connection))) => (place, connection),
            Some((_, Err(error))) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let (router, peer) = (router.clone(), ConnectInfo(peer));
        let service = tower::service_fn(move |mut request: axum::http::Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            Router::clone(&router()).oneshot(request.map(Body::new))
        });
        let (io, service) = (TokioIo::new(io), TowerToHyperService::new(service));
        let spoken = speak(io, service, http2, &graceful);
        open.spawn(async move {
            spoken.await;
            drop(place);
        });
    }
    drop(connections);
    let ended = async { while open.join_next().await.is_some() {} };
    tokio::join!(graceful.shutdown(), ended);
}

/// Speaks HTTP on one connection to its end.
#[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "HTTP/2 is agreed on over TLS alone"))]
fn speak<I, S>(
    io: TokioIo<I>,
    service: S,
    http2: bool,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<I, S>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: hyper::service::Service<
            axum::http::Request<Incoming>,
            Response = axum::response::Response,
            Error = std::convert::Infallible,
        > + Send
        + 'static,
    S::Future: Send + 'static,
{
    use hyper::server::conn::http1;
    #[cfg(feature = "tls")]
    let second = http2.then(|| {
        use hyper::server::conn::http2;
        let mut builder = http2::Builder::new(hyper_util::rt::TokioExecutor::new());
        builder.timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX).max_header_list_size(HEAD_MAX_BYTES.into());
        builder.keep_alive_interval(HEAD_TIMEOUT).keep_alive_timeout(HEAD_TIMEOUT);
        builder
    });
    let mut first = http1::Builder::new();
    first.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_MAX_BYTES.into());
    let watcher = graceful.watcher();
    async move {
        #[cfg(feature = "tls")]
        if let Some(second) = second {
            let _ = watcher.watch(second.serve_connection(io, service)).await;
            return;
        }
        let _ = watcher.watch(first.serve_connection(io, service)).await;
    }
}
