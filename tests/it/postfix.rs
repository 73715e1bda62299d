//! The whole way through a real mail server: out by the relay, back by its report.

use std::process::Stdio;

use dcvd::demo::smtp::Reply;
use serde_json::{Value, json};

use crate::process::Setup;
use crate::support::postfix::Postfix;
use crate::support::process::{program, wait};

impl Setup {
    /// Sends through a Postfix that hands everything to the demo's inbox.
    async fn through_postfix() -> (Self, Postfix) {
        let setup = Self::new().await;
        let postfix = Postfix::start("sample-shop.co.jp", setup.world.inbox.address);
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
    let left = std::fs::read_dir(postfix.maildir.join("new")).unwrap().count();
    assert_eq!(left, 0, "what was kept was put away");
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
