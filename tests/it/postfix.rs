//! The whole way through a real mail server: out by the relay, back by its report.

use std::process::Stdio;

use dcvd::adapters::mail_out::{Smtp, SmtpSettings};
use dcvd::dcv::email::EmailAddress;
use dcvd::demo::smtp::Reply;
use dcvd::ports::{Letter, MailOut as _, Outgoing, SendFailure};
use serde_json::{Value, json};

use crate::process::Setup;
use crate::support::postfix::{Extras, Postfix};
use crate::support::process::{address, program, wait};

impl Setup {
    /// Sends through a Postfix that hands everything to the demo's inbox.
    async fn through_postfix() -> (Self, Postfix) {
        Self::through(&Extras::default()).await
    }

    async fn through(extras: &Extras<'_>) -> (Self, Postfix) {
        let setup = Self::new().await;
        // Where the relay has the approver's mailbox itself, nothing is handed on.
        let domain = if extras.mailbox.is_some() { "elsewhere.test" } else { "sample-shop.co.jp" };
        let postfix = Postfix::with(domain, setup.world.inbox.address, extras);
        let text = std::fs::read_to_string(&setup.config).unwrap();
        let text = text
            .replace(&format!("smtp://{}", setup.world.inbox.address), &format!("smtp://{}", postfix.address))
            .replace("bounce@dcv.example.net", "bounces@bounces.test");
        std::fs::write(&setup.config, format!("{text}\n[inbound]\nmaildir = \"{}\"\n", postfix.maildir.display())).unwrap();
        (setup, postfix)
    }

    async fn delivery(&self, order: &Value) -> String {
        let url = format!("{}/v1/orders/{}", self.base, order["id"].as_str().unwrap());
        let answer = self.client.get(url).bearer_auth(&self.world.token).send().await.unwrap().text().await.unwrap();
        let order: Value = serde_json::from_str(&answer).unwrap();
        order["mails"][0]["delivery"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn through_postfix_a_mail_arrives_whole_and_an_unknown_user_comes_back_as_a_webhook() {
    let (setup, postfix) = Setup::through_postfix().await;
    let _daemon = setup.serve().await;
    let order = setup.place("A-1").await;
    let arrived = wait("the mail", async || setup.world.inbox.arrived().pop()).await;
    assert!(arrived.mail_from.ends_with("@bounces.test") && arrived.link().is_some());
    assert_eq!(setup.approve(&arrived.link().unwrap()).await, 303);
    assert_eq!(setup.delivery(&order).await, "accepted");

    setup.world.inbox.answer_with(Reply::RefuseRcpt("550 5.1.1 no such user here".to_owned()));
    let lost = setup.place("A-2").await;
    let told = wait("the bounce", async || setup.world.webhooks.taken("mail.bounced").pop()).await;
    assert_eq!(told.body["data"]["order_id"], lost["id"], "{}", postfix.log());
    let recipient = &told.body["data"]["recipients"][0];
    assert_eq!((recipient["address"].as_str(), recipient["status"].as_str()), (Some("admin@sample-shop.co.jp"), Some("5.1.1")));
    assert!(recipient["diagnostic"].as_str().unwrap().contains("no such user here"));
    assert_eq!(told.body["data"]["permanent"], json!(true));
    assert_eq!(setup.delivery(&lost).await, "bounced");
    // The event is written before the message is put away: killed in between, it is read again and known.
    let new = postfix.maildir.join("new");
    wait("the report to be put away", async || std::fs::read_dir(&new).unwrap().next().is_none().then_some(())).await;
}

#[tokio::test]
async fn through_postfix_a_late_mail_is_told_as_late_and_then_as_lost() {
    let (setup, postfix) = Setup::through_postfix().await;
    setup.world.inbox.answer_with(Reply::RefuseRcpt("451 4.7.1 come back later".to_owned()));
    let _daemon = setup.serve().await;
    let order = setup.place("A-1").await;
    let late = wait("the delay", async || setup.world.webhooks.taken("mail.delayed").pop()).await;
    assert_eq!(late.body["data"]["order_id"], order["id"]);
    let lost = wait("the bounce", async || setup.world.webhooks.taken("mail.bounced").pop()).await;
    assert_eq!(lost.body["data"]["permanent"], false, "{}", postfix.log());
    assert_eq!(setup.delivery(&order).await, "bounced");
}

#[tokio::test]
async fn through_postfix_a_mail_that_arrived_is_told_as_delivered_and_the_canary_comes_home() {
    let extras = Extras { mailbox: Some("admin@sample-shop.co.jp"), ..Extras::default() };
    let (setup, postfix) = Setup::through(&extras).await;
    let _daemon = setup.serve().await;
    let order = setup.place("A-1").await;
    wait("the success notice", async || (setup.delivery(&order).await == "delivered").then_some(())).await;
    let arrived = postfix.messages();
    assert_eq!(arrived.len(), 1, "{}", postfix.log());
    let text = mail_parser::MessageParser::new().parse(&arrived[0]).unwrap().body_text(0).unwrap().into_owned();
    assert!(text.contains("/approve/"));
    let page = wait("the canary", async || {
        let page = setup.client.get(format!("{}/admin/returned?lang=en", setup.base)).send().await.unwrap().text().await.unwrap();
        page.contains("s there and back").then_some(page)
    })
    .await;
    assert!(page.contains("There are none."), "no stray: {page}");
}

#[tokio::test]
async fn through_postfix_a_forwarded_mail_that_bounces_is_still_ours() {
    let extras = Extras { alias: Some(("admin@sample-shop.co.jp", "gone@sample-shop.co.jp")), ..Extras::default() };
    let (setup, postfix) = Setup::through(&extras).await;
    setup.world.inbox.answer_with(Reply::RefuseRcpt("550 5.1.1 no such user here".to_owned()));
    let _daemon = setup.serve().await;
    let order = setup.place("A-1").await;
    let told = wait("the bounce", async || setup.world.webhooks.taken("mail.bounced").pop()).await;
    assert_eq!(told.body["data"]["order_id"], order["id"], "{}", postfix.log());
    assert_eq!(told.body["data"]["recipients"][0]["address"], "admin@sample-shop.co.jp", "whom we wrote to, as ORCPT told");
}

#[tokio::test]
async fn through_postfix_greylisting_and_a_restart_lose_nothing() {
    let greylist =
        "smtpd_recipient_restrictions = check_recipient_access inline:{ {sample-shop.co.jp = 450 4.2.0 greylisted} }, permit";
    let (setup, postfix) = Setup::through(&Extras { settings: greylist, ..Extras::default() }).await;
    let _daemon = setup.serve().await;
    let order = setup.place("A-1").await;
    wait("a refusal for now", async || (setup.delivery(&order).await == "sending").then_some(())).await;
    postfix.stop();
    postfix.drop_setting(greylist);
    postfix.start_again();
    wait("the mail", async || setup.world.inbox.arrived().pop()).await;
    postfix.stop();
    let waiting = setup.place("A-2").await;
    wait("nobody at home", async || (setup.delivery(&waiting).await == "sending").then_some(())).await;
    postfix.start_again();
    wait("both", async || (setup.world.inbox.arrived().len() == 2).then_some(())).await;
    assert_eq!((setup.delivery(&order).await.as_str(), setup.delivery(&waiting).await.as_str()), ("accepted", "accepted"));
}

fn settings(url: &str, ca_file: &std::path::Path) -> SmtpSettings {
    SmtpSettings { ca_file: ca_file.to_owned(), ..SmtpSettings::new(url, "審査窓口 <dcv@dcv.example.net>") }
}

#[tokio::test]
async fn tls_is_taken_with_a_certificate_that_fits_and_with_none_other() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mailbox = "admin@people.test";
    let postfix = Postfix::with("x.test", address(), &Extras { mailbox: Some(mailbox), tls: true, ..Extras::default() });
    let to = EmailAddress::parse(mailbox).unwrap();
    let mail = Outgoing { return_path: "bounces@bounces.test", to: &to, envelope_id: "1", all_reports: true };
    let message = b"Subject: x\r\n\r\nx\r\n";
    let urls = [format!("smtp://{}?tls=required", postfix.address), format!("smtps://{}", postfix.implicit)];
    for url in &urls {
        let believing = Smtp::new(&settings(url, &postfix.certificate)).unwrap();
        let taken = believing.send(&mail, message).await.unwrap();
        assert!(taken.tls && taken.queue_id.is_some(), "{taken:?}");
        assert!(believing.probe().await[0].as_ref().is_ok_and(|told| told.ends_with(": TLS, DSN, SMTPUTF8")));
        let doubting = Smtp::new(&settings(url, std::path::Path::new(""))).unwrap();
        let refused = doubting.send(&mail, message).await.unwrap_err();
        assert!(matches!(&refused, SendFailure::Transient(trouble) if trouble.detail.contains("TLS")), "{refused:?}");
    }
    // The relay takes nothing without TLS, which is our affair and not the mail's.
    let plain = Smtp::new(&settings(&format!("smtp://{}", postfix.address), std::path::Path::new(""))).unwrap();
    let refused = plain.send(&mail, message).await.unwrap_err();
    assert!(matches!(&refused, SendFailure::Transient(trouble) if trouble.detail.contains("530")), "{refused:?}");
    wait("both mails", async || (postfix.messages().len() == 2).then_some(())).await;
    let received = String::from_utf8_lossy(&postfix.messages()[0]).into_owned();
    assert!(received.contains("ESMTPS"), "{received}");
}

#[tokio::test]
async fn an_address_beyond_ascii_is_mailed_where_the_relay_can() {
    let mailbox = "山田@people.test";
    let postfix = Postfix::with("x.test", address(), &Extras { mailbox: Some(mailbox), ..Extras::default() });
    let smtp = Smtp::new(&settings(&format!("smtp://{}", postfix.address), std::path::Path::new(""))).unwrap();
    let to = EmailAddress::parse(mailbox).unwrap();
    let letter = Letter {
        from_name: None,
        reply_to: None,
        to: to.clone(),
        subject: "ドメイン名使用権の確認: 日本語ドメイン名例.jp(受付番号 ord_06h013bm02qnaw7nm60gpyqqhg)".to_owned(),
        text: "本文\n".to_owned(),
        html: Some("<p>本文</p>".to_owned()),
        message_id: "<1@dcv.example.net>".to_owned(),
        mail_id: None,
        kind: "approval",
        date: dcvd::dcv::timestamp::Timestamp::from_unix_secs(1_795_000_000),
        languages: "ja, en",
    };
    let message = smtp.compose(&letter).unwrap();
    let mail = Outgoing { return_path: "bounces@bounces.test", to: &to, envelope_id: "1", all_reports: true };
    let taken = smtp.send(&mail, &message).await.unwrap();
    assert!(taken.dialogue[0].contains(" SMTPUTF8"), "{taken:?}");
    wait("the mail", async || (postfix.messages().len() == 1).then_some(())).await;
    let arrived = postfix.messages().remove(0);
    let parsed = mail_parser::MessageParser::new().parse(&arrived).unwrap();
    assert_eq!(parsed.subject(), Some(letter.subject.as_str()), "folded and read back");
    assert_eq!(parsed.to().unwrap().first().unwrap().address(), Some(mailbox));
    let header = String::from_utf8_lossy(&arrived).split("\n\n").next().unwrap().to_owned();
    assert!(header.lines().filter(|line| !line.starts_with("Received")).all(|line| line.len() <= 78), "{header}");
    // A relay that cannot is told so, and nothing is cut.
    let inbox = dcvd::demo::smtp::Inbox::start().await.unwrap();
    inbox.offer_no_utf8();
    let plain = Smtp::new(&settings(&format!("smtp://{}", inbox.address), std::path::Path::new(""))).unwrap();
    let refused = plain.send(&mail, &message).await.unwrap_err();
    assert!(matches!(&refused, SendFailure::Permanent(trouble) if trouble.detail.contains("SMTPUTF8")), "{refused:?}");
}

#[tokio::test]
async fn a_mail_server_may_pipe_what_comes_back() {
    let setup = Setup::new().await;
    let daemon = setup.serve().await;
    setup.place("A-1").await;
    let arrived = wait("the mail", async || setup.world.inbox.arrived().pop()).await;
    drop(daemon);
    let raw = "From: MAILER-DAEMON@mx.test\nSubject: failure notice\n\nHi. This is the qmail-send program.\nI'm afraid I wasn't able to deliver your \
               message.\n\n<admin@sample-shop.co.jp>:\nRemote host said: 550 5.1.1 no such user\n";
    let ingest = |recipient: String| {
        let file = setup.config.with_file_name("returned.eml");
        std::fs::write(&file, raw).unwrap();
        let mut command = program();
        command
            .current_dir(setup.config.parent().unwrap())
            .args(["ingest", "--config"])
            .arg(&setup.config)
            .args(["--recipient", &recipient]);
        let output = command.stdin(Stdio::from(std::fs::File::open(file).unwrap())).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = ingest(arrived.mail_from.clone());
    assert_eq!(code, Some(0));
    assert!(said.starts_with("mail_") && said.trim().ends_with(" bounce"), "{said}");
    assert_eq!(ingest(arrived.mail_from.clone()), (Some(0), "- again\n".to_owned()));
    let text = std::fs::read_to_string(&setup.config).unwrap();
    std::fs::write(&setup.config, text.replace("sqlite://", "sqlite:///none-such")).unwrap();
    assert_eq!(ingest(arrived.mail_from).0, Some(75), "a database that is away: the mail server keeps the message");
}
