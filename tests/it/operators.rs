//! Who may use the status page, and what is on record of it.

use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use dcvd::adapters::credentials::{hash, one_time_password};
use dcvd::app::Settings;
use dcvd::app::sign_in::{disable, end_resting, set_operator};
use dcvd::dcv::link::one_time_secrets;
use dcvd::dcv::operator::{Role, SessionLimits};
use dcvd::store::{OperatorRow, StoreError};
use futures_util::stream::{self, StreamExt as _};
use reqwest::Client;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::browser::Browser;

const LIMITS: SessionLimits = SessionLimits { idle: Duration::from_secs(20 * 60), longest: Duration::from_secs(12 * 3600) };

const NONCE: [u8; 16] = [7; 16];

const PASSWORD: &str = "correct horse battery";

fn signing_in(settings: &mut Settings) {
    settings.sign_in = Some(LIMITS);
}

async fn sqlite() -> TestApp {
    TestApp::tuned(&[], |settings, _| signing_in(settings)).await
}

async fn operator(app: &TestApp, name: &str, role: Role, new: bool) {
    let row = OperatorRow {
        name: name.to_owned(),
        role: role.as_str().to_owned(),
        password: hash(PASSWORD).unwrap(),
        nonce: NONCE.to_vec(),
        last_step: 0,
        created_at: 0,
        disabled_at: None,
    };
    assert!(set_operator(&app.app.store, row, new, app.app.now()).await.unwrap());
}

fn code(app: &TestApp) -> String {
    one_time_password(&one_time_secrets(&app.app.keys, &NONCE)[0], app.app.now()).unwrap()
}

/// Sends the form of the sign-in: the status, and what the cookie is set to.
async fn try_in(app: &TestApp, name: &str, password: &str, code: &str, cookie: Option<&str>) -> (u16, Option<String>) {
    let form = [("name", name), ("password", password), ("code", code)];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = app.client.post(format!("{}/admin/sign-in", app.base)).header("origin", &app.base);
    let request = request.header("content-type", "application/x-www-form-urlencoded").header(COOKIE, cookie.unwrap_or_default());
    let answer = request.body(body).send().await.unwrap();
    let set = answer.headers().get(SET_COOKIE).map(|value| value.to_str().unwrap().to_owned());
    if let Some(set) = &set {
        assert!(set.contains("; Path=/admin; HttpOnly; SameSite=Strict"), "{set}");
    }
    (answer.status().as_u16(), set.map(|set| set.split(';').next().unwrap().to_owned()))
}

/// Signs in with the next one-time password.
async fn sign_in(app: &TestApp, name: &str, cookie: Option<&str>) -> String {
    app.clock.advance(Duration::from_secs(90));
    let (status, cookie) = try_in(app, name, PASSWORD, &code(app), cookie).await;
    assert_eq!(status, 303);
    cookie.unwrap()
}

async fn get(app: &TestApp, cookie: &str, path: &str) -> (u16, String, String) {
    let answer = app.client.get(format!("{}{path}", app.base)).header(COOKIE, cookie).send().await.unwrap();
    let to = answer.headers().get(LOCATION).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    (answer.status().as_u16(), to, answer.text().await.unwrap())
}

async fn press(app: &TestApp, cookie: &str, path: &str) -> u16 {
    let request = app.client.post(format!("{}{path}", app.base)).header("origin", &app.base).header(COOKIE, cookie);
    request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap().status().as_u16()
}

/// The log, oldest first: who, and what with why.
async fn log(app: &TestApp) -> Vec<(String, String)> {
    let rows = app.app.store.access_log(None, 100).await.unwrap();
    let line = |row: dcvd::store::AccessRow| {
        let detail: Value = serde_json::from_str(&row.detail).unwrap();
        (row.operator, [row.event.as_str(), detail["reason"].as_str().unwrap_or_default()].join(" ").trim().to_owned())
    };
    rows.into_iter().rev().map(line).collect()
}

#[tokio::test]
async fn operators_come_and_go_on_sqlite() {
    operators_come_and_go(sqlite().await).await;
}

#[tokio::test]
async fn operators_come_and_go_on_postgres() {
    operators_come_and_go(TestApp::postgres_tuned(&[], |settings, _| signing_in(settings)).await).await;
}

async fn operators_come_and_go(app: TestApp) {
    operator(&app, "花子", Role::Operator, true).await;
    for path in ["/admin", "/admin/returned", "/admin/access", "/admin/orders/ord_x"] {
        let (status, to, _) = get(&app, "", path).await;
        assert_eq!((status, to.as_str()), (303, "/admin/sign-in"), "{path}");
    }
    let (status, _, page) = get(&app, "", "/admin/sign-in").await;
    assert!(status == 200 && page.contains("ワンタイムパスワード") && !page.contains("サインアウト"), "{page}");
    // Whatever is wrong, the answer is the same; each is on record.
    let right = code(&app);
    for (name, password, code) in [("花子", "wrong", right.as_str()), ("花子", PASSWORD, "000000"), ("nobody", PASSWORD, &right)]
    {
        assert_eq!(try_in(&app, name, password, code, None).await, (422, None));
    }
    let (status, first) = try_in(&app, "花子", PASSWORD, &right, None).await;
    assert_eq!(status, 303);
    assert_eq!(try_in(&app, "花子", PASSWORD, &right, None).await, (422, None), "a one-time password is used once");
    let first = first.unwrap();
    assert!(get(&app, &first, "/admin").await.2.contains("花子"));
    // The same browser anew, then out.
    let second = sign_in(&app, "花子", Some(&first)).await;
    assert_eq!((get(&app, &first, "/admin").await.0, get(&app, &second, "/admin").await.0), (303, 200));
    assert_eq!(press(&app, &second, "/admin/sign-out").await, 303);
    assert_eq!(get(&app, &second, "/admin").await.1, "/admin/sign-in?over=1");
    // Used within its time it goes on; left alone it ends, and at the latest after twelve hours.
    let third = sign_in(&app, "花子", None).await;
    for _ in 0..3 {
        app.clock.advance(Duration::from_secs(20 * 60 - 1));
        assert_eq!(get(&app, &third, "/admin").await.0, 200);
    }
    assert_eq!(end_resting(&app.app, LIMITS).await.unwrap(), 0);
    // A page that looks again by itself is no use.
    app.clock.advance(Duration::from_secs(20 * 60 - 1));
    let by_itself = app.client.get(format!("{}/admin", app.base)).header(COOKIE, &third).header("x-dcvd-by-itself", "1");
    assert_eq!(by_itself.send().await.unwrap().status(), 200);
    app.clock.advance(Duration::from_secs(2));
    assert_eq!(get(&app, &third, "/admin").await.0, 303);
    app.clock.advance(LIMITS.idle);
    assert_eq!(get(&app, &third, "/admin").await.0, 303);
    assert_eq!((end_resting(&app.app, LIMITS).await.unwrap(), end_resting(&app.app, LIMITS).await.unwrap()), (1, 0));
    let fourth = sign_in(&app, "花子", None).await;
    operator(&app, "花子", Role::Viewer, false).await;
    assert_eq!(get(&app, &fourth, "/admin").await.0, 303, "a new password ends what the old one began");
    let fifth = sign_in(&app, "花子", None).await;
    assert!(disable(&app.app.store, "花子", app.app.now()).await.unwrap());
    assert_eq!(get(&app, &fifth, "/admin").await.0, 303);
    app.clock.advance(Duration::from_secs(90));
    assert_eq!(try_in(&app, "花子", PASSWORD, &code(&app), None).await.0, 422);
    let hanako = |what: &str| ("花子".to_owned(), what.to_owned());
    let wanted = [
        hanako("session.refused wrong"),
        hanako("session.refused wrong"),
        // Of no operator: it may have been a password.
        (String::new(), "session.refused wrong".to_owned()),
        hanako("session.begin"),
        hanako("session.refused used-before"),
        hanako("session.end replaced"),
        hanako("session.begin"),
        hanako("session.end logout"),
        hanako("session.begin"),
        hanako("session.end timeout"),
        hanako("session.begin"),
        hanako("session.end revoked"),
        hanako("session.begin"),
        hanako("session.end revoked"),
        hanako("session.refused wrong"),
    ];
    let mut told = log(&app).await;
    // Of one instant, in no order that is promised.
    let (mut told, mut wanted) = (std::mem::take(&mut told), wanted.to_vec());
    told.sort();
    wanted.sort();
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn a_sign_in_ends_at_the_latest_after_twelve_hours() {
    let app = sqlite().await;
    operator(&app, "花子", Role::Viewer, true).await;
    let cookie = sign_in(&app, "花子", None).await;
    for _ in 0..47 {
        app.clock.advance(Duration::from_secs(15 * 60));
        assert_eq!(get(&app, &cookie, "/admin").await.0, 200);
    }
    app.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(get(&app, &cookie, "/admin").await.0, 303);
}

#[tokio::test]
async fn a_role_may_what_it_is_for_and_its_name_stands_in_the_timeline() {
    let app = sqlite().await;
    let order = app.place(&json!({"order_ref": "A-1", "names": ["www.example.jp"], "approvers": ["admin@example.jp"]})).await;
    app.run_jobs().await;
    let id = order["id"].as_str().unwrap();
    let mail = app.order(&order).await["mails"][0]["id"].as_str().unwrap().to_owned();
    let (resend, approvers) = (format!("/admin/orders/{id}/mails/{mail}/resend"), format!("/admin/orders/{id}/approvers"));
    for role in Role::ALL {
        operator(&app, role.as_str(), role, true).await;
        let cookie = sign_in(&app, role.as_str(), None).await;
        assert_eq!(get(&app, &cookie, &format!("/admin/orders/{id}")).await.0, 200);
        let (acts, chooses) = match role {
            Role::Viewer | Role::Auditor => (false, false),
            Role::Operator => (true, false),
            Role::ApproverAdmin | Role::Admin => (true, true),
        };
        app.clock.advance(Duration::from_secs(3600));
        let cookie = if matches!(role, Role::Viewer) { cookie } else { sign_in(&app, role.as_str(), Some(&cookie)).await };
        let reads = if matches!(role, Role::Auditor | Role::Admin) { 200 } else { 403 };
        if role == Role::Viewer {
            assert_eq!(press(&app, &cookie, &resend).await, 401, "a form that comes too late is not done later");
            continue;
        }
        // Past the guard there may be nothing to choose, or it may be too soon to send again.
        let passes = async |path: &str| press(&app, &cookie, path).await != 403;
        assert_eq!(
            (passes(&resend).await, passes(&approvers).await, get(&app, &cookie, "/admin/access").await.0),
            (acts, chooses, reads),
            "{role:?}"
        );
    }
    assert!(app.event_types(&order).await.iter().any(|kind| kind == "mail.resent"));
    let actors: Vec<Value> = app.get(&format!("/v1/orders/{id}/events")).await.1["events"].as_array().unwrap().clone();
    assert!(actors.iter().any(|event| event["actor"] == "operator:operator"), "{actors:?}");
    let acted: Vec<_> = log(&app).await.into_iter().filter(|(_, what)| what == "action").map(|(who, _)| who).collect();
    assert!(acted.contains(&"operator".to_owned()) && !acted.contains(&"viewer".to_owned()), "{acted:?}");
}

#[tokio::test]
async fn strangers_get_no_further() {
    let app = sqlite().await;
    operator(&app, "花子", Role::Admin, true).await;
    let cookie = sign_in(&app, "花子", None).await;
    // Who was told a new password while an old one was looked at is not let in by the old one.
    let stale = app.app.store.operator("花子").await.unwrap().unwrap();
    operator(&app, "花子", Role::Admin, false).await;
    let used: Result<bool, StoreError> =
        app.app.store.write("test", move |tx| Box::pin(async move { tx.use_step(&stale, i64::MAX).await })).await;
    assert!(!used.unwrap());
    let cookie = sign_in(&app, "花子", Some(&cookie)).await;
    // Another site's form, which is nothing that the operator did.
    let request = app.client.post(format!("{}/admin/effects/eff_x/replay", app.base)).header(COOKIE, &cookie);
    assert_eq!(request.header("origin", "https://evil.example").send().await.unwrap().status(), 403);
    assert!(!log(&app).await.iter().any(|(_, what)| what == "action"));
    let without = TestApp::sqlite().await;
    assert_eq!((press(&without, &cookie, "/admin/sign-out").await, get(&without, "", "/admin/sign-in").await.0), (404, 404));
    let request = app.client.post(format!("{}/admin/sign-out", app.base)).header(COOKIE, &cookie);
    assert_eq!(request.header("origin", "https://evil.example").send().await.unwrap().status(), 403);
    let request = app.client.post(format!("{}/admin/sign-in", app.base)).header("origin", "https://evil.example");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body("name=x");
    assert_eq!(request.send().await.unwrap().status(), 403);
    for bad in ["dcvd-session=", "dcvd-session=x", &format!("{cookie}x"), "other=y", "dcvd-session=A; dcvd-session=B"] {
        assert_eq!(get(&app, bad, "/admin").await.0, 303, "{bad}");
    }
    // Whoever guesses has to wait, the right answer included; whoever is in stays.
    let mut last = 0;
    for _ in 0..12 {
        last = try_in(&app, "花子", "wrong", "000000", None).await.0;
    }
    assert_eq!(last, 429);
    app.clock.advance(Duration::from_secs(90));
    assert_eq!(try_in(&app, "花子", PASSWORD, &code(&app), None).await.0, 429);
    assert_eq!(get(&app, &cookie, "/admin").await.0, 200);
    let (_, _, page) = get(&app, &cookie, "/admin/access?lang=en").await;
    assert!(page.contains("session.refused") && !page.contains("wrong horse") && !page.contains(PASSWORD), "{page}");
}

/// All that a try to sign in is answered, but for what each answer has of its own and the name that was typed.
#[derive(Debug, PartialEq)]
struct Told {
    status: u16,
    headers: Vec<(String, String)>,
    page: String,
}

/// Tries to sign in with a one-time password that is wrong, from another address of this host.
async fn told(app: &TestApp, host: u8, name: &str, password: &str) -> Told {
    let client = Client::builder().no_proxy().local_address(IpAddr::from([127, 0, 0, host])).build().unwrap();
    let form = [("name", name), ("password", password), ("code", "000000")];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = client.post(format!("{}/admin/sign-in", app.base)).header("origin", &app.base);
    let answer = request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    let all = answer.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let mut headers: Vec<_> = all.filter(|(name, _)| name != "date" && name != "x-request-id").collect();
    headers.sort();
    Told { status, headers, page: answer.text().await.unwrap().replace(name, "") }
}

#[tokio::test]
async fn whoever_tries_learns_of_no_name_whether_it_is_an_operators() {
    let app = sqlite().await;
    operator(&app, "花子", Role::Viewer, true).await;
    operator(&app, "次郎", Role::Viewer, true).await;
    assert!(disable(&app.app.store, "次郎", app.app.now()).await.unwrap());
    // The names are as long as each other: an answer is as long as what it repeats.
    let wrong = told(&app, 2, "花子", "wrong").await;
    assert!(wrong.status == 422 && wrong.page.contains("いずれかが違います"), "{wrong:?}");
    for (host, name, password) in [(3, "太郎", "wrong"), (4, "花子", PASSWORD), (4, "次郎", PASSWORD), (4, "太郎", PASSWORD)]
    {
        assert_eq!(told(&app, host, name, password).await, wrong, "{name}");
    }
    // Whoever tries too often has to wait, whosever name it is. Of many tries at once those are answered first: no password is looked at.
    let waits = async |host: u8, name: &str| {
        let mut tries = pin!(stream::iter(0..20).map(|_| told(&app, host, name, "wrong")).buffer_unordered(20));
        loop {
            let told = tries.next().await.expect("twenty are too many");
            if told.status == 429 {
                return told;
            }
        }
    };
    let (known, unknown) = (waits(2, "花子").await, waits(3, "太郎").await);
    assert!(known.page.contains("試行回数が多すぎます"), "{known:?}");
    assert_eq!(known, unknown);
}

#[tokio::test]
async fn in_a_browser_an_operator_signs_in_sends_a_mail_again_and_leaves() {
    let app = sqlite().await;
    operator(&app, "花子", Role::Operator, true).await;
    let order = app.place(&json!({"order_ref": "A-1", "names": ["www.example.jp"], "approvers": ["admin@example.jp"]})).await;
    app.run_jobs().await;
    let browser = Browser::start(360, "ja").await;
    browser.open(&format!("{}/admin", app.base)).await;
    let is_fine = async |heading: &str| {
        assert_eq!(browser.heading().await, heading);
        assert_eq!(browser.complaints().await, Vec::<String>::new(), "{heading}");
    };
    is_fine("サインイン").await;
    browser.enter("#name", "花子").await;
    browser.enter("#password", "wrong").await;
    browser.enter("#code", "000000").await;
    browser.press("button.approve").await;
    is_fine("サインイン").await;
    assert!(browser.client.source().await.unwrap().contains("いずれかが違います"));
    browser.enter("#password", PASSWORD).await;
    browser.enter("#code", &code(&app)).await;
    browser.press("button.approve").await;
    is_fine("概況").await;
    app.clock.advance(Duration::from_secs(600));
    browser.open(&format!("{}/admin/orders/{}", app.base, order["id"].as_str().unwrap())).await;
    browser.press("form[action*='/resend'] button").await;
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), 2);
    browser.press("form[action^='/admin/sign-out'] button").await;
    is_fine("サインイン").await;
}

#[tokio::test]
async fn every_role_sees_and_does_what_it_may_on_every_screen() {
    let app = sqlite().await;
    let order = app.place(&json!({"order_ref": "A-1", "names": ["www.example.jp"], "approvers": ["admin@example.jp"]})).await;
    app.run_jobs().await;
    let at = format!("/admin/orders/{}", order["id"].as_str().unwrap());
    let mail = app.order(&order).await["mails"][0]["id"].as_str().unwrap().to_owned();
    let screens = [
        "/admin",
        "/admin/orders",
        &at,
        "/admin/statistics",
        "/admin/domains?name=example.jp",
        "/admin/approvers?address=admin@example.jp",
        "/admin/dns",
        "/admin/webhooks",
        "/admin/returned",
        "/admin/profiles",
        "/admin/profiles/standard",
        "/admin/exports",
    ];
    let acts: Vec<String> = ["cancel", "extend", "put/notes", "put/pause", "put/assign", "look", "release"]
        .iter()
        .map(|what| format!("{at}/{what}"))
        .chain([
            format!("{at}/mails/{mail}/resend"),
            format!("{at}/mails/{mail}/reissue"),
            "/admin/effects/eff_00000000000000000000000000/replay".to_owned(),
            "/admin/events/evt_00000000000000000000000000/replay".to_owned(),
        ])
        .collect();
    for role in Role::ALL {
        operator(&app, role.as_str(), role, true).await;
        app.clock.advance(Duration::from_secs(3600));
        let cookie = sign_in(&app, role.as_str(), None).await;
        for screen in screens {
            let (status, _, page) = get(&app, &cookie, screen).await;
            assert_eq!(status, 200, "{role:?} {screen}");
            // A viewer sees no address, in no screen; and nobody is shown a button that does nothing for them.
            assert!(role != Role::Viewer || !page.contains("admin@example.jp") || screen.contains("domains"), "{screen}: {page}");
            let buttons = page.contains("/put/notes") || page.contains("/cancel?") || page.contains("/resend?");
            assert!(!buttons || role.may(dcvd::dcv::operator::Need::Act), "{role:?} {screen}");
        }
        let bundle = get(&app, &cookie, &format!("{at}/bundle")).await.0;
        assert_eq!(bundle, if role == Role::Viewer { 403 } else { 200 }, "{role:?}");
        for act in &acts {
            let status = press(&app, &cookie, act).await;
            assert_eq!(status == 403, !role.may(dcvd::dcv::operator::Need::Act), "{role:?} {act}: {status}");
        }
        let log = get(&app, &cookie, "/admin/access").await.0;
        assert_eq!(log == 200, role.may(dcvd::dcv::operator::Need::ReadAccess), "{role:?}");
    }
    // Who looked at what a person wrote is on record.
    let seen: Vec<_> = log(&app).await.into_iter().filter(|(_, what)| what == "view").map(|(who, _)| who).collect();
    assert!(seen.contains(&"auditor".to_owned()) && !seen.contains(&"viewer".to_owned()), "{seen:?}");
}
