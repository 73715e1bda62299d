//! What the database cannot do for a while: nothing is half written, the error is clear, and the daemon goes on by itself.
//!
//! Each of them comes while a relay has taken a mail and its record is not written yet, and ends with what database, inbox and receiver
//! must say whatever happened.

use std::process::{Command, Stdio};

use dcvd::demo::smtp::Reply;
use dcvd::store::{Migrate, Store};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::kills::{all_is_well, keyed_order, links, see_through, settled};
use crate::process::Setup;
use crate::support::postgres;
use crate::support::process::{Daemon, wait};

/// How an order was answered, and whether that says when to come again.
async fn place(setup: &Setup, number: usize) -> (u16, Value, bool) {
    let answer = keyed_order(setup, &setup.base, number).send().await.unwrap();
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

/// How many attempts at a mail have ended, and how many of them were recorded as taken.
async fn attempts(setup: &Setup) -> (u32, u32) {
    let counted = setup.client.get(format!("{}/metrics", setup.base)).send().await.unwrap().text().await.unwrap();
    let count = |series: &str| -> u32 {
        counted.lines().find_map(|line| line.strip_prefix(series)).map_or(0, |rest| rest.trim().parse().unwrap())
    };
    let ended = count("dcvd_attempt_duration_seconds_count{kind=\"mail\"}");
    (ended, count("dcvd_attempts_total{kind=\"mail\",outcome=\"done\"}"))
}

/// The first order waits for its owner; the second one's mail is taken by the relay, and not recorded yet, when it begins; the third comes
/// while it lasts. All are told to come again, and what is stored can be read. When it is over everything goes on, and ends as it should.
async fn refused_then_taken(setup: &Setup, told: &str, begin: impl AsyncFn(), end: impl AsyncFn()) {
    assert_eq!(place(setup, 1).await.0, 201, "{told}");
    // And recorded: one that is not goes once more.
    wait("the first mail", async || setup.world.webhooks.taken("mail.sent").into_iter().next()).await;
    wait("the first attempt's end", async || (attempts(setup).await == (1, 1)).then_some(())).await;
    let link = links(setup, 1).pop().unwrap();
    setup.world.inbox.answer_with(Reply::TakeAndHold);
    assert_eq!(place(setup, 2).await.0, 201, "{told}");
    wait("the second mail", async || links(setup, 2).pop()).await;
    begin().await;
    setup.world.inbox.answer_with(Reply::Take);
    let unrecorded = async {
        let (_, recorded) =
            wait("the second attempt's end", async || Some(attempts(setup).await).filter(|(ended, _)| *ended > 1)).await;
        assert_eq!(recorded, 1, "{told}: what the relay said cannot be written down");
    };
    let refused = async {
        let (status, problem, retry) = place(setup, 3).await;
        assert_eq!((status, &problem["code"], retry), (503, &json!("unavailable"), true), "{told}: {problem}");
    };
    let pressed = async {
        // A connection that was cut may fail the page.
        let status = wait("the page", async || setup.try_approve(&link).await).await;
        assert_eq!(status, 503, "{told}: nothing is decided");
    };
    tokio::join!(unrecorded, refused, pressed);
    assert_eq!(orders(setup).await, 2, "{told}: what is stored is read, and nothing of the third stands there");
    end().await;
    wait("the second mail once more", async || (links(setup, 2).len() > 1).then_some(())).await;
    for number in 1..=3 {
        see_through(setup, &setup.base, number).await;
    }
    settled(setup).await;
    assert_eq!(
        (links(setup, 1).len(), links(setup, 3).len()),
        (1, 1),
        "{told}: what was recorded, and what was not taken, went once"
    );
    all_is_well(setup, 3, told).await;
}

/// Another program on the database, that no write of orders gets past while it holds it.
pub enum Other {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Other {
    pub async fn of(setup: &Setup) -> Self {
        let file = setup.config.with_file_name("dcvd.db");
        match setup.database() {
            Some(url) => Self::Postgres(PgConnection::connect(url).await.unwrap()),
            None => Self::Sqlite(SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap()),
        }
    }

    pub async fn hold(&mut self) {
        match self {
            Self::Postgres(conn) => conn.execute("BEGIN; LOCK TABLE orders IN SHARE MODE").await.map(drop).unwrap(),
            Self::Sqlite(conn) => conn.execute("BEGIN IMMEDIATE").await.map(drop).unwrap(),
        }
    }

    pub async fn let_go(&mut self) {
        match self {
            Self::Postgres(conn) => conn.execute("ROLLBACK").await.map(drop).unwrap(),
            Self::Sqlite(conn) => conn.execute("ROLLBACK").await.map(drop).unwrap(),
        }
    }
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
    refused_then_taken(&setup, "a full disk", fill, async || limit("unlimited")).await;
    wait("the all-clear", async || ready().await.filter(|(status, _)| *status == 200)).await;
}

#[tokio::test]
async fn a_sqlite_that_another_program_holds_refuses_and_is_over_when_it_lets_go() {
    let setup = Setup::new().await;
    let _daemon = setup.serve().await;
    let other = Mutex::new(Other::of(&setup).await);
    let (hold, let_go) = (async || other.lock().await.hold().await, async || other.lock().await.let_go().await);
    refused_then_taken(&setup, "SQLite held", hold, let_go).await;
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
    refused_then_taken(&setup, "PostgreSQL only reads", async || set("on").await, async || set("off").await).await;
}

/// From now on PostgreSQL fails whoever writes an order, with this code.
async fn fail_with(url: &str, code: &str) {
    let function = format!(
        "CREATE FUNCTION in_the_way() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{code}'; END $$"
    );
    let mut conn = PgConnection::connect(url).await.unwrap();
    conn.execute(sqlx::AssertSqlSafe(function)).await.unwrap();
    conn.execute("CREATE TRIGGER in_the_way BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION in_the_way()")
        .await
        .unwrap();
}

async fn fail_no_more(url: &str) {
    let mut conn = PgConnection::connect(url).await.unwrap();
    conn.execute("DROP FUNCTION in_the_way CASCADE").await.unwrap();
}

#[tokio::test]
async fn a_postgres_where_others_are_in_the_way_refuses_and_is_over_when_they_are_gone() {
    // What cannot be serialized with what another did, and what would wait for another for ever.
    for code in ["40001", "40P01"] {
        let url = postgres::database().await;
        let setup = Setup::on(Some(url.clone())).await;
        let _daemon = setup.serve().await;
        refused_then_taken(&setup, code, async || fail_with(&url, code).await, async || fail_no_more(&url).await).await;
    }
}

#[tokio::test]
async fn what_would_fail_again_is_not_said_to_be_over_soon() {
    let url = postgres::database().await;
    let setup = Setup::on(Some(url.clone())).await;
    let _daemon = setup.serve().await;
    // A row that is not allowed, and an error of somebody's own making.
    for (number, code) in [(1, "23514"), (2, "P0001")] {
        fail_with(&url, code).await;
        let (status, problem, retry) = place(&setup, number).await;
        assert_eq!((status, &problem["code"], retry), (500, &json!("internal"), false), "{code}: {problem}");
        fail_no_more(&url).await;
    }
    assert_eq!(orders(&setup).await, 0);
    for number in 1..=2 {
        see_through(&setup, &setup.base, number).await;
    }
    settled(&setup).await;
    all_is_well(&setup, 2, "what would fail again").await;
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
