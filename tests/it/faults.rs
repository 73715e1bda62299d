//! What the database cannot do for a while: nothing is half written, the error is clear, and the daemon goes on by itself.

use std::process::{Command, Stdio};

use dcvd::store::{Migrate, Store};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};
use tokio_util::sync::CancellationToken;

use crate::process::Setup;
use crate::support::postgres;
use crate::support::process::{Daemon, wait};

async fn order(setup: &Setup, order_ref: &str) -> (u16, Value, bool) {
    let body = json!({"order_ref": order_ref, "names": ["www.sample-shop.co.jp"], "approvers": ["admin@sample-shop.co.jp"]});
    let request = setup.client.post(format!("{}/v1/orders", setup.base)).bearer_auth(&setup.world.token);
    let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    let (status, retry) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap(), retry)
}

async fn orders(setup: &Setup) -> usize {
    let answer = wait("the list", async || {
        let request = setup.client.get(format!("{}/v1/orders", setup.base)).bearer_auth(&setup.world.token);
        let answer = request.send().await.unwrap();
        // A connection that was cut may fail one question.
        assert!(matches!(answer.status().as_u16(), 200 | 503), "{}", answer.status());
        (answer.status() == 200).then_some(answer)
    })
    .await;
    serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()["orders"].as_array().unwrap().len()
}

/// While it lasts orders are refused and can be read; when it is over the same order is taken, once, and its mail goes.
async fn refused_then_taken(setup: &Setup, begin: impl AsyncFn(), end: impl AsyncFn()) {
    assert_eq!(order(setup, "A-1").await.0, 201);
    // And recorded: one that is not goes once more.
    wait("the first mail", async || setup.world.webhooks.taken("mail.sent").into_iter().next()).await;
    assert_eq!(setup.world.inbox.arrived().len(), 1);
    begin().await;
    let (status, told, retry) = order(setup, "A-2").await;
    assert_eq!((status, &told["code"], retry), (503, &json!("unavailable"), true), "{told}");
    assert_eq!(orders(setup).await, 1, "what is stored is read, and nothing of the other stands there");
    end().await;
    wait("the order", async || (order(setup, "A-2").await.0 == 201).then_some(())).await;
    wait("the second mail", async || (setup.world.inbox.arrived().len() == 2).then_some(())).await;
    assert_eq!(orders(setup).await, 2);
    let mail = setup.world.inbox.arrived().pop().unwrap();
    assert_eq!(setup.approve(&mail.link().unwrap()).await, 303);
    wait("the result", async || setup.world.webhooks.taken("order.completed").into_iter().next()).await;
}

#[tokio::test]
async fn a_full_disk_refuses_and_is_over_when_there_is_room() {
    let setup = Setup::new().await;
    let log = setup.config.with_extension("log");
    // A file that may not grow fails a write as a full disk does, once the signal for it is ignored.
    let mut command = Command::new("bash");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_dcvd"), "serve", "--config"]).arg(&setup.config);
    command.current_dir(setup.config.parent().unwrap()).env_clear().env("PATH", "/usr/bin:/bin").env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    let daemon = Daemon { child: command.spawn().unwrap(), log };
    let ready = async || {
        let answer = setup.client.get(format!("{}/readyz", setup.base)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    };
    wait("the daemon", async || ready().await.filter(|(status, _)| *status == 200)).await;
    let pid = daemon.child.id().to_string();
    let limit = |most: &str| {
        let told = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={most}:unlimited")]).status().unwrap();
        assert!(told.success());
    };
    let fill = async || {
        limit("1024");
        wait("word of it", async || ready().await.filter(|(status, told)| *status == 503 && told.contains("failing"))).await;
    };
    refused_then_taken(&setup, fill, async || limit("unlimited")).await;
    wait("the all-clear", async || ready().await.filter(|(status, _)| *status == 200)).await;
}

#[tokio::test]
async fn a_sqlite_that_another_program_holds_refuses_and_is_over_when_it_lets_go() {
    let setup = Setup::new().await;
    let database = format!("sqlite://{}", setup.config.with_file_name("held.db").display());
    let _daemon = Daemon::start(&setup.config, &setup.base, Some(&database)).await;
    let holder = tokio::sync::Mutex::new(SqliteConnection::connect(&database).await.unwrap());
    let hold = async || holder.lock().await.execute("BEGIN IMMEDIATE").await.map(drop).unwrap();
    let let_go = async || holder.lock().await.execute("ROLLBACK").await.map(drop).unwrap();
    refused_then_taken(&setup, hold, let_go).await;
}

#[tokio::test]
async fn a_postgres_that_only_reads_refuses_and_is_over_when_it_writes() {
    let url = postgres::database().await;
    let setup = Setup::on(Some(url.clone())).await;
    let _daemon = setup.serve().await;
    let name = url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let set = async |how: &str| {
        let mut conn = PgConnection::connect(&url).await.unwrap();
        let set = format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = {how}");
        conn.execute("SET default_transaction_read_only = off").await.unwrap();
        conn.execute(sqlx::AssertSqlSafe(set)).await.unwrap();
        // Those that are connected learn it anew.
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        conn.execute(end).await.unwrap();
    };
    refused_then_taken(&setup, async || set("on").await, async || set("off").await).await;
}

#[tokio::test]
async fn daemons_that_work_on_one_database_are_counted() {
    let url = postgres::database().await;
    let daemon = async || {
        let (store, stop) = (Store::open(&url, Migrate::Yes).await.unwrap(), CancellationToken::new());
        let (listening, heard) = (store.clone(), stop.clone());
        (store, stop, tokio::spawn(async move { listening.listen(heard).await }))
    };
    let sees = async |store: &Store, expected: Option<u32>| {
        wait("the daemons", async || (store.listeners().await.unwrap() == expected).then_some(())).await;
    };
    let idle = Store::open(&url, Migrate::Yes).await.unwrap();
    assert_eq!(idle.listeners().await.unwrap(), None, "whoever is not seen itself does not count");
    let (first, stop_first, ending) = daemon().await;
    sees(&first, Some(1)).await;
    assert_eq!(idle.listeners().await.unwrap(), None);
    let (second, stop_second, _) = daemon().await;
    sees(&second, Some(2)).await;
    sees(&first, Some(2)).await;
    // Under another configuration, before the workers of the earlier one have ended.
    let (again, stop_again) = (first.clone(), CancellationToken::new());
    let heard = stop_again.clone();
    tokio::spawn(async move { again.listen(heard).await });
    let named =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dcvd listening %'";
    let mut conn = PgConnection::connect(&url).await.unwrap();
    wait("a third session", async || {
        let sessions: i64 = sqlx::query_scalar(named).fetch_one(&mut conn).await.unwrap();
        (sessions == 3).then_some(())
    })
    .await;
    assert_eq!(second.listeners().await.unwrap(), Some(2));
    stop_first.cancel();
    ending.await.unwrap();
    assert_eq!(second.listeners().await.unwrap(), Some(2));
    stop_second.cancel();
    sees(&first, Some(1)).await;
    stop_again.cancel();
    sees(&first, None).await;
}
