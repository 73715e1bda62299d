//! What is asked over HTTP beside an empty handler, in turns on the same machine: `cargo bench --bench http`.
//!
//! The listing of constructed approvers, a valid approve page, a forged link, and decisions on orders of their own, each committed
//! durably. Client and servers share the machine, so that all rates are lower than a server's alone.

mod client;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use dcvd::app::App;
use dcvd::cli::serve::run_until;
use dcvd::cli::wire::wire;
use dcvd::config::Config;
use dcvd::dcv::id::MailId;
use dcvd::http::Routes;
use dcvd::store::{Migrate, Store};
use mail_parser::MessageParser;
use sha2::{Digest, Sha256};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(3);
const DECISIONS: usize = 3000;
const TOKEN: &str = "bench";
const PROFILE: &str = "extends = \"standard\"\naddresses.sources = [\"constructed\"]\n";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` only wants to know that it builds and runs.
    let real = std::env::args().any(|one| one == "--bench");
    let (rounds, round, decisions) = if real { (ROUNDS, ROUND, DECISIONS) } else { (1, ROUND / 30, 20) };
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
         [dns]\nnameservers = [\"127.0.0.1:9\"]\n[limits]\nwrong_links_per_minute = 4000000000\nclient_rate = \"4000000/1s\"\n\
         [[clients]]\nname = \"bench\"\ntoken_sha256 = \"{hash}\"\n",
        dir.path().display()
    );
    std::fs::write(&path, text)?;
    let config = Config::load(Some(&path), Vec::new())?;
    let stop = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ours = listener.local_addr()?;
    let app = Arc::new(wire(&config).await?);
    let serving = tokio::spawn({
        let (stop, app) = (stop.clone(), Arc::clone(&app));
        async move { run_until(app, &config, vec![(listener, Routes::All)], false, stop).await }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let empty = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(|| async {}))).await });

    let show = |token: &str| format!("GET /approve/{token} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes();
    let token = place(&app, ours, 0).await?;
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    for number in 1..=rounds {
        let none = client::repeat(empty, b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n", 200, round).await?;
        println!("round {number}: empty handler {:.0}/s, p99 {:?}", none.rate, none.p99);
        let listing =
            format!("GET /v1/approvers?name=www.example.co.jp HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
        for (what, request, status, target) in [
            ("GET /v1/approvers", listing.into_bytes(), 200, 0.5),
            ("GET a valid page", show(&token), 200, 0.4),
            ("GET a forged link", show(&forged), 404, 0.8),
        ] {
            let page = client::repeat(ours, &request, status, round).await?;
            println!(
                "  {what}: {:.0}/s, p99 {:?}, {:.2} (the target is {target:.2})",
                page.rate,
                page.p99,
                page.rate / none.rate
            );
        }
    }
    let mut posts = Vec::with_capacity(decisions);
    for number in 1..=decisions {
        let token = place(&app, ours, number).await?;
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
    let bare = guarded_updates(dir.path(), decisions).await?;
    println!(
        "POST a decision, 64 connections: {:.0}/s, p99 {:?}; the bare guarded UPDATE, each committed by itself, {bare:.0}/s; {:.2} (the target is 0.50)",
        decided.rate,
        decided.p99,
        decided.rate / bare
    );
    stop.cancel();
    serving.await??;
    Ok(())
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

/// Places an order over HTTP and reads its link from the sealed mail, as only this program may.
async fn place(app: &App, server: std::net::SocketAddr, number: usize) -> anyhow::Result<String> {
    let body = format!(
        "{{\"order_ref\":\"B-{number}\",\"names\":[\"www.n{number}.example.jp\"],\"approvers\":[\"admin@n{number}.example.jp\"]}}"
    );
    let request = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer: serde_json::Value = serde_json::from_str(&client::ask(server, request.as_bytes(), 201).await?)?;
    let id = MailId::parse(answer["mails"][0]["id"].as_str().unwrap_or_default())?;
    let sealed = app.store.mail_body(id).await?.unwrap_or_default();
    let text = MessageParser::new().parse(&sealed).and_then(|mail| mail.body_text(0).map(std::borrow::Cow::into_owned));
    let text = text.unwrap_or_default();
    let link = text.lines().find(|line| line.contains("/approve/")).unwrap_or_default();
    Ok(link.rsplit('/').next().unwrap_or_default().to_owned())
}
