//! Webhooks: signed, retried, in order, at least once with the same id.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dcvd::adapters::webhook::{Endpoint, StandardWebhooks};
use dcvd::dcv::timestamp::Timestamp;
use dcvd::ports::Webhook as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::app::{SECRET, TestApp};
use crate::support::gzip::bomb;
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

/// What a receiver does with a connection, as raw as it can be told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Answers(&'static str),
    /// With this status, and what would be unpacked to hundreds of megabytes.
    Bomb(&'static str),
    Hangs,
    Resets,
    /// An answer that never ends.
    Endless,
}

/// A receiver of raw bytes: what was sent to it, request by request.
pub async fn raw_receiver(fault: Fault) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                let length = stream.read(&mut buffer).await.unwrap_or(0);
                seen.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                match fault {
                    Fault::Answers(answer) => {
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                    Fault::Bomb(status) => {
                        let bomb = bomb();
                        let head = format!(
                            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
                            bomb.len()
                        );
                        let _ = stream.write_all(&[head.as_bytes(), &bomb].concat()).await;
                    }
                    Fault::Hangs => tokio::time::sleep(Duration::from_secs(60)).await,
                    Fault::Resets => stream.set_zero_linger().unwrap(),
                    Fault::Endless => {
                        let head = "HTTP/1.1 500 Oh No\r\ncontent-length: 10000000000\r\n\r\n";
                        let _ = stream.write_all(head.as_bytes()).await;
                        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
                    }
                }
            });
        }
    });
    (url, requests)
}

fn endpoint_at(url: &str, keys: Vec<Vec<u8>>) -> StandardWebhooks {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let endpoint = Endpoint { name: "hook".to_owned(), url: url.parse().unwrap(), keys, allow_private_address: true };
    StandardWebhooks::new(vec![endpoint], Duration::from_secs(1)).unwrap()
}

#[tokio::test]
async fn a_receiver_in_trouble_is_a_failure_within_the_limits() {
    for (fault, detail, retry_after, gone) in [
        (
            Fault::Answers("HTTP/1.1 429 Slow Down\r\nretry-after: 120\r\ncontent-length: 4\r\n\r\nsoon"),
            "429 Too Many Requests soon",
            Some(120),
            false,
        ),
        (Fault::Answers("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"), "410 Gone", None, true),
        (
            Fault::Answers("HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"),
            "301 Moved Permanently",
            None,
            false,
        ),
        (Fault::Answers("nonsense\r\n\r\n"), "the request failed", None, false),
        (Fault::Bomb("500 Oh No"), "500 Internal Server Error \u{1f}\u{fffd}\u{8}", None, false),
        (Fault::Resets, "the request failed", None, false),
        (Fault::Hangs, "no answer in time", None, false),
        (Fault::Endless, "500 Internal Server Error xxx", None, false),
    ] {
        let (url, requests) = raw_receiver(fault).await;
        let refused =
            endpoint_at(&url, vec![vec![1]]).post("hook", "evt_1", Timestamp::from_unix_secs(1), "{}").await.unwrap_err();
        assert!(refused.detail.starts_with(detail) && refused.detail.len() < 300, "{}", refused.detail);
        assert_eq!((refused.retry_after.map(|wait| wait.as_secs()), refused.gone), (retry_after, gone), "{detail}");
        assert_eq!(requests.lock().unwrap().len(), 1, "{detail}: no redirect is followed, nothing is tried again by itself");
    }
}

#[tokio::test]
async fn what_is_posted_is_this() {
    let (url, requests) = raw_receiver(Fault::Answers("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let (new, old) = (vec![1; 32], vec![2; 32]);
    let body = r#"{"type":"order.created","timestamp":"2026-11-22T00:00:00Z","data":{"seq":1}}"#;
    let at = Timestamp::from_unix_secs(1_795_305_600);
    endpoint_at(&url, vec![new.clone(), old.clone()]).post("hook", "evt_1", at, body).await.unwrap();
    let request = requests.lock().unwrap()[0].clone();
    let (head, sent) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(sent, body);
    let mut lines: Vec<&str> = head.lines().filter(|line| !line.starts_with("host:")).collect();
    lines.sort_unstable();
    let sign = |key: &[u8]| dcvd::adapters::webhook::signature(key, "evt_1", 1_795_305_600, body);
    let signatures = format!("webhook-signature: {} {}", sign(&new), sign(&old));
    let length = format!("content-length: {}", body.len());
    let agent = concat!("user-agent: dcvd/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        lines,
        [
            "POST /hook HTTP/1.1",
            "accept: */*",
            &length,
            "content-type: application/json",
            agent,
            "webhook-id: evt_1",
            &signatures,
            "webhook-timestamp: 1795305600"
        ]
    );
}
