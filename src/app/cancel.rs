//! Cancels an order: its open names end, its links with them.

use serde_json::json;

use super::{App, Cause, notify};
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::OrderId;
use crate::dcv::order::{LinkState, OrderState, ValidationState};
use crate::dcv::profile::CancelParty;
use crate::dcv::timestamp::Timestamp;
use crate::store::{OrderRow, StoreError, Tx};

/// What is told with a cancellation.
#[derive(Debug, Clone, Default)]
pub struct Cancellation {
    /// Why.
    pub reason: Option<String>,
    /// On whose word.
    pub by: Option<CancelParty>,
    /// The name that was given to make sure.
    pub common_name: Option<String>,
    /// The order that came in its place.
    pub successor: Option<OrderId>,
}

/// Why an order was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is no such order.
    #[error("there is no such order")]
    Missing,
    /// It has ended; so says its state.
    #[error("the order is {} already", .0.as_str())]
    Ended(OrderState),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Cancels an order. What was approved in it stays approved; nothing else of it can be.
///
/// # Errors
/// [`CancelError`]; then everything stays as it was.
pub async fn cancel(app: &App, id: OrderId, told: Cancellation, cause: &Cause) -> Result<(), CancelError> {
    let order = app.store.order(id).await?.ok_or(CancelError::Missing)?;
    let (now, mut ids, routes, cause) = (app.now(), app.id_source(), app.routes(&order.client), cause.clone());
    let done: Result<(), CancelError> = app
        .store
        .write("cancel", move |tx| {
            Box::pin(async move {
                let order = tx.lock_order(id).await?.ok_or(CancelError::Missing)?;
                tx.remember(cause.request.as_ref(), id, now).await?;
                if order.state != OrderState::Pending.as_str() {
                    let state = OrderState::from_text(&order.state);
                    let state = state.ok_or_else(|| StoreError::inconsistent("orders", "state", &order.id))?;
                    return Err(CancelError::Ended(state));
                }
                let event = end(tx, &order, &told, &cause.actor, now, &mut ids).await?;
                tx.record_events(id, &order.order_ref, &[event], &routes, &mut ids).await?;
                Ok(())
            })
        })
        .await;
    done?;
    Ok(())
}

/// Ends everything of a pending order that is open; the event, once it is recorded, ends the order itself.
pub(super) async fn end(
    tx: &mut Tx<'_>,
    order: &OrderRow,
    told: &Cancellation,
    actor: &str,
    now: Timestamp,
    ids: &mut (dyn FnMut() -> [u8; 10] + Send),
) -> Result<Event, StoreError> {
    let id = order.id()?;
    let mut mailed = false;
    for mail in tx.mails(id).await? {
        tx.end_link(&mail, LinkState::Cancelled, now).await?;
        mailed |= mail.sent_at.is_some();
    }
    let mut names = tx.validations(id).await?;
    let mut ended = Vec::new();
    for one in &mut names {
        let state = one.state()?;
        if !state.is_final()
            && let Some(row) = tx.end_validation(&one.id, state, ValidationState::Cancelled, now).await?
        {
            *one = row;
            ended.push(one.id.clone());
        }
    }
    let ended: Vec<&str> = names.iter().filter(|one| ended.contains(&one.id)).map(|one| one.name.as_str()).collect();
    let names: Vec<_> = names.iter().map(|one| json!({"name": one.name, "state": one.state})).collect();
    let notices = notify::of_cancellation(order, &ended, mailed, told.reason.as_deref(), now)?;
    notify::enqueue(tx, notices, now, ids).await?;
    let data = json!({
        "state": "cancelled", "reason": told.reason, "by": told.by.map(CancelParty::as_str), "common_name": told.common_name, "validations": names,
        "successor": told.successor,
    });
    Ok(Event::new(EventType::OrderCancelled, now, actor, data))
}
