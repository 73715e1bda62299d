//! The shipped profiles of certificate services, each played as its documents say.

use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Setup;
use crate::support::app::TestApp;
use crate::support::process::program;

const SHIPPED: &[(&str, &str)] = &[
    ("public-tls", include_str!("../../config/profiles/public-tls.toml")),
    ("iij-cybertrust", include_str!("../../config/profiles/iij-cybertrust.toml")),
    ("host-cybertrust", include_str!("../../config/profiles/host-cybertrust.toml")),
    ("eins-secom", include_str!("../../config/profiles/eins-secom.toml")),
    ("iij-digicert", include_str!("../../config/profiles/iij-digicert.toml")),
    ("host-digicert", include_str!("../../config/profiles/host-digicert.toml")),
    ("host-geotrust", include_str!("../../config/profiles/host-geotrust.toml")),
    ("host-bizcert", include_str!("../../config/profiles/host-bizcert.toml")),
    (
        "reapply",
        "extends = \"standard\"\nwindow.on_expiry = \"reapply\"\nwindow.rounding = \"end_of_day_jst\"\nreminders.mode = \"off\"\n",
    ),
    ("over", "extends = \"public-tls\"\nvalid_from = 2020-01-01\nvalid_until = 2026-11-21\n"),
];

fn body(profile: &str, name: &str, approvers: &Value) -> Value {
    json!({
        "order_ref": profile, "profile": profile, "names": [name], "approvers": approvers,
        "applicant": {"organization": "株式会社サンプル"}, "requester": "サンプルホスティング株式会社",
    })
}

#[tokio::test]
async fn a_hosting_providers_customer_approves_for_the_fqdn_alone_by_name_and_scope() {
    let app = TestApp::with_profiles(SHIPPED).await;
    let offered = app.get("/v1/approvers?name=www.example.co.jp&profile=host-cybertrust").await.1;
    let offered: Vec<_> = offered["approvers"].as_array().unwrap().iter().map(|one| one["email"].as_str().unwrap()).collect();
    assert_eq!(offered, ["postmaster@example.co.jp"]);
    let order = app.place(&body("host-cybertrust", "www.example.co.jp", &json!(["postmaster@example.co.jp"]))).await;
    assert_eq!(order["product"], "SureServer", "the service's own where the order does not say");
    app.run_jobs().await;
    let mail = app.last_mail();
    assert_eq!(mail.subject(), "SSL サーバー証明書 ドメイン名使用権確認について(example.co.jp)");
    assert!(mail.text().contains("サイバートラスト の規定"));
    let link = mail.link().unwrap();
    let (_, page) = app.page(&link).await;
    for told in [">承認</button>", "FQDN限定をお選びください", "(必須)"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(!page.contains("name=\"authority\""), "scope and signer are deliberate enough");
    let nonce = app.nonce(&link).await;
    let approve = async |scope: &str, signer: &str| {
        app.send_form(&link, &[("decision", "approve"), ("scope", scope), ("signer", signer), ("nonce", &nonce)]).await
    };
    let (status, page) = approve("", "山田 太郎").await;
    assert!(status == 422 && page.contains("承認範囲を一つ") && page.contains("山田 太郎"), "the name stays");
    assert_eq!(approve("fqdn", "").await.0, 422);
    assert_eq!(approve("fqdn", "山田 太郎").await.0, 303);
    let shown = app.order(&order).await;
    assert_eq!((&shown["validations"][0]["scope"], &shown["validations"][0]["signer"]), (&json!("fqdn"), &json!("山田 太郎")));
    let mut again = body("host-cybertrust", "www.example.co.jp", &json!(["postmaster@example.co.jp"]));
    again["order_ref"] = json!("B-2");
    assert_eq!(app.place(&again).await["state"], "completed", "asked once for a domain");
    let bizcert = app.place(&body("host-bizcert", "www.example.co.jp", &json!(["postmaster@example.co.jp"]))).await;
    assert_eq!((&bizcert["state"], &bizcert["product"]), (&json!("pending"), &json!("BIZCERT")), "asked for each application");
    let page = app.page(&format!("{}/admin/orders/{}", app.base, bizcert["id"].as_str().unwrap())).await.1;
    assert!(page.contains("電話確認") && page.contains("第三者データベース"), "{page}");
}

#[tokio::test]
async fn where_the_registration_says_who_is_asked_nobody_chooses() {
    let app = TestApp::with_profiles(SHIPPED).await;
    let (status, refused) =
        app.post("/v1/orders", &body("iij-cybertrust", "www.example.co.jp", &json!(["admin@example.co.jp"]))).await;
    assert_eq!((status, refused["code"].as_str()), (422, Some("address-not-selectable")));
    let order = app.place(&body("iij-cybertrust", "www.example.co.jp", &Value::Null)).await;
    // Nobody's WHOIS answers here: the order waits, and says why and what to do.
    assert_eq!(order["validations"][0]["state"], "awaiting_approver");
    app.run_jobs().await;
    assert!(app.hooks.taken("approver.needed").pop().unwrap().body["data"]["remedies"][0]["code"].is_string());
}

#[tokio::test]
async fn a_service_that_is_over_takes_no_orders_where_its_dates_are_enforced() {
    let app = TestApp::with_profiles(SHIPPED).await;
    let (status, refused) = app.post("/v1/orders", &body("over", "www.example.co.jp", &json!(["admin@example.co.jp"]))).await;
    assert_eq!(
        (status, refused["code"].as_str(), refused["errors"][0]["pointer"].as_str()),
        (422, Some("profile-not-in-force"), Some("/profile"))
    );
    // Under `record` the dates are told and nothing is refused: a past flow can be played.
    let order = app.place(&body("iij-cybertrust", "www.example.co.jp", &Value::Null)).await;
    assert_eq!(order["state"], "pending");
}

#[tokio::test]
async fn past_the_end_of_the_day_the_applicant_must_apply_again() {
    let app = TestApp::with_profiles(SHIPPED).await;
    let order = app.place(&body("reapply", "www.example.co.jp", &json!(["admin@example.co.jp"]))).await;
    // 2026-11-22 09:00 in Japan and 26 days, to the end of that day.
    assert_eq!(order["expires_at"], "2026-12-18T15:00:00Z");
    app.run_jobs().await;
    let link = app.last_link();
    let nonce = app.nonce(&link).await;
    let last = Duration::from_secs(26 * 86_400 + 15 * 3600);
    app.clock.advance(last.saturating_sub(Duration::from_secs(1)));
    assert_eq!(app.page(&link).await.0, 200, "one second before");
    app.clock.advance(Duration::from_secs(1));
    let form = [("decision", "approve"), ("authority", "yes"), ("nonce", nonce.as_str())];
    assert_eq!(app.send_form(&link, &form).await.0, 410, "a form opened in time is too late too");
    app.run_jobs().await;
    assert!(app.page(&link).await.1.contains("あらためてお申し込み"));
    let id = order["id"].as_str().unwrap();
    for (what, body) in [
        ("approvers", json!({"approvers": ["admin@example.co.jp"]})),
        ("extend", json!({"days": 1, "reason": "x"})),
        ("resend", json!({"mail_id": order["mails"][0]["id"]})),
    ] {
        let (status, refused) = app.post(&format!("/v1/orders/{id}/{what}"), &body).await;
        assert_eq!((status, refused["code"].as_str()), (409, Some("must-reapply")), "{what}");
    }
    // Elsewhere the page sends people to us.
    let other = app.place(&body("public-tls", "www.example.co.jp", &json!(["admin@example.co.jp"]))).await;
    app.run_jobs().await;
    let link = app.last_link();
    app.clock.advance(Duration::from_secs(26 * 86_400));
    app.run_jobs().await;
    assert!(app.page(&link).await.1.contains("窓口へ、あらためて確認メール"));
    let path = format!("/v1/orders/{}/approvers", other["id"].as_str().unwrap());
    assert_eq!(app.post(&path, &json!({"approvers": ["admin@example.co.jp"]})).await.1["code"], "name-ended");
}

#[tokio::test]
async fn profiles_are_listed_shown_and_linted_and_nobody_is_impersonated() {
    let setup = Setup::new().await;
    let dir = setup.config.parent().unwrap();
    let profiles = dir.join("shipped");
    std::fs::create_dir(&profiles).unwrap();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config/profiles")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, profiles.join(path.file_name().unwrap())).unwrap();
    }
    let run = |arguments: &[&str], from: &str| {
        let config = setup.config.to_str().unwrap();
        let mut command = program();
        command.env("DCVD__PROFILE_DIR", &profiles).env("DCVD__SMTP__FROM", from).args(arguments).args(["--config", config]);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let us = "dcvd <dcv@dcv.example.net>";
    let (done, listed, said) = run(&["profile", "list", "--json"], us);
    let listed: Value = serde_json::from_str(&listed).unwrap_or_else(|_| panic!("{said}"));
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(done && ids.contains(&"iij-cybertrust") && ids.contains(&"standard"), "{ids:?}");
    let (done, shown, _) = run(&["profile", "show", "host-bizcert"], us);
    assert!(
        done && shown.contains("product = \"BIZCERT\"  # host-bizcert.toml")
            && shown.contains("ca = \"サイバートラスト\"  # host-cybertrust.toml")
    );
    let (_, shown, _) = run(&["profile", "show", "host-geotrust"], us);
    assert!(shown.contains("page.scope_options = [\"fqdn\"]  # derived from reuse.mode"), "{shown}");
    assert!(!run(&["profile", "show", "no-such"], us).0);
    let (done, linted, _) = run(&["profile", "lint"], us);
    assert!(done && linted.contains("valid_until"), "{linted}");
    let theirs = "x <sureserver_support@cybertrust.co.jp>";
    let (done, linted, _) = run(&["profile", "lint"], theirs);
    assert!(!done && linted.contains("never send as somebody else"), "{linted}");
    let (done, _, said) = run(&["serve"], theirs);
    assert!(!done && said.contains("never send as somebody else"), "{said}");
    std::fs::write(profiles.join("bad.toml"), "extends = \"standard\"\naddresses.local_parts = [\"webmasuter\"]\n").unwrap();
    let (done, linted, _) = run(&["profile", "lint"], us);
    assert!(!done && linted.contains("bad.toml: error: addresses.local_parts"), "{linted}");
    assert!(linted.contains("did you mean `webmaster`?"), "{linted}");
    for (text, rule) in [
        ("addresses.local_parts = []", "[L01]"),
        ("window.days = 31", "[L02]"),
        ("page.authority_check = false", "[L06]"),
        ("mail.subject_ja = \"no domain\"", "[L07]"),
        ("mail.from_name_ja = \"x <a@b.jp>\"", "[L09]"),
        ("decision.quorum = 9", "[L10]"),
        ("addresses.adn = \"fqdn\"\npage.scope_options = [\"base\"]", "[L11]"),
        ("addresses.manual_entry = \"if_lookup_empty\"\naddresses.sources = [\"constructed\"]", "[L12]"),
        ("addresses.selected_by = \"system\"", "[L14]"),
        ("title_en = \"\"", "[L15]"),
        ("reminders.at = [\"26d\"]", "[L19]"),
        ("reuse.max_days = 399", "[L05]"),
        ("renewal.notices = [\"1y\"]", "[L23]"),
        ("addresses.strip = [\"WWW\"]", "[L25]"),
        ("window.on_expiry = \"self_reissue\"", "window.on_expiry"),
        ("mail.languages = []", "name at least one language"),
        ("decision.revocable = \"until_ack\"", "unknown field `revocable`"),
    ] {
        std::fs::write(profiles.join("bad.toml"), format!("extends = \"standard\"\n{text}\n")).unwrap();
        let (done, linted, _) = run(&["profile", "lint"], us);
        let line = linted.lines().find(|line| line.contains("bad.toml: error")).unwrap_or_default();
        assert!(!done && linted.contains(rule), "{text}: {line}");
    }
    for (text, rule) in [
        ("compliance = \"enforce\"", "[L03]"),
        ("compliance = \"enforce\"", "[L04]"),
        ("reuse.mode = \"per_domain\"\nreuse.max_days = 300", "error: reuse.max_days"),
        ("decision.quorum = 2\naddresses.sources = [\"whois\"]", "[L10]"),
        ("valid_until = 2020-01-01", "[L17]"),
        ("page.signer = \"required\"\npage.access_pin = \"required\"", "[L18]"),
        ("evidence = []", "[L20]"),
    ] {
        std::fs::write(profiles.join("bad.toml"), format!("extends = \"standard\"\n{text}\n")).unwrap();
        let linted = run(&["profile", "lint"], us).1;
        assert!(linted.lines().any(|line| line.contains("bad.toml") && line.contains(rule)), "{text}: {linted}");
    }
}

#[tokio::test]
async fn one_button_approves_and_the_other_reports() {
    let app = TestApp::with_profiles(SHIPPED).await;
    let order = app.place(&body("host-geotrust", "www.example.co.jp", &json!(["postmaster@example.co.jp"]))).await;
    assert_eq!(order["expires_at"], "2026-12-22T00:00:00Z", "thirty days");
    app.run_jobs().await;
    let mail = app.last_mail();
    assert!(
        mail.subject().starts_with("[Domain Approval] ドメイン名の利用権確認のお願い") && !mail.text().contains("承認しない」")
    );
    let link = mail.link().unwrap();
    let (_, page) = app.page(&link).await;
    assert!(
        page.contains("value=\"approve\"") && page.contains("value=\"report\"") && !page.contains("value=\"reject\""),
        "{page}"
    );
    let nonce = app.nonce(&link).await;
    assert_eq!(
        app.send_form(&link, &[("decision", "reject"), ("nonce", &nonce)]).await.0,
        422,
        "what is not offered is not taken"
    );
    assert_eq!(app.send_form(&link, &[("decision", "report"), ("nonce", &nonce)]).await.0, 303);
    assert_eq!(app.order(&order).await["validations"][0]["answer"], "report");
}

#[tokio::test]
async fn the_choice_may_come_with_the_applications_data() {
    let app = TestApp::with_profiles(SHIPPED).await;
    let order = app.place(&body("iij-digicert", "www.example.co.jp", &Value::Null)).await;
    assert_eq!((&order["validations"][0]["state"], order["mails"].as_array().unwrap().len()), (&json!("awaiting_approver"), 0));
    app.run_jobs().await;
    let needed = app.hooks.taken("approver.needed").pop().unwrap();
    let allowed = needed.body["data"]["allowed"]["www.example.co.jp"].as_array().unwrap().clone();
    assert!(needed.body["data"]["reason"] == "found" && allowed.contains(&json!("admin@example.co.jp")), "{allowed:?}");
    let path = format!("/v1/orders/{}/approvers", order["id"].as_str().unwrap());
    assert_eq!(app.post(&path, &json!({})).await.0, 422, "nobody is named");
    assert_eq!(app.post(&path, &json!({"approvers": ["admin@example.co.jp"]})).await.0, 202);
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    assert_eq!(app.order(&order).await["state"], "completed");
}

#[tokio::test]
async fn the_five_addresses_are_offered_at_the_base_domain_and_a_slip_is_pointed_out() {
    let app = TestApp::with_profiles(SHIPPED).await;
    let offered = app.get("/v1/approvers?name=www.intec-test.co.jp&profile=eins-secom").await.1;
    let of = |source: &str| -> Vec<String> {
        let all = offered["approvers"].as_array().unwrap().iter().filter(|one| one["source"] == source);
        all.map(|one| one["email"].as_str().unwrap().to_owned()).collect()
    };
    let five =
        ["admin", "administrator", "webmaster", "hostmaster", "postmaster"].map(|local| format!("{local}@intec-test.co.jp"));
    assert_eq!(of("constructed"), five);
    for (wrong, hint) in [("webmasuter@intec-test.co.jp", "webmaster"), ("info@intec-test.co.jp", "none of the five")] {
        let order = json!({"order_ref": "A-1", "profile": "public-tls", "names": ["www.intec-test.co.jp"], "approvers": [wrong]});
        let (status, refused) = app.post("/v1/orders", &order).await;
        assert_eq!((status, refused["code"].as_str()), (422, Some("approver-not-allowed")));
        assert!(refused["detail"].as_str().unwrap().contains(hint), "{refused}");
    }
    let order = app.place(&body("eins-secom", "www.intec-test.co.jp", &json!(["postmaster@intec-test.co.jp"]))).await;
    app.run_jobs().await;
    assert!(app.last_mail().text().contains("お申し込みの窓口: EINS/PKI"));
    let path = format!("/v1/orders/{}/cancel", order["id"].as_str().unwrap());
    assert_eq!(app.post(&path, &json!({"reason": "x", "by": "provider"})).await.1["code"], "not-allowed");
    assert_eq!(app.post(&path, &json!({"reason": "x", "by": "applicant"})).await.0, 200);
}
