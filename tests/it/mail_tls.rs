//! Mail to a relay whose certificate is not what it should be: it waits, and nothing of it is said in clear.

use std::time::Duration;

use dcvd::adapters::mail_out::{Smtp, SmtpSettings};
use dcvd::dcv::email::EmailAddress;
use dcvd::demo::smtp::{Inbox, Reply};
use dcvd::ports::{MailOut as _, SendFailure};

use crate::certificates::authority;
use crate::mail::outgoing;
use crate::support::app::TestApp;
use crate::support::tls_relay::TlsRelay;

#[tokio::test]
async fn by_starttls_a_mail_waits_for_the_right_certificate() {
    Box::pin(waits_for_the_right_certificate(|relay| format!("smtp://{}?tls=required", relay.starttls))).await;
}

/// Where TLS is taken if it is offered, a certificate that does not fit is no reason to do without.
#[tokio::test]
async fn by_starttls_where_it_is_offered_a_mail_waits_for_the_right_certificate() {
    Box::pin(waits_for_the_right_certificate(|relay| format!("smtp://{}?tls=opportunistic", relay.starttls))).await;
}

#[tokio::test]
async fn by_tls_from_the_first_byte_a_mail_waits_for_the_right_certificate() {
    Box::pin(waits_for_the_right_certificate(|relay| format!("smtps://{}", relay.implicit))).await;
}

/// Whoever sits in between answers every step of a mail before TLS begins, and the relay refuses it.
#[tokio::test]
async fn what_is_said_in_clear_passes_for_no_answer_within_tls() {
    let believed = authority("Relays");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), believed.pem()).unwrap();
    let inbox = Inbox::start().await.unwrap();
    inbox.answer_with(Reply::RefuseRcpt("550 5.1.1 no such user".to_owned()));
    let relay = TlsRelay::start(inbox.address).await;
    relay.shows(&believed, "127.0.0.1", 2124);
    let to = EmailAddress::parse("admin@example.jp").unwrap();
    let send = async |tls: &str| {
        let settings = SmtpSettings::new(&format!("smtp://{}?tls={tls}", relay.starttls), "dcv@dcv.example.net");
        let smtp = Smtp::new(&SmtpSettings { ca_file: file.path().to_owned(), ..settings }).unwrap();
        smtp.send(&outgoing(&to), b"Subject: x\r\n\r\nx\r\n").await
    };
    for tls in ["required", "opportunistic"] {
        relay.is_forged_with("");
        let refused = send(tls).await;
        assert!(matches!(&refused, Err(SendFailure::Permanent(trouble)) if trouble.detail.contains("550")), "{refused:?}");
        relay.is_forged_with("250 a\r\n250 b\r\n250 c\r\n250 d\r\n354 e\r\n250 taken\r\n");
        let forged = send(tls).await;
        assert!(matches!(&forged, Err(SendFailure::Transient(trouble)) if trouble.detail.contains("TLS: ")), "{forged:?}");
    }
    assert_eq!(inbox.connections(), 2, "those that nobody touched");
}

async fn waits_for_the_right_certificate(url: fn(&TlsRelay) -> String) {
    let (believed, stranger) = (authority("Relays"), authority("Elsewhere"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), believed.pem()).unwrap();
    let inbox = Inbox::start().await.unwrap();
    let relay = TlsRelay::start(inbox.address).await;
    let app = TestApp::tuned(&[], |_, smtp| {
        smtp.urls = vec![url(&relay).into()];
        file.path().clone_into(&mut smtp.ca_file);
    })
    .await;
    let order = app.place_plain("A-1").await;
    for (wrong, by, host, until) in [
        ("by an unknown authority", &stranger, "127.0.0.1", 2124),
        ("for another host", &believed, "relay.example.net", 2124),
        ("expired", &believed, "127.0.0.1", 2021),
    ] {
        relay.shows(by, host, until);
        app.run_jobs().await;
        let mail = app.order(&order).await["mails"][0].clone();
        assert_eq!((mail["delivery"].as_str(), mail["state"].as_str()), (Some("sending"), Some("queued")), "{wrong}: {mail}");
        assert!(mail["failure"].as_str().unwrap().contains("TLS: "), "{wrong}: {mail}");
        assert_eq!((inbox.connections(), app.hooks.taken("mail.sent").len()), (0, 0), "{wrong}: nothing came through");
        app.clock.advance(Duration::from_secs(7200 * 6 / 5));
    }
    relay.shows(&believed, "127.0.0.1", 2124);
    app.run_jobs().await;
    assert_eq!(app.order(&order).await["mails"][0]["delivery"], "accepted");
    let arrived = inbox.arrived_for("admin@example.co.jp");
    assert_eq!(arrived.len(), 1);
    assert_eq!(app.hooks.taken("mail.failed").len(), 0);
    let [sent] = &app.hooks.taken("mail.sent")[..] else { panic!("{:?}", app.hooks.received()) };
    assert_eq!(sent.body["data"]["tls"], true);
    assert_eq!(app.approve(&arrived[0].link().unwrap()).await.0, 303);
    let told = relay.in_clear();
    assert!(told.iter().all(|line| line.starts_with("EHLO ") || line == "STARTTLS"), "{told:?}");
}
