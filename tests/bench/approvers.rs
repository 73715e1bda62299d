//! `GET /v1/approvers` for constructed addresses beside an empty handler, in turns on the same machine: `cargo bench --bench approvers`.
//!
//! Both are asked by the same client over loopback with keep-alive, each request waiting for its answer. The client shares the
//! machine with them, so both rates are lower than a server's alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use dcvd::cli::serve::{run_until, wire};
use dcvd::config::Config;
use dcvd::http::Routes;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const TOKEN: &str = "bench";
const PROFILE: &str = "extends = \"standard\"\naddresses.sources = [\"constructed\"]\n";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` only wants to know that it builds and runs.
    let (rounds, round) = if std::env::args().any(|one| one == "--bench") { (ROUNDS, ROUND) } else { (1, ROUND / 30) };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir()?;
    let profiles = dir.path().join("profiles");
    std::fs::create_dir(&profiles)?;
    std::fs::write(profiles.join("standard.toml"), include_str!("../../config/profiles/standard.toml"))?;
    std::fs::write(profiles.join("quick.toml"), PROFILE)?;
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(TOKEN.as_bytes()));
    let path = dir.path().join("dcvd.toml");
    let text = format!(
        "profile_dir = \"{0}/profiles\"\ndefault_profile = \"quick\"\n[database]\nurl = \"sqlite://{0}/bench.db\"\n\
         [dns]\nnameservers = [\"127.0.0.1:9\"]\n[[clients]]\nname = \"bench\"\ntoken_sha256 = \"{hash}\"\n",
        dir.path().display()
    );
    std::fs::write(&path, text)?;
    let config = Config::load(Some(&path), Vec::new())?;
    let stop = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ours = listener.local_addr()?;
    let app = Arc::new(wire(&config).await?);
    let serving = tokio::spawn({
        let stop = stop.clone();
        async move { run_until(app, &config, vec![(listener, Routes::All)], false, stop).await }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let empty = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(|| async {}))).await });
    let (mut sum_ours, mut sum_empty) = (0.0, 0.0);
    for number in 1..=rounds {
        let (a, b) = (rate(empty, "/", round).await?, rate(ours, "/v1/approvers?name=www.example.co.jp", round).await?);
        println!("round {number}: empty handler {a:.0}/s, GET /v1/approvers {b:.0}/s, {:.2}", b / a);
        sum_empty += a;
        sum_ours += b;
    }
    println!("in all: {:.2} of the empty handler's rate (the target is 0.50)", sum_ours / sum_empty);
    stop.cancel();
    serving.await??;
    Ok(())
}

/// Requests answered a second.
async fn rate(server: SocketAddr, path: &str, time: Duration) -> anyhow::Result<f64> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {server}\r\nauthorization: Bearer {TOKEN}\r\n\r\n").into_bytes();
    let (request, answered) = (Arc::new(request), Arc::new(AtomicU64::new(0)));
    let (begin, mut asking) = (Instant::now(), tokio::task::JoinSet::new());
    for _ in 0..CONNECTIONS {
        let (request, answered) = (Arc::clone(&request), Arc::clone(&answered));
        asking.spawn(async move {
            let mut stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            let mut buffer = Vec::with_capacity(16 * 1024);
            while begin.elapsed() < time {
                stream.write_all(&request).await?;
                answer(&mut stream, &mut buffer).await?;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
    let answered = answered.load(Ordering::Relaxed) as f64;
    Ok(answered / begin.elapsed().as_secs_f64())
}

/// Reads one answer to its end, in as few reads as it takes: the client must not be what is measured.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    buffer.clear();
    let mut whole = None;
    while whole.is_none_or(|whole| buffer.len() < whole) {
        anyhow::ensure!(stream.read_buf(buffer).await? > 0, "the server closed the connection");
        if whole.is_none()
            && let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let text = std::str::from_utf8(&buffer[..head])?;
            anyhow::ensure!(text.starts_with("HTTP/1.1 200"), "{text}");
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            whole = Some(head + 4 + length.map_or(Ok(0), str::parse::<usize>)?);
        }
    }
    Ok(())
}
