//! A plain HTTP client for measuring servers: keep-alive, one request after the other on each connection, few system calls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// Requests that wait for their answers at once, where nothing else is said.
pub(super) const CONNECTIONS: usize = 64;

/// What a round brought.
pub(super) struct Measured {
    /// Requests answered a second.
    pub(super) rate: f64,
    /// The time that 99 of 100 stayed below.
    pub(super) p99: Duration,
}

/// Asks the same again and again for a while.
pub(super) async fn repeat(server: SocketAddr, request: &[u8], status: u16, time: Duration) -> anyhow::Result<Measured> {
    let request = Arc::new(request.to_vec());
    measure(server, status, CONNECTIONS, move |begin: Instant| {
        let request = Arc::clone(&request);
        async move { (begin.elapsed() < time).then_some(request) }
    })
    .await
}

/// Sends each of some requests once, over so many connections.
pub(super) async fn once(
    server: SocketAddr,
    requests: Vec<Vec<u8>>,
    status: u16,
    connections: usize,
) -> anyhow::Result<Measured> {
    let requests = Arc::new(Mutex::new(requests));
    measure(server, status, connections, move |_| {
        let requests = Arc::clone(&requests);
        async move { requests.lock().await.pop().map(Arc::new) }
    })
    .await
}

async fn measure<F, N>(server: SocketAddr, status: u16, connections: usize, next: F) -> anyhow::Result<Measured>
where
    F: Fn(Instant) -> N + Clone + Send + 'static,
    N: Future<Output = Option<Arc<Vec<u8>>>> + Send,
{
    let (begin, mut asking) = (Instant::now(), tokio::task::JoinSet::new());
    for _ in 0..connections {
        let next = next.clone();
        asking.spawn(async move {
            let (mut connection, mut times) = (Connection::to(server).await?, Vec::new());
            while let Some(request) = next(begin).await {
                let sent = Instant::now();
                connection.ask(&request, status).await?;
                times.push(sent.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(asked) = asking.join_next().await {
        times.extend(asked??);
    }
    let elapsed = begin.elapsed().as_secs_f64();
    times.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
    let rate = times.len() as f64 / elapsed;
    Ok(Measured { rate, p99: times.get(times.len() * 99 / 100).copied().unwrap_or_default() })
}

/// One connection, for one request after the other.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn to(server: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(32 * 1024) })
    }

    /// Asks and reads the answer to its end.
    pub(super) async fn ask(&mut self, request: &[u8], status: u16) -> anyhow::Result<()> {
        let told = self.told(request).await?;
        anyhow::ensure!(told == status, "{}", String::from_utf8_lossy(&self.buffer));
        Ok(())
    }

    /// As [`Connection::ask`], whatever is answered; the status.
    pub(super) async fn told(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        answer(&mut self.stream, &mut self.buffer).await
    }
}

/// Asks once and returns the body.
pub(super) async fn ask(server: SocketAddr, request: &[u8], status: u16) -> anyhow::Result<String> {
    let mut connection = Connection::to(server).await?;
    connection.ask(request, status).await?;
    let whole = String::from_utf8_lossy(&connection.buffer).into_owned();
    Ok(whole.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Reads one answer to its end, in as few reads as it takes: the client must not be what is measured. Its status.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<u16> {
    buffer.clear();
    let (mut whole, mut status) = (None, 0);
    while whole.is_none_or(|whole| buffer.len() < whole) {
        anyhow::ensure!(stream.read_buf(buffer).await? > 0, "the server closed the connection");
        if whole.is_none()
            && let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let text = std::str::from_utf8(&buffer[..head])?;
            let line = text.strip_prefix("HTTP/1.1 ").and_then(|line| line.get(..3));
            status = line.and_then(|status| status.parse().ok()).ok_or_else(|| anyhow::anyhow!("no answer: {text}"))?;
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            whole = Some(head + 4 + length.map_or(Ok(0), str::parse::<usize>)?);
        }
    }
    Ok(status)
}
