//! The same mail once more: on somebody's word, as a reminder, and never another one.

use std::time::Duration;

use dcvd::app::ingest::ingest;
use dcvd::demo::smtp::{Arrived, Reply};
use serde_json::{Value, json};

use crate::returned::report;
use crate::support::app::TestApp;
use crate::support::on_both;

on_both!(
    a_resend_is_the_same_mail_but_for_two_lines,
    a_resend_has_its_limits,
    reminders_come_twice_and_end_with_the_answer,
    a_mail_that_came_back_may_be_sent_again,
);

const DAY: Duration = Duration::from_secs(86_400);

async fn resend(app: &TestApp, order: &Value) -> (u16, Value) {
    let path = format!("/v1/orders/{}/resend", order["id"].as_str().unwrap());
    app.post(&path, &json!({"mail_id": order["mails"][0]["id"]})).await
}

/// A message without the two lines that a resend changes, and those two.
fn split(mail: &Arrived) -> (String, Vec<String>) {
    let raw = String::from_utf8(mail.raw.clone()).unwrap();
    let (header, body) = raw.split_once("\r\n\r\n").unwrap();
    let (changing, kept): (Vec<&str>, Vec<&str>) =
        header.split("\r\n").partition(|line| line.starts_with("Message-ID: ") || line.starts_with("Date: "));
    (format!("{}\r\n\r\n{body}", kept.join("\r\n")), changing.into_iter().map(str::to_owned).collect())
}

async fn a_resend_is_the_same_mail_but_for_two_lines(app: TestApp) {
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    app.clock.advance(DAY * 20);
    let (status, answer) = resend(&app, &order).await;
    assert_eq!((status, answer["mails"][0]["resends"].as_i64()), (202, Some(1)), "{answer}");
    assert_eq!(answer["mails"][0]["delivery"], "queued");
    assert_eq!(answer["mails"][0]["expires_at"], order["mails"][0]["expires_at"], "the deadline stays");
    app.run_jobs().await;
    let sent = app.approval_mails();
    // The first reminder was due a day before, and comes with it.
    let (first, last) = (split(&sent[0]), split(sent.last().unwrap()));
    assert_eq!(first.0, last.0, "every other byte");
    assert!(first.1.iter().all(|line| !last.1.contains(line)) && last.1.len() == 2, "{:?} {:?}", first.1, last.1);
    assert_eq!(app.order(&order).await["mails"][0]["delivery"], "accepted");
    let told = app.hooks.taken("mail.sent");
    assert_eq!(told[0].body["data"]["sending"], 1);
    assert_eq!(told[1].body["data"]["sending"], 2);
    assert!(app.event_types(&order).await.contains(&"mail.resent".to_owned()));
    assert_eq!(app.approve(&sent[0].link().unwrap()).await.0, 303);
    assert_eq!(resend(&app, &order).await.1["code"], "link-ended");
}

async fn a_resend_has_its_limits(app: TestApp) {
    app.inbox.answer_with(Reply::RefuseData("451 4.3.0 later".to_owned()));
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let (status, answer) = resend(&app, &order).await;
    assert_eq!((status, answer["code"].as_str()), (429, Some("resend-too-soon")), "the first still waits");
    app.inbox.answer_with(Reply::Take);
    app.clock.advance(Duration::from_secs(60));
    app.run_jobs().await;
    for _ in 0..5 {
        assert_eq!(resend(&app, &order).await.0, 202);
        app.run_jobs().await;
    }
    let path = format!("/v1/orders/{}/resend", order["id"].as_str().unwrap());
    let mail = json!({"mail_id": order["mails"][0]["id"]});
    let spent = app.request(reqwest::Method::POST, &path).header("content-type", "application/json").body(mail.to_string());
    let spent = spent.send().await.unwrap();
    assert_eq!(spent.status(), 429);
    let wait: u64 = spent.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(wait > 25 * 86_400, "not before the deadline: {wait}");
    assert_eq!(app.approval_mails().len(), 6);
    assert_eq!(app.post(&path, &json!({"mail_id": "mail_00000000000000000000000000"})).await.0, 404);
    for bad in [json!({}), json!({"mail_id": 7}), json!({"mail_id": "x"}), json!({"mail_id": order["mails"][0]["id"], "to": "x"})]
    {
        assert_eq!(app.post(&path, &bad).await.0, 422, "{bad}");
    }
    let elsewhere = path.replace("/resend", "x/resend");
    assert_eq!(app.post(&elsewhere, &mail).await.0, 404);
}

async fn reminders_come_twice_and_end_with_the_answer(app: TestApp) {
    let order = app.place_plain("A-1").await;
    let missed = app.place_plain("A-2").await;
    app.run_jobs().await;
    assert_eq!(app.order(&order).await["mails"][0]["next_reminder_at"], "2026-12-11T00:00:00Z");
    app.clock.advance(Duration::from_secs(19 * 86_400 - 1));
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), 2, "not before");
    app.clock.advance(Duration::from_secs(1));
    app.run_jobs().await;
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), 4, "once each");
    assert_eq!(app.order(&order).await["mails"][0]["reminders"], 1);
    let id = order["id"].as_str().unwrap();
    let mail = app.approval_mails().into_iter().find(|mail| mail.subject().contains(id)).unwrap();
    assert_eq!(app.approve(&mail.link().unwrap()).await.0, 303);
    app.clock.advance(DAY * 5);
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), 5, "only who has not answered");
    app.clock.advance(DAY * 10);
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), 5);
    assert_eq!(app.order(&missed).await["validations"][0]["state"], "expired");
}

async fn a_mail_that_came_back_may_be_sent_again(app: TestApp) {
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let path = app.last_mail().mail_from;
    ingest(&app.app, report(&path, "failed", "5.1.1").as_bytes(), None).await.unwrap();
    app.clock.advance(DAY * 19);
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), 1, "nobody is reminded at an address that is not there");
    assert_eq!(resend(&app, &order).await.0, 202);
    app.run_jobs().await;
    assert_eq!(app.order(&order).await["mails"][0]["delivery"], "accepted");
    ingest(&app.app, report(&path, "failed", "5.2.1").as_bytes(), None).await.unwrap();
    assert_eq!(app.order(&order).await["mails"][0]["delivery"], "bounced", "the second one's fate is told as well");
    app.run_jobs().await;
    assert_eq!(app.hooks.taken("mail.bounced").len(), 2);
}

#[tokio::test]
async fn a_daemon_that_was_down_reminds_once() {
    let app = TestApp::sqlite().await;
    app.place_plain("A-1").await;
    app.run_jobs().await;
    app.clock.advance(DAY * 25);
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), 2);
}

#[tokio::test]
async fn a_profile_may_remind_without_the_link_and_space_resends() {
    let profile = "extends = \"standard\"\nreminders.mode = \"notice_only\"\nresend.min_interval = \"1h\"\n\
                   mail.subject_ja = \"ご確認のお願い: {domain}({order_ref})\"\n";
    let app = TestApp::with_profiles(&[("quiet", profile)]).await;
    let order = app
        .place(&json!({"order_ref": "A-1", "profile": "quiet", "names": ["www.example.jp"], "approvers": ["admin@example.jp"]}))
        .await;
    app.run_jobs().await;
    assert_eq!(app.last_mail().subject(), "ご確認のお願い: example.jp(A-1)");
    assert_eq!(resend(&app, &order).await.0, 429);
    app.clock.advance(Duration::from_secs(3600));
    assert_eq!(resend(&app, &order).await.0, 202);
    app.run_jobs().await;
    app.clock.advance(DAY * 19);
    app.run_jobs().await;
    assert_eq!((app.approval_mails().len(), app.notices()), (2, vec![("reminder".to_owned(), "admin@example.jp".to_owned())]));
}

#[tokio::test]
async fn an_operator_resends_from_the_status_page() {
    let app = TestApp::sqlite().await;
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let (id, mail) = (order["id"].as_str().unwrap(), order["mails"][0]["id"].as_str().unwrap());
    let page = app.client.get(format!("{}/admin/orders/{id}?lang=en", app.base)).send().await.unwrap().text().await.unwrap();
    let action = format!("/admin/orders/{id}/mails/{mail}/resend");
    assert!(page.contains(&action) && page.contains("MAIL FROM"), "{page}");
    let post = |origin: &str| app.client.post(format!("{}{action}", app.base)).header("origin", origin).send();
    assert_eq!(post("http://elsewhere.example").await.unwrap().status(), 403);
    assert_eq!(post(&app.base).await.unwrap().status(), 303);
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), 2);
}
