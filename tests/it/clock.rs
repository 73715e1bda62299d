//! The process under a clock that jumps (Debian's libfaketime): what is due by the clock is done, once, and nothing is lost.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::kills::{links, plain_order, posted_in_order, rows, settled, timelines, verified};
use crate::process::Setup;
use crate::support::postgres;
use crate::support::process::{Daemon, program, wait};

fn library() -> PathBuf {
    let found = std::fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok);
    let mut found = found.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1")).filter(|path| path.exists());
    found.next().expect("libfaketime is installed (tests/run installs it)")
}

/// Sets the clock of a setup's daemons, so far from the real one.
pub fn set_clock(setup: &Setup, offset: &str) {
    let clock = setup.config.with_file_name("clock");
    // Whole or not at all: it is read at any time.
    let next = clock.with_extension("next");
    std::fs::write(&next, format!("{offset}\n")).unwrap();
    std::fs::rename(&next, &clock).unwrap();
}

/// Starts a daemon that goes by the setup's clock; it dies at a point where one is given.
pub fn start(setup: &Setup, die_at: Option<&str>) -> Daemon {
    let log = setup.config.with_extension("log");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
    let mut command = program();
    command.current_dir(setup.config.parent().unwrap()).args(["serve", "--config"]).arg(&setup.config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    command.env("LD_PRELOAD", library()).env("FAKETIME_TIMESTAMP_FILE", setup.config.with_file_name("clock"));
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command.envs(setup.database().map(|url| ("DCVD__DATABASE__URL", url)));
    command.envs(die_at.map(|point| ("DCVD_DIE_AT", point)));
    Daemon { child: command.spawn().unwrap(), log }
}

#[tokio::test]
async fn jumps_of_an_hour_and_a_leap_beyond_the_deadline_on_sqlite() {
    jumps_of_an_hour_and_a_leap_beyond_the_deadline(Setup::new().await).await;
}

#[tokio::test]
async fn jumps_of_an_hour_and_a_leap_beyond_the_deadline_on_postgres() {
    jumps_of_an_hour_and_a_leap_beyond_the_deadline(Setup::on(Some(postgres::database().await)).await).await;
}

async fn jumps_of_an_hour_and_a_leap_beyond_the_deadline(setup: Setup) {
    let set = |offset: &str| set_clock(&setup, offset);
    set("+0");
    let mut daemon = start(&setup, None);
    let readyz = async || {
        let answer = setup.client.get(format!("{}/readyz", setup.base)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    };
    let ready = async || readyz().await.filter(|(status, _)| *status == 200).map(drop);
    let place = async |number: usize| {
        let answer = plain_order(&setup, &setup.base, number).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let placed: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        placed["id"].as_str().unwrap().to_owned()
    };
    let state = async |id: &str| {
        let request = setup.client.get(format!("{}/v1/orders/{id}", setup.base)).bearer_auth(&setup.world.token);
        let told: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        told["validations"][0]["state"].as_str().unwrap().to_owned()
    };
    let link = async |number: usize| wait("the mail", async || links(&setup, number).pop()).await;
    // An attempt that an hour passes over is one that lost its lease.
    let recorded = async |order_ref: &str| {
        let told = || setup.world.webhooks.taken("mail.sent").iter().any(|hook| hook.body["data"]["order_ref"] == order_ref);
        wait("the mail's record", async || told().then_some(())).await;
    };
    wait("the daemon", ready).await;

    let first = place(1).await;
    let to_first = link(1).await;
    recorded("K-1").await;
    set("+1h");
    let second = place(2).await;
    let to_second = link(2).await;
    assert_eq!(setup.approve(&to_first).await, 303, "an hour later the link is good");
    wait("the first order's end", async || (state(&first).await == "approved").then_some(())).await;

    // Back again: it says that its clock lies before what was written, and loses nothing of what it is asked all the same.
    set("+0");
    let (status, said) = wait("the complaint", async || readyz().await.filter(|(status, _)| *status != 200)).await;
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("behind"), "{said}");
    let third = place(3).await;
    let to_third = link(3).await;
    assert_eq!(setup.approve(&to_third).await, 303);
    wait("the third order's end", async || (state(&third).await == "approved").then_some(())).await;

    // Beyond the 26 days: what nobody answered expires, what was answered stays.
    recorded("K-3").await;
    set("+27d");
    wait("the deadline", async || (state(&second).await == "expired").then_some(())).await;
    wait("a clock that is ahead", ready).await;
    let page = setup.client.get(&to_second).send().await.unwrap();
    assert_eq!(page.status(), 410, "its link is over");
    assert_eq!((state(&first).await, state(&third).await), ("approved".to_owned(), "approved".to_owned()));
    settled(&setup).await;
    assert!(daemon.terminate().await);
    all_is_well(&setup).await;
}

/// What database, inbox and receiver must say in the end: two orders were approved and one expired, each told once and in order.
async fn all_is_well(setup: &Setup) {
    let told = "the clock jumped";
    let count = async |sql| rows(setup, sql).await.unwrap()[0].0;
    assert_eq!(count("SELECT COUNT(*), '' FROM orders").await, 3);
    assert_eq!(count("SELECT COUNT(*), '' FROM orders WHERE state = 'completed'").await, 3);
    assert_eq!(count("SELECT COUNT(*), '' FROM answers WHERE won = 1").await, 2);
    let given_up = "SELECT attempts, kind || ': ' || last_error FROM effects WHERE state = 'dead' AND last_error <> 'link-ended'";
    assert_eq!(rows(setup, given_up).await.unwrap(), [], "{told}");
    let timelines = timelines(setup).await;
    for (number, end) in [(1, "validation.approved"), (2, "validation.expired"), (3, "validation.approved")] {
        let order_ref = format!("K-{number}");
        let (timeline, posted) = (&timelines[&order_ref], posted_in_order(setup, &order_ref, told));
        for kind in ["order.created", "mail.sent", end, "order.completed"] {
            let places: Vec<i64> = timeline.iter().filter(|(_, one)| one == kind).map(|(seq, _)| *seq).collect();
            assert!(places.len() == 1 && posted.contains(&places[0]), "{kind} is told once: {posted:?} of {timeline:?}");
        }
        assert_eq!(links(setup, number).len(), 1, "{order_ref}: no mail went twice");
    }
    verified(setup, told).await;
}
