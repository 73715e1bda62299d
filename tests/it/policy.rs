//! The operators' lists: names that take no constructed address, and orders that wait for a person.

use std::time::Duration;

use reqwest::header::{HOST, ORIGIN};
use serde_json::{Value, json};

use dcvd::demo::smtp::Reply;

use crate::support::app::TestApp;
use crate::support::on_both;

on_both!(
    a_held_order_mails_nothing_before_an_operator_releases_it,
    a_held_order_expires_like_any_other,
    an_order_whose_name_comes_to_be_held_is_held_before_its_next_mail,
);

fn order(name: &str) -> Value {
    json!({"order_ref": "A-1", "names": [name], "approvers": [format!("admin@{name}")]})
}

async fn release(app: &TestApp, id: &str, origin: &str) -> u16 {
    let host = app.base.trim_start_matches("http://").to_owned();
    let url = format!("{}/admin/orders/{id}/release", app.base);
    app.client.post(url).header(HOST, host).header(ORIGIN, origin).send().await.unwrap().status().as_u16()
}

async fn a_held_order_mails_nothing_before_an_operator_releases_it(app: TestApp) {
    app.policy(&[], &[("example.co.jp", "phished in 2026")]);
    let placed = app.place(&order("www.example.co.jp")).await;
    let id = placed["id"].as_str().unwrap();
    assert_eq!((placed["held"].as_bool(), placed["mails"][0]["delivery"].as_str()), (Some(true), Some("queued")));
    app.run_jobs().await;
    assert!(app.inbox.arrived().is_empty(), "nothing is mailed");
    let kinds = |hooks: &TestApp| hooks.hooks.received().iter().map(|one| one.kind().to_owned()).collect::<Vec<_>>();
    assert_eq!(kinds(&app), ["order.created"], "why it waits is the operators' business");
    let (_, events) = app.get(&format!("/v1/orders/{id}/events")).await;
    assert!(events["events"].as_array().unwrap().iter().any(|event| event["type"] == "order.held"));
    assert!(!events.to_string().contains("phished"), "the reason is the operators'");
    let page = app.client.get(format!("{}/admin/orders/{id}", app.base)).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("phished in 2026"), "{page}");
    let list = app.client.get(format!("{}/admin/orders?is=held&lang=en", app.base)).send().await.unwrap().text().await.unwrap();
    assert!(list.contains("held by policy") && list.contains(id), "{list}");
    assert_eq!(release(&app, id, "https://elsewhere.example").await, 403);
    app.run_jobs().await;
    assert!(app.inbox.arrived().is_empty());
    assert_eq!(release(&app, id, &app.base).await, 303);
    assert_eq!(release(&app, id, &app.base).await, 404, "once");
    app.run_jobs().await;
    assert_eq!(app.inbox.arrived().len(), 1);
    let (_, shown) = app.get(&format!("/v1/orders/{id}")).await;
    assert_eq!((shown.get("held"), shown["mails"][0]["delivery"].as_str()), (None, Some("accepted")));
    assert_eq!(kinds(&app), ["order.created", "mail.sent"]);
}

async fn a_held_order_expires_like_any_other(app: TestApp) {
    app.policy(&[], &[("example.co.jp", "phished in 2026")]);
    let placed = app.place(&order("example.co.jp")).await;
    let id = placed["id"].as_str().unwrap();
    app.clock.advance(Duration::from_secs(27 * 86_400));
    app.run_jobs().await;
    let (_, shown) = app.get(&format!("/v1/orders/{id}")).await;
    assert_eq!((shown["state"].as_str(), shown.get("held")), (Some("completed"), None));
    assert_eq!(release(&app, id, &app.base).await, 404, "it has ended");
    app.run_jobs().await;
    assert!(app.inbox.arrived().is_empty());
}

#[tokio::test]
async fn at_a_refused_domain_no_constructed_address_is_usable() {
    let app = TestApp::sqlite().await;
    app.policy(&[("example.com", "public mailbox provider")], &[]);
    let (_, listing) = app.get("/v1/approvers?name=www.example.com").await;
    let constructed: Vec<_> =
        listing["approvers"].as_array().unwrap().iter().filter(|one| one["source"] == "constructed").collect();
    assert_eq!(constructed.len(), 10);
    assert!(constructed.iter().all(|one| one["usable"] == false && one["reason"] == "adn-refused"));
    let (status, answer) = app.post("/v1/orders", &order("example.com")).await;
    assert_eq!((status, answer["code"].as_str()), (422, Some("approver-not-allowed")), "{answer}");
    assert!(answer["errors"][0]["detail"].as_str().unwrap().contains("adn-refused"));
    app.place(&json!({"order_ref": "A-2", "names": ["example.com"], "approvers": ["rdap-admin@example.com"]})).await;
}

#[tokio::test]
async fn a_mail_to_a_domain_that_is_refused_meanwhile_is_not_sent() {
    let app = TestApp::sqlite().await;
    let placed = app.place(&order("example.co.jp")).await;
    app.policy(&[("example.co.jp", "gives mailboxes away")], &[]);
    app.run_jobs().await;
    assert!(app.approval_mails().is_empty());
    let (_, shown) = app.get(&format!("/v1/orders/{}", placed["id"].as_str().unwrap())).await;
    assert_eq!(
        (shown["mails"][0]["delivery"].as_str(), shown["mails"][0]["failure"].as_str()),
        (Some("failed"), Some("adn-refused"))
    );
}

async fn an_order_whose_name_comes_to_be_held_is_held_before_its_next_mail(app: TestApp) {
    app.inbox.answer_with(Reply::RefuseRcpt("451 4.7.1 later".to_owned()));
    let placed = app.place(&order("example.co.jp")).await;
    let id = placed["id"].as_str().unwrap();
    app.run_jobs().await;
    app.inbox.answer_with(Reply::Take);
    app.policy(&[], &[("example.co.jp", "phished in 2026")]);
    app.clock.advance(Duration::from_secs(60));
    app.run_jobs().await;
    assert!(app.inbox.arrived().is_empty());
    let (_, shown) = app.get(&format!("/v1/orders/{id}")).await;
    assert_eq!(shown["held"], true, "{shown}");
    assert_eq!(release(&app, id, &app.base).await, 303);
    app.run_jobs().await;
    assert_eq!(app.inbox.arrived().len(), 1, "released is released, whatever the list says");
}

#[tokio::test]
async fn a_wildcard_is_held_for_what_lies_below_it() {
    let app = TestApp::sqlite().await;
    app.policy(&[], &[("login.example.co.jp", "a bank")]);
    let body =
        |order_ref: &str, name: &str| json!({"order_ref": order_ref, "names": [name], "approvers": ["admin@example.co.jp"]});
    assert_eq!(app.place(&body("A-1", "*.example.co.jp")).await["held"], true);
    assert_eq!(app.place(&body("A-2", "example.co.jp")).await.get("held"), None, "the profile's scope is the order's names");
    assert_eq!(app.place(&body("A-3", "a.login.example.co.jp")).await["held"], true);
}
