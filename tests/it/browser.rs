//! The owner's pages in a real browser: every state is walked to, on a phone and on a desk, and none is inaccessible.

use std::time::Duration;

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::browser::Browser;

const SCOPES: &str = "extends = \"standard\"\npage.confirm = \"code\"\npage.signer = \"required\"\n\
                      page.scope_options = [\"fqdn\", \"base\", \"order\"]\n";

async fn link(app: &TestApp, order_ref: &str, profile: &str) -> String {
    let body = json!({
        "order_ref": order_ref, "profile": profile, "names": ["www.日本語.jp", "*.日本語.jp"], "approvers": ["admin@日本語.jp"],
        "applicant": {"organization": "株式会社サンプル"}, "requester": "サンプルホスティング株式会社", "product": "OV 1年", "kind": "new",
    });
    app.place(&body).await;
    app.run_jobs().await;
    app.clock.advance(Duration::from_secs(60));
    app.approval_mails().into_iter().rfind(|mail| mail.subject().contains("日本語")).unwrap().link().unwrap()
}

/// The page has the heading and nothing wrong.
async fn is_fine(browser: &Browser, heading: &str) {
    assert_eq!(browser.heading().await, heading);
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{heading}: {complaints:#?}");
}

#[tokio::test]
async fn on_a_phone_in_japanese_an_owner_approves_with_a_code() {
    let app = TestApp::with_profiles(&[("scopes", SCOPES)]).await;
    let link = link(&app, "A-1", "scopes").await;
    let code =
        app.last_mail().text().lines().find_map(|line| line.trim().strip_prefix("確認コード  ").map(str::to_owned)).unwrap();
    let browser = Browser::start(360, "ja").await;
    browser.open(&link).await;
    is_fine(&browser, "このドメイン名の使用を承認しますか").await;
    // Enter in a field answers nothing: the form comes anew.
    browser.enter_and_send("#signer", "山田 太郎").await;
    is_fine(&browser, "このドメイン名の使用を承認しますか").await;
    browser.press("button[value=approve]").await;
    is_fine(&browser, "このドメイン名の使用を承認しますか").await;
    assert!(browser.client.source().await.unwrap().contains("承認範囲を一つお選びください"), "what is missing is told");
    browser.tick("input[value=fqdn]").await;
    browser.tick("#authority").await;
    browser.enter("#code", "0000 0000").await;
    browser.press("button[value=approve]").await;
    assert!(browser.client.source().await.unwrap().contains("確認コードが違います"));
    browser.enter("#code", &code).await;
    browser.press("button[value=approve]").await;
    is_fine(&browser, "承認を受け付けました").await;
    let receipt = browser.client.source().await.unwrap();
    assert!(receipt.contains("山田 太郎") && receipt.contains("上の名前に限り"), "{receipt}");
    browser.client.refresh().await.unwrap();
    assert_eq!(browser.heading().await, "承認を受け付けました", "a reload asks nothing");
    browser.open(&link).await;
    is_fine(&browser, "承認の手続きは完了しています").await;
    let told = async || {
        app.run_jobs().await;
        app.hooks.taken("validation.approved").len()
    };
    assert_eq!(told().await, 2, "one for each name");
}

#[tokio::test]
async fn on_a_desk_in_english_an_owner_refuses_and_reports() {
    let app = TestApp::sqlite().await;
    let browser = Browser::start(1200, "en-US").await;
    for (order_ref, button, heading) in
        [("A-1", "reject", "Refusal received"), ("A-2", "report", "Your report has been received")]
    {
        let link = link(&app, order_ref, "standard").await;
        browser.open(&link).await;
        is_fine(&browser, "Do you approve the use of this domain name?").await;
        browser.press(&format!("button[value={button}]")).await;
        is_fine(&browser, heading).await;
    }
    // The switch at the top.
    browser.press("a[hreflang=ja]").await;
    is_fine(&browser, "お知らせを受け付けています").await;
}

#[tokio::test]
async fn of_two_tabs_one_answers_and_the_other_is_told_calmly() {
    let app = TestApp::sqlite().await;
    let link = link(&app, "A-1", "standard").await;
    let browser = Browser::start(1200, "ja").await;
    browser.open(&link).await;
    browser.tick("#authority").await;
    let first = browser.client.window().await.unwrap();
    let second = browser.client.new_window(true).await.unwrap();
    browser.client.switch_to_window(second.handle).await.unwrap();
    browser.open(&link).await;
    browser.press("button[value=reject]").await;
    assert_eq!(browser.heading().await, "承認しない旨を受け付けました");
    browser.client.switch_to_window(first).await.unwrap();
    browser.press("button[value=approve]").await;
    is_fine(&browser, "先に手続きが完了しました").await;
    app.run_jobs().await;
    assert_eq!((app.hooks.taken("validation.rejected").len(), app.hooks.taken("validation.approved").len()), (2, 0));
}

#[tokio::test]
async fn every_other_page_is_accessible_too() {
    let app = TestApp::sqlite().await;
    let browser = Browser::start(360, "ja").await;
    browser.open(&format!("{}/enter", app.base)).await;
    is_fine(&browser, "確認メールのURLを開く").await;
    browser.enter("#link", "https://dcv.example.net/approve/AQ").await;
    browser.press("button[type=submit]").await;
    is_fine(&browser, "確認メールのURLを開く").await;
    browser.open(&format!("{}/about-mail", app.base)).await;
    is_fine(&browser, "本物のメールの見分け方").await;
    browser.open(&format!("{}/approve/forged", app.base)).await;
    is_fine(&browser, "URLを確認できません").await;
    let old = link(&app, "A-1", "standard").await;
    assert_eq!(app.approve(&old).await.0, 303);
    app.run_jobs().await;
    let receipt = app.inbox.arrived().into_iter().find(|mail| mail.link().is_none()).unwrap().text();
    browser.open(receipt.lines().find(|line| line.contains("/dispute/")).unwrap()).await;
    is_fine(&browser, "この承認に覚えがありませんか").await;
    browser.press("button.reject").await;
    is_fine(&browser, "この承認に覚えがありませんか").await;
    browser.tick("#sure").await;
    browser.press("button.reject").await;
    is_fine(&browser, "異議を受け付けています").await;
    let order = app.place_plain("A-2").await;
    app.run_jobs().await;
    let superseded = app.last_link();
    let path = format!("/v1/orders/{}/approvers", order["id"].as_str().unwrap());
    assert_eq!(app.post(&path, &json!({"approvers": ["webmaster@example.co.jp"]})).await.0, 202);
    app.run_jobs().await;
    browser.open(&superseded).await;
    is_fine(&browser, "新しい確認メールをお送りしています").await;
    let expiring =
        app.approval_mails().into_iter().find(|mail| mail.rcpt_to == ["webmaster@example.co.jp"]).unwrap().link().unwrap();
    app.clock.advance(Duration::from_secs(27 * 86_400));
    app.run_jobs().await;
    browser.open(&expiring).await;
    is_fine(&browser, "お手続き期限を過ぎています").await;
    app.app.store.close().await;
    browser.open(&expiring).await;
    is_fine(&browser, "ただいま受け付けを停止しています").await;
}

#[tokio::test]
async fn the_rarer_states_are_accessible_too() {
    let address = "extends = \"standard\"\npage.confirm = \"address\"\n";
    let app = TestApp::with_profiles(&[("address", address), ("scopes", SCOPES)]).await;
    let browser = Browser::start(360, "en").await;
    // The receiving address, typed again.
    let asks = link(&app, "A-1", "address").await;
    browser.open(&asks).await;
    is_fine(&browser, "Do you approve the use of this domain name?").await;
    browser.tick("#authority").await;
    browser.enter("#code", "nobody@日本語.jp").await;
    browser.press("button[value=approve]").await;
    assert!(browser.client.source().await.unwrap().contains("The e-mail went to another address"));
    browser.enter("#code", "admin@日本語.jp").await;
    browser.press("button[value=approve]").await;
    is_fine(&browser, "Approval received").await;
    // A pause after many wrong codes keeps what was typed.
    let codes = link(&app, "A-2", "scopes").await;
    browser.open(&codes).await;
    for _ in 0..6 {
        browser.tick("input[value=fqdn]").await;
        browser.enter("#code", "00000000").await;
        browser.press("button[value=approve]").await;
    }
    is_fine(&browser, "Do you approve the use of this domain name?").await;
    let page = browser.client.source().await.unwrap();
    assert!(page.contains("Please try again shortly"), "{page}");
    // The order is withdrawn.
    let (_, orders) = app.get("/v1/orders?order_ref=A-2").await;
    let cancel = format!("/v1/orders/{}/cancel", orders["orders"][0]["id"].as_str().unwrap());
    assert_eq!(app.post(&cancel, &json!({"reason": "no longer wanted"})).await.0, 200);
    browser.open(&codes).await;
    is_fine(&browser, "The request was withdrawn").await;
    // Somebody else decided one of two names.
    let body = json!({
        "order_ref": "A-3", "names": ["a.example.jp", "b.example.jp"],
        "approvers": [{"email": "admin@example.jp"}, {"email": "admin@b.example.jp", "names": ["b.example.jp"]}],
    });
    app.place(&body).await;
    app.run_jobs().await;
    let mails = app.approval_mails();
    let to = |recipient: &str| mails.iter().rfind(|mail| mail.rcpt_to == [recipient]).unwrap().link().unwrap();
    assert_eq!(app.approve(&to("admin@b.example.jp")).await.0, 303);
    browser.open(&to("admin@example.jp")).await;
    is_fine(&browser, "Remaining names to confirm").await;
}

const CAREFUL: &str = "extends = \"standard\"\naddresses.sources = [\"constructed\"]\npage.access_pin = \"required\"\npage.review_step = true\n\
                       page.reason = \"required_on_reject\"\ndecision.quorum = 2\n";

#[tokio::test]
async fn a_careful_services_pages_are_accessible_too() {
    let app = TestApp::with_profiles(&[("careful", CAREFUL)]).await;
    let two = ["admin@example.jp", "webmaster@example.jp"];
    let body = json!({"order_ref": "A-1", "profile": "careful", "names": ["www.example.jp"], "approvers": two});
    let order = app.place(&body).await;
    app.run_jobs().await;
    let mail = &order["mails"][0];
    let path = format!("/v1/orders/{}/mails/{}/pin", order["id"].as_str().unwrap(), mail["id"].as_str().unwrap());
    let pin = app.get(&path).await.1["pin"].as_str().unwrap().to_owned();
    let to = mail["to"].as_str().unwrap();
    let link = app.approval_mails().into_iter().find(|mail| mail.rcpt_to == [to]).unwrap().link().unwrap();
    let browser = Browser::start(360, "ja").await;
    browser.open(&link).await;
    browser.press("button[value=reject]").await;
    is_fine(&browser, "このドメイン名の使用を承認しますか").await;
    assert!(browser.client.source().await.unwrap().contains("承認されない理由をご記入ください"));
    browser.tick("#authority").await;
    browser.enter("#signer", "山田 太郎").await;
    browser.enter("#pin", &pin).await;
    browser.press("button[value=approve]").await;
    is_fine(&browser, "次の内容で承認します。よろしいですか").await;
    browser.press("button[value=edit]").await;
    is_fine(&browser, "このドメイン名の使用を承認しますか").await;
    browser.enter("#pin", &pin).await;
    browser.press("button[value=approve]").await;
    browser.press("button[value=approve]").await;
    is_fine(&browser, "承認を受け付けています").await;
    assert!(browser.client.source().await.unwrap().contains("2 名の承認が必要です"));
}

#[tokio::test]
async fn the_mail_is_readable_on_a_phone_and_on_a_desk() {
    let app = TestApp::sqlite().await;
    link(&app, "A-1", "standard").await;
    let raw = app.last_mail().raw;
    let html = mail_parser::MessageParser::new().parse(&raw).unwrap().body_html(0).unwrap().into_owned();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mail.html");
    std::fs::write(&file, html).unwrap();
    for width in [360, 1200] {
        let browser = Browser::start(width, "ja").await;
        browser.open(&format!("file://{}", file.display())).await;
        let fits = browser.client.execute("return document.documentElement.scrollWidth <= window.innerWidth", Vec::new()).await;
        assert_eq!(fits.unwrap(), json!(true), "nobody scrolls sideways at {width}");
        let complaints = browser.complaints().await;
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}
