//! Gathers what the status page's first screen tells.

use std::time::Duration;

use serde::Serialize;

use super::App;
use super::tally::BEHIND;
use crate::dcv::tally::{Dimension, measure, step};
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::store::{EffectKind, OrderIs, StoreError};

/// How far things are counted one by one; beyond it stands "more than".
pub const COUNTED_MAX: u32 = 10_000;

/// The numbers of the first screen.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "each member is what its name says")]
pub struct Overview {
    pub counted_max: i64,
    pub pending: i64,
    pub due_soon: i64,
    pub undelivered: i64,
    pub awaiting: i64,
    pub held: i64,
    pub given_up: i64,
    pub decided_today: i64,
    pub expired_week: i64,
    pub mails_due: i64,
    pub webhooks_due: i64,
    /// How long the oldest effect that could go has waited, in seconds.
    pub oldest_due_secs: u64,
    /// Approvals and refusals are counted up to here, as a time of day in Japan.
    pub counted_until: String,
}

/// How far the orders of the last thirty days came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each member is what its name says")]
pub struct Funnel {
    pub created: i64,
    pub addressed: i64,
    pub accepted: i64,
    pub kept: i64,
    pub viewed: i64,
    pub decided: i64,
    pub told: i64,
    pub issued: i64,
}

/// What is seen by the first look.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn overview(app: &App) -> Result<(Overview, Funnel), StoreError> {
    let (store, now) = (&app.store, app.now());
    let is = async |is| store.count_orders(Some(is), COUNTED_MAX).await;
    let day = Duration::from_secs(DAY_SECS);
    let today = now.start_of_day_jst();
    let sums = async |from: Timestamp, measures: &[&str]| -> Result<i64, StoreError> {
        let sums = store.tally_sums(Dimension::All, from, now + day).await?;
        Ok(sums.iter().filter(|(_, measure, _)| measures.contains(&measure.as_str())).map(|(.., count)| count).sum())
    };
    let oldest = store.oldest_due(now).await?;
    let counts = Overview {
        counted_max: i64::from(COUNTED_MAX),
        pending: store.count_orders(None, COUNTED_MAX).await?,
        due_soon: store.count_due(now + day * 3, COUNTED_MAX).await?,
        undelivered: is(OrderIs::Undelivered).await?,
        awaiting: is(OrderIs::Awaiting).await?,
        held: is(OrderIs::Held).await?,
        given_up: is(OrderIs::GivenUp).await?,
        decided_today: sums(today, &[measure::APPROVED, measure::REJECTED, measure::REPORTED]).await?,
        expired_week: sums(now - day * 7, &[measure::EXPIRED]).await?,
        mails_due: store.effects_due(EffectKind::Mail).await?,
        webhooks_due: store.effects_due(EffectKind::Webhook).await?,
        oldest_due_secs: oldest.map_or(0, |at| now.since(at).as_secs()),
        counted_until: time_of_day(now - BEHIND),
    };
    Ok((counts, funnel(app, now - day * 30, now + day).await?))
}

/// How far the orders came that were placed from an instant on and before another.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn funnel(app: &App, from: Timestamp, to: Timestamp) -> Result<Funnel, StoreError> {
    let sums = app.store.tally_sums(Dimension::Funnel, from, to).await?;
    let count = |step: &str| sums.iter().find(|(_, measure, _)| measure == step).map_or(0, |(.., count)| *count);
    Ok(Funnel {
        created: count(step::CREATED),
        addressed: count(step::ADDRESSED),
        accepted: count(step::ACCEPTED),
        kept: (count(step::ACCEPTED) - count(step::BOUNCED)).max(0),
        viewed: count(step::VIEWED),
        decided: count(step::DECIDED),
        told: count(step::TOLD),
        issued: count(step::ISSUED),
    })
}

fn time_of_day(at: Timestamp) -> String {
    let t = at.to_jst();
    format!("{:02}:{:02}", t.hour(), t.minute())
}
