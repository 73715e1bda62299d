//! Mail without a link: who gets which, and that none carries what only the approver may have.

use std::time::Duration;

use dcvd::app::canary::{self, Canary, CanarySettings};
use dcvd::app::ingest::{Ingested, ingest};
use dcvd::dcv::notice::NoticeKind;
use dcvd::demo::smtp::Arrived;
use serde_json::{Value, json};

use crate::returned::report;
use crate::support::app::TestApp;
use crate::support::on_both;

on_both!(
    everyone_who_was_asked_learns_of_an_answer,
    the_ordering_side_learns_of_expiry_and_bounces,
    what_a_person_writes_reaches_the_operators_without_the_link,
);

const DAY: Duration = Duration::from_secs(86_400);

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = expected.iter().map(|(kind, to)| ((*kind).to_owned(), (*to).to_owned())).collect();
    pairs.sort();
    pairs
}

fn noticed(app: &TestApp) -> Vec<(String, String)> {
    let mut notices = app.notices();
    notices.sort();
    notices
}

async fn placed(app: &TestApp) -> Value {
    let order = app
        .place(&json!({
            "order_ref": "A-1", "names": ["www.example.jp"], "approvers": ["admin@example.jp", "webmaster@example.jp"],
            "notify": ["staff@reseller.example"], "applicant": {"organization": "株式会社サンプル"}, "product": "OV 1年", "kind": "new",
        }))
        .await;
    app.run_jobs().await;
    order
}

/// The approval mail to somebody.
fn asking(app: &TestApp, recipient: &str) -> Arrived {
    app.approval_mails().into_iter().find(|mail| mail.rcpt_to == [recipient]).unwrap()
}

/// The text of the last notice to somebody.
fn text(app: &TestApp, kind: &str) -> (String, String) {
    let marked = format!("Feedback-ID: {kind}:");
    let found = app.inbox.arrived().into_iter().rev().find(|mail| String::from_utf8_lossy(&mail.raw).contains(&marked));
    let mail = found.unwrap_or_else(|| panic!("no {kind}"));
    (mail.subject(), mail.text())
}

async fn everyone_who_was_asked_learns_of_an_answer(app: TestApp) {
    let order = placed(&app).await;
    assert_eq!(noticed(&app), pairs(&[("heads-up", "staff@reseller.example")]));
    let (_, heads_up) = text(&app, "heads-up");
    assert!(heads_up.contains("admin@example.jp") && heads_up.contains("株式会社サンプル"), "{heads_up}");
    let link = asking(&app, "admin@example.jp").link().unwrap();
    assert_eq!(app.approve(&link).await.0, 303);
    app.run_jobs().await;
    let expected = pairs(&[
        ("heads-up", "staff@reseller.example"),
        ("receipt", "admin@example.jp"),
        ("receipt", "webmaster@example.jp"),
        ("result", "staff@reseller.example"),
    ]);
    assert_eq!(noticed(&app), expected);
    let (subject, receipt) = text(&app, "receipt");
    assert!(subject.starts_with("【承認を受け付けました】example.jp"), "{subject}");
    for told in ["www.example.jp", "試験 太郎", "a***@example.jp", "approved", "2026年11月22日 09:00", "help@dcv.example.net"]
    {
        assert!(receipt.contains(told), "{told} is missing in:\n{receipt}");
    }
    let token = link.rsplit_once('/').unwrap().1;
    for mail in app.inbox.arrived().iter().filter(|mail| mail.link().is_none()) {
        let text = mail.text();
        assert!(!text.contains(token) && !text.contains("/approve/"), "{text}");
        assert!(String::from_utf8_lossy(&mail.raw).contains("Auto-Submitted: auto-generated"));
        assert!(text.lines().all(|line| line.starts_with("http") || line.chars().count() <= 76), "{text}");
    }
    let page = app.client.get(format!("{}/admin/orders/{}", app.base, order["id"].as_str().unwrap())).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("receipt"));
}

async fn the_ordering_side_learns_of_expiry_and_bounces(app: TestApp) {
    placed(&app).await;
    let path = asking(&app, "admin@example.jp").mail_from;
    for status in ["5.1.1", "5.1.1", "5.2.1"] {
        ingest(&app.app, report(&path, "failed", status).as_bytes(), None).await.unwrap();
    }
    app.run_jobs().await;
    let (_, bounced) = text(&app, "bounced");
    assert!(bounced.contains("5.1.1 said so") && bounced.contains("admin@example.jp"), "{bounced}");
    app.clock.advance(DAY * 26);
    app.run_jobs().await;
    assert_eq!(
        noticed(&app),
        pairs(&[
            ("bounced", "operators@dcv.example.net"),
            ("bounced", "staff@reseller.example"),
            ("expired", "staff@reseller.example"),
            ("heads-up", "staff@reseller.example"),
        ]),
        "each once"
    );
}

async fn what_a_person_writes_reaches_the_operators_without_the_link(app: TestApp) {
    let order = placed(&app).await;
    let mail = app.last_mail();
    let quoted = mail.text().lines().fold(String::new(), |all, line| all + "> " + line + "\n");
    let reply = format!(
        "From: \"山田\" <yamada@example.jp>\nTo: {}\nSubject: Re: question\nIn-Reply-To: <x@dcv.example.net>\n\
         Content-Type: text/plain; charset=utf-8\n\nこれは本物ですか。\n{quoted}",
        mail.reply_to()
    );
    assert_ne!(mail.reply_to(), mail.mail_from);
    ingest(&app.app, reply.as_bytes(), None).await.unwrap();
    let stray = "From: someone@example.com\nTo: bounce@dcv.example.net\nSubject: Re: hello\nIn-Reply-To: <y@x>\n\nIs this you?\n";
    assert!(matches!(ingest(&app.app, stray.as_bytes(), None).await.unwrap(), Ingested::Stray(_)));
    app.run_jobs().await;
    let operators: Vec<_> = app.notices().into_iter().filter(|(kind, _)| kind == "reply").collect();
    assert_eq!(operators, pairs(&[("reply", "operators@dcv.example.net"), ("reply", "operators@dcv.example.net")]));
    let forwarded = app.inbox.arrived().into_iter().find(|mail| mail.text().contains("これは本物ですか")).unwrap();
    let text = forwarded.text();
    assert!(text.contains("yamada@example.jp") && text.contains(order["id"].as_str().unwrap()), "{text}");
    assert!(text.contains("/approve/[link]"), "{text}");
    // The operators' own mailbox answers each notice: that goes round no second time.
    let vacation = format!("From: operators@dcv.example.net\nTo: {}\nSubject: away\n\nBack on Monday.\n", forwarded.mail_from);
    ingest(&app.app, vacation.as_bytes(), None).await.unwrap();
    let answer = vacation.replace("Subject: away", "Subject: Re: x\nIn-Reply-To: <x@dcv.example.net>");
    ingest(&app.app, answer.as_bytes(), None).await.unwrap();
    app.run_jobs().await;
    assert_eq!(app.notices().iter().filter(|(kind, _)| kind == "reply").count(), 2);
    let page = app.client.get(format!("{}/admin/returned?lang=en", app.base)).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Is this you?"), "a stray is shown");
}

#[tokio::test]
async fn a_held_order_is_not_announced() {
    let app = TestApp::sqlite().await;
    app.policy(&[], &[("example.jp", "a bank")]);
    placed(&app).await;
    assert!(app.inbox.arrived().is_empty());
}

#[tokio::test]
async fn a_notice_that_comes_back_is_noted_and_bothers_nobody() {
    let app = TestApp::sqlite().await;
    let order = placed(&app).await;
    let heads_up = app.inbox.arrived().into_iter().find(|mail| mail.link().is_none()).unwrap();
    let told = ingest(&app.app, report(&heads_up.mail_from, "failed", "5.1.1").as_bytes(), None).await.unwrap();
    assert!(matches!(told, Ingested::OfNotice(..)), "{told:?}");
    app.run_jobs().await;
    let id = dcvd::dcv::id::OrderId::parse(order["id"].as_str().unwrap()).unwrap();
    let notice = &app.app.store.notices(id).await.unwrap()[0];
    assert_eq!((notice.delivery.as_str(), notice.failure.as_deref()), ("bounced", Some("550 5.1.1 said so")));
    assert_eq!((app.notices().len(), app.hooks.taken("mail.bounced").len()), (1, 0));
}

#[tokio::test]
async fn the_digest_goes_once_a_day() {
    let app = TestApp::tuned(&[], |settings, _| settings.digest = Some(Duration::from_secs(9 * 3600))).await;
    app.run_jobs().await;
    placed(&app).await;
    assert!(app.notices().iter().all(|(kind, _)| kind != "digest"), "the first day is not over");
    app.clock.advance(DAY);
    app.run_jobs().await;
    app.clock.advance(DAY / 2);
    app.run_jobs().await;
    let digests: Vec<_> = app.notices().into_iter().filter(|(kind, _)| kind == "digest").collect();
    assert_eq!(digests, pairs(&[("digest", "operators@dcv.example.net")]));
    let (subject, text) = text(&app, "digest");
    assert!(subject.contains("2026年11月23日"), "{subject}");
    assert!(text.contains("order.created: 1") && text.contains("mail.sent: 2"), "{text}");
}

#[tokio::test]
async fn the_canary_flies_comes_back_and_is_missed() {
    let every = Duration::from_secs(3600);
    let flies = CanarySettings { every, alarm_after: Duration::from_secs(900) };
    let app = TestApp::tuned(&[], |settings, _| settings.canary = Some(flies)).await;
    app.run_jobs().await;
    app.run_jobs().await;
    assert_eq!(app.inbox.arrived().len(), 1);
    assert_eq!(canary::state(&app.app).await.unwrap(), Canary::Waiting);
    let bird = app.inbox.arrived().remove(0);
    assert_eq!(bird.mail_from, bird.rcpt_to[0], "to its own return path");
    app.clock.advance(Duration::from_secs(3));
    let told = ingest(&app.app, &bird.raw, None).await.unwrap();
    assert!(matches!(told, Ingested::OfNotice(..)), "{told:?}");
    assert_eq!(ingest(&app.app, &bird.raw, None).await.unwrap(), Ingested::Again);
    let Canary::Well { round_trip, .. } = canary::state(&app.app).await.unwrap() else { panic!("it came back") };
    assert_eq!(round_trip, Duration::from_secs(3));
    app.clock.advance(every);
    app.run_jobs().await;
    assert_eq!(app.inbox.arrived().len(), 2);
    app.clock.advance(Duration::from_secs(900));
    assert!(matches!(canary::state(&app.app).await.unwrap(), Canary::Missed { .. }));
    let page = app.client.get(format!("{}/admin?lang=en", app.base)).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("canary missed"));
    for _ in 0..200 {
        app.clock.advance(every);
        app.run_jobs().await;
    }
    let kept = app.app.store.latest_notices(NoticeKind::Canary, 1000).await.unwrap().len();
    assert!((168..=170).contains(&kept), "old ones are dropped: {kept}");
}

#[tokio::test]
async fn a_recipient_gets_so_many_mails_a_day_and_the_rest_later() {
    let app = TestApp::tuned(&[], |settings, _| settings.recipient_daily_cap = 2).await;
    let orders = [app.place_plain("A-1").await, app.place_plain("A-2").await, app.place_plain("A-3").await];
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), 2);
    let mut waiting = Vec::new();
    for order in &orders {
        let mail = app.order(order).await["mails"][0].clone();
        if mail["delivery"] == "queued" {
            waiting.push(mail["failure"].as_str().unwrap().to_owned());
        }
    }
    assert!(waiting.len() == 1 && waiting[0].starts_with("recipient-daily-cap: not before 2026-11-23"), "{waiting:?}");
    app.clock.advance(DAY + Duration::from_secs(15 * 60));
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), 3);
}

#[tokio::test]
async fn a_domain_that_takes_no_mail_is_told_and_mailed_all_the_same() {
    let app = TestApp::sqlite().await;
    app.dns.mx_is("example.co.jp", &["."]);
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let mail = app.order(&order).await["mails"][0].clone();
    assert_eq!((mail["mail_host"].as_str(), mail["delivery"].as_str()), (Some("null-mx"), Some("accepted")));
}
