//! What ordering systems do besides placing orders: cancel, extend, report certificates, reuse approvals, repeat requests, place many.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::support::app::{READER_TOKEN, SLOW_TOKEN, TEST_TOKEN, TestApp};
use crate::support::{on_both, on_both_with};

on_both!(
    a_cancelled_order_asks_nobody_any_more,
    a_deadline_is_moved_within_thirty_days,
    a_certificate_is_reported_once,
    a_repeat_returns_the_first_answer_and_changes_nothing,
    repeats_at_once_place_one_order,
    repeats_at_once_note_one_certificate,
    a_repeat_after_a_crash_finds_what_was_done,
    many_orders_are_taken_line_by_line,
    events_are_posted_once_more_on_request,
    listings_are_filtered_and_stay_stable_while_orders_come,
);

fn path(order: &Value, what: &str) -> String {
    format!("/v1/orders/{}{what}", order["id"].as_str().unwrap())
}

fn codes(problem: &Value) -> Vec<(&str, &str)> {
    let errors = problem["errors"].as_array().unwrap();
    errors.iter().map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap())).collect()
}

async fn a_cancelled_order_asks_nobody_any_more(app: TestApp) {
    let body = json!({
        "order_ref": "A-1", "names": ["www.example.co.jp", "a.example.jp"],
        "approvers": ["admin@example.co.jp", "admin@example.jp"], "notify": ["staff@reseller.example"],
    });
    let order = app.place(&body).await;
    app.run_jobs().await;
    let mut mails = app.approval_mails();
    mails.sort_by_key(|mail| mail.rcpt_to != ["admin@example.co.jp"]);
    let links: Vec<String> = mails.iter().map(|mail| mail.link().unwrap()).collect();
    assert_eq!(app.approve(&links[0]).await.0, 303);
    let (status, refused) = app.post(&path(&order, "/cancel"), &json!({})).await;
    assert_eq!((status, codes(&refused)), (422, vec![("/reason", "missing-field")]));
    let wrong = json!({"reason": "x", "common_name": "other.example.com", "by": "nobody"});
    let (status, refused) = app.post(&path(&order, "/cancel"), &wrong).await;
    assert_eq!((status, codes(&refused)), (422, vec![("/by", "bad-value"), ("/common_name", "bad-value")]));
    let told = json!({"reason": "お客様の都合", "common_name": "www.example.co.jp", "by": "applicant"});
    let (status, cancelled) = app.post(&path(&order, "/cancel"), &told).await;
    assert_eq!((status, cancelled["state"].as_str()), (200, Some("cancelled")), "{cancelled}");
    let states: Vec<_> = cancelled["validations"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["approved", "cancelled"], "what was approved stays approved");
    let (status, page) = app.page(&links[1]).await;
    assert!(status == 410 && page.contains("申請が取り消されました"), "{page}");
    app.run_jobs().await;
    let hook = app.hooks.taken("order.cancelled").pop().unwrap();
    assert_eq!((&hook.body["data"]["reason"], &hook.body["data"]["by"]), (&json!("お客様の都合"), &json!("applicant")));
    assert!(app.hooks.taken("order.completed").is_empty(), "a cancelled order sends no order.completed");
    assert!(app.notices().contains(&("cancelled".to_owned(), "staff@reseller.example".to_owned())), "{:?}", app.notices());
    let (status, refused) = app.post(&path(&order, "/cancel"), &told).await;
    assert_eq!((status, refused["code"].as_str()), (409, Some("order-ended")));
    assert_eq!(app.post("/v1/orders/ord_06h05e7n8m7cf25yex003awh3r/cancel", &told).await.0, 404);
}

async fn a_deadline_is_moved_within_thirty_days(app: TestApp) {
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let link = app.last_link();
    let extend = async |days: Value| app.post(&path(&order, "/extend"), &json!({"days": days, "reason": "担当者が休暇中"})).await;
    for bad in [json!(0), json!(-1), json!(30), json!("3"), json!(1.5), Value::Null] {
        let (status, refused) = extend(bad.clone()).await;
        assert_eq!((status, refused["errors"][0]["pointer"].as_str()), (422, Some("/days")), "{bad}");
    }
    let (status, refused) = extend(json!(5)).await;
    assert_eq!((status, refused["code"].as_str()), (422, Some("past-30-days")), "{refused}");
    assert_eq!(refused["latest"], "2026-12-22T00:00:00Z");
    let (status, extended) = extend(json!(4)).await;
    assert_eq!((status, extended["mails"][0]["expires_at"].as_str()), (202, Some("2026-12-22T00:00:00Z")), "{extended}");
    assert_eq!(extend(json!(1)).await.0, 422, "30 days are the last");
    app.clock.advance(Duration::from_secs(27 * 86_400));
    app.run_jobs().await;
    assert!(app.page(&link).await.1.contains("2026年12月22日"), "the page tells the new deadline, the link is the same");
    assert_eq!(app.approve(&link).await.0, 303);
    assert!(app.event_types(&order).await.contains(&"order.extended".to_owned()));
    let (status, refused) = extend(json!(1)).await;
    assert_eq!((status, refused["code"].as_str()), (409, Some("link-ended")));
}

async fn a_certificate_is_reported_once(app: TestApp) {
    let names = ["www.example.co.jp", "example.co.jp"];
    let order = app.place(&json!({"order_ref": "A-1", "names": names, "approvers": ["admin@example.co.jp"]})).await;
    app.run_jobs().await;
    let certificate = |serial: &str, until: &str| json!({"serial": serial, "names": names, "not_before": "2026-11-23T00:00:00Z", "not_after": until});
    let report = async |body: Value| app.post(&path(&order, "/certificates"), &body).await;
    let (status, refused) = report(certificate("0A:1B", "2027-05-01T00:00:00Z")).await;
    assert_eq!((status, codes(&refused)), (422, vec![("/names/0", "not-approved")]), "nothing rests on what nobody approved");
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    let (status, refused) = report(json!({"serial": "nonsense", "names": [], "not_before": "x"})).await;
    assert_eq!(status, 422);
    let pointers: Vec<_> = codes(&refused).into_iter().map(|(pointer, _)| pointer.to_owned()).collect();
    assert_eq!(pointers, ["/serial", "/names", "/not_before", "/not_after"]);
    let (status, first) = report(certificate("0A:1B", "2027-05-01T00:00:00Z")).await;
    assert_eq!((status, first["serial"].as_str()), (201, Some("a1b")), "{first}");
    let (status, again) = report(certificate("a1b", "2027-05-01T00:00:00Z")).await;
    assert_eq!((status, &again), (200, &first), "however it is written");
    let of = |names: &[&str]| {
        let mut told = certificate("a1b", "2027-05-01T00:00:00Z");
        told["names"] = json!(names);
        told
    };
    assert_eq!(
        report(of(&["example.co.jp", "www.example.co.jp"])).await,
        (200, first.clone()),
        "in whichever order its names are"
    );
    for other in [certificate("a1b", "2027-06-01T00:00:00Z"), of(&names[..1])] {
        let (status, refused) = report(other).await;
        assert_eq!((status, refused["code"].as_str()), (409, Some("certificate-differs")));
    }
    let types = app.event_types(&order).await;
    assert_eq!(types.iter().filter(|kind| *kind == "certificate.recorded").count(), 1, "{types:?}");
    let shown = app.order(&order).await;
    assert_eq!(shown["certificates"], json!([first]), "{shown}");
}

/// Posts under an Idempotency-Key: status, whether it is a repeat's answer, body.
async fn keyed(app: &TestApp, path: &str, key: &str, body: &Value) -> (u16, bool, String) {
    let request = app.request(Method::POST, path).header("content-type", "application/json").header("idempotency-key", key);
    let answer = request.body(body.to_string()).send().await.unwrap();
    let (status, replayed) = (answer.status().as_u16(), answer.headers().contains_key("idempotency-replayed"));
    if status == 201 {
        assert_ne!(
            answer.headers().contains_key("location"),
            path.ends_with("/certificates"),
            "an order's address is told with it"
        );
    }
    (status, replayed, answer.text().await.unwrap())
}

async fn a_repeat_returns_the_first_answer_and_changes_nothing(app: TestApp) {
    let body = json!({"order_ref": "A-1", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]});
    let first = keyed(&app, "/v1/orders", "key-1", &body).await;
    assert_eq!((first.0, first.1), (201, false));
    app.run_jobs().await;
    assert_eq!(keyed(&app, "/v1/orders", "key-1", &body).await, (201, true, first.2.clone()), "byte for byte");
    assert_eq!(keyed(&app, "/v1/orders", "\"key-1\"", &body).await.2, first.2, "a structured field's string is the same key");
    let other = json!({"order_ref": "A-2", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]});
    let refused = keyed(&app, "/v1/orders", "key-1", &other).await;
    assert!(refused.0 == 409 && refused.2.contains("idempotency-key-reused"), "{}", refused.2);
    // What was refused is not remembered: corrected, it may be sent again.
    assert_eq!(keyed(&app, "/v1/orders", "key-2", &json!({"order_ref": "A-3"})).await.0, 422);
    let corrected = json!({"order_ref": "A-3", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]});
    assert_eq!(keyed(&app, "/v1/orders", "key-2", &corrected).await.0, 201);
    assert_eq!(keyed(&app, "/v1/orders", "ke y", &corrected).await.0, 422);
    let order: Value = serde_json::from_str(&first.2).unwrap();
    let (resend, told) = (path(&order, "/resend"), json!({"mail_id": order["mails"][0]["id"]}));
    let resent = keyed(&app, &resend, "key-3", &told).await;
    assert_eq!((resent.0, resent.1), (202, false), "{}", resent.2);
    assert_eq!(keyed(&app, &resend, "key-3", &told).await, (202, true, resent.2));
    let (cancel, why) = (path(&order, "/cancel"), json!({"reason": "x"}));
    let cancelled = keyed(&app, &cancel, "key-4", &why).await;
    assert_eq!(cancelled.0, 200);
    assert_eq!(keyed(&app, &cancel, "key-4", &why).await, (200, true, cancelled.2));
    let types = app.event_types(&order).await;
    let count = |kind: &str| types.iter().filter(|one| *one == kind).count();
    assert_eq!((count("order.created"), count("mail.resent"), count("order.cancelled")), (1, 1, 1), "{types:?}");
    // After two days a key is forgotten.
    app.clock.advance(Duration::from_secs(49 * 3600));
    let forgotten = app.app.store.forget_requests(app.app.now(), Duration::from_secs(48 * 3600), 100).await.unwrap();
    assert_eq!(forgotten, 4);
}

async fn repeats_at_once_place_one_order(app: TestApp) {
    let body = json!({"order_ref": "A-1", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]});
    let answers = futures_util::future::join_all((0..8).map(|_| keyed(&app, "/v1/orders", "key-1", &body))).await;
    let ids: Vec<Value> = answers.iter().map(|(_, _, body)| serde_json::from_str::<Value>(body).unwrap()["id"].clone()).collect();
    assert!(answers.iter().all(|(status, ..)| *status == 201), "{answers:?}");
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let (_, listed) = app.get("/v1/orders").await;
    assert_eq!(listed["orders"].as_array().unwrap().len(), 1);
}

async fn repeats_at_once_note_one_certificate(app: TestApp) {
    let names = ["www.example.co.jp"];
    let order = app.place(&json!({"order_ref": "A-1", "names": names, "approvers": ["admin@example.co.jp"]})).await;
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    let at = path(&order, "/certificates");
    let body =
        json!({"serial": "a1b", "names": names, "not_before": "2026-11-23T00:00:00Z", "not_after": "2027-05-01T00:00:00Z"});
    let answers = futures_util::future::join_all((0..8).map(|_| keyed(&app, &at, "key-1", &body))).await;
    assert!(answers.iter().all(|(status, _, told)| *status == 201 && *told == answers[0].2), "{answers:?}");
    assert_eq!(answers.iter().filter(|(_, repeated, _)| !repeated).count(), 1, "{answers:?}");
    let known = keyed(&app, &at, "key-2", &body).await;
    assert_eq!((known.0, known.1, &known.2), (200, false, &answers[0].2), "another key, a certificate that is known");
    let again = keyed(&app, &at, "key-2", &body).await;
    assert_eq!((again.0, again.1, &again.2), (200, true, &answers[0].2));
}

async fn a_repeat_after_a_crash_finds_what_was_done(app: TestApp) {
    let body = json!({"order_ref": "A-1", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]});
    let first = keyed(&app, "/v1/orders", "key-1", &body).await;
    // As if the daemon had ended between the commit and the keeping of its answer.
    app.app.store.write("forget_answer", |tx| Box::pin(async move { tx.forget_answer("orders", "key-1").await })).await.unwrap();
    let again = keyed(&app, "/v1/orders", "key-1", &body).await;
    let id = |body: &str| serde_json::from_str::<Value>(body).unwrap()["id"].clone();
    assert_eq!((again.0, again.1, id(&again.2)), (201, true, id(&first.2)));
}

/// The profiles of the tests that take some.
const PROFILES: &[(&str, &str)] = &[
    ("reuse", REUSE),
    (
        "enforcing",
        "extends = \"standard\"\ncompliance = \"enforce\"\nreuse.mode = \"per_domain\"\npage.scope_options = [\"fqdn\", \"base\"]\n",
    ),
    (
        "other-ca",
        "extends = \"standard\"\nca = \"甲認証局\"\nreuse.mode = \"per_domain\"\npage.scope_options = [\"fqdn\", \"base\"]\n",
    ),
    ("single", "extends = \"standard\"\nconcurrency = \"single_open\"\n"),
    ("last", "extends = \"standard\"\nconcurrency = \"supersede\"\n"),
    ("txt", "extends = \"standard\"\naddresses.sources = [\"dns_txt\"]\n"),
    ("operators-cancel", "extends = \"standard\"\ncancel.by = [\"operator\"]\n"),
];

on_both_with!(
    PROFILES;
    a_live_approval_is_reused_for_what_it_covers,
    live_approvals_are_listed_with_the_last_instant_of_each_row,
    a_disputed_approval_is_not_reused,
    whoever_rests_on_a_disputed_approval_is_told,
    an_approval_is_worth_what_its_address_would_be_worth_now,
    of_several_names_those_that_are_proven_are_asked_of_nobody,
    one_open_order_for_a_customer_where_the_profile_says_so,
    of_two_orders_at_once_one_is_open,
    sources_are_asked_again_until_somebody_is_found,
    who_may_cancel_must_say_so,
);

const REUSE: &str = "extends = \"standard\"\nreuse.mode = \"per_domain\"\npage.scope_options = [\"fqdn\", \"base\", \"order\"]\n";

/// Places an order under a profile for an applicant, and approves its mail where one went.
async fn order_for(app: &TestApp, order_ref: &str, name: &str, applicant: &str, scope: &str) -> Value {
    let body = json!({
        "order_ref": order_ref, "profile": "reuse", "names": [name], "approvers": ["admin@example.co.jp"],
        "applicant": {"organization": applicant},
    });
    let before = app.approval_mails().len();
    let order = app.place(&body).await;
    app.run_jobs().await;
    if app.approval_mails().len() > before && !scope.is_empty() {
        let link = app.last_link();
        let nonce = app.nonce(&link).await;
        let form = [("decision", "approve"), ("authority", "yes"), ("scope", scope), ("nonce", nonce.as_str())];
        assert_eq!(app.send_form(&link, &form).await.0, 303);
    }
    app.order(&order).await
}

async fn a_live_approval_is_reused_for_what_it_covers(app: TestApp) {
    let first = order_for(&app, "A-1", "www.example.co.jp", "株式会社サンプル", "base").await;
    app.clock.advance(Duration::from_secs(86_400));
    let second = order_for(&app, "A-2", "shop.example.co.jp", "株式会社サンプル", "").await;
    assert_eq!((second["state"].as_str(), second["mails"].as_array().unwrap().len()), (Some("completed"), 0), "{second}");
    let validation = &second["validations"][0];
    assert_eq!(validation["reused_from"]["order_id"], first["id"]);
    assert_eq!((&validation["reused_from"]["name"], &validation["scope"]), (&json!("www.example.co.jp"), &json!("base")));
    assert_eq!(validation["reusable_until"], first["validations"][0]["reusable_until"], "no longer than the first");
    app.run_jobs().await;
    let told = app.hooks.received().into_iter().filter(|hook| hook.body["data"]["order_id"] == second["id"]);
    let kinds: Vec<String> = told.map(|hook| hook.kind().to_owned()).collect();
    assert_eq!(kinds, ["order.created", "validation.approved", "order.completed"]);
    let hook = app.hooks.taken("validation.approved").pop().unwrap();
    let data = &hook.body["data"];
    assert_eq!((&data["reused_from"]["order_ref"], &data["initiated_at"]), (&json!("A-1"), &json!("2026-11-22T00:00:00Z")));
    // Another applicant is asked anew.
    let other = order_for(&app, "A-3", "www.example.co.jp", "他社", "order").await;
    assert_eq!((other["state"].as_str(), other["validations"][0]["reused_from"].is_null()), (Some("completed"), true));
    // So is one under a profile that asks each time.
    let body = json!({"order_ref": "A-4", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"], "applicant": {"organization": "株式会社サンプル"}});
    assert_eq!(app.place(&body).await["state"], "pending");
    // Past its time it is worth nothing.
    app.clock.advance(Duration::from_secs(200 * 86_400));
    assert_eq!(order_for(&app, "A-5", "shop.example.co.jp", "株式会社サンプル", "").await["state"], "pending");
}

async fn live_approvals_are_listed_with_the_last_instant_of_each_row(app: TestApp) {
    order_for(&app, "A-1", "www.example.co.jp", "株式会社サンプル", "fqdn").await;
    order_for(&app, "A-2", "*.example.co.jp", "株式会社サンプル", "order").await;
    let (status, listed) = app.get("/v1/validations?name=www.example.co.jp").await;
    assert_eq!((status, listed["validations"].as_array().unwrap().len()), (200, 1), "{listed}");
    let one = &listed["validations"][0];
    assert_eq!((&one["order_ref"], &one["scope"], &one["method"]), (&json!("A-1"), &json!("fqdn"), &json!("3.2.2.4.4")));
    assert_eq!(one["reusable_until"], "2027-03-15T00:00:00Z");
    let rows: Vec<_> =
        one["rows"].as_array().unwrap().iter().map(|row| (row["max_days"].clone(), row["usable_until"].clone())).collect();
    assert_eq!(rows[1], (json!(200), json!("2027-03-15T00:00:00Z")));
    assert_eq!(rows[2], (json!(100), Value::Null));
    for none in ["shop.example.co.jp", "*.example.co.jp", "example.co.jp"] {
        let (_, listed) = app.get(&format!("/v1/validations?name={none}")).await;
        assert_eq!(listed["validations"], json!([]), "{none}: fqdn is the name alone, and `order` that order alone");
    }
    assert_eq!(app.get("/v1/validations").await.0, 422);
    assert_eq!(app.get("/v1/validations?name=co.jp").await.1["code"], "public-suffix");
}

async fn a_disputed_approval_is_not_reused(app: TestApp) {
    order_for(&app, "A-1", "www.example.co.jp", "株式会社サンプル", "base").await;
    app.run_jobs().await;
    let receipt = app.inbox.arrived().into_iter().find(|mail| mail.link().is_none()).unwrap().text();
    let dispute = receipt.lines().find(|line| line.contains("/dispute/")).unwrap().to_owned();
    assert_eq!(app.send_form(&dispute, &[("sure", "yes")]).await.0, 303);
    assert_eq!(order_for(&app, "A-2", "www.example.co.jp", "株式会社サンプル", "").await["state"], "pending");
    assert_eq!(app.get("/v1/validations?name=www.example.co.jp").await.1["validations"], json!([]));
}

async fn whoever_rests_on_a_disputed_approval_is_told(app: TestApp) {
    order_for(&app, "A-1", "www.example.co.jp", "株式会社サンプル", "base").await;
    app.run_jobs().await;
    let receipt = app.inbox.arrived().into_iter().find(|mail| mail.link().is_none()).unwrap().text();
    let second = order_for(&app, "A-2", "shop.example.co.jp", "株式会社サンプル", "").await;
    assert_eq!(second["state"], "completed");
    let dispute = receipt.lines().find(|line| line.contains("/dispute/")).unwrap().to_owned();
    assert_eq!(app.send_form(&dispute, &[("sure", "yes")]).await.0, 303);
    app.run_jobs().await;
    let told = app.hooks.taken("validation.disputed");
    let mut refs: Vec<_> =
        told.iter().map(|hook| (hook.body["data"]["order_ref"].clone(), hook.body["data"]["name"].clone())).collect();
    refs.sort_by_key(|(order_ref, _)| order_ref.to_string());
    assert_eq!(refs, [(json!("A-1"), json!("www.example.co.jp")), (json!("A-2"), json!("shop.example.co.jp"))]);
    assert!(!app.order(&second).await["validations"][0]["disputed_at"].is_null());
}

async fn an_approval_is_worth_what_its_address_would_be_worth_now(app: TestApp) {
    let place = async |order_ref: &str, profile: &str, approver: &str| {
        let order = app
            .place(&json!({
                "order_ref": order_ref, "profile": profile, "names": ["www.example.co.jp"], "approvers": [approver],
                "applicant": {"organization": "株式会社サンプル"},
            }))
            .await;
        app.run_jobs().await;
        order
    };
    let approve = async || {
        let link = app.last_link();
        let nonce = app.nonce(&link).await;
        let form = [("decision", "approve"), ("authority", "yes"), ("scope", "base"), ("nonce", nonce.as_str())];
        assert_eq!(app.send_form(&link, &form).await.0, 303);
    };
    app.dns.txt_is("example.co.jp", &["owner@example.co.jp"]);
    place("A-1", "reuse", "owner@example.co.jp").await;
    approve().await;
    assert_eq!(place("A-2", "reuse", "owner@example.co.jp").await["state"], "completed");
    // Under a profile that enforces, a DNS address that nobody corroborated is worth nothing, whoever approved by it before.
    assert_eq!(place("A-3", "enforcing", "admin@example.co.jp").await["state"], "pending");
    // Another authority's approval is none of this one's.
    assert_eq!(place("A-4", "other-ca", "admin@example.co.jp").await["state"], "pending");
    // Where a policy refuses constructed addresses, those that approved before it are refused too.
    place("A-5", "other-ca", "postmaster@example.co.jp").await;
    approve().await;
    assert_eq!(place("A-6", "other-ca", "postmaster@example.co.jp").await["state"], "completed");
    app.policy(&[("example.co.jp", "a free mail service")], &[]);
    let (status, _) = app.post("/v1/orders", &json!({
        "order_ref": "A-7", "profile": "other-ca", "names": ["www.example.co.jp"], "approvers": ["postmaster@example.co.jp"],
        "applicant": {"organization": "株式会社サンプル"},
    })).await;
    assert_eq!(status, 422);
}

async fn of_two_orders_at_once_one_is_open(app: TestApp) {
    let place = async |order_ref: &str| {
        let body = json!({"order_ref": order_ref, "profile": "single", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]});
        app.post("/v1/orders", &body).await.0
    };
    let refs: Vec<String> = (0..8).map(|n| format!("A-{n}")).collect();
    let mut statuses = futures_util::future::join_all(refs.iter().map(|order_ref| place(order_ref))).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
}

async fn who_may_cancel_must_say_so(app: TestApp) {
    let body = json!({"order_ref": "A-1", "profile": "operators-cancel", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]});
    let order = app.place(&body).await;
    let (status, refused) = app.post(&path(&order, "/cancel"), &json!({"reason": "x"})).await;
    assert_eq!((status, codes(&refused)), (422, vec![("/by", "missing-field")]));
    let (status, refused) = app.post(&path(&order, "/cancel"), &json!({"reason": "x", "by": "applicant"})).await;
    assert_eq!((status, refused["code"].as_str()), (403, Some("not-allowed")));
    assert_eq!(app.post(&path(&order, "/cancel"), &json!({"reason": "x", "by": "operator"})).await.0, 200);
}

async fn of_several_names_those_that_are_proven_are_asked_of_nobody(app: TestApp) {
    order_for(&app, "A-1", "www.example.co.jp", "株式会社サンプル", "fqdn").await;
    let body = json!({
        "order_ref": "A-2", "profile": "reuse", "names": ["www.example.co.jp", "shop.example.co.jp"],
        "approvers": ["admin@example.co.jp"], "applicant": {"organization": "株式会社サンプル"},
    });
    let order = app.place(&body).await;
    let states: Vec<_> = order["validations"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!((order["state"].as_str(), states), (Some("pending"), vec!["approved", "pending"]));
    assert_eq!(order["mails"][0]["names"], json!(["shop.example.co.jp"]));
}

async fn one_open_order_for_a_customer_where_the_profile_says_so(app: TestApp) {
    let body = |order_ref: &str, profile: &str, applicant: &str| {
        json!({
            "order_ref": order_ref, "profile": profile, "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"],
            "applicant": {"organization": applicant},
        })
    };
    let first = app.place(&body("A-1", "single", "甲")).await;
    let (status, refused) = app.post("/v1/orders", &body("A-2", "single", "甲")).await;
    assert_eq!((status, refused["code"].as_str(), &refused["order_id"]), (409, Some("open-order-exists"), &first["id"]));
    app.place(&body("A-3", "single", "乙")).await;
    let last = app.place(&body("A-4", "last", "甲")).await;
    assert_eq!(app.order(&first).await["state"], "cancelled");
    assert_eq!(app.order(&last).await["state"], "pending");
}

async fn many_orders_are_taken_line_by_line(app: TestApp) {
    let line = |order_ref: &str, name: &str| {
        json!({"order_ref": order_ref, "names": [name], "approvers": ["admin@example.co.jp"]}).to_string()
    };
    let mut lines: Vec<String> = (0..40).map(|n| line(&format!("B-{n}"), "www.example.co.jp")).collect();
    lines[3].insert(0, '!');
    lines[5] = line("B-5", "co.jp");
    lines[7] = line("B-6", "www.example.co.jp");
    lines.insert(9, String::new());
    let send = async |key: Option<&str>| {
        let mut request = app.request(Method::POST, "/v1/orders/bulk").header("content-type", "application/jsonl");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.body(lines.join("\n")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let first = send(Some("bulk-1")).await;
    assert_eq!(first.len(), 40);
    let status = |at: usize| (first[at]["line"].as_u64().unwrap(), first[at]["status"].as_u64().unwrap());
    assert_eq!((status(0), status(3), status(5)), ((1, 201), (4, 400), (6, 422)));
    assert_eq!(
        first[5]["problem"]["errors"][0],
        json!({"pointer": "/names/0", "code": "public-suffix", "detail": first[5]["problem"]["detail"]})
    );
    assert!(status(6).1 + status(7).1 == 201 + 409, "of two with one reference one is taken");
    assert_eq!(status(9), (11, 201), "blank lines count as lines and are no orders");
    // Mails go meanwhile; a repeat tells what was answered first all the same, and places nothing.
    app.run_jobs().await;
    let again = send(Some("bulk-1")).await;
    assert_eq!(again, first);
    let (_, listed) = app.get("/v1/orders?limit=200").await;
    assert_eq!(listed["orders"].as_array().unwrap().len(), 37);
    let (status, _) = app.post("/v1/orders/bulk", &json!({})).await;
    assert_eq!(status, 415);
    let many = vec!["{}"; 1001].join("\n");
    let request = app.request(Method::POST, "/v1/orders/bulk").header("content-type", "application/x-ndjson").body(many);
    assert_eq!(request.send().await.unwrap().status(), 422);
}

async fn events_are_posted_once_more_on_request(app: TestApp) {
    app.place_plain("A-1").await;
    app.run_jobs().await;
    let first = app.hooks.taken("order.created").pop().unwrap();
    let (status, replayed) = app.post("/v1/webhooks/replay", &json!({"event_id": first.id})).await;
    assert_eq!((status, &replayed["replayed"]), (202, &json!(1)), "{replayed}");
    app.run_jobs().await;
    let created = app.hooks.taken("order.created");
    assert_eq!((created.len(), &created[1].id, &created[1].body), (2, &first.id, &first.body), "the same id and body");
    app.clock.advance(Duration::from_secs(60));
    let range = json!({"from": "2026-11-22T00:00:00Z", "to": "2026-11-22T00:01:00Z"});
    let (_, replayed) = app.post("/v1/webhooks/replay", &range).await;
    assert_eq!((&replayed["replayed"], &replayed["next_from"]), (&json!(2), &Value::Null), "order.created and mail.sent");
    let later = json!({"from": "2026-11-22T00:01:00Z", "to": "2026-11-23T00:00:00Z"});
    assert_eq!(app.post("/v1/webhooks/replay", &later).await.1["replayed"], 0);
    for (bad, status) in [
        (json!({}), 422),
        (json!({"event_id": "x"}), 422),
        (json!({"event_id": "evt_06h05e7n8m7cf25yex003awh3r"}), 404),
        (json!({"from": "2026-11-22T00:00:00Z", "to": "2026-11-22T00:00:00Z"}), 422),
    ] {
        assert_eq!(app.post("/v1/webhooks/replay", &bad).await.0, status, "{bad}");
    }
    // Another client's events are none.
    let request = app.client.post(format!("{}/v1/webhooks/replay", app.base)).bearer_auth(crate::support::app::OTHER_TOKEN);
    let request = request.header("content-type", "application/json").body(json!({"event_id": first.id}).to_string());
    assert_eq!(request.send().await.unwrap().status(), 404);
}

async fn listings_are_filtered_and_stay_stable_while_orders_come(app: TestApp) {
    for n in 0..5 {
        app.place_plain(&format!("A-{n}")).await;
        app.clock.advance(Duration::from_secs(3600));
    }
    let refs = |page: &Value| -> Vec<String> {
        page["orders"].as_array().unwrap().iter().map(|one| one["order_ref"].as_str().unwrap().to_owned()).collect()
    };
    let (_, page) = app.get("/v1/orders?limit=2").await;
    assert_eq!(refs(&page), ["A-4", "A-3"]);
    app.place_plain("A-5").await;
    let (_, next) = app.get(&format!("/v1/orders?limit=2&cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!(refs(&next), ["A-2", "A-1"], "what came meanwhile moves nothing");
    let (_, page) = app.get("/v1/orders?created_from=2026-11-22T01:00:00Z&created_to=2026-11-22T03:00:00Z").await;
    assert_eq!(refs(&page), ["A-2", "A-1"]);
    let (_, page) = app.get("/v1/orders?expires_from=2026-12-18T03:30:00Z").await;
    assert_eq!(refs(&page), ["A-5", "A-4"]);
    let (_, page) = app.get("/v1/orders?expires_to=2026-12-18T00:30:00Z").await;
    assert_eq!(refs(&page), ["A-0"]);
    assert_eq!(app.post(&path(&page["orders"][0], "/cancel"), &json!({"reason": "x"})).await.0, 200);
    let (_, page) = app.get("/v1/orders?expires_to=2026-12-18T00:30:00Z").await;
    assert!(refs(&page).is_empty(), "what has ended has no deadline to come");
    assert_eq!(refs(&app.get("/v1/orders?profile=standard").await.1).len(), 6);
    assert_eq!(refs(&app.get("/v1/orders?profile=other").await.1).len(), 0);
    let (status, refused) = app.get("/v1/orders?created_from=yesterday&no_such=1").await;
    assert_eq!((status, codes(&refused)), (422, vec![("/no_such", "unknown-field"), ("/created_from", "bad-value")]));
}

#[tokio::test]
async fn a_listing_that_no_index_leads_to_goes_on_where_it_ended() {
    let app = TestApp::sqlite().await;
    let first = app.place_plain("A-0").await;
    assert_eq!(app.post(&path(&first, "/cancel"), &json!({"reason": "x"})).await.0, 200);
    app.clock.advance(Duration::from_secs(3600));
    app.place_plain("A-1").await;
    let mut conn = sqlx::SqliteConnection::connect(&app.url).await.unwrap();
    for sql in [
        "CREATE TEMP TABLE more AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
         SELECT o.*, i FROM orders o, n WHERE o.order_ref = 'A-1'",
        "UPDATE more SET id = unhex(substr(hex(id), 1, 12) || printf('%020x', i)), order_ref = 'B-' || i",
        "ALTER TABLE more DROP COLUMN i",
        "INSERT INTO orders SELECT * FROM more",
    ] {
        sqlx::query(sql).execute(&mut conn).await.unwrap();
    }
    for sought in ["state=cancelled", "state=cancelled&profile=standard"] {
        let (_, page) = app.get(&format!("/v1/orders?{sought}")).await;
        let cursor = page["next_cursor"].as_str().expect("there may be older ones").to_owned();
        assert_eq!(page["orders"], json!([]));
        let (_, page) = app.get(&format!("/v1/orders?{sought}&cursor={cursor}")).await;
        assert_eq!((&page["orders"][0]["order_ref"], &page["next_cursor"]), (&json!("A-0"), &Value::Null));
    }
    assert_eq!(app.get("/v1/orders?state=pending").await.1["orders"].as_array().unwrap().len(), 50);
}

async fn with_token(app: &TestApp, token: &str, method: Method, path: &str, body: &Value) -> reqwest::Response {
    let request = app.client.request(method, format!("{}{path}", app.base)).bearer_auth(token);
    request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap()
}

#[tokio::test]
async fn a_client_does_what_it_may_and_no_faster() {
    let quick = "extends = \"standard\"\naddresses.sources = [\"constructed\"]\n";
    let app = TestApp::with_profiles(&[("quick", quick)]).await;
    let body = |profile: &str, order_ref: &str| json!({"order_ref": order_ref, "profile": profile, "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]});
    let refused = with_token(&app, READER_TOKEN, Method::POST, "/v1/orders", &body("quick", "A-1")).await;
    assert_eq!(refused.status(), 403);
    let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(problem["code"], "insufficient-scope");
    assert_eq!(with_token(&app, READER_TOKEN, Method::GET, "/v1/orders", &Value::Null).await.status(), 200);
    assert_eq!(with_token(&app, READER_TOKEN, Method::POST, "/v1/webhooks/replay", &json!({})).await.status(), 403);
    let refused = with_token(&app, SLOW_TOKEN, Method::POST, "/v1/orders", &body("standard", "A-1")).await;
    assert_eq!((refused.status().as_u16(), refused.headers()["ratelimit"].to_str().unwrap()), (403, "\"client\";r=2;t=1200"));
    assert_eq!(with_token(&app, SLOW_TOKEN, Method::POST, "/v1/orders", &body("quick", "A-1")).await.status(), 201);
    assert_eq!(with_token(&app, SLOW_TOKEN, Method::GET, "/v1/orders", &Value::Null).await.status(), 200);
    let refused = with_token(&app, SLOW_TOKEN, Method::GET, "/v1/orders", &Value::Null).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=1201).contains(&wait) && refused.headers()["ratelimit-policy"] == "\"client\";q=3;w=3600");
    assert_eq!(app.get("/v1/orders").await.0, 200, "others are not slowed");
}

#[tokio::test]
async fn a_client_under_test_mails_nobody_and_proves_nothing() {
    let app = TestApp::with_profiles(&[("reuse", REUSE)]).await;
    let body = json!({
        "order_ref": "T-1", "profile": "reuse", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"],
        "applicant": {"organization": "株式会社サンプル"}, "notify": ["staff@reseller.example"],
    });
    let placed = with_token(&app, TEST_TOKEN, Method::POST, "/v1/orders", &body).await;
    assert_eq!(placed.status(), 201);
    let order: Value = serde_json::from_str(&placed.text().await.unwrap()).unwrap();
    assert_eq!(order["test"], true);
    app.run_jobs().await;
    assert!(app.inbox.arrived().is_empty(), "no mail goes out, notices neither");
    let counted =
        app.app.store.handed_to("admin@example.co.jp", dcvd::dcv::timestamp::Timestamp::from_unix_secs(0), 10).await.unwrap();
    assert!(counted.is_empty(), "and nothing counts against the recipient's cap");
    let message = path(&order, &format!("/mails/{}/message", order["mails"][0]["id"].as_str().unwrap()));
    let answer = with_token(&app, TEST_TOKEN, Method::GET, &message, &Value::Null).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()), (200, "message/rfc822"));
    let raw = answer.bytes().await.unwrap();
    let text = mail_parser::MessageParser::new().parse(&raw[..]).unwrap().body_text(0).unwrap().into_owned();
    let link = text.lines().find(|line| line.contains("/approve/")).unwrap().to_owned();
    let nonce = app.nonce(&link).await;
    assert!(app.page(&link).await.1.contains("テスト"), "the page says that it is a test");
    let form = [("decision", "approve"), ("authority", "yes"), ("scope", "base"), ("nonce", nonce.as_str())];
    assert_eq!(app.send_form(&link, &form).await.0, 303);
    app.run_jobs().await;
    let hook = app.hooks.taken("validation.approved").pop().unwrap();
    assert_eq!((&hook.body["data"]["test"], &hook.body["data"]["reusable_until"]), (&json!(true), &Value::Null));
    assert!(app.hooks.received().iter().all(|hook| hook.body["data"]["test"] == true));
    let second = json!({
        "order_ref": "T-2", "profile": "reuse", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"],
        "applicant": {"organization": "株式会社サンプル"},
    });
    let placed = with_token(&app, TEST_TOKEN, Method::POST, "/v1/orders", &second).await;
    assert!(placed.text().await.unwrap().contains("\"state\":\"pending\""), "never reusable");
    // In earnest nobody but the recipient sees a link.
    let real = app.place_plain("A-1").await;
    app.run_jobs().await;
    let message = path(&real, &format!("/mails/{}/message", real["mails"][0]["id"].as_str().unwrap()));
    assert_eq!(app.get(&message).await.0, 404);
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone_until_it_is_said_to_be_back() {
    let app = TestApp::sqlite().await;
    app.hooks.answer_with(410);
    app.place_plain("A-1").await;
    app.run_jobs().await;
    assert_eq!(app.hooks.received().len(), 1, "one answer is enough");
    let order = app.place_plain("A-2").await;
    app.run_jobs().await;
    assert_eq!(app.hooks.received().len(), 1);
    app.hooks.answer_with(200);
    let kept = app.app.store.endpoint_back("hook", app.app.now()).await.unwrap();
    assert_eq!(kept, Some(4), "what was kept as dead letters goes now");
    app.run_jobs().await;
    let taken: Vec<String> = app
        .hooks
        .received()
        .iter()
        .filter(|hook| hook.body["data"]["order_id"] == order["id"])
        .map(|hook| hook.kind().to_owned())
        .collect();
    assert_eq!(taken, ["order.created", "mail.sent"]);
}

async fn sources_are_asked_again_until_somebody_is_found(app: TestApp) {
    let place = async |order_ref: &str, approvers: Value| {
        app.place(&json!({"order_ref": order_ref, "profile": "txt", "names": ["www.example.co.jp"], "approvers": approvers}))
            .await
    };
    let (chosen, all) = (place("A-1", Value::Null).await, place("A-2", json!("all")).await);
    let look = async || {
        dcvd::app::look_again::look_again_due(&app.app).await.unwrap();
        app.run_jobs().await;
    };
    look().await;
    let needed = app.hooks.taken("approver.needed");
    let data = &needed[0].body["data"];
    assert_eq!((needed.len(), &data["reason"]), (2, &json!("none-found")));
    assert_eq!(data["remedies"][0]["code"], "publish-txt");
    assert_eq!(data["remedies"][0]["record"], "_validation-contactemail.example.co.jp. IN TXT \"<address>\"");
    app.clock.advance(Duration::from_secs(3600));
    look().await;
    assert!(app.event_types(&chosen).await.contains(&"approver.looked_again".to_owned()));
    app.dns.txt_is("example.co.jp", &["owner@example.co.jp"]);
    app.clock.advance(Duration::from_secs(3600));
    look().await;
    assert!(app.approval_mails().is_empty(), "not before its time: the waits double");
    app.clock.advance(Duration::from_secs(3600));
    look().await;
    assert_eq!(app.order(&all).await["validations"][0]["state"], "pending", "who was to be asked anyway is asked");
    assert_eq!(app.approval_mails().len(), 1);
    let found = app.hooks.taken("approver.needed").pop().unwrap();
    assert_eq!(found.body["data"]["order_id"], chosen["id"]);
    assert_eq!(found.body["data"]["allowed"], json!({"www.example.co.jp": ["owner@example.co.jp"]}));
    let (status, changed) = app.post(&path(&chosen, "/approvers"), &json!({"approvers": ["owner@example.co.jp"]})).await;
    assert_eq!((status, changed["validations"][0]["state"].as_str()), (202, Some("pending")));
    app.clock.advance(Duration::from_secs(86_400));
    look().await;
    assert_eq!(app.hooks.taken("approver.needed").len(), 3, "nothing is asked for any more");
}

#[tokio::test]
async fn where_the_service_chooses_an_order_names_nobody() {
    let system = "extends = \"standard\"\naddresses.sources = [\"constructed\"]\naddresses.local_parts = [\"admin\", \"postmaster\"]\n\
                  addresses.adn = \"registrable\"\naddresses.selected_by = \"system\"\naddresses.dispatch = \"all_candidates\"\n";
    let app = TestApp::with_profiles(&[("system", system)]).await;
    let mut body =
        json!({"order_ref": "A-1", "profile": "system", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]});
    let (status, refused) = app.post("/v1/orders", &body).await;
    assert_eq!((status, codes(&refused)), (422, vec![("/approvers", "address-not-selectable")]));
    body.as_object_mut().unwrap().remove("approvers");
    let order = app.place(&body).await;
    let asked: Vec<_> = order["mails"].as_array().unwrap().iter().map(|mail| mail["to"].as_str().unwrap()).collect();
    assert_eq!(asked, ["admin@example.co.jp", "postmaster@example.co.jp"]);
    let (status, refused) = app.post(&path(&order, "/approvers"), &json!({"approvers": ["postmaster@example.co.jp"]})).await;
    assert_eq!((status, codes(&refused)), (422, vec![("/approvers", "address-not-selectable")]));
}

#[tokio::test]
async fn the_api_describes_itself_and_its_problems() {
    let app = TestApp::sqlite().await;
    let read = async |path: &str| app.page(&format!("{}{path}", app.base)).await;
    let (status, text) = read("/openapi.json").await;
    let doc: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, doc["servers"][0]["url"].as_str()), (200, Some(app.base.as_str())));
    // The example of the description is an order that is taken.
    let example = &doc["components"]["schemas"]["NewOrderBody"]["example"];
    assert_eq!(app.post("/v1/orders", example).await.0, 201);
    let (_, refused) = app.post("/v1/orders", &json!({})).await;
    let (status, page) = read(refused["type"].as_str().unwrap()).await;
    assert!(status == 200 && page.contains("approver-not-allowed") && page.contains("What to do"), "{page}");
    assert_eq!(read("/problems/no-such").await.0, 404);
    for (code, ..) in dcvd::http::CODES {
        assert_eq!(read(&format!("/problems/{code}")).await.0, 200, "{code}");
    }
    let answer = app.client.get(format!("{}/docs", app.base)).send().await.unwrap();
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("script-src 'self'") && answer.text().await.unwrap().contains("/static/redoc.standalone.js"));
    assert_eq!(read("/static/redoc.standalone.js").await.0, 200);
}

#[tokio::test]
async fn the_status_page_says_when_the_certificate_ends_and_how_that_is_known() {
    let app = TestApp::sqlite().await;
    let page =
        async |order: &Value| app.page(&format!("{}/admin/orders/{}?lang=en", app.base, order["id"].as_str().unwrap())).await.1;
    let plain = app.place_plain("A-1").await;
    assert!(page(&plain).await.contains("no renewal is made"));
    let told = json!({
        "order_ref": "A-2", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"], "metadata": {"not_after": "2027-05-01T00:00:00Z"},
    });
    assert!(page(&app.place(&told).await).await.contains("metadata.not_after"));
}

/// Checks posted data against the description: what it requires is there, and of the type it says.
fn as_described(doc: &Value, body: &Value) {
    let kind = body["type"].as_str().unwrap();
    let schema = &doc["webhooks"][kind]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["data"];
    assert!(schema.is_object(), "{kind} is described");
    for name in schema["required"].as_array().unwrap() {
        let value = &body["data"][name.as_str().unwrap()];
        let said = &schema["properties"][name.as_str().unwrap()]["type"];
        let types: Vec<&str> = said
            .as_array()
            .map_or_else(|| said.as_str().into_iter().collect(), |all| all.iter().filter_map(Value::as_str).collect());
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        assert!(
            body["data"].get(name.as_str().unwrap()).is_some() && (types.is_empty() || types.contains(&is)),
            "{kind}.{name} is {value}"
        );
    }
}

#[tokio::test]
async fn what_is_posted_is_what_the_description_says() {
    let app = TestApp::with_profiles(PROFILES).await;
    let doc: Value = serde_json::from_str(&app.page(&format!("{}/openapi.json", app.base)).await.1).unwrap();
    order_for(&app, "A-1", "www.example.co.jp", "株式会社サンプル", "base").await;
    app.run_jobs().await;
    let receipt = app.inbox.arrived().into_iter().find(|mail| mail.link().is_none()).unwrap().text();
    let dispute = receipt.lines().find(|line| line.contains("/dispute/")).unwrap().to_owned();
    order_for(&app, "A-2", "shop.example.co.jp", "株式会社サンプル", "").await;
    assert_eq!(app.send_form(&dispute, &[("sure", "yes")]).await.0, 303);
    for (order_ref, decision) in [("A-3", "reject"), ("A-4", "report")] {
        app.place_plain(order_ref).await;
        app.run_jobs().await;
        let link = app.last_link();
        let nonce = app.nonce(&link).await;
        assert_eq!(app.send_form(&link, &[("decision", decision), ("nonce", &nonce)]).await.0, 303);
    }
    let cancelled = app.place_plain("A-5").await;
    assert_eq!(app.post(&path(&cancelled, "/cancel"), &json!({"reason": "x"})).await.0, 200);
    app.place(&json!({"order_ref": "A-6", "profile": "txt", "names": ["www.example.co.jp"]})).await;
    app.inbox.answer_with(dcvd::demo::smtp::Reply::RefuseRcpt("550 5.1.1 no such user here".to_owned()));
    app.place_plain("A-7").await;
    app.run_jobs().await;
    app.clock.advance(Duration::from_secs(27 * 86_400));
    app.run_jobs().await;
    let posted = app.hooks.received();
    let mut kinds: Vec<&str> = posted.iter().map(dcvd::demo::webhooks::Received::kind).collect();
    for hook in &posted {
        as_described(&doc, &hook.body);
    }
    kinds.sort_unstable();
    kinds.dedup();
    let mut described: Vec<&str> = doc["webhooks"].as_object().unwrap().keys().map(String::as_str).collect();
    // Those two come from returned mail; tests/it/returned.rs reads them.
    described.retain(|kind| !matches!(*kind, "mail.bounced" | "mail.delayed"));
    assert_eq!(kinds, described);
}
