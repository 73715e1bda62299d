//! The certificate services that the product grew from, each played as its document says, beside what came after it.

use std::path::Path;
use std::time::Duration;

use dcvd::dcv::contact::whois::HopError;
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::Setup;
use crate::support::app::TestApp;
use crate::support::on_both_with;
use crate::support::process::program;

const DAY: Duration = Duration::from_secs(86_400);

/// Every shipped profile.
const SHIPPED: &[(&str, &str)] = &[
    ("eins-secom", include_str!("../../config/profiles/eins-secom.toml")),
    ("eins-secom-2025", include_str!("../../config/profiles/eins-secom-2025.toml")),
    ("iij-globalsign", include_str!("../../config/profiles/iij-globalsign.toml")),
    ("iij-globalsign-quick", include_str!("../../config/profiles/iij-globalsign-quick.toml")),
    ("iij-globalsign-2025", include_str!("../../config/profiles/iij-globalsign-2025.toml")),
    ("iij-digicert", include_str!("../../config/profiles/iij-digicert.toml")),
    ("iij-digicert-2025", include_str!("../../config/profiles/iij-digicert-2025.toml")),
    ("iij-cybertrust", include_str!("../../config/profiles/iij-cybertrust.toml")),
    ("iij-cybertrust-2025", include_str!("../../config/profiles/iij-cybertrust-2025.toml")),
    ("nttcom-jprs", include_str!("../../config/profiles/nttcom-jprs.toml")),
    ("nttcom-jprs-2025", include_str!("../../config/profiles/nttcom-jprs-2025.toml")),
    ("nii-upki", include_str!("../../config/profiles/nii-upki.toml")),
    ("host-digicert", include_str!("../../config/profiles/host-digicert.toml")),
    ("host-geotrust", include_str!("../../config/profiles/host-geotrust.toml")),
    ("host-cybertrust", include_str!("../../config/profiles/host-cybertrust.toml")),
    ("host-bizcert", include_str!("../../config/profiles/host-bizcert.toml")),
    ("nii-upki-open", "extends = \"nii-upki\"\npolicy.require_domain_allowlist = false\n"),
    ("nii-upki-scheduler", "extends = \"nii-upki\"\nrenewal.created_by = \"scheduler\"\n"),
];

on_both_with!(SHIPPED;
    nttcom_jprs_asks_every_contact_of_the_role_and_again_a_year_later,
    nii_upki_orders_only_what_its_list_allows,
    iij_globalsign_takes_an_entered_contact_once_whois_shows_it,
);

/// WHOIS as JPRS and a gTLD's registry give it.
fn registries(app: &TestApp) {
    let contact = |handle: &str, email: &str| {
        format!("Contact Information:\na. [JPNIC Handle]               {handle}\nd. [E-Mail]                     {email}\n")
    };
    app.whois.answers("whois.iana.org", "jp", "refer:        whois.jprs.jp\n\ndomain:       JP\n");
    let organizational = "Domain Information:\na. [Domain Name]                EXAMPLE.CO.JP\n\
        m. [Administrative Contact]     AB1234JP\nn. [Technical Contact]          CD5678JP\n";
    app.whois.answers("whois.jprs.jp", "example.co.jp/e", organizational);
    app.whois.answers("whois.jprs.jp", "CONTACT AB1234JP/e", &contact("AB1234JP", "a@owner.example"));
    app.whois.answers("whois.jprs.jp", "CONTACT CD5678JP/e", &contact("CD5678JP", "b@maker.example"));
    let same = organizational.replace("EXAMPLE.CO.JP", "SAME.CO.JP").replace("CD5678JP", "AB1234JP");
    app.whois.answers("whois.jprs.jp", "same.co.jp/e", &same);
    let general = "Domain Information: [ドメイン情報]\n[Domain Name]                   EXAMPLE.JP\n\n\
        Contact Information: [公開連絡窓口]\n[名前]                          Taro\n[Email]                         c@owner.example\n";
    app.whois.answers("whois.jprs.jp", "example.jp/e", general);
    app.whois.answers("whois.iana.org", "org", "refer: whois.registry.example\n\ndomain: ORG\n");
    let gtld = "Domain Name: EXAMPLE.ORG\r\nRegistrant Email: e@owner.example\r\nAdmin Email: d@owner.example\r\nTech Email: f@maker.example\r\n";
    app.whois.answers("whois.registry.example", "example.org", gtld);
    let masked = "Domain Name: MASKED.ORG\r\nRegistrant Email: REDACTED FOR PRIVACY\r\nAdmin Email: REDACTED FOR PRIVACY\r\nTech Email: REDACTED FOR PRIVACY\r\n";
    app.whois.answers("whois.registry.example", "masked.org", masked);
}

fn body(profile: &str, order_ref: &str, name: &str, approvers: &Value) -> Value {
    json!({
        "order_ref": order_ref, "profile": profile, "names": [name], "approvers": approvers, "notify": ["staff@reseller.example"],
        "applicant": {"organization": "株式会社サンプル"}, "requester": "サンプルホスティング株式会社",
    })
}

/// Who may be chosen, from one source.
async fn listed(app: &TestApp, profile: &str, name: &str, source: &str) -> Vec<String> {
    let listing = app.get(&format!("/v1/approvers?name={name}&profile={profile}")).await.1;
    let all = listing["approvers"].as_array().unwrap().iter().filter(|one| one["source"] == source && one["usable"] == true);
    all.map(|one| one["email"].as_str().unwrap().to_owned()).collect()
}

fn recipients(order: &Value) -> Vec<String> {
    order["mails"].as_array().unwrap().iter().map(|mail| mail["to"].as_str().unwrap().to_owned()).collect()
}

async fn act(app: &TestApp, order: &Value, what: &str, body: &Value) -> (u16, String) {
    let (status, answer) = app.post(&format!("/v1/orders/{}/{what}", order["id"].as_str().unwrap()), body).await;
    (status, answer["code"].as_str().unwrap_or_default().to_owned())
}

/// An operator presses a button on the order's page.
async fn press(app: &TestApp, order: &Value, fields: &[(&str, &str)]) -> u16 {
    let url = format!("{}/admin/orders/{}/approvers", app.base, order["id"].as_str().unwrap());
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = app.client.post(url).header("origin", &app.base).header("content-type", "application/x-www-form-urlencoded");
    request.body(form).send().await.unwrap().status().as_u16()
}

async fn admin_page(app: &TestApp, order: &Value) -> String {
    app.page(&format!("{}/admin/orders/{}?lang=en", app.base, order["id"].as_str().unwrap())).await.1
}

fn at(order: &Value, member: &str) -> String {
    order["validations"][0][member].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn eins_secom_asks_anew_for_each_application() {
    let app = TestApp::with_profiles(SHIPPED).await;
    registries(&app);
    assert_eq!(listed(&app, "eins-secom", "www.example.co.jp", "whois").await, ["a@owner.example"], "登録担当者 alone");
    assert_eq!(listed(&app, "eins-secom", "www.example.jp", "whois").await, ["c@owner.example"], "公開連絡窓口");
    assert_eq!(listed(&app, "eins-secom", "www.example.org", "whois").await, ["e@owner.example"], "Registrant");
    assert_eq!(listed(&app, "eins-secom", "*.example.jp", "constructed").await.len(), 5);
    let order = app.place(&body("eins-secom", "A-1", "www.example.co.jp", &json!(["a@owner.example"]))).await;
    app.run_jobs().await;
    assert!(app.last_mail().text().contains("本確認は セコムトラストシステムズ の規定"), "審査部門");
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    assert_eq!(app.order(&order).await["state"], "completed");
    // The next day, the same domain: asked again.
    app.clock.advance(DAY);
    let next = app.place(&body("eins-secom", "A-2", "www.example.co.jp", &json!(["a@owner.example"]))).await;
    assert_eq!((next["state"].as_str(), recipients(&next)), (Some("pending"), vec!["a@owner.example".to_owned()]));
    // A masked registration: why, and what to do.
    let listing = app.get("/v1/approvers?name=masked.org&profile=eins-secom").await.1;
    let whois = listing["sources"].as_array().unwrap().iter().find(|one| one["source"] == "whois").unwrap();
    assert_eq!((whois["status"].as_str(), &whois["reasons"]), (Some("empty"), &json!(["redacted"])));
    // After WHOIS: the domain or a sub-domain of one's own, and never `www`.
    let adns = async |profile: &str| listed(&app, profile, "www.1.example.co.jp", "constructed").await;
    assert_eq!(adns("eins-secom").await.len(), 5);
    let now = adns("eins-secom-2025").await;
    assert!(now.contains(&"admin@1.example.co.jp".to_owned()) && now.contains(&"admin@example.co.jp".to_owned()), "{now:?}");
    assert!(!now.iter().any(|one| one.contains("www.")), "{now:?}");
    assert!(listed(&app, "eins-secom-2025", "www.example.co.jp", "whois").await.is_empty());
    // Nothing is stripped below the Base Domain Name.
    assert_eq!(listed(&app, "eins-secom-2025", "www.jp", "constructed").await[0], "admin@www.jp");
}

async fn iij_globalsign_takes_an_entered_contact_once_whois_shows_it(app: TestApp) {
    registries(&app);
    assert_eq!(
        listed(&app, "iij-globalsign-quick", "example.org", "whois").await,
        ["e@owner.example", "d@owner.example", "f@maker.example"]
    );
    assert_eq!(listed(&app, "iij-globalsign-quick", "www.shop.example.jp", "constructed").await.len(), 10, "both");
    let entered = |name: &str, approver: Value| body("iij-globalsign-quick", "A-1", name, &json!([approver]));
    for (name, approver, code) in [
        ("example.jp", json!({"email": "x@y.example", "manual": true}), "fallback-required"),
        (
            "example.jp",
            json!({"email": "c@owner.example", "manual": true, "fallback": "admin@example.jp"}),
            "manual-entry-not-needed",
        ),
        ("example.jp", json!({"email": "x@y.example", "manual": true, "fallback": "admin@example.jp"}), "address-not-in-whois"),
        ("masked.org", json!({"email": "x@y.example", "manual": true, "fallback": "admin@masked.org"}), "address-not-in-whois"),
        ("masked.org", json!({"email": "x@y.example", "manual": false}), "bad-value"),
    ] {
        let (status, refused) = app.post("/v1/orders", &entered(name, approver)).await;
        assert_eq!((status, refused["errors"][0]["code"].as_str()), (422, Some(code)), "{refused}");
    }
    let elsewhere = body("eins-secom", "A-1", "masked.org", &json!([{"email": "x@y.example", "manual": true}]));
    assert_eq!(app.post("/v1/orders", &elsewhere).await.1["code"], "address-not-selectable", "no such field there");
    // WHOIS is away: the entry waits, and nobody is mailed for having been typed.
    app.whois.fails("whois.jprs.jp", "late.jp/e", HopError::Timeout);
    let told = json!({"email": "owner@late.jp", "manual": true, "fallback": "admin@late.jp"});
    let order = app.place(&body("iij-globalsign-quick", "A-1", "late.jp", &json!([told]))).await;
    assert_eq!((at(&order, "state").as_str(), order["mails"].as_array().unwrap().len()), ("awaiting_approver", 0));
    app.run_jobs().await;
    assert!(app.approval_mails().is_empty());
    assert!(admin_page(&app, &order).await.contains("owner@late.jp"));
    assert_eq!(
        (press(&app, &order, &[("choice", "entered")]).await, recipients(&app.order(&order).await).len()),
        (303, 0),
        "nobody has seen it in WHOIS"
    );
    let answer = |email: &str| {
        format!(
            "Domain Information: [ドメイン情報]\n[Domain Name]                   LATE.JP\n\nContact Information: [公開連絡窓口]\n[名前]    Taro\n[Email]                         {email}\n"
        )
    };
    app.whois.answers("whois.jprs.jp", "late.jp/e", &answer("owner@late.jp"));
    app.clock.advance(Duration::from_secs(3600));
    look_again(&app).await;
    app.run_jobs().await;
    let mail = app.last_mail();
    assert_eq!(mail.rcpt_to, ["owner@late.jp"], "WHOIS shows it now");
    assert_eq!(mail.subject(), "グローバルサイン/承認手続きのお知らせ(A-1)【late.jp】");
    // WHOIS answers with somebody else: the one who stands in is asked.
    app.whois.fails("whois.jprs.jp", "other.jp/e", HopError::Timeout);
    let told = json!({"email": "typo@other.jp", "manual": true, "fallback": "admin@other.jp"});
    app.place(&body("iij-globalsign-quick", "A-2", "other.jp", &json!([told]))).await;
    app.whois.answers("whois.jprs.jp", "other.jp/e", &answer("real@other.jp").replace("LATE.JP", "OTHER.JP"));
    app.clock.advance(Duration::from_secs(3600));
    look_again(&app).await;
    app.run_jobs().await;
    assert_eq!(app.last_mail().rcpt_to, ["admin@other.jp"]);
    // It stands in an answer that cannot be read: an operator looks.
    app.whois.answers("whois.registry.example", "odd.org", "Domain Name: ODD.ORG\r\nKontakt: owner@odd.example\r\n");
    let told = json!({"email": "owner@odd.example", "manual": true, "fallback": "admin@odd.org"});
    let odd = app.place(&body("iij-globalsign-quick", "A-3", "odd.org", &json!([told]))).await;
    let page = admin_page(&app, &odd).await;
    assert!(page.contains("value=\"entered\"") && page.contains("value=\"fallback\"") && page.contains("Kontakt"), "{page}");
    assert_eq!(press(&app, &odd, &[("choice", "entered")]).await, 303);
    assert_eq!(press(&app, &odd, &[("choice", "entered")]).await, 303, "pressed twice, one effect");
    assert_eq!(recipients(&app.order(&odd).await).len(), 1);
    // Held back for two days, it goes all the same: what could not be read stands there still.
    app.clock.advance(DAY * 2);
    app.run_jobs().await;
    assert_eq!(app.last_mail().rcpt_to, ["owner@odd.example"]);
    assert!(app.last_mail().text().contains("登録情報(WHOIS)に"));
    let events = app.get(&format!("/v1/orders/{}/events", odd["id"].as_str().unwrap())).await.1;
    let changed = events["events"].as_array().unwrap().iter().find(|one| one["type"] == "approver.changed").unwrap();
    assert_eq!(changed["actor"], "operator");
    // WHOIS is away for days: the one who stands in.
    app.whois.fails("whois.jprs.jp", "away.jp/e", HopError::Timeout);
    let told = json!({"email": "owner@away.jp", "manual": true, "fallback": "admin@away.jp"});
    let away = app.place(&body("iij-globalsign-quick", "A-4", "away.jp", &json!([told]))).await;
    for _ in 0..10 {
        app.clock.advance(Duration::from_secs(8 * 3600));
        look_again(&app).await;
    }
    assert_eq!(recipients(&app.order(&away).await), ["admin@away.jp"]);
    // Thirty days, and asked once for a domain under the organization's product.
    assert_eq!(
        app.place(&body("iij-globalsign", "B-1", "www.example.jp", &json!(["admin@example.jp"]))).await["expires_at"],
        expires(&app, 30)
    );
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    assert_eq!(
        app.place(&body("iij-globalsign", "B-2", "www.example.jp", &json!(["admin@example.jp"]))).await["state"],
        "completed"
    );
    assert!(listed(&app, "iij-globalsign-2025", "example.jp", "whois").await.is_empty());
}

/// When a link ends that is made now.
fn expires(app: &TestApp, days: u32) -> String {
    app.app.now().plus_days(days).to_string()
}

async fn look_again(app: &TestApp) {
    dcvd::app::look_again::look_again_due(&app.app).await.unwrap();
}

#[tokio::test]
async fn iij_digicert_lets_one_choose_and_later_asks_everybody() {
    let app = TestApp::with_profiles(SHIPPED).await;
    registries(&app);
    let before = app.place(&body("iij-digicert", "A-1", "www.example.co.jp", &Value::Null)).await;
    assert_eq!(at(&before, "state"), "awaiting_approver", "chosen with the application's data");
    assert_eq!(act(&app, &before, "approvers", &json!({"approvers": ["b@maker.example"]})).await.0, 202);
    app.run_jobs().await;
    assert_eq!(app.last_mail().subject(), "[Domain Approval] ドメイン名の利用権確認のお願い: example.co.jp");
    // From May 2025: nobody chooses, and all who may approve are asked.
    let refused = app.post("/v1/orders", &body("iij-digicert-2025", "A-2", "www.example.jp", &json!(["admin@example.jp"]))).await;
    assert_eq!(refused.1["code"], "address-not-selectable");
    app.dns.txt_is("example.jp", &["owner@elsewhere.example"]);
    let after = app.place(&body("iij-digicert-2025", "A-2", "www.example.jp", &Value::Null)).await;
    let asked = recipients(&after);
    assert_eq!(asked.len(), 6, "{asked:?}");
    assert!(asked.contains(&"owner@elsewhere.example".to_owned()) && !asked.contains(&"c@owner.example".to_owned()), "{asked:?}");
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303, "whoever is first");
    assert_eq!(app.order(&after).await["state"], "completed");
}

#[tokio::test]
async fn iij_cybertrust_shows_no_field_and_later_does() {
    let app = TestApp::with_profiles(SHIPPED).await;
    registries(&app);
    let refused = app.post("/v1/orders", &body("iij-cybertrust", "A-1", "www.example.org", &json!(["d@owner.example"]))).await;
    assert_eq!(refused.1["code"], "address-not-selectable", "欄は表示されません");
    let order = app.place(&body("iij-cybertrust", "A-1", "www.example.org", &Value::Null)).await;
    assert_eq!(recipients(&order), ["e@owner.example", "d@owner.example", "f@maker.example"], "Registrant, Admin and Tech");
    app.run_jobs().await;
    let link = app.last_link();
    let (_, page) = app.page(&link).await;
    assert!(page.contains(">承認</button>") && !page.contains("hreflang=\"en\""), "in Japanese alone: {page}");
    let nonce = app.nonce(&link).await;
    let form = [("decision", "approve"), ("scope", "base"), ("signer", "株式会社サンプル"), ("nonce", nonce.as_str())];
    assert_eq!(app.send_form(&link, &form).await.0, 303);
    assert_eq!(at(&app.order(&order).await, "scope"), "base");
    let later = app.place(&body("iij-cybertrust-2025", "A-2", "www.example.jp", &json!(["postmaster@example.jp"]))).await;
    assert_eq!(recipients(&later), ["postmaster@example.jp"]);
}

#[tokio::test]
async fn whois_protection_is_told_with_what_to_do_whatever_the_registry_shows_instead() {
    let app = TestApp::with_profiles(SHIPPED).await;
    registries(&app);
    for (name, lines, status, reason) in [
        ("proxied.org", "Admin Email: x@domainsbyproxy.com\r\n", "ok", "privacy-proxy"),
        ("others.org", "Registrant Email: r@owner.example\r\nTech Email: t@owner.example\r\n", "empty", "no-email"),
    ] {
        let answer = format!("Domain Name: {}\r\n{lines}", name.to_uppercase());
        app.whois.answers("whois.registry.example", name, &answer);
        let order = app.place(&body("nttcom-jprs", name, name, &Value::Null)).await;
        assert_eq!(at(&order, "state"), "awaiting_approver");
        app.run_jobs().await;
        let needed = app.hooks.taken("approver.needed").pop().unwrap();
        let data = &needed.body["data"];
        let whois = json!({"source": "whois", "status": status, "server": "whois.registry.example", "reasons": [reason]});
        assert_eq!(
            (&data["sources"], &data["remedies"][0]["code"]),
            (&json!([whois]), &json!("lift-whois-protection")),
            "{data}"
        );
        assert!(data["remedy"].as_str().unwrap().contains("lift the registration's privacy protection"), "{data}");
        let listing = app.get(&format!("/v1/approvers?name={name}&profile=nttcom-jprs")).await.1;
        assert!(listing["sources"].as_array().unwrap().contains(&whois), "{listing}");
        assert!(listing["approvers"].as_array().unwrap().iter().all(|one| one["usable"] == false), "{listing}");
    }
}

async fn nttcom_jprs_asks_every_contact_of_the_role_and_again_a_year_later(app: TestApp) {
    registries(&app);
    let place = async |order_ref: &str, name: &str| app.place(&body("nttcom-jprs", order_ref, name, &Value::Null)).await;
    // 属性型: two mails; the same address twice is one; 汎用: one; gTLD: Administrative alone; protected: none, and what to do.
    let two = place("A-1", "www.example.co.jp").await;
    assert_eq!(recipients(&two), ["a@owner.example", "b@maker.example"]);
    let same = place("A-2", "same.co.jp").await;
    assert_eq!((recipients(&same), &same["mails"][0]["also_roles"]), (vec!["a@owner.example".to_owned()], &json!(["technical"])));
    assert_eq!(recipients(&place("A-3", "example.jp").await), ["c@owner.example"]);
    assert_eq!(recipients(&place("A-4", "example.org").await), ["d@owner.example"]);
    let masked = place("A-5", "masked.org").await;
    assert_eq!((recipients(&masked).len(), at(&masked, "state").as_str()), (0, "awaiting_approver"));
    app.run_jobs().await;
    let both = app.approval_mails().into_iter().find(|mail| mail.text().contains("same.co.jp")).unwrap().text();
    assert!(both.contains("「登録担当者・技術連絡担当者」") && both.contains("administrative and technical"), "{both}");
    let needed = app.hooks.taken("approver.needed").pop().unwrap();
    assert_eq!(needed.body["data"]["remedies"][0]["code"], "lift-whois-protection");
    assert!(needed.body["data"]["remedies"][0]["ja"].as_str().unwrap().contains("プロテクト"));
    // Protection is lifted: the mail goes by itself.
    app.whois.answers("whois.registry.example", "masked.org", "Domain Name: MASKED.ORG\r\nAdmin Email: g@owner.example\r\n");
    app.clock.advance(Duration::from_secs(3600));
    look_again(&app).await;
    assert_eq!(recipients(&app.order(&masked).await), ["g@owner.example"]);
    // One order at a time for a customer's name; only the provider cancels, and says which and why.
    let second = app.post("/v1/orders", &body("nttcom-jprs", "A-6", "www.example.co.jp", &Value::Null)).await;
    assert_eq!((second.0, second.1["code"].as_str(), &second.1["order_id"]), (409, Some("open-order-exists"), &two["id"]));
    let masked_id = json!({"reason": "解約", "common_name": "masked.org", "by": "applicant"});
    assert_eq!(act(&app, &masked, "cancel", &masked_id).await.0, 403, "not the applicant");
    assert_eq!(act(&app, &masked, "cancel", &json!({"reason": "解約", "by": "provider"})).await.0, 422, "コモンネーム");
    assert_eq!(
        act(&app, &masked, "cancel", &json!({"reason": "解約", "common_name": "masked.org", "by": "provider"})).await.0,
        200
    );
    // 26 days to the second, the button says 承認, either link will do and the other then says so.
    assert_eq!(two["expires_at"], "2026-12-18T00:00:00Z");
    let link = |to: &str| {
        app.approval_mails()
            .into_iter()
            .find(|mail| mail.rcpt_to == [to] && mail.text().contains("www.example.co.jp"))
            .unwrap()
            .link()
            .unwrap()
    };
    app.run_jobs().await;
    let (first, other) = (link("a@owner.example"), link("b@maker.example"));
    assert!(app.page(&first).await.1.contains(">承認</button>"));
    assert_eq!(app.approve(&first).await.0, 303);
    assert!(app.page(&other).await.1.contains("承認の手続きは完了しています"));
    let late = place("A-7", "example.co.jp").await;
    app.run_jobs().await;
    let link = app.last_link();
    let nonce = app.nonce(&link).await;
    app.clock.advance(DAY * 26);
    let form = [("decision", "approve"), ("authority", "yes"), ("nonce", nonce.as_str())];
    assert_eq!(app.send_form(&link, &form).await.0, 410);
    app.run_jobs().await;
    assert_eq!(act(&app, &late, "approvers", &json!({"approvers": ["a@owner.example"]})).await.1, "must-reapply");
    // A year later the mail comes again, without an application.
    let ends = "2027-12-20T00:00:00Z";
    let certificate =
        json!({"serial": "0a", "names": ["www.example.co.jp"], "not_before": "2026-12-20T00:00:00Z", "not_after": ends});
    assert_eq!(act(&app, &two, "certificates", &certificate).await.0, 201);
    let mails = app.approval_mails().len();
    let until = |day: &str| dcvd::dcv::timestamp::Timestamp::parse_rfc3339(day).unwrap().since(app.app.now());
    app.clock.advance(until("2027-11-19T23:59:59Z"));
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), mails, "not yet");
    app.clock.advance(Duration::from_secs(1));
    app.run_jobs().await;
    let again: Vec<_> = app.approval_mails().split_off(mails);
    assert_eq!(again.iter().map(|mail| mail.rcpt_to.concat()).collect::<Vec<_>>(), ["a@owner.example", "b@maker.example"]);
    let text = again[0].text();
    assert!(again[0].subject().contains("更新") && text.contains("前回は 2026年11月22日 10:00(日本時間) に"), "{text}");
    let renewed = app.get("/v1/orders?order_ref=A-1%2Frenewal%2F2027-12-20%2Fa").await.1["orders"][0].clone();
    assert_eq!((&renewed["kind"], &renewed["previous_order_id"]), (&json!("renewal"), &two["id"]));
    assert_eq!(
        app.hooks.taken("order.created").last().unwrap().body["data"]["order_id"],
        renewed["id"],
        "the ordering system learns of it"
    );
    assert!(app.event_types(&two).await.contains(&"renewal.placed".to_owned()));
    app.clock.advance(DAY);
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), mails + 2, "once");
    // After WHOIS: five at the name and five at the domain, and somebody chooses.
    let now = listed(&app, "nttcom-jprs-2025", "sub.example.jp", "constructed").await;
    assert_eq!(now.len(), 10, "{now:?}");
}

async fn nii_upki_orders_only_what_its_list_allows(app: TestApp) {
    let refused = app.post("/v1/orders", &body("nii-upki", "A-1", "www.example.ac.jp", &json!(["admin@example.ac.jp"]))).await;
    assert_eq!((refused.0, refused.1["errors"][0]["code"].as_str()), (422, Some("domain-not-allowlisted")));
    assert_eq!(refused.1["errors"][0]["pointer"], "/names/0");
    let entry = json!({"approver": "hostmaster@example.ac.jp", "profiles": ["nii-upki"], "note": "情報基盤センター"});
    let put = async |domain: &str, entry: &Value| {
        let request = app.request(Method::PUT, &format!("/v1/allowlist/{domain}")).header("content-type", "application/json");
        let answer = request.body(entry.to_string()).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    let (status, written) = put("Example.ac.jp", &entry).await;
    assert_eq!((status, &written["domain"], &written["note"]), (200, &json!("example.ac.jp"), &entry["note"]));
    assert_eq!(put("co.jp", &entry).await.1["errors"][0]["pointer"], "/domain");
    assert_eq!(put("example.ac.jp", &json!({"profiles": ["none"]})).await.1["errors"][0]["pointer"], "/profiles/0");
    // Nobody named: whom the list prefers is asked, since they may approve.
    let order = app.place(&body("nii-upki", "A-1", "*.lab.example.ac.jp", &Value::Null)).await;
    assert_eq!(recipients(&order), ["hostmaster@example.ac.jp"]);
    put("other.ac.jp", &json!({"profiles": ["eins-secom"], "approver": "x@elsewhere.example"})).await;
    let elsewhere = app.post("/v1/orders", &body("nii-upki", "A-2", "other.ac.jp", &json!(["admin@other.ac.jp"]))).await;
    assert_eq!(elsewhere.1["errors"][0]["code"], "domain-not-allowlisted", "not under this profile");
    put("strange.ac.jp", &json!({"approver": "x@elsewhere.example"})).await;
    let strange = app.post("/v1/orders", &body("nii-upki", "A-3", "strange.ac.jp", &Value::Null)).await;
    assert_eq!(strange.1["code"], "no-approver", "the list prefers; it makes nobody an approver");
    let (_, all) = app.get("/v1/allowlist?limit=2").await;
    let domains: Vec<_> = all["domains"].as_array().unwrap().iter().map(|one| one["domain"].as_str().unwrap()).collect();
    assert_eq!((domains, &all["next"]), (vec!["example.ac.jp", "other.ac.jp"], &json!("other.ac.jp")));
    assert_eq!(app.get("/v1/allowlist?cursor=other.ac.jp").await.1["domains"].as_array().unwrap().len(), 1);
    // Pressed twice, one effect; asked once for a domain; the operator alone cancels.
    app.run_jobs().await;
    let link = app.last_link();
    let nonce = app.nonce(&link).await;
    let form = [("decision", "approve"), ("authority", "yes"), ("nonce", nonce.as_str())];
    assert_eq!((app.send_form(&link, &form).await.0, app.send_form(&link, &form).await.0), (303, 409));
    app.run_jobs().await;
    assert_eq!(app.hooks.taken("validation.approved").len(), 1);
    assert_eq!(app.place(&body("nii-upki", "A-4", "*.lab.example.ac.jp", &Value::Null)).await["state"], "completed", "reused");
    let open = app.place(&body("nii-upki", "A-5", "new.example.ac.jp", &Value::Null)).await;
    assert_eq!(act(&app, &open, "cancel", &json!({"reason": "x", "by": "applicant"})).await.0, 403);
    let gone = app.request(Method::DELETE, "/v1/allowlist/example.ac.jp").send().await.unwrap().status();
    assert_eq!(gone, 204);
    assert_eq!(app.post("/v1/orders", &body("nii-upki", "A-6", "www.example.ac.jp", &Value::Null)).await.0, 422);
    assert_eq!(app.request(Method::DELETE, "/v1/allowlist/example.ac.jp").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_list_comes_from_and_goes_to_tab_separated_files() {
    let setup = Setup::new().await;
    let dir = setup.config.parent().unwrap();
    let run = |arguments: &[&str]| {
        let config = setup.config.to_str().unwrap();
        let output = program().args(["allowlist"]).args(arguments).args(["--config", config]).output().unwrap();
        (output.status.code(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let text =
        "domain\tapprover\tprofiles\tnote\r\nexample.ac.jp\tadmin@example.ac.jp\tstandard\t情報基盤センター\r\n日本語.jp\r\n\r\n";
    let (sjis, ..) = encoding_rs::SHIFT_JIS.encode(text);
    let (code, _, said) = run(&["import", "--client", "nii", &file("list.tsv", &sjis)]);
    assert_eq!(code, Some(0), "{said}");
    let (_, shown, _) = run(&["list", "--client", "nii", "--json"]);
    let shown: Vec<Value> = String::from_utf8(shown).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (shown.len(), &shown[0]["note"], &shown[1]["domain"]),
        (2, &json!("情報基盤センター"), &json!("xn--wgv71a119e.jp"))
    );
    // All or nothing, with every wrong line.
    let wrong = "good.ac.jp\r\nco.jp\r\nexample.ac.jp\tnobody\r\nexample.jp\r\nexample.jp\r\nx.jp\t\tnone\r\n";
    let (code, _, said) = run(&["import", "--client", "nii", "--replace", &file("wrong.tsv", wrong.as_bytes())]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("line 2: domain")
            && said.contains("line 3: approver")
            && said.contains("line 5: domain")
            && said.contains("line 6: profiles"),
        "{said}"
    );
    let (_, exported, _) = run(&["export", "--client", "nii", "--encoding", "shift_jis"]);
    let (read, _, bad) = encoding_rs::SHIFT_JIS.decode(&exported);
    assert!(!bad && read.contains("example.ac.jp\tadmin@example.ac.jp\tstandard\t情報基盤センター"), "{read}");
    let (code, ..) = run(&["import", "--client", "nii", "--replace", &file("again.tsv", b"only.ac.jp\n")]);
    assert_eq!(code, Some(0));
    assert_eq!(String::from_utf8(run(&["export", "--client", "nii"]).1).unwrap().lines().count(), 2, "its head and one domain");
    assert_ne!(run(&["import", "--client", "nii", Path::new("/no/such").to_str().unwrap()]).0, Some(0));
}

#[tokio::test]
async fn host_digicert_takes_postmaster_or_what_dns_publishes() {
    let app = TestApp::with_profiles(SHIPPED).await;
    app.dns.txt_is("example.jp", &["a@b.example"]);
    assert_eq!(listed(&app, "host-digicert", "www.example.jp", "constructed").await, ["postmaster@example.jp"]);
    assert_eq!(listed(&app, "host-digicert", "www.example.jp", "dns_txt").await, ["a@b.example"]);
    for (value, reason) in
        [("mailto:a@b.example", "mailto"), (" a@b.example ", "white-space"), ("a@b.example,c@d.example", "several-addresses")]
    {
        app.dns.txt_is("wrong.jp", &[value]);
        let listing = app.get("/v1/approvers?name=wrong.jp&profile=host-digicert&refresh=true").await.1;
        let txt = listing["sources"].as_array().unwrap().iter().find(|one| one["source"] == "dns_txt").unwrap().clone();
        assert_eq!((txt["status"].as_str(), &txt["reasons"]), (Some("empty"), &json!([reason])), "{value}");
    }
    let order = app.place(&body("host-digicert", "A-1", "www.example.jp", &json!(["a@b.example"]))).await;
    assert_eq!(order["expires_at"], "2026-12-22T00:00:00Z", "thirty days");
    app.run_jobs().await;
    assert_eq!(app.last_mail().subject(), "[Domain Approval] ドメイン名の利用権確認のお願い: example.jp");
    let (_, page) = app.page(&app.last_link()).await;
    assert!(page.contains(">承認する</button>") && !page.contains("name=\"signer\""), "{page}");
    assert!(!app.last_mail().raw.windows(26).any(|part| part == b"digitalcertvalidation.com"), "never as another company");
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    // Reused within its days, by the record of the earlier order.
    let again = app.place(&body("host-digicert", "A-2", "www.example.jp", &json!(["postmaster@example.jp"]))).await;
    assert_eq!(
        (again["state"].as_str(), &again["validations"][0]["reused_from"]["order_ref"]),
        (Some("completed"), &json!("A-1"))
    );
}

#[tokio::test]
async fn host_cybertrust_reuses_what_was_approved_for_the_fqdn_and_bizcert_asks_each_month() {
    let app = TestApp::with_profiles(SHIPPED).await;
    let approve = async |scope: &str| {
        app.run_jobs().await;
        let link = app.last_link();
        let nonce = app.nonce(&link).await;
        let form = [("decision", "approve"), ("scope", scope), ("signer", "株式会社サンプル"), ("nonce", nonce.as_str())];
        assert_eq!(app.send_form(&link, &form).await.0, 303);
    };
    let postmaster = json!(["postmaster@example.jp"]);
    app.place(&body("host-cybertrust", "A-1", "www.example.jp", &postmaster)).await;
    approve("fqdn").await;
    let other = app.place(&body("host-cybertrust", "A-2", "shop.example.jp", &postmaster)).await;
    assert_eq!(other["state"], "pending", "FQDN限定 reaches no other name");
    assert_eq!(app.place(&body("host-cybertrust", "A-3", "www.example.jp", &postmaster)).await["state"], "completed");
    // BIZCERT's contract of one month: each time a mail, which says when it was last approved.
    let first = app.place(&body("host-bizcert", "B-1", "www.example.jp", &postmaster)).await;
    approve("fqdn").await;
    let ends = "2026-12-22T00:00:00Z";
    let certificate =
        json!({"serial": "0b", "names": ["www.example.jp"], "not_before": "2026-11-22T00:00:00Z", "not_after": ends});
    assert_eq!(act(&app, &first, "certificates", &certificate).await.0, 201);
    let mails = app.approval_mails().len();
    app.clock.advance(DAY * 23);
    app.run_jobs().await;
    let mut again = app.approval_mails().split_off(mails);
    again.retain(|mail| mail.text().contains("前回は 2026年11月22日"));
    assert_eq!(again.len(), 1, "期限が迫った際, by what was told last");
    assert!(again[0].subject().contains("使用権確認について(example.jp)"));
    // The provider applies by itself before that: no second mail.
    let second = app.place(&body("host-bizcert", "B-2", "mail.example.jp", &postmaster)).await;
    approve("fqdn").await;
    let certificate = json!({"serial": "0c", "names": ["mail.example.jp"], "not_before": "2026-12-15T00:00:00Z", "not_after": "2027-01-15T00:00:00Z"});
    assert_eq!(act(&app, &second, "certificates", &certificate).await.0, 201);
    let mut renewal = body("host-bizcert", "B-3", "mail.example.jp", &postmaster);
    (renewal["kind"], renewal["previous_order_id"]) = (json!("renewal"), second["id"].clone());
    app.place(&renewal).await;
    approve("fqdn").await;
    let mails = app.approval_mails().len();
    app.clock.advance(DAY * 25);
    app.run_jobs().await;
    let after: Vec<_> = app.approval_mails().split_off(mails).iter().map(dcvd::demo::smtp::Arrived::text).collect();
    assert!(!after.iter().any(|text| text.contains("mail.example.jp")), "{after:?}");
}

#[tokio::test]
async fn names_of_every_japanese_kind_are_asked_of_their_contacts() {
    let app = TestApp::with_profiles(SHIPPED).await;
    registries(&app);
    let contact = "Contact Information:\na. [JPNIC Handle]               GH1111JP\nd. [E-Mail]                     ";
    app.whois.answers("whois.jprs.jp", "CONTACT GH1111JP/e", &format!("{contact}ward@owner.example\n"));
    app.whois.answers(
        "whois.jprs.jp",
        "CONTACT TC1111JP/e",
        &format!("{}tech@maker.example\n", contact.replace("GH1111JP", "TC1111JP")),
    );
    let geographic = "Domain Information:\na. [Domain Name]                HOST.CHUO.TOKYO.JP\n\
        m. [Administrative Contact]     GH1111JP\nn. [Technical Contact]          TC1111JP\n";
    app.whois.answers("whois.jprs.jp", "host.chuo.tokyo.jp/e", geographic);
    let prefecture = "Domain Information: [ドメイン情報]\n[Domain Name]                   SHOP.TOKYO.JP\n\n\
        Contact Information: [公開連絡窓口]\n[名前]  Taro\n[Email]                         p@owner.example\n";
    app.whois.answers("whois.jprs.jp", "shop.tokyo.jp/e", prefecture);
    for profile in ["nttcom-jprs", "iij-cybertrust"] {
        let asked =
            async |name: &str| recipients(&app.place(&body(profile, &format!("{profile} {name}"), name, &Value::Null)).await);
        assert_eq!(asked("www.host.chuo.tokyo.jp").await, ["ward@owner.example"], "地域型: 登録担当者 alone");
        assert_eq!(asked("www.shop.tokyo.jp").await, ["p@owner.example"], "都道府県型: 公開連絡窓口");
    }
    let (status, refused) = app.get("/v1/approvers?name=tokyo.jp&profile=nttcom-jprs").await;
    assert_eq!((status, refused["code"].as_str()), (422, Some("public-suffix")));
    // Both spellings are shown, and a wildcard is covered.
    let order = app.place(&body("nii-upki-open", "I-1", "*.日本語.jp", &json!(["admin@日本語.jp"]))).await;
    assert_eq!(order["validations"][0]["name"], "*.xn--wgv71a119e.jp");
    app.run_jobs().await;
    assert!(app.last_mail().text().contains("日本語.jp (xn--wgv71a119e.jp)"));
    let (_, page) = app.page(&app.last_link()).await;
    assert!(page.contains("日本語.jp") && page.contains("xn--wgv71a119e.jp"));
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    assert_eq!(app.order(&order).await["state"], "completed");
}

#[tokio::test]
async fn renewals_ask_for_what_was_issued_and_for_nothing_that_is_renewed_already() {
    let app = TestApp::with_profiles(SHIPPED).await;
    registries(&app);
    let report = async |order: &Value, serial: &str, names: &[&str], ends: &str| {
        let certificate = json!({"serial": serial, "names": names, "not_before": "2026-11-22T00:00:00Z", "not_after": ends});
        assert_eq!(act(&app, order, "certificates", &certificate).await.0, 201);
    };
    let mailed = |name: &str| app.approval_mails().iter().filter(|mail| mail.text().contains(&format!(" {name}\n"))).count();
    // Of two names one was refused: nobody asks its owner again. The other rests on whoever approved.
    let mut two = body("iij-digicert", "A-1", "a.example.jp", &json!(["admin@example.jp", "d@owner.example"]));
    two["names"] = json!(["a.example.jp", "a.example.org"]);
    let two = app.place(&two).await;
    app.run_jobs().await;
    let link = |to: &str| app.approval_mails().into_iter().rfind(|mail| mail.rcpt_to == [to]).unwrap().link().unwrap();
    assert_eq!(app.approve(&link("admin@example.jp")).await.0, 303);
    let nonce = app.nonce(&link("d@owner.example")).await;
    assert_eq!(app.send_form(&link("d@owner.example"), &[("decision", "report"), ("nonce", &nonce)]).await.0, 303);
    report(&two, "0a", &["a.example.jp"], "2027-05-01T00:00:00Z").await;
    // Renewed by an order that does not say so: left alone, and never cancelled.
    let own = app.place(&body("iij-digicert", "B-1", "own.example.jp", &json!(["admin@example.jp"]))).await;
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    report(&own, "0b", &["own.example.jp"], "2027-05-01T00:00:00Z").await;
    let until = |day: &str| dcvd::dcv::timestamp::Timestamp::parse_rfc3339(day).unwrap().since(app.app.now());
    app.clock.advance(until("2027-03-25T00:00:00Z"));
    app.run_jobs().await;
    let plain = app.place(&body("iij-digicert", "B-2", "own.example.jp", &json!(["hostmaster@example.jp"]))).await;
    app.run_jobs().await;
    let (before, of_refused) = (mailed("own.example.jp"), mailed("a.example.org"));
    app.clock.advance(until("2027-04-01T00:00:00Z"));
    app.run_jobs().await;
    assert_eq!(
        (mailed("own.example.jp"), app.order(&plain).await["state"].as_str().unwrap().to_owned()),
        (before, "pending".to_owned())
    );
    let renewed = app.get("/v1/orders?order_ref=A-1%2Frenewal%2F2027-05-01%2Fa").await.1["orders"][0].clone();
    let names: Vec<_> = renewed["validations"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!((names, recipients(&renewed)), (vec!["a.example.jp"], vec!["admin@example.jp".to_owned()]));
    assert_eq!(mailed("a.example.org"), of_refused);
    // One that was reported late is renewed at once.
    let late = app.place(&body("nttcom-jprs", "C-1", "example.jp", &Value::Null)).await;
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    report(&late, "0c", &["example.jp"], "2027-04-10T00:00:00Z").await;
    app.run_jobs().await;
    assert!(app.event_types(&late).await.contains(&"renewal.placed".to_owned()));
    // What cannot be placed is told, and tried again.
    put_and_order(&app).await;
}

/// A domain that is taken from the list cannot be renewed: somebody must know.
async fn put_and_order(app: &TestApp) {
    let domain = "/v1/allowlist/gone.ac.jp";
    let request = app.request(Method::PUT, domain).header("content-type", "application/json");
    assert_eq!(request.body("{}").send().await.unwrap().status(), 200);
    let mut order = body("nii-upki-scheduler", "D-1", "www.gone.ac.jp", &json!(["admin@gone.ac.jp"]));
    order["notify"] = json!(["staff@nii.example"]);
    let order = app.place(&order).await;
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    let certificate = json!({"serial": "0d", "names": ["www.gone.ac.jp"], "not_before": "2027-03-01T00:00:00Z", "not_after": "2027-04-05T00:00:00Z"});
    assert_eq!(app.request(Method::DELETE, domain).send().await.unwrap().status(), 204);
    assert_eq!(act(app, &order, "certificates", &certificate).await.0, 201);
    app.run_jobs().await;
    let failed = async || app.event_types(&order).await.iter().filter(|kind| *kind == "renewal.failed").count();
    assert_eq!(failed().await, 1);
    assert!(app.notices().contains(&("renewal".to_owned(), "operators@dcv.example.net".to_owned())));
    app.run_jobs().await;
    assert_eq!(failed().await, 1, "not again at once");
    app.clock.advance(DAY);
    app.run_jobs().await;
    assert_eq!(failed().await, 2);
}
