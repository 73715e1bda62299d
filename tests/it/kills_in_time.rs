//! Daemons that die while they do what nobody asks for: take returned mail, remind, expire, renew. Time goes by Debian's libfaketime.

use std::time::Duration;

use dcvd::adapters::clock::SystemClock;
use dcvd::demo::smtp::Arrived;
use dcvd::ports::Clock as _;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::clock::{set_clock, start};
use crate::kills::{keyed_order, order, outlived, posted_in_order, recipient, rows, settled, verified};
use crate::process::Setup;
use crate::returned::report;
use crate::support::postgres;
use crate::support::process::wait;

/// Before and after each commit of what time and the mail server bring.
const POINTS: [&str; 10] = [
    "before ingest",
    "after ingest",
    "before remind",
    "after remind",
    "before expire",
    "after expire",
    "before claim_renewal",
    "after claim_renewal",
    "before place_order 4",
    "after place_order 4",
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
    let runs = stream::iter(POINTS).map(async |point| {
        let setup = setup().await;
        prepare(&setup);
        let life = async {
            life(&setup).await;
            settled(&setup).await;
        };
        let mut daemon = Box::pin(outlived(point, start(&setup, Some(point)), async || start(&setup, None), life)).await;
        settled(&setup).await;
        assert!(daemon.terminate().await, "{point}");
        all_is_well(&setup, point).await;
    });
    runs.buffer_unordered(4).collect::<()>().await;
}

/// Where returned mail is read and this service renews.
fn prepare(setup: &Setup) {
    let dir = setup.config.parent().unwrap();
    for folder in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(dir.join("returned").join(folder)).unwrap();
    }
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let inbound = format!("[inbound]\nmaildir = \"{}/returned\"\n[canary]\nmode = \"off\"\n", dir.display());
    std::fs::write(&setup.config, format!("{text}{inbound}")).unwrap();
    let profile = dir.join("profiles/standard.toml");
    let text = std::fs::read_to_string(&profile).unwrap();
    let renews = text.replace("created_by = \"caller\"", "created_by = \"scheduler\"");
    assert_ne!(renews, text);
    std::fs::write(&profile, renews.replace("notices = [\"35d\", \"30d\"]", "notices = []")).unwrap();
    set_clock(setup, "+0");
}

/// One order's mail comes back; nobody answers another; a third is approved, and its certificate ends.
async fn life(setup: &Setup) {
    let [first, second, third] = [place(setup, 1).await, place(setup, 2).await, place(setup, 3).await];
    let [returned, _, link] = [mail(setup, 1).await, mail(setup, 2).await, mail(setup, 3).await];
    let message = report(&returned.mail_from, "failed", "5.1.1");
    let folder = setup.config.with_file_name("returned");
    std::fs::write(folder.join("tmp/1"), message).unwrap();
    std::fs::rename(folder.join("tmp/1"), folder.join("new/1")).unwrap();
    let told = async |id: &str| order(setup, &setup.base, id).await;
    wait("the bounce", async || (told(&first).await?["mails"][0]["delivery"] == "bounced").then_some(())).await;
    let link = link.link().unwrap();
    assert_eq!(setup.approve(&link).await, 303);
    let state = async |id: &str, state: &str| {
        wait(state, async || (told(id).await?["validations"][0]["state"] == state).then_some(())).await;
    };
    state(&third, "approved").await;
    let now = SystemClock.now();
    let certificate = json!({"serial": "0a", "names": ["www.n3.sample-shop.co.jp"], "not_before": now,
        "not_after": now + Duration::from_secs(100 * 86_400)});
    let path = format!("{}/v1/orders/{third}/certificates", setup.base);
    wait("the certificate", async || {
        let request = setup.client.post(&path).bearer_auth(&setup.world.token).header("content-type", "application/json");
        request.body(certificate.to_string()).send().await.is_ok_and(|answer| answer.status().is_success()).then_some(())
    })
    .await;

    // What is under way ends first: an attempt that days pass over is one that lost its lease, and may be the last.
    settled(setup).await;
    set_clock(setup, "+20d");
    wait("the reminder", async || (setup.world.inbox.arrived_for(&recipient(2)).len() > 1).then_some(())).await;
    settled(setup).await;
    set_clock(setup, "+27d");
    state(&first, "expired").await;
    state(&second, "expired").await;
    // A renewal that was begun is looked at again an hour later.
    for offset in ["+71d", "+72d"] {
        set_clock(setup, offset);
        sleep(Duration::from_secs(3)).await;
    }
    wait("the renewal", async || {
        let orders = rows(setup, "SELECT COUNT(*), '' FROM orders").await?;
        (orders[0].0 == 4).then_some(())
    })
    .await;
}

async fn place(setup: &Setup, number: usize) -> String {
    let placed = wait("the order's place", async || {
        let answer = keyed_order(setup, &setup.base, number).send().await.ok()?;
        let (status, text) = (answer.status().as_u16(), answer.text().await.ok()?);
        (status == 201).then(|| serde_json::from_str::<Value>(&text).unwrap())
    })
    .await;
    placed["id"].as_str().unwrap().to_owned()
}

async fn mail(setup: &Setup, number: usize) -> Arrived {
    let to = recipient(number);
    wait("the mail", async || setup.world.inbox.arrived_for(&to).into_iter().find(|one| one.link().is_some())).await
}

async fn all_is_well(setup: &Setup, told: &str) {
    let count = async |sql| rows(setup, sql).await.unwrap()[0].0;
    assert_eq!(count("SELECT COUNT(*), '' FROM orders").await, 4, "{told}: three and one that renews");
    assert_eq!(count("SELECT COUNT(*), '' FROM answers WHERE won = 1").await, 1, "{told}");
    assert_eq!(count("SELECT COUNT(*), '' FROM returned_mails").await, 1, "{told}: kept once");
    assert_eq!(count("SELECT CAST(SUM(reminders) AS BIGINT), '' FROM mails").await, 1, "{told}: reminded once");
    let given_up = "SELECT attempts, kind || ': ' || last_error FROM effects WHERE state = 'dead' AND last_error <> 'link-ended'";
    assert_eq!(rows(setup, given_up).await.unwrap(), [], "{told}");
    let events = rows(setup, "SELECT e.seq, o.order_ref || ' ' || e.kind FROM events e JOIN orders o ON o.id = e.order_id");
    let events = events.await.unwrap();
    for (event, times) in [
        ("K-1 mail.bounced", 1),
        ("K-1 validation.expired", 1),
        ("K-2 validation.expired", 1),
        ("K-2 order.completed", 1),
        ("K-3 validation.approved", 1),
        ("K-3 renewal.placed", 1),
    ] {
        assert_eq!(events.iter().filter(|(_, one)| one == event).count(), times, "{told}: {event}: {events:?}");
    }
    for number in 1..=3 {
        let reference = format!("K-{number}");
        let posted = posted_in_order(setup, &reference, told);
        assert!(posted.contains(&1) && posted.len() > 3, "{told}: {posted:?}");
        let mails = setup.world.inbox.arrived_for(&recipient(number));
        let mut links: Vec<String> = mails.iter().filter_map(Arrived::link).collect();
        links.sort_unstable();
        links.dedup();
        // The order that renews has a link of its own.
        assert_eq!(links.len(), if number == 3 { 2 } else { 1 }, "{told}: never another link");
    }
    verified(setup, told).await;
}
