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
    /// `ok`, or `late`: requests are served, and mails or webhooks wait.
    pub queue: &'static str,
    /// For how long the longest overdue effect has waited, in seconds.
    pub queue_age_seconds: u64,
}

/// Looks at database, clock and queues.
///
/// # Errors
/// [`StoreError`] when the database does not answer.
pub async fn readiness(app: &App) -> Result<Readiness, StoreError> {
    let now = app.now();
    let is_behind = app.store.latest_event().await?.is_some_and(|latest| latest > now + CLOCK_SLACK);
    let oldest = app.store.queues().await?.iter().filter_map(|queue| queue.oldest).min();
    let age = oldest.map_or(0, |at| u64::try_from((now.unix_micros() - at) / 1_000_000).unwrap_or(0));
    Ok(Readiness {
        status: if is_behind { "unavailable" } else { "ok" },
        database: app.store.kind(),
        clock: if is_behind { "behind" } else { "ok" },
        queue: if age > QUEUE_LATE.as_secs() { "late" } else { "ok" },
        queue_age_seconds: age,
    })
}
