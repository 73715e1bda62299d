//! Whether the daemon can do its work: what `/readyz` and `/metrics` tell.

use std::time::Duration;

use serde::Serialize;

use super::App;
use crate::store::StoreError;

/// How far in the future the latest entry may lie before the clock is said to be wrong: daemons' clocks differ a little.
pub const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// From what age on a queue is late: longer than the first attempts at something that fails are apart.
const QUEUE_LATE: Duration = Duration::from_secs(15 * 60);

/// How the daemon fares. Serialised as `/readyz` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// `ok`, or `unavailable`: no request should be sent here.
    pub status: &'static str,
    /// Which database, in a word.
    pub database: &'static str,
    /// `ok`; `behind` where entries were made in this clock's future: deadlines cannot be told.
    pub clock: &'static str,
    /// `ok`; `failing` where nothing can be written: a full disk, a database that only reads.
    pub writes: &'static str,
    /// `ok`, or `late`: requests are served, and mails or webhooks wait.
    pub queue: &'static str,
    /// Age of the oldest effect that is not done, failed attempts included, in seconds.
    pub queue_age_seconds: u64,
}

/// Whether the database takes a write within a moment.
pub async fn can_write(app: &App) -> bool {
    let now = app.now();
    let probe = app
        .store
        .write("probe", move |tx| Box::pin(async move { tx.take_mark("probe", now + WRITE_TIMEOUT, now).await.map(drop) }));
    matches!(tokio::time::timeout(WRITE_TIMEOUT, probe).await, Ok(Ok::<(), StoreError>(())))
}

/// How long a write may take before it is said to fail.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// Looks at database, clock and queues; `writes` is what [`can_write`] said lately.
///
/// # Errors
/// [`StoreError`] when the database does not answer.
pub async fn readiness(app: &App, writes: bool) -> Result<Readiness, StoreError> {
    let now = app.now();
    let is_behind = app.store.latest_event().await?.is_some_and(|latest| latest > now + CLOCK_SLACK);
    let oldest = app.store.queues().await?.iter().filter_map(|queue| queue.oldest).min();
    let age = oldest.map_or(0, |at| u64::try_from((now.unix_micros() - at) / 1_000_000).unwrap_or(0));
    Ok(Readiness {
        status: if is_behind || !writes { "unavailable" } else { "ok" },
        writes: if writes { "ok" } else { "failing" },
        database: app.store.kind(),
        clock: if is_behind { "behind" } else { "ok" },
        queue: if age > QUEUE_LATE.as_secs() { "late" } else { "ok" },
        queue_age_seconds: age,
    })
}
