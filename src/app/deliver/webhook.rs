//! Posts one event to one endpoint.

use std::sync::PoisonError;
use std::time::Duration;

use super::{ATTEMPTS_MAX, Lease, NEVER_ENDED, again, lease_was_lost, subject, tell};
use crate::app::{App, GoneEndpoints};
use crate::dcv::id::{EventId, OrderId};
use crate::dcv::timestamp::Timestamp;
use crate::store::{ClaimedEffect, Outcome, Said, StoreError};

pub(super) async fn deliver(app: &App, effect: ClaimedEffect, lease: Lease, turn: impl Send) -> Result<(), StoreError> {
    let Attempt { outcome, detail, gone } = attempt(app, &effect).await?;
    drop(turn);
    tell(&effect, &outcome);
    let now = app.now();
    if outcome == Outcome::Done {
        if !app.store.finish_taken(&effect, lease, detail, now).await? {
            lease_was_lost(&effect);
        }
        return Ok(());
    }
    let endpoint = effect.endpoint.clone();
    let address = gone.then(|| app.ports.webhook.address(&endpoint)).flatten();
    if let Some(address) = &address {
        tracing::warn!(endpoint, "the receiver answered 410 Gone; nothing more is posted there until `dcvd webhook enable`");
        let mut known = app.gone_endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        known.gone.insert((endpoint.clone(), address.clone()), now);
    }
    let order = effect.order_id.as_deref().and_then(|id| id.try_into().ok()).map(OrderId::from_bytes);
    app.store
        .write("post_webhook", move |tx| {
            Box::pin(async move {
                // Before any other row of the order, so that no two transactions wait for each other.
                if let Some(order) = order {
                    tx.lock(order).await?;
                }
                if !tx.finish(&effect, lease, &outcome, &Said { detail: &detail, dialogue: &[] }, now).await? {
                    lease_was_lost(&effect);
                }
                if let Some(address) = address {
                    tx.endpoint_gone(&endpoint, &address, now).await?;
                }
                Ok(())
            })
        })
        .await
}

/// What came of an attempt.
struct Attempt {
    outcome: Outcome,
    detail: String,
    /// The receiver said that it is gone for good.
    gone: bool,
}

async fn attempt(app: &App, effect: &ClaimedEffect) -> Result<Attempt, StoreError> {
    let dead = |detail: String| Attempt { outcome: Outcome::Dead, detail, gone: false };
    if effect.tried > ATTEMPTS_MAX {
        return Ok(dead(NEVER_ENDED.to_owned()));
    }
    if let Some(at) = gone_since(app, &effect.endpoint).await? {
        return Ok(dead(format!("not posted: the receiver answered 410 Gone at {at}; `dcvd webhook enable` sends it")));
    }
    let id = EventId::from_bytes(subject(effect)?);
    let (Some(kind), Some(at), Some(data)) = (&effect.event_kind, effect.event_at, &effect.event_data) else {
        return Err(StoreError::inconsistent("effects", "subject_id", &effect.id));
    };
    let at = Timestamp::from_unix_micros(at);
    // The data is JSON already, as committed, and a type a plain word; neither is read and written again.
    let body = format!("{{\"type\":\"{kind}\",\"timestamp\":\"{at}\",\"data\":{data}}}");
    Ok(match app.ports.webhook.post(&effect.endpoint, &id.to_string(), app.now(), &body).await {
        Ok(status) => Attempt { outcome: Outcome::Done, detail: status, gone: false },
        Err(failure) if failure.gone => Attempt { gone: true, ..dead(failure.detail) },
        Err(failure) => Attempt { outcome: again(app, effect, failure.retry_after), detail: failure.detail, gone: false },
    })
}

/// How long it is believed which receivers are gone: another daemon may have heard it, and an operator may know better.
const BELIEVED: Duration = Duration::from_secs(5);

/// Since when a receiver is gone.
async fn gone_since(app: &App, endpoint: &str) -> Result<Option<Timestamp>, StoreError> {
    let known = || app.gone_endpoints.lock().unwrap_or_else(PoisonError::into_inner);
    let now = app.now();
    if known().read_at.is_none_or(|at| now.since(at) >= BELIEVED) {
        let rows = app.store.gone_endpoints().await?;
        let gone = rows.into_iter().map(|(name, address, at)| ((name, address), Timestamp::from_unix_micros(at))).collect();
        *known() = GoneEndpoints { read_at: Some(now), gone };
    }
    let Some(address) = app.ports.webhook.address(endpoint) else { return Ok(None) };
    let entry = (endpoint.to_owned(), address);
    if !known().gone.contains_key(&entry) {
        return Ok(None);
    }
    // What is believed may keep posts back only where it still holds: an operator may have said otherwise a moment ago.
    let since = app.store.endpoint_gone_at(endpoint, &entry.1).await?;
    if since.is_none() {
        known().gone.remove(&entry);
    }
    Ok(since)
}
