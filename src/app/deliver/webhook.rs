//! Posts one event to one endpoint.

use std::sync::PoisonError;

use serde_json::Value;

use super::{ATTEMPTS_MAX, Lease, NEVER_ENDED, again, lease_was_lost, subject};
use crate::app::App;
use crate::dcv::id::{EventId, OrderId};
use crate::dcv::timestamp::Timestamp;
use crate::store::{ClaimedEffect, Outcome, Said, StoreError};

pub(super) async fn deliver(app: &App, effect: ClaimedEffect, lease: Lease) -> Result<(), StoreError> {
    let Attempt { outcome, detail, gone } = attempt(app, &effect).await?;
    let now = app.now();
    let endpoint = effect.endpoint.clone();
    let address = gone.then(|| app.ports.webhook.address(&endpoint)).flatten();
    if let Some(address) = &address {
        tracing::warn!(
            endpoint,
            address,
            "the receiver answered 410 Gone; nothing more is posted there until `dcvd webhook enable`"
        );
        app.gone_endpoints.lock().unwrap_or_else(PoisonError::into_inner).insert(endpoint.clone());
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
        return Ok(dead(format!(
            "not posted: the receiver answered 410 Gone at {at}; `dcvd webhook enable` and a replay send it"
        )));
    }
    let id = EventId::from_bytes(subject(effect)?);
    let event = app.store.event(id).await?.ok_or_else(|| StoreError::inconsistent("effects", "subject_id", &effect.id))?;
    let at = Timestamp::from_unix_micros(event.at);
    // The data is JSON already, as committed; it is not read and written again.
    let body = format!("{{\"type\":{},\"timestamp\":\"{at}\",\"data\":{}}}", Value::String(event.kind), event.data);
    Ok(match app.ports.webhook.post(&effect.endpoint, &id.to_string(), app.now(), &body).await {
        Ok(status) => Attempt { outcome: Outcome::Done, detail: status, gone: false },
        Err(failure) if failure.gone => Attempt { gone: true, ..dead(failure.detail) },
        Err(failure) => Attempt { outcome: again(app, effect, failure.retry_after), detail: failure.detail, gone: false },
    })
}

/// Since when a receiver is gone. Only those that were seen to be are looked up: whether they still are stands in the database.
async fn gone_since(app: &App, endpoint: &str) -> Result<Option<Timestamp>, StoreError> {
    let was_gone = || app.gone_endpoints.lock().unwrap_or_else(PoisonError::into_inner);
    if !was_gone().contains(endpoint) {
        return Ok(None);
    }
    let Some(address) = app.ports.webhook.address(endpoint) else { return Ok(None) };
    let since = app.store.endpoint_gone_at(endpoint, &address).await?;
    if since.is_none() {
        was_gone().remove(endpoint);
    }
    Ok(since)
}
