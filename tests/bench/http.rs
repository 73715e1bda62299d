//! What is asked over HTTP beside an empty handler, in turns on the same machine, on SQLite and PostgreSQL: `cargo bench --bench http`.
//!
//! The listing of constructed approvers, a valid approve page (beside a bare handler that reads one row of the same database, too), a
//! forged link, and decisions on orders of their own, each committed durably; then orders, ten times as many at once as are let in. Client and
//! servers share the machine, so that all rates are lower than a server's alone. Needs Debian's `postgresql`.

mod client;
mod decided;
mod overload;
#[expect(unreachable_pub, reason = "the tests' own module")]
#[path = "../it/support/postgres.rs"]
mod postgres;
mod process;
mod served;

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio::net::TcpListener;

use served::{Served, TOKEN, show};

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(3);
const DECISIONS: usize = 3000;
/// Decisions that are not measured.
const WARM: usize = 4 * client::CONNECTIONS;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` only wants to know that it builds and runs.
    let real = std::env::args().any(|one| one == "--bench");
    let (rounds, round, decisions, warm) = if real { (ROUNDS, ROUND, DECISIONS, WARM) } else { (1, ROUND / 30, 20, 2) };
    postgres::DURABLE.store(true, Ordering::SeqCst);
    for (kind, database) in [("SQLite", None), ("PostgreSQL", Some(postgres::database().await))] {
        println!("{kind}");
        let daemon = Served::start(database).await?;
        pages(&daemon, rounds, round).await?;
        let decided = decide(&daemon, decisions, warm).await?;
        let databases = match &daemon.database {
            url if url.starts_with("postgres:") => [postgres::database().await, postgres::database().await],
            _ => ["guarded", "all"].map(|name| format!("sqlite://{}/{name}.db", daemon.dir.path().display())),
        };
        let bare = decided::bare(databases, decisions).await?;
        println!(
            "POST a decision, 64 connections: {:.0}/s, p99 {:?}; the bare guarded UPDATE, each committed by itself, {:.0}/s; {:.2} (the target \
             is 0.50); every row of a decision {:.0}/s, {:.2}",
            decided.rate,
            decided.p99,
            bare.guarded,
            decided.rate / bare.guarded,
            bare.all,
            decided.rate / bare.all
        );
        let database = if daemon.database.starts_with("postgres:") { Some(postgres::database().await) } else { None };
        daemon.end().await?;
        overload::overload(database, rounds, round).await?;
    }
    Ok(())
}

/// What is only read.
async fn pages(daemon: &Served, rounds: usize, round: Duration) -> anyhow::Result<()> {
    let ours = daemon.address;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let empty = listener.local_addr()?;
    let router = Router::new().route("/", get(|| async {})).merge(one_row(&daemon.database).await?);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });

    let token = daemon.place(0).await?;
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    for number in 1..=rounds {
        let none = client::repeat(empty, b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n", 200, round).await?;
        let row = client::repeat(empty, b"GET /row HTTP/1.1\r\nhost: bench\r\n\r\n", 200, round).await?;
        println!("round {number}: empty handler {:.0}/s, p99 {:?}; one that reads a row {:.0}/s", none.rate, none.p99, row.rate);
        let listing =
            format!("GET /v1/approvers?name=www.example.co.jp HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
        for (what, request, status, target) in [
            ("GET /v1/approvers", listing.into_bytes(), 200, 0.5),
            ("GET a valid page", show(&token), 200, 0.4),
            ("GET a forged link", show(&forged), 404, 0.8),
        ] {
            let page = client::repeat(ours, &request, status, round).await?;
            println!(
                "  {what}: {:.0}/s, p99 {:?}, {:.2} (the target is {target:.2}), {:.2} of the one with a row",
                page.rate,
                page.p99,
                page.rate / none.rate,
                page.rate / row.rate
            );
        }
    }
    serving.abort();
    Ok(())
}

/// Decides on as many orders, each placed and its page fetched before.
async fn decide(daemon: &Served, decisions: usize, warm: usize) -> anyhow::Result<client::Measured> {
    let ours = daemon.address;
    let mut posts = Vec::with_capacity(decisions + warm);
    for number in 1..=decisions + warm {
        let token = daemon.place(number).await?;
        let page = client::ask(ours, &show(&token), 200).await?;
        let nonce = page.split("name=\"nonce\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let body = format!("decision=approve&authority=yes&signer=bench&nonce={nonce}");
        let kind = "content-type: application/x-www-form-urlencoded";
        let length = body.len();
        posts.push(
            format!("POST /approve/{token} HTTP/1.1\r\nhost: bench\r\n{kind}\r\ncontent-length: {length}\r\n\r\n{body}")
                .into_bytes(),
        );
    }
    // Every connection to the database has been opened and has prepared what it is asked by then.
    let first = posts.split_off(decisions);
    client::once(ours, first, 303, client::CONNECTIONS).await?;
    if daemon.database.starts_with("postgres:") {
        // As it does by itself within a minute: it planned with what it knew when there was one order.
        PgConnection::connect(&daemon.database).await?.execute("VACUUM ANALYZE").await?;
    }
    client::once(ours, posts, 303, client::CONNECTIONS).await
}

/// A handler that does nothing but read one row of ours, the first by its key, and tell how long it is.
async fn one_row(database: &str) -> anyhow::Result<Router> {
    macro_rules! handler {
        ($pool:expr) => {{
            let pool = $pool;
            get(|| async move {
                let row = sqlx::query("SELECT * FROM orders ORDER BY id LIMIT 1").fetch_one(&pool).await;
                row.map(|row| row.len().to_string()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
            })
        }};
    }
    // As the daemon reads.
    let handler = if database.starts_with("postgres:") {
        handler!(PgPoolOptions::new().max_connections(20).test_before_acquire(false).connect(database).await?)
    } else {
        let options: SqliteConnectOptions = database.parse()?;
        let pool = SqlitePoolOptions::new().max_connections(4).test_before_acquire(false);
        handler!(pool.connect_with(options.read_only(true)).await?)
    };
    Ok(Router::new().route("/row", handler))
}
