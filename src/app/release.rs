//! Lets an order that policy held go on: its mails become due.

use serde_json::json;

use super::{App, Cause, notify};
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::OrderId;
use crate::store::StoreError;

/// Releases a held order on somebody's word; `false` when there is no such pending order or nothing holds it.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn release(app: &App, id: OrderId, cause: &Cause) -> Result<bool, StoreError> {
    let Some(order) = app.store.order(id).await? else { return Ok(false) };
    let heads_up = app.profile_of(&order).await?.profile.mail.applicant_heads_up;
    let event = Event::new(EventType::OrderReleased, app.now(), &cause.actor, json!({"reason": cause.reason}));
    let (now, mut ids, routes) = (app.now(), app.id_source(), app.routes(&order.client));
    let released: Result<bool, StoreError> = app
        .store
        .write("release", move |tx| {
            Box::pin(async move {
                tx.lock(id).await?;
                if !tx.release(id, now).await? {
                    return Ok(false);
                }
                tx.release_mails(id, now).await?;
                if heads_up {
                    let (validations, mails) = (tx.validations(id).await?, tx.mails(id).await?);
                    notify::enqueue(tx, notify::of_order(&order, &order.facts()?, &validations, &mails)?, now, &mut ids).await?;
                }
                tx.record_events(id, &order.order_ref, &[event], &routes, &mut ids).await?;
                Ok(true)
            })
        })
        .await;
    if released? {
        return Ok(true);
    }
    Ok(false)
}
