//! Daemons that die of what people and ordering systems ask for beside an order and its answer; whoever asked asks again, and it is done once.

use std::collections::BTreeSet;
use std::time::Duration;

use dcvd::adapters::clock::SystemClock;
use dcvd::demo::smtp::Arrived;
use dcvd::ports::Clock as _;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use crate::kills::{approve, domain, outlived, posted_in_order, quiet, rows, settled, start, verified};
use crate::process::Setup;
use crate::support::postgres;
use crate::support::process::wait;

/// Before and after each commit of what is asked for, and of what is kept of the answers; and before two that `kills` dies after.
const POINTS: [&str; 16] = [
    "before resend",
    "after resend",
    "before extend",
    "after extend",
    "before record_certificate",
    "after record_certificate",
    "before dispute",
    "after dispute",
    "before change_approver",
    "after change_approver",
    "before cancel",
    "after cancel",
    "before keep_answer",
    "after keep_answer",
    "before send_notice",
    "before seal",
];

/// Who hears of each order by notices.
const STAFF: &str = "staff@reseller.example";

#[tokio::test]
async fn at_every_point_on_sqlite() {
    at_every_point(async || Setup::new().await).await;
}

#[tokio::test]
async fn at_every_point_on_postgres() {
    at_every_point(async || Setup::on(Some(postgres::database().await)).await).await;
}

async fn at_every_point(setup: impl AsyncFn() -> Setup) {
    // Most of the time is spent waiting for the next seal.
    let runs = stream::iter(POINTS).map(async |point| {
        let setup = setup().await;
        let daemon = start(&setup, &setup.config, &setup.base, Some(point)).await;
        let again = async || start(&setup, &setup.config, &setup.base, None).await;
        let life = async {
            life(&setup).await;
            settled(&setup).await;
        };
        let mut daemon = outlived(point, daemon, again, life).await;
        assert!(daemon.terminate().await, "{point}");
        all_is_well(&setup, point).await;
    });
    runs.buffer_unordered(8).collect::<()>().await;
}

fn recipient(who: &str, number: usize) -> String {
    format!("{who}@{}", domain(number))
}

/// One order's mail is sent again, its deadline moved, its name approved, certified and disputed; the other's asks somebody else, and it is
/// cancelled.
async fn life(setup: &Setup) {
    let (first, second) = (place(setup, 1).await, place(setup, 2).await);
    let path = |order: &Value, what: &str| format!("/v1/orders/{}/{what}", order["id"].as_str().unwrap());
    let (admin, webmaster) = (recipient("admin", 1), recipient("webmaster", 2));
    let link = line(setup, &admin, "/approve/").await;
    // Each time all that was asked for before is done, so that the daemon dies of what is asked for next alone.
    quiet(setup).await;
    asked(setup, &path(&first, "resend"), "resend", &json!({"mail_id": first["mails"][0]["id"]})).await;
    quiet(setup).await;
    asked(setup, &path(&first, "extend"), "extend", &json!({"days": 1, "reason": "a holiday"})).await;
    approve(setup, &setup.base, &link, first["id"].as_str().unwrap()).await;
    let now = SystemClock.now();
    let certificate = json!({"serial": "0a", "names": [format!("www.{}", domain(1))], "not_before": now,
        "not_after": now + Duration::from_secs(100 * 86_400)});
    let noted = asked(setup, &path(&first, "certificates"), "certificate", &certificate).await;
    assert_eq!((&noted["serial"], &noted["state"]), (&json!("a"), &Value::Null), "the certificate and not the order is told");
    let dispute = line(setup, &admin, "/dispute/").await;
    quiet(setup).await;
    wait("the objection", async || {
        let request = setup.client.post(&dispute).header("content-type", "application/x-www-form-urlencoded");
        (request.body("sure=yes").send().await.ok()?.status() == 303).then_some(())
    })
    .await;

    asked(setup, &path(&second, "approvers"), "change", &json!({"approvers": [webmaster]})).await;
    line(setup, &webmaster, "/approve/").await;
    quiet(setup).await;
    let cancelled = asked(setup, &path(&second, "cancel"), "cancel", &json!({"reason": "ordered twice"})).await;
    assert_eq!(cancelled["state"], "cancelled");
}

async fn place(setup: &Setup, number: usize) -> Value {
    let body = json!({"order_ref": format!("K-{number}"), "names": [format!("www.{}", domain(number))],
        "approvers": [recipient("admin", number)], "notify": [STAFF]});
    asked(setup, "/v1/orders", &format!("place-{number}"), &body).await
}

/// Asks for something again and again with the same key until it is done, as an ordering system does.
async fn asked(setup: &Setup, path: &str, key: &str, body: &Value) -> Value {
    wait(key, async || {
        let request = setup.client.post(format!("{}{path}", setup.base)).bearer_auth(&setup.world.token);
        let request = request.header("content-type", "application/json").header("idempotency-key", key);
        let answer = request.body(body.to_string()).send().await.ok()?;
        let (status, text) = (answer.status(), answer.text().await.ok()?);
        assert!(status.is_success() || status == 503, "{key}: {status}: {text}");
        assert!(status != 200 || !path.ends_with("/certificates"), "{key}: a repeat is answered as the first time: {text}");
        status.is_success().then(|| serde_json::from_str::<Value>(&text).unwrap())
    })
    .await
}

/// The first line with such a link that was mailed to somebody.
async fn line(setup: &Setup, to: &str, holds: &str) -> String {
    let find = |mail: &Arrived| mail.text().lines().find(|line| line.contains(holds)).map(|line| line.trim().to_owned());
    wait(holds, async || setup.world.inbox.arrived_for(to).iter().find_map(find)).await
}

/// How many mails came to somebody: what was handed over twice has one Message-ID.
fn mails_to(setup: &Setup, to: &str) -> usize {
    let id = |mail: &Arrived| {
        let raw = String::from_utf8_lossy(&mail.raw).into_owned();
        raw.lines().find(|line| line.starts_with("Message-ID: ")).map(str::to_owned)
    };
    let ids: BTreeSet<Option<String>> = setup.world.inbox.arrived_for(to).iter().map(id).collect();
    assert!(!ids.contains(&None));
    ids.len()
}

async fn all_is_well(setup: &Setup, told: &str) {
    const DAY: i64 = 86_400_000_000;
    // Of all that stands in the timelines here, what ordering systems are told.
    const TOLD: [&str; 6] =
        ["order.created", "mail.sent", "validation.approved", "order.completed", "validation.disputed", "order.cancelled"];
    let holds = async |sql: &'static str, wanted: &[(i64, &str)]| {
        let (mut found, mut wanted) = (rows(setup, sql).await.unwrap(), wanted.to_vec());
        found.sort_unstable();
        wanted.sort_unstable();
        let found: Vec<(i64, &str)> = found.iter().map(|(number, text)| (*number, text.as_str())).collect();
        assert_eq!(found, wanted, "{told}: {sql}");
    };
    holds("SELECT COUNT(*), state FROM orders GROUP BY state", &[(1, "completed"), (1, "cancelled")]).await;
    holds("SELECT COUNT(*), state FROM validations GROUP BY state", &[(1, "approved"), (1, "cancelled")]).await;
    holds("SELECT resends, link FROM mails", &[(1, "answered"), (0, "superseded"), (0, "cancelled")]).await;
    let deadlines = [(27 * DAY, "answered"), (26 * DAY, "superseded"), (26 * DAY, "cancelled")];
    holds("SELECT expires_at - created_at, link FROM mails", &deadlines).await;
    holds("SELECT won, answer FROM answers", &[(1, "approve")]).await;
    holds("SELECT COUNT(*), serial FROM certificates GROUP BY serial", &[(1, "a")]).await;
    holds("SELECT COUNT(*), kind FROM notices WHERE disputed_at IS NOT NULL GROUP BY kind", &[(1, "receipt")]).await;
    let notices = [(2, "heads-up"), (1, "receipt"), (1, "result"), (1, "disputed"), (1, "cancelled")];
    holds("SELECT COUNT(*), kind FROM notices GROUP BY kind", &notices).await;
    holds("SELECT attempts, kind FROM effects WHERE state = 'dead'", &[]).await;
    holds(
        "SELECT COUNT(*), o.order_ref || ' ' || e.kind FROM events e JOIN orders o ON o.id = e.order_id
            WHERE e.kind <> 'answer.marked' GROUP BY o.order_ref, e.kind",
        &[
            (1, "K-1 order.created"),
            (2, "K-1 mail.sent"),
            (1, "K-1 mail.resent"),
            (1, "K-1 order.extended"),
            (1, "K-1 validation.approved"),
            (1, "K-1 order.completed"),
            (1, "K-1 certificate.recorded"),
            (1, "K-1 validation.disputed"),
            (1, "K-2 order.created"),
            (2, "K-2 mail.sent"),
            (1, "K-2 approver.changed"),
            (1, "K-2 order.cancelled"),
        ],
    )
    .await;

    for (to, mails) in
        [(recipient("admin", 1), 3), (recipient("admin", 2), 1), (recipient("webmaster", 2), 1), (STAFF.to_owned(), 5)]
    {
        assert_eq!(mails_to(setup, &to), mails, "{told}: {to}");
        let links: BTreeSet<String> = setup.world.inbox.arrived_for(&to).iter().filter_map(Arrived::link).collect();
        assert_eq!(links.len(), usize::from(to != STAFF), "{told}: never another link to {to}");
    }
    let events = rows(setup, "SELECT e.seq, o.order_ref || ' ' || e.kind FROM events e JOIN orders o ON o.id = e.order_id");
    let events = events.await.unwrap();
    for reference in ["K-1", "K-2"] {
        let own = events.iter().filter_map(|(seq, event)| Some((*seq, event.strip_prefix(reference)?.trim_start())));
        let wanted: BTreeSet<i64> = own.filter(|(_, kind)| TOLD.contains(kind)).map(|(seq, _)| seq).collect();
        assert_eq!(posted_in_order(setup, reference, told), wanted, "{told}: {reference}: {events:?}");
    }
    verified(setup, told).await;
}
