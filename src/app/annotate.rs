//! Puts to an order what decides nothing: an operator's note, whose it is, whether its reminders rest.

use serde_json::json;

use super::{App, Cause};
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::OrderId;
use crate::dcv::profile::ExternalCheck;
use crate::store::StoreError;

/// What an operator puts to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Annotation {
    /// Some words, or that a check was made elsewhere, or both.
    Note {
        /// The words; may be empty where a check is told.
        text: String,
        /// The check.
        check: Option<ExternalCheck>,
    },
    /// Whose it is from now on; `None` for nobody's.
    Assign(Option<String>),
    /// Nobody is reminded until it is resumed; deadlines stay.
    Pause,
    /// Whoever is due is reminded again.
    Resume,
}

/// Writes it into the order's timeline; `false` where there is no such order, or nothing changes: it has ended, or that is so already.
///
/// # Errors
/// [`StoreError`] when the database fails, or the request was taken before.
pub async fn annotate(app: &App, id: OrderId, what: Annotation, cause: &Cause) -> Result<bool, StoreError> {
    let Some(order) = app.store.order(id).await? else { return Ok(false) };
    let (now, mut ids, routes, cause) = (app.now(), app.id_source(), app.routes(&order.client), cause.clone());
    app.store
        .write("annotate", move |tx| {
            Box::pin(async move {
                tx.lock(id).await?;
                tx.remember(cause.request.as_ref(), id, now).await?;
                let (changed, kind, data) = match &what {
                    Annotation::Note { text, check } => {
                        (true, EventType::OrderNoted, json!({"note": text, "check": check.map(ExternalCheck::as_str)}))
                    }
                    Annotation::Assign(to) => {
                        let changed = tx.assign(id, to.as_deref()).await?;
                        (changed, EventType::OrderAssigned, json!({"to": to}))
                    }
                    Annotation::Pause => {
                        (tx.pause(id, Some(now)).await?, EventType::OrderPaused, json!({"reason": cause.reason}))
                    }
                    Annotation::Resume => (tx.pause(id, None).await?, EventType::OrderResumed, json!({"reason": cause.reason})),
                };
                if changed {
                    let event = Event::new(kind, now, &cause.actor, data);
                    tx.record_events(id, &order.order_ref, &[event], &routes, &mut ids).await?;
                }
                Ok(changed)
            })
        })
        .await
}
