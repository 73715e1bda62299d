//! Posts one event to one endpoint.

use serde_json::Value;

use super::{ATTEMPTS_MAX, Lease, NEVER_ENDED, again, lease_was_lost, subject};
use crate::app::App;
use crate::dcv::id::{EventId, OrderId};
use crate::dcv::timestamp::Timestamp;
use crate::store::{ClaimedEffect, Outcome, Said, StoreError};

pub(super) async fn deliver(app: &App, effect: ClaimedEffect, lease: Lease) -> Result<(), StoreError> {
    let (outcome, detail) = attempt(app, &effect).await?;
    let now = app.now();
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
                Ok(())
            })
        })
        .await
}

async fn attempt(app: &App, effect: &ClaimedEffect) -> Result<(Outcome, String), StoreError> {
    if effect.tried > ATTEMPTS_MAX {
        return Ok((Outcome::Dead, NEVER_ENDED.to_owned()));
    }
    let id = EventId::from_bytes(subject(effect)?);
    let event = app.store.event(id).await?.ok_or_else(|| StoreError::inconsistent("effects", "subject_id", &effect.id))?;
    let at = Timestamp::from_unix_micros(event.at);
    // The data is JSON already, as committed; it is not read and written again.
    let body = format!("{{\"type\":{},\"timestamp\":\"{at}\",\"data\":{}}}", Value::String(event.kind), event.data);
    Ok(match app.ports.webhook.post(&effect.endpoint, &id.to_string(), app.now(), &body).await {
        Ok(status) => (Outcome::Done, status),
        Err(failure) => (again(app, effect, failure.retry_after), failure.detail),
    })
}
