//! Every route, with the real use cases and a database of its own: whatever is asked, the answer is one of ours, and tells no secret.
//!
//! An input is a request as one would write it down: `POST /v1/orders`, lines of headers, an empty line, the body. `{order}`, `{mail}`,
//! `{token}`, `{nonce}` and `{bearer}` stand for those of an order that is open.
#![no_main]

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use dcvd::app::App;
use dcvd::cli::wire::wire;
use dcvd::config::Config;
use dcvd::dcv::client::{ApiScope, RequestRate, Rights};
use dcvd::dcv::id::MailId;
use dcvd::http::{CODES, HttpSettings, HttpState, Routes, router};
use libfuzzer_sys::fuzz_target;
use mail_parser::MessageParser;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

const BEARER: &str = "token-of-the-fuzzed-client";

/// Longest answer that is looked at, in bytes; longer ones are wrong.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// What the words, and the orders that inputs know of, hold of markup: it may not come back as such.
const MARKUP: &[u8] = b"<zz9";
const WRITTEN: &str = "<zz9>'\"zz9=&zz9;";

/// The daemon that is asked.
struct Site {
    runtime: Runtime,
    app: Arc<App>,
    router: Router,
    /// What no input knows of: it stays as it is.
    apart: Order,
    apart_at_first: Bytes,
    /// What inputs know of; none after one that may have ended it.
    open: Mutex<Option<Order>>,
    _dir: TempDir,
}

/// An order that waits for its owner.
#[derive(Clone)]
struct Order {
    id: String,
    mail: String,
    token: String,
    nonce: String,
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

static SITE: LazyLock<Site> = LazyLock::new(|| Site::start().expect("the site starts"));

impl Site {
    fn start() -> Result<Self, Box<dyn std::error::Error>> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir()?;
        let at = dir.path().display().to_string();
        std::fs::create_dir(dir.path().join("profiles"))?;
        std::fs::write(dir.path().join("profiles/standard.toml"), include_str!("../../../config/profiles/standard.toml"))?;
        let path = dir.path().join("dcvd.toml");
        // Name servers and registries that nobody answers for.
        std::fs::write(
            &path,
            format!(
                "profile_dir = \"{at}/profiles\"\n[database]\nurl = \"sqlite://{at}/fuzz.db\"\n[dns]\nnameservers = [\"127.0.0.1:9\"]\n\
                 timeout = \"100ms\"\n[whois]\nroot = \"127.0.0.1\"\ntimeout = \"100ms\"\n[rdap]\nbootstrap = \"{at}/none.json\"\n"
            ),
        )?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let app = Arc::new(runtime.block_on(async {
            let app = wire(&Config::load(Some(&path), Vec::new())?).await?;
            app.keep_profiles().await?;
            Ok::<_, Box<dyn std::error::Error>>(app)
        })?);
        let many = 1_000_000_000.try_into()?;
        let rights = Rights { scopes: ApiScope::ALL.to_vec(), ..Rights::default() };
        let settings = HttpSettings {
            clients: vec![("fuzz".to_owned(), Sha256::digest(BEARER).into(), Arc::new(rights))],
            client_rate: RequestRate { requests: 1_000_000_000, seconds: 1 },
            trusted_proxies: Vec::new(),
            open_id_return: String::new(),
            certificate_header: None,
            certificate_proxies: Vec::new(),
            max_body_bytes: 256 * 1024,
            request_timeout: Duration::from_secs(15),
            wrong_links_per_minute: many,
            requests_at_once: 512.try_into()?,
            readiness_kept: Duration::ZERO,
            stopping: tokio_util::sync::CancellationToken::new(),
            metrics: Arc::new(String::new),
        };
        let router = router(HttpState::new(Arc::clone(&app), settings), Routes::All);
        let ask = |request| runtime.block_on(answer(&router, request));
        let apart = place(&runtime, &app, &router).ok_or("an order is taken")?;
        let apart_at_first = ask(show(&apart.id)).body;
        Ok(Self { apart, apart_at_first, open: Mutex::new(None), app, router, runtime, _dir: dir })
    }

    fn ask(&self, request: Request<Body>) -> Answer {
        self.runtime.block_on(answer(&self.router, request))
    }

    /// The order that inputs know of.
    fn open(&self) -> Option<Order> {
        let mut open = self.open.lock().expect("one thread");
        if open.is_none() {
            *open = place(&self.runtime, &self.app, &self.router);
        }
        open.clone()
    }
}

async fn answer(router: &Router, mut request: Request<Body>) -> Answer {
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000))));
    let (head, body) = router.clone().oneshot(request).await.expect("a router always answers").into_parts();
    // A stream that tells of changes lasts for a minute.
    let lasts = head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
    let body = if lasts { Bytes::new() } else { to_bytes(body, ANSWER_MAX).await.expect("an answer has its end") };
    Answer { status: head.status, headers: head.headers, body }
}

fn bearing() -> axum::http::request::Builder {
    Request::builder().header("host", "127.0.0.1").header("authorization", format!("Bearer {BEARER}"))
}

fn show(id: &str) -> Request<Body> {
    bearing().uri(format!("/v1/orders/{id}")).body(Body::empty()).expect("a good request")
}

/// Places an order; `None` where an input had it decided at once, by what it put on the allowlist.
fn place(runtime: &Runtime, app: &App, router: &Router) -> Option<Order> {
    static NUMBER: Mutex<usize> = Mutex::new(0);
    let mut number = NUMBER.lock().expect("one thread");
    *number += 1;
    let domain = format!("n{number}.fuzzed.example.jp");
    let body = json!({"order_ref": format!("placed-{number}"), "names": [domain], "approvers": [format!("admin@{domain}")],
        "product": WRITTEN, "applicant": {"organization": WRITTEN}});
    let request = bearing().method("POST").uri("/v1/orders").header(CONTENT_TYPE, "application/json");
    runtime.block_on(async {
        let placed = answer(router, request.body(Body::from(body.to_string())).ok()?).await;
        let placed: Value = serde_json::from_slice(&placed.body).ok()?;
        let mail = placed["mails"][0]["id"].as_str()?.to_owned();
        let letter = app.store.mail_body(MailId::parse(&mail).ok()?).await.ok()??;
        let letter = MessageParser::new().parse(&letter)?;
        let text = letter.body_text(0)?;
        let token = text.lines().find_map(|line| line.split_once("/approve/"))?.1.trim().to_owned();
        let page = Request::builder().uri(format!("/approve/{token}")).body(Body::empty()).ok()?;
        let page = answer(router, page).await;
        let page = std::str::from_utf8(&page.body).ok()?;
        let nonce = page.split_once("name=\"nonce\" value=\"")?.1.split_once('"')?.0.to_owned();
        Some(Order { id: placed["id"].as_str()?.to_owned(), mail, token, nonce })
    })
}

/// The request that an input writes down; `None` where HTTP knows no such one.
fn request(text: &str) -> Option<Request<Body>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, target) = lines.next()?.split_once(' ')?;
    let mut builder = Request::builder().method(method).uri(target);
    let mut has_host = false;
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        has_host |= name.eq_ignore_ascii_case("host");
        builder = builder.header(name, value);
    }
    if !has_host {
        builder = builder.header("host", "127.0.0.1");
    }
    builder.body(Body::from(body.to_owned())).ok()
}

/// Holds an answer to what all answers are held to.
fn check(method: &Method, path: &str, answer: &Answer) {
    let Answer { status, headers, body } = answer;
    // Sources that nobody answers for, and what `/readyz` says of the daemon.
    let is_away = *status == StatusCode::SERVICE_UNAVAILABLE;
    assert!(status.as_u16() < 500 || is_away, "{status}");
    assert!(headers.contains_key(X_CONTENT_TYPE_OPTIONS) && headers.contains_key(X_FRAME_OPTIONS) && headers.contains_key("x-request-id"));
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("text/html") {
        assert!(headers.contains_key(CONTENT_SECURITY_POLICY), "a page says what it may load");
        assert!(!body.windows(MARKUP.len()).any(|part| part == MARKUP), "markup of the request's making");
    }
    if method == Method::HEAD {
        return;
    }
    if kind.contains("json") && !kind.contains("jsonl") && !kind.contains("ndjson") {
        let said: Value = serde_json::from_slice(body).expect("JSON is JSON");
        if kind == "application/problem+json" {
            let own = said["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/"));
            let row = CODES.iter().find(|row| Some(row.0) == own);
            let is_told = row.is_some_and(|row| row.1 == status.as_u16()) && said["status"] == status.as_u16();
            assert!(is_told && said["code"].is_string(), "{said}");
            assert!(!is_away || own == Some("source-unavailable") || path == "/readyz", "{said}");
        }
    }
    if status.is_client_error() || status.is_server_error() {
        assert!(kind == "application/problem+json" || kind.starts_with("text/html"), "{status} as {kind:?}");
    }
}

/// Whether an answer tells a secret, in its body or in where it leads.
fn told(answer: &Answer, secret: &str) -> bool {
    tells(&answer.body, secret) || answer.headers.get(LOCATION).is_some_and(|to| tells(to.as_bytes(), secret))
}

/// Whether octets hold a secret. Compared octet by octet, and not as it is: the fuzzer watches what is compared, and would ask with it.
fn tells(body: &[u8], secret: &str) -> bool {
    let hidden: Vec<u8> = secret.bytes().map(|octet| octet ^ 0x55).collect();
    body.windows(hidden.len()).any(|part| part.iter().zip(&hidden).all(|(octet, hidden)| octet ^ 0x55 == *hidden))
}

fuzz_target!(|raw: &[u8]| {
    let Ok(written) = std::str::from_utf8(raw) else { return };
    let site = &*SITE;
    let mut text = written.replace("{bearer}", BEARER);
    let open = if text.contains('{') { site.open() } else { None };
    if let Some(order) = &open {
        let values = [("{order}", &order.id), ("{mail}", &order.mail), ("{token}", &order.token), ("{nonce}", &order.nonce)];
        text = values.into_iter().fold(text, |text, (name, value)| text.replace(name, value));
    }
    let Some(request) = request(&text) else { return };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answered = site.ask(request);
    check(&method, &path, &answered);
    assert!(!told(&answered, &site.apart.token), "a link that nobody named");
    if let Some(order) = &open {
        assert!(written.contains("{token}") || !told(&answered, &order.token), "a link that was not named");
    }
    if !method.is_safe() {
        if let Some(order) = &open {
            // What was written down is shown to operators and owners.
            for path in [format!("/admin/orders/{}", order.id), format!("/approve/{}", order.token), format!("/v1/orders/{}", order.id)] {
                let request = bearing().uri(&path).body(Body::empty()).expect("a good request");
                check(&Method::GET, &path, &site.ask(request));
            }
        }
        *site.open.lock().expect("one thread") = None;
        assert!(site.ask(show(&site.apart.id)).body == site.apart_at_first, "an order that nobody named");
    }
});
