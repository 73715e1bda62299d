//! What renews a certificate, and what does not.

use std::time::Duration;

use dcvd::dcv::contact::whois::HopError;
use dcvd::store::StoreError;
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::on_both_with;

const PROFILES: &[(&str, &str)] = &[
    (
        "places",
        "extends = \"standard\"\naddresses.sources = [\"constructed\"]\nrenewal.created_by = \"scheduler\"\nrenewal.notices = []\n",
    ),
    ("two", "extends = \"places\"\ndecision.quorum = 2\n"),
    ("whois", "extends = \"places\"\naddresses.sources = [\"constructed\", \"whois\"]\n"),
];

on_both_with!(PROFILES;
    an_order_that_renews_counts_once_it_is_approved,
    what_was_objected_to_is_not_asked_again,
    a_reissue_of_what_is_renewed_is_not_renewed_again,
);

const DAY: Duration = Duration::from_secs(86_400);

/// When the certificates of these tests end: a hundred days after they begin.
const ENDS: &str = "2027-03-02T00:00:00Z";

/// Places an order that everybody who is asked approves.
async fn approved(app: &TestApp, body: &Value) -> Value {
    let order = app.place(body).await;
    let before = app.approval_mails().len();
    app.run_jobs().await;
    for mail in app.approval_mails().split_off(before) {
        assert_eq!(app.approve(&mail.link().unwrap()).await.0, 303);
    }
    assert_eq!(app.order(&order).await["state"], "completed");
    order
}

async fn report(app: &TestApp, order: &Value, serial: &str, names: &[&str]) {
    let path = format!("/v1/orders/{}/certificates", order["id"].as_str().unwrap());
    let certificate = json!({"serial": serial, "names": names, "not_before": "2026-11-22T00:00:00Z", "not_after": ENDS});
    assert_eq!(app.post(&path, &certificate).await.0, 201);
}

async fn days(app: &TestApp, days: u32) {
    app.clock.advance(DAY * days);
    app.run_jobs().await;
    app.run_jobs().await;
}

async fn times(app: &TestApp, order: &Value, kind: &str) -> usize {
    app.event_types(order).await.iter().filter(|one| *one == kind).count()
}

fn body(profile: &str, order_ref: &str, names: &[&str], approvers: &[&str]) -> Value {
    json!({"order_ref": order_ref, "profile": profile, "names": names, "approvers": approvers, "notify": ["staff@reseller.example"]})
}

async fn an_order_that_renews_counts_once_it_is_approved(app: TestApp) {
    let names = ["a.example.jp", "b.example.jp"];
    let first = approved(&app, &body("places", "A-1", &names, &["admin@example.jp"])).await;
    report(&app, &first, "0a", &names).await;
    let second = approved(&app, &body("places", "B-1", &names, &["admin@example.jp"])).await;
    report(&app, &second, "0b", &names).await;
    days(&app, 69).await;
    // Each says that it renews; one for a name fewer. Nobody answers the first.
    let mut renews = body("places", "A-2", &["a.example.jp"], &["admin@example.jp"]);
    renews["previous_order_id"] = first["id"].clone();
    let open = app.place(&renews).await;
    app.run_jobs().await;
    (renews["order_ref"], renews["previous_order_id"]) = (json!("B-2"), second["id"].clone());
    approved(&app, &renews).await;
    days(&app, 2).await;
    assert_eq!((times(&app, &first, "renewal.placed").await, times(&app, &second, "renewal.placed").await), (0, 0));
    let cancel = format!("/v1/orders/{}/cancel", open["id"].as_str().unwrap());
    assert_eq!(app.post(&cancel, &json!({"reason": "mistaken", "by": "applicant"})).await.0, 200);
    days(&app, 1).await;
    assert_eq!((times(&app, &first, "renewal.placed").await, times(&app, &second, "renewal.placed").await), (1, 0));
    assert_eq!(times(&app, &first, "renewal.failed").await, 0);
}

async fn what_was_objected_to_is_not_asked_again(app: TestApp) {
    let order = approved(&app, &body("places", "A-1", &["a.example.jp"], &["admin@example.jp"])).await;
    app.run_jobs().await;
    let receipt = app.inbox.arrived().into_iter().rev().find(|mail| mail.text().contains("/dispute/")).unwrap().text();
    let dispute = receipt.lines().find(|line| line.contains("/dispute/")).unwrap().trim().to_owned();
    assert_eq!(app.send_form(&dispute, &[("sure", "yes")]).await.0, 303);
    report(&app, &order, "0a", &["a.example.jp"]).await;
    let (mails, told) = (app.approval_mails().len(), || app.notices().into_iter().filter(|(kind, _)| kind == "renewal").count());
    days(&app, 70).await;
    assert_eq!((times(&app, &order, "renewal.failed").await, told()), (1, 2), "to whoever ordered, and the operators");
    days(&app, 1).await;
    assert_eq!((times(&app, &order, "renewal.failed").await, told()), (2, 2), "each day an event, mail once");
    days(&app, 22).await;
    assert_eq!((times(&app, &order, "renewal.failed").await, told()), (3, 4), "and again when the end is near");
    assert_eq!(app.approval_mails().len(), mails);
    days(&app, 10).await;
    assert_eq!(times(&app, &order, "renewal.failed").await, 3, "nobody renews what has ended");
}

async fn a_reissue_of_what_is_renewed_is_not_renewed_again(app: TestApp) {
    let order = approved(&app, &body("places", "A-1", &["a.example.jp"], &["admin@example.jp"])).await;
    report(&app, &order, "0a", &["a.example.jp"]).await;
    days(&app, 70).await;
    assert_eq!(times(&app, &order, "renewal.placed").await, 1);
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    report(&app, &order, "0b", &["a.example.jp"]).await;
    days(&app, 25).await;
    assert_eq!(times(&app, &order, "renewal.placed").await, 1);
}

#[tokio::test]
async fn an_order_that_comes_while_the_sources_are_asked_is_not_overruled() {
    let app = TestApp::with_profiles(PROFILES).await;
    let order = approved(&app, &body("places", "A-1", &["a.example.jp"], &["admin@example.jp"])).await;
    report(&app, &order, "0a", &["a.example.jp"]).await;
    app.clock.advance(DAY * 70);
    let read = app.app.store.renewals_due(app.app.now(), 9).await.unwrap().remove(0);
    let mut renews = body("places", "A-2", &["a.example.jp"], &["admin@example.jp"]);
    renews["previous_order_id"] = order["id"].clone();
    app.place(&renews).await;
    let now = app.app.now();
    let written: Result<bool, StoreError> =
        app.app.store.write("test", move |tx| Box::pin(async move { tx.renewal_done(&read, now, None, Some(&[1])).await })).await;
    assert!(!written.unwrap());
    days(&app, 1).await;
    assert_eq!(times(&app, &order, "renewal.placed").await, 0);
}

#[tokio::test]
async fn everybody_who_approved_is_asked_again() {
    let app = TestApp::with_profiles(PROFILES).await;
    let both = ["admin@example.jp", "webmaster@example.jp"];
    let order = approved(&app, &body("two", "A-1", &["a.example.jp"], &both)).await;
    report(&app, &order, "0a", &["a.example.jp"]).await;
    let before = app.approval_mails().len();
    days(&app, 70).await;
    let mut asked: Vec<String> = app.approval_mails().split_off(before).into_iter().flat_map(|mail| mail.rcpt_to).collect();
    asked.sort();
    assert_eq!(asked, both);
}

#[tokio::test]
async fn while_a_source_does_not_answer_nothing_is_placed() {
    let app = TestApp::with_profiles(PROFILES).await;
    app.whois.answers("whois.iana.org", "org", "refer: whois.registry.example\n\ndomain: ORG\n");
    app.whois.answers("whois.registry.example", "example.org", "Domain Name: EXAMPLE.ORG\r\nAdmin Email: d@owner.example\r\n");
    let order = approved(&app, &body("whois", "A-1", &["a.example.org"], &["d@owner.example"])).await;
    report(&app, &order, "0a", &["a.example.org"]).await;
    let before = app.approval_mails().len();
    app.whois.fails("whois.registry.example", "example.org", HopError::Timeout);
    days(&app, 70).await;
    assert_eq!((times(&app, &order, "renewal.placed").await, times(&app, &order, "renewal.failed").await), (0, 0));
    app.whois.answers("whois.registry.example", "example.org", "Domain Name: EXAMPLE.ORG\r\nAdmin Email: d@owner.example\r\n");
    app.clock.advance(Duration::from_secs(3600));
    app.run_jobs().await;
    assert_eq!(times(&app, &order, "renewal.placed").await, 1);
    assert_eq!(app.approval_mails().len(), before + 1);
}
