//! The audit log is whole or says where not; what auditors ask is answered from what is stored.

use std::io::{Cursor, Read as _};
use std::time::Duration;

use dcvd::app::audit::{Fault, affected, replay, sample, verify};
use dcvd::app::bundle::bundle;
use dcvd::app::seal::{adopt_round, seal_due};
use dcvd::dcv::id::OrderId;
use dcvd::store::ApprovalFilter;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::app::TestApp;
use crate::support::on_both;

on_both!(
    what_is_changed_taken_out_or_put_in_is_told,
    an_auditor_finds_what_a_fault_touched,
    a_sample_can_be_drawn_again,
    what_an_older_daemon_wrote_is_sealed_too,
    todays_code_decides_as_then,
    a_bundle_holds_all_for_people_and_programs,
);

fn all() -> ApprovalFilter {
    ApprovalFilter { between: (0, i64::MAX), ..ApprovalFilter::default() }
}

async fn approved(app: &TestApp, order_ref: &str, name: &str, email: &str) -> Value {
    let order = app.place(&json!({"order_ref": order_ref, "names": [name], "approvers": [email]})).await;
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    app.run_jobs().await;
    order
}

async fn faults(app: &TestApp, head: Option<&str>) -> Vec<Fault> {
    verify(&app.app.store, head, |_| {}).await.unwrap().faults
}

async fn what_is_changed_taken_out_or_put_in_is_told(app: TestApp) {
    app.dns.txt_is("example.co.jp", &["owner@example.co.jp"]);
    approved(&app, "A-1", "www.example.co.jp", "owner@example.co.jp").await;
    let before = verify(&app.app.store, None, |_| {}).await.unwrap();
    assert!(before.faults.is_empty() && before.seals == 0 && before.waiting > 5, "{before:?}");
    assert!(seal_due(&app.app).await.unwrap() > 0);
    assert_eq!(seal_due(&app.app).await.unwrap(), 0);
    let first = verify(&app.app.store, None, |_| {}).await.unwrap();
    assert!(first.faults.is_empty() && first.seals == 1 && first.waiting == 0 && first.rows == before.waiting, "{first:?}");
    approved(&app, "A-2", "www.example.jp", "admin@example.jp").await;
    seal_due(&app.app).await.unwrap();
    let head = first.head.unwrap();
    assert_eq!(faults(&app, Some(&head)).await, []);
    assert_eq!(faults(&app, Some("00")).await, [Fault::NotFound { head: "00".to_owned() }]);
    // Each of these is seen, and nothing else is.
    let changed =
        |found: &[Fault], kind: &str| found.len() == 1 && matches!(&found[0], Fault::Changed { kind: told, .. } if *told == kind);
    for (table, column, kind) in
        [("events", "data", "event"), ("answers", "signer", "answer"), ("lookups", "findings", "look-up")]
    {
        let one = format!("(SELECT id FROM {table} WHERE {column} IS NOT NULL ORDER BY id LIMIT 1)");
        let keep = format!("UPDATE {table} SET {column} = {column} || 'x' WHERE id = {one}");
        assert_eq!(app.tamper(&keep).await, 1, "{table}");
        let found = faults(&app, None).await;
        assert!(changed(&found, kind), "{table}: {found:?}");
        let back = format!("UPDATE {table} SET {column} = SUBSTR({column}, 1, LENGTH({column}) - 1) WHERE id = {one}");
        assert_eq!(app.tamper(&back).await, 1);
        assert_eq!(faults(&app, None).await, []);
    }
    // An approval that nobody gave, with everything a forger knows to add.
    let forged = "INSERT INTO answers (id, mail_id, at, answer, peer, user_agent, won)
        SELECT random_hash, id, created_at, 'approve', '127.0.0.1', '', 1 FROM mails WHERE id = (SELECT id FROM mails ORDER BY id LIMIT 1)";
    assert_eq!(app.tamper(forged).await, 1);
    assert_eq!(faults(&app, None).await, [Fault::Unsealed { kind: "answer", rows: 1 }]);
    assert_eq!(app.tamper("DELETE FROM answers WHERE id IN (SELECT random_hash FROM mails)").await, 1);
    // What was refused is taken out.
    assert_eq!(app.tamper("DELETE FROM answers WHERE id = (SELECT id FROM answers ORDER BY id LIMIT 1)").await, 1);
    let found = faults(&app, None).await;
    assert!(found.len() == 1 && matches!(&found[0], Fault::Gone { kind: "answer", .. }), "{found:?}");
    // Whoever takes out the seal too is told by the one that follows; whoever takes out the last, by a hash noted elsewhere.
    app.tamper("DELETE FROM seals WHERE number = 1").await;
    assert!(faults(&app, None).await.contains(&Fault::Chain { seal: 2 }));
    app.tamper("DELETE FROM seals WHERE number = 2").await;
    assert!(faults(&app, Some(&head)).await.contains(&Fault::NotFound { head }));
}

async fn what_an_older_daemon_wrote_is_sealed_too(app: TestApp) {
    approved(&app, "A-1", "www.example.co.jp", "admin@example.co.jp").await;
    // As if it had sealed nothing.
    app.tamper("DELETE FROM unsealed").await;
    assert!(!faults(&app, None).await.is_empty());
    for (kind, table) in [("event", "events"), ("answer", "answers")] {
        let mark =
            format!("INSERT INTO tally_marks (name, event) SELECT 'unsealed-{kind}', id FROM {table} ORDER BY id DESC LIMIT 1");
        assert_eq!(app.tamper(&mark).await, 1);
    }
    let found = verify(&app.app.store, None, |_| {}).await.unwrap();
    assert!(found.adopting && !found.faults.iter().any(|one| matches!(one, Fault::Unsealed { kind: "event", .. })), "{found:?}");
    while adopt_round(&app.app).await.unwrap() {}
    approved(&app, "A-2", "www.example.jp", "admin@example.jp").await;
    while seal_due(&app.app).await.unwrap() > 0 {}
    assert!(!adopt_round(&app.app).await.unwrap(), "once");
    assert_eq!(faults(&app, None).await, []);
}

async fn an_auditor_finds_what_a_fault_touched(app: TestApp) {
    app.dns.txt_is("example.co.jp", &["owner@example.co.jp"]);
    let by_txt = approved(&app, "A-1", "www.example.co.jp", "owner@example.co.jp").await;
    let at = app.app.now();
    app.clock.advance(Duration::from_secs(86_400));
    approved(&app, "A-2", "www.example.jp", "admin@example.jp").await;
    let certificate = json!({"serial": "0A1B", "names": ["www.example.co.jp"], "not_before": "2026-11-22T00:00:00Z", "not_after": "2027-05-22T00:00:00Z"});
    let path = format!("/v1/orders/{}/certificates", by_txt["id"].as_str().unwrap());
    assert_eq!(app.post(&path, &certificate).await.0, 201);
    let ask = async |filter: ApprovalFilter| {
        let mut found = Vec::new();
        affected(&app.app.store, &filter, |one| {
            found.push((one.order_ref, one.certificates.join(" ")));
            Ok(())
        })
        .await
        .unwrap();
        found
    };
    let told = |order_ref: &str, serial: &str| (order_ref.to_owned(), serial.to_owned());
    assert_eq!(ask(all()).await, [told("A-1", "a1b"), told("A-2", "")]);
    assert_eq!(ask(ApprovalFilter { source: Some("dns_txt".to_owned()), ..all() }).await, [told("A-1", "a1b")]);
    assert_eq!(ask(ApprovalFilter { method: Some("3.2.2.4.4".to_owned()), ..all() }).await, [told("A-2", "")]);
    assert_eq!(ask(ApprovalFilter { profile: Some("none".to_owned()), ..all() }).await, []);
    let version = app.app.profiles.get(None).unwrap().hash.to_vec();
    assert_eq!(ask(ApprovalFilter { version: Some(version), ..all() }).await.len(), 2);
    assert_eq!(ask(ApprovalFilter { between: (at.unix_micros() + 1, i64::MAX), ..all() }).await, [told("A-2", "")]);
}

async fn a_sample_can_be_drawn_again(app: TestApp) {
    for number in 0..7 {
        approved(&app, &format!("A-{number}"), &format!("www{number}.example.jp"), "admin@example.jp").await;
        app.clock.advance(Duration::from_secs(86_400));
    }
    let (row, drawn) = sample(&app.app, &all(), 20, "an auditor").await.unwrap();
    assert_eq!((row.total, drawn.len()), (7, 2), "a fifth of seven is two at least");
    // By the seed and the ids alone.
    let mut ids = Vec::new();
    affected(&app.app.store, &all(), |one| {
        ids.push(one.validation);
        Ok(())
    })
    .await
    .unwrap();
    ids.sort_by_cached_key(|id| Sha256::new_with_prefix(&row.seed).chain_update(id.as_bytes()).finalize().to_vec());
    assert_eq!(drawn.iter().map(|one| one.validation).collect::<Vec<_>>(), ids[..2]);
    assert_eq!(row.drawn, json!(ids[..2]).to_string());
    let (_, all_of_them) = sample(&app.app, &all(), 100, "an auditor").await.unwrap();
    assert_eq!(all_of_them.len(), 7);
}

async fn todays_code_decides_as_then(app: TestApp) {
    app.dns.txt_is("example.co.jp", &["owner@example.co.jp"]);
    app.dns.txt_is("example.jp", &["owner@example.jp"]);
    approved(&app, "A-1", "www.example.jp", "admin@example.jp").await;
    let differs = async || {
        let mut told = Vec::new();
        let counts = replay(&app.app, &all(), |one| {
            told.push(one.what);
            Ok(())
        })
        .await
        .unwrap();
        (counts, told)
    };
    assert_eq!(differs().await, ((1, 0), vec![]));
    // As if it had been written by a daemon with a fault.
    app.tamper(
        "UPDATE validations SET reusable_until = reusable_until + 86400000000, method = '3.2.2.4.14' WHERE state = 'approved'",
    )
    .await;
    assert_eq!(differs().await, ((1, 0), vec!["method", "reusable_until"]));
}

async fn a_bundle_holds_all_for_people_and_programs(app: TestApp) {
    let order = approved(&app, "<script>A-1</script>", "www.example.jp", "admin@example.jp").await;
    let token = app.last_link().rsplit('/').next().unwrap().to_owned();
    let id = OrderId::parse(order["id"].as_str().unwrap()).unwrap();
    let bytes = bundle(&app.app, id).await.unwrap();
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut read = |name: &str| {
        let mut text = String::new();
        archive.by_name(&format!("{id}/{name}")).unwrap().read_to_string(&mut text).unwrap();
        text
    };
    let (evidence, page, profile, sums) =
        (read("evidence.json"), read("evidence.html"), read("profile.json"), read("SHA256SUMS"));
    let value: Value = serde_json::from_str(&evidence).unwrap();
    assert_eq!(value["order"]["validations"][0]["state"], "approved");
    assert!(page.contains("試験 太郎") && page.contains("3.2.2.4.4") && !page.contains("<script>"), "{page}");
    assert!(!evidence.contains(&token) && !page.contains(&token), "no link");
    for (name, text) in [("evidence.json", &evidence), ("evidence.html", &page), ("profile.json", &profile)] {
        let sum = data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
        assert!(sums.contains(&format!("{sum}  {name}\n")), "{name}");
    }
    let answer = app.client.get(format!("{}/admin/orders/{id}/bundle", app.base)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()), (200, "application/zip"));
}
