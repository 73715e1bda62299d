//! The process under a clock that jumps (Debian's libfaketime): what is due by the clock is done, once, and nothing is lost.

use std::path::PathBuf;
use std::process::Stdio;

use dcvd::demo::smtp::Arrived;
use serde_json::Value;

use crate::process::Setup;
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
async fn jumps_of_an_hour_and_a_leap_beyond_the_deadline() {
    let setup = Setup::new().await;
    let set = |offset: &str| set_clock(&setup, offset);
    set("+0");
    let mut daemon = start(&setup, None);
    let readyz = async || {
        let answer = setup.client.get(format!("{}/readyz", setup.base)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    };
    let ready = async || readyz().await.filter(|(status, _)| *status == 200).map(drop);
    let state = async |id: &str| {
        let request = setup.client.get(format!("{}/v1/orders/{id}", setup.base)).bearer_auth(&setup.world.token);
        let told: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        told["validations"][0]["state"].as_str().unwrap().to_owned()
    };
    // Receipts have none.
    let links = || setup.world.inbox.arrived().iter().filter_map(Arrived::link).collect::<Vec<_>>();
    let link = async |place: usize| wait("the mail", async || links().get(place).cloned()).await;
    wait("the daemon", ready).await;

    let id = |order: &Value| order["id"].as_str().unwrap().to_owned();
    let first = id(&setup.place("A-1").await);
    let to_first = link(0).await;
    set("+1h");
    let second = id(&setup.place("A-2").await);
    let to_second = link(1).await;
    assert_eq!(setup.approve(&to_first).await, 303, "an hour later the link is good");
    wait("the first order's end", async || (state(&first).await == "approved").then_some(())).await;

    // Back again: it says that its clock lies before what was written, and loses nothing of what it is asked all the same.
    set("+0");
    let (status, said) = wait("the complaint", async || readyz().await.filter(|(status, _)| *status != 200)).await;
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("behind"), "{said}");
    let third = id(&setup.place("A-3").await);
    let to_third = link(2).await;
    assert_eq!(setup.approve(&to_third).await, 303);
    wait("the third order's end", async || (state(&third).await == "approved").then_some(())).await;

    // Beyond the 26 days: what nobody answered expires, what was answered stays.
    set("+27d");
    wait("the deadline", async || (state(&second).await == "expired").then_some(())).await;
    wait("a clock that is ahead", ready).await;
    let page = setup.client.get(&to_second).send().await.unwrap();
    assert_eq!(page.status(), 410, "its link is over");
    assert_eq!((state(&first).await, state(&third).await), ("approved".to_owned(), "approved".to_owned()));
    for (reference, kind) in [("A-1", "validation.approved"), ("A-2", "validation.expired"), ("A-3", "validation.approved")] {
        let told = async || {
            let hooks = setup.world.webhooks.taken(kind);
            let about = hooks.iter().filter(|hook| hook.body["data"]["order_ref"] == *reference);
            let mut ids: Vec<String> = about.map(|hook| hook.id.clone()).collect();
            ids.dedup();
            (!ids.is_empty()).then_some(ids)
        };
        assert_eq!(wait("the result", told).await.len(), 1, "{reference} is told under one id");
    }
    assert_eq!(links().len(), 3, "no mail went twice");
    assert!(daemon.terminate().await);
}
