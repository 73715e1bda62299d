//! How long every screen of the status page takes with a million orders stored, in SQLite and in PostgreSQL: `cargo bench --bench screens`.
//! Needs Debian's `postgresql`.
//!
//! `DCVD_BENCH_ORDERS` says how many. Orders are spread over a year; one in twenty is pending, one in a hundred has a mail that came back. The target is 300 ms at the median.

#[expect(unreachable_pub, reason = "the tests' own module")]
#[path = "../it/support/postgres.rs"]
mod postgres;
mod process;
#[expect(dead_code, reason = "another measurement uses the rest")]
mod stored;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dcvd::cli::serve::run_until;
use dcvd::cli::wire::wire;
use dcvd::config::Config;
use dcvd::dcv::id::OrderId;
use dcvd::http::Routes;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Looks at each screen.
const LOOKS: usize = 9;

const TARGET: Duration = Duration::from_millis(300);

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "a bench is told by the environment")]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` only wants to know that it builds and runs.
    let real = std::env::args().any(|one| one == "--bench");
    let told = std::env::var("DCVD_BENCH_ORDERS").ok().and_then(|text| text.parse().ok());
    let orders: u64 = if real { told.unwrap_or(1_000_000) } else { 1_000 };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir()?;
    on(&format!("sqlite://{}/bench.db", dir.path().display()), orders).await?;
    on(&postgres::database().await, orders).await
}

async fn on(url: &str, orders: u64) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    println!("{}", url.split(':').next().unwrap_or_default());
    let profiles = dir.path().join("profiles");
    std::fs::create_dir(&profiles)?;
    std::fs::write(profiles.join("standard.toml"), include_str!("../../config/profiles/standard.toml"))?;
    let path = dir.path().join("dcvd.toml");
    let text = format!(
        "profile_dir = \"{}/profiles\"\n[database]\nurl = \"{url}\"\n[dns]\nnameservers = [\"127.0.0.1:9\"]\n",
        dir.path().display()
    );
    std::fs::write(&path, text)?;
    let config = Config::load(Some(&path), Vec::new())?;
    let app = Arc::new(wire(&config).await?);
    let hash = app.profiles.get(None).map(|one| one.hash.to_vec()).unwrap_or_default();
    let (begin, now) = (Instant::now(), app.now());
    stored::fill(url, orders, &hash, now).await?;
    println!("{orders} orders written in {:?}", begin.elapsed());
    let begin = Instant::now();
    let mut counted = 0;
    loop {
        match dcvd::app::tally::count_round(&app).await? {
            0 => break,
            some => counted += some,
        }
    }
    println!("{counted} entries counted in {:?}", begin.elapsed());

    let stop = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    let serving = tokio::spawn({
        let (stop, app) = (stop.clone(), Arc::clone(&app));
        async move { run_until(app, &config, vec![(listener, Routes::All)], false, stop).await }
    });
    let order = OrderId::from_bytes(stored::id(7, orders / 2, now, orders));
    let slow = look(server, order).await?;
    stop.cancel();
    serving.await??;
    println!("{slow} screens are slower than {TARGET:?} at the median");
    Ok(())
}

/// Looks at every screen; how many were too slow.
async fn look(server: SocketAddr, order: OrderId) -> anyhow::Result<usize> {
    let (mut slow, client) = (0, reqwest::Client::new());
    for path in [
        "/admin".to_owned(),
        "/admin/orders".to_owned(),
        "/admin/orders?state=pending".to_owned(),
        "/admin/orders?is=in-trouble".to_owned(),
        "/admin/orders?is=due-soon".to_owned(),
        "/admin/orders?is=undelivered".to_owned(),
        "/admin/orders?q=R-500000".to_owned(),
        "/admin/orders?q=d77.example.jp".to_owned(),
        "/admin/orders?q=admin@d77.example.jp".to_owned(),
        "/admin/orders?q=nowhere".to_owned(),
        "/admin/orders?profile=none&kind=renewal&source=whois".to_owned(),
        "/admin/orders?from=2026-01-01&to=2026-01-31".to_owned(),
        format!("/admin/orders/{order}"),
        "/admin/statistics".to_owned(),
        "/admin/statistics?days=365&by=class".to_owned(),
        "/admin/statistics?by=domain".to_owned(),
        "/admin/domains?name=d77.example.jp".to_owned(),
        "/admin/approvers?address=admin@d77.example.jp".to_owned(),
        "/admin/webhooks".to_owned(),
        "/admin/returned".to_owned(),
        "/admin/profiles".to_owned(),
        "/admin/exports".to_owned(),
    ] {
        let url = format!("http://{server}{path}");
        let mut times = Vec::with_capacity(LOOKS);
        for _ in 0..LOOKS {
            let begin = Instant::now();
            client.get(&url).send().await?.error_for_status()?.bytes().await?;
            times.push(begin.elapsed());
        }
        times.sort();
        let (median, longest) = (times[LOOKS / 2], times[LOOKS - 1]);
        let mark = if median > TARGET { "  TOO SLOW" } else { "" };
        slow += usize::from(median > TARGET);
        println!("{path}: {median:.1?} at the median, {longest:.1?} at most{mark}");
    }
    Ok(slow)
}
