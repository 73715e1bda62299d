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
