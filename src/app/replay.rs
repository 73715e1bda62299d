//! Puts an effect that was given up back into the outbox, with a full schedule of attempts before it.

use serde_json::json;

use super::App;
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::{EffectId, OrderId};
use crate::store::StoreError;

/// Replays one effect on `actor`'s word; `false` when there is none that was given up under this id, or its bytes are gone with its
/// link.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn replay(app: &App, id: EffectId, actor: &str) -> Result<bool, StoreError> {
    let (now, mut ids, actor) = (app.now(), app.id_source(), actor.to_owned());
    let replayed: Result<bool, StoreError> = app
        .store
        .write("replay", move |tx| {
            Box::pin(async move {
                let Some((kind, order)) = tx.replay(id, now).await? else { return Ok(false) };
                let order = order.and_then(|id| id.try_into().ok()).map(OrderId::from_bytes);
                if let Some(order) = order {
                    let event = Event::new(EventType::EffectReplayed, now, &actor, json!({"effect": id, "kind": kind}));
                    // The event stands in the timeline alone, so that there is nowhere to route it.
                    tx.record_events(order, "", &[event], &|_: &Event| Vec::new(), &mut ids).await?;
                }
                Ok(true)
            })
        })
        .await;
    if replayed? {
        app.wake.mail.notify_one();
        app.wake.notice.notify_one();
        app.wake.webhook.notify_one();
        return Ok(true);
    }
    Ok(false)
}
