//! Orders taken a second, and their whole way (order, mail, click, webhook), by one daemon on SQLite and by 1, 2 and 4 on one PostgreSQL, with
//! what each part of the machine spent on it: `cargo bench --bench hosts`. Every commit is durable. Needs Debian's `postgresql`.
//!
//! Daemons, database, mail sink, receiver and clicks share the machine: where it is busy, another daemon takes from the others.

#[expect(dead_code, reason = "the other measurements use the rest")]
mod client;
mod daemon;
#[expect(unreachable_pub, reason = "the tests' own module")]
#[path = "../it/support/postgres.rs"]
mod postgres;
mod process;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use daemon::Daemon;
use dcvd::demo::dns::DnsServer;
use dcvd::demo::smtp::Inbox;
use futures_util::stream::{self, StreamExt as _};
use tokio::net::TcpListener;

/// Orders under way at once.
const AT_ONCE: usize = 64;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` only wants to know that it builds and runs.
    let real = std::env::args().any(|one| one == "--bench");
    let (taken, whole) = if real { (6_000, 3_000) } else { (20, 4) };
    postgres::DURABLE.store(true, Ordering::SeqCst);
    let dir = tempfile::tempdir()?;
    let sqlite = format!("sqlite://{}/bench.db", dir.path().display());
    run("SQLite", dir.path(), &sqlite, 1, taken, whole).await?;
    for hosts in [1, 2, 4] {
        let dir = tempfile::tempdir()?;
        run("PostgreSQL", dir.path(), &postgres::database().await, hosts, taken, whole).await?;
    }
    Ok(())
}

async fn run(kind: &str, dir: &Path, database: &str, hosts: usize, taken: usize, whole: usize) -> anyhow::Result<()> {
    let dns = DnsServer::start().await?;
    let (inbox, completed) = (Inbox::start().await?, Arc::new(AtomicUsize::new(0)));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let hook = listener.local_addr()?;
    let counting = Arc::clone(&completed);
    let receiver = Router::new().route(
        "/",
        post(|body: Bytes| async move {
            if body.starts_with(b"{\"type\":\"order.completed\"") {
                counting.fetch_add(1, Ordering::SeqCst);
            }
            StatusCode::NO_CONTENT
        }),
    );
    tokio::spawn(async move { axum::serve(listener, receiver).await });
    let mut running = Vec::new();
    for number in 0..hosts {
        running.push(daemon::start(dir, database, number, [dns.address, inbox.address, hook])?);
    }
    for host in &running {
        host.ready().await?;
    }
    // The whole way first: nothing waits in the outbox by then.
    let (begin, before) = (Instant::now(), spent(&running));
    let addresses: Vec<SocketAddr> = running.iter().map(|host| host.address).collect();
    let ways = (0..whole).map(|at| daemon::through(addresses[at % addresses.len()], &inbox));
    let ways: Vec<anyhow::Result<()>> = stream::iter(ways).buffer_unordered(AT_ONCE).collect().await;
    ways.into_iter().collect::<anyhow::Result<()>>()?;
    while completed.load(Ordering::SeqCst) < whole {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let way = rate(whole, begin);
    let mut shares = String::new();
    let busy = begin.elapsed().as_secs_f64();
    for ((what, after), (_, before)) in spent(&running).into_iter().zip(before) {
        write!(shares, " {what} {:.2}", (after - before) / busy)?;
    }
    let (begin, mut placing) = (Instant::now(), tokio::task::JoinSet::new());
    for address in addresses.clone() {
        placing.spawn(client::once(address, daemon::requests(taken / hosts), 201, AT_ONCE / hosts));
    }
    let mut p99 = Duration::ZERO;
    while let Some(placed) = placing.join_next().await {
        p99 = p99.max(placed??.p99);
    }
    let placed = rate(taken, begin);
    println!(
        "{kind}, {hosts} daemons: {placed:.0} orders/s taken (p99 {p99:?}) while their mails go; whole way {way:.0} orders/s; cores busy meanwhile:{shares}"
    );
    Ok(())
}

/// Seconds that processors spent so far: on the daemons, the database, and this program (sink, receiver, clicks).
fn spent(hosts: &[Daemon]) -> Vec<(&'static str, f64)> {
    let of = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
        // User and system time of the process itself and of children that ended, in hundredths of a second.
        fields.get(11..15).into_iter().flatten().filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
    };
    let daemons = hosts.iter().map(|host| of(&host.process.id().to_string())).sum();
    let all = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let database = all
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres"))
        .map(|pid| of(&pid))
        .sum();
    vec![("daemons", daemons), ("database", database), ("the rest", of("self"))]
}

#[expect(clippy::cast_precision_loss, reason = "a count of orders is far below 2^52")]
fn rate(orders: usize, begin: Instant) -> f64 {
    orders as f64 / begin.elapsed().as_secs_f64()
}
