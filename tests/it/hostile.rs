//! Callers that mean ill, or are too many.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::Setup;
use crate::support::process::{PATIENCE, wait};

async fn connect(setup: &Setup) -> TcpStream {
    TcpStream::connect(setup.base.trim_start_matches("http://")).await.unwrap()
}

/// Sends bytes and reads until the daemon closes; what it said.
async fn say(setup: &Setup, bytes: &[u8]) -> String {
    let mut stream = connect(setup).await;
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it closes");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn who_never_ends_a_request_is_hung_up_on_and_keeps_nobody_waiting() {
    let setup = Setup::new().await;
    let _daemon = setup.serve().await;
    let slow = (0..200).map(async |number| {
        let mut stream = connect(&setup).await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: slow\r\n").await.unwrap();
        let (mut from, mut to) = stream.into_split();
        let dripping = tokio::spawn(async move {
            // A header more now and then, and never the end.
            while to.write_all(format!("x-{number}: drip\r\n").as_bytes()).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let closed = tokio::time::timeout(PATIENCE, from.read_to_end(&mut Vec::new())).await;
        dripping.abort();
        closed.is_ok()
    });
    let fine = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let begun = Instant::now();
        assert_eq!(setup.client.get(format!("{}/healthz", setup.base)).send().await.unwrap().status(), 200);
        assert!(begun.elapsed() < Duration::from_secs(5), "others wait for the slow ones");
    };
    let (closed, ()) = tokio::join!(join_all(slow), fine);
    assert!(closed.into_iter().all(|closed| closed), "the slow ones are hung up on");
}

#[tokio::test]
async fn what_is_too_large_or_no_request_is_refused_and_the_daemon_goes_on() {
    let setup = Setup::new().await;
    let daemon = setup.serve().await;
    let token = &setup.world.token;
    let long = "a".repeat(100_000);
    let many: String = (0..5_000).flat_map(|number| ["x-".to_owned(), number.to_string(), ": y\r\n".to_owned()]).collect();
    for (what, request) in [
        ("a long head", format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {long}\r\n\r\n").into_bytes()),
        ("many headers", format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n").into_bytes()),
        ("a long path", format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()),
        ("no request", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03 hello\r\n\r\n".to_vec()),
        ("a broken head", b"GET /healthz HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n".to_vec()),
        ("two lengths", b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello".to_vec()),
        (
            "a length and chunks",
            b"POST /v1/orders HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: y\r\n\r\n".to_vec(),
        ),
    ] {
        let said = say(&setup, &request).await;
        assert!(!said.contains(" 200 ") && !said.contains(" 500 "), "{what}: {said}");
    }
    let order = |headers: &[(&str, &str)], body: Vec<u8>| {
        let request = setup.client.post(format!("{}/v1/orders", setup.base)).bearer_auth(token).body(body);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send()
    };
    // What a small body would unpack to is not looked at: it is no JSON.
    let packed = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".to_vec(), vec![0; 5_000]].concat();
    let answer = order(&[("content-type", "application/json"), ("content-encoding", "gzip")], packed).await.unwrap();
    assert!(answer.status().is_client_error(), "{}", answer.status());
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let answer = order(&[("content-type", "application/json")], deep).await.unwrap();
    assert!(answer.status().is_client_error(), "{}", answer.status());
    let answer = order(&[("content-type", "application/json")], vec![b' '; 2 * 1024 * 1024]).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 413));
    // A connection of before may be closed.
    wait("an answer", async || setup.client.get(format!("{}/healthz", setup.base)).send().await.ok()).await;
    let log = std::fs::read_to_string(&daemon.log).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

/// `DCVD_GUESSES=100000` says how many; the tests' own number is small.
#[expect(clippy::disallowed_methods, reason = "a test is told so how long it may take")]
fn guesses() -> u32 {
    std::env::var("DCVD_GUESSES").ok().and_then(|guesses| guesses.parse().ok()).unwrap_or(3_000)
}

#[tokio::test]
async fn guessing_links_leads_nowhere_and_shuts_nobody_out() {
    let setup = Setup::new().await;
    let _daemon = setup.serve().await;
    setup.place("A-1").await;
    let mail = wait("the mail", async || setup.world.inbox.arrived().into_iter().next()).await;
    let link = mail.link().unwrap();
    let (head, token) = link.rsplit_once('/').unwrap();
    let count = guesses();
    let guesses = (0..count).map(|number| {
        // Some are near the genuine one, some are far from it.
        let tail = format!("{number:06}");
        if number % 2 == 0 { format!("{}{tail}", &token[..token.len() - 6]) } else { format!("{tail}{}", &token[6..]) }
    });
    let statuses: Vec<u16> = stream::iter(guesses)
        .map(async |guess| setup.client.get(format!("{head}/{guess}")).send().await.unwrap().status().as_u16())
        .buffer_unordered(16)
        .collect()
        .await;
    let counted = statuses.iter().fold(BTreeMap::new(), |mut all: BTreeMap<u16, u32>, status| {
        *all.entry(*status).or_default() += 1;
        all
    });
    assert!(counted.keys().all(|status| matches!(status, 404 | 429)), "{counted:?}");
    assert!(counted[&429] > count / 3 * 2, "most of them are not even looked at: {counted:?}");
    assert_eq!(setup.client.get(&link).send().await.unwrap().status(), 200, "the owner's link opens all the same");
    assert_eq!(setup.approve(&link).await, 303);
}

#[tokio::test]
async fn what_is_too_much_is_shed_and_what_is_taken_is_kept() {
    let setup = Setup::new().await;
    let text = std::fs::read_to_string(&setup.config).unwrap();
    std::fs::write(&setup.config, format!("{text}\n[limits]\nrequests_at_once = 8\n")).unwrap();
    let _daemon = setup.serve().await;
    let place = async |number: usize| {
        let body = json!({"order_ref": format!("O-{number}"), "names": ["www.sample-shop.co.jp"], "approvers": ["admin@sample-shop.co.jp"]});
        let request = setup.client.post(format!("{}/v1/orders", setup.base)).bearer_auth(&setup.world.token);
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        let told = (answer.status().as_u16(), answer.headers().get("retry-after").cloned());
        if told.0 == 503 {
            let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            assert!(problem["code"] == "unavailable" && told.1.is_some(), "{problem}");
        }
        (number, told.0)
    };
    // Ten times as many as may be under way, again and again.
    let answers: Vec<(usize, u16)> = stream::iter(0..800).map(place).buffer_unordered(80).collect().await;
    let count = |wanted: u16| answers.iter().filter(|(_, status)| *status == wanted).count();
    assert_eq!(count(201) + count(503), 800, "{answers:?}");
    assert!(count(503) > 0 && count(201) > 0, "{} were taken, {} shed", count(201), count(503));
    for (number, status) in answers.iter().filter(|(number, _)| number % 8 == 0) {
        // Whoever was told to come again does.
        wait("a place", async || {
            let (_, again) = place(*number).await;
            // What was taken is there, and what was shed was not taken by half.
            assert!(again == 503 || again == if *status == 201 { 409 } else { 201 }, "{number}: {status}, then {again}");
            (again != 503).then_some(())
        })
        .await;
    }
}
