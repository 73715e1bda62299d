//! Returned mail: whose it is, what it does to the mail's fate, and what it never does.

use std::time::Duration;

use serde_json::Value;

use dcvd::app::ingest::{Ingested, ingest};
use dcvd::dcv::id::MailId;
use dcvd::dcv::returned_mail::Kind;
use dcvd::demo::smtp::Reply;

use crate::support::app::TestApp;
use crate::support::on_both;

on_both!(
    a_bounce_ends_the_wait_for_a_mail_once,
    late_then_lost_and_delivered_then_lost,
    what_is_not_ours_touches_nothing,
    a_flood_to_one_return_path_is_bounded_and_hides_no_bounce,
    a_report_shows_that_a_mail_was_taken_which_we_gave_up,
    a_report_that_comes_before_the_relays_word_ends_the_sending,
    a_report_is_known_by_the_envelope_that_it_repeats_and_tells_what_failed,
    what_is_kept_holds_no_link
);

async fn sent(app: &TestApp) -> (Value, MailId, String) {
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let id = MailId::parse(order["mails"][0]["id"].as_str().unwrap()).unwrap();
    let path = app.last_mail().mail_from;
    (order, id, path)
}

pub fn report(to: &str, action: &str, status: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.jp\nTo: {to}\nSubject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: text/plain\n\nSorry.\n\n\
         --b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.jp\n\nFinal-Recipient: rfc822; admin@example.jp\n\
         Action: {action}\nStatus: {status}\nDiagnostic-Code: smtp; 550 {status} said so\n\n--b--\n"
    )
}

async fn a_bounce_ends_the_wait_for_a_mail_once(app: TestApp) {
    let (order, id, path) = sent(&app).await;
    assert!(path.starts_with("bounce+") && path.split('@').next().unwrap().len() <= 64, "{path}");
    let raw = report(&path, "failed", "5.1.1");
    assert_eq!(ingest(&app.app, raw.as_bytes(), None).await.unwrap(), Ingested::Of(id, Kind::Bounce));
    assert_eq!(ingest(&app.app, raw.as_bytes(), None).await.unwrap(), Ingested::Again);
    app.run_jobs().await;
    let mail = app.order(&order).await["mails"][0].clone();
    assert_eq!((mail["delivery"].as_str(), mail["failure"].as_str()), (Some("bounced"), Some("550 5.1.1 said so")));
    assert_eq!(mail["state"], "sent", "the link stays: who forwarded the mail may still have it");
    let told = app.hooks.taken("mail.bounced");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].body["data"]["permanent"], true);
    assert_eq!(told[0].body["data"]["recipients"][0]["status"], "5.1.1");
    let (_, evidence) = app.get(&format!("/v1/orders/{}/evidence", order["id"].as_str().unwrap())).await;
    assert!(evidence["returned"][0]["raw"].as_str().unwrap().contains("said so"), "{evidence}");
    let page = app.client.get(format!("{}/admin/orders/{}", app.base, order["id"].as_str().unwrap())).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("550 5.1.1 said so"));
}

async fn late_then_lost_and_delivered_then_lost(app: TestApp) {
    let (order, id, path) = sent(&app).await;
    for (action, status, delivery) in [
        ("delayed", "4.4.1", "delayed"),
        ("delivered", "2.1.5", "delivered"),
        ("delayed", "4.4.2", "delivered"),
        ("failed", "5.0.0", "bounced"),
        ("delivered", "2.0.0", "bounced"),
    ] {
        assert!(
            matches!(ingest(&app.app, report(&path, action, status).as_bytes(), None).await.unwrap(), Ingested::Of(of, _) if of == id)
        );
        assert_eq!(app.order(&order).await["mails"][0]["delivery"], delivery, "{action} {status}");
    }
    app.run_jobs().await;
    assert_eq!((app.hooks.taken("mail.delayed").len(), app.hooks.taken("mail.bounced").len()), (1, 1));
}

async fn what_is_not_ours_touches_nothing(app: TestApp) {
    let (order, id, path) = sent(&app).await;
    // A good id under a MAC that is not ours.
    let forged = format!("{}{}@dcv.example.net", &path[..path.find('@').unwrap() - 16], "0".repeat(16));
    let named = report(&forged, "failed", "5.1.1").replace("Sorry.", &format!("X-Approval-Id: {id}"));
    assert_eq!(ingest(&app.app, named.as_bytes(), None).await.unwrap(), Ingested::Stray(Kind::Bounce));
    assert_eq!(app.order(&order).await["mails"][0]["delivery"], "accepted");
    let to = app.last_mail().reply_to();
    let reply = format!("From: admin@example.jp\nTo: {to}\nSubject: Re: x\nIn-Reply-To: <x@dcv.example.net>\n\n承認します\n");
    let machine = reply.replace(&to, &path).replace("承認します", "休暇中です");
    assert_eq!(
        ingest(&app.app, machine.as_bytes(), None).await.unwrap(),
        Ingested::Of(id, Kind::AutoReply),
        "nobody writes there"
    );
    assert_eq!(ingest(&app.app, reply.as_bytes(), None).await.unwrap(), Ingested::Of(id, Kind::Reply));
    app.run_jobs().await;
    let shown = app.order(&order).await;
    assert_eq!(
        (shown["mails"][0]["delivery"].as_str(), shown["validations"][0]["state"].as_str()),
        (Some("accepted"), Some("pending")),
        "a reply approves nothing"
    );
    assert_eq!(app.app.store.stray_mails(10).await.unwrap().len(), 1, "and is kept");
    let envelope = report("somebody@example.net", "failed", "5.1.1");
    assert_eq!(
        ingest(&app.app, envelope.as_bytes(), Some(&path)).await.unwrap(),
        Ingested::Of(id, Kind::Bounce),
        "by what the mail server says"
    );
}

async fn a_flood_to_one_return_path_is_bounded_and_hides_no_bounce(app: TestApp) {
    let (order, id, path) = sent(&app).await;
    let to = app.last_mail().reply_to();
    for n in 0..102 {
        let reply = format!("From: admin@example.jp\nTo: {to}\nSubject: Re: {n}\nIn-Reply-To: <x@dcv.example.net>\n\nhello\n");
        assert_eq!(ingest(&app.app, reply.as_bytes(), None).await.unwrap(), Ingested::Of(id, Kind::Reply));
    }
    for _ in 0..2 {
        ingest(&app.app, report(&path, "failed", "5.1.1").as_bytes(), None).await.unwrap();
    }
    app.run_jobs().await;
    assert_eq!(app.order(&order).await["mails"][0]["delivery"], "bounced");
    assert_eq!(app.hooks.taken("mail.bounced").len(), 1);
    let (_, evidence) = app.get(&format!("/v1/orders/{}/evidence", order["id"].as_str().unwrap())).await;
    assert_eq!(evidence["returned"].as_array().unwrap().len(), 100);
}

async fn a_report_shows_that_a_mail_was_taken_which_we_gave_up(app: TestApp) {
    app.inbox.answer_with(Reply::TakeAndDrop);
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let path = app.last_mail().mail_from;
    app.inbox.answer_with(Reply::RefuseRcpt("550 5.7.1 seen before".to_owned()));
    app.clock.advance(Duration::from_secs(3));
    app.run_jobs().await;
    let mail = async || app.order(&order).await["mails"][0].clone();
    let failed = mail().await;
    assert_eq!((failed["failure"].as_str(), failed["cause"].as_str()), (Some("refused"), Some("policy")));
    assert!(failed["failure_detail"].as_str().unwrap().contains("seen before"), "{failed}");
    let page = app.page(&format!("{}/admin/orders/{}?lang=en", app.base, order["id"].as_str().unwrap())).await.1;
    assert!(page.contains("<td>bounced</td>") && page.contains("SPF, DKIM and DMARC"), "told, and in plain words: {page}");
    ingest(&app.app, report(&path, "delivered", "2.0.0").as_bytes(), None).await.unwrap();
    let delivered = mail().await;
    assert_eq!((delivered["delivery"].as_str(), delivered["failure"].as_str()), (Some("delivered"), None));
    assert!(delivered["delivery_at"].is_string());
    assert!(app.event_types(&order).await.contains(&"mail.delivered".to_owned()));
    ingest(&app.app, report(&path, "failed", "5.2.2").as_bytes(), None).await.unwrap();
    let bounced = mail().await;
    assert_eq!((bounced["delivery"].as_str(), bounced["cause"].as_str()), (Some("bounced"), Some("mailbox-full")));
}

async fn a_report_that_comes_before_the_relays_word_ends_the_sending(app: TestApp) {
    app.inbox.answer_with(Reply::TakeAndDrop);
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let path = app.last_mail().mail_from;
    ingest(&app.app, report(&path, "delivered", "2.0.0").as_bytes(), None).await.unwrap();
    app.inbox.answer_with(Reply::Take);
    app.clock.advance(Duration::from_secs(3));
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), 1, "once is enough");
    assert_eq!(app.hooks.taken("mail.sent").len(), 1);
    let mail = app.order(&order).await["mails"][0].clone();
    assert_eq!((mail["delivery"].as_str(), mail["state"].as_str()), (Some("delivered"), Some("sent")));
}

async fn a_report_is_known_by_the_envelope_that_it_repeats_and_tells_what_failed(app: TestApp) {
    let (order, id, path) = sent(&app).await;
    let loop_report = format!(
        "From: fbl@isp.example\nTo: abuse@dcv.example.net\nSubject: complaint\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\nContent-Type: text/plain\n\nspam\n\n\
         --b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\nOriginal-Mail-From: <{path}>\n\n--b--\n"
    );
    assert_eq!(ingest(&app.app, loop_report.as_bytes(), None).await.unwrap(), Ingested::Of(id, Kind::Complaint));
    let reference = path.split(['+', '@']).nth(1).unwrap();
    let two = report("postmaster@dcv.example.net", "delivered", "2.1.5")
        .replace("Reporting-MTA", &format!("Original-Envelope-Id: {reference}\nReporting-MTA"));
    let two = two.replace(
        "\n\n--b--",
        "\n\nFinal-Recipient: rfc822; b@example.jp\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n\n--b--",
    );
    assert_eq!(ingest(&app.app, two.as_bytes(), None).await.unwrap(), Ingested::Of(id, Kind::Bounce));
    let mail = app.order(&order).await["mails"][0].clone();
    assert_eq!((mail["failure"].as_str(), mail["cause"].as_str()), (Some("550 5.1.1 no such user"), Some("no-mailbox")));
}

async fn what_is_kept_holds_no_link(app: TestApp) {
    let (order, id, path) = sent(&app).await;
    let mail = app.last_mail();
    let token = mail.link().unwrap().rsplit_once('/').unwrap().1.to_owned();
    // The whole mail enclosed as it was, and an answer that quotes its text.
    let enclosed = report(&path, "failed", "5.1.1")
        .replace("\n--b--", &format!("\n--b\nContent-Type: message/rfc822\n\n{}\n--b--", String::from_utf8_lossy(&mail.raw)));
    let quoted = mail.text().lines().fold(String::new(), |all, line| all + "> " + line + "\n");
    let reply = format!("From: admin@example.jp\nTo: {path}\nSubject: Re: x\nIn-Reply-To: <x@dcv.example.net>\n\nok\n{quoted}");
    for raw in [enclosed, reply] {
        assert!(matches!(ingest(&app.app, raw.as_bytes(), None).await.unwrap(), Ingested::Of(of, _) if of == id));
    }
    let rows = app.app.store.returned_mails(dcvd::dcv::id::OrderId::parse(order["id"].as_str().unwrap()).unwrap()).await.unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let raw = String::from_utf8_lossy(&row.raw).into_owned();
        let again = dcvd::dcv::redact::without_tokens(&app.app.keys, &row.raw);
        assert!(!raw.contains(&token) && raw.contains("link]") && again == row.raw, "{raw}");
    }
}
