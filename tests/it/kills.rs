//! Daemons that die at any point, alone or among several on one database: nothing is lost, doubled, or told out of order.
//!
//! `DCVD_KILLS=500 cargo test --test it kills::at_random` kills as often as it says; the tests' own number is small.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dcvd::demo::smtp::{Arrived, Reply};
use dcvd::demo::webhooks::Received;
use futures_util::stream::{self, StreamExt as _};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::process::Setup;
use crate::support::cluster::Cluster;
use crate::support::postgres;
use crate::support::process::{Daemon, PATIENCE, address, program, wait};

/// Every point that an order's way leads over: before and after each commit, and where an effect is done and not recorded.
const POINTS: [&str; 16] = [
    "before place_order",
    "after place_order",
    "before claim",
    "after claim",
    "taken mail",
    "begin deliver",
    "before deliver",
    "after deliver",
    "before answer",
    "after answer",
    "taken webhook",
    "before post_webhook",
    "after post_webhook",
    "taken notice",
    "after send_notice",
    "after seal",
];

#[tokio::test]
async fn at_every_point_on_sqlite() {
    at_every_point(async || Setup::new().await).await;
}

#[tokio::test]
async fn at_every_point_on_postgres() {
    at_every_point(async || Setup::on(Some(postgres::database().await)).await).await;
}

async fn at_every_point(setup: impl AsyncFn() -> Setup) {
    // Most of the time is spent waiting for leases to end.
    let runs = stream::iter(POINTS).map(async |point| {
        let setup = setup().await;
        let daemon = start(&setup, &setup.config, &setup.base, Some(point)).await;
        let again = async || start(&setup, &setup.config, &setup.base, None).await;
        let order = async {
            see_through(&setup, &setup.base, 1).await;
            settled(&setup).await;
        };
        let mut daemon = outlived(point, daemon, again, order).await;
        assert!(daemon.terminate().await, "{point}");
        all_is_well(&setup, 1, point).await;
    });
    runs.buffer_unordered(5).collect::<()>().await;
}

/// Starts a daemon again once it died of a point, until `life` is over; it must have died of it once. The daemon that lives.
pub async fn outlived(
    point: &str,
    mut daemon: Daemon,
    again: impl AsyncFn() -> Daemon,
    life: impl Future<Output = ()>,
) -> Daemon {
    let (ended, died) = (AtomicBool::new(false), AtomicUsize::new(0));
    let life = async {
        life.await;
        ended.store(true, Ordering::SeqCst);
    };
    let tending = async {
        let mut over = None;
        while !ended.load(Ordering::SeqCst) || died.load(Ordering::SeqCst) == 0 {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                assert_eq!(status.code(), None, "{point}: it ended by itself");
                died.fetch_add(1, Ordering::SeqCst);
                daemon = again().await;
            }
            // What was committed is seen before the daemon is dead of it.
            if ended.load(Ordering::SeqCst) && died.load(Ordering::SeqCst) == 0 {
                let over = over.get_or_insert_with(Instant::now);
                assert!(over.elapsed() < PATIENCE, "the point `{point}` was never passed");
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(life, tending);
    assert_eq!(died.load(Ordering::SeqCst), 1, "{point} is passed once");
    daemon
}

#[tokio::test]
async fn at_random_on_sqlite() {
    at_random(Setup::new().await).await;
}

#[tokio::test]
async fn at_random_on_postgres() {
    at_random(Setup::on(Some(postgres::database().await)).await).await;
}

fn kills() -> u32 {
    wished("DCVD_KILLS").and_then(|kills| kills.parse().ok()).unwrap_or(8)
}

#[expect(clippy::disallowed_methods, reason = "a test is told so how long it may take, and on what")]
fn wished(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn at_random(setup: Setup) {
    let kills = kills();
    let orders = 3 * usize::try_from(kills).unwrap();
    let mut daemon = start(&setup, &setup.config, &setup.base, None).await;
    let killing = async {
        let mut chance = fraction(&kills);
        for _ in 0..kills {
            chance = fraction(&chance);
            sleep(Duration::from_millis(20 + chance % 400)).await;
            daemon.kill();
            daemon = start(&setup, &setup.config, &setup.base, None).await;
        }
    };
    let placing = stream::iter(1..=orders).for_each_concurrent(6, |number| see_through(&setup, &setup.base, number));
    tokio::join!(killing, placing);
    settled(&setup).await;
    assert!(daemon.terminate().await);
    all_is_well(&setup, orders, "at random").await;
}

#[tokio::test]
async fn postgres_crashes_and_cuts_connections() {
    let cluster = Cluster::start();
    let setup = Setup::on(Some(Cluster::url(cluster.port))).await;
    let mut daemon = start(&setup, &setup.config, &setup.base, None).await;
    let harm = async {
        for _ in 0..3 {
            sleep(Duration::from_millis(500)).await;
            cluster.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'").await;
            sleep(Duration::from_millis(300)).await;
            cluster.crash();
            sleep(Duration::from_millis(700)).await;
            cluster.go_on();
        }
    };
    let placing = stream::iter(1..=24).for_each_concurrent(6, |number| see_through(&setup, &setup.base, number));
    tokio::join!(harm, placing);
    settled(&setup).await;
    assert!(daemon.terminate().await, "it lived through it");
    all_is_well(&setup, 24, "PostgreSQL crashed").await;
}

#[tokio::test]
async fn postgres_fails_over_to_a_replica() {
    let primary = Cluster::start();
    // As an address that moves from one host to the other does.
    let leads_to = Arc::new(AtomicU16::new(primary.port));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let moving = listener.local_addr().unwrap().port();
    tokio::spawn({
        let leads_to = Arc::clone(&leads_to);
        async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let leads_to = Arc::clone(&leads_to);
                tokio::spawn(async move {
                    let mut to = TcpStream::connect(("127.0.0.1", leads_to.load(Ordering::SeqCst))).await?;
                    copy_bidirectional(&mut from, &mut to).await
                });
            }
        }
    });
    let setup = Setup::on(Some(Cluster::url(moving))).await;
    let mut daemon = start(&setup, &setup.config, &setup.base, None).await;
    let replica = primary.replica().await;
    let failing = async {
        sleep(Duration::from_millis(900)).await;
        primary.crash();
        replica.promote();
        leads_to.store(replica.port, Ordering::SeqCst);
        // What was placed before may have gone its way on the first; this one knows the other alone.
        see_through(&setup, &setup.base, 25).await;
    };
    let placing = stream::iter(1..=24).for_each_concurrent(6, |number| see_through(&setup, &setup.base, number));
    tokio::join!(failing, placing);
    settled(&setup).await;
    assert!(daemon.terminate().await, "it lived through it");
    all_is_well(&setup, 25, "failover").await;
}

/// An hour of it: `DCVD_SOAK_SECS=3600 cargo test --test it kills::memory_and_files`; with `DCVD_SOAK_DATABASE=postgres` on PostgreSQL.
#[tokio::test]
async fn memory_and_files_stay_as_they_are_under_a_mixed_load() {
    let secs: u64 = wished("DCVD_SOAK_SECS").and_then(|secs| secs.parse().ok()).unwrap_or(20);
    let on_postgres = wished("DCVD_SOAK_DATABASE").is_some_and(|database| database == "postgres");
    let setup = Setup::on(if on_postgres { Some(postgres::database().await) } else { None }).await;
    let mut daemon = start(&setup, &setup.config, &setup.base, None).await;
    let (end, number) = (Instant::now() + Duration::from_secs(secs), AtomicUsize::new(0));
    let ordering = stream::iter(std::iter::repeat_n((), 6)).for_each_concurrent(None, async |()| {
        while Instant::now() < end {
            see_through(&setup, &setup.base, number.fetch_add(1, Ordering::SeqCst) + 1).await;
        }
    });
    let looking = async {
        let paths = ["/v1/orders?limit=50", "/admin", "/admin/orders?q=K-1", "/approve/forged", "/readyz", "/docs"];
        let half = Instant::now() + Duration::from_secs(secs) / 2;
        while Instant::now() < end {
            // Not in the first half: what is counted must not grow where nobody reads it.
            let counted = Some("/metrics").filter(|_| Instant::now() > half);
            for path in paths.into_iter().chain(counted) {
                let answer =
                    setup.client.get(format!("{}{path}", setup.base)).bearer_auth(&setup.world.token).send().await.unwrap();
                assert!(!answer.status().is_server_error(), "{path}: {}", answer.status());
                answer.bytes().await.unwrap();
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let pid = daemon.child.id();
    let watching = async {
        let mut seen = Vec::new();
        while Instant::now() < end {
            sleep(Duration::from_secs(secs) / 20).await;
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            let kib: usize = resident.trim().trim_end_matches(" kB").parse().unwrap();
            seen.push((kib, std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()));
        }
        seen
    };
    let ((), (), seen) = tokio::join!(ordering, looking, watching);
    settled(&setup).await;
    let orders = number.load(Ordering::SeqCst);
    println!("{orders} orders in {secs} s; resident KiB and open files over time: {seen:?}");
    // What the first third needed is what the last third needs.
    let third = seen.len() / 3;
    let most =
        |part: &[(usize, usize)]| (part.iter().map(|one| one.0).max().unwrap(), part.iter().map(|one| one.1).max().unwrap());
    let (early, late) = (most(&seen[..third]), most(&seen[2 * third..]));
    // An hour's grew by less than a fifth (`docs/performance.md`); a short run's caches are still filling.
    let more = if secs < 600 { early.0 / 2 + 16 * 1024 } else { early.0 / 4 };
    assert!(late.0 < early.0 + more, "memory grows: {seen:?}");
    assert!(late.1 < early.1 + 16, "open files grow: {seen:?}");
    assert!(daemon.terminate().await);
    all_is_well(&setup, orders, "soak").await;
}

/// A number that follows from another: chance that can be repeated.
fn fraction(of: &impl std::hash::Hash) -> u64 {
    use std::hash::{DefaultHasher, Hasher as _};
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[tokio::test]
async fn one_of_three_on_one_database_is_killed_again_and_again_and_one_is_frozen() {
    let setup = Setup::on(Some(postgres::database().await)).await;
    // One of them is alone at first and stands still between handing a mail over and its record, until another has handed it over too.
    let (config, alone) = another(&setup, 0);
    let frozen = start_with(&setup, &config, &alone, Some(("DCVD_FREEZE_AT", "begin deliver"))).await;
    let arrived = async |times: usize| {
        let mails = || setup.world.inbox.arrived_for(&recipient(1)).len();
        wait("the first order's mail", async || (mails() >= times).then_some(())).await;
    };
    let others = async {
        arrived(1).await;
        setup.world.inbox.answer_with(Reply::TakeAfter(Duration::from_millis(300)));
        let mut hosts = Vec::new();
        for number in 1..3 {
            let (config, base) = another(&setup, number);
            hosts.push((start(&setup, &config, &base, None).await, config, base));
        }
        let bases: Vec<String> = hosts.iter().map(|(_, _, base)| base.clone()).collect();
        let thawing = async {
            arrived(2).await;
            frozen.signal("-CONT");
        };
        let killing = async {
            for round in 0..6 {
                sleep(Duration::from_millis(700)).await;
                let (daemon, config, base) = &mut hosts[round % 2];
                daemon.kill();
                *daemon = start(&setup, config, base, None).await;
            }
        };
        let placing = stream::iter(2..=24).for_each_concurrent(8, |number| see_through(&setup, &bases[number % 2], number));
        tokio::join!(thawing, killing, placing);
        hosts
    };
    let ((), hosts) = tokio::join!(see_through(&setup, &alone, 1), others);
    setup.world.inbox.answer_with(Reply::Take);
    settled(&setup).await;
    // What it held was taken from it, and what it records late is refused by its fence.
    wait("the frozen one's refusal", async || {
        std::fs::read_to_string(&frozen.log).unwrap().contains("the lease was lost").then_some(())
    })
    .await;
    let knows = |log: &PathBuf| std::fs::read_to_string(log).unwrap().contains("the pace of mail to a domain is shared");
    assert!(hosts.iter().all(|(daemon, ..)| knows(&daemon.log)), "each knows that it is not alone");
    drop((frozen, hosts));
    all_is_well(&setup, 24, "three hosts").await;
}

#[tokio::test]
async fn one_host_for_http_and_one_for_jobs_work_hand_in_hand() {
    let setup = Setup::on(Some(postgres::database().await)).await;
    let text = std::fs::read_to_string(&setup.config).unwrap();
    // What is due is told, not found by looking: a poll comes too late for this test.
    std::fs::write(&setup.config, text.replace("poll = \"50ms\"", "poll = \"60s\"")).unwrap();
    let _http = half(&setup, "http");
    let _jobs = half(&setup, "jobs");
    wait("the daemon", async || setup.client.get(format!("{}/readyz", setup.base)).send().await.ok()).await;
    // The other half listens by then.
    sleep(Duration::from_millis(1500)).await;
    let begun = Instant::now();
    see_through(&setup, &setup.base, 1).await;
    assert!(begun.elapsed() < PATIENCE, "it waited for a poll");
    settled(&setup).await;
}

/// Starts half of a daemon; the halves of one have one configuration.
pub fn half(setup: &Setup, which: &str) -> Daemon {
    let log = setup.config.with_extension(format!("{which}.log"));
    let mut command = program();
    command.current_dir(setup.config.parent().unwrap()).args(["serve", "--only", which, "--config"]).arg(&setup.config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    command.envs(setup.database().map(|url| ("DCVD__DATABASE__URL", url)));
    Daemon { child: command.spawn().unwrap(), log }
}

/// The same daemon on another address of its own.
pub fn another(setup: &Setup, number: usize) -> (PathBuf, String) {
    let config = setup.config.with_file_name(format!("host-{number}.toml"));
    let (own, listen) = (setup.base.trim_start_matches("http://"), address());
    let text = std::fs::read_to_string(&setup.config).unwrap();
    std::fs::write(&config, text.replace(&format!("listen = \"{own}\""), &format!("listen = \"{listen}\""))).unwrap();
    (config, format!("http://{listen}"))
}

/// Starts a daemon, that dies at a point where one is given; it may do so before it is ready.
pub async fn start(setup: &Setup, config: &PathBuf, base: &str, die_at: Option<&str>) -> Daemon {
    start_with(setup, config, base, die_at.map(|point| ("DCVD_DIE_AT", point))).await
}

/// The same where it is asked by the environment to die or to stand still at a point.
pub async fn start_with(setup: &Setup, config: &PathBuf, base: &str, at: Option<(&str, &str)>) -> Daemon {
    let log = config.with_extension("log");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
    let mut command = program();
    command.current_dir(config.parent().unwrap()).args(["serve", "--config"]).arg(config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    command.envs(setup.database().map(|url| ("DCVD__DATABASE__URL", url)));
    command.envs(at);
    let mut daemon = Daemon { child: command.spawn().unwrap(), log };
    wait("the daemon", async || {
        let ready = setup.client.get(format!("{base}/readyz")).send().await.is_ok_and(|answer| answer.status() == 200);
        (ready || daemon.child.try_wait().unwrap().is_some()).then_some(())
    })
    .await;
    daemon
}

pub fn domain(number: usize) -> String {
    format!("n{number}.sample-shop.co.jp")
}

pub fn recipient(number: usize) -> String {
    format!("admin@{}", domain(number))
}

/// An order for a domain of its own, as an ordering system sends it.
pub fn plain_order(setup: &Setup, base: &str, number: usize) -> RequestBuilder {
    let names = [format!("www.{}", domain(number))];
    let order = json!({"order_ref": format!("K-{number}"), "names": names, "approvers": [recipient(number)]});
    let request = setup.client.post(format!("{base}/v1/orders")).bearer_auth(&setup.world.token);
    request.header("content-type", "application/json").body(order.to_string())
}

/// The same under a key, so that it may be sent again.
pub fn keyed_order(setup: &Setup, base: &str, number: usize) -> RequestBuilder {
    plain_order(setup, base, number).header("idempotency-key", format!("key-{number}"))
}

/// The links that were mailed for an order, one for each time that it went. Receipts have none.
pub fn links(setup: &Setup, number: usize) -> Vec<String> {
    setup.world.inbox.arrived_for(&recipient(number)).iter().filter_map(Arrived::link).collect()
}

/// Places an order as an ordering system does, again and again with the same key until it is answered; answers the mail that comes; and waits
/// for the order's end. The daemon may die meanwhile at any time.
pub async fn see_through(setup: &Setup, base: &str, number: usize) {
    let placed = wait("the order's place", async || {
        let (status, text) = place(setup, base, number).await?;
        assert!(status == 201 || status == 503 || status == 409, "{status}: {text}");
        (status == 201).then(|| serde_json::from_str::<Value>(&text).unwrap())
    })
    .await;
    let link = link(setup, number).await.replace(&setup.base, base);
    approve(setup, base, &link, placed["id"].as_str().unwrap()).await;
}

/// Places an order once, with a key of its own: what was answered; none while the daemon is dead.
pub async fn place(setup: &Setup, base: &str, number: usize) -> Option<(u16, String)> {
    let answer = keyed_order(setup, base, number).send().await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

/// The link that an order's mail brings.
pub async fn link(setup: &Setup, number: usize) -> String {
    wait("the mail", async || links(setup, number).into_iter().next()).await
}

/// Approves by a link until the order's end is told.
pub async fn approve(setup: &Setup, base: &str, link: &str, id: &str) {
    wait("the order's end", async || {
        // A press whose answer was lost is made again; then the page has no button any more.
        setup.try_approve(link).await;
        (order(setup, base, id).await?["state"] == "completed").then_some(())
    })
    .await;
}

/// An order as the API tells it; none while the daemon is dead.
pub async fn order(setup: &Setup, base: &str, id: &str) -> Option<Value> {
    let request = setup.client.get(format!("{base}/v1/orders/{id}")).bearer_auth(&setup.world.token);
    serde_json::from_str(&request.send().await.ok()?.text().await.ok()?).ok()
}

/// Waits until nothing is left in the outbox; what was done may still wait for its seal.
pub async fn quiet(setup: &Setup) {
    const DUE: &str = "SELECT COUNT(*), '' FROM effects WHERE state = 'due'";
    wait("an empty outbox", async || (rows(setup, DUE).await?[0].0 == 0).then_some(())).await;
}

/// Waits until nothing is left in the outbox, nor to be sealed. What was leased by five daemons that died is left alone for five minutes.
pub async fn settled(setup: &Setup) {
    let end = Instant::now() + if kills() > 50 { Duration::from_secs(400) } else { PATIENCE };
    while !is_settled(setup).await {
        assert!(Instant::now() < end, "the outbox does not empty");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn is_settled(setup: &Setup) -> bool {
    const LEFT: &str =
        "SELECT CAST((SELECT COUNT(*) FROM effects WHERE state = 'due') + (SELECT COUNT(*) FROM unsealed) AS BIGINT), ''";
    rows(setup, LEFT).await.is_some_and(|left| left[0].0 == 0)
}

/// Rows of a number and a text.
pub async fn rows(setup: &Setup, sql: &'static str) -> Option<Vec<(i64, String)>> {
    if let Some(url) = setup.database() {
        let mut conn = PgConnection::connect(url).await.ok()?;
        sqlx::query_as(sql).fetch_all(&mut conn).await.ok()
    } else {
        let path = setup.config.with_file_name("dcvd.db");
        let mut conn = SqliteConnection::connect(&format!("sqlite://{}?mode=ro", path.display())).await.ok()?;
        sqlx::query_as(sql).fetch_all(&mut conn).await.ok()
    }
}

/// What database, inbox and receiver must say whatever happened: every order is approved once; every event arrived, in order, under one id;
/// a mail that came twice holds the same link.
pub async fn all_is_well(setup: &Setup, orders: usize, told: &str) {
    let count = async |sql| rows(setup, sql).await.unwrap()[0].0;
    let all = i64::try_from(orders).unwrap();
    assert_eq!(count("SELECT COUNT(*), '' FROM orders").await, all, "{told}");
    assert_eq!(count("SELECT COUNT(*), '' FROM orders WHERE state = 'completed'").await, all, "{told}");
    assert_eq!(count("SELECT COUNT(*), '' FROM validations WHERE state = 'approved'").await, all, "{told}");
    assert_eq!(count("SELECT COUNT(*), '' FROM answers WHERE won = 1").await, all, "{told}: approved once each");
    // A mail that is taken and not recorded waits for nothing once its link was used.
    let given_up = "SELECT COUNT(*), '' FROM effects WHERE state = 'dead' AND last_error <> 'link-ended'";
    assert_eq!(count(given_up).await, 0, "{told}");
    let timelines = timelines(setup).await;
    // Each looked at once: an hour's load is a quarter of a million.
    let (hooks, mails) = (setup.world.webhooks.received(), setup.world.inbox.arrived());
    let mut links: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for mail in &mails {
        for to in &mail.rcpt_to {
            links.entry(to).or_default().extend(mail.link());
        }
    }
    let mut received: BTreeMap<&str, Vec<&Received>> = BTreeMap::new();
    for one in &hooks {
        received.entry(one.body["data"]["order_ref"].as_str().unwrap_or_default()).or_default().push(one);
    }
    for number in 1..=orders {
        let order_ref = format!("K-{number}");
        let timeline = &timelines[&order_ref];
        assert!(timeline.iter().map(|(seq, _)| *seq).eq(1..=i64::try_from(timeline.len()).unwrap()), "{told}: {timeline:?}");
        for kind in ["order.created", "validation.approved", "order.completed"] {
            assert_eq!(timeline.iter().filter(|(_, one)| one == kind).count(), 1, "{told}: {timeline:?}");
        }
        let posted = in_order(received.get(order_ref.as_str()).map_or(&[][..], Vec::as_slice), told);
        let wanted = ["order.created", "mail.sent", "validation.approved", "order.completed"];
        let wanted: BTreeSet<i64> =
            timeline.iter().filter(|(_, kind)| wanted.contains(&kind.as_str())).map(|(seq, _)| *seq).collect();
        assert!(posted.is_superset(&wanted), "{told}: {posted:?} of {timeline:?}");
        let own = links.get(recipient(number).as_str());
        assert_eq!(own.map_or(0, BTreeSet::len), 1, "{told}: never another link");
    }
    verified(setup, told).await;
}

/// The events of every order, by its reference: place and type.
pub async fn timelines(setup: &Setup) -> BTreeMap<String, Vec<(i64, String)>> {
    const SQL: &str =
        "SELECT e.seq, o.order_ref || ' ' || e.kind FROM events e JOIN orders o ON o.id = e.order_id ORDER BY e.seq";
    let mut timelines: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for (seq, event) in rows(setup, SQL).await.unwrap() {
        let (order_ref, kind) = event.split_once(' ').unwrap();
        timelines.entry(order_ref.to_owned()).or_default().push((seq, kind.to_owned()));
    }
    timelines
}

/// The places of an order's events that the receiver got: in order, each under one id.
pub fn posted_in_order(setup: &Setup, order_ref: &str, told: &str) -> BTreeSet<i64> {
    let received = setup.world.webhooks.received();
    let mine: Vec<&Received> = received.iter().filter(|one| one.body["data"]["order_ref"] == order_ref).collect();
    in_order(&mine, told)
}

fn in_order(mine: &[&Received], told: &str) -> BTreeSet<i64> {
    let mut first_seen: Vec<(&str, i64)> = Vec::new();
    for hook in mine {
        assert!(hook.verified, "{told}");
        let seq = hook.body["data"]["seq"].as_i64().unwrap();
        match first_seen.iter().find(|(id, _)| *id == hook.id) {
            Some((_, before)) => assert_eq!(*before, seq, "{told}: one id, one event"),
            None => first_seen.push((&hook.id, seq)),
        }
    }
    assert!(first_seen.is_sorted_by_key(|(_, seq)| *seq), "{told}: in order: {first_seen:?}");
    let posted: BTreeSet<i64> = first_seen.iter().map(|(_, seq)| *seq).collect();
    assert_eq!(posted.len(), first_seen.len(), "{told}: one event, one id: {first_seen:?}");
    posted
}

/// The audit log must hold.
pub async fn verified(setup: &Setup, told: &str) {
    let mut command = program();
    command.current_dir(setup.config.parent().unwrap()).args(["audit", "verify", "--config"]).arg(&setup.config);
    command.envs(setup.database().map(|url| ("DCVD__DATABASE__URL", url)));
    let verified = spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(verified.status.success(), "{told}: {}", String::from_utf8_lossy(&verified.stderr));
}
