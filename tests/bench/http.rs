//! What is asked over HTTP beside an empty handler, in turns on the same machine: `cargo bench --bench http`.
//!
//! The listing of constructed approvers, a valid approve page (beside a bare handler that reads one row of the same database, too), a
//! forged link, and decisions on orders of their own, each committed durably. Client and servers share the machine, so that all rates are
//! lower than a server's alone.

mod client;
mod served;

use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use dcvd::store::{Migrate, Store};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Connection as _, Row as _};
use tokio::net::TcpListener;

use served::{Served, TOKEN, show};

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(3);
const DECISIONS: usize = 3000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` only wants to know that it builds and runs.
    let real = std::env::args().any(|one| one == "--bench");
    let (rounds, round, decisions) = if real { (ROUNDS, ROUND, DECISIONS) } else { (1, ROUND / 30, 20) };
    let daemon = Served::start().await?;
    let ours = daemon.address;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let empty = listener.local_addr()?;
    let router = Router::new().route("/", get(|| async {})).merge(one_row(daemon.dir.path()).await?);
    tokio::spawn(async move { axum::serve(listener, router).await });

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
    let mut posts = Vec::with_capacity(decisions);
    for number in 1..=decisions {
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
    let decided = client::once(ours, posts, 303, client::CONNECTIONS).await?;
    let bare = guarded_updates(daemon.dir.path(), decisions).await?;
    println!(
        "POST a decision, 64 connections: {:.0}/s, p99 {:?}; the bare guarded UPDATE, each committed by itself, {bare:.0}/s; {:.2} (the target is 0.50)",
        decided.rate,
        decided.p99,
        decided.rate / bare
    );
    daemon.end().await
}

/// A handler that does nothing but read one row of ours, the first by its key, and tell how long it is.
async fn one_row(dir: &Path) -> anyhow::Result<Router> {
    let options: SqliteConnectOptions = format!("sqlite://{}/bench.db", dir.display()).parse()?;
    // As the daemon reads.
    let pool =
        SqlitePoolOptions::new().max_connections(4).test_before_acquire(false).connect_with(options.read_only(true)).await?;
    let read = || async move {
        let row: Result<SqliteRow, _> = sqlx::query("SELECT * FROM orders ORDER BY id LIMIT 1").fetch_one(&pool).await;
        row.map(|row| row.len().to_string()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    };
    Ok(Router::new().route("/row", get(read)))
}

/// Decisions of a bare database a second: one guarded UPDATE in a durable transaction of its own, on rows as ours are.
async fn guarded_updates(dir: &Path, count: usize) -> anyhow::Result<f64> {
    let url = format!("sqlite://{}/bare.db", dir.display());
    Store::open(&url, Migrate::Yes).await?.close().await;
    let options: SqliteConnectOptions = url.parse()?;
    // The order itself is not what is measured.
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full).foreign_keys(false);
    let mut conn = SqliteConnection::connect_with(&options).await?;
    let mut tx = conn.begin().await?;
    for number in 0..count {
        sqlx::query(
            "INSERT INTO validations (id, order_id, position, name, state) VALUES ($1, $1, 0, 'www.example.jp', 'pending')",
        )
        .bind(number.to_be_bytes().repeat(2))
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    let begin = Instant::now();
    for number in 0..count {
        let done = sqlx::query(
            "UPDATE validations SET state = 'approved', answer = 'approve', ended_at = $2 WHERE id = $1 AND state = 'pending'",
        )
        .bind(number.to_be_bytes().repeat(2))
        .bind(1_795_305_600_000_000_i64)
        .execute(&mut conn)
        .await?;
        anyhow::ensure!(done.rows_affected() == 1, "it was pending");
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of rows is far below 2^52")]
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}
