//! The approve page: it changes nothing when looked at, takes a deliberate act, and lets one answer win.

use std::time::Duration;

use dcvd::dcv::id::OrderId;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::on_both;

on_both!(
    an_approval_takes_a_post_and_is_told_with_its_evidence,
    of_many_answers_at_once_one_wins,
    of_two_links_to_one_name_one_decides,
    an_answer_and_the_deadline_at_once_decide_once,
    a_refusal_and_a_report_are_told_apart,
    a_link_expires_after_26_days_and_says_so,
    pressing_the_defaults_approves_nothing,
    a_receipts_holder_may_dispute_once,
);

async fn sent(app: &TestApp) -> (serde_json::Value, String) {
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    (order, app.last_link())
}

async fn an_approval_takes_a_post_and_is_told_with_its_evidence(app: TestApp) {
    let (order, link) = sent(&app).await;
    app.clock.advance(Duration::from_secs(3600));
    let (status, page) = app.page(&link).await;
    assert_eq!(status, 200);
    for told in
        ["www.example.co.jp", "このドメイン名の使用を承認しますか", "2026年12月18日 09:00(日本時間)", "admin@example.co.jp"]
    {
        assert!(page.contains(told), "{told}");
    }
    assert_eq!(app.approve(&link).await.0, 303);
    let (status, receipt) = app.page(&link).await;
    assert_eq!(status, 200);
    assert!(receipt.contains("承認の手続きは完了しています") && !receipt.contains("<form"));
    let again = async |decision| app.send_form(&link, &[("decision", decision), ("authority", "yes")]).await;
    let (status, page) = again("approve").await;
    assert!(status == 409 && page.contains("承認の手続きは完了しています"), "a double click sees the receipt");
    let (status, page) = again("reject").await;
    assert!(status == 409 && page.contains("先に手続きが完了しました") && page.contains("採用されていません"));

    let after = app.order(&order).await;
    assert_eq!(after["state"], "completed");
    let validation = &after["validations"][0];
    assert_eq!((validation["state"].as_str(), validation["method"].as_str()), (Some("approved"), Some("3.2.2.4.4")));
    assert_eq!(validation["scope"], "order");
    assert_eq!(validation["approved_at"], "2026-11-22T01:00:00Z");
    assert_eq!(validation["reusable_until"], "2027-03-15T00:00:00Z");
    assert_eq!(after["mails"][0]["state"], "answered");
    app.run_jobs().await;
    assert_eq!(app.event_types(&order).await, ["order.created", "mail.sent", "validation.approved", "order.completed"]);
    let data = app.hooks.taken("validation.approved")[0].body["data"].clone();
    for (member, value) in [
        ("order_ref", json!("A-1")),
        ("name", json!("www.example.co.jp")),
        ("adn", json!("example.co.jp")),
        ("approver", json!("admin@example.co.jp")),
        ("source", json!("constructed")),
        ("method", json!("3.2.2.4.4")),
        ("br_version", json!("2.2.6")),
        ("scope", json!("order")),
        ("signer", json!("試験 太郎")),
        ("initiated_at", json!("2026-11-22T00:00:00Z")),
        ("approved_at", json!("2026-11-22T01:00:00Z")),
        ("reusable_until", json!("2027-03-15T00:00:00Z")),
        ("compliance", json!("record")),
        ("proves", json!({"names": ["www.example.co.jp"], "domain": null, "this_order_only": true})),
        ("seq", json!(3)),
    ] {
        assert_eq!(data[member], value, "{member}");
    }
    let answers = app.app.store.answers(OrderId::parse(order["id"].as_str().unwrap()).unwrap()).await.unwrap();
    assert_eq!((answers.len(), answers[0].won, answers[0].peer.as_str()), (1, 1, "127.0.0.1"));
}

async fn of_many_answers_at_once_one_wins(app: TestApp) {
    let (order, link) = sent(&app).await;
    let nonce = app.nonce(&link).await;
    let answers = (0..8).map(|n| {
        let (app, link, nonce) = (&app, &link, &nonce);
        async move {
            let decision = if n % 2 == 0 { "approve" } else { "reject" };
            app.send_form(link, &[("decision", decision), ("authority", "yes"), ("nonce", nonce)]).await
        }
    });
    let statuses: Vec<u16> = join_all(answers).await.into_iter().map(|(status, _)| status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "the others see a calm page: {statuses:?}");
    app.run_jobs().await;
    let decided = app.event_types(&order).await.into_iter().filter(|kind| kind.starts_with("validation.")).count();
    assert_eq!(decided, 1);
}

async fn of_two_links_to_one_name_one_decides(app: TestApp) {
    let order = app
        .place(&json!({"order_ref": "A-1", "names": ["www.example.co.jp"],
                       "approvers": ["admin@example.co.jp", "webmaster@example.co.jp"]}))
        .await;
    app.run_jobs().await;
    let links: Vec<String> = app.inbox.arrived().iter().map(|mail| mail.link().unwrap()).collect();
    let nonces = [app.nonce(&links[0]).await, app.nonce(&links[1]).await];
    let approve = [("decision", "approve"), ("authority", "yes"), ("nonce", nonces[0].as_str())];
    let reject = [("decision", "reject"), ("nonce", nonces[1].as_str())];
    let (one, other) = tokio::join!(app.send_form(&links[0], &approve), app.send_form(&links[1], &reject));
    let mut statuses = [one.0, other.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409]);
    app.run_jobs().await;
    let kinds = app.event_types(&order).await;
    assert_eq!(
        kinds.iter().filter(|kind| kind.starts_with("validation.") && *kind != "validation.disputed").count(),
        1,
        "{kinds:?}"
    );
    assert_eq!(kinds.iter().filter(|kind| *kind == "order.completed").count(), 1, "{kinds:?}");
}

async fn an_answer_and_the_deadline_at_once_decide_once(app: TestApp) {
    let (order, link) = sent(&app).await;
    let nonce = app.nonce(&link).await;
    app.clock.advance(Duration::from_secs(26 * 86_400));
    let form = [("decision", "approve"), ("authority", "yes"), ("nonce", nonce.as_str())];
    let (answered, expired) = tokio::join!(app.send_form(&link, &form), dcvd::app::expire::expire_due(&app.app));
    expired.unwrap();
    assert_eq!(answered.0, 410, "the deadline wins, whichever comes first");
    app.run_jobs().await;
    assert_eq!(app.event_types(&order).await[2..], ["validation.expired", "order.completed"]);
}

async fn a_refusal_and_a_report_are_told_apart(app: TestApp) {
    for (reference, decision, event, heading) in [
        ("A-1", "reject", "validation.rejected", "承認しない旨を受け付けています"),
        ("A-2", "report", "validation.reported", "お知らせを受け付けています"),
    ] {
        let order = app.place_plain(reference).await;
        app.run_jobs().await;
        let link = app.last_link();
        let nonce = app.nonce(&link).await;
        let (status, _) = app.send_form(&link, &[("decision", decision), ("reason", "一行目\n二行目"), ("nonce", &nonce)]).await;
        assert_eq!(status, 303, "neither needs the authority box");
        assert!(app.page(&link).await.1.contains(heading));
        app.run_jobs().await;
        let after = app.order(&order).await;
        assert_eq!(
            (after["validations"][0]["state"].as_str(), after["validations"][0]["answer"].as_str()),
            (Some("rejected"), Some(decision))
        );
        assert_eq!(after["validations"][0]["reusable_until"], json!(null));
        assert!(app.event_types(&order).await.contains(&event.to_owned()));
    }
    assert_eq!(app.hooks.taken("validation.rejected").len(), 1);
    assert_eq!(app.hooks.taken("validation.reported").len(), 1);
}

async fn a_link_expires_after_26_days_and_says_so(app: TestApp) {
    let (order, link) = sent(&app).await;
    app.clock.advance(Duration::from_secs(26 * 86_400 - 1));
    assert_eq!(app.page(&link).await.0, 200);
    let nonce = app.nonce(&link).await;
    app.clock.advance(Duration::from_secs(1));
    // Even before the worker looks at deadlines, a late answer changes nothing.
    let (status, page) = app.send_form(&link, &[("decision", "approve"), ("authority", "yes"), ("nonce", &nonce)]).await;
    assert_eq!(status, 410);
    assert!(page.contains("お手続き期限を過ぎています"));
    app.run_jobs().await;
    assert_eq!(app.page(&link).await.0, 410);
    let after = app.order(&order).await;
    assert_eq!((after["state"].as_str(), after["validations"][0]["state"].as_str()), (Some("completed"), Some("expired")));
    assert_eq!(app.hooks.taken("validation.expired").len(), 1);
    assert_eq!(app.hooks.taken("order.completed")[0].body["data"]["validations"][0]["state"], "expired");
    app.run_jobs().await;
    assert_eq!(app.hooks.taken("validation.expired").len(), 1, "once");
}

#[tokio::test]
async fn looking_changes_nothing_however_often() {
    let app = TestApp::sqlite().await;
    let (order, link) = sent(&app).await;
    let before = app.order(&order).await;
    let first = app.page(&link).await.1;
    for _ in 0..100 {
        let head = app.client.request(Method::HEAD, &link).header("sec-purpose", "prefetch;prerender").send().await.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(app.page(&link).await.1, first, "a view spends nothing");
    }
    // Every link on the page is followed, and every button pressed with the form as it was rendered.
    for href in
        first.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).filter(|href| !href.starts_with("mailto:"))
    {
        let href = href.replace("&#x2f;", "/").replace("&amp;", "&");
        let url = reqwest::Url::parse(&link).unwrap().join(&href).unwrap();
        assert_eq!(app.client.get(url).send().await.unwrap().status(), 200, "{href}");
    }
    let nonce = app.nonce(&link).await;
    for decision in first.split("name=\"decision\" value=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        let form = [("nonce", nonce.as_str()), ("signer", ""), ("reason", ""), ("decision", decision)];
        if matches!(decision, "" | "approve") {
            assert_eq!(app.send_form(&link, &form).await.0, 422, "{decision}");
        }
    }
    assert_eq!(app.order(&order).await, before);
    assert_eq!(app.event_types(&order).await.len(), 2);
}

async fn pressing_the_defaults_approves_nothing(app: TestApp) {
    let (order, link) = sent(&app).await;
    let nonce = app.nonce(&link).await;
    for fields in [
        vec![("decision", "approve"), ("signer", ""), ("reason", ""), ("nonce", nonce.as_str())],
        vec![("decision", "approve"), ("authority", "no"), ("nonce", nonce.as_str())],
        vec![("decision", "approve"), ("authority", "yes")],
        vec![("decision", "approve"), ("authority", "yes"), ("nonce", "wrong")],
        vec![("decision", "approve"), ("authority", "yes"), ("scope", "base"), ("nonce", nonce.as_str())],
        vec![("decision", "approve"), ("authority", "yes"), ("scope", "all"), ("nonce", nonce.as_str())],
        vec![("decision", "approve"), ("authority", "yes"), ("signer", "a\u{0}b"), ("nonce", nonce.as_str())],
        vec![("decision", "maybe"), ("authority", "yes"), ("nonce", nonce.as_str())],
        vec![("nonce", nonce.as_str())],
        vec![],
    ] {
        let (status, page) = app.send_form(&link, &fields).await;
        assert_eq!(status, 422, "{fields:?}");
        assert!(page.contains("入力内容をご確認ください"), "{fields:?}");
    }
    let long = "x".repeat(101);
    let fields = [("decision", "approve"), ("authority", "yes"), ("signer", long.as_str()), ("nonce", nonce.as_str())];
    let (status, page) = app.send_form(&link, &fields).await;
    assert_eq!(status, 422);
    assert!(page.contains(&long), "what was typed is kept");
    let other = app.client.post(&link).header("content-type", "application/json").body("{}").send().await.unwrap();
    assert_eq!(other.status(), 415);
    assert_eq!(app.order(&order).await["validations"][0]["state"], "pending");
    let answers = app.app.store.answers(OrderId::parse(order["id"].as_str().unwrap()).unwrap()).await.unwrap();
    assert!(answers.is_empty(), "a form that is not complete is not even written down");
}

#[tokio::test]
async fn a_wrong_link_is_unknown_and_limits_its_caller_but_no_genuine_link() {
    let app = TestApp::sqlite().await;
    let (_, link) = sent(&app).await;
    let token = link.rsplit('/').next().unwrap();
    let forged: String = token.chars().rev().collect();
    let mut statuses = Vec::new();
    for wrong in ["x", "%00", &forged, &token[..59], &format!("{token}A"), "..%2fadmin", &"a".repeat(5000)] {
        statuses.push(app.page(&format!("{}/approve/{wrong}", app.base)).await.0);
    }
    assert_eq!(statuses, [404, 404, 404, 404, 404, 429, 429]);
    assert_eq!(app.page(&link).await.0, 200, "the holder of a genuine link is never refused");
    assert_eq!(app.approve(&link).await.0, 303);
}

#[tokio::test]
async fn a_forged_link_never_reaches_the_database() {
    let app = TestApp::sqlite().await;
    let (_, link) = sent(&app).await;
    app.app.store.close().await;
    let (base, token) = link.rsplit_once('/').unwrap();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut forged = vec!["A".repeat(60), token[..59].to_owned(), format!("{token}A"), "%FF".to_owned(), String::new()];
    for at in 0..60 {
        // The genuine one with one bit of one character turned.
        let place = alphabet.iter().position(|letter| *letter == token.as_bytes()[at]).unwrap() ^ (1 << (at % 6));
        forged.push(format!("{}{}{}", &token[..at], char::from(alphabet[place]), &token[at + 1..]));
    }
    for (nth, forged) in forged.iter().enumerate() {
        let (status, page) = app.page(&format!("{base}/{forged}")).await;
        assert!(matches!(status, 400 | 404 | 429), "{forged}: {status}, without a database");
        assert!(nth > 0 || page.contains("URLを確認できません"));
    }
    assert_eq!(app.page(&link).await.0, 503, "the genuine one is looked up");
}

#[tokio::test]
async fn the_page_speaks_both_languages_and_guards_itself() {
    let app = TestApp::sqlite().await;
    let (_, link) = sent(&app).await;
    let english = app.page(&format!("{link}?lang=en")).await.1;
    assert!(english.contains("<html lang=\"en\">") && english.contains("Do you approve the use of this domain name?"));
    assert!(english.contains("18 December 2026 09:00 (Japan time, UTC+9)"));
    let by_browser = app.client.get(&link).header("accept-language", "en-US,en;q=0.9").send().await.unwrap();
    let headers = by_browser.headers().clone();
    assert!(by_browser.text().await.unwrap().contains("Do you approve the use of this domain name?"));
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert_eq!(headers["x-robots-tag"], "noindex, nofollow");
    assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    assert!(!english.contains("<script"));
}

#[tokio::test]
async fn what_strangers_write_is_shown_as_text() {
    // What a template would work out, beside markup.
    const WRITTEN: &str = "zz{{7*7}}zz{% raw %}{{ config }}";
    let app = TestApp::sqlite().await;
    let (order_ref, organization) = (format!("<script>1</script>{WRITTEN}"), format!("\"><img src=x onerror=alert(1)>{WRITTEN}"));
    app.place(&json!({"order_ref": order_ref, "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"],
                      "applicant": {"organization": organization}, "requester": WRITTEN, "product": WRITTEN,
                      "notify": ["staff@reseller.example"]}))
        .await;
    app.run_jobs().await;
    let link = app.last_link();
    for lang in ["ja", "en"] {
        let page = app.page(&format!("{link}?lang={lang}")).await.1;
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>") && !page.contains("<img"));
        assert!(page.matches(WRITTEN).count() >= 4 && !page.contains("zz49zz"), "{page}");
    }
    // Without the box it is shown again, with what was typed.
    let nonce = app.nonce(&link).await;
    let form = [("decision", "approve"), ("signer", WRITTEN), ("reason", WRITTEN), ("nonce", nonce.as_str())];
    let (status, page) = app.send_form(&link, &form).await;
    assert!(status == 422 && page.matches(WRITTEN).count() >= 6 && !page.contains("zz49zz"), "{page}");
    let form = [&form[..], &[("authority", "yes")]].concat();
    assert_eq!(app.send_form(&link, &form).await.0, 303);
    app.run_jobs().await;
    // To whoever is asked, and to the ordering side before and after.
    let mails = app.inbox.arrived();
    assert!(mails.len() >= 4, "{}", mails.len());
    for mail in mails {
        let read = mail_parser::MessageParser::new().parse(&mail.raw).unwrap();
        let html = read.body_html(0).unwrap();
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
        for told in [mail.text(), html.into_owned()] {
            assert!(told.contains(WRITTEN) && !told.contains("zz49zz"), "{told}");
        }
        assert!(!mail.subject().contains("zz49zz"), "{}", mail.subject());
    }
}

const SCOPES: &str = "extends = \"standard\"\n[page]\nauthority_check = false\nsigner = \"required\"\nscope_options = [\"fqdn\", \"subtree\", \"base\"]\n";

#[tokio::test]
async fn a_profile_asks_for_scope_and_signer_and_none_wider_than_the_adn() {
    let app = TestApp::with_profiles(&[("scopes", SCOPES)]).await;
    let place = async |reference: &str, email: &str| {
        app.place(&json!({"order_ref": reference, "profile": "scopes", "names": ["www.example.co.jp"], "approvers": [email]}))
            .await;
        app.run_jobs().await;
        app.last_link()
    };
    let link = place("A-1", "admin@www.example.co.jp").await;
    let page = app.page(&link).await.1;
    assert!(page.contains("value=\"subtree\"") && !page.contains("value=\"base\"") && !page.contains("checked"));
    let nonce = app.nonce(&link).await;
    let send = async |link: &str, nonce: &str, scope: &str, signer: &str| {
        app.send_form(link, &[("decision", "approve"), ("scope", scope), ("signer", signer), ("nonce", nonce)]).await.0
    };
    assert_eq!(send(&link, &nonce, "base", "太郎").await, 422, "wider than the ADN");
    assert_eq!(send(&link, &nonce, "fqdn", " ").await, 422, "a signer is needed");
    assert_eq!(send(&link, &nonce, "", "太郎").await, 422, "a scope is needed");
    assert_eq!(send(&link, &nonce, "fqdn", "太郎").await, 303);
    let link = place("A-2", "admin@example.co.jp").await;
    let page = app.page(&link).await.1;
    assert!(page.contains("value=\"base\"") && !page.contains("value=\"subtree\""), "one of two that mean the same");
    app.run_jobs().await;
    assert_eq!(app.hooks.taken("validation.approved")[0].body["data"]["scope"], "fqdn");
}

#[tokio::test]
async fn a_name_that_one_approver_refused_stays_refused_and_the_rest_can_be_answered() {
    let app = TestApp::sqlite().await;
    let order = app
        .place(&json!({"order_ref": "A-1", "names": ["a.example.co.jp", "b.example.co.jp"],
                       "approvers": ["admin@a.example.co.jp", "admin@example.co.jp"]}))
        .await;
    app.run_jobs().await;
    let by_recipient = |to: &str| app.inbox.arrived().into_iter().find(|mail| mail.rcpt_to == [to]).unwrap().link().unwrap();
    let (one, both) = (by_recipient("admin@a.example.co.jp"), by_recipient("admin@example.co.jp"));
    let nonce = app.nonce(&one).await;
    assert_eq!(app.send_form(&one, &[("decision", "reject"), ("nonce", &nonce)]).await.0, 303);
    assert!(app.page(&both).await.1.contains("残りのご確認をお願いします"));
    assert!(app.page(&one).await.1.contains("承認しない旨を受け付けています"));
    assert_eq!(app.approve(&both).await.0, 303);
    assert!(app.page(&both).await.1.contains("承認の手続きは完了しています"), "each receipt tells its own answer");
    assert!(app.page(&one).await.1.contains("承認しない旨を受け付けています"));
    let states: Vec<_> =
        app.order(&order).await["validations"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, [json!("rejected"), json!("approved")]);
}

/// The dispute link of the first receipt that arrived.
fn dispute_link(app: &TestApp) -> String {
    let receipt = app.inbox.arrived().into_iter().find(|mail| mail.link().is_none()).unwrap().text();
    receipt.lines().find(|line| line.contains("/dispute/")).unwrap().to_owned()
}

async fn a_receipts_holder_may_dispute_once(app: TestApp) {
    let (order, link) = sent(&app).await;
    app.clock.advance(Duration::from_secs(3600));
    assert_eq!(app.approve(&link).await.0, 303);
    app.run_jobs().await;
    let dispute = dispute_link(&app);
    let (status, page) = app.page(&dispute).await;
    assert!(status == 200 && page.contains("www.example.co.jp") && page.contains("この承認に覚えがありませんか"), "{page}");
    // Looking, and pressing the button as it stands, change nothing.
    assert_eq!(app.send_form(&dispute, &[]).await.0, 422);
    app.run_jobs().await;
    assert!(app.hooks.taken("validation.disputed").is_empty());
    for _ in 0..2 {
        assert_eq!(app.send_form(&dispute, &[("sure", "yes")]).await.0, 303);
    }
    app.run_jobs().await;
    let told = app.hooks.taken("validation.disputed");
    assert_eq!(told.len(), 1, "once");
    let data = &told[0].body["data"];
    assert_eq!((data["name"].as_str(), data["disputed_by"].as_str()), (Some("www.example.co.jp"), Some("admin@example.co.jp")));
    assert_eq!(data["disputed_at"], "2026-11-22T01:00:00Z");
    assert_eq!(app.order(&order).await["validations"][0]["state"], "approved", "history stays");
    assert!(app.page(&dispute).await.1.contains("異議を受け付けています"));
    let forged = dispute.replace(&dispute[dispute.len() - 5..], "AAAAA");
    assert_eq!(app.page(&forged).await.0, 404);
    assert_eq!(app.page(&format!("{}/dispute/{}", app.base, link.rsplit_once('/').unwrap().1)).await.0, 404, "a link is none");
}

const CODE: &str = "extends = \"standard\"\npage.confirm = \"code\"\npage.authority_check = false\n";

async fn placed_under(app: &TestApp, profile: &str) -> String {
    let body = json!({"order_ref": "A-1", "profile": profile, "names": ["www.example.jp"], "approvers": ["admin@example.jp"]});
    app.place(&body).await;
    app.run_jobs().await;
    app.last_link()
}

#[tokio::test]
async fn a_code_stands_in_the_mail_and_not_in_the_link_and_is_not_guessed() {
    let app = TestApp::with_profiles(&[("code", CODE)]).await;
    let link = placed_under(&app, "code").await;
    let text = app.last_mail().text();
    let code = text.lines().find_map(|line| line.trim().strip_prefix("確認コード  ")).unwrap().to_owned();
    assert_eq!(code.len(), 9, "two groups of four: {code}");
    assert!(!link.contains(&code.replace(' ', "")));
    let (_, page) = app.page(&link).await;
    assert!(page.contains("name=\"code\"") && !page.contains(&code), "the page does not tell it");
    let nonce = app.nonce(&link).await;
    let approve = async |code: &str| app.send_form(&link, &[("decision", "approve"), ("code", code), ("nonce", &nonce)]).await;
    let (status, page) = approve("").await;
    assert!(status == 422 && page.contains("確認コードをご入力ください"));
    for _ in 0..4 {
        let (status, page) = approve("1234 5678").await;
        assert!(status == 422 && page.contains("確認コードが違います"), "{status}");
    }
    assert_eq!(approve(&code).await.0, 303, "the fifth try is the owner's");
    let other = placed_under_again(&app).await;
    let nonce = app.nonce(&other).await;
    let wrong = [("decision", "approve"), ("code", "00000000"), ("nonce", nonce.as_str())];
    let mut statuses = Vec::new();
    for _ in 0..7 {
        statuses.push(app.send_form(&other, &wrong).await.0);
    }
    assert_eq!(statuses, [422, 422, 422, 422, 422, 429, 429], "a pause");
    let typed = [("decision", "approve"), ("code", "00000000"), ("signer", "試験 太郎"), ("nonce", nonce.as_str())];
    let (status, page) = app.send_form(&other, &typed).await;
    assert!(status == 429 && page.contains("value=\"試験 太郎\"") && page.contains("2分ほど"), "what was typed stays: {page}");
    assert_eq!(app.send_form(&other, &[("decision", "reject"), ("nonce", &nonce)]).await.0, 303, "refusing takes no code");
}

async fn placed_under_again(app: &TestApp) -> String {
    let body = json!({"order_ref": "A-2", "profile": "code", "names": ["www.example.com"], "approvers": ["admin@example.com"]});
    app.place(&body).await;
    app.run_jobs().await;
    app.approval_mails().into_iter().find(|mail| mail.rcpt_to == ["admin@example.com"]).unwrap().link().unwrap()
}

#[tokio::test]
async fn the_receiving_address_may_be_what_is_asked_for() {
    let profile = "extends = \"standard\"\npage.confirm = \"address\"\npage.approve_label_ja = \"承認\"\n";
    let app = TestApp::with_profiles(&[("address", profile)]).await;
    let link = placed_under(&app, "address").await;
    assert!(app.page(&link).await.1.contains(">承認</button>"), "the profile's words");
    let nonce = app.nonce(&link).await;
    let approve = async |address: &str| {
        let form = [("decision", "approve"), ("authority", "yes"), ("code", address), ("nonce", nonce.as_str())];
        app.send_form(&link, &form).await.0
    };
    assert_eq!((approve("").await, approve("ceo@example.jp").await, approve("Admin@EXAMPLE.jp").await), (422, 422, 303));
}

#[tokio::test]
async fn a_broken_link_is_entered_and_nothing_else_opens() {
    let app = TestApp::sqlite().await;
    let (_, link) = sent(&app).await;
    let enter = format!("{}/enter", app.base);
    assert!(app.page(&enter).await.1.contains("name=\"link\""));
    let post = async |text: &str| {
        let body = url::form_urlencoded::Serializer::new(String::new()).append_pair("link", text).finish();
        let request = app.client.post(&enter).header("content-type", "application/x-www-form-urlencoded").body(body);
        let answer = request.send().await.unwrap();
        let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        (answer.status().as_u16(), location, answer.text().await.unwrap())
    };
    let (status, location, _) = post(&format!("> {}\n> {}", &link[..40], &link[40..])).await;
    assert!(status == 303 && location.starts_with(&link), "{location}");
    assert!(post(&link[..60]).await.2.contains("URLの一部が欠けています"));
    assert_eq!(post("ord_06h05e7n8m7cf25yex003awh3r").await.0, 422);
    let forged = format!("{}AAAA", &link[..link.len() - 4]);
    assert_eq!(post(&forged).await.0, 404);
    assert_eq!(app.approve(&link).await.0, 303);
    app.run_jobs().await;
    let receipt = dispute_link(&app);
    let (status, location, _) = post(&format!("異議: {}\r\n{}", &receipt[..50], &receipt[50..])).await;
    assert!(status == 303 && location.starts_with(&receipt), "{location}");
    assert!(post(&receipt[..receipt.len() - 3]).await.2.contains("URLの一部が欠けています"));
    assert!(app.page(&format!("{}/about-mail?lang=en", app.base)).await.1.contains("dcv@dcv.example.net"));
}

#[tokio::test]
async fn an_answer_like_a_scanners_counts_and_is_marked() {
    let app = TestApp::sqlite().await;
    let (quick, link) = sent(&app).await;
    assert_eq!(app.approve(&link).await.0, 303);
    assert!(app.event_types(&quick).await.contains(&"answer.marked".to_owned()));
    let mut links = Vec::new();
    for n in 0..24 {
        app.place_plain(&format!("B-{n}")).await;
    }
    app.run_jobs().await;
    app.clock.advance(Duration::from_secs(3600));
    links.extend(app.approval_mails().iter().skip(1).map(|mail| mail.link().unwrap()));
    let calm = links.pop().unwrap();
    for link in &links {
        app.page(link).await;
    }
    assert_eq!(app.approve(&calm).await.0, 303, "never refused for it");
    let (_, orders) = app.get("/v1/orders?state=completed").await;
    let mut marks = Vec::new();
    for order in orders["orders"].as_array().unwrap() {
        let (_, timeline) = app.get(&format!("/v1/orders/{}/events", order["id"].as_str().unwrap())).await;
        let marked = timeline["events"].as_array().unwrap().iter().filter(|event| event["type"] == "answer.marked");
        marks.extend(marked.map(|event| event["data"]["marks"].clone()));
    }
    marks.sort_by_key(ToString::to_string);
    assert_eq!(marks, [json!(["opened-many-links"]), json!(["seconds-after-sending"])]);
    let marked = app.hooks.received().into_iter().any(|hook| hook.kind() == "answer.marked");
    assert!(!marked, "the ordering system is not told");
}

#[tokio::test]
async fn only_whoever_answered_sees_the_signers_name() {
    let app = TestApp::sqlite().await;
    let (_, link) = sent(&app).await;
    let nonce = app.nonce(&link).await;
    let form = [("decision", "approve"), ("authority", "yes"), ("signer", "試験 太郎"), ("nonce", nonce.as_str())];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = app.client.post(&link).header("content-type", "application/x-www-form-urlencoded").body(body);
    let answer = request.send().await.unwrap();
    let receipt = answer.headers()["location"].to_str().unwrap().to_owned();
    let page = app.page(&receipt).await.1;
    assert!(page.contains("試験 太郎"));
    let tag = receipt.split_once('?').unwrap().1;
    assert!(page.contains(&format!("href=\"?{tag}&amp;lang=en\"")), "switching the language keeps the receipt: {page}");
    assert!(app.page(&format!("{receipt}&lang=en")).await.1.contains("Approval received"));
    for other in [link.clone(), receipt.replace("receipt=", "receipt=x")] {
        let page = app.page(&other).await.1;
        assert!(!page.contains("試験 太郎") && page.contains("この申請に限り"), "{page}");
    }
}

#[tokio::test]
async fn what_a_layer_refuses_is_a_page_for_whoever_uses_a_browser() {
    let app = TestApp::sqlite().await;
    let (_, link) = sent(&app).await;
    let large = vec![b'a'; 3 * 1024 * 1024];
    for (request, status) in [
        (app.client.post(&link).header("content-type", "application/x-www-form-urlencoded").body(large), 413),
        (app.client.post(&link).header("content-type", "application/json").body("{}"), 415),
        (app.client.put(&link), 405),
    ] {
        let answer = request.header("accept-language", "en").send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
            (status, "text/html; charset=utf-8")
        );
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        let text = answer.text().await.unwrap();
        assert!(text.contains("Nothing was decided") && policy.contains("default-src 'none'"), "{text}");
    }
    assert_eq!(app.approve(&link).await.0, 303);
}

#[tokio::test]
async fn a_database_that_is_away_gives_a_page_that_says_so() {
    let app = TestApp::sqlite().await;
    let (_, link) = sent(&app).await;
    app.app.store.close().await;
    let answer = app.client.get(&link).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "120"));
    assert!(answer.text().await.unwrap().contains("ただいま受け付けを停止しています"));
}

const VETO: &str =
    "extends = \"standard\"\ndecision.policy = \"reject_vetoes\"\ndecision.veto_for = \"24h\"\nreminders.mode = \"off\"\n";

/// Two people are asked for one name under a profile by which a refusal vetoes: the order, and their links.
async fn two_are_asked(app: &TestApp) -> (serde_json::Value, [String; 2]) {
    these_are_asked(app, ["admin@example.jp", "webmaster@example.jp"], &[]).await
}

/// As [`two_are_asked`]: these, and others get notices.
async fn these_are_asked(app: &TestApp, both: [&str; 2], notify: &[&str]) -> (serde_json::Value, [String; 2]) {
    let order = app
        .place(&json!({
            "order_ref": "A-1", "profile": "veto", "names": ["www.example.jp"], "approvers": both, "notify": notify,
        }))
        .await;
    app.run_jobs().await;
    app.clock.advance(Duration::from_secs(60));
    let link = |to: &str| app.approval_mails().into_iter().find(|mail| mail.rcpt_to == [to]).unwrap().link().unwrap();
    (order, both.map(link))
}

async fn state_of(app: &TestApp, order: &serde_json::Value) -> String {
    app.run_jobs().await;
    app.order(order).await["validations"][0]["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn where_refusals_veto_an_approval_waits_and_then_counts() {
    let app = TestApp::with_profiles(&[("veto", VETO)]).await;
    let (order, [first, second]) = two_are_asked(&app).await;
    assert_eq!(app.approve(&first).await.0, 303);
    assert_eq!(state_of(&app, &order).await, "pending");
    let (status, page) = app.page(&first).await;
    assert!(status == 200 && page.contains("承認を受け付けています") && page.contains("2026年11月23日 09:01"), "{page}");
    assert_eq!(app.page(&second).await.0, 200, "the other may still answer");
    app.clock.advance(Duration::from_secs(86_399));
    assert_eq!(state_of(&app, &order).await, "pending");
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(state_of(&app, &order).await, "approved");
    let told = app.hooks.taken("validation.approved");
    assert_eq!((told.len(), told[0].body["data"]["approver"].as_str()), (1, Some("admin@example.jp")));
    assert_eq!(told[0].body["data"]["signer"], "試験 太郎");
    assert_eq!(app.order(&order).await["state"], "completed");
    assert!(app.page(&second).await.1.contains("承認の手続きは完了しています"));
}

#[tokio::test]
async fn a_refusal_vetoes_a_waiting_approval_and_a_second_approval_ends_the_wait() {
    for (decision, state) in [("reject", "rejected"), ("report", "rejected"), ("approve", "approved")] {
        let app = TestApp::with_profiles(&[("veto", VETO)]).await;
        let (order, [first, second]) = two_are_asked(&app).await;
        assert_eq!(app.approve(&first).await.0, 303);
        let nonce = app.nonce(&second).await;
        let form = [("decision", decision), ("authority", "yes"), ("nonce", nonce.as_str())];
        assert_eq!(app.send_form(&second, &form).await.0, 303);
        assert_eq!(state_of(&app, &order).await, state, "{decision}");
        let events: Vec<_> = app.event_types(&order).await.into_iter().filter(|kind| kind.starts_with("validation.")).collect();
        assert_eq!(events.len(), 1, "{events:?}");
        app.clock.advance(Duration::from_secs(2 * 86_400));
        assert_eq!(state_of(&app, &order).await, state, "and stays");
    }
}

#[tokio::test]
async fn an_approval_that_waits_past_its_methods_last_day_counts_no_more() {
    for (compliance, state) in [("enforce", "expired"), ("record", "approved")] {
        let app = TestApp::with_profiles(&[("veto", &format!("{VETO}compliance = \"{compliance}\"\n"))]).await;
        let last_day = dcvd::dcv::timestamp::Timestamp::parse_rfc3339("2028-03-14T12:00:00Z").unwrap();
        app.clock.advance(last_day.since(crate::support::fakes::START));
        let both = ["admin@example.jp", "webmaster@example.jp"];
        let (order, [first, _]) = these_are_asked(&app, both, &["staff@reseller.example"]).await;
        assert_eq!(app.approve(&first).await.0, 303);
        assert_eq!(state_of(&app, &order).await, "pending");
        assert_eq!(expiry_notices(&app), 0);
        app.clock.advance(Duration::from_secs(86_400));
        assert_eq!(state_of(&app, &order).await, state, "{compliance}");
        assert_eq!(app.hooks.taken(&format!("validation.{state}")).len(), 1);
        assert_eq!(expiry_notices(&app), usize::from(state == "expired"), "whoever waits for it is told");
        let shown = app.order(&order).await["validations"][0].clone();
        assert!(shown["reusable_until"].is_null(), "{shown}");
        assert_eq!(shown["method"].is_null(), state == "expired", "{shown}");
    }
}

fn expiry_notices(app: &TestApp) -> usize {
    app.notices().iter().filter(|(kind, to)| kind == "expired" && to == "staff@reseller.example").count()
}

#[tokio::test]
async fn a_second_approval_counts_by_itself_where_the_first_waited_past_its_methods_last_day() {
    let app = TestApp::with_profiles(&[("veto", &format!("{VETO}compliance = \"enforce\"\n"))]).await;
    // The last day of registration contacts.
    let last_day = dcvd::dcv::timestamp::Timestamp::parse_rfc3339("2025-07-14T12:00:00Z").unwrap();
    app.clock.go_back(crate::support::fakes::START.since(last_day));
    app.whois.answers("whois.iana.org", "jp", "refer: whois.jprs.jp\n\ndomain: JP\n");
    let answer = "Domain Information: [ドメイン情報]\n[Domain Name]                   EXAMPLE.JP\n\n\
                  Contact Information: [公開連絡窓口]\n[名前]                          Taro\n[Email]                         c@owner.example\n";
    app.whois.answers("whois.jprs.jp", "example.jp/e", answer);
    let both = ["c@owner.example", "admin@example.jp"];
    let (order, [first, second]) = these_are_asked(&app, both, &["staff@reseller.example"]).await;
    assert_eq!(app.approve(&first).await.0, 303);
    assert_eq!(state_of(&app, &order).await, "pending");
    app.clock.advance(Duration::from_secs(13 * 3600));
    assert_eq!(app.approve(&second).await.0, 303);
    assert_eq!(state_of(&app, &order).await, "approved");
    let told = app.hooks.taken("validation.approved");
    assert_eq!((told.len(), told[0].body["data"]["approver"].as_str()), (1, Some("admin@example.jp")));
    assert_eq!((app.hooks.taken("validation.expired").len(), expiry_notices(&app)), (0, 0));
}

#[tokio::test]
async fn an_approval_that_waits_ends_with_whoever_is_replaced() {
    let app = TestApp::with_profiles(&[("veto", VETO)]).await;
    let (order, [first, _]) = two_are_asked(&app).await;
    assert_eq!(app.approve(&first).await.0, 303);
    let path = format!("/v1/orders/{}/approvers", order["id"].as_str().unwrap());
    assert_eq!(app.post(&path, &json!({"approvers": ["hostmaster@example.jp"]})).await.0, 202);
    app.clock.advance(Duration::from_secs(2 * 86_400));
    assert_eq!(state_of(&app, &order).await, "pending");
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    assert_eq!(state_of(&app, &order).await, "approved");
    let told = app.hooks.taken("validation.approved");
    assert_eq!((told.len(), told[0].body["data"]["approver"].as_str()), (1, Some("hostmaster@example.jp")));
}

#[tokio::test]
async fn an_approval_that_waits_outlives_the_others_deadline() {
    let app = TestApp::with_profiles(&[("veto", VETO)]).await;
    let (order, [first, _]) = two_are_asked(&app).await;
    app.clock.advance(Duration::from_secs(26 * 86_400 - 3600));
    assert_eq!(app.approve(&first).await.0, 303);
    assert_eq!(state_of(&app, &order).await, "pending");
    app.clock.advance(Duration::from_secs(3600));
    assert_eq!(state_of(&app, &order).await, "approved", "nobody is left who could refuse");
    assert!(app.hooks.taken("validation.expired").is_empty());
}

#[tokio::test]
async fn an_approval_that_waits_may_be_disputed_and_one_that_was_vetoed_need_not() {
    for vetoed in [false, true] {
        let app = TestApp::with_profiles(&[("veto", VETO)]).await;
        let (order, [first, second]) = two_are_asked(&app).await;
        assert_eq!(app.approve(&first).await.0, 303);
        assert_eq!(state_of(&app, &order).await, "pending");
        let receipt = app.inbox.arrived().into_iter().find(|mail| mail.link().is_none()).unwrap().text();
        let dispute = receipt.lines().find(|line| line.contains("/dispute/")).unwrap().to_owned();
        if vetoed {
            let nonce = app.nonce(&second).await;
            assert_eq!(app.send_form(&second, &[("decision", "reject"), ("nonce", &nonce)]).await.0, 303);
        }
        assert_eq!(app.send_form(&dispute, &[("sure", "yes")]).await.0, 303);
        assert_eq!(state_of(&app, &order).await, if vetoed { "rejected" } else { "pending" });
        let told = app.hooks.taken("validation.disputed");
        assert_eq!(told.len(), usize::from(!vetoed), "{told:?}");
        assert!(told.iter().all(|one| one.body["data"]["state"] == "pending"), "{told:?}");
        let heading = if vetoed { "この承認は有効ではありません" } else { "異議を受け付けています" };
        assert!(app.page(&dispute).await.1.contains(heading));
    }
}

#[tokio::test]
async fn a_refusal_after_somebody_elses_approval_is_told_as_an_objection() {
    let app = TestApp::sqlite().await;
    let both = ["admin@example.jp", "webmaster@example.jp"];
    let body = json!({"order_ref": "A-1", "names": ["www.example.jp"], "approvers": both, "notify": ["staff@reseller.example"]});
    let order = app.place(&body).await;
    app.run_jobs().await;
    app.clock.advance(Duration::from_secs(60));
    let link = |to: &str| app.approval_mails().into_iter().find(|mail| mail.rcpt_to == [to]).unwrap().link().unwrap();
    let (first, second) = (link(both[0]), link(both[1]));
    let nonce = app.nonce(&second).await;
    assert_eq!(app.approve(&first).await.0, 303);
    for _ in 0..2 {
        let (status, page) = app.send_form(&second, &[("decision", "report"), ("nonce", &nonce)]).await;
        assert!(status == 409 && page.contains("異議として申請の窓口に知らせました"), "{page}");
    }
    app.run_jobs().await;
    let told = app.hooks.taken("validation.disputed");
    assert_eq!((told.len(), told[0].body["data"]["disputed_by"].as_str()), (1, Some("webmaster@example.jp")));
    assert_eq!(app.order(&order).await["validations"][0]["state"], "approved");
    let mut heard: Vec<_> = app.notices().into_iter().filter(|(kind, _)| kind == "disputed").map(|(_, to)| to).collect();
    heard.sort();
    assert_eq!(heard, ["operators@dcv.example.net", "staff@reseller.example"]);
    let answers = app.app.store.answers(OrderId::parse(order["id"].as_str().unwrap()).unwrap()).await.unwrap();
    assert_eq!(answers.len(), 2, "the approval and one objection, however often it was pressed");
}

#[tokio::test]
async fn a_receipt_tells_nobody_of_names_they_were_not_asked_for() {
    let app = TestApp::sqlite().await;
    let body = json!({"order_ref": "A-1", "names": ["a.example.co.jp", "b.example.co.jp"], "approvers": [
        {"email": "admin@example.co.jp", "adn": "example.co.jp"},
        {"email": "admin@a.example.co.jp", "adn": "a.example.co.jp", "names": ["a.example.co.jp"]}]});
    app.place(&body).await;
    app.run_jobs().await;
    let link = app.approval_mails().into_iter().find(|mail| mail.rcpt_to == ["admin@example.co.jp"]).unwrap().link().unwrap();
    assert_eq!(app.approve(&link).await.0, 303);
    app.run_jobs().await;
    let receipt =
        |to: &str| app.inbox.arrived().into_iter().find(|mail| mail.link().is_none() && mail.rcpt_to == [to]).unwrap().text();
    assert!(receipt("admin@example.co.jp").contains("b.example.co.jp"));
    let theirs = receipt("admin@a.example.co.jp");
    assert!(theirs.contains("a.example.co.jp") && !theirs.contains("b.example.co.jp"), "{theirs}");
    let dispute = theirs.lines().find(|line| line.contains("/dispute/")).unwrap();
    assert_eq!(app.send_form(dispute, &[("sure", "yes")]).await.0, 303);
    app.run_jobs().await;
    let told = app.hooks.taken("validation.disputed");
    assert_eq!((told.len(), told[0].body["data"]["name"].as_str()), (1, Some("a.example.co.jp")));
}

#[tokio::test]
async fn where_the_rules_forbid_approving_the_page_says_so_and_refusing_works() {
    let profile = "extends = \"standard\"\ncompliance = \"enforce\"\naddresses.sources = [\"constructed\"]\n";
    let app = TestApp::with_profiles(&[("public", profile)]).await;
    let last_day = dcvd::dcv::timestamp::Timestamp::parse_rfc3339("2028-03-14T00:00:00Z").unwrap();
    app.clock.advance(last_day.since(crate::support::fakes::START));
    let link = placed_under(&app, "public").await;
    assert!(app.page(&link).await.1.contains("value=\"approve\""));
    app.clock.advance(Duration::from_secs(86_400));
    let (status, page) = app.page(&link).await;
    assert!(status == 200 && page.contains("この方法による承認は受け付けられません") && !page.contains("value=\"approve\""));
    let nonce = app.nonce(&link).await;
    assert_eq!(app.send_form(&link, &[("decision", "approve"), ("authority", "yes"), ("nonce", &nonce)]).await.0, 409);
    assert_eq!(app.send_form(&link, &[("decision", "reject"), ("nonce", &nonce)]).await.0, 303);
}
