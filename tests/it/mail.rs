//! Mail: what it says, how it is handed over, and what comes of a relay's answers.

use std::time::{Duration, Instant};

use dcvd::adapters::mail_out::{Smtp, SmtpSettings};
use dcvd::app::pace::{Pace, Rate};
use dcvd::dcv::contact::dns_txt::DnsOutcome;
use dcvd::dcv::email::EmailAddress;
use dcvd::dcv::evidence::Dnssec;
use dcvd::dcv::id::MailId;
use dcvd::dcv::order::Locale;
use dcvd::demo::smtp::{Arrived, Inbox, Reply, Step};
use dcvd::jobs::{self, JobSettings};
use dcvd::ports::{MailOut as _, Outgoing, SendFailure};
use dcvd::store::EffectKind;
use mail_parser::MessageParser;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::app::{LEASE, TestApp};
use crate::support::{on_both, process};

on_both!(
    a_slow_relay_keeps_its_lease_and_gets_the_mail_once,
    an_answer_faster_than_the_relays_word_loses_neither,
    the_bytes_are_kept_until_the_link_ends,
    a_temporary_refusal_is_tried_again_with_the_same_bytes,
    a_permanent_refusal_ends_the_mail_and_is_told,
    a_relay_that_hangs_up_after_the_body_gets_the_same_message_again,
    a_relay_that_goes_down_amid_a_mail_gets_it_once_when_it_is_back,
);

#[tokio::test]
async fn the_mail_says_all_an_owner_needs_in_both_languages() {
    let app = TestApp::sqlite().await;
    app.place(&json!({
        "order_ref": "A-1001", "names": ["www.日本語.jp", "*.日本語.jp"], "approvers": ["admin@日本語.jp"],
        "applicant": {"organization": "株式会社サンプル"}, "requester": "サンプルホスティング株式会社", "product": "OV 1年", "kind": "renewal",
    }))
    .await;
    app.run_jobs().await;
    let mail = app.last_mail();
    assert_eq!(mail.rcpt_to, ["admin@xn--wgv71a119e.jp"]);
    assert!(mail.mail_from.starts_with("bounce+") && mail.mail_from.ends_with("@dcv.example.net"), "{}", mail.mail_from);
    let text = mail.text();
    for told in [
        "日本語.jp (xn--wgv71a119e.jp)",
        "*.日本語.jp (*.xn--wgv71a119e.jp)",
        "株式会社サンプル",
        "サンプルホスティング株式会社",
        "OV 1年/更新",
        "A-1001",
        "2026年12月18日 09:00(日本時間)",
        "18 December 2026 09:00 (Japan time, UTC+9)",
        "開いただけでは承認になりません",
        "Opening the page alone does not approve anything",
        "help@dcv.example.net",
        "審査サービス",
        "Validation Service",
    ] {
        assert!(text.contains(told), "{told} is missing in:\n{text}");
    }
    let links: Vec<_> = text.lines().filter(|line| line.contains("/approve/")).collect();
    assert_eq!(links.len(), 2, "once in each language");
    assert!(links.iter().all(|line| line.starts_with("http://") && *line == links[0]), "alone on its line");
    assert!(mail.subject().contains("日本語.jp") && mail.subject().contains("ord_"));

    let raw = String::from_utf8(mail.raw.clone()).unwrap();
    assert!(raw.lines().all(|line| line.len() <= 998) && raw.is_ascii());
    let parsed = MessageParser::new().parse(&mail.raw).unwrap();
    let header = |name: &str| parsed.header_raw(name).unwrap_or_default().trim().to_owned();
    assert_eq!(header("Auto-Submitted"), "auto-generated");
    assert_eq!(header("Content-Language"), "ja, en");
    assert_eq!(header("MIME-Version"), "1.0");
    assert!(header("Message-ID").ends_with("@dcv.example.net>"));
    assert_eq!(header("Date"), "Sun, 22 Nov 2026 00:00:00 +0000");
    assert_eq!(parsed.from().unwrap().first().unwrap().name(), Some("審査窓口"));
    assert!(!raw.to_ascii_lowercase().contains("\nbcc:"));
}

#[tokio::test]
async fn the_orders_language_stands_first() {
    let app = TestApp::sqlite().await;
    let locale = Locale::En.as_str();
    app.place(&json!({"order_ref": "A-1", "names": ["example.jp"], "approvers": ["admin@example.jp"], "locale": locale})).await;
    app.run_jobs().await;
    let text = app.last_mail().text();
    assert!(text.find("has received a request").unwrap() < text.find("ご担当者様").unwrap());
    assert!(app.last_mail().subject().starts_with("[Domain approval]"));
}

async fn a_temporary_refusal_is_tried_again_with_the_same_bytes(app: TestApp) {
    app.inbox.answer_with(Reply::RefuseData("450 4.2.0 greylisted".to_owned()));
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let waiting = app.order(&order).await;
    assert_eq!(
        (waiting["mails"][0]["delivery"].as_str(), waiting["mails"][0]["state"].as_str()),
        (Some("sending"), Some("queued"))
    );
    assert!(waiting["mails"][0]["failure"].as_str().unwrap().contains("450"));
    assert!(app.hooks.taken("mail.sent").is_empty());
    app.inbox.answer_with(Reply::Take);
    app.run_jobs().await;
    assert!(app.inbox.arrived().is_empty(), "not before it is due");
    app.clock.advance(Duration::from_secs(3));
    app.run_jobs().await;
    let sent = app.order(&order).await;
    assert_eq!((sent["mails"][0]["delivery"].as_str(), sent["mails"][0]["state"].as_str()), (Some("accepted"), Some("sent")));
    assert_eq!(app.hooks.taken("mail.sent").len(), 1);
    let (refused, arrived) = (app.inbox.refused(), app.inbox.arrived());
    assert_eq!((refused.len(), arrived.len()), (1, 1));
    assert_eq!(refused[0].raw, arrived[0].raw, "every byte the same");
}

async fn a_relay_that_goes_down_amid_a_mail_gets_it_once_when_it_is_back(app: TestApp) {
    for (n, step) in [Step::Rcpt, Step::Data, Step::Body].into_iter().enumerate() {
        app.inbox.answer_with(Reply::CloseAt(step));
        let order = app.place_plain(&format!("A-{n}")).await;
        let id = MailId::parse(order["mails"][0]["id"].as_str().unwrap()).unwrap();
        let sealed = app.app.store.mail_body(id).await.unwrap().unwrap();
        app.run_jobs().await;
        let waiting = app.order(&order).await["mails"][0].clone();
        assert_eq!(
            (waiting["delivery"].as_str(), waiting["state"].as_str()),
            (Some("sending"), Some("queued")),
            "{step:?}: {waiting}"
        );
        assert!(waiting["failure"].as_str().unwrap().contains("421 4.3.2"), "{step:?}: {waiting}");
        assert_eq!((app.inbox.arrived().len(), app.hooks.taken("mail.sent").len()), (n, n), "{step:?}");
        app.inbox.answer_with(Reply::Take);
        app.clock.advance(Duration::from_secs(3));
        app.run_jobs().await;
        let arrived = app.inbox.arrived();
        assert_eq!((arrived.len(), app.hooks.taken("mail.sent").len()), (n + 1, n + 1), "{step:?}");
        assert!(arrived[n].raw.trim_ascii_end() == sealed.trim_ascii_end(), "{step:?}: what was made with the order");
        let sent = app.order(&order).await["mails"][0].clone();
        assert_eq!((sent["delivery"].as_str(), sent["state"].as_str()), (Some("accepted"), Some("sent")), "{step:?}");
        assert_eq!(app.event_types(&order).await, ["order.created", "mail.sent"], "{step:?}");
    }
    let refused = app.inbox.refused();
    assert_eq!(refused.len(), 1, "the body alone was said in vain");
    assert_eq!(refused[0].raw, app.inbox.arrived()[2].raw, "every byte the same");
    assert_eq!(app.inbox.spoken_to_after_the_end(), 0, "nobody goes on with a connection that is said to close");
}

async fn a_permanent_refusal_ends_the_mail_and_is_told(app: TestApp) {
    app.inbox.answer_with(Reply::RefuseRcpt("550 5.1.1 no such user".to_owned()));
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let failed = app.order(&order).await;
    assert_eq!(
        (failed["mails"][0]["delivery"].as_str(), failed["mails"][0]["failure"].as_str()),
        (Some("failed"), Some("refused"))
    );
    let told = app.hooks.taken("mail.failed");
    assert_eq!(told.len(), 1);
    assert!(told[0].body["data"]["detail"].as_str().unwrap().contains("550"), "{:?}", told[0].body);
    app.clock.advance(Duration::from_secs(86_400));
    app.inbox.answer_with(Reply::Take);
    app.run_jobs().await;
    assert!(app.inbox.arrived().is_empty(), "never tried again by itself");
    assert_eq!(app.order(&order).await["validations"][0]["state"], "pending", "another approver may still be asked");
}

async fn a_relay_that_hangs_up_after_the_body_gets_the_same_message_again(app: TestApp) {
    app.inbox.answer_with(Reply::TakeAndDrop);
    app.place_plain("A-1").await;
    app.run_jobs().await;
    assert!(app.hooks.taken("mail.sent").is_empty(), "nobody knows yet");
    app.inbox.answer_with(Reply::Take);
    app.clock.advance(Duration::from_secs(3));
    app.run_jobs().await;
    let arrived = app.inbox.arrived();
    assert_eq!(arrived.len(), 2, "at least once");
    assert_eq!(arrived[0].raw, arrived[1].raw, "every byte the same, Message-ID and link included");
    assert_eq!(app.approve(&arrived[0].link().unwrap()).await.0, 303);
    app.run_jobs().await;
    let told = |kind: &str| app.hooks.taken(kind).len();
    assert_eq!(
        ["mail.sent", "validation.approved", "order.completed"].map(told),
        [1, 1, 1],
        "one order, however often it was mailed"
    );
    assert_eq!(app.approval_mails().len(), 2);
}

#[tokio::test]
async fn an_unreachable_relay_is_tried_for_three_days_and_then_given_up() {
    let app = TestApp::sqlite().await;
    app.inbox.answer_with(Reply::RefuseData("451 4.3.0 later".to_owned()));
    let order = app.place_plain("A-1").await;
    for _ in 0..60 {
        app.run_jobs().await;
        app.clock.advance(Duration::from_secs(7200 * 6 / 5));
    }
    let failed = app.order(&order).await;
    assert_eq!(
        (failed["mails"][0]["delivery"].as_str(), failed["mails"][0]["failure"].as_str()),
        (Some("failed"), Some("gave-up"))
    );
    assert_eq!((app.hooks.taken("mail.failed").len(), app.hooks.taken("mail.sent").len()), (1, 0));
    assert!(app.inbox.arrived().is_empty());
    let refused = app.inbox.refused();
    let same = refused.iter().filter(|one| one.raw == refused[0].raw).count();
    assert!(same > 10, "{same} of {}", refused.len());
}

async fn a_slow_relay_keeps_its_lease_and_gets_the_mail_once(app: TestApp) {
    app.inbox.answer_with(Reply::TakeAfter(Duration::from_millis(1500)));
    let order = app.place_plain("A-1").await;
    let settings = JobSettings {
        mail_concurrency: 4,
        webhook_concurrency: 4,
        poll: Duration::from_millis(20),
        // Renewed every 20 ms, so that some renewal meets the record of the attempt.
        lease: Duration::from_millis(60),
    };
    let stop = CancellationToken::new();
    let working = tokio::spawn(jobs::run(app.app.clone(), settings, stop.clone()));
    process::wait("the relay's word", async || {
        let mail = app.order(&order).await["mails"][0].clone();
        (mail["delivery"] == "accepted").then_some(())
    })
    .await;
    stop.cancel();
    tokio::time::timeout(process::PATIENCE, working).await.expect("the workers end").unwrap().unwrap();
    assert_eq!(app.inbox.arrived().len(), 1);
    assert_eq!(app.event_types(&order).await, ["order.created", "mail.sent"]);
}

async fn an_answer_faster_than_the_relays_word_loses_neither(app: TestApp) {
    app.inbox.answer_with(Reply::TakeAfter(Duration::from_millis(400)));
    let order = app.place_plain("A-1").await;
    let sending = {
        let app = app.app.clone();
        tokio::spawn(async move { jobs::drain(&app, EffectKind::Mail, LEASE).await })
    };
    let mail = process::wait("the mail", async || app.inbox.arrived().pop()).await;
    assert_eq!(app.approve(&mail.link().unwrap()).await.0, 303);
    sending.await.unwrap().unwrap();
    app.run_jobs().await;
    let after = app.order(&order).await;
    assert_eq!(
        (after["mails"][0]["delivery"].as_str(), after["mails"][0]["state"].as_str()),
        (Some("accepted"), Some("answered"))
    );
    assert_eq!(app.hooks.taken("mail.sent").len(), 1);
    assert_eq!(app.hooks.taken("validation.approved").len(), 1);
    assert_eq!(app.approval_mails().len(), 1);
}

async fn the_bytes_are_kept_until_the_link_ends(app: TestApp) {
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let id = MailId::parse(order["mails"][0]["id"].as_str().unwrap()).unwrap();
    let body = app.app.store.mail_body(id).await.unwrap();
    let (kept, sent) = (body.unwrap(), app.last_mail().raw);
    assert!(kept.trim_ascii_end() == sent.trim_ascii_end(), "a resend is the same message");
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    assert_eq!(app.app.store.mail_body(id).await.unwrap(), None, "and the Random Value is gone");
}

const ENFORCE: &str = "extends = \"standard\"\ncompliance = \"enforce\"\naddresses.sources = [\"constructed\"]\n";

#[tokio::test]
async fn under_enforce_a_mail_is_not_sent_on_the_day_its_method_ends() {
    let app = TestApp::with_profiles(&[("public", ENFORCE)]).await;
    let last_day = dcvd::dcv::timestamp::Timestamp::parse_rfc3339("2028-03-14T23:00:00Z").unwrap();
    app.clock.advance(last_day.since(crate::support::fakes::START));
    let order = app
        .place(&json!({"order_ref": "A-1", "profile": "public", "names": ["example.jp"], "approvers": ["admin@example.jp"]}))
        .await;
    app.clock.advance(Duration::from_secs(3600));
    app.run_jobs().await;
    assert!(app.approval_mails().is_empty());
    assert_eq!(app.order(&order).await["mails"][0]["failure"], "method-must-not");
    let refused = json!({"order_ref": "A-2", "profile": "public", "names": ["example.jp"], "approvers": ["admin@example.jp"]});
    assert_eq!(app.post("/v1/orders", &refused).await.1["code"], "approver-not-allowed");
}

#[tokio::test]
async fn under_enforce_an_address_that_dnssec_cannot_confirm_at_sending_waits() {
    let profile =
        "extends = \"standard\"\ncompliance = \"enforce\"\ncorroboration = \"external\"\naddresses.sources = [\"dns_txt\"]\n";
    for doubtful in [Dnssec::Off, Dnssec::Indeterminate] {
        let app = TestApp::with_profiles(&[("public", profile)]).await;
        let record = || DnsOutcome::Records(vec![b"owner@elsewhere.example".to_vec()]);
        app.dns.outcome_is("example.jp", record(), Dnssec::Secure, Duration::from_secs(60));
        let body =
            json!({"order_ref": "A-1", "profile": "public", "names": ["example.jp"], "approvers": ["owner@elsewhere.example"]});
        let order = app.place(&body).await;
        app.dns.outcome_is("example.jp", record(), doubtful, Duration::from_secs(60));
        app.clock.advance(Duration::from_secs(61));
        app.run_jobs().await;
        assert!(app.inbox.arrived().is_empty());
        let mail = app.order(&order).await["mails"][0].clone();
        assert_eq!(
            (mail["state"].as_str(), mail["delivery"].as_str()),
            (Some("queued"), Some("sending")),
            "not given up: {mail}"
        );
        app.dns.outcome_is("example.jp", record(), Dnssec::Secure, Duration::from_secs(60));
        app.clock.advance(Duration::from_secs(10));
        app.run_jobs().await;
        assert_eq!(app.inbox.arrived().len(), 1);
    }
}

pub fn outgoing(to: &EmailAddress) -> Outgoing<'_> {
    Outgoing { return_path: "bounce@dcv.example.net", to, envelope_id: "0123", all_reports: true }
}

#[tokio::test]
async fn where_tls_is_required_nothing_is_sent_without_it() {
    let app = TestApp::sqlite().await;
    let settings = |url: String| SmtpSettings {
        timeout: Duration::from_secs(5),
        mails_per_connection: 1,
        connection_age: Duration::from_secs(1),
        ..SmtpSettings::new(&url, "dcv@dcv.example.net")
    };
    let to = dcvd::dcv::email::EmailAddress::parse("admin@example.jp").unwrap();
    for url in [format!("smtp://{}?tls=required", app.inbox.address), format!("smtps://{}", app.inbox.address)] {
        let smtp = Smtp::new(&settings(url.clone())).unwrap();
        let refused = smtp.send(&outgoing(&to), b"Subject: x\r\n\r\nx\r\n").await.unwrap_err();
        assert!(matches!(refused, SendFailure::Transient(_)), "{url}: {refused}");
    }
    assert!(app.inbox.arrived().is_empty());
    for bad in ["smtp://relay.example.net?tls=maybe", "http://relay.example.net", "smtp:"] {
        assert!(Smtp::new(&settings(bad.to_owned())).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn reports_are_asked_for_where_the_relay_gives_them() {
    let app = TestApp::sqlite().await;
    app.place_plain("A-1").await;
    app.run_jobs().await;
    let mail = app.last_mail();
    let reference = mail.mail_from.trim_start_matches("bounce+").split('@').next().unwrap();
    assert_eq!(mail.commands[0], format!("MAIL FROM:<{}> RET=HDRS ENVID={reference}", mail.mail_from));
    assert_eq!(mail.commands[1], "RCPT TO:<admin@example.co.jp> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;admin@example.co.jp");
}

#[tokio::test]
async fn what_was_said_is_evidence_and_holds_no_link() {
    let app = TestApp::sqlite().await;
    app.inbox.answer_with(Reply::RefuseRcpt("450 4.2.0 greylisted".to_owned()));
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    app.inbox.answer_with(Reply::Take);
    app.clock.advance(Duration::from_secs(3));
    app.run_jobs().await;
    let id = order["id"].as_str().unwrap();
    let (_, evidence) = app.get(&format!("/v1/orders/{id}/evidence")).await;
    let tries: Vec<Vec<&str>> = evidence["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|attempt| attempt["kind"] == "mail")
        .map(|attempt| attempt["dialogue"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect())
        .collect();
    assert_eq!(tries[0].last(), Some(&"< 450 4.2.0 greylisted"));
    let steps: Vec<&str> = tries[1].iter().map(|line| line.split([':', '(']).next().unwrap()).collect();
    assert_eq!(
        steps,
        ["> MAIL FROM", "< 250 OK", "> RCPT TO", "< 250 OK", "> DATA", "< 354 go ahead", "> ", "< 250 2.0.0 taken"]
    );
    let token = app.last_link().rsplit_once('/').unwrap().1.to_owned();
    assert!(!evidence.to_string().contains(&token));
    assert_eq!(app.inbox.connections(), 1, "a refused recipient costs no connection");
    let told = &app.hooks.taken("mail.sent")[0].body["data"];
    assert_eq!((told["relay"].as_str(), told["tls"].as_bool()), (Some(app.inbox.address.to_string().as_str()), Some(false)));
}

#[tokio::test]
async fn a_relay_that_quotes_the_link_gives_it_to_nobody() {
    let app = TestApp::sqlite().await;
    for (n, code) in ["451 4.7.1", "554 5.7.1"].iter().enumerate() {
        app.inbox.answer_with(Reply::RefuseData("450 4.2.0 later".to_owned()));
        let order = app.place_plain(&format!("A-{n}")).await;
        let id = MailId::parse(order["mails"][0]["id"].as_str().unwrap()).unwrap();
        let sealed = app.app.store.mail_body(id).await.unwrap().unwrap();
        let (mail_from, at) = (String::new(), Instant::now());
        let link = Arrived { mail_from, rcpt_to: Vec::new(), raw: sealed, commands: Vec::new(), at }.link().unwrap();
        app.inbox.answer_with(Reply::RefuseData(format!("{code} blocked: {} {}", &link[..70], &link[70..])));
        app.run_jobs().await;
        let token = link.rsplit_once('/').unwrap().1;
        let (_, evidence) = app.get(&format!("/v1/orders/{}/evidence", order["id"].as_str().unwrap())).await;
        let told = format!("{evidence} {:?}", app.hooks.received().iter().map(|hook| hook.body.to_string()).collect::<Vec<_>>());
        assert!(told.contains("blocked") && told.contains("[link]"), "{told}");
        assert!(!told.contains(&token[12..24]) && !told.contains(&token[40..52]), "{told}");
    }
}

#[tokio::test]
async fn a_relay_that_is_not_at_work_hands_over_to_the_next() {
    let second = Inbox::start().await.unwrap();
    let gone = process::address();
    let app = TestApp::tuned(&[], |_, smtp| {
        let first = smtp.urls.remove(0);
        smtp.urls = vec![format!("smtp://{gone}").into(), first, format!("smtp://{}", second.address).into()];
    })
    .await;
    app.place_plain("A-1").await;
    app.run_jobs().await;
    assert_eq!((app.inbox.arrived().len(), second.arrived().len()), (1, 0));
    app.inbox.answer_with(Reply::Close);
    let order = app.place_plain("A-2").await;
    app.run_jobs().await;
    assert_eq!((app.inbox.arrived().len(), second.arrived().len()), (1, 1), "a parked connection, a new one, the next relay");
    assert_eq!(app.order(&order).await["mails"][0]["delivery"], "accepted");
    let connections = app.inbox.connections();
    app.place_plain("A-3").await;
    app.run_jobs().await;
    assert_eq!((second.arrived().len(), app.inbox.connections()), (2, connections), "it comes last for a while");
    // With nobody at work the mail waits.
    second.answer_with(Reply::Close);
    let waiting = app.place_plain("A-4").await;
    app.run_jobs().await;
    let mail = app.order(&waiting).await["mails"][0].clone();
    assert_eq!(mail["delivery"], "sending");
    assert!(mail["failure"].as_str().unwrap().matches(": 421 ").count() == 2, "{mail}");
    let told = || (app.inbox.arrived().len(), second.arrived().len(), app.hooks.taken("mail.sent").len());
    assert_eq!(told(), (1, 2, 3));
    second.answer_with(Reply::Take);
    app.clock.advance(Duration::from_secs(3));
    app.run_jobs().await;
    assert_eq!(told(), (1, 3, 4), "and goes once");
    assert_eq!(app.order(&waiting).await["mails"][0]["delivery"], "accepted");
}

#[tokio::test]
async fn a_relay_that_goes_down_after_the_body_has_not_taken_it_and_the_next_gets_it() {
    let second = Inbox::start().await.unwrap();
    let app = TestApp::tuned(&[], |_, smtp| smtp.urls.push(format!("smtp://{}", second.address).into())).await;
    app.inbox.answer_with(Reply::CloseAt(Step::Body));
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    assert_eq!(app.order(&order).await["mails"][0]["delivery"], "accepted");
    let (refused, arrived) = (app.inbox.refused(), second.arrived());
    assert_eq!((refused.len(), app.inbox.arrived().len(), arrived.len()), (1, 0, 1));
    assert_eq!(refused[0].raw, arrived[0].raw, "every byte the same");
    assert_eq!(app.hooks.taken("mail.sent").len(), 1);
    assert_eq!(app.inbox.spoken_to_after_the_end(), 0);
}

#[tokio::test]
async fn a_relay_that_refuses_our_sender_hands_over_to_the_next() {
    let second = Inbox::start().await.unwrap();
    let app = TestApp::tuned(&[], |_, smtp| smtp.urls.push(format!("smtp://{}", second.address).into())).await;
    app.inbox.answer_with(Reply::RefuseMail("550 5.7.1 sender domain not allowed".to_owned()));
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    assert_eq!((app.order(&order).await["mails"][0]["delivery"].as_str(), second.arrived().len()), (Some("accepted"), 1));
}

#[tokio::test]
async fn a_password_never_goes_in_clear() {
    let settings = |url: &str| SmtpSettings::new(url, "dcvd <dcv@dcv.example.net>");
    let refused = Smtp::new(&settings("smtp://user:secret@relay.example.net?tls=none"));
    assert!(refused.err().unwrap().to_string().contains("in clear"));
    assert!(Smtp::new(&settings("smtp://user:secret@127.0.0.1:25")).is_ok(), "this host hears itself");
}

#[tokio::test]
async fn the_headers_say_what_it_is_near_the_top() {
    let app = TestApp::sqlite().await;
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let mail = app.last_mail();
    let raw = String::from_utf8(mail.raw.clone()).unwrap();
    let head: Vec<&str> = raw.split("\r\n\r\n").next().unwrap().split("\r\n").collect();
    let place = |name: &str| head.iter().position(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {head:?}"));
    assert!(place("Message-ID: ") < 2 && place("X-Approval-Id: ") < 2, "what servers cut off last");
    assert!(head[place("X-Approval-Id: ")].ends_with(order["mails"][0]["id"].as_str().unwrap()));
    assert_eq!(head[place("X-Auto-Response-Suppress")], "X-Auto-Response-Suppress: OOF, AutoReply");
    assert_eq!(head[place("Auto-Submitted")], "Auto-Submitted: auto-generated");
    assert_eq!(head[place("Content-Language")], "Content-Language: ja, en");
    place("Feedback-ID: approval:");
    assert!(raw.find("Content-Type: text/plain").unwrap() < raw.find("Content-Type: text/html").unwrap(), "text first");
    // A terminal shows a wide character in two columns.
    let columns = |line: &str| line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
    let wide: Vec<String> =
        mail.text().lines().filter(|line| columns(line) > 76 && !line.contains("://")).map(str::to_owned).collect();
    assert!(wide.is_empty(), "{wide:?}");
}

#[tokio::test]
async fn a_recipient_refused_by_one_relay_is_not_offered_to_the_next() {
    let second = Inbox::start().await.unwrap();
    let app = TestApp::tuned(&[], |_, smtp| smtp.urls.push(format!("smtp://{}", second.address).into())).await;
    app.inbox.answer_with(Reply::RefuseRcpt("550 5.1.1 no such user".to_owned()));
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    assert_eq!(app.order(&order).await["mails"][0]["delivery"], "failed");
    app.inbox.answer_with(Reply::TakeAndDrop);
    let unsure = app.place_plain("A-2").await;
    app.run_jobs().await;
    let failure = app.order(&unsure).await["mails"][0]["failure"].as_str().unwrap().to_owned();
    assert!(failure.ends_with("whether it took the mail is not known"), "{failure}");
    assert!(second.arrived().is_empty(), "nor what may have been taken");
}

#[tokio::test]
async fn a_tarpit_is_waited_for_so_long_and_its_late_answer_is_nobody_elses() {
    let app = TestApp::tuned(&[], |_, smtp| smtp.timeout = Duration::from_millis(700)).await;
    app.inbox.answer_with(Reply::Tarpit(Duration::from_millis(150)));
    let slow = app.place_plain("A-1").await;
    app.run_jobs().await;
    assert_eq!(app.order(&slow).await["mails"][0]["delivery"], "accepted");
    let told = || ["mail.sent", "mail.failed"].map(|kind| app.hooks.taken(kind).len());
    assert_eq!((app.inbox.arrived().len(), told()), (1, [1, 0]));
    app.inbox.answer_with(Reply::Tarpit(Duration::from_millis(1200)));
    let stuck = app.place_plain("A-2").await;
    app.run_jobs().await;
    assert!(app.order(&stuck).await["mails"][0]["failure"].as_str().unwrap().contains("in time"));
    assert_eq!((app.inbox.arrived().len(), told()), (1, [1, 0]));
    app.inbox.answer_with(Reply::RefuseRcpt("550 5.1.1 no such user".to_owned()));
    app.clock.advance(Duration::from_secs(3));
    let refused = app.place_plain("A-3").await;
    app.run_jobs().await;
    for order in [&stuck, &refused] {
        assert_eq!(app.order(order).await["mails"][0]["delivery"], "failed", "its own answer");
    }
    assert_eq!((app.inbox.arrived().len(), told()), (1, [1, 2]));
}

#[tokio::test]
async fn mail_to_one_domain_is_paced_and_all_of_it_goes() {
    let app = TestApp::sqlite().await;
    *app.app.pace.lock().unwrap() = Pace::new(Rate { period: Duration::from_secs(10), burst: 2, at_once: 8 });
    for n in 0..5 {
        app.place_plain(&format!("A-{n}")).await;
    }
    app.run_jobs().await;
    let mut gone = vec![app.approval_mails().len()];
    for _ in 0..3 {
        app.clock.advance(Duration::from_secs(10));
        app.run_jobs().await;
        gone.push(app.approval_mails().len());
    }
    assert_eq!(gone, [2, 3, 4, 5]);
    assert_eq!(app.hooks.taken("mail.sent").len(), 5);
}

#[tokio::test]
async fn daemons_that_share_the_pace_keep_their_part_of_it() {
    let app = TestApp::sqlite().await;
    *app.app.pace.lock().unwrap() = Pace::new(Rate { period: Duration::from_secs(10), burst: 2, at_once: 8 });
    app.app.pace.lock().unwrap().seen(2, app.app.now());
    for n in 0..4 {
        app.place_plain(&format!("A-{n}")).await;
    }
    app.run_jobs().await;
    let mut gone = vec![app.approval_mails().len()];
    for _ in 0..4 {
        app.clock.advance(Duration::from_secs(10));
        app.app.pace.lock().unwrap().seen(2, app.app.now());
        app.run_jobs().await;
        gone.push(app.approval_mails().len());
    }
    assert_eq!(gone, [1, 1, 2, 2, 3], "half of the burst and of the rate are the other's");
}

#[tokio::test]
async fn one_connection_carries_many_mails() {
    let app = TestApp::sqlite().await;
    for n in 0..10 {
        app.place_plain(&format!("A-{n}")).await;
    }
    app.run_jobs().await;
    assert_eq!(app.inbox.arrived().len(), 10);
    assert_eq!(app.inbox.connections(), 1);
    let mut links: Vec<_> = app.inbox.arrived().iter().map(|mail| mail.link().unwrap()).collect();
    links.sort();
    links.dedup();
    assert_eq!(links.len(), 10, "a Random Value is unique in each mail");
}
