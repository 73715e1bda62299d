//! Connections to PostgreSQL that are cut where it hurts: amid a transaction, and while they listen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::sleep;

use crate::kills::{all_is_well, half, link, place, rows, see_through, settled, start_with};
use crate::process::Setup;
use crate::support::postgres;
use crate::support::process::{Daemon, wait};

/// Ends all sessions but the one that asks, and waits for their end.
const ALL: &str = "SELECT CAST(pid AS BIGINT), CAST(pg_terminate_backend(pid, 10000) AS TEXT) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";

/// Ends those that are amid a transaction.
const AMID: &str = "SELECT CAST(pid AS BIGINT), CAST(pg_terminate_backend(pid, 10000) AS TEXT) FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'idle in transaction'";

/// Ends those that listen.
const LISTENING: &str = "SELECT CAST(pid AS BIGINT), CAST(pg_terminate_backend(pid) AS TEXT) FROM pg_stat_activity
    WHERE datname = current_database() AND starts_with(application_name, 'dcvd listening ')";

#[tokio::test]
async fn an_order_whose_connection_is_cut_before_it_is_begun_is_taken_on_another() {
    let (setup, daemon) = frozen_at("begin place_order").await;
    let (placed, ()) = tokio::join!(place(&setup, &setup.base, 1), cut(&setup, &daemon, ALL));
    let (status, told) = placed.unwrap();
    assert_eq!(status, 201, "{told}");
    goes_its_way(&setup, daemon, "cut before the beginning").await;
}

#[tokio::test]
async fn an_order_whose_connection_is_cut_before_its_commit_is_refused_and_its_repeat_is_taken() {
    let (setup, daemon) = frozen_at("before place_order").await;
    let (placed, ()) = tokio::join!(place(&setup, &setup.base, 1), cut(&setup, &daemon, AMID));
    let (status, told) = placed.unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((status, told["code"].as_str()), (503, Some("unavailable")), "{told}");
    assert_eq!(count(&setup, "SELECT COUNT(*), '' FROM orders").await, 0, "nothing of it is there");
    goes_its_way(&setup, daemon, "an order's connection").await;
}

#[tokio::test]
async fn an_answer_whose_connection_is_cut_before_its_commit_decides_nothing_until_it_is_pressed_again() {
    let (setup, daemon) = frozen_at("before answer").await;
    let (status, told) = place(&setup, &setup.base, 1).await.unwrap();
    assert_eq!(status, 201, "{told}");
    let link = link(&setup, 1).await;
    // So that the press alone is amid a transaction.
    settled(&setup).await;
    let nonce = setup.nonce(&link).await.unwrap();
    let (pressed, ()) = tokio::join!(setup.press(&link, &nonce), cut(&setup, &daemon, AMID));
    assert_eq!(pressed.unwrap().status(), 503);
    assert_eq!(count(&setup, "SELECT COUNT(*), '' FROM answers").await, 0, "nothing was decided");
    assert_eq!(setup.press(&link, &nonce).await.unwrap().status(), 303, "the same form");
    goes_its_way(&setup, daemon, "an answer's connection").await;
}

/// A daemon that stands still the first time it passes a point.
async fn frozen_at(point: &str) -> (Setup, Daemon) {
    let setup = Setup::on(Some(postgres::database().await)).await;
    let daemon = start_with(&setup, &setup.config, &setup.base, Some(("DCVD_FREEZE_AT", point))).await;
    (setup, daemon)
}

/// Ends sessions of a daemon that stands still, and lets it go on.
async fn cut(setup: &Setup, daemon: &Daemon, sessions: &'static str) {
    daemon.stands_still().await;
    let ended = rows(setup, sessions).await.unwrap();
    assert!(ended.iter().any(|(_, ended)| ended == "true"), "{ended:?}");
    daemon.signal("-CONT");
}

/// Repeats what the order needs to its end, and looks at what came of it everywhere.
async fn goes_its_way(setup: &Setup, mut daemon: Daemon, told: &str) {
    see_through(setup, &setup.base, 1).await;
    settled(setup).await;
    assert!(daemon.terminate().await, "{told}");
    all_is_well(setup, 1, told).await;
}

async fn count(setup: &Setup, sql: &'static str) -> i64 {
    rows(setup, sql).await.unwrap()[0].0
}

/// Has PostgreSQL tell nobody anything in a database, and keep what it was to tell.
const MUTE: &str = "CREATE TABLE untold (words TEXT NOT NULL);
    CREATE FUNCTION public.pg_notify(TEXT, TEXT) RETURNS VOID LANGUAGE SQL AS 'INSERT INTO public.untold VALUES ($2)';
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database());
    END $$";

#[tokio::test]
async fn what_another_daemon_was_not_told_is_found_by_looking() {
    let url = postgres::database().await;
    let mut conn = PgConnection::connect(&url).await.unwrap();
    conn.execute(MUTE).await.unwrap();
    let setup = Setup::on(Some(url)).await;
    let halves = halves(&setup, "200ms").await;
    see_through(&setup, &setup.base, 1).await;
    settled(&setup).await;
    assert!(count(&setup, "SELECT COUNT(*), '' FROM untold").await > 0, "there was something to tell");
    drop(halves);
    all_is_well(&setup, 1, "told nothing").await;
}

#[tokio::test]
async fn who_is_cut_off_from_listening_again_and_again_looks_each_time() {
    let setup = Setup::on(Some(postgres::database().await)).await;
    // Neither a poll nor what is told while nobody listens helps here.
    let halves = halves(&setup, "60s").await;
    let over = AtomicBool::new(false);
    let cutting = async {
        let mut cuts = 0;
        while !over.load(Ordering::SeqCst) {
            cuts += rows(&setup, LISTENING).await.map_or(0, |ended| ended.len());
            sleep(Duration::from_millis(150)).await;
        }
        cuts
    };
    let life = async {
        see_through(&setup, &setup.base, 1).await;
        settled(&setup).await;
        over.store(true, Ordering::SeqCst);
    };
    let (cuts, ()) = tokio::join!(cutting, life);
    assert!(cuts > 1, "{cuts}");
    drop(halves);
    all_is_well(&setup, 1, "cut off").await;
}

/// One daemon for HTTP and one for jobs, which looks by itself so often, once it listens.
async fn halves(setup: &Setup, poll: &str) -> [Daemon; 2] {
    const LISTENERS: &str = "SELECT COUNT(*), '' FROM pg_stat_activity
        WHERE datname = current_database() AND starts_with(application_name, 'dcvd listening ')";
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let polls = text.replace("poll = \"50ms\"", &format!("poll = \"{poll}\""));
    assert_ne!(polls, text);
    std::fs::write(&setup.config, polls).unwrap();
    let halves = [half(setup, "http"), half(setup, "jobs")];
    wait("the daemon", async || setup.client.get(format!("{}/readyz", setup.base)).send().await.ok()).await;
    wait("the other half", async || (rows(setup, LISTENERS).await?[0].0 > 0).then_some(())).await;
    halves
}
