//! Workers: lease what is due, let [`app`](crate::app) do it, keep the lease alive meanwhile. Decides nothing.

mod ingest_mail;
mod lot;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::deliver::{Lease, deliver, give_back};
use crate::app::expire::expire_due;
use crate::app::export::{export_part, forget_exports};
use crate::app::fill_base_domains::fill_base_domains;
use crate::app::look_again::look_again_due;
use crate::app::pace;
use crate::app::renew::renew_due;
use crate::app::resend::remind_due;
use crate::app::retain::{Removed, retain};
use crate::app::seal::{adopt_round, seal_due};
use crate::app::sign_in::end_resting;
use crate::app::tally::count_round;
use crate::app::view::write_views;
use crate::app::{App, canary, digest};
use crate::store::{ClaimedEffect, EffectKind, StoreError};
use lot::Lot;

/// How the workers run.
#[derive(Debug, Clone, Copy)]
pub struct JobSettings {
    /// Mails handed over at once.
    pub mail_concurrency: u32,
    /// Webhooks posted at once.
    pub webhook_concurrency: u32,
    /// How often the outbox is looked at when nothing woke a worker.
    pub poll: Duration,
    /// How long a dead worker keeps its effect from others.
    pub lease: Duration,
}

/// How often deadlines, reminders, the canary and the digest are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the daemons that work on the database are counted, and the pause where they could not be.
const COUNT_DAEMONS_EVERY: Duration = Duration::from_secs(2);
const COUNT_DAEMONS_AGAIN: Duration = Duration::from_millis(200);

/// How long mail waits for the first count: better too quick for a relay than never.
const UNCOUNTED_AT_MOST: Duration = Duration::from_secs(30);

/// How often views are written and timelines are counted, and the pause where there is more to count.
const COUNT_EVERY: Duration = Duration::from_secs(5);
const BETWEEN_COUNTS: Duration = Duration::from_millis(20);

/// How often what need not be kept is removed, and how often it is looked whether that is due.
const RETAIN_EVERY: Duration = Duration::from_secs(86_400);
const RETAIN_LOOK_EVERY: Duration = Duration::from_secs(600);

/// How long a request is remembered that carried an Idempotency-Key.
const REMEMBERED: Duration = Duration::from_secs(48 * 3600);

/// How many old ones are forgotten in one round.
const FORGOTTEN_AT_ONCE: u32 = 500;

/// Notices handed over at once: approval mails go before them.
const NOTICES_AT_ONCE: u32 = 2;

/// Runs every worker until `stop`, then lets what is under way end.
///
/// # Errors
/// A worker stopped by itself, which none should: the daemon had better be started anew than look healthy.
pub async fn run(app: Arc<App>, settings: JobSettings, stop: CancellationToken) -> Result<(), JoinError> {
    let mut workers = JoinSet::new();
    // No mail goes before it is known how many share its pace.
    let counted = CancellationToken::new();
    for (kind, concurrency) in
        [(EffectKind::Mail, settings.mail_concurrency), (EffectKind::Notice, settings.mail_concurrency.min(NOTICES_AT_ONCE))]
    {
        let mailing = worker(Arc::clone(&app), kind, concurrency, settings, stop.clone());
        let (counted, stop) = (counted.clone(), stop.clone());
        workers.spawn(async move {
            if stop.run_until_cancelled(counted.cancelled()).await.is_some() {
                mailing.await;
            }
        });
    }
    workers.spawn(worker(Arc::clone(&app), EffectKind::Webhook, settings.webhook_concurrency, settings, stop.clone()));
    if let Some(mail_in) = app.ports.mail_in.clone() {
        workers.spawn(ingest_mail::run(Arc::clone(&app), mail_in, stop.clone()));
    }
    let (listening, heard) = (Arc::clone(&app), stop.clone());
    workers.spawn(async move { listening.store.listen(heard).await });
    if !app.store.is_shared() || pace::is_counted(&app) {
        counted.cancel();
    }
    if app.store.is_shared() {
        workers.spawn(sharer(Arc::clone(&app), counted, stop.clone()));
    }
    workers.spawn(looker(Arc::clone(&app), stop.clone()));
    workers.spawn(renewer(Arc::clone(&app), stop.clone()));
    workers.spawn(counter(Arc::clone(&app), stop.clone()));
    workers.spawn(exporter(Arc::clone(&app), stop.clone()));
    workers.spawn(retainer(Arc::clone(&app), stop.clone()));
    workers.spawn(timekeeper(app, stop));
    while let Some(ended) = workers.join_next().await {
        ended?;
    }
    Ok(())
}

/// Leases and delivers effects of one kind, `concurrency` at once.
async fn worker(app: Arc<App>, kind: EffectKind, concurrency: u32, settings: JobSettings, stop: CancellationToken) {
    let turns = Arc::new(Semaphore::new(concurrency as usize));
    let mut lot = Lot::new(concurrency);
    // When there was no room left, since as many were due.
    let mut full_since: Option<Instant> = None;
    let mut running = JoinSet::new();
    loop {
        while let Some(ended) = running.try_join_next() {
            told(kind, ended, &mut lot);
        }
        if lot.room(running.len()) > 0
            && let Some(since) = full_since.take()
        {
            lot.took(since.elapsed());
        }
        let room = lot.room(running.len());
        if room > 0 {
            match claim(&app, kind, settings.lease, room).await {
                Ok((lease, effects)) => {
                    full_since = (effects.len() == room as usize).then(Instant::now);
                    for effect in effects {
                        let turn = Turn { turns: Arc::clone(&turns), patience: lot.patience(running.len()) };
                        running.spawn(hold(Arc::clone(&app), kind, effect, lease, settings.lease, turn));
                    }
                }
                Err(error) => tracing::error!(kind = kind.as_str(), %error, "the outbox cannot be read; trying again"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = running.join_next() => told(kind, ended, &mut lot),
            () = app.store.woken(kind) => {}
            () = sleep(settings.poll) => {}
        }
    }
    // Whoever still waits for a turn gives its effect back untried.
    turns.close();
    while let Some(ended) = running.join_next().await {
        told(kind, ended, &mut lot);
    }
}

/// What an effect waits for that is leased, and how long; as long as it takes where nothing is said.
struct Turn {
    turns: Arc<Semaphore>,
    patience: Option<Duration>,
}

/// Whether an effect was given back untried.
type GivenBack = bool;

fn told(kind: EffectKind, ended: Result<GivenBack, JoinError>, lot: &mut Lot) {
    match ended {
        Ok(false) => {}
        Ok(true) => lot.was_too_much(),
        Err(error) => tracing::error!(kind = kind.as_str(), %error, "an attempt panicked; its lease will end"),
    }
}

async fn claim(app: &App, kind: EffectKind, lease_time: Duration, limit: u32) -> Result<(Lease, Vec<ClaimedEffect>), StoreError> {
    let lease: Lease = app.random();
    let now = app.now();
    // A look before the write: an idle worker must not cost a durable commit each time.
    if !app.store.any_due(kind, now).await? {
        return Ok((lease, Vec::new()));
    }
    let effects = app
        .store
        .write("claim", move |tx| Box::pin(async move { tx.claim(kind, now, now + lease_time, lease, limit).await }))
        .await?;
    Ok((lease, effects))
}

/// Delivers one effect and keeps its lease alive as long as that takes.
///
/// The renewal has a task of its own, once it is due: on PostgreSQL it may wait for the row that the delivery's own transaction holds, so
/// the delivery must go on meanwhile. A lease that was lost ends the delivery: its successor is at work, and its record is refused.
async fn hold(
    app: Arc<App>,
    kind: EffectKind,
    effect: ClaimedEffect,
    lease: Lease,
    lease_time: Duration,
    Turn { turns, patience }: Turn,
) -> GivenBack {
    let id = effect.id.clone();
    let renewal = async {
        sleep(lease_time / 3).await;
        let mut renewal = JoinSet::new();
        renewal.spawn(renew(Arc::clone(&app), id, lease, lease_time));
        renewal.join_next().await
    };
    let delivery = async {
        let turn = match patience {
            Some(patience) => timeout(patience, turns.acquire()).await,
            None => Ok(turns.acquire().await),
        };
        let Ok(Ok(turn)) = turn else {
            if let Err(error) = give_back(&app, effect, lease).await {
                tracing::warn!(kind = kind.as_str(), %error, "what was not tried could not be given back; its lease will end");
            }
            return true;
        };
        if let Err(error) = deliver(&app, kind, effect, lease, turn).await {
            tracing::error!(kind = kind.as_str(), %error, "an attempt could not be recorded; it will be made again");
        }
        false
    };
    tokio::select! {
        biased;
        given_back = delivery => given_back,
        _ = renewal => {
            tracing::warn!(kind = kind.as_str(), "a lease was lost; the attempt is left to its successor");
            false
        }
    }
}

/// Prolongs a lease until it is lost.
async fn renew(app: Arc<App>, id: Vec<u8>, lease: Lease, lease_time: Duration) {
    loop {
        let (id, until) = (id.clone(), app.now() + lease_time);
        let renewed: Result<bool, StoreError> =
            app.store.write("renew_lease", move |tx| Box::pin(async move { tx.renew_lease(&id, lease, until).await })).await;
        match renewed {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(%error, "a lease could not be prolonged"),
        }
        sleep(lease_time / 3).await;
    }
}

/// Does what the time brings.
async fn timekeeper(app: Arc<App>, stop: CancellationToken) {
    loop {
        match expire_due(&app).await {
            Ok(0) => {}
            Ok(orders) => tracing::info!(orders, "expired"),
            Err(error) => tracing::error!(%error, "deadlines cannot be looked at; trying again"),
        }
        match remind_due(&app).await {
            Ok(0) => {}
            Ok(mails) => tracing::info!(mails, "reminders were due"),
            Err(error) => tracing::error!(%error, "reminders cannot be looked at; trying again"),
        }
        if let Err(error) = app.store.forget_requests(app.now(), REMEMBERED, FORGOTTEN_AT_ONCE).await {
            tracing::error!(%error, "old requests cannot be forgotten; trying again");
        }
        if let Err(error) = canary::send_if_due(&app).await {
            tracing::error!(%error, "the canary cannot be sent; trying again");
        }
        if let Err(error) = digest::send_if_due(&app).await {
            tracing::error!(%error, "the digest cannot be made; trying again");
        }
        if let Some(limits) = app.settings.sign_in
            && let Err(error) = end_resting(&app, limits).await
        {
            tracing::error!(%error, "sign-ins that are over cannot be ended; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

/// Writes what was seen and counts what happened, for the status page. A task of its own: after an upgrade there may be years to count.
async fn counter(app: Arc<App>, stop: CancellationToken) {
    // Rows of an older daemon, once.
    while !stop.is_cancelled() {
        match adopt_round(&app).await {
            Ok(false) => break,
            Ok(true) => {
                if let Err(error) = seal_due(&app).await {
                    tracing::error!(%error, "what was written cannot be sealed; trying again");
                }
                sleep(BETWEEN_COUNTS).await;
            }
            Err(error) => {
                tracing::error!(%error, "earlier rows cannot be sealed; trying again");
                sleep(COUNT_EVERY).await;
            }
        }
    }
    while !stop.is_cancelled() {
        match fill_base_domains(&app).await {
            Ok(0) => break,
            Ok(_) => sleep(BETWEEN_COUNTS).await,
            Err(error) => {
                tracing::error!(%error, "registered domains cannot be filled; trying again");
                sleep(COUNT_EVERY).await;
            }
        }
    }
    loop {
        if let Err(error) = write_views(&app).await {
            tracing::error!(%error, "views of links were lost");
        }
        if let Err(error) = seal_due(&app).await {
            tracing::error!(%error, "what was written cannot be sealed; trying again");
        }
        let wait = match count_round(&app).await {
            Ok(0) => COUNT_EVERY,
            Ok(_) => BETWEEN_COUNTS,
            Err(error) => {
                tracing::error!(%error, "the timelines cannot be counted; trying again");
                COUNT_EVERY
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(wait) => {}
        }
    }
    if let Err(error) = write_views(&app).await {
        tracing::error!(%error, "views of links were lost");
    }
}

/// Shares the pace of mail with the other daemons on the database, as many as there are.
async fn sharer(app: Arc<App>, counted: CancellationToken, stop: CancellationToken) {
    let (mut failing, begun) = (false, Instant::now());
    loop {
        if !counted.is_cancelled() && begun.elapsed() > UNCOUNTED_AT_MOST {
            tracing::warn!("the daemons on the database cannot be counted; mail goes at the whole pace meanwhile");
            counted.cancel();
        }
        let wait = match pace::share(&app).await {
            Ok(true) => {
                failing = false;
                counted.cancel();
                COUNT_DAEMONS_EVERY
            }
            Ok(false) => COUNT_DAEMONS_AGAIN,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "the daemons on the database cannot be counted; trying again");
                }
                COUNT_DAEMONS_EVERY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(wait) => {}
        }
    }
}

/// Makes the files that operators asked for, and forgets old ones.
async fn exporter(app: Arc<App>, stop: CancellationToken) {
    loop {
        let wait = match export_part(&app).await {
            Ok(true) => BETWEEN_COUNTS,
            Ok(false) => LOOK_EVERY,
            Err(error) => {
                tracing::error!(%error, "a file cannot be made; trying again");
                COUNT_EVERY
            }
        };
        if let Err(error) = forget_exports(&app).await {
            tracing::error!(%error, "old files cannot be forgotten; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(wait) => {}
        }
    }
}

/// Once a day, by one daemon of several, removes what need not be kept any more.
async fn retainer(app: Arc<App>, stop: CancellationToken) {
    loop {
        let now = app.now();
        let turn: Result<bool, StoreError> = app
            .store
            .write("retention_turn", move |tx| {
                Box::pin(async move {
                    tx.forget_turns(now - RETAIN_EVERY).await?;
                    tx.take_mark("retention", now - RETAIN_EVERY, now).await
                })
            })
            .await;
        match turn {
            Ok(false) => {}
            Ok(true) => match retain(&app, false, BETWEEN_COUNTS, || stop.is_cancelled()).await {
                Ok(removed) if removed == Removed::default() => {}
                Ok(removed) => tracing::info!(?removed, "what need not be kept any more was removed"),
                Err(error) => tracing::error!(%error, "what need not be kept any more cannot be removed; trying again tomorrow"),
            },
            Err(error) => tracing::error!(%error, "the turn to remove cannot be taken; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(RETAIN_LOOK_EVERY) => {}
        }
    }
}

/// Asks the sources again for names that await an approver. A task of its own: other people's servers are slow.
async fn looker(app: Arc<App>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            looked = look_again_due(&app) => match looked {
                Ok(0) => {}
                Ok(orders) => tracing::info!(orders, "sources were asked again"),
                Err(error) => tracing::error!(%error, "sources cannot be asked again; trying again"),
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

/// Does what is due before certificates end. A task of its own: placing an order asks servers. What is cut short is looked at again in an
/// hour.
async fn renewer(app: Arc<App>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            renewed = renew_due(&app) => match renewed {
                Ok(0) => {}
                Ok(certificates) => tracing::info!(certificates, "renewals were due"),
                Err(error) => tracing::error!(%error, "renewals cannot be looked at; trying again"),
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

/// Delivers everything of a kind that is due now, one after the other; how many attempts that took. For tests and tools.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn drain(app: &App, kind: EffectKind, lease_time: Duration) -> Result<usize, StoreError> {
    let mut attempts = 0;
    loop {
        let (lease, effects) = claim(app, kind, lease_time, 100).await?;
        if effects.is_empty() {
            return Ok(attempts);
        }
        for effect in effects {
            deliver(app, kind, effect, lease, ()).await?;
            attempts += 1;
        }
    }
}
