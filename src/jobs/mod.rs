//! Workers: lease what is due, let [`app`](crate::app) do it, keep the lease alive meanwhile. Decides nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::app::deliver::{Lease, deliver};
use crate::app::expire::expire_due;
use crate::store::{ClaimedEffect, EffectKind, StoreError};

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

/// How often deadlines are looked at.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// Runs every worker until `stop`, then lets what is under way end.
pub async fn run(app: Arc<App>, settings: JobSettings, stop: CancellationToken) {
    let mut workers = JoinSet::new();
    workers.spawn(worker(Arc::clone(&app), EffectKind::Mail, settings.mail_concurrency, settings, stop.clone()));
    workers.spawn(worker(Arc::clone(&app), EffectKind::Webhook, settings.webhook_concurrency, settings, stop.clone()));
    workers.spawn(expirer(app, stop));
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a worker stopped");
        }
    }
}

/// Leases and delivers effects of one kind, `concurrency` at once.
async fn worker(app: Arc<App>, kind: EffectKind, concurrency: u32, settings: JobSettings, stop: CancellationToken) {
    let mut running = JoinSet::new();
    loop {
        let free = concurrency.saturating_sub(u32::try_from(running.len()).unwrap_or(u32::MAX));
        if free > 0 {
            match claim(&app, kind, settings.lease, free).await {
                Ok((lease, effects)) => {
                    for effect in effects {
                        running.spawn(hold(Arc::clone(&app), kind, effect, lease, settings.lease));
                    }
                }
                Err(error) => tracing::error!(kind = kind.as_str(), %error, "the outbox cannot be read; trying again"),
            }
        }
        let wake = match kind {
            EffectKind::Mail => &app.wake.mail,
            EffectKind::Webhook => &app.wake.webhook,
        };
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = running.join_next() => told(kind, ended),
            () = wake.notified() => {}
            () = sleep(settings.poll) => {}
        }
    }
    while let Some(ended) = running.join_next().await {
        told(kind, ended);
    }
}

fn told(kind: EffectKind, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(kind = kind.as_str(), %error, "an attempt panicked; its lease will end");
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
async fn hold(app: Arc<App>, kind: EffectKind, effect: ClaimedEffect, lease: Lease, lease_time: Duration) {
    let id = effect.id.clone();
    let mut renewal = interval(lease_time / 3);
    renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
    renewal.tick().await;
    let delivery = deliver(&app, kind, effect, lease);
    tokio::pin!(delivery);
    loop {
        tokio::select! {
            result = &mut delivery => {
                if let Err(error) = result {
                    tracing::error!(kind = kind.as_str(), %error, "an attempt could not be recorded; it will be made again");
                }
                return;
            }
            _ = renewal.tick() => {
                let (id, until) = (id.clone(), app.now() + lease_time);
                let renewed = app.store.write("renew_lease", move |tx| Box::pin(async move { tx.renew_lease(&id, lease, until).await })).await;
                if let Err(error) = renewed {
                    tracing::warn!(kind = kind.as_str(), %error, "a lease could not be prolonged");
                }
            }
        }
    }
}

async fn expirer(app: Arc<App>, stop: CancellationToken) {
    loop {
        match expire_due(&app).await {
            Ok(0) => {}
            Ok(orders) => tracing::info!(orders, "expired"),
            Err(error) => tracing::error!(%error, "deadlines cannot be looked at; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(EXPIRE_EVERY) => {}
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
            deliver(app, kind, effect, lease).await?;
            attempts += 1;
        }
    }
}
