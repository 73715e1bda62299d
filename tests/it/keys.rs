//! What single keys of a profile do, besides what the services' profiles show.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::on_both_with;

const PROFILES: &[(&str, &str)] = &[
    (
        "two",
        "extends = \"standard\"\naddresses.sources = [\"constructed\"]\ndecision.quorum = 2\npage.scope_options = [\"fqdn\", \"base\"]\n",
    ),
    ("veto", "extends = \"two\"\ndecision.policy = \"reject_vetoes\"\n"),
    (
        "ends",
        "extends = \"standard\"\naddresses.sources = [\"constructed\"]\ndecision.reject = \"cancel_order\"\npage.reason = \"required_on_reject\"\n",
    ),
    ("pin", "extends = \"standard\"\npage.access_pin = \"required\"\npage.authority_check = false\npage.reason = \"hidden\"\n"),
    (
        "review",
        "extends = \"standard\"\npage.review_step = true\npage.signer_label_ja = \"ご担当者名\"\npage.signer_hint_ja = \"姓と名\"\n",
    ),
    (
        "code",
        "extends = \"standard\"\nmail.body = \"code_entry\"\nmail.languages = [\"en\"]\nmail.html = false\nmail.from_name_en = \"Example CA\"\npage.languages = [\"en\"]\n",
    ),
    ("quiet", "extends = \"standard\"\npage.enter_code = false\n"),
    ("operator", "extends = \"standard\"\naddresses.sources = [\"constructed\"]\naddresses.selected_by = \"operator\"\n"),
    ("after", "extends = \"standard\"\naddresses.sources = [\"constructed\"]\naddresses.selected_at = \"after_lookup\"\n"),
    ("proxies", "extends = \"standard\"\naddresses.sources = [\"whois\"]\naddresses.privacy_proxy = \"warn\"\n"),
    ("allowed", "extends = \"proxies\"\naddresses.privacy_proxy = \"allow\"\n"),
    ("excluded", "extends = \"proxies\"\naddresses.whois_exclude_fields = [\"Admin Email\"]\n"),
];

on_both_with!(PROFILES;
    two_people_approve_and_the_narrowest_scope_counts,
    a_refusal_may_cancel_the_order,
    notices_of_the_end_come_once_each,
);

fn body(profile: &str, approvers: &Value) -> Value {
    json!({"order_ref": profile, "profile": profile, "names": ["www.example.jp"], "approvers": approvers})
}

/// The link that was mailed to somebody.
fn link(app: &TestApp, to: &str) -> String {
    app.approval_mails().into_iter().rev().find(|mail| mail.rcpt_to == [to]).unwrap().link().unwrap()
}

async fn answer(app: &TestApp, link: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let nonce = app.nonce(link).await;
    let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("authority", "yes"), ("nonce", nonce.as_str())]).collect();
    app.send_form(link, &fields).await
}

async fn two_people_approve_and_the_narrowest_scope_counts(app: TestApp) {
    let (status, refused) = app.post("/v1/orders", &body("two", &json!(["admin@example.jp"]))).await;
    assert_eq!((status, refused["errors"][0]["code"].as_str()), (422, Some("too-few-approvers")));
    assert!(refused["allowed"].as_array().unwrap().len() > 2);
    let three = json!(["admin@example.jp", "webmaster@example.jp", "postmaster@example.jp"]);
    let order = app.place(&body("two", &three)).await;
    app.run_jobs().await;
    assert!(app.last_mail().text().contains("2 名の承認で完了します"));
    let (first, second) = (link(&app, "admin@example.jp"), link(&app, "webmaster@example.jp"));
    assert_eq!(answer(&app, &first, &[("decision", "approve"), ("scope", "fqdn"), ("signer", "一郎")]).await.0, 303);
    let shown = app.order(&order).await;
    assert_eq!((shown["state"].as_str(), shown["validations"][0]["state"].as_str()), (Some("pending"), Some("pending")));
    let (_, page) = app.page(&first).await;
    assert!(page.contains("2 名の承認が必要です"), "{page}");
    assert_eq!(answer_again(&app, &first).await, 409, "nobody counts twice");
    app.run_jobs().await;
    assert!(app.hooks.taken("validation.approved").is_empty() && !app.notices().iter().any(|(kind, _)| kind == "receipt"));
    assert_eq!(answer(&app, &second, &[("decision", "approve"), ("scope", "base"), ("signer", "二郎")]).await.0, 303);
    let decided = app.order(&order).await["validations"][0].clone();
    assert_eq!((&decided["state"], &decided["scope"], &decided["signer"]), (&json!("approved"), &json!("fqdn"), &json!("一郎")));
    app.run_jobs().await;
    let told = app.hooks.taken("validation.approved").pop().unwrap();
    assert_eq!((&told.body["data"]["approver"], &told.body["data"]["scope"]), (&json!("admin@example.jp"), &json!("fqdn")));
    assert_eq!(told.body["data"]["approvers"], json!(["admin@example.jp", "webmaster@example.jp"]));
    assert!(app.event_types(&order).await.contains(&"approval.counted".to_owned()));
    // Everyone learns whose approval counts, and may dispute it.
    let receipt = app.inbox.arrived().into_iter().rev().find(|mail| mail.text().contains("/dispute/")).unwrap().text();
    assert!(receipt.contains("一郎") && !receipt.contains("二郎"), "{receipt}");
    let dispute = receipt.lines().find(|line| line.contains("/dispute/")).unwrap().trim().to_owned();
    assert_eq!(app.send_form(&dispute, &[("sure", "yes")]).await.0, 303);
    app.run_jobs().await;
    assert_eq!(app.hooks.taken("validation.disputed").len(), 1);
    // Whoever was replaced counts no more.
    let mut replaced = body("two", &three);
    replaced["order_ref"] = json!("A-0");
    let order = app.place(&replaced).await;
    app.run_jobs().await;
    assert_eq!(answer(&app, &link(&app, "admin@example.jp"), &[("decision", "approve"), ("scope", "fqdn")]).await.0, 303);
    let path = format!("/v1/orders/{}/approvers", order["id"].as_str().unwrap());
    let others = json!({"approvers": ["hostmaster@example.jp", "postmaster@example.jp"]});
    assert_eq!(app.post(&path, &others).await.0, 202);
    app.run_jobs().await;
    assert_eq!(answer(&app, &link(&app, "hostmaster@example.jp"), &[("decision", "approve"), ("scope", "fqdn")]).await.0, 303);
    assert_eq!(app.order(&order).await["validations"][0]["state"], "pending", "one of the two");
    assert_eq!(answer(&app, &link(&app, "postmaster@example.jp"), &[("decision", "approve"), ("scope", "fqdn")]).await.0, 303);
    assert_eq!(app.order(&order).await["validations"][0]["state"], "approved");
    // One refuses: it is over, whoever approved before.
    let mut again = body("two", &three);
    again["order_ref"] = json!("A-2");
    let order = app.place(&again).await;
    app.run_jobs().await;
    assert_eq!(answer(&app, &link(&app, "admin@example.jp"), &[("decision", "approve"), ("scope", "fqdn")]).await.0, 303);
    assert_eq!(answer(&app, &link(&app, "postmaster@example.jp"), &[("decision", "reject")]).await.0, 303);
    assert_eq!(app.order(&order).await["validations"][0]["state"], "rejected");
    // So it is where whoever approved thinks better of it.
    again["order_ref"] = json!("A-6");
    let order = app.place(&again).await;
    app.run_jobs().await;
    let first = link(&app, "admin@example.jp");
    let nonce = app.nonce(&first).await;
    assert_eq!(answer(&app, &first, &[("decision", "approve"), ("scope", "fqdn")]).await.0, 303);
    assert_eq!(app.send_form(&first, &[("decision", "report"), ("nonce", &nonce)]).await.0, 303);
    assert_eq!(app.order(&order).await["validations"][0]["state"], "rejected");
    // The others answer no more: one approval alone comes to nothing.
    again["order_ref"] = json!("A-3");
    let order = app.place(&again).await;
    app.run_jobs().await;
    assert_eq!(answer(&app, &link(&app, "admin@example.jp"), &[("decision", "approve"), ("scope", "fqdn")]).await.0, 303);
    app.clock.advance(Duration::from_secs(26 * 86_400));
    app.run_jobs().await;
    assert_eq!(app.order(&order).await["validations"][0]["state"], "expired");
    // Where refusals veto, two approvals wait for the third.
    let mut vetoed = body("veto", &three);
    vetoed["order_ref"] = json!("A-4");
    let order = app.place(&vetoed).await;
    app.run_jobs().await;
    for to in ["admin@example.jp", "webmaster@example.jp"] {
        assert_eq!(answer(&app, &link(&app, to), &[("decision", "approve"), ("scope", "fqdn")]).await.0, 303);
    }
    assert_eq!(app.order(&order).await["validations"][0]["state"], "pending");
    app.clock.advance(Duration::from_secs(86_400));
    app.run_jobs().await;
    assert_eq!(app.order(&order).await["validations"][0]["state"], "approved");
    app.run_jobs().await;
    let told = app.hooks.taken("validation.approved").pop().unwrap();
    assert_eq!(told.body["data"]["approvers"], json!(["admin@example.jp", "webmaster@example.jp"]));
}

async fn answer_again(app: &TestApp, link: &str) -> u16 {
    app.send_form(link, &[("decision", "approve"), ("scope", "fqdn"), ("authority", "yes"), ("nonce", "x")]).await.0
}

async fn a_refusal_may_cancel_the_order(app: TestApp) {
    let mut two = body("ends", &json!(["admin@example.jp", "admin@example.com"]));
    two["names"] = json!(["www.example.jp", "www.example.com"]);
    let order = app.place(&two).await;
    app.run_jobs().await;
    let first = link(&app, "admin@example.jp");
    let (status, page) = answer(&app, &first, &[("decision", "reject")]).await;
    assert!(status == 422 && page.contains("承認されない理由をご記入ください"), "{page}");
    assert_eq!(answer(&app, &first, &[("decision", "reject"), ("reason", "聞いていません")]).await.0, 303);
    let shown = app.order(&order).await;
    let states: Vec<_> = shown["validations"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!((shown["state"].as_str(), states), (Some("cancelled"), vec!["rejected", "cancelled"]));
    app.run_jobs().await;
    assert_eq!((app.hooks.taken("order.cancelled").len(), app.hooks.taken("order.completed").len()), (1, 0));
    assert_eq!(app.page(&link(&app, "admin@example.com")).await.0, 410, "the other's link says that it was withdrawn");
}

#[tokio::test]
async fn a_pin_comes_by_another_way() {
    let app = TestApp::with_profiles(PROFILES).await;
    let order = app.place(&body("pin", &json!(["admin@example.jp"]))).await;
    app.run_jobs().await;
    let link = app.last_link();
    let path = format!("/v1/orders/{}/mails/{}/pin", order["id"].as_str().unwrap(), order["mails"][0]["id"].as_str().unwrap());
    let pin = app.get(&path).await.1["pin"].as_str().unwrap().to_owned();
    assert_eq!(app.get(&path).await.1["pin"], pin.as_str(), "it can be asked for again");
    let reader =
        app.client.get(format!("{}{path}", app.base)).bearer_auth(crate::support::app::READER_TOKEN).send().await.unwrap();
    assert_eq!(reader.status(), 403);
    assert!(!app.last_mail().text().contains(&pin) && app.last_mail().text().contains("アクセスPIN"));
    let (_, page) = app.page(&link).await;
    assert!(page.contains("name=\"pin\"") && !page.contains("name=\"reason\""), "{page}");
    assert_eq!(answer(&app, &link, &[("decision", "approve")]).await.0, 422);
    let wrong = if pin == "00000000" { "00000001" } else { "00000000" };
    let (status, page) = answer(&app, &link, &[("decision", "approve"), ("pin", wrong)]).await;
    assert!(status == 422 && page.contains("アクセスPINが違います"), "{page}");
    let (head, tail) = pin.split_at(4);
    assert_eq!(answer(&app, &link, &[("decision", "approve"), ("pin", &format!("{head} {tail}"))]).await.0, 303);
    assert_eq!(app.get(&format!("/v1/orders/{}/mails/{}/pin", order["id"].as_str().unwrap(), "mail_x")).await.0, 404);
}

#[tokio::test]
async fn an_approval_is_shown_once_more_before_it_counts() {
    let app = TestApp::with_profiles(PROFILES).await;
    let order = app.place(&body("review", &json!(["admin@example.jp"]))).await;
    app.run_jobs().await;
    let link = app.last_link();
    let (_, page) = app.page(&link).await;
    assert!(page.contains("ご担当者名") && page.contains("姓と名"), "{page}");
    let (status, page) = answer(&app, &link, &[("decision", "approve"), ("signer", "山田 <太郎>")]).await;
    assert!(status == 200 && page.contains("次の内容で承認します") && page.contains("value=\"山田 &lt;太郎&gt;\""), "{page}");
    assert_eq!(app.order(&order).await["state"], "pending", "nothing has been approved");
    let (status, page) = answer(&app, &link, &[("decision", "edit"), ("signer", "山田")]).await;
    assert!(status == 200 && page.contains("value=\"山田\""), "back, with what was typed");
    assert_eq!(answer(&app, &link, &[("decision", "approve"), ("signer", "山田"), ("reviewed", "yes")]).await.0, 303);
    assert_eq!(app.order(&order).await["validations"][0]["signer"], "山田");
}

#[tokio::test]
async fn a_code_may_lead_to_the_page_in_one_language() {
    let app = TestApp::with_profiles(PROFILES).await;
    let order = app.place(&body("code", &json!(["admin@example.jp"]))).await;
    app.run_jobs().await;
    let mail = app.inbox.arrived().pop().unwrap();
    let (text, raw) = (mail.text(), String::from_utf8_lossy(&mail.raw).into_owned());
    assert!(!text.contains("/approve/") && !text.contains("ご担当者様") && !raw.contains("text/html"), "{text}");
    assert!(raw.contains("From: \"Example CA\" <dcv@dcv.example.net>") && raw.contains("Content-Language: en\r\n"), "{raw}");
    let token = text.lines().find(|line| line.len() == 60 && !line.contains(' ')).unwrap();
    let enter = format!("{}/enter", app.base);
    assert!(text.contains(&enter));
    assert_eq!(app.send_form(&enter, &[("link", token)]).await.0, 303);
    let page = app.page(&format!("{}/approve/{token}?lang=ja", app.base)).await.1;
    assert!(page.contains("lang=\"en\"") && !page.contains("日本語</a>"), "English alone: {page}");
    assert_eq!(app.approve(&format!("{}/approve/{token}", app.base)).await.0, 303);
    assert_eq!(app.order(&order).await["state"], "completed");
    app.place(&body("quiet", &json!(["admin@example.jp"]))).await;
    app.run_jobs().await;
    assert!(!app.last_mail().text().contains("/enter"));
}

#[tokio::test]
async fn an_operator_chooses_where_the_profile_says_so() {
    let app = TestApp::with_profiles(PROFILES).await;
    let refused = app.post("/v1/orders", &body("operator", &json!(["admin@example.jp"]))).await;
    assert_eq!(refused.1["code"], "address-not-selectable");
    let order = app.place(&body("operator", &Value::Null)).await;
    assert_eq!(order["validations"][0]["state"], "awaiting_approver");
    let id = order["id"].as_str().unwrap();
    let path = format!("/v1/orders/{id}/approvers");
    assert_eq!(app.post(&path, &json!({"approvers": ["admin@example.jp"]})).await.1["code"], "address-not-selectable");
    let page = app.page(&format!("{}/admin/orders/{id}?lang=en", app.base)).await.1;
    assert!(page.contains("<option>postmaster@example.jp</option>"), "{page}");
    let press = async |email: &str| {
        let request = app.client.post(format!("{}/admin/orders/{id}/approvers", app.base)).header("origin", &app.base);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body(format!("email={email}")).send().await.unwrap().status().as_u16()
    };
    assert_eq!(press("info@example.jp").await, 422, "from the list alone");
    assert_eq!(press("postmaster@example.jp").await, 303);
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    assert_eq!(press("postmaster@example.jp").await, 303, "pressed twice, one effect");
    assert_eq!(app.approval_mails().len(), 1);
    // Two domains: each is asked of whoever may approve it.
    let mut two = body("operator", &Value::Null);
    (two["order_ref"], two["names"]) = (json!("A-2"), json!(["www.example.jp", "www.example.com"]));
    let order = app.place(&two).await;
    let press = async |emails: &str| {
        let request = app.client.post(format!("{}/admin/orders/{}/approvers", app.base, order["id"].as_str().unwrap()));
        let request = request.header("origin", &app.base).header("content-type", "application/x-www-form-urlencoded");
        request.body(emails.to_owned()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(press("email=admin@example.jp").await, 303);
    let states = async || {
        app.order(&order).await["validations"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(states().await, [json!("pending"), json!("awaiting_approver")]);
    assert_eq!(press("email=admin@example.com&email=webmaster@example.com").await, 303);
    assert_eq!(
        (states().await, app.order(&order).await["mails"].as_array().unwrap().len()),
        (vec![json!("pending"), json!("pending")], 3)
    );
}

#[tokio::test]
async fn an_operator_has_the_sources_asked_again_at_once() {
    let app = TestApp::with_profiles(PROFILES).await;
    let order = app.place(&json!({"order_ref": "A-1", "profile": "proxies", "names": ["example.org"], "approvers": "all"})).await;
    assert_eq!(order["validations"][0]["state"], "awaiting_approver");
    app.whois.answers("whois.iana.org", "org", "refer: whois.registry.example\n\ndomain: ORG\n");
    app.whois.answers("whois.registry.example", "example.org", "Domain Name: EXAMPLE.ORG\r\nAdmin Email: d@owner.example\r\n");
    let id = order["id"].as_str().unwrap();
    let page = app.page(&format!("{}/admin/orders/{id}?lang=en", app.base)).await.1;
    assert!(page.contains("Look again now"), "{page}");
    let press = async || {
        let request = app.client.post(format!("{}/admin/orders/{id}/look", app.base)).header("origin", &app.base);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(press().await, 303);
    dcvd::app::look_again::look_again_due(&app.app).await.unwrap();
    assert_eq!(app.order(&order).await["mails"][0]["to"], "d@owner.example");
    assert_eq!(press().await, 303, "nothing waits any more, and nothing happens");
}

#[tokio::test]
async fn the_choice_may_have_to_wait_for_the_look_up() {
    let app = TestApp::with_profiles(PROFILES).await;
    let refused = app.post("/v1/orders", &body("after", &json!(["admin@example.jp"]))).await;
    assert!(refused.1["detail"].as_str().unwrap().contains("after the look-up"), "{}", refused.1);
    let mut with_notify = body("after", &Value::Null);
    with_notify["notify"] = json!(["staff@reseller.example"]);
    let order = app.place(&with_notify).await;
    let path = format!("/v1/orders/{}/approvers", order["id"].as_str().unwrap());
    assert_eq!(app.post(&path, &json!({"approvers": ["admin@example.jp"]})).await.0, 202);
    app.run_jobs().await;
    assert!(app.notices().contains(&("heads-up".to_owned(), "staff@reseller.example".to_owned())), "told once somebody is asked");
}

#[tokio::test]
async fn contacts_at_privacy_services_are_as_the_profile_says() {
    let app = TestApp::with_profiles(PROFILES).await;
    app.whois.answers("whois.iana.org", "org", "refer: whois.registry.example\n\ndomain: ORG\n");
    let answer = "Domain Name: EXAMPLE.ORG\r\nAdmin Email: x@domainsbyproxy.com\r\n";
    app.whois.answers("whois.registry.example", "example.org", answer);
    let contact = async |profile: &str| {
        let listing = app.get(&format!("/v1/approvers?name=example.org&profile={profile}")).await.1;
        listing["approvers"].as_array().unwrap().iter().find(|one| one["source"] == "whois").cloned()
    };
    let refused = contact("standard").await.unwrap();
    assert_eq!((&refused["usable"], &refused["reason"]), (&json!(false), &json!("privacy-proxy")));
    let warned = contact("proxies").await.unwrap();
    assert_eq!((&warned["usable"], &warned["reason"]), (&json!(true), &json!("privacy-proxy")));
    let allowed = contact("allowed").await.unwrap();
    assert!(allowed["usable"] == true && allowed["reason"].is_null(), "{allowed}");
    assert_eq!(contact("excluded").await, None, "that field never counts");
}

async fn notices_of_the_end_come_once_each(app: TestApp) {
    let mut order = body("standard", &json!(["admin@example.jp"]));
    order["notify"] = json!(["staff@reseller.example"]);
    let order = app.place(&order).await;
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    let path = format!("/v1/orders/{}/certificates", order["id"].as_str().unwrap());
    let certificate = json!({"serial": "01", "names": ["www.example.jp"], "not_before": "2026-11-22T00:00:00Z", "not_after": "2027-03-02T00:00:00Z"});
    assert_eq!(app.post(&path, &certificate).await.0, 201);
    let told = || app.notices().into_iter().filter(|(kind, _)| kind == "renewal").count();
    app.clock.advance(Duration::from_secs(64 * 86_400));
    app.run_jobs().await;
    assert_eq!(told(), 0);
    app.clock.advance(Duration::from_secs(86_400));
    app.run_jobs().await;
    app.run_jobs().await;
    assert_eq!(told(), 1, "35 days before");
    let notice = app.inbox.arrived().pop().unwrap();
    assert!(
        notice.subject().contains("更新のお知らせ") && notice.text().contains("有効期限までにお申し込みください"),
        "{}",
        notice.text()
    );
    app.clock.advance(Duration::from_secs(5 * 86_400));
    app.run_jobs().await;
    assert_eq!(told(), 2);
    let created = app.hooks.taken("order.created").len();
    app.clock.advance(Duration::from_secs(40 * 86_400));
    app.run_jobs().await;
    assert_eq!((told(), app.hooks.taken("order.created").len()), (2, created), "nobody places an order in silence");
}
