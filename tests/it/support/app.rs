//! The one test application: real router on a loopback port, real database, real SMTP and webhooks to loopback stand-ins;
//! time, chance, DNS and WHOIS are fakes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::routing::get;
use dcvd::adapters::credentials::Argon;
use dcvd::adapters::mail_out::{Smtp, SmtpSettings};
use dcvd::adapters::rdap::HttpRdap;
use dcvd::adapters::webhook::{Endpoint, StandardWebhooks};
use dcvd::app::expire::expire_due;
use dcvd::app::pace::{Pace, Rate};
use dcvd::app::renew::renew_due;
use dcvd::app::resend::remind_due;
use dcvd::app::tally::count_round;
use dcvd::app::view::write_views;
use dcvd::app::{App, Lists, Settings, canary, digest};
use dcvd::config::load_profiles;
use dcvd::dcv::client::{ApiScope, RequestRate, Rights};
use dcvd::dcv::event::Subscription;
use dcvd::dcv::link::{KeyRing, LinkKey};
use dcvd::dcv::name::SuffixList;
use dcvd::dcv::policy::{NameList, Policy};
use dcvd::demo::smtp::{Arrived, Inbox};
use dcvd::demo::webhooks::Receiver;
use dcvd::http::{HttpSettings, HttpState, Routes, router};
use dcvd::jobs;
use dcvd::ports::{OpenId, Ports};
use dcvd::render::{Renderer, ServiceView};
use dcvd::store::{EffectKind, Migrate, SharedRate, Store};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::fakes::{FakeClock, FakeDns, FakeWhois, SeededEntropy};
use super::gzip::bomb;
use super::log_watch::LogWatch;
use super::postgres;

pub const TOKEN: &str = "test-token-0123456789abcdef";
pub const OTHER_TOKEN: &str = "other-token-0123456789abcdef";
/// Of a client under test.
pub const TEST_TOKEN: &str = "test-mode-token-0123456789abcdef";
/// Of a client that may read orders alone.
pub const READER_TOKEN: &str = "reader-token-0123456789abcdef";
/// Of a client with three requests an hour, which may order under `quick` alone.
pub const SLOW_TOKEN: &str = "slow-token-0123456789abcdef";
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const LEASE: Duration = Duration::from_secs(10);

pub struct TestApp {
    pub app: Arc<App>,
    pub clock: Arc<FakeClock>,
    pub dns: Arc<FakeDns>,
    pub whois: Arc<FakeWhois>,
    pub inbox: Inbox,
    pub hooks: Receiver,
    pub base: String,
    /// The database's.
    pub url: String,
    pub client: Client,
    _dir: TempDir,
    _log: LogWatch,
}

impl TestApp {
    pub async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("test.db").display());
        Self::start(url, dir, &[], |_, _| {}, None).await
    }

    pub async fn postgres() -> Self {
        Self::start(postgres::database().await, tempfile::tempdir().unwrap(), &[], |_, _| {}, None).await
    }

    /// On SQLite, with profiles besides the shipped one.
    pub async fn with_profiles(profiles: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("test.db").display());
        Self::start(url, dir, profiles, |_, _| {}, None).await
    }

    /// On PostgreSQL, with profiles besides the shipped one.
    pub async fn postgres_with_profiles(profiles: &[(&str, &str)]) -> Self {
        Self::start(postgres::database().await, tempfile::tempdir().unwrap(), profiles, |_, _| {}, None).await
    }

    /// On SQLite, with other settings.
    pub async fn tuned(profiles: &[(&str, &str)], tune: impl FnOnce(&mut Settings, &mut SmtpSettings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("test.db").display());
        Self::start(url, dir, profiles, tune, None).await
    }

    /// As [`Self::tuned`], on PostgreSQL.
    pub async fn postgres_tuned(profiles: &[(&str, &str)], tune: impl FnOnce(&mut Settings, &mut SmtpSettings)) -> Self {
        Self::start(postgres::database().await, tempfile::tempdir().unwrap(), profiles, tune, None).await
    }

    /// On SQLite, where operators may come from an OpenID Connect provider.
    pub async fn with_provider(open_id: Arc<dyn OpenId>, tune: impl FnOnce(&mut Settings, &mut SmtpSettings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("test.db").display());
        Self::start(url, dir, &[], tune, Some(open_id)).await
    }

    /// Does what nobody should: changes the database behind the daemon's back.
    pub async fn tamper(&self, sql: &str) -> u64 {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        if self.url.starts_with("sqlite") {
            let mut conn = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query(sql).execute(&mut conn).await.unwrap().rows_affected()
        } else {
            let mut conn = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query(sql).execute(&mut conn).await.unwrap().rows_affected()
        }
    }

    /// Puts operators' lists in force, as reading them again does.
    pub fn policy(&self, refuse_adn: &[(&str, &str)], hold: &[(&str, &str)]) {
        let list = |entries: &[(&str, &str)]| {
            NameList::new(entries.iter().map(|(name, reason)| ((*name).to_owned(), (*reason).to_owned())).collect()).unwrap()
        };
        let policy = Policy { refuse_adn: list(refuse_adn), hold: list(hold) };
        self.app.lists.store(Arc::new(Lists { suffixes: SuffixList::BuiltIn, policy }));
    }

    async fn start(
        url: String,
        dir: TempDir,
        profiles: &[(&str, &str)],
        tune: impl FnOnce(&mut Settings, &mut SmtpSettings),
        open_id: Option<Arc<dyn OpenId>>,
    ) -> Self {
        let log = LogWatch::begin();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (inbox, hooks) = (Inbox::start().await.unwrap(), Receiver::start(SECRET).await.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let registry = rdap_registry().await;
        let clock = Arc::new(FakeClock::new());
        let (dns, whois) = (Arc::new(FakeDns::default()), Arc::new(FakeWhois::default()));
        let mut smtp = SmtpSettings {
            timeout: Duration::from_secs(5),
            data_timeout: Duration::from_secs(5),
            ..SmtpSettings::new(&format!("smtp://{}", inbox.address), "審査窓口 <dcv@dcv.example.net>")
        };
        let mut settings = Settings {
            public_base: base.clone(),
            bounce_address: "bounce@dcv.example.net".to_owned(),
            bounce_delimiter: '+',
            passwords: true,
            certificate_rules: Vec::new(),
            claim_rules: Vec::new(),
            link_key_since: None,
            access_log_kept: Duration::from_secs(1096 * 86_400),
            reads_replies: true,
            sign_in: None,
            message_id_host: "dcv.example.net".to_owned(),
            service: ServiceView {
                name_ja: "審査サービス".to_owned(),
                name_en: "Validation Service".to_owned(),
                contact_email: "help@dcv.example.net".to_owned(),
                ..ServiceView::default()
            },
            from: "審査窓口 <dcv@dcv.example.net>".to_owned(),
            operators: vec!["operators@dcv.example.net".to_owned()],
            digest: None,
            canary: None,
            recipient_daily_cap: 0,
            subscriptions: vec![Subscription { endpoint: "hook".to_owned(), kinds: None, clients: None }],
            whois_root: "whois.iana.org".to_owned(),
            whois_server_ttl: Duration::from_secs(86_400),
            whois_rate: SharedRate { period: Duration::from_millis(1), burst: 1000 },
            lookup_deadline: Duration::from_secs(2),
            rdap_allow_http: true,
        };
        tune(&mut settings, &mut smtp);
        let mail_out = Smtp::new(&smtp).unwrap();
        let key = data_encoding::BASE64.decode(SECRET.trim_start_matches("whsec_").as_bytes()).unwrap();
        let endpoint =
            Endpoint { name: "hook".to_owned(), url: hooks.url.parse().unwrap(), keys: vec![key], allow_private_address: true };
        let bootstrap = dir.path().join("bootstrap.json");
        std::fs::write(&bootstrap, json!({"services": [[["com"], [format!("http://{registry}/rdap/")]]]}).to_string()).unwrap();
        let ports = Ports {
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::default()),
            client_certificates: None,
            open_id,
            credentials: Arc::new(Argon::default()),
            dns: dns.clone(),
            whois: whois.clone(),
            rdap: Arc::new(HttpRdap::new(&bootstrap.to_string_lossy(), true, Duration::from_secs(5), clock.clone()).unwrap()),
            mail_out: Arc::new(mail_out),
            mail_in: None,
            webhook: Arc::new(StandardWebhooks::new(vec![endpoint], Duration::from_secs(5)).unwrap()),
        };
        std::fs::write(dir.path().join("standard.toml"), include_str!("../../../config/profiles/standard.toml")).unwrap();
        for (id, text) in profiles {
            std::fs::write(dir.path().join(format!("{id}.toml")), text).unwrap();
        }
        let app = Arc::new(App {
            store: Store::open(&url, Migrate::Yes).await.unwrap(),
            ports,
            settings,
            profiles: load_profiles(dir.path(), "standard").unwrap(),
            lists: ArcSwap::from_pointee(Lists { suffixes: SuffixList::BuiltIn, policy: Policy::default() }),
            keys: KeyRing::new(vec![LinkKey::new([7; 32])]).unwrap(),
            renderer: Renderer::new(None).unwrap(),
            pace: Arc::new(Mutex::new(Pace::new(Rate { period: Duration::from_millis(1), burst: 1000, at_once: 1000 }))),
            gone_endpoints: Arc::default(),
            views: Arc::default(),
            mail_hosts: Arc::default(),
            whois_servers: Arc::default(),
            rdap_bootstrap: Mutex::new(None),
            past_profiles: Mutex::new(HashMap::new()),
        });
        app.keep_profiles().await.unwrap();
        let hash = |token: &str| Sha256::digest(token.as_bytes()).into();
        let rate = Some(RequestRate { requests: 3, seconds: 3600 });
        let slow = Rights { rate, profiles: Some(vec!["quick".to_owned()]), ..Rights::default() };
        let state = HttpState::new(
            Arc::clone(&app),
            HttpSettings {
                clients: vec![
                    ("orders".to_owned(), hash(TOKEN), Arc::new(Rights { scopes: ApiScope::ALL.to_vec(), ..Rights::default() })),
                    ("others".to_owned(), hash(OTHER_TOKEN), Arc::default()),
                    ("tests".to_owned(), hash(TEST_TOKEN), Arc::new(Rights { test: true, ..Rights::default() })),
                    (
                        "reader".to_owned(),
                        hash(READER_TOKEN),
                        Arc::new(Rights { scopes: vec![ApiScope::OrdersRead], ..Rights::default() }),
                    ),
                    ("slow".to_owned(), hash(SLOW_TOKEN), Arc::new(slow)),
                ],
                client_rate: RequestRate { requests: 1_000_000, seconds: 1 },
                trusted_proxies: Vec::new(),
                max_body_bytes: 256 * 1024,
                request_timeout: Duration::from_secs(30),
                wrong_links_per_minute: 5.try_into().unwrap(),
                requests_at_once: 512.try_into().unwrap(),
                readiness_kept: Duration::ZERO,
                stopping: tokio_util::sync::CancellationToken::new(),
                open_id_return: String::new(),
                certificate_header: None,
                certificate_proxies: Vec::new(),
                metrics: Arc::new(String::new),
            },
        );
        let service = router(state, Routes::All).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { app, clock, dns, whois, inbox, hooks, base, url, client, _dir: dir, _log: log }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(TOKEN)
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        read(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        read(request.body(body.to_string()).send().await.unwrap()).await
    }

    /// Places an order that must be taken.
    pub async fn place(&self, body: &Value) -> Value {
        let (status, answer) = self.post("/v1/orders", body).await;
        assert_eq!(status, 201, "{answer}");
        answer
    }

    /// Places the plainest order: one name, one constructed approver.
    pub async fn place_plain(&self, order_ref: &str) -> Value {
        self.place(&json!({"order_ref": order_ref, "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]})).await
    }

    pub async fn order(&self, order: &Value) -> Value {
        let (status, answer) = self.get(&format!("/v1/orders/{}", order["id"].as_str().unwrap())).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub async fn event_types(&self, order: &Value) -> Vec<String> {
        let (_, answer) = self.get(&format!("/v1/orders/{}/events", order["id"].as_str().unwrap())).await;
        answer["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// Does everything that is due now: mails, webhooks, deadlines. How many attempts that took.
    pub async fn run_jobs(&self) -> usize {
        let mut attempts = 0;
        loop {
            let mut round = jobs::drain(&self.app, EffectKind::Mail, LEASE).await.unwrap();
            expire_due(&self.app).await.unwrap();
            renew_due(&self.app).await.unwrap();
            round += remind_due(&self.app).await.unwrap();
            canary::send_if_due(&self.app).await.unwrap();
            digest::send_if_due(&self.app).await.unwrap();
            write_views(&self.app).await.unwrap();
            while count_round(&self.app).await.unwrap() > 0 {}
            round += jobs::drain(&self.app, EffectKind::Notice, LEASE).await.unwrap();
            round += jobs::drain(&self.app, EffectKind::Webhook, LEASE).await.unwrap();
            if round == 0 {
                return attempts;
            }
            attempts += round;
        }
    }

    /// The last approval mail.
    pub fn last_mail(&self) -> Arrived {
        self.approval_mails().pop().expect("a mail arrived")
    }

    /// What arrived with a link in it.
    pub fn approval_mails(&self) -> Vec<Arrived> {
        self.inbox.arrived().into_iter().filter(|mail| mail.link().is_some()).collect()
    }

    /// What arrived without a link, by kind and recipient.
    pub fn notices(&self) -> Vec<(String, String)> {
        let kind = |mail: &Arrived| {
            let raw = String::from_utf8_lossy(&mail.raw).into_owned();
            raw.lines()
                .find_map(|line| line.strip_prefix("Feedback-ID: ")?.split(':').next().map(str::to_owned))
                .unwrap_or_default()
        };
        let notices = self.inbox.arrived().into_iter().filter(|mail| mail.link().is_none());
        notices.map(|mail| (kind(&mail), mail.rcpt_to.concat())).collect()
    }

    pub fn last_link(&self) -> String {
        self.last_mail().link().expect("the mail holds a link")
    }

    pub async fn page(&self, link: &str) -> (u16, String) {
        let answer = self.client.get(link).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub async fn nonce(&self, link: &str) -> String {
        let (_, page) = self.page(link).await;
        page.split("name=\"nonce\" value=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .expect("the page has a nonce")
            .to_owned()
    }

    pub async fn send_form(&self, link: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.client.post(link).header("content-type", "application/x-www-form-urlencoded").body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub async fn approve(&self, link: &str) -> (u16, String) {
        let nonce = self.nonce(link).await;
        self.send_form(link, &[("decision", "approve"), ("authority", "yes"), ("signer", "試験 太郎"), ("nonce", &nonce)]).await
    }
}

/// A registry that names the registrar, and the registrar, on a loopback port.
async fn rdap_registry() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let thin = json!({"objectClassName": "domain", "ldhName": "EXAMPLE.COM", "links": [
        {"rel": "related", "type": "application/rdap+json", "href": format!("http://{address}/registrar/domain/EXAMPLE.COM")}]});
    let card = json!(["vcard", [["email", {}, "text", "rdap-admin@example.com"]]]);
    let thick = json!({"objectClassName": "domain", "ldhName": "example.com", "entities": [{"roles": ["administrative"], "vcardArray": card}]});
    let plain = json!({"objectClassName": "domain", "ldhName": "plain.com", "entities": [{"roles": ["administrative"], "vcardArray": card}]});
    let answer = |body: Value| get(|| async move { ([("content-type", "application/rdap+json")], body.to_string()) });
    let router = axum::Router::new()
        .route("/rdap/domain/example.com", answer(thin))
        .route("/registrar/domain/EXAMPLE.COM", answer(thick))
        // As text, which is what axum makes of a string.
        .route("/rdap/domain/plain.com", get(|| async move { plain.to_string() }))
        .route("/rdap/domain/endless.com", answer(json!("x".repeat(300_000))))
        .route(
            "/rdap/domain/packed.com",
            get(|| async { ([("content-encoding", "gzip"), ("content-type", "application/rdap+json")], bomb()) }),
        );
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn read(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
