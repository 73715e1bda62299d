//! Webhooks delivered a second to a receiver on loopback, beside a bare HTTP client posting the same bodies to it, in one run:
//! `cargo bench --bench webhooks`. Deliveries are leased, signed, posted and recorded durably, on SQLite and PostgreSQL; the bare client
//! does none of that. Needs Debian's `postgresql`.

#[expect(unreachable_pub, reason = "the tests' own module")]
#[path = "../it/support/postgres.rs"]
mod postgres;
mod process;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use dcvd::app::App;
use dcvd::cli::wire::wire;
use dcvd::config::Config;
use dcvd::dcv::event::{Event, EventType};
use dcvd::jobs::{self, JobSettings};
use dcvd::store::{EffectKind, StoreError};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Webhooks posted at once, on either side.
const CONCURRENCY: u32 = 32;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` only wants to know that it builds and runs.
    let events = if std::env::args().any(|one| one == "--bench") { 6_000 } else { 10 };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir()?;
    let taken = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let counting = Arc::clone(&taken);
    let receiver = Router::new().route(
        "/",
        post(|_: Bytes| async move {
            counting.fetch_add(1, Ordering::SeqCst);
            StatusCode::NO_CONTENT
        }),
    );
    tokio::spawn(async move { axum::serve(listener, receiver).await });

    postgres::DURABLE.store(true, Ordering::SeqCst);
    let sqlite = format!("sqlite://{}/bench.db", dir.path().display());
    for (kind, database) in [("SQLite", sqlite), ("PostgreSQL", postgres::database().await)] {
        println!("{kind}");
        rounds(dir.path(), &database, &url, &taken, events).await?;
    }
    Ok(())
}

async fn rounds(dir: &Path, database: &str, url: &str, taken: &AtomicUsize, events: usize) -> anyhow::Result<()> {
    let profiles = dir.join("profiles");
    std::fs::create_dir_all(&profiles)?;
    std::fs::write(profiles.join("standard.toml"), include_str!("../../config/profiles/standard.toml"))?;
    let path = dir.join("dcvd.toml");
    let text = format!(
        "profile_dir = \"{}/profiles\"\n[database]\nurl = \"{database}\"\n[dns]\nnameservers = [\"127.0.0.1:9\"]\n\
         [[webhooks]]\nname = \"bench\"\nurl = \"{url}\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\nallow_private_address = true\n",
        dir.display()
    );
    std::fs::write(&path, text)?;
    let app = Arc::new(wire(&Config::load(Some(&path), Vec::new())?).await?);
    for round in 1..=3 {
        fill(&app, round, events).await?;
        taken.store(0, Ordering::SeqCst);
        let (begin, stop) = (Instant::now(), CancellationToken::new());
        let settings = JobSettings {
            mail_concurrency: 1,
            webhook_concurrency: CONCURRENCY,
            poll: Duration::from_millis(500),
            lease: Duration::from_secs(30),
        };
        let working = tokio::spawn(jobs::run(Arc::clone(&app), settings, stop.clone()));
        while taken.load(Ordering::SeqCst) < events {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The last of them are recorded, too.
        while app.store.effects_due(EffectKind::Webhook).await? > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ours = rate(events, begin);
        stop.cancel();
        working.await??;
        let bare = bare(url, events).await?;
        println!("round {round}: dcvd {ours:.0}/s, a bare client {bare:.0}/s, {:.2} (the target is 0.50)", ours / bare);
    }
    Ok(())
}

/// Fills the outbox with one event each of many orders.
async fn fill(app: &App, round: usize, events: usize) -> anyhow::Result<()> {
    let profile = app.profiles.get(None).ok_or_else(|| anyhow::anyhow!("no profile"))?;
    let (hash, id) = (profile.hash.to_vec(), profile.profile.id.clone());
    let (now, mut ids, routes) = (app.now(), app.id_source(), app.routes("bench"));
    app.store
        .write("fill", move |tx| {
            Box::pin(async move {
                for number in 0..events {
                    let order = dcvd::dcv::id::OrderId::new(now, ids());
                    let row = dcvd::store::OrderRow {
                        id: order.as_bytes().to_vec(),
                        client: "bench".to_owned(),
                        order_ref: format!("B-{round}-{number}"),
                        profile_id: id.clone(),
                        profile_hash: hash.clone(),
                        state: "pending".to_owned(),
                        locale: "ja".to_owned(),
                        facts: "{}".to_owned(),
                        created_at: now.unix_micros(),
                        ended_at: None,
                        last_seq: 0,
                        held: None,
                        released_at: None,
                        asks_all: 0,
                        test: 0,
                        assignee: None,
                        paused_at: None,
                    };
                    tx.insert_order(&row).await?;
                    let data = json!({"names": ["www.example.co.jp"], "profile": "standard", "state": "pending"});
                    let event = Event::new(EventType::OrderCreated, now, "client:bench", data);
                    tx.record_events(order, &row.order_ref, &[event], &routes, &mut ids).await?;
                }
                Ok::<_, StoreError>(())
            })
        })
        .await?;
    Ok(())
}

/// The same number of posts by a client that does nothing else.
async fn bare(url: &str, events: usize) -> anyhow::Result<f64> {
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
    let left = Arc::new(AtomicUsize::new(events));
    let mut posting = tokio::task::JoinSet::new();
    let begin = Instant::now();
    for _ in 0..CONCURRENCY {
        let (client, left, url) = (client.clone(), Arc::clone(&left), url.to_owned());
        posting.spawn(async move {
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                let body = "{\"type\":\"order.created\",\"timestamp\":\"2026-11-22T00:00:00Z\",\"data\":{\"names\":[\"www.example.co.jp\"],\
                            \"order_id\":\"ord_06h06my8ctdnp3d12enp5f495r\",\"order_ref\":\"B-1\",\"profile\":\"standard\",\"seq\":1,\"state\":\"pending\"}}";
                let answer = client.post(&url).header("content-type", "application/json").body(body).send().await?;
                anyhow::ensure!(answer.status().is_success(), "{}", answer.status());
                answer.bytes().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = posting.join_next().await {
        ended??;
    }
    Ok(rate(events, begin))
}

#[expect(clippy::cast_precision_loss, reason = "a count of events is far below 2^52")]
fn rate(events: usize, begin: Instant) -> f64 {
    events as f64 / begin.elapsed().as_secs_f64()
}
