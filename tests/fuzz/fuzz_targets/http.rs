//! Every route, with the real use cases and a database of its own: whatever is asked, the answer is one of ours, and tells no secret.
//!
//! An input is a request as one would write it down: `POST /v1/orders`, lines of headers, an empty line, the body. `{order}`, `{mail}`,
//! `{token}`, `{nonce}` and `{bearer}` stand for those of an order that is open. One that says anything of a cookie or a certificate is asked
//! of a second site, which takes operators alone: there `{session}` is a viewer's, and `{certificate}` lets in. Nobody else sees a thing, and
//! a viewer sees no whole address and changes nothing but by asking for an export.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use data_encoding::BASE64;
use dcvd::app::App;
use dcvd::cli::wire::wire;
use dcvd::config::Config;
use dcvd::dcv::client::{ApiScope, RequestRate, Rights};
use dcvd::dcv::id::MailId;
use dcvd::http::{CODES, HttpSettings, HttpState, Routes, router};
use libfuzzer_sys::fuzz_target;
use mail_parser::MessageParser;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
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

/// Where certificates let in.
const BY_CERTIFICATE: &str = "/admin/sign-in/certificate";

/// The header in which a proxy passes a client's certificate on.
const CERTIFICATE: &str = "client-cert";

/// A daemon that is asked.
struct Site {
    runtime: Runtime,
    app: Arc<App>,
    router: Router,
    /// Where it takes operators alone: a viewer's certificate, as a proxy passes it on, and their sign-in where none has ended it.
    viewer: Option<(String, Mutex<Option<String>>)>,
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
    approver: String,
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

static SITE: LazyLock<Site> = LazyLock::new(|| Site::start(false).expect("the site starts"));
static GUARDED: LazyLock<Site> = LazyLock::new(|| Site::start(true).expect("the site starts"));

impl Site {
    fn start(guarded: bool) -> Result<Self, Box<dyn std::error::Error>> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir()?;
        let at = dir.path().display().to_string();
        std::fs::create_dir(dir.path().join("profiles"))?;
        std::fs::write(dir.path().join("profiles/standard.toml"), include_str!("../../../config/profiles/standard.toml"))?;
        let path = dir.path().join("dcvd.toml");
        let viewer = if guarded { Some(viewer(&dir.path().join("ca.pem"))?) } else { None };
        let admin = if guarded {
            format!("sign_in = true\nclient_cert_header = \"{CERTIFICATE}\"\nclient_ca_files = [\"{at}/ca.pem\"]\n{RULES}")
        } else {
            String::new()
        };
        // Name servers and registries that nobody answers for.
        std::fs::write(
            &path,
            format!(
                "profile_dir = \"{at}/profiles\"\n[database]\nurl = \"sqlite://{at}/fuzz.db\"\n[dns]\nnameservers = [\"127.0.0.1:9\"]\n\
                 timeout = \"100ms\"\n[whois]\nroot = \"127.0.0.1\"\ntimeout = \"100ms\"\n[rdap]\nbootstrap = \"{at}/none.json\"\n[admin]\n{admin}\n"
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
            certificate_header: guarded.then_some(HeaderName::from_static(CERTIFICATE)),
            certificate_proxies: vec!["127.0.0.0/8".parse()?],
            max_body_bytes: 256 * 1024,
            request_timeout: Duration::from_secs(15),
            wrong_links_per_minute: many,
            requests_at_once: 512.try_into()?,
            readiness_kept: Duration::ZERO,
            stopping: tokio_util::sync::CancellationToken::new(),
            metrics: Arc::new(String::new),
        };
        let router = router(HttpState::new(Arc::clone(&app), settings), Routes::All);
        let ask = |request| runtime.block_on(answer(&router, request, PEER));
        let apart = place(&runtime, &app, &router).ok_or("an order is taken")?;
        let apart_at_first = ask(show(&apart.id)).body;
        let viewer = viewer.map(|certificate| (certificate, Mutex::new(None)));
        let site = Self { apart, apart_at_first, viewer, open: Mutex::new(None), app, router, runtime, _dir: dir };
        if let Some(session) = site.session() {
            // Else nothing is said by what a viewer does not see.
            let list = Request::builder().uri("/admin/orders").header("host", "127.0.0.1");
            let list = site.ask(list.header(COOKIE, format!("dcvd-session={session}")).body(Body::empty())?);
            if !told(&list, &site.apart.id) {
                return Err("a viewer sees the orders".into());
            }
        }
        Ok(site)
    }

    fn ask(&self, request: Request<Body>) -> Answer {
        // How often an address may try to sign in is limited, which passwords stay: their hashes cost.
        let peer = if request.uri().path() == BY_CERTIFICATE { elsewhere() } else { PEER };
        self.runtime.block_on(answer(&self.router, request, peer))
    }

    /// A viewer's cookie; none where there are no sign-ins.
    fn session(&self) -> Option<String> {
        let (certificate, session) = self.viewer.as_ref()?;
        let mut session = session.lock().expect("one thread");
        if session.is_none() {
            let request = Request::builder().method("POST").uri(BY_CERTIFICATE).header("host", "127.0.0.1");
            let request = request.header("origin", "http://127.0.0.1").header(CERTIFICATE, format!(":{certificate}:"));
            let request = request.body(Body::empty()).expect("a good request");
            let answered = self.ask(request);
            let cookie = answered.headers.get(SET_COOKIE).and_then(|cookie| cookie.to_str().ok()).expect("a viewer is let in");
            *session = cookie.split_once('=').and_then(|(_, rest)| rest.split_once(';')).map(|(value, _)| value.to_owned());
        }
        session.clone()
    }

    /// The order that inputs know of.
    fn open(&self) -> Option<Order> {
        let mut open = self.open.lock().expect("one thread");
        if open.is_none() {
            *open = place(&self.runtime, &self.app, &self.router);
        }
        open.clone()
    }

    /// What the open order comes to, and all that happened to it, for whoever may know.
    fn open_as_it_is(&self) -> Option<[Bytes; 2]> {
        let open = self.open.lock().expect("one thread").clone()?;
        Some([show(&open.id), show(&format!("{}/events", open.id))].map(|request| self.ask(request).body))
    }
}

/// Whom certificates let in.
const RULES: &str = "[[admin.certificates]]\nissuer = { O = \"Fuzzed\" }\nsubject = { L = \"viewers\" }\nrole = \"viewer\"\n";

/// Writes an authority's certificate; one that it issued to a viewer, in base64.
fn viewer(authority: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::OrganizationName, "Fuzzed");
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    std::fs::write(authority, issuer.pem())?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::LocalityName, "viewers");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(BASE64.encode(params.signed_by(&KeyPair::generate()?, &issuer)?.der()))
}

/// Where requests come from.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);

/// Another address each time: how often somebody may try to sign in is limited.
fn elsewhere() -> SocketAddr {
    static LAST: AtomicU16 = AtomicU16::new(0);
    let [high, low] = LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    SocketAddr::from(([127, 1, high, low], 40_000))
}

async fn answer(router: &Router, mut request: Request<Body>, peer: SocketAddr) -> Answer {
    request.extensions_mut().insert(ConnectInfo(peer));
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
    let approver = format!("admin@{domain}");
    let body = json!({"order_ref": format!("placed-{number}"), "names": [domain], "approvers": [approver],
        "product": WRITTEN, "applicant": {"organization": WRITTEN}});
    let request = bearing().method("POST").uri("/v1/orders").header(CONTENT_TYPE, "application/json");
    runtime.block_on(async {
        let placed = answer(router, request.body(Body::from(body.to_string())).ok()?, PEER).await;
        let placed: Value = serde_json::from_slice(&placed.body).ok()?;
        let mail = placed["mails"][0]["id"].as_str()?.to_owned();
        let letter = app.store.mail_body(MailId::parse(&mail).ok()?).await.ok()??;
        let letter = MessageParser::new().parse(&letter)?;
        let text = letter.body_text(0)?;
        let token = text.lines().find_map(|line| line.split_once("/approve/"))?.1.trim().to_owned();
        let page = Request::builder().uri(format!("/approve/{token}")).body(Body::empty()).ok()?;
        let page = answer(router, page, PEER).await;
        let page = std::str::from_utf8(&page.body).ok()?;
        let nonce = page.split_once("name=\"nonce\" value=\"")?.1.split_once('"')?.0.to_owned();
        Some(Order { id: placed["id"].as_str()?.to_owned(), approver, mail, token, nonce })
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
    assert!(
        headers.contains_key(X_CONTENT_TYPE_OPTIONS)
            && headers.contains_key(X_FRAME_OPTIONS)
            && headers.contains_key("x-request-id")
    );
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

/// What nobody sees who is not signed in, and what a viewer neither sees nor does.
fn check_guarded(site: &Site, open: Option<&Order>, written: &str, method: &Method, path: &str, answered: &Answer) {
    if !path.starts_with("/admin") {
        return;
    }
    let (signed_in, signs_in) = (written.contains("{session}"), path.starts_with("/admin/sign-"));
    assert!(signed_in || signs_in || answered.status != StatusCode::OK, "{path} is seen by whoever asks");
    assert!(signed_in || !told(answered, &site.apart.id), "{path} tells of an order");
    let may_ask = method.is_safe() || signs_in || (signed_in && path == "/admin/exports");
    assert!(may_ask || answered.status.is_client_error(), "{path} is done for whoever asks: {}", answered.status);
    // What a request says of itself may come back.
    let says_itself = written.to_ascii_lowercase().contains("fuzzed");
    for order in [Some(&site.apart), open].into_iter().flatten() {
        assert!(says_itself || !told(answered, &order.approver), "{path} tells a viewer an address");
    }
}

fuzz_target!(init: {
    LazyLock::force(&SITE);
    LazyLock::force(&GUARDED);
}, |raw: &[u8]| {
    let Ok(written) = std::str::from_utf8(raw) else { return };
    let lower = written.to_ascii_lowercase();
    let guarded = lower.contains("cookie") || lower.contains(CERTIFICATE);
    let site = if guarded { &*GUARDED } else { &*SITE };
    let mut text = written.replace("{bearer}", BEARER);
    let open = if text.contains('{') { site.open() } else { None };
    if let Some(order) = &open {
        let values = [("{order}", &order.id), ("{mail}", &order.mail), ("{token}", &order.token), ("{nonce}", &order.nonce)];
        text = values.into_iter().fold(text, |text, (name, value)| text.replace(name, value));
    }
    if let Some((certificate, _)) = &site.viewer {
        text = text.replace("{certificate}", certificate);
        if text.contains("{session}") {
            text = text.replace("{session}", &site.session().expect("a viewer is let in"));
        }
    }
    let Some(request) = request(&text) else { return };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let by_viewer = guarded && path.starts_with("/admin") && !method.is_safe();
    let before = if by_viewer { site.open_as_it_is() } else { None };
    let answered = site.ask(request);
    check(&method, &path, &answered);
    assert!(!told(&answered, &site.apart.token), "a link that nobody named");
    if let Some(order) = &open {
        assert!(written.contains("{token}") || !told(&answered, &order.token), "a link that was not named");
    }
    if guarded {
        check_guarded(site, open.as_ref(), written, &method, &path, &answered);
    }
    if by_viewer {
        assert!(before == site.open_as_it_is(), "{path} is changed by whoever asks");
    }
    if !method.is_safe() {
        if let Some((_, session)) = &site.viewer {
            // It may have ended it.
            *session.lock().expect("one thread") = None;
        }
        if let Some(order) = &open {
            // What was written down is shown to operators and owners.
            for path in
                [format!("/admin/orders/{}", order.id), format!("/approve/{}", order.token), format!("/v1/orders/{}", order.id)]
            {
                let cookie = site.session().map(|session| format!("dcvd-session={session}")).unwrap_or_default();
                let request = bearing().uri(&path).header(COOKIE, cookie).body(Body::empty()).expect("a good request");
                check(&Method::GET, &path, &site.ask(request));
            }
        }
        *site.open.lock().expect("one thread") = None;
        assert!(site.ask(show(&site.apart.id)).body == site.apart_at_first, "an order that nobody named");
    }
});
