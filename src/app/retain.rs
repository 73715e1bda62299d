//! Removes orders and entries of the access log that need not be kept any more, and takes personal data out of orders that stay, an order at
//! a time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::App;
use crate::dcv::id::{EventId, OrderId};
use crate::dcv::retention::{Kept, keep_until, masked_from};
use crate::dcv::seal::Sealed;
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::store::{OldOrderRow, StoreError};

/// Orders looked at for one page.
const PAGE: u32 = 200;

/// Entries of the access log removed in one transaction.
const ACCESS_AT_ONCE: u32 = 1_000;

/// What was removed, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Orders by profile.
    pub orders: BTreeMap<String, u64>,
    /// Orders that personal data is taken out of, by profile.
    pub masked: BTreeMap<String, u64>,
    /// Entries of the access log.
    pub access: u64,
}

/// Looks at every order that has ended and removes those that are kept no longer, then old entries of the access log. Where `dry`, counts
/// only. Between pages it rests for `rest`, and ends early where `stop` says so.
///
/// # Errors
/// [`StoreError`] when the database fails; what was removed by then is.
pub async fn retain(app: &App, dry: bool, rest: Duration, stop: impl Fn() -> bool) -> Result<Removed, StoreError> {
    let (now, mut removed, mut after) = (app.now(), Removed::default(), Vec::new());
    // What an older daemon wrote is sealed first: nothing must go that was not.
    for kind in Sealed::ALL {
        let (until, adopted) = app.store.adoption(kind).await?;
        if until.is_some() && until != adopted {
            return Ok(removed);
        }
    }
    // Whatever a profile says, nothing younger is looked at.
    let rules = app.profiles.iter().map(|one| &one.profile.retention);
    let days = rules.flat_map(|rules| [Some(rules.evidence_days), Some(rules.personal_days).filter(|days| *days > 0)]);
    let youngest = days.flatten().min().unwrap_or(u32::MAX);
    let before = now - Duration::from_secs(u64::from(youngest.min(36_500)) * DAY_SECS);
    loop {
        let page = app.store.old_orders(&after, before, PAGE).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.id);
        for row in &page {
            let due = match due(app, row, now).await {
                Ok(Some(due)) => due,
                Ok(None) => continue,
                Err(error @ StoreError::Inconsistent { .. }) => {
                    tracing::error!(%error, "an order's profile cannot be read; the order is kept");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if dry || carry_out(app, row, now).await? == Some(due) {
                let told = match due {
                    Due::Removal => &mut removed.orders,
                    Due::Masking => &mut removed.masked,
                };
                *told.entry(row.profile_id.clone()).or_default() += 1;
            }
        }
        if stop() {
            return Ok(removed);
        }
        tokio::time::sleep(rest).await;
    }
    let until = now - app.settings.access_log_kept;
    let before = EventId::new(until, [0; 10]).as_bytes().to_vec();
    if dry {
        removed.access = u64::try_from(app.store.access_before(&before).await?).unwrap_or(0);
        return Ok(removed);
    }
    loop {
        let (before, retirement) = (before.clone(), EventId::new(now, app.random()).as_bytes().to_vec());
        let gone = app
            .store
            .write("remove_access", move |tx| {
                Box::pin(async move { tx.remove_access(&before, until, ACCESS_AT_ONCE, &retirement, now).await })
            })
            .await?;
        removed.access += gone as u64;
        if gone < ACCESS_AT_ONCE as usize || stop() {
            return Ok(removed);
        }
        tokio::time::sleep(rest).await;
    }
}

/// What is to be done with an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    /// It goes.
    Removal,
    /// It stays, without personal data.
    Masking,
}

async fn due(app: &App, row: &OldOrderRow, now: Timestamp) -> Result<Option<Due>, StoreError> {
    let rules = &app.profile_by(&row.profile_id, &row.profile_hash).await?.profile.retention;
    let is_over = |until: Option<Timestamp>| until.is_some_and(|until| until <= now);
    if is_over(keep_until(&kept(row), rules)) {
        return Ok(Some(Due::Removal));
    }
    Ok((row.masked_at.is_none() && is_over(masked_from(&kept(row), rules))).then_some(Due::Masking))
}

fn kept(row: &OldOrderRow) -> Kept {
    Kept {
        ended_at: row.ended_at.map(Timestamp::from_unix_micros),
        approved: row.approved == 1,
        reusable_until: row.reusable_until.map(Timestamp::from_unix_micros),
        not_after: row.not_after.map(Timestamp::from_unix_micros),
        needed: row.needed == 1,
    }
}

/// Removes one order, or takes personal data out of it, unless something about it changed meanwhile; what was done.
async fn carry_out(app: &App, row: &OldOrderRow, now: Timestamp) -> Result<Option<Due>, StoreError> {
    let profile = app.profile_by(&row.profile_id, &row.profile_hash).await?;
    let id = row.id.as_slice().try_into().map_err(|_| StoreError::inconsistent("orders", "id", &row.id))?;
    let (order, retirement) = (OrderId::from_bytes(id), EventId::new(now, app.random()).as_bytes().to_vec());
    app.store
        .write("retain_order", move |tx| {
            Box::pin(async move {
                tx.lock(order).await?;
                let rules = &profile.profile.retention;
                let Some(row) = tx.old_order(order).await? else { return Ok(None) };
                if let Some(until) = keep_until(&kept(&row), rules).filter(|until| *until <= now) {
                    let rule = format!("retention.evidence_days = {}: kept until {until}", rules.evidence_days);
                    tx.remove_order(order, &retirement, &rule, now).await?;
                    return Ok(Some(Due::Removal));
                }
                let from = masked_from(&kept(&row), rules).filter(|from| *from <= now && row.masked_at.is_none());
                let Some(from) = from else { return Ok(None) };
                let rule = format!("retention.personal_days = {}: kept until {from}", rules.personal_days);
                tx.mask_order(order, &retirement, &rule, now).await?;
                Ok::<_, StoreError>(Some(Due::Masking))
            })
        })
        .await
}
