//! Another approver, or one at last: new mails, old links superseded, nobody asked who may not be.

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::on_both;

on_both!(
    whoever_was_asked_before_can_answer_no_more,
    a_mail_that_asks_for_more_is_changed_as_a_whole,
    nobody_is_mailed_anew_more_often_than_the_profile_allows,
    a_stranger_is_not_asked_and_nothing_changes,
    what_has_ended_is_not_asked_again,
);

async fn change(app: &TestApp, order: &Value, body: &Value) -> (u16, Value) {
    app.post(&format!("/v1/orders/{}/approvers", order["id"].as_str().unwrap()), body).await
}

fn link_to(app: &TestApp, recipient: &str) -> String {
    app.approval_mails().into_iter().rfind(|mail| mail.rcpt_to == [recipient]).unwrap().link().unwrap()
}

async fn whoever_was_asked_before_can_answer_no_more(app: TestApp) {
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    app.clock.advance(std::time::Duration::from_secs(86_400));
    let (status, changed) = change(&app, &order, &json!({"approvers": ["webmaster@example.co.jp"]})).await;
    assert_eq!(status, 202, "{changed}");
    let states: Vec<_> = changed["mails"].as_array().unwrap().iter().map(|mail| mail["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["superseded", "queued"]);
    assert_eq!(changed["mails"][1]["expires_at"], "2026-12-19T00:00:00Z", "a new Random Value has a window of its own");
    app.run_jobs().await;
    let (old, new) = (link_to(&app, "admin@example.co.jp"), link_to(&app, "webmaster@example.co.jp"));
    assert_eq!(app.page(&old).await.0, 410);
    let nonce = app.nonce(&new).await;
    let form = [("decision", "approve"), ("authority", "yes"), ("nonce", nonce.as_str())];
    assert_eq!(app.send_form(&old, &form).await.0, 410);
    assert_eq!(app.approve(&new).await.0, 303);
    assert_eq!(app.order(&order).await["validations"][0]["state"], "approved");
    assert!(app.event_types(&order).await.contains(&"approver.changed".to_owned()));
    assert!(app.hooks.received().iter().all(|hook| hook.kind() != "approver.changed"), "the timeline's alone");
}

async fn a_mail_that_asks_for_more_is_changed_as_a_whole(app: TestApp) {
    let names = ["a.example.jp", "b.example.jp"];
    let order = app.place(&json!({"order_ref": "A-1", "names": names, "approvers": ["admin@example.jp"]})).await;
    app.run_jobs().await;
    let (status, refused) =
        change(&app, &order, &json!({"names": ["b.example.jp"], "approvers": ["webmaster@example.jp"]})).await;
    assert_eq!((status, refused["code"].as_str()), (422, Some("mail-asks-for-more")), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("a.example.jp"));
    assert_eq!(app.order(&order).await["mails"].as_array().unwrap().len(), 1, "nothing changed");
    let (status, _) = change(&app, &order, &json!({"names": names, "approvers": ["webmaster@example.jp"]})).await;
    assert_eq!(status, 202);
    app.run_jobs().await;
    assert_eq!(app.page(&link_to(&app, "admin@example.jp")).await.0, 410);
    assert_eq!(app.approve(&link_to(&app, "webmaster@example.jp")).await.0, 303);
    assert_eq!(app.order(&order).await["state"], "completed");
}

async fn nobody_is_mailed_anew_more_often_than_the_profile_allows(app: TestApp) {
    let order = app.place_plain("A-1").await;
    let same = json!({"approvers": ["admin@example.co.jp"]});
    for _ in 0..5 {
        assert_eq!(change(&app, &order, &same).await.0, 202);
    }
    let (status, refused) = change(&app, &order, &same).await;
    assert_eq!((status, refused["code"].as_str()), (429, Some("resend-too-soon")), "{refused}");
    app.run_jobs().await;
    assert_eq!(app.approval_mails().len(), 1, "what was superseded before it went does not go");
}

async fn a_stranger_is_not_asked_and_nothing_changes(app: TestApp) {
    app.dns.txt_is("example.co.jp", &["owner@example.co.jp"]);
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let (status, refused) = change(&app, &order, &json!({"approvers": ["ceo@elsewhere.example"]})).await;
    // WHOIS does not answer: a stranger might be its address.
    assert_eq!((status, refused["code"].as_str()), (503, Some("source-unavailable")), "{refused}");
    app.whois.answers("whois.iana.org", "jp", "refer: whois.jprs.jp\n\ndomain: JP\n");
    app.whois.answers("whois.jprs.jp", "example.co.jp/e", "No match!!\n");
    let (status, refused) = change(&app, &order, &json!({"approvers": ["ceo@elsewhere.example"]})).await;
    assert_eq!((status, refused["code"].as_str()), (422, Some("approver-not-allowed")), "{refused}");
    assert_eq!(app.order(&order).await["mails"][0]["state"], "sent");
}

async fn what_has_ended_is_not_asked_again(app: TestApp) {
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let change = async |body: Value| change(&app, &order, &body).await;
    assert_eq!(
        change(json!({"approvers": ["admin@example.co.jp"], "names": ["other.example.co.jp"]})).await.1["code"],
        "name-ended"
    );
    for bad in [json!({}), json!({"approvers": []}), json!({"approvers": ["x"]}), json!({"approvers": "all", "to": 1}), json!([])]
    {
        assert_eq!(change(bad.clone()).await.0, 422, "{bad}");
    }
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    let (status, answer) = change(json!({"approvers": ["webmaster@example.co.jp"]})).await;
    assert_eq!((status, answer["code"].as_str()), (409, Some("name-ended")));
    let path = format!("/v1/orders/{}/approvers", order["id"].as_str().unwrap());
    let others = app.client.post(format!("{}{path}", app.base)).bearer_auth(crate::support::app::OTHER_TOKEN);
    let others = others.header("content-type", "application/json").body(json!({"approvers": "all"}).to_string());
    assert_eq!(others.send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_record_that_was_published_later_is_chosen_then() {
    let app = TestApp::with_profiles(&[("txt", "extends = \"standard\"\naddresses.sources = [\"dns_txt\"]\n")]).await;
    let order = app.place(&json!({"order_ref": "A-1", "profile": "txt", "names": ["example.jp"]})).await;
    assert_eq!(order["validations"][0]["state"], "awaiting_approver");
    let owner = json!({"approvers": ["owner@elsewhere.example"]});
    let (status, refused) = change(&app, &order, &owner).await;
    assert_eq!((status, refused["code"].as_str()), (422, Some("approver-not-allowed")), "{refused}");
    app.dns.txt_is("example.jp", &["owner@elsewhere.example"]);
    app.clock.advance(std::time::Duration::from_secs(61));
    let (status, changed) = change(&app, &order, &owner).await;
    assert_eq!((status, changed["validations"][0]["state"].as_str()), (202, Some("pending")), "{changed}");
    assert_eq!(changed["validations"][0]["selection_ends_at"], Value::Null);
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    assert_eq!(app.order(&order).await["state"], "completed");
}
