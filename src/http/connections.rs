//! Accepts connections and speaks HTTP on them. Whoever is slow to ask or to listen costs a place for some seconds, and no more; nobody
//! takes all places.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_io_timeout::TimeoutStream;
use tokio_util::io::InspectWriter;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::caller::neighbourhood;

/// How long is waited for what a connection should bring.
#[derive(Clone, Copy)]
struct Times {
    /// A request's head; also how long a connection may rest, which is neither to work on a request nor to take an answer.
    head: Duration,
    /// Anything to be taken of an answer that is still made.
    take: Duration,
    /// The same where the connection is to end.
    parting: Duration,
    /// Each part of an answer to be taken, however much else is said meanwhile; also the end of a rest, whatever is said in it.
    stall: Duration,
}

const TIMES: Times = Times {
    head: Duration::from_secs(10),
    take: Duration::from_secs(30),
    parting: Duration::from_secs(5),
    stall: Duration::from_secs(300),
};

/// What the kernel may keep of an answer, in bytes; it takes more when a third of it has gone, which whoever is slow must live to see.
const SEND_BUFFER: usize = 128 * 1024;

/// Longest request head, in bytes.
const HEAD_MAX_BYTES: u16 = 32 * 1024;

/// Connections open at once; more wait in the kernel.
const CONNECTIONS_MAX: usize = 4096;

/// Of one address, so that no single stranger takes all places. Those that speak for many, this host's and trusted proxies, may have more.
const CONNECTIONS_OF_ONE: usize = 256;

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

    /// Where it comes from.
    fn address(peer: &Self::Peer) -> IpAddr;

    /// The next one, and whether HTTP/2 was agreed on.
    fn next(&mut self) -> impl Future<Output = io::Result<(Self::Io, Self::Peer, bool)>> + Send;
}

impl Connections for TcpListener {
    type Io = TcpStream;
    type Peer = SocketAddr;

    fn address(peer: &SocketAddr) -> IpAddr {
        peer.ip()
    }

    async fn next(&mut self) -> io::Result<(TcpStream, SocketAddr, bool)> {
        let (stream, peer) = self.accept().await?;
        prepare(&stream);
        Ok((stream, peer, false))
    }
}

/// An answer goes out at once, and the kernel does not keep so much of it that nobody can tell whether it is taken.
pub(super) fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_send_buffer_size(SEND_BUFFER);
}

/// What an address answers with.
pub(crate) struct Answering {
    /// The routes.
    pub(crate) router: Router,
    /// Those who speak for many.
    pub(crate) proxies: Vec<IpNet>,
}

impl Answering {
    /// Whether an address may have connections for others.
    pub(super) fn speaks_for_many(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_loopback() || self.proxies.iter().any(|net| net.contains(&address))
    }
}

/// What each address has of something there is only so much of; IPv6 by /64.
#[derive(Clone)]
pub(super) struct Shares {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most: usize,
}

/// One of an address' shares, given back when dropped.
pub(super) struct Share(Shares, IpAddr);

impl Shares {
    /// So many for each address.
    pub(super) fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// One for an address; `None` where it has all of its own.
    pub(super) fn take(&self, address: IpAddr) -> Option<Share> {
        let address = neighbourhood(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share(self.clone(), address))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.1);
            }
        }
    }
}

/// Answers every request with what `current` gives at that moment, until `stop`; then lets what is under way end.
pub(crate) async fn serve<C: Connections>(
    connections: C,
    current: impl Fn() -> Arc<Answering> + Clone + Send + 'static,
    stop: CancellationToken,
) {
    serve_within(TIMES, connections, current, stop).await;
}

async fn serve_within<C: Connections>(
    times: Times,
    mut connections: C,
    current: impl Fn() -> Arc<Answering> + Clone + Send + 'static,
    stop: CancellationToken,
) {
    let (places, shares, mut open) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), Shares::new(CONNECTIONS_OF_ONE), JoinSet::new());
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
        let address = C::address(&peer);
        let share = if current().speaks_for_many(address) { None } else { Some(shares.take(address)) };
        if matches!(share, Some(None)) {
            metrics::counter!("dcvd_connections_refused_total").increment(1);
            tracing::debug!(%address, "too many connections of one address");
            continue;
        }
        let (current, peer, doing) = (current.clone(), ConnectInfo(peer), Doing::nothing());
        let counting = Arc::clone(&doing);
        let service = tower::service_fn(move |mut request: axum::http::Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            let mut under_way = UnderWay::begin(&counting);
            let answered = current().router.clone().oneshot(request.map(Body::new));
            async move {
                let answered = answered.await;
                under_way.work(false);
                // To the end of what is said, not only of thinking about it.
                answered.map(|answer| answer.map(|body| Answer { body, under_way }))
            }
        });
        let taking = Arc::clone(&doing);
        // What was said may still be on its way when the request has ended.
        let mut io = TimeoutStream::new(InspectWriter::new(io, move |_| with(&taking, |doing| doing.taken = Instant::now())));
        io.set_write_timeout(Some(times.take));
        let spoken = speak(TokioIo::new(Box::pin(io)), TowerToHyperService::new(service), http2, doing, times, stop.clone());
        open.spawn(async move {
            spoken.await;
            drop((place, share));
        });
    }
    drop(connections);
    while open.join_next().await.is_some() {}
}

/// What goes on on a connection.
struct Doing {
    /// Requests under way, to the end of what is said.
    under_way: usize,
    /// Those of them that wait for us, and not for who asked: not answered yet, or a stream with nothing to say at the moment.
    thought_of: usize,
    /// When the last ended.
    ended: Instant,
    /// When anything was last taken of an answer.
    taken: Instant,
    /// When an answer was last worked at.
    worked: Instant,
}

impl Doing {
    fn nothing() -> Arc<Mutex<Self>> {
        let now = Instant::now();
        Arc::new(Mutex::new(Self { under_way: 0, thought_of: 0, ended: now, taken: now, worked: now }))
    }

    /// For how long it has rested, at most `stall` if only somebody says something now and then; `stall` too where an answer is not taken.
    fn rested(&self, stall: Duration) -> Duration {
        let (idle, since) = match (self.under_way, self.thought_of) {
            (0, _) => (self.ended.max(self.taken).elapsed(), self.ended),
            (_, 0) => (Duration::ZERO, self.worked),
            _ => return Duration::ZERO,
        };
        if since.elapsed() >= stall { stall } else { idle }
    }
}

type Shared = Arc<Mutex<Doing>>;

fn with<T>(doing: &Shared, work: impl FnOnce(&mut Doing) -> T) -> T {
    work(&mut doing.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A request under way, counted.
struct UnderWay {
    doing: Shared,
    thought_of: bool,
}

impl UnderWay {
    fn begin(doing: &Shared) -> Self {
        with(doing, |doing| {
            doing.under_way += 1;
            doing.thought_of += 1;
        });
        Self { doing: Arc::clone(doing), thought_of: true }
    }

    /// Whether it waits for us, or there is something to be taken.
    fn work(&mut self, waits_for_us: bool) {
        let before = std::mem::replace(&mut self.thought_of, waits_for_us);
        with(&self.doing, |doing| {
            doing.thought_of = doing.thought_of + usize::from(waits_for_us) - usize::from(before);
            doing.worked = Instant::now();
        });
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        with(&self.doing, |doing| {
            doing.under_way -= 1;
            doing.thought_of -= usize::from(self.thought_of);
            doing.ended = Instant::now();
        });
    }
}

/// What is answered, under way to its end.
struct Answer {
    body: Body,
    under_way: UnderWay,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.under_way.work(polled.is_pending());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Ends once a connection rested for so long, or stalls; looks when that may be, so that requests wake nobody.
async fn quiet(doing: &Shared, time: Duration, stall: Duration) {
    loop {
        let rested = with(doing, |doing| doing.rested(stall));
        match time.min(stall).checked_sub(rested) {
            None | Some(Duration::ZERO) => return,
            Some(left) => sleep(left).await,
        }
    }
}

/// Speaks HTTP on one connection to its end.
#[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "HTTP/2 is agreed on over TLS alone"))]
async fn speak<I, S, B>(io: TokioIo<I>, service: S, http2: bool, doing: Shared, times: Times, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: hyper::service::Service<
            axum::http::Request<Incoming>,
            Response = axum::http::Response<B>,
            Error = std::convert::Infallible,
        > + Send
        + 'static,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    use hyper::server::conn::http1;
    #[cfg(feature = "tls")]
    if http2 {
        use hyper::server::conn::http2;
        let mut builder = http2::Builder::new(hyper_util::rt::TokioExecutor::new());
        builder.timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX).max_header_list_size(HEAD_MAX_BYTES.into());
        // Later than a rest may last: asking for a sign of life would end it.
        builder.keep_alive_interval(times.head * 2).keep_alive_timeout(times.head);
        return drive(builder.serve_connection(io, service), &doing, times, &stop).await;
    }
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(times.head).max_buf_size(HEAD_MAX_BYTES.into());
    drive(builder.serve_connection(io, service), &doing, times, &stop).await;
}

/// Lets a connection go on until it ends, rests too long, or the daemon stops; then no new request begins, and those under way end.
async fn drive<C: GracefulConnection>(connection: C, doing: &Shared, times: Times, stop: &CancellationToken) {
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = quiet(doing, times.head, times.stall) => {}
        () = stop.cancelled() => {}
    }
    // Time to say so, and to hear what was asked before that was known.
    let begun = Instant::now();
    with(doing, |doing| (doing.ended, doing.taken) = (doing.ended.max(begun), begun));
    connection.as_mut().graceful_shutdown();
    // Whoever does not part by then is hung up on.
    tokio::select! {
        biased;
        _ = connection => {}
        () = quiet(doing, times.parting, times.take) => {}
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    /// Connections that a test makes.
    impl Connections for mpsc::UnboundedReceiver<(DuplexStream, SocketAddr, bool)> {
        type Io = DuplexStream;
        type Peer = SocketAddr;

        fn address(peer: &SocketAddr) -> IpAddr {
            peer.ip()
        }

        async fn next(&mut self) -> io::Result<(DuplexStream, SocketAddr, bool)> {
            match self.recv().await {
                Some(connection) => Ok(connection),
                None => std::future::pending().await,
            }
        }
    }

    /// What is under way to whoever does not read.
    const PIPE: usize = 4096;

    /// Short enough to be waited for. Each is clear of the others, so that it shows which of them hung up.
    const QUICK: Times = Times {
        head: Duration::from_secs(2),
        take: Duration::from_millis(500),
        parting: Duration::from_secs(1),
        stall: Duration::from_secs(4),
    };

    struct Server {
        connections: mpsc::UnboundedSender<(DuplexStream, SocketAddr, bool)>,
        stop: CancellationToken,
        serving: tokio::task::JoinHandle<()>,
    }

    impl Server {
        fn start() -> Self {
            let (connections, come) = mpsc::unbounded_channel();
            let router = Router::new().route("/", get(async || "here")).route("/large", get(async || vec![b'x'; 1 << 20]));
            let endless = get(async || {
                Body::from_stream(futures_util::stream::repeat(Ok::<_, std::convert::Infallible>(&[b'x'; 1024][..])))
            });
            let later = get(async || {
                Body::from_stream(futures_util::stream::once(async {
                    sleep(QUICK.stall * 3 / 2).await;
                    Ok::<_, std::convert::Infallible>("at last")
                }))
            });
            let router = router.route("/endless", endless).route("/later", later);
            let current = Arc::new(Answering { router, proxies: vec!["198.51.100.0/24".parse().unwrap()] });
            let stop = CancellationToken::new();
            let serving = tokio::spawn(serve_within(QUICK, come, move || Arc::clone(&current), stop.clone()));
            Self { connections, stop, serving }
        }

        fn connect(&self, from: &str, http2: bool) -> DuplexStream {
            let (ours, theirs) = duplex(PIPE);
            self.connections.send((theirs, SocketAddr::new(from.parse().unwrap(), 4711), http2)).unwrap();
            ours
        }
    }

    const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: example\r\n\r\n";

    /// Whether a request is answered; no connection is closed for it.
    async fn is_answered(stream: &mut DuplexStream) -> bool {
        let mut said = [0; 12];
        stream.write_all(ASK).await.is_ok() && stream.read_exact(&mut said).await.is_ok() && said == *b"HTTP/1.1 200"
    }

    /// Waits until the other side hangs up; what it said.
    async fn until_closed(mut stream: DuplexStream) -> Vec<u8> {
        let mut said = Vec::new();
        let _ = timeout(Duration::from_secs(60), stream.read_to_end(&mut said)).await.expect("it hangs up");
        said
    }

    #[tokio::test]
    async fn who_says_nothing_or_takes_nothing_is_hung_up_on() {
        let server = Server::start();
        until_closed(server.connect("192.0.2.1", false)).await;
        let mut rested = server.connect("192.0.2.1", false);
        assert!(is_answered(&mut rested).await);
        until_closed(rested).await;
        // It asks for much and takes nothing of it; the rest is never sent.
        let mut slow = server.connect("192.0.2.1", false);
        slow.write_all(b"GET /endless HTTP/1.1\r\nhost: example\r\n\r\n").await.unwrap();
        sleep(QUICK.take * 3).await;
        let taken = until_closed(slow).await.len();
        assert!(taken <= PIPE, "{taken}");
    }

    #[cfg(feature = "tls")]
    #[tokio::test]
    async fn a_second_version_connection_that_only_answers_signs_of_life_is_given_up() {
        const HEADERS: u8 = 1;
        const GOAWAY: u8 = 7;
        let server = Server::start();
        // The first request's answer may not be sent, since the window for it is closed.
        let ask = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01x";
        let nothing = b"\0\0\0\x04\0\0\0\0\0";
        let silent = |say: &'static [u8]| {
            let stream = server.connect("192.0.2.1", true);
            async move {
                let (mut from, mut to) = tokio::io::split(stream);
                to.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
                to.write_all(say).await.unwrap();
                // It says something all the time, and never a request.
                let pinging = tokio::spawn(async move {
                    while to.write_all(b"\0\0\x08\x06\0\0\0\0\0pingping").await.is_ok() {
                        sleep(QUICK.head / 10).await;
                    }
                });
                let (mut head, mut kinds) = ([0; 9], Vec::new());
                while from.read_exact(&mut head).await.is_ok() {
                    let length = usize::from(head[1]) << 8 | usize::from(head[2]);
                    from.read_exact(&mut vec![0; length]).await.unwrap();
                    kinds.push(head[3]);
                }
                pinging.abort();
                kinds
            }
        };
        let patience = Duration::from_secs(60);
        let (rested, stalled) = tokio::join!(timeout(patience, silent(nothing)), timeout(patience, silent(ask)));
        assert!(rested.expect("it does not rest for ever").contains(&GOAWAY), "it is told");
        assert!(stalled.expect("nor does what nobody takes wait for ever").contains(&HEADERS), "there was an answer");
        let stopping = async {
            sleep(QUICK.head / 2).await;
            server.stop.cancel();
        };
        timeout(patience, async { tokio::join!(silent(nothing), stopping) }).await.expect("nor does a stop wait for it");
        timeout(patience, server.serving).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn nobody_takes_all_places_but_those_who_speak_for_many() {
        let server = Server::start();
        let mut stranger = Vec::new();
        // All at once, before the first has rested too long.
        for _ in 0..CONNECTIONS_OF_ONE {
            stranger.push(server.connect("2001:db8::1", false));
        }
        assert!(is_answered(stranger.last_mut().unwrap()).await);
        assert!(!is_answered(&mut server.connect("2001:db8::2", false)).await, "the neighbour is the same host");
        assert!(is_answered(&mut server.connect("2001:db8:0:1::1", false)).await, "another is served");
        drop(stranger);
        while !is_answered(&mut server.connect("2001:db8::1", false)).await {
            // Places are given back.
            sleep(Duration::from_millis(1)).await;
        }
        for proxy in ["198.51.100.7", "127.0.0.1", "::ffff:127.0.0.1"] {
            let mut many = Vec::new();
            for _ in 0..=CONNECTIONS_OF_ONE {
                many.push(server.connect(proxy, false));
            }
            assert!(is_answered(many.last_mut().unwrap()).await, "{proxy}");
        }
    }

    #[tokio::test]
    async fn whoever_waits_for_us_is_waited_for() {
        let mut stream = Server::start().connect("192.0.2.1", false);
        stream.write_all(b"GET /later HTTP/1.1\r\nhost: example\r\n\r\n").await.unwrap();
        assert!(String::from_utf8_lossy(&until_closed(stream).await).contains("at last"));
    }

    #[tokio::test]
    async fn a_stop_lets_what_is_under_way_end() {
        let server = Server::start();
        let mut stream = server.connect("192.0.2.1", false);
        stream.write_all(b"GET /large HTTP/1.1\r\nhost: example\r\n\r\n").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'H');
        server.stop.cancel();
        let mut taken = Vec::new();
        stream.read_to_end(&mut taken).await.unwrap();
        assert!(taken.len() > 1 << 20, "the whole answer arrives");
        server.serving.await.unwrap();
    }
}
