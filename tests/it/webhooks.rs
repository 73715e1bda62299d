//! Webhooks: signed, retried, in order, at least once with the same id.

use std::time::Duration;

use dcvd::adapters::webhook::{Endpoint, StandardWebhooks};
use dcvd::dcv::timestamp::Timestamp;
use dcvd::ports::Webhook as _;

use crate::support::app::{SECRET, TestApp};
use crate::support::on_both;

on_both!(
    events_arrive_in_order_with_one_id_however_often_they_are_refused,
    a_receiver_that_never_answers_is_given_up_and_can_be_replayed
);

async fn events_arrive_in_order_with_one_id_however_often_they_are_refused(app: TestApp) {
    app.hooks.answer_with(500);
    app.place_plain("A-1").await;
    app.run_jobs().await;
    // As long as a person takes: an answer within seconds is marked on the timeline.
    app.clock.advance(Duration::from_secs(10));
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    for _ in 0..4 {
        app.clock.advance(Duration::from_secs(40));
        app.run_jobs().await;
    }
    let refused = app.hooks.received();
    assert!(refused.len() > 1 && refused.iter().all(|one| one.kind() == "order.created"), "the first blocks the rest");
    assert!(refused.iter().all(|one| one.id == refused[0].id && one.verified));
    app.hooks.answer_with(200);
    for _ in 0..3 {
        app.clock.advance(Duration::from_secs(800));
        app.run_jobs().await;
    }
    let taken: Vec<_> = app.hooks.received().into_iter().filter(|one| one.status == 200).collect();
    let kinds: Vec<_> = taken.iter().map(|one| one.kind().to_owned()).collect();
    assert_eq!(kinds, ["order.created", "mail.sent", "validation.approved", "order.completed"]);
    let seqs: Vec<_> = taken.iter().map(|one| one.body["data"]["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    assert_eq!(taken[0].id, refused[0].id);
    assert!(taken.iter().all(|one| one.id.starts_with("evt_")));
}

async fn a_receiver_that_never_answers_is_given_up_and_can_be_replayed(app: TestApp) {
    app.hooks.answer_with(503);
    let order = app.place_plain("A-1").await;
    for _ in 0..60 {
        app.run_jobs().await;
        app.clock.advance(Duration::from_secs(7200 * 6 / 5));
    }
    let id = order["id"].as_str().unwrap();
    let page = app.client.get(format!("{}/admin/orders/{id}?lang=en", app.base)).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Given up"));
    app.hooks.answer_with(200);
    let mut actions = page.split("action=\"").filter_map(|rest| rest.split('?').next());
    let action = actions.find(|action| action.ends_with("/replay")).unwrap();
    let replay = app.client.post(format!("{}{action}", app.base)).header("origin", app.base.clone()).send().await.unwrap();
    assert_eq!(replay.status(), 303);
    app.run_jobs().await;
    assert!(!app.hooks.taken("order.created").is_empty());
    assert!(app.event_types(&order).await.contains(&"effect.replayed".to_owned()), "the timeline tells it");
}

#[tokio::test]
async fn a_foreign_verifier_accepts_what_we_sign() {
    let webhook = standardwebhooks::Webhook::new(SECRET).unwrap();
    let now = crate::support::fakes::START.unix_secs();
    let body = "{\"type\":\"order.created\"}";
    let key = data_encoding::BASE64.decode(SECRET.trim_start_matches("whsec_").as_bytes()).unwrap();
    let ours = dcvd::adapters::webhook::signature(&key, "evt_1", now, body);
    assert_eq!(ours, webhook.sign("evt_1", now, body.as_bytes()).unwrap());
}

#[tokio::test]
async fn private_addresses_are_refused_unless_configured() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let app = TestApp::sqlite().await;
    let port = app.hooks.url.split(':').nth(2).unwrap().trim_end_matches("/hook").to_owned();
    let urls = [
        app.hooks.url.clone(),
        format!("http://localhost:{port}/hook"),
        format!("http://[::ffff:127.0.0.1]:{port}/hook"),
        "http://0x7f000001/".to_owned(),
    ];
    for url in urls {
        let endpoint =
            Endpoint { name: "hook".to_owned(), url: url.parse().unwrap(), keys: vec![vec![1]], allow_private_address: false };
        let webhooks = StandardWebhooks::new(vec![endpoint], Duration::from_secs(5)).unwrap();
        let refused = webhooks.post("hook", "evt_1", Timestamp::from_unix_secs(1), "{}").await.unwrap_err();
        assert!(refused.detail.contains("not a public one"), "{url}: {refused}");
    }
    assert!(app.hooks.received().is_empty());
}

#[tokio::test]
async fn an_event_goes_to_no_endpoint_that_does_not_want_it() {
    use dcvd::dcv::event::{EventType, Subscription};
    let only =
        |kinds: Option<Vec<EventType>>, clients: Option<Vec<String>>| Subscription { endpoint: "a".to_owned(), kinds, clients };
    assert!(only(None, None).wants(EventType::MailSent, "orders"));
    assert!(!only(Some(vec![EventType::OrderCreated]), None).wants(EventType::MailSent, "orders"));
    assert!(!only(None, Some(vec!["others".to_owned()])).wants(EventType::MailSent, "orders"));
}
