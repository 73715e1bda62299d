//! Orders taken a second, and their whole way (order, mail, click, webhook), by one daemon on SQLite and by 1, 2 and 4 on one PostgreSQL, with
//! what each part of the machine spent on it: `cargo bench --bench hosts`. Every commit is durable. Needs Debian's `postgresql`.
//!
//! Daemons, database, mail sink, receiver and clicks share the machine: where it is busy, another daemon takes from the others.

#[expect(dead_code, reason = "the other measurements use the rest")]
mod client;
#[expect(unreachable_pub, reason = "the tests' own module")]
#[path = "../it/support/postgres.rs"]
mod postgres;

/// What the cluster needs of the tests' own module of this name.
mod process {
    use std::net::{SocketAddr, TcpListener};

    /// An address that is free now.
    pub(crate) fn address() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.local_addr().expect("it has an address")
    }
}

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use dcvd::demo::dns::DnsServer;
use dcvd::demo::smtp::{Arrived, Inbox};
use futures_util::stream::{self, StreamExt as _};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

const TOKEN: &str = "bench";
const PROFILE: &str = "extends = \"standard\"\naddresses.sources = [\"constructed\"]\n";

/// Orders under way at once.
const AT_ONCE: usize = 64;

static NUMBER: AtomicUsize = AtomicUsize::new(1);

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

/// Kills its daemon when dropped.
struct Host(Child, SocketAddr);

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
        running.push(host(dir, database, number, [dns.address, inbox.address, hook])?);
    }
    for Host(_, address) in &running {
        let end = Instant::now() + Duration::from_secs(20);
        while client::ask(*address, b"GET /readyz HTTP/1.1\r\nhost: bench\r\n\r\n", 200).await.is_err() {
            anyhow::ensure!(Instant::now() < end, "a daemon is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // The whole way first: nothing waits in the outbox by then.
    let (begin, before) = (Instant::now(), spent(&running));
    let addresses: Vec<SocketAddr> = running.iter().map(|host| host.1).collect();
    let ways = (0..whole).map(|at| through(addresses[at % addresses.len()], &inbox));
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
        placing.spawn(client::once(address, requests(taken / hosts), 201, AT_ONCE / hosts));
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

/// Starts a daemon of its own address; links lead to it.
fn host(dir: &Path, database: &str, number: usize, [dns, inbox, hook]: [SocketAddr; 3]) -> anyhow::Result<Host> {
    let (profiles, address) = (dir.join("profiles"), process::address());
    std::fs::create_dir_all(&profiles)?;
    std::fs::write(profiles.join("standard.toml"), include_str!("../../config/profiles/standard.toml"))?;
    std::fs::write(profiles.join("quick.toml"), PROFILE)?;
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(TOKEN.as_bytes()));
    let path = dir.join(format!("dcvd-{number}.toml"));
    let text = format!(
        "profile_dir = \"{}\"\ndefault_profile = \"quick\"\n[server]\nlisten = \"{address}\"\npublic_url = \"http://bench.example\"\n\
         [database]\nurl = \"{database}\"\n[dns]\nnameservers = [\"{dns}\"]\n[limits]\nclient_rate = \"4000000/1s\"\n\
         [smtp]\nurl = \"smtp://{inbox}\"\nfrom = \"dcv@dcv.example.net\"\nbounce_address = \"bounce@dcv.example.net\"\n[log]\nfilter = \"error\"\n\
         [[clients]]\nname = \"bench\"\ntoken_sha256 = \"{hash}\"\n\
         [[webhooks]]\nname = \"bench\"\nurl = \"http://{hook}/\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\nallow_private_address = true\n",
        profiles.display()
    );
    std::fs::write(&path, text)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_dcvd"));
    command.current_dir(dir).args(["serve", "--config"]).arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
    Ok(Host(command.spawn()?, address))
}

/// Seconds that processors spent so far: on the daemons, the database, and this program (sink, receiver, clicks).
fn spent(hosts: &[Host]) -> Vec<(&'static str, f64)> {
    let of = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
        // User and system time of the process itself and of children that ended, in hundredths of a second.
        fields.get(11..15).into_iter().flatten().filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
    };
    let daemons = hosts.iter().map(|host| of(&host.0.id().to_string())).sum();
    let all = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let database = all
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres"))
        .map(|pid| of(&pid))
        .sum();
    vec![("daemons", daemons), ("database", database), ("the rest", of("self"))]
}

fn order() -> (String, Vec<u8>) {
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let recipient = format!("admin@n{number}.example.jp");
    let body =
        format!("{{\"order_ref\":\"B-{number}\",\"names\":[\"www.n{number}.example.jp\"],\"approvers\":[\"{recipient}\"]}}");
    let request = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    (recipient, request.into_bytes())
}

fn requests(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|_| order().1).collect()
}

/// One order from its place to the click.
async fn through(server: SocketAddr, inbox: &Inbox) -> anyhow::Result<()> {
    let (recipient, request) = order();
    client::ask(server, &request, 201).await?;
    let link = loop {
        if let Some(link) = inbox.arrived_for(&recipient).iter().find_map(Arrived::link) {
            break link;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let path = link.trim_start_matches("http://bench.example");
    let page = client::ask(server, format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").as_bytes(), 200).await?;
    let nonce = page.split("name=\"nonce\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let body = format!("decision=approve&authority=yes&signer=bench&nonce={nonce}");
    let kind = "content-type: application/x-www-form-urlencoded";
    let press = format!("POST {path} HTTP/1.1\r\nhost: bench\r\n{kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    client::ask(server, press.as_bytes(), 303).await?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a count of orders is far below 2^52")]
fn rate(orders: usize, begin: Instant) -> f64 {
    orders as f64 / begin.elapsed().as_secs_f64()
}
