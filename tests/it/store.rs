//! The store, each test on both databases.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use dcvd::dcv::decision::{Decision, Scope};
use dcvd::dcv::event::{Event, EventType};
use dcvd::dcv::id::{EffectId, OrderId};
use dcvd::dcv::order::ValidationState;
use dcvd::dcv::timestamp::Timestamp;
use dcvd::store::{AccessRow, ClaimedEffect, EffectKind, Migrate, Outcome, Said, SharedRate, Store, StoreError, Tx};
use futures_util::future::join_all;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::support::app::TestApp;
use crate::support::fakes::START;
use crate::support::on_both;

on_both!(
    one_failing_write_does_not_fail_its_neighbours,
    a_last_statement_that_fails_is_told_as_what_it_is_and_fails_alone,
    a_panic_in_a_write_is_an_error_and_the_store_lives,
    whoever_goes_away_midway_leaves_nothing_open,
    a_reference_is_taken_once_per_client,
    only_one_worker_gets_an_effect,
    a_late_worker_is_refused_by_the_fence,
    many_webhooks_that_are_taken_at_once_are_each_told,
    a_dead_workers_lease_ends,
    a_mail_that_kills_its_worker_each_time_is_given_up_and_told,
    an_effect_waits_for_those_before_it_in_its_line,
    a_given_up_effect_can_be_replayed,
    a_transition_is_guarded_by_the_state_it_leaves,
    a_decision_and_what_it_tells_are_written_as_they_were_read_or_not_at_all,
    the_event_of_an_orders_end_ends_it_once,
    the_bytes_of_a_mail_are_gone_when_its_link_ends,
    a_profile_that_is_gone_is_read_back_by_its_hash,
    daemons_share_a_rate,
    what_is_done_once_in_a_while_is_done_though_the_clock_was_set_back,
);

async fn daemons_share_a_rate(app: TestApp) {
    const SECOND: Duration = Duration::from_secs(1);
    let other = Store::open(&app.url, Migrate::No).await.unwrap();
    let rate = SharedRate { period: SECOND, burst: 2 };
    let take = async |store: &Store, name: &'static str, wait: u32| {
        let until = START + SECOND * wait;
        write(store, move |tx| Box::pin(async move { tx.take_turn(name, rate, START, until).await })).await.unwrap()
    };
    let mut turns = Vec::new();
    for number in 0..5 {
        turns.push(take(if number % 2 == 0 { &app.app.store } else { &other }, "a", 9).await.unwrap().max(START));
    }
    assert_eq!(turns, [START, START, START + SECOND, START + SECOND * 2, START + SECOND * 3], "two at once, then one a second");
    assert_eq!(take(&other, "b", 0).await.map(|from| from.max(START)), Some(START), "another has a rate of its own");
    assert_eq!(take(&other, "a", 3).await, None, "so long nobody waits, and it takes nobody's turn");
    assert_eq!(take(&app.app.store, "a", 4).await, Some(START + SECOND * 4));
    write(&other, move |tx| Box::pin(async move { tx.no_turn_until("b", rate, START + SECOND * 60).await })).await.unwrap();
    assert_eq!(take(&app.app.store, "b", 59).await, None, "who refused one is left alone by all");
    assert_eq!(take(&app.app.store, "b", 60).await, Some(START + SECOND * 60));
    // By a clock that is set right since.
    write(&other, move |tx| Box::pin(async move { tx.no_turn_until("c", rate, START + SECOND * 9000).await })).await.unwrap();
    assert_eq!(
        take(&app.app.store, "c", 0).await.map(|from| from.max(START)),
        Some(START),
        "nobody waits for an hour that was not"
    );
}

async fn what_is_done_once_in_a_while_is_done_though_the_clock_was_set_back(app: TestApp) {
    const HOUR: Duration = Duration::from_secs(3600);
    let take = async |now: Timestamp| {
        write(&app.app.store, move |tx| Box::pin(async move { tx.take_mark("test", now - HOUR, now).await })).await.unwrap()
    };
    assert!(take(START).await);
    assert!(!take(START + HOUR).await, "not yet");
    assert!(take(START + HOUR * 24).await);
    let ahead = app.app.store.mark("test", START + HOUR).await.unwrap();
    assert_eq!(ahead, Some(Timestamp::default()), "it lies in a future that was not: it was done, and is due");
    assert!(take(START + HOUR).await);
    assert!(!take(START + HOUR - Duration::from_secs(59)).await, "another daemon's clock may be a little behind");
    assert_eq!(app.app.store.mark("test", START + HOUR).await.unwrap(), Some(START + HOUR));
}

async fn write<T: Send + 'static>(
    store: &Store,
    work: impl for<'t> FnOnce(&'t mut Tx<'_>) -> futures_util::future::BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    store.write("test", work).await
}

fn order_id(order: &serde_json::Value) -> OrderId {
    OrderId::parse(order["id"].as_str().unwrap()).unwrap()
}

async fn claim(app: &TestApp, kind: EffectKind, lease: [u8; 16]) -> Vec<ClaimedEffect> {
    let now = app.app.now();
    let until = now + Duration::from_secs(10);
    write(&app.app.store, move |tx| Box::pin(async move { tx.claim(kind, now, until, lease, 10).await })).await.unwrap()
}

async fn finish(app: &TestApp, effect: ClaimedEffect, lease: [u8; 16], outcome: Outcome) -> bool {
    let now = app.app.now();
    write(&app.app.store, move |tx| {
        Box::pin(async move { tx.finish(&effect, lease, &outcome, &Said { detail: "told", dialogue: &[] }, now).await })
    })
    .await
    .unwrap()
}

async fn one_failing_write_does_not_fail_its_neighbours(app: TestApp) {
    let store = &app.app.store;
    let writes = (0..40_u8).map(|n| async move {
        let body = format!("{{\"n\":{n}}}");
        write(store, move |tx| {
            Box::pin(async move {
                tx.keep_profile(&[n; 32], "p", &body, START).await?;
                if n % 4 == 0 { Err(StoreError::Closed("on purpose".to_owned())) } else { Ok(()) }
            })
        })
        .await
    });
    let results = join_all(writes).await;
    for (n, result) in (0..40_u8).zip(results) {
        let kept = store.profile_body(&[n; 32]).await.unwrap();
        assert_eq!(result.is_ok(), n % 4 != 0);
        assert_eq!(kept.is_some(), n % 4 != 0, "write {n}");
    }
}

async fn a_last_statement_that_fails_is_told_as_what_it_is_and_fails_alone(app: TestApp) {
    let store = &app.app.store;
    let writes = (0..20_u8).map(|n| async move {
        write(store, move |tx| {
            Box::pin(async move {
                tx.keep_profile(&[n; 32], "p", "{}", START).await?;
                // Twice under one id, and nothing after it that waits for an outcome.
                for _ in 0..if n % 4 == 0 { 2 } else { 1 } {
                    let (id, text) = (vec![n; 16], || "x".to_owned());
                    let row = AccessRow { id, at: 1, operator: text(), event: text(), detail: "{}".to_owned(), peer: text() };
                    tx.insert_access(&row).await?;
                }
                Ok(())
            })
        })
        .await
    });
    let results: Vec<Result<(), StoreError>> = join_all(writes).await;
    for (n, result) in (0..20_u8).zip(results) {
        let kept = store.profile_body(&[n; 32]).await.unwrap().is_some();
        assert_eq!(kept, n % 4 != 0, "write {n}");
        match result {
            Ok(()) => assert!(kept),
            Err(error) => assert!(!kept && matches!(error, StoreError::Database(_)) && !error.is_passing(), "{error}"),
        }
    }
}

async fn a_panic_in_a_write_is_an_error_and_the_store_lives(app: TestApp) {
    let store = &app.app.store;
    let error = write::<()>(store, |_| Box::pin(async { panic!("on purpose") })).await.unwrap_err();
    assert!(matches!(error, StoreError::Panicked(_)) && error.to_string().contains("on purpose"), "{error}");
    assert!(!error.is_passing(), "it would panic again");
    app.place_plain("A-1").await;
}

/// Lets a question go after it waited so often; whether it was over before.
async fn go_away_after(waits: usize, question: impl Future) -> bool {
    let mut question = Box::pin(question);
    let mut waited = 0;
    poll_fn(|context| match question.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending if waited == waits => Poll::Ready(false),
        Poll::Pending => {
            waited += 1;
            Poll::Pending
        }
    })
    .await
}

async fn whoever_goes_away_midway_leaves_nothing_open(app: TestApp) {
    let store = &app.app.store;
    let mut over = [false; 3];
    for waits in 0.. {
        let order = store.order(order_id(&app.place_plain(&format!("A-{waits}")).await)).await.unwrap().unwrap();
        let orders = [order];
        over[0] |= go_away_after(waits, store.parts(&orders)).await;
        over[1] |= go_away_after(waits, store.audit_moment()).await;
        let body = format!("{{\"n\":{waits}}}");
        let keep = write(store, move |tx| Box::pin(async move { tx.keep_profile(&[7; 32], "p", &body, START).await }));
        over[2] |= go_away_after(waits, keep).await;
        // By now its connection is to be had again.
        sleep(Duration::from_millis(5)).await;
        // Whichever connection is asked knows what is committed since.
        let id = order_id(&app.place_plain(&format!("B-{waits}")).await);
        let seen = join_all((0..16).map(|_| store.order(id))).await;
        let known = seen.iter().filter(|one| matches!(one, Ok(Some(_)))).count();
        assert_eq!(known, seen.len(), "after {waits} waits");
        if over == [true; 3] {
            break;
        }
    }
}

async fn a_reference_is_taken_once_per_client(app: TestApp) {
    app.place_plain("A-1").await;
    let order = serde_json::json!({"order_ref": "A-1", "names": ["example.jp"], "approvers": ["admin@example.jp"]});
    assert_eq!(app.post("/v1/orders", &order).await.1["code"], "duplicate-order-ref");
    assert!(!app.app.store.order_ref_taken("others", "A-1").await.unwrap());
}

async fn only_one_worker_gets_an_effect(app: TestApp) {
    for n in 0..20 {
        app.place_plain(&format!("A-{n}")).await;
    }
    let mut ids = Vec::new();
    // A row that another worker is just taking is skipped and seen again in the next round.
    for round in 0..3_u8 {
        let claims = join_all((0..8_u8).map(|worker| claim(&app, EffectKind::Mail, [round * 8 + worker; 16]))).await;
        ids.extend(claims.into_iter().flatten().map(|effect| effect.id));
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((all, ids.len()), (20, 20));
}

async fn a_late_worker_is_refused_by_the_fence(app: TestApp) {
    app.place_plain("A-1").await;
    let mut first = claim(&app, EffectKind::Mail, [1; 16]).await;
    app.clock.advance(Duration::from_secs(11));
    let mut second = claim(&app, EffectKind::Mail, [2; 16]).await;
    assert_eq!(second[0].attempts, 2, "an attempt is counted before it is made");
    assert!(!finish(&app, first.remove(0), [1; 16], Outcome::Done).await, "the late worker's record is refused");
    assert!(finish(&app, second.remove(0), [2; 16], Outcome::Done).await);
}

async fn many_webhooks_that_are_taken_at_once_are_each_told(app: TestApp) {
    app.place_plain("A-1").await;
    let held = claim(&app, EffectKind::Webhook, [1; 16]).await.remove(0);
    let (store, now) = (&app.app.store, app.app.now());
    // More than one transaction takes; those that nobody holds are told apart.
    let ends = (0..700_u16).map(|number| {
        let mut effect = held.clone();
        if number != 600 {
            effect.id = [&number.to_be_bytes()[..], &[0; 14]].concat();
        }
        async move { store.finish_taken(&effect, [1; 16], "204".to_owned(), now).await.unwrap() }
    });
    let told: Vec<bool> = join_all(ends).await;
    assert_eq!((told.len(), told.iter().position(|taken| *taken)), (700, Some(600)));
    assert_eq!(told.iter().filter(|taken| **taken).count(), 1);
    assert!(!store.finish_taken(&held, [1; 16], "204".to_owned(), now).await.unwrap(), "once");
}

async fn a_dead_workers_lease_ends(app: TestApp) {
    app.place_plain("A-1").await;
    assert_eq!(claim(&app, EffectKind::Mail, [1; 16]).await.len(), 1);
    assert!(claim(&app, EffectKind::Mail, [2; 16]).await.is_empty(), "leased");
    app.clock.advance(Duration::from_secs(11));
    assert_eq!(claim(&app, EffectKind::Mail, [2; 16]).await.len(), 1);
}

async fn a_mail_that_kills_its_worker_each_time_is_given_up_and_told(app: TestApp) {
    let order = app.place_plain("A-1").await;
    app.clock.advance(Duration::from_secs(1));
    for attempt in 0..60_u8 {
        assert_eq!(claim(&app, EffectKind::Mail, [attempt; 16]).await.len(), 1, "attempt {attempt}");
        app.clock.advance(Duration::from_secs(3601));
    }
    app.run_jobs().await;
    let failed = app.order(&order).await;
    assert_eq!(
        (failed["mails"][0]["delivery"].as_str(), failed["mails"][0]["failure"].as_str()),
        (Some("failed"), Some("gave-up"))
    );
    assert_eq!(app.hooks.taken("mail.failed").len(), 1);
    assert!(app.approval_mails().is_empty(), "not tried once more");
}

async fn an_effect_waits_for_those_before_it_in_its_line(app: TestApp) {
    let order = app.place_plain("A-1").await;
    jobs_mail(&app).await;
    // order.created and mail.sent wait for the same endpoint.
    assert_eq!(app.app.store.effects_due(EffectKind::Webhook).await.unwrap(), 2);
    let mut first = claim(&app, EffectKind::Webhook, [1; 16]).await;
    assert_eq!(first.len(), 1);
    let head = first.remove(0);
    assert!(claim(&app, EffectKind::Webhook, [2; 16]).await.is_empty(), "the second waits for the first");
    let later = app.app.now() + Duration::from_secs(60);
    assert!(finish(&app, head, [1; 16], Outcome::Later(later)).await);
    assert!(claim(&app, EffectKind::Webhook, [2; 16]).await.is_empty(), "and waits as long as it does");
    app.clock.advance(Duration::from_secs(61));
    let head = claim(&app, EffectKind::Webhook, [3; 16]).await.remove(0);
    assert!(finish(&app, head, [3; 16], Outcome::Done).await);
    assert_eq!(claim(&app, EffectKind::Webhook, [4; 16]).await[0].seq, 2);
    assert_eq!(app.app.store.attempts(order_id(&order)).await.unwrap().len(), 3);
}

async fn jobs_mail(app: &TestApp) {
    dcvd::jobs::drain(&app.app, EffectKind::Mail, crate::support::app::LEASE).await.unwrap();
}

async fn a_given_up_effect_can_be_replayed(app: TestApp) {
    let order = app.place_plain("A-1").await;
    let effect = claim(&app, EffectKind::Webhook, [1; 16]).await.remove(0);
    assert!(finish(&app, effect, [1; 16], Outcome::Dead).await);
    let dead = app.app.store.dead_effects(order_id(&order)).await.unwrap();
    assert_eq!(dead.len(), 1);
    let id = EffectId::from_bytes(dead[0].id.clone().try_into().unwrap());
    let now = app.app.now();
    assert!(write(&app.app.store, move |tx| Box::pin(async move { tx.replay(id, now).await })).await.unwrap().is_some());
    assert!(write(&app.app.store, move |tx| Box::pin(async move { tx.replay(id, now).await })).await.unwrap().is_none(), "once");
    app.run_jobs().await;
    assert_eq!(app.hooks.taken("order.created").len(), 1);
}

async fn a_transition_is_guarded_by_the_state_it_leaves(app: TestApp) {
    let order = app.place_plain("A-1").await;
    let id = order_id(&order);
    let validation = app.app.store.validations(id).await.unwrap().remove(0).id;
    let end = |from, to| {
        let validation = validation.clone();
        write(&app.app.store, move |tx| Box::pin(async move { tx.end_validation(&validation, from, to, START).await }))
    };
    assert!(end(ValidationState::AwaitingApprover, ValidationState::Expired).await.unwrap().is_none());
    let ended = end(ValidationState::Pending, ValidationState::Expired).await.unwrap().unwrap();
    let stored = app.app.store.validations(id).await.unwrap().remove(0);
    assert_eq!(format!("{ended:?}"), format!("{stored:?}"), "it tells what it left");
    assert_eq!(ended.state().unwrap(), ValidationState::Expired);
    assert!(end(ValidationState::Pending, ValidationState::Approved).await.unwrap().is_none(), "nothing leaves a final state");
}

async fn a_decision_and_what_it_tells_are_written_as_they_were_read_or_not_at_all(app: TestApp) {
    let id = order_id(&app.place_plain("A-1").await);
    let decide = |ends: bool| {
        let mut ids = app.app.id_source();
        write(&app.app.store, move |tx| {
            Box::pin(async move {
                let whole = tx.lock_whole(id).await?.unwrap();
                let decision = Decision {
                    state: ValidationState::Approved,
                    reported: false,
                    scope: Some(Scope::Fqdn),
                    signer: Some("山田".to_owned()),
                    reason: None,
                    reusable_until: Some(START + Duration::from_secs(60)),
                };
                let row = tx.decide_validation(&whole.validations[0], &whole.mails[0], "approve", &decision, START).await?;
                let kind = if ends { EventType::OrderCompleted } else { EventType::OrderNoted };
                let event = Event::new(kind, START, "approver", json!({}));
                tx.record_next_events(&whole.order, &[event], &|_| Vec::new(), &mut ids).await?;
                Ok((row, whole))
            })
        })
    };
    let before = app.app.store.events(id).await.unwrap().len();
    let (told, whole) = decide(false).await.unwrap();
    let written = app.app.store.validations(id).await.unwrap().remove(0);
    assert_eq!(format!("{told:?}"), format!("{written:?}"));
    assert_eq!(app.app.store.order(id).await.unwrap().unwrap().last_seq, whole.order.last_seq + 1);
    // Not pending any more: nothing of the second one is kept.
    let error = decide(true).await.err().unwrap();
    assert!(error.would_recur() && error.to_string().contains("not as it was read"), "{error}");
    // Something was told since.
    let (mut ids, row) = (app.app.id_source(), whole.order.clone());
    let told_since = write(&app.app.store, move |tx| {
        let event = Event::new(EventType::OrderCompleted, START, "system", json!({}));
        Box::pin(async move { tx.record_next_events(&row, &[event], &|_| Vec::new(), &mut ids).await })
    });
    let error = told_since.await.err().unwrap();
    assert!(error.would_recur() && error.to_string().contains("not as it was read"), "{error}");
    let order = app.app.store.order(id).await.unwrap().unwrap();
    assert_eq!((order.state.as_str(), app.app.store.events(id).await.unwrap().len()), ("pending", before + 1));
}

async fn the_event_of_an_orders_end_ends_it_once(app: TestApp) {
    let id = order_id(&app.place_plain("A-1").await);
    let before = app.app.store.events(id).await.unwrap().len();
    let end = |kind| {
        let (mut ids, event) = (app.app.id_source(), Event::new(kind, START, "system", json!({})));
        write(&app.app.store, move |tx| {
            Box::pin(async move { tx.record_events(id, "A-1", &[event], &|_| Vec::new(), &mut ids).await })
        })
    };
    let (row, mut ids) = (app.app.store.order(id).await.unwrap().unwrap(), app.app.id_source());
    let first = Event::new(EventType::OrderCompleted, START, "system", json!({}));
    let refused = write(&app.app.store, move |tx| {
        Box::pin(async move { tx.record_first_events(&row, &[first], &|_| Vec::new(), &mut ids).await })
    });
    assert!(matches!(refused.await.unwrap_err(), StoreError::CannotEnd { .. }), "that would be told and not so");
    end(EventType::OrderNoted).await.unwrap();
    assert_eq!(app.app.store.order(id).await.unwrap().unwrap().state, "pending");
    end(EventType::OrderCompleted).await.unwrap();
    let refused = end(EventType::OrderCancelled).await.unwrap_err();
    assert!(matches!(refused, StoreError::CannotEnd { .. }), "{refused}");
    let ended = app.app.store.order(id).await.unwrap().unwrap();
    assert_eq!((ended.state.as_str(), ended.ended_at), ("completed", Some(START.unix_micros())));
    assert_eq!(app.app.store.events(id).await.unwrap().len(), before + 2, "nothing is told of an end that was not");
}

async fn the_bytes_of_a_mail_are_gone_when_its_link_ends(app: TestApp) {
    let order = app.place_plain("A-1").await;
    let mail = app.app.store.mails(order_id(&order)).await.unwrap().remove(0);
    assert!(app.app.store.mail_body(mail.id().unwrap()).await.unwrap().is_some());
    app.clock.advance(Duration::from_secs(26 * 86_400));
    dcvd::app::expire::expire_due(&app.app).await.unwrap();
    assert_eq!(app.app.store.mail_body(mail.id().unwrap()).await.unwrap(), None);
    app.run_jobs().await;
    assert!(app.inbox.arrived().is_empty(), "an expired mail is never sent");
}

async fn a_profile_that_is_gone_is_read_back_by_its_hash(app: TestApp) {
    let order = app.place_plain("A-1").await;
    let mut row = app.app.store.order(order_id(&order)).await.unwrap().unwrap();
    "renamed-since".clone_into(&mut row.profile_id);
    assert_eq!(app.app.profile_of(&row).await.unwrap().profile.id, "standard");
}

#[tokio::test]
async fn a_write_goes_on_where_connections_were_cut_and_whatever_the_databases_default_is() {
    let app = TestApp::postgres().await;
    let mut admin = PgConnection::connect(&app.url).await.unwrap();
    admin.execute("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET default_transaction_isolation = serializable'; END $$").await.unwrap();
    for round in 0..5 {
        // All are in the pool, and were at work a moment ago. A read may still meet one that was cut before, and says so.
        join_all((0..8).map(|_| app.app.store.ping())).await;
        admin
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()")
            .await
            .unwrap();
        let writes = (0..8).map(|_| {
            write(&app.app.store, |tx| Box::pin(async move { tx.take_mark("cut", START + Duration::from_secs(1), START).await }))
        });
        for written in join_all(writes).await {
            // Marked by several at once: had the default held, all but one would have failed.
            written.unwrap_or_else(|error| panic!("{round}: {error}"));
        }
    }
}

#[tokio::test]
async fn whoever_goes_away_before_there_is_room_writes_nothing_and_whoever_reads_needs_none() {
    const AT_ONCE: u32 = 16;
    let app = TestApp::postgres().await;
    let store = &app.app.store;
    let (held, release) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let holding = join_all((0..AT_ONCE).map(|_| {
        let (held, release) = (Arc::clone(&held), Arc::clone(&release));
        write(store, move |_| {
            Box::pin(async move {
                held.add_permits(1);
                release.acquire().await.unwrap().forget();
                Ok(())
            })
        })
    }));
    let going = async {
        drop(held.acquire_many(AT_ONCE).await.unwrap());
        let keep = write(store, |tx| Box::pin(async move { tx.keep_profile(&[7; 32], "p", "{}", START).await }));
        assert!(timeout(Duration::from_millis(100), keep).await.is_err(), "it waits for another write's end");
        let shown = timeout(Duration::from_secs(5), store.profile_body(&[7; 32])).await;
        assert_eq!(shown.expect("a read does not wait for writes").unwrap(), None);
        release.add_permits(AT_ONCE as usize);
    };
    let (ended, ()) = tokio::join!(holding, going);
    assert!(ended.iter().all(Result::is_ok));
    sleep(Duration::from_millis(300)).await;
    assert_eq!(store.profile_body(&[7; 32]).await.unwrap(), None);
}

#[tokio::test]
async fn a_stop_leaves_an_sqlite_in_its_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite://{}/dcvd.db", dir.path().display()), Migrate::Yes).await.unwrap();
    write(&store, |tx| Box::pin(async move { tx.keep_profile(&[7; 32], "p", "{}", START).await })).await.unwrap();
    assert!(store.profile_body(&[7; 32]).await.unwrap().is_some());
    assert!(dir.path().join("dcvd.db-wal").exists());
    store.close().await;
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["dcvd.db"]);
}
