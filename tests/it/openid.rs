//! Operators who come from an OpenID Connect provider: a real one, npm's oidc-provider.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dcvd::adapters::openid::{Provider, ProviderSettings};
use dcvd::app::sign_in::disable;
use dcvd::dcv::operator::{Role, SessionLimits};
use dcvd::dcv::operator_claims::ClaimRule;
use dcvd::ports::Clock as _;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response};
use url::Url;

use crate::process::Setup;
use crate::support::app::TestApp;
use crate::support::browser::Browser;
use crate::support::process::{address, wait};

const SECRET: &str = "a secret of the tests: /+ %";

const RETURN: &str = "/admin/sign-in/openid/return";

/// oidc-provider on loopback, ended when dropped.
struct Idp {
    child: Child,
    issuer: String,
}

impl Drop for Idp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Idp {
    /// Starts it for a client that is at `redirect`.
    async fn start(redirect: &str, method: &str, claims: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // …/target/debug/deps/it-… → …/target/openid
        let program: PathBuf = std::env::current_exe().unwrap();
        let home = program.ancestors().nth(3).unwrap().join("openid");
        let port = address().port();
        let child = Command::new("node")
            .current_dir(&home)
            .args(["provider.mjs", &port.to_string(), redirect, method])
            .env("CLAIMS", claims)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("node is there, and the provider (tests/run fetches it)");
        let idp = Self { child, issuer: format!("http://127.0.0.1:{port}") };
        let client = Client::builder().no_proxy().build().unwrap();
        wait("the provider", async || {
            client
                .get(format!("{}/.well-known/openid-configuration", idp.issuer))
                .send()
                .await
                .ok()
                .filter(|it| it.status() == 200)
        })
        .await;
        idp
    }

    fn settings(&self, redirect: &str, secret: &str) -> ProviderSettings {
        ProviderSettings {
            issuer: self.issuer.clone(),
            client_id: "dcvd".to_owned(),
            client_secret: Some(secret.into()),
            redirect_url: redirect.to_owned(),
            scopes: vec!["profile".to_owned(), "groups".to_owned()],
        }
    }
}

/// A browser's cookies, whatever their site.
#[derive(Default, Clone)]
struct Jar(BTreeMap<String, String>);

impl Jar {
    fn keep(&mut self, answer: &Response) {
        for set in answer.headers().get_all(SET_COOKIE) {
            let set = set.to_str().unwrap();
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    fn text(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}

fn location(answer: &Response) -> String {
    answer.headers().get(LOCATION).map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// A status page that knows a provider.
struct Page {
    app: TestApp,
    idp: Idp,
}

/// Where the provider sends back to; the tests go there by themselves.
const REDIRECT: &str = "http://127.0.0.1:1/admin/sign-in/openid/return";

impl Page {
    async fn new(method: &str, claims: &str, secret: &str) -> Self {
        let idp = Idp::start(REDIRECT, method, claims).await;
        let provider = Provider::new(idp.settings(REDIRECT, secret), None).unwrap();
        let app = TestApp::with_provider(Arc::new(provider), |settings, _| {
            settings.sign_in = Some(SessionLimits { idle: Duration::from_secs(1200), longest: Duration::from_secs(36_000) });
            let rule = ClaimRule { claim: "groups".to_owned(), value: "dcvd-operators".to_owned(), role: Role::Operator };
            settings.claim_rules = vec![rule];
        })
        .await;
        Self { app, idp }
    }

    async fn get(&self, jar: &mut Jar, url: &str) -> Response {
        let url = if url.starts_with('/') { format!("{}{url}", self.app.base) } else { url.to_owned() };
        let answer = self.app.client.get(url).header(COOKIE, jar.text()).send().await.unwrap();
        jar.keep(&answer);
        answer
    }

    /// Begins a sign-in and lets the provider let `person` in; the query that comes back.
    async fn away(&self, jar: &mut Jar, person: &str) -> String {
        let begun = self.get(jar, "/admin/sign-in/openid?lang=en").await;
        assert_eq!(begun.status(), 303);
        let kept = begun.headers().get(SET_COOKIE).unwrap().to_str().unwrap();
        assert!(kept.contains("HttpOnly; SameSite=Lax") && kept.contains("Path=/admin/sign-in/openid;"), "{kept}");
        let mut theirs = Jar::default();
        let mut to = location(&begun);
        assert!(
            to.contains("code_challenge_method=S256") && to.contains("response_type=code") && to.contains("ui_locales=en"),
            "{to}"
        );
        loop {
            let url = Url::parse(&self.idp.issuer).unwrap().join(&to).unwrap();
            if url.path() == RETURN {
                return url.query().unwrap().to_owned();
            }
            let mut answer = self.get(&mut theirs, url.as_str()).await;
            if answer.status() == 200 {
                // The form of whoever signs in there.
                let form = [("prompt", "login"), ("login", person), ("password", "any")];
                let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
                let request = self.app.client.post(url.clone()).header(COOKIE, theirs.text());
                answer = request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await.unwrap();
                theirs.keep(&answer);
            }
            assert!(answer.status().is_redirection(), "{}: {}", url, answer.text().await.unwrap());
            to = location(&answer);
        }
    }

    /// Why a returning browser is not let in.
    async fn refused(&self, jar: &mut Jar, query: &str) -> String {
        let answer = self.get(jar, &format!("{RETURN}?{query}")).await;
        assert_eq!(answer.status(), 303, "{}", answer.text().await.unwrap());
        assert!(!jar.0.contains_key("dcvd-session") && !jar.0.contains_key("dcvd-away"));
        let to = location(&answer);
        let page = self.get(&mut Jar::default(), &to).await.text().await.unwrap();
        let why = to.split("why=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        assert!(page.contains("class=\"errors\"") && page.contains(&why), "{page}");
        why
    }

    /// What the access log tells, oldest first: who, what, and why or by which way.
    async fn log(&self) -> Vec<String> {
        let rows = self.app.app.store.access_log(None, 100).await.unwrap();
        let line = |row: dcvd::store::AccessRow| {
            let detail: serde_json::Value = serde_json::from_str(&row.detail).unwrap();
            let more = detail["reason"].as_str().or(detail["by"].as_str()).unwrap_or_default();
            format!("{} {} {more}", row.operator.split('@').next().unwrap(), row.event)
        };
        rows.into_iter().rev().map(line).collect()
    }
}

/// What one was told, changed.
fn with(query: &str, name: &str, value: &str) -> String {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let changed = pairs.map(|(key, old)| if key == name { (key, value.to_owned()) } else { (key, old.into_owned()) });
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(changed).finish()
}

#[tokio::test]
async fn a_provider_lets_in_whom_a_rule_knows() {
    for (method, claims) in [("client_secret_basic", "at-user-info"), ("client_secret_post", "in-token")] {
        let page = Page::new(method, claims, SECRET).await;
        let mut jar = Jar::default();
        let query = page.away(&mut jar, "op-花子").await;
        let answer = page.get(&mut jar, &format!("{RETURN}?{query}")).await;
        let set: Vec<_> = answer.headers().get_all(SET_COOKIE).iter().map(|it| it.to_str().unwrap().to_owned()).collect();
        assert!(set[0].starts_with("dcvd-session=") && set[0].ends_with("; Path=/admin; HttpOnly; SameSite=Strict"), "{set:?}");
        assert_eq!(answer.status(), 200, "a page of our own leads on: {method}");
        assert!(answer.text().await.unwrap().contains("http-equiv=\"refresh\""));
        let home = page.get(&mut jar, "/admin").await.text().await.unwrap();
        assert!(home.contains("oidc:op-花子@"), "{home}");
        assert_eq!(page.get(&mut jar, "/admin/access").await.status(), 403, "the role is the rule's");
        // The same browser once more: the earlier sign-in is replaced, though its cookie stays behind when one comes from elsewhere.
        let first = jar.clone();
        page.app.clock.advance(Duration::from_secs(1));
        let query = page.away(&mut jar, "op-花子").await;
        jar.0.remove("dcvd-session");
        assert_eq!(page.get(&mut jar, &format!("{RETURN}?{query}")).await.status(), 200);
        assert_eq!(page.get(&mut first.clone(), "/admin").await.status(), 303, "over");
        assert_eq!(page.get(&mut jar, "/admin").await.status(), 200);
        let log = page.log().await;
        let told: Vec<_> = log.iter().filter(|line| line.contains("session")).map(String::as_str).collect();
        assert_eq!(
            told,
            ["oidc:op-花子 session.begin openid", "oidc:op-花子 session.end replaced", "oidc:op-花子 session.begin openid"]
        );
    }
}

#[tokio::test]
async fn whoever_brings_back_anything_else_stays_outside() {
    let page = Page::new("client_secret_basic", "at-user-info", SECRET).await;
    let mut jar = Jar::default();
    // Someone whom no rule knows.
    let query = page.away(&mut jar, "guest").await;
    assert_eq!(page.refused(&mut jar, &query).await, "no-rule");
    // An answer with another state, in a browser that did not begin, or in one that began something else.
    let query = page.away(&mut jar, "op-x").await;
    assert_eq!(page.refused(&mut Jar::default(), &query).await, "not-begun-here");
    let mut other = Jar::default();
    let theirs = page.away(&mut other, "op-y").await;
    assert_eq!(page.refused(&mut other.clone(), &query).await, "not-begun-here");
    assert_eq!(page.refused(&mut other.clone(), &with(&theirs, "state", "x")).await, "not-begun-here");
    let mut forged = other.clone();
    forged.0.insert("dcvd-away".to_owned(), "A".repeat(140));
    assert_eq!(page.refused(&mut forged, &theirs).await, "not-begun-here");
    // Another's code under one's own state: the provider knows that it was not given for this verifier.
    let code = |query: &str| url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "code").unwrap().1.into_owned();
    assert_eq!(page.refused(&mut other, &with(&theirs, "code", &code(&query))).await, "provider-refused");
}

#[tokio::test]
async fn an_answer_counts_once_in_time_and_from_whom_it_is() {
    let page = Page::new("client_secret_basic", "at-user-info", SECRET).await;
    let mut jar = Jar::default();
    // From another provider than it says.
    let query = page.away(&mut jar, "op-x").await;
    assert!(query.contains("iss="), "{query}");
    assert_eq!(page.refused(&mut jar, &with(&query, "iss", "https://evil.example")).await, "unverified");
    // They turned back there.
    let query = page.away(&mut jar, "op-x").await;
    let state = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "state").unwrap().1.into_owned();
    assert_eq!(page.refused(&mut jar, &format!("error=access_denied&state={state}")).await, "provider-refused");
    // Too late.
    let query = page.away(&mut jar, "op-x").await;
    page.app.clock.advance(Duration::from_secs(16 * 60));
    assert_eq!(page.refused(&mut jar, &query).await, "took-too-long");
    // A token whose time is over.
    page.app.clock.advance(Duration::from_secs(366 * 86_400));
    let query = page.away(&mut jar, "op-z").await;
    assert_eq!(page.refused(&mut jar, &query).await, "unverified");
}

#[tokio::test]
async fn a_code_lets_in_once_and_nobody_who_is_disabled() {
    let page = Page::new("client_secret_basic", "at-user-info", SECRET).await;
    let mut jar = Jar::default();
    // A code is good once, in the same browser too.
    let query = page.away(&mut jar, "op-x").await;
    let again = jar.clone();
    assert_eq!(page.get(&mut jar, &format!("{RETURN}?{query}")).await.status(), 200);
    assert_eq!(page.refused(&mut again.clone(), &query).await, "provider-refused");
    // Who is disabled here stays so, whatever the provider says.
    let name = page.app.app.store.operators().await.unwrap()[0].name.clone();
    assert!(disable(&page.app.app.store, &name, page.app.clock.now()).await.unwrap());
    assert_eq!(page.get(&mut jar, "/admin").await.status(), 303);
    jar = Jar::default();
    let query = page.away(&mut jar, "op-x").await;
    assert_eq!(page.refused(&mut jar, &query).await, "disabled");
}

#[tokio::test]
async fn a_provider_that_does_not_know_us_or_is_down_lets_nobody_in() {
    let mut page = Page::new("client_secret_basic", "at-user-info", "another secret").await;
    let mut jar = Jar::default();
    let query = page.away(&mut jar, "op-x").await;
    assert_eq!(page.refused(&mut jar, &query).await, "provider-refused");
    let query = page.away(&mut jar, "op-x").await;
    page.idp.child.kill().unwrap();
    page.idp.child.wait().unwrap();
    assert_eq!(page.refused(&mut jar, &query).await, "provider-unavailable");
    // What was known of it is believed for an hour.
    page.app.clock.advance(Duration::from_secs(3601));
    let answer = page.get(&mut jar, "/admin/sign-in/openid").await;
    assert_eq!((answer.status().as_u16(), location(&answer).as_str()), (303, "/admin/sign-in?why=provider-unavailable&lang=ja"));
}

#[tokio::test]
async fn somebody_signs_in_at_the_provider_in_a_browser() {
    let setup = Setup::new().await;
    let redirect = format!("{}{RETURN}", setup.base);
    let idp = Idp::start(&redirect, "client_secret_basic", "at-user-info").await;
    std::fs::write(setup.config.parent().unwrap().join("openid.secret"), format!("{SECRET}\n")).unwrap();
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let text = format!(
        "{text}\n[admin]\nsign_in = true\npasswords = false\n[admin.openid]\nissuer = \"{}\"\nclient_id = \"dcvd\"\n\
         client_secret_file = \"openid.secret\"\nredirect_url = \"{redirect}\"\nscopes = [\"profile\", \"groups\"]\n\
         [[admin.openid.rules]]\nclaim = \"groups\"\nvalue = \"dcvd-operators\"\nrole = \"operator\"\n",
        idp.issuer
    );
    std::fs::write(&setup.config, text).unwrap();
    let _daemon = setup.serve().await;
    let browser = Browser::start(360, "ja").await;
    browser.open(&format!("{}/admin", setup.base)).await;
    assert_eq!(browser.heading().await, "サインイン");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    for (person, heading) in [("guest", "サインイン"), ("op-hanako", "概況")] {
        browser.press("#openid").await;
        browser.enter("input[name=login]", person).await;
        browser.enter("input[name=password]", "any").await;
        browser.press("button[type=submit]").await;
        wait("the way back", async || (browser.heading().await == heading).then_some(())).await;
        assert_eq!(browser.complaints().await, Vec::<String>::new(), "{person}");
        // The provider remembers people as well.
        if person == "guest" {
            assert!(browser.client.source().await.unwrap().contains("利用する権限がありません"));
            browser.open(&format!("{}/session/end", idp.issuer)).await;
            browser.press("button[name=logout]").await;
            browser.open(&format!("{}/admin", setup.base)).await;
        }
    }
    assert!(browser.client.source().await.unwrap().contains("oidc:op-hanako@"));
    browser.press("form[action^='/admin/sign-out'] button").await;
    assert_eq!(browser.heading().await, "サインイン");
}
