//! `POST /v1/orders` beside the bare database inserting the same rows, in one run, every commit durable: `cargo bench --bench orders`.
//!
//! The bare database gets what serves it best: on SQLite one connection that commits as many orders at once as there are connections, on
//! PostgreSQL the better of that and one connection for each. Needs Debian's `postgresql`.

#[expect(dead_code, reason = "the other measurement uses the rest")]
mod client;
#[expect(unreachable_pub, reason = "the tests' own module")]
#[path = "../it/support/postgres.rs"]
mod postgres;
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use dcvd::cli::serve::run_until;
use dcvd::cli::wire::wire;
use dcvd::config::Config;
use dcvd::http::Routes;
use dcvd::store::{Migrate, Store};
use sha2::{Digest, Sha256};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "bench";
const PROFILE: &str = "extends = \"standard\"\naddresses.sources = [\"constructed\"]\n";

/// As long as an approval mail, an event and an order's facts are.
const MAIL_OCTETS: usize = 16 * 1024;
const EVENT: &str = "{\"names\":[\"www.n123456.example.jp\"],\"order_id\":\"ord_06h06my8ctdnp3d12enp5f495r\",\"order_ref\":\"B-123456\",\
                     \"profile\":\"quick\",\"seq\":1,\"state\":\"pending\"}";
const FACTS: &str = "{\"organization\":null,\"requester\":null,\"product\":null,\"kind\":null,\"notify\":[],\"contract_code\":null,\
                     \"previous_order_id\":null,\"metadata\":{}}";

static NUMBER: AtomicUsize = AtomicUsize::new(1);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` only wants to know that it builds and runs.
    let real = std::env::args().any(|one| one == "--bench");
    let _ = rustls::crypto::ring::default_provider().install_default();
    postgres::DURABLE.store(true, Ordering::SeqCst);
    for (connections, orders) in [(1, 600), (16, 6_000), (64, 12_000)] {
        let orders = if real { orders } else { connections };
        let dir = tempfile::tempdir()?;
        let sqlite = |name: &str| format!("sqlite://{}/{name}.db", dir.path().display());
        let ours = ours(&sqlite("ours"), dir.path(), connections, orders).await?;
        let bare = bare_sqlite(&sqlite("bare"), connections, orders).await?;
        told("SQLite", connections, &ours, bare);
        let ours = self::ours(&postgres::database().await, dir.path(), connections, orders).await?;
        let bare = bare_postgres(&postgres::database().await, connections, orders).await?;
        told("PostgreSQL", connections, &ours, bare);
    }
    Ok(())
}

fn told(database: &str, connections: usize, ours: &client::Measured, bare: f64) {
    println!(
        "{database}, {connections} connections: dcvd {:.0} orders/s, p99 {:?}; bare {bare:.0}/s; {:.2} (the target is 0.50)",
        ours.rate,
        ours.p99,
        ours.rate / bare
    );
}

/// Places orders over HTTP; the workers stand still, since what they do is measured elsewhere.
async fn ours(database: &str, dir: &std::path::Path, connections: usize, orders: usize) -> anyhow::Result<client::Measured> {
    let profiles = dir.join("profiles");
    std::fs::create_dir_all(&profiles)?;
    std::fs::write(profiles.join("standard.toml"), include_str!("../../config/profiles/standard.toml"))?;
    std::fs::write(profiles.join("quick.toml"), PROFILE)?;
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(TOKEN.as_bytes()));
    let path = dir.join("dcvd.toml");
    let text = format!(
        "profile_dir = \"{}\"\ndefault_profile = \"quick\"\n[database]\nurl = \"{database}\"\n[limits]\nclient_rate = \"4000000/1s\"\n\
         [[clients]]\nname = \"bench\"\ntoken_sha256 = \"{hash}\"\n\
         [[webhooks]]\nname = \"bench\"\nurl = \"http://127.0.0.1:9/\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\nallow_private_address = true\n",
        profiles.display()
    );
    std::fs::write(&path, text)?;
    let config = Config::load(Some(&path), Vec::new())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    let (app, stop) = (Arc::new(wire(&config).await?), CancellationToken::new());
    let serving = tokio::spawn({
        let stop = stop.clone();
        async move { run_until(app, &config, vec![(listener, Routes::All)], false, stop).await }
    });
    client::once(server, requests(connections), 201, connections).await?;
    let measured = client::once(server, requests(orders), 201, connections).await?;
    stop.cancel();
    serving.await??;
    Ok(measured)
}

fn requests(count: usize) -> Vec<Vec<u8>> {
    let one = |_| {
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let body = format!(
            "{{\"order_ref\":\"B-{number}\",\"names\":[\"www.n{number}.example.jp\"],\"approvers\":[\"admin@n{number}.example.jp\"]}}"
        );
        format!(
            "POST /v1/orders HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    (0..count).map(one).collect()
}

/// Sixteen octets that nothing else has, ordered by time as ids are.
fn id() -> Vec<u8> {
    let number = NUMBER.fetch_add(1, Ordering::SeqCst) as u64;
    [number.to_be_bytes(), Sha256::digest(number.to_be_bytes())[..8].try_into().unwrap_or_default()].concat()
}

/// Inserts the rows of one order.
macro_rules! insert {
    ($db:expr, $hash:expr, $mail:expr) => {{
        let (order, validation, mail, event) = (id(), id(), id(), id());
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let at = 1_795_305_600_000_000 + i64::try_from(number)?;
        sqlx::query(
            "INSERT INTO orders (id, client, order_ref, profile_id, profile_hash, state, locale, facts, created_at, last_seq)
            VALUES ($1, 'bench', $2, 'quick', $3, 'pending', 'ja', $4, $5, 1)",
        )
        .bind(&order)
        .bind(format!("B-{number}"))
        .bind($hash)
        .bind(FACTS)
        .bind(at)
        .execute(&mut *$db)
        .await?;
        sqlx::query("INSERT INTO validations (id, order_id, position, name, state) VALUES ($1, $2, 0, $3, 'pending')")
            .bind(&validation)
            .bind(&order)
            .bind(format!("www.n{number}.example.jp"))
            .execute(&mut *$db)
            .await?;
        sqlx::query(
            "INSERT INTO mails (id, order_id, recipient, adn, adn_is_base, source, looked_up_at, random_hash, ref, message_id, content_hash, link,
            delivery, created_at, expires_at, remind_at)
            VALUES ($1, $2, $3, $4, 1, 'constructed', $5, $6, $7, $8, $6, 'queued', 'queued', $5, $9, $9)",
        )
        .bind(&mail)
        .bind(&order)
        .bind(format!("admin@n{number}.example.jp"))
        .bind(format!("n{number}.example.jp"))
        .bind(at)
        .bind(Sha256::digest(&mail).to_vec())
        .bind(data_encoding::HEXLOWER.encode(&[&mail[..], &mail[..5]].concat()))
        .bind(format!("<{}@dcv.example.net>", data_encoding::HEXLOWER.encode(&mail)))
        .bind(at + 1_000_000)
        .execute(&mut *$db)
        .await?;
        sqlx::query("INSERT INTO mail_validations (mail_id, validation_id) VALUES ($1, $2)")
            .bind(&mail)
            .bind(&validation)
            .execute(&mut *$db)
            .await?;
        sqlx::query("INSERT INTO events (id, order_id, seq, kind, at, actor, data) VALUES ($1, $2, 1, 'order.created', $3, 'client:bench', $4)")
            .bind(&event)
            .bind(&order)
            .bind(at)
            .bind(EVENT)
            .execute(&mut *$db)
            .await?;
        for (kind, subject, endpoint, body) in [("mail", &mail, "ref", Some($mail)), ("webhook", &event, "bench", None)] {
            sqlx::query(
                "INSERT INTO effects (id, kind, order_id, subject_id, endpoint, seq, body, state, attempts, tried, created_at, due_at)
                VALUES ($1, $2, $3, $4, $5, 1, $6, 'due', 0, 0, $7, $7)",
            )
            .bind(id())
            .bind(kind)
            .bind(&order)
            .bind(subject)
            .bind(endpoint)
            .bind(body)
            .bind(at)
            .execute(&mut *$db)
            .await?;
        }
    }};
}

const KEEP: &str = "INSERT INTO profile_versions (hash, id, body, first_seen_at) VALUES ($1, 'quick', '{}', 0)";

async fn bare_sqlite(url: &str, batch: usize, orders: usize) -> anyhow::Result<f64> {
    Store::open(url, Migrate::Yes).await?.close().await;
    let options: SqliteConnectOptions = url.parse()?;
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full).foreign_keys(true);
    let mut conn = SqliteConnection::connect_with(&options).await?;
    let (hash, mail) = (vec![7_u8; 32], vec![b'm'; MAIL_OCTETS]);
    sqlx::query(KEEP).bind(&hash).execute(&mut conn).await?;
    let (begin, mut done) = (Instant::now(), 0);
    while done < orders {
        let mut tx = conn.begin().await?;
        for _ in 0..batch {
            insert!(tx, &hash, &mail);
        }
        tx.commit().await?;
        done += batch;
    }
    Ok(rate(done, begin))
}

async fn bare_postgres(url: &str, connections: usize, orders: usize) -> anyhow::Result<f64> {
    Store::open(url, Migrate::Yes).await?.close().await;
    let hash = vec![7_u8; 32];
    sqlx::query(KEEP).bind(&hash).execute(&mut PgConnection::connect(url).await?).await?;
    let batched = inserters(url, 1, connections, orders).await?;
    let side_by_side = inserters(url, connections, 1, orders).await?;
    Ok(f64::max(batched, side_by_side))
}

async fn inserters(url: &str, connections: usize, batch: usize, orders: usize) -> anyhow::Result<f64> {
    let left = Arc::new(AtomicUsize::new(orders));
    let mut inserting = tokio::task::JoinSet::new();
    let mut conns = Vec::new();
    for _ in 0..connections {
        conns.push(PgConnection::connect(url).await?);
    }
    let begin = Instant::now();
    for mut conn in conns {
        let left = Arc::clone(&left);
        inserting.spawn(async move {
            let (hash, mail) = (vec![7_u8; 32], vec![b'm'; MAIL_OCTETS]);
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(batch)).is_ok() {
                let mut tx = conn.begin().await?;
                for _ in 0..batch {
                    insert!(tx, &hash, &mail);
                }
                tx.commit().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = inserting.join_next().await {
        ended??;
    }
    Ok(rate(orders, begin))
}

#[expect(clippy::cast_precision_loss, reason = "a count of orders is far below 2^52")]
fn rate(orders: usize, begin: Instant) -> f64 {
    orders as f64 / begin.elapsed().as_secs_f64()
}
