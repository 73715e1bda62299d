//! Callers that mean ill, or are too many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, FuturesUnordered, StreamExt as _};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::faults::Other;
use crate::kills::{links, plain_order, recipient, rows, settled, verified};
use crate::process::Setup;
use crate::support::gzip::bomb;
use crate::support::postgres;
use crate::support::process::{Daemon, PATIENCE, wait};

async fn connect(setup: &Setup) -> TcpStream {
    TcpStream::connect(setup.base.trim_start_matches("http://")).await.unwrap()
}

/// Sends bytes and reads until the daemon closes; what it said.
async fn say(setup: &Setup, bytes: &[u8]) -> String {
    let mut stream = connect(setup).await;
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it closes");
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
        let closed = timeout(PATIENCE, from.read_to_end(&mut Vec::new())).await;
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

#[tokio::test]
async fn who_never_ends_a_body_is_ended_and_keeps_nobody_waiting() {
    let setup = Setup::new().await;
    let text = std::fs::read_to_string(&setup.config).unwrap();
    std::fs::write(&setup.config, text.replace("[server]\n", "[server]\nrequest_timeout = \"5s\"\n")).unwrap();
    let _daemon = setup.serve().await;
    let (token, form, chunks) = (&setup.world.token, "application/x-www-form-urlencoded", "transfer-encoding: chunked");
    // An ordering system's, one that may be repeated, many orders, and strangers' forms; told by their length or in chunks.
    let heads = [
        ("/v1/orders", "application/json", "content-length: 100000"),
        ("/v1/orders", "application/json", "idempotency-key: k\r\ncontent-length: 100000"),
        ("/v1/orders/bulk", "application/jsonl", chunks),
        ("/enter", form, "content-length: 100000"),
        ("/status", form, chunks),
    ];
    let heads = heads.map(|(path, kind, told)| {
        format!("POST {path} HTTP/1.1\r\nhost: slow\r\nauthorization: Bearer {token}\r\ncontent-type: {kind}\r\n{told}\r\n\r\n")
    });
    let slow = (0..100).map(async |number: usize| {
        let head = &heads[number % heads.len()];
        let drip: &'static [u8] = if head.contains("chunked") { b"1\r\n \r\n" } else { b" " };
        let mut stream = connect(&setup).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut from, mut to) = stream.into_split();
        let dripping = tokio::spawn(async move {
            while to.write_all(drip).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        });
        let mut said = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, from.read_to_end(&mut said)).await.is_ok();
        dripping.abort();
        (closed, String::from_utf8_lossy(&said).into_owned())
    });
    let fine = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        setup.place("A-1").await;
        assert_eq!(setup.client.get(format!("{}/enter", setup.base)).send().await.unwrap().status(), 200);
    };
    let (slow, ()) = tokio::join!(join_all(slow), fine);
    // Whoever was still sending may be hung up on before the answer is read.
    let wrong = slow.iter().find(|(closed, said)| !closed || !(said.is_empty() || said.starts_with("HTTP/1.1 503 ")));
    assert!(wrong.is_none(), "{wrong:?}");
    let told = slow.iter().filter(|(_, said)| said.contains("\"code\":\"unavailable\"")).count();
    assert!(told > 0, "ordering systems are told: {slow:?}");
}

/// The most memory that a daemon ever had, in kilobytes.
fn most_memory(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    most.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn what_would_unpack_to_hundreds_of_megabytes_is_unpacked_by_nobody() {
    let setup = Setup::new().await;
    let daemon = setup.serve().await;
    setup.place("A-1").await;
    let (before, bomb) = (most_memory(&daemon), bomb());
    let send = async |path: &str, kind: &str| {
        let request = setup.client.post(format!("{}{path}", setup.base)).bearer_auth(&setup.world.token).body(bomb.clone());
        let answer = request.header("content-type", kind).header("content-encoding", "gzip").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for _ in 0..8 {
        // It is read as it stands, and so it is no JSON, no line of it and no link.
        let (order, lines, form) = tokio::join!(
            send("/v1/orders", "application/json"),
            send("/v1/orders/bulk", "application/jsonl"),
            send("/enter", "application/x-www-form-urlencoded")
        );
        assert!(order.0 == 400 && order.1.contains("\"code\":\"broken-json\""), "{order:?}");
        assert!(lines.0 == 200 && lines.1.contains("\"status\":400") && !lines.1.contains("\"status\":201"), "{lines:?}");
        assert_eq!(form.0, 422);
    }
    setup.place("A-2").await;
    let after = most_memory(&daemon);
    assert!(after < before + 64 * 1024, "from {before} to {after} kB");
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

/// Requests of ordering systems that may be under way at once, and ten times as many.
const AT_ONCE: usize = 8;
const TOO_MANY: usize = 10 * AT_ONCE;

#[tokio::test]
async fn what_is_too_much_is_shed_and_what_is_taken_is_kept_on_sqlite() {
    what_is_too_much_is_shed_and_what_is_taken_is_kept(Setup::new().await).await;
}

#[tokio::test]
async fn what_is_too_much_is_shed_and_what_is_taken_is_kept_on_postgres() {
    what_is_too_much_is_shed_and_what_is_taken_is_kept(Setup::on(Some(postgres::database().await)).await).await;
}

async fn what_is_too_much_is_shed_and_what_is_taken_is_kept(setup: Setup) {
    // A mail that waits long for its record under such a load is no dead daemon's.
    let text = std::fs::read_to_string(&setup.config).unwrap().replace("lease = \"2s\"", "lease = \"10s\"");
    std::fs::write(&setup.config, format!("{text}\n[limits]\nrequests_at_once = {AT_ONCE}\n")).unwrap();
    let mut daemon = setup.serve().await;
    let mut other = Other::of(&setup).await;
    assert_eq!(place(&setup, 1).await, (1, 201));
    let link = wait("the mail", async || links(&setup, 1).pop()).await;
    let mut taken = BTreeSet::from([1]);
    for round in 1..=3 {
        settled(&setup).await;
        // No order can be written: whoever is let in waits, and whoever is one too many must not.
        other.hold().await;
        let numbers = round * TOO_MANY..(round + 1) * TOO_MANY;
        let mut answers: FuturesUnordered<_> = numbers.map(|number| place(&setup, number)).collect();
        let refused = answers.by_ref().take(TOO_MANY - AT_ONCE).collect::<Vec<(usize, u16)>>();
        let refused = timeout(PATIENCE, refused).await.expect("so many and no more are let in");
        assert!(refused.iter().all(|(_, status)| *status == 503), "{refused:?}");
        // Neither owners nor whoever watches over the daemon needs a place.
        let healthz = format!("{}/healthz", setup.base);
        for address in [&link, &healthz] {
            assert_eq!(setup.client.get(address).send().await.unwrap().status(), 200);
        }
        other.let_go().await;
        let let_in: Vec<(usize, u16)> = answers.collect().await;
        assert!(let_in.len() == AT_ONCE && let_in.iter().all(|(_, status)| *status == 201), "{let_in:?}");
        taken.extend(let_in.into_iter().map(|(number, _)| number));
    }
    // With nothing in the way, as fast as they are answered.
    let storm = stream::iter(4 * TOO_MANY..6 * TOO_MANY).map(|number| place(&setup, number));
    let answers: Vec<(usize, u16)> = storm.buffer_unordered(TOO_MANY).collect().await;
    let count = |wanted: u16| answers.iter().filter(|(_, status)| *status == wanted).count();
    assert_eq!(count(201) + count(503), answers.len(), "{answers:?}");
    assert!(count(503) > 0 && count(201) > 0, "{} were taken, {} shed", count(201), count(503));
    taken.extend(answers.iter().filter(|(_, status)| *status == 201).map(|(number, _)| *number));
    for (number, status) in answers.iter().filter(|(number, _)| number % 8 == 0) {
        // Whoever was told to come again does. What was taken is there, and what was shed was not taken by half.
        let again = async || Some(place(&setup, *number).await.1).filter(|again| *again != 503);
        let again = wait("a place", again).await;
        assert_eq!(again, if *status == 201 { 409 } else { 201 }, "{number}: {status} at first");
        taken.insert(*number);
    }
    settled(&setup).await;
    assert!(daemon.terminate().await);
    nothing_was_lost(&setup, &taken).await;
}

/// An order's number, and how it was answered. Whoever is refused is told when to come again.
async fn place(setup: &Setup, number: usize) -> (usize, u16) {
    let answer = plain_order(setup, &setup.base, number).send().await.unwrap();
    let (status, retry) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
    if status == 503 {
        let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert!(problem["code"] == "unavailable" && retry, "{problem}");
    }
    (number, status)
}

/// Of those that were taken the order is stored, its one mail came once, and the receiver was told under one id; of others there is nothing.
async fn nothing_was_lost(setup: &Setup, taken: &BTreeSet<usize>) {
    let order_refs: BTreeSet<String> = taken.iter().map(|number| format!("K-{number}")).collect();
    let stored = rows(setup, "SELECT last_seq, order_ref FROM orders").await.unwrap();
    assert_eq!(stored.into_iter().map(|(_, order_ref)| order_ref).collect::<BTreeSet<_>>(), order_refs);
    let all = i64::try_from(taken.len()).unwrap();
    for sql in [
        "SELECT COUNT(*), '' FROM orders",
        "SELECT COUNT(*), '' FROM validations WHERE state = 'pending'",
        "SELECT COUNT(*), '' FROM mails WHERE delivery = 'accepted'",
        "SELECT COUNT(*), '' FROM events WHERE kind = 'order.created'",
        "SELECT COUNT(*), '' FROM events WHERE kind = 'mail.sent'",
        "SELECT COUNT(*), '' FROM effects WHERE kind = 'mail' AND state = 'done'",
    ] {
        assert_eq!(rows(setup, sql).await.unwrap()[0].0, all, "{sql}");
    }
    let mut arrived: Vec<String> = setup.world.inbox.arrived().into_iter().flat_map(|mail| mail.rcpt_to).collect();
    arrived.sort_unstable();
    let mut wanted: Vec<String> = taken.iter().map(|number| recipient(*number)).collect();
    wanted.sort_unstable();
    assert_eq!(arrived, wanted, "each went once");
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for hook in setup.world.webhooks.taken("order.created") {
        told.entry(hook.body["data"]["order_ref"].as_str().unwrap().to_owned()).or_default().insert(hook.id);
    }
    assert!(told.keys().eq(&order_refs) && told.values().all(|ids| ids.len() == 1), "{told:?}");
    verified(setup, "too many").await;
}
