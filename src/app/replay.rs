//! Puts an effect that was given up back into the outbox, with a full schedule of attempts before it.

use serde_json::json;

use super::App;
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::EffectId;
use crate::store::StoreError;

/// Replays one effect on `actor`'s word; `false` when there is none that was given up under this id, or its bytes are gone with its
/// link.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn replay(app: &App, id: EffectId, actor: &str) -> Result<bool, StoreError> {
    let (now, mut ids, actor) = (app.now(), app.id_source(), actor.to_owned());
    let order = app.store.order_of_effect(id).await?;
    let replayed: Result<bool, StoreError> = app
        .store
        .write("replay", move |tx| {
            Box::pin(async move {
                // Before any other row of the order, so that no two transactions wait for each other.
                if let Some(order) = order {
                    tx.lock(order).await?;
                }
                let Some((kind, subject)) = tx.replay(id, now).await? else { return Ok(false) };
                tx.waits_again(&kind, &subject).await?;
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
