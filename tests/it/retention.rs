//! What need not be kept any more goes, and the audit log can tell that from what somebody took out.

use std::path::Path;
use std::time::Duration;

use dcvd::app::audit::verify;
use dcvd::app::retain::{Removed, retain};
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::on_both;
use crate::support::process::program;

on_both!(what_need_not_be_kept_goes_and_the_audit_log_stays_whole,);

async fn what_need_not_be_kept_goes_and_the_audit_log_stays_whole(app: TestApp) {
    const DAY: Duration = Duration::from_secs(86_400);
    let order =
        |order_ref: &str| json!({"order_ref": order_ref, "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]});
    let answered = async |order_ref: &str, decision: &str| {
        let placed = app.place(&order(order_ref)).await;
        app.run_jobs().await;
        let (link, nonce) = (app.last_link(), app.nonce(&app.last_link()).await);
        let form = [("decision", decision), ("authority", "yes"), ("nonce", nonce.as_str())];
        assert_eq!(app.send_form(&link, &form).await.0, 303);
        placed
    };
    let (approved, refused) = (answered("A-1", "approve").await, answered("B-1", "reject").await);
    let at = app.app.now();
    let certificate = json!({"serial": "0a1b", "names": ["www.example.co.jp"], "not_before": at, "not_after": at + DAY * 90});
    let path = format!("/v1/orders/{}/certificates", approved["id"].as_str().unwrap());
    let (status, told) = app.post(&path, &certificate).await;
    assert!(status < 300, "{told}");
    app.run_jobs().await;
    let gone = async |order: &Value| app.get(&format!("/v1/orders/{}", order["id"].as_str().unwrap())).await.0 == 404;
    let retain = async |dry: bool| retain(&app.app, dry, Duration::ZERO, || false).await.unwrap();
    app.clock.advance(DAY * 730);
    assert_eq!(retain(true).await, Removed::default(), "two years are not over");
    app.clock.advance(DAY * 2);
    let open = app.place(&order("C-1")).await;
    app.run_jobs().await;
    assert_eq!(retain(true).await.orders.values().sum::<u64>(), 1);
    assert!(!gone(&refused).await, "it was only counted");
    assert_eq!(retain(false).await.orders.values().sum::<u64>(), 1);
    assert_eq!((gone(&refused).await, gone(&approved).await, gone(&open).await), (true, false, false));
    assert_eq!(retain(false).await, Removed::default());
    // Its approval could be reused for longer than its certificate lasts, and another may have been issued on it.
    app.clock.advance(DAY * 120);
    assert_eq!(retain(false).await, Removed::default());
    app.clock.advance(DAY * 398);
    assert_eq!(retain(false).await.orders.values().sum::<u64>(), 1);
    assert!(gone(&approved).await && !gone(&open).await);
    app.run_jobs().await;
    let verified = verify(&app.app.store, None, |_| ()).await.unwrap();
    assert!(verified.is_whole() && verified.retired > 5, "{verified:?}");
    // What somebody takes out by hand is told, also where they note it as we do.
    app.tamper("INSERT INTO retired (kind, id, retirement) SELECT 'e', e.id, r.id FROM events e, retirements r LIMIT 1").await;
    let verified = verify(&app.app.store, None, |_| ()).await.unwrap();
    assert!(!verified.is_whole(), "{verified:?}");
    // Nor does another removal excuse the first.
    app.tamper("INSERT INTO retirements (id, at, what, subject, rule, rows, digest) SELECT events.id, 0, 'order', '', '', 0, events.id FROM events LIMIT 1").await;
    app.tamper("DELETE FROM retired WHERE kind = 'e' AND id IN (SELECT id FROM events)").await;
    app.tamper("UPDATE retired SET retirement = (SELECT id FROM events LIMIT 1)").await;
    app.tamper("INSERT INTO retired (kind, id, retirement) SELECT 'r', id, (SELECT id FROM events LIMIT 1) FROM retirements WHERE at > 0").await;
    app.tamper("DELETE FROM retirements WHERE at > 0").await;
    let verified = verify(&app.app.store, None, |_| ()).await.unwrap();
    assert!(!verified.is_whole(), "{verified:?}");
}

const MASKED: (&str, &str) = ("masked", "extends = \"standard\"\nretention.personal_days = 30\n");

#[tokio::test]
async fn people_are_taken_out_of_what_is_kept_on_sqlite() {
    people_are_taken_out(TestApp::with_profiles(&[MASKED]).await).await;
}

#[tokio::test]
async fn people_are_taken_out_of_what_is_kept_on_postgres() {
    people_are_taken_out(TestApp::postgres_with_profiles(&[MASKED]).await).await;
}

async fn people_are_taken_out(app: TestApp) {
    const DAY: Duration = Duration::from_secs(86_400);
    const PEER: &str = "\"peer\":\"127.0.0.1\"";
    let order = json!({"order_ref": "A-1", "profile": "masked", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"],
        "applicant": {"organization": "ACME"}, "requester": "Sato Hanako", "notify": ["sato@example.net"], "metadata": {"who": "Sato Hanako"}});
    let placed = app.place(&order).await;
    app.run_jobs().await;
    let (link, nonce) = (app.last_link(), app.nonce(&app.last_link()).await);
    let form = [("decision", "reject"), ("reason", "Sato Hanako may not"), ("nonce", nonce.as_str())];
    assert_eq!(app.send_form(&link, &form).await.0, 303);
    app.run_jobs().await;
    app.clock.advance(Duration::from_secs(3600));
    app.run_jobs().await;
    let id = placed["id"].as_str().unwrap();
    let evidence = async || app.get(&format!("/v1/orders/{id}/evidence")).await.1.to_string();
    let before = evidence().await;
    assert!(before.contains("Sato Hanako may not") && before.contains(PEER), "{before}");
    let retain = async |dry: bool| retain(&app.app, dry, Duration::ZERO, || false).await.unwrap();
    app.clock.advance(DAY * 29);
    assert_eq!(retain(true).await, Removed::default(), "thirty days are not over");
    app.clock.advance(DAY);
    assert_eq!(retain(true).await.masked.values().sum::<u64>(), 1);
    assert_eq!(evidence().await, before, "it was only counted");
    assert_eq!(retain(false).await.masked.values().sum::<u64>(), 1);
    assert_eq!(retain(false).await, Removed::default());
    let after = evidence().await;
    for personal in ["Sato", "sato@", PEER] {
        assert!(!after.contains(personal), "{personal}: {after}");
    }
    assert!(after.contains("admin@example.co.jp") && after.contains("[masked]") && after.contains("ACME"), "{after}");
    // What it asked whom, and when, is as it was.
    let (before, after): (Value, Value) = (serde_json::from_str(&before).unwrap(), serde_json::from_str(&after).unwrap());
    for part in ["lookups", "mails", "profile"] {
        assert_eq!(before[part], after[part]);
    }
    app.run_jobs().await;
    let verified = verify(&app.app.store, None, |_| ()).await.unwrap();
    assert!(verified.is_whole() && verified.masked > 1, "{verified:?}");
    // What somebody changes after it, or says to have been masked, is told.
    app.tamper("UPDATE answers SET reason = 'another'").await;
    assert!(!verify(&app.app.store, None, |_| ()).await.unwrap().is_whole());
    app.tamper("UPDATE answers SET reason = '[masked]'").await;
    assert!(verify(&app.app.store, None, |_| ()).await.unwrap().is_whole());
    app.tamper("DELETE FROM masked WHERE kind = 'a'").await;
    assert!(!verify(&app.app.store, None, |_| ()).await.unwrap().is_whole());
    // At last it goes whole, with its note.
    app.clock.advance(DAY * 731);
    assert_eq!(retain(false).await.orders.values().sum::<u64>(), 1);
}

#[test]
fn the_daemon_says_what_it_would_remove() {
    let dir = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/dcvd.db", dir.path().display());
    let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/profiles");
    let mut command = program();
    command.current_dir(dir.path()).args(["retention", "--dry-run"]).env("DCVD__DATABASE__URL", &database);
    let told = command.env("DCVD__PROFILE_DIR", profiles).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert_eq!(String::from_utf8_lossy(&told.stdout), "access log\t-\t0\n");
}
