//! One daemon with a thousand, a million and ten million orders stored: how soon it is ready, how much memory it takes, and its rates
//! beside those with a thousand: `cargo bench --bench sizes`. Every commit is durable. Needs Debian's `postgresql`.
//!
//! `DCVD_BENCH_SIZES` says how many, as `1000,1000000`; `DCVD_BENCH_DATABASES` which, as `sqlite`. Ten million take some 30 GB and an hour.

#[expect(dead_code, reason = "another measurement uses the rest")]
mod client;
mod daemon;
#[expect(unreachable_pub, reason = "the tests' own module")]
#[path = "../it/support/postgres.rs"]
mod postgres;
mod process;
mod stored;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use dcvd::cli::wire::wire;
use dcvd::config::Config;
use dcvd::demo::dns::DnsServer;
use dcvd::demo::smtp::{Arrived, Inbox};
use futures_util::stream::{self, StreamExt as _};
use tokio::net::TcpListener;

const SIZES: &str = "1000,1000000,10000000";

/// What was measured, in the order of the table.
const WHAT: [&str; 4] = ["orders taken a second", "pages a second", "lists a second", "whole ways a second"];

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "a bench is told by the environment")]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` only wants to know that it builds and runs.
    let real = std::env::args().any(|one| one == "--bench");
    let told = std::env::var("DCVD_BENCH_SIZES").unwrap_or_else(|_| SIZES.to_owned());
    let sizes = if real { told.split(',').map(str::parse).collect::<Result<Vec<u64>, _>>()? } else { vec![100] };
    let databases = std::env::var("DCVD_BENCH_DATABASES").unwrap_or_else(|_| "sqlite,postgres".to_owned());
    let _ = rustls::crypto::ring::default_provider().install_default();
    postgres::DURABLE.store(true, Ordering::SeqCst);
    for database in databases.split(',') {
        let mut first = None;
        for orders in &sizes {
            let dir = tempfile::tempdir()?;
            let url = match database {
                "sqlite" => format!("sqlite://{}/bench.db", dir.path().display()),
                _ => postgres::database().await,
            };
            let rates = at_size(database, dir.path(), &url, *orders, real).await?;
            let first = *first.get_or_insert(rates);
            for ((what, rate), first) in WHAT.iter().zip(rates).zip(first) {
                println!("  {what}: {rate:.0}, {:.2} of the first size's (the target is 0.85)", rate / first);
            }
        }
    }
    Ok(())
}

async fn at_size(kind: &str, dir: &Path, url: &str, orders: u64, real: bool) -> anyhow::Result<[f64; 4]> {
    let begin = Instant::now();
    fill(dir, url, orders).await?;
    let (dns, inbox) = (DnsServer::start().await?, Inbox::start().await?);
    let completed = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let hook = listener.local_addr()?;
    let counting = Arc::clone(&completed);
    let receiver = Router::new().route(
        "/",
        post(|body: Bytes| async move {
            counting.fetch_add(usize::from(body.starts_with(b"{\"type\":\"order.completed\"")), Ordering::SeqCst);
            StatusCode::NO_CONTENT
        }),
    );
    tokio::spawn(async move { axum::serve(listener, receiver).await });
    let filled = begin.elapsed();
    let begin = Instant::now();
    let daemon = daemon::start(dir, url, 0, [dns.address, inbox.address, hook])?;
    daemon.ready().await?;
    let ready = begin.elapsed();
    let at_first = memory(&daemon, "VmRSS")?;
    let (server, seconds, many) =
        if real { (daemon.address, Duration::from_secs(3), 3_000) } else { (daemon.address, Duration::ZERO, 4) };

    client::once(server, daemon::requests(many / 4), 201, client::CONNECTIONS).await?;
    let taken = client::once(server, daemon::requests(many), 201, client::CONNECTIONS).await?;
    let (recipient, request) = daemon::order();
    client::ask(server, &request, 201).await?;
    let link = loop {
        if let Some(link) = inbox.arrived_for(&recipient).iter().find_map(Arrived::link) {
            break link;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // Nothing of what was placed waits any more.
    tokio::time::sleep(seconds * 5).await;
    let path = link.trim_start_matches("http://bench.example");
    let page = client::repeat(server, format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").as_bytes(), 200, seconds).await?;
    let listing = format!(
        "GET /v1/orders?state=pending&limit=20 HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\n\r\n",
        daemon::TOKEN
    );
    let list = client::repeat(server, listing.as_bytes(), 200, seconds).await?;
    let (begin, before) = (Instant::now(), completed.load(Ordering::SeqCst));
    let ways = (0..many / 3).map(|_| daemon::through(server, &inbox));
    let ways: Vec<anyhow::Result<()>> = stream::iter(ways).buffer_unordered(client::CONNECTIONS).collect().await;
    ways.into_iter().collect::<anyhow::Result<()>>()?;
    while completed.load(Ordering::SeqCst) < before + many / 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of orders is far below 2^52")]
    let way = (many / 3) as f64 / begin.elapsed().as_secs_f64();
    println!(
        "{kind}, {orders} orders stored (written in {filled:.0?}): ready in {ready:.0?} (the limit is 2 s), {at_first} MB at first, {} MB at most (the limit is 150 MB)",
        memory(&daemon, "VmHWM")?
    );
    Ok([taken.rate, page.rate, list.rate, way])
}

/// Makes a database with so many orders; all are counted for the statistics already.
async fn fill(dir: &Path, url: &str, orders: u64) -> anyhow::Result<()> {
    let profiles = dir.join("filling");
    std::fs::create_dir(&profiles)?;
    std::fs::write(profiles.join("standard.toml"), include_str!("../../config/profiles/standard.toml"))?;
    let path = dir.join("filling.toml");
    let text = format!(
        "profile_dir = \"{}\"\n[database]\nurl = \"{url}\"\n[dns]\nnameservers = [\"127.0.0.1:9\"]\n[log]\nfilter = \"error\"\n",
        profiles.display()
    );
    std::fs::write(&path, text)?;
    let app = wire(&Config::load(Some(&path), Vec::new())?).await?;
    let hash = app.profiles.get(None).map(|one| one.hash.to_vec()).unwrap_or_default();
    stored::fill(url, orders, &hash, app.now()).await?;
    stored::counted(url).await?;
    app.store.close().await;
    Ok(())
}

/// Megabytes of a daemon, by a line of what the kernel tells of it.
fn memory(daemon: &daemon::Daemon, what: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_default();
    let kilobytes: u64 = line.chars().filter(char::is_ascii_digit).collect::<String>().parse()?;
    Ok(kilobytes / 1024)
}
