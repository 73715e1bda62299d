//! Puts an effect that was given up back into the outbox, with a full schedule of attempts before it.

use serde_json::json;

use super::{App, Cause};
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::{EffectId, EventId, OrderId};
use crate::dcv::timestamp::Timestamp;
use crate::store::StoreError;

/// Replays one effect on somebody's word; `false` when there is none that was given up under this id, or its bytes are gone with its
/// link.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn replay(app: &App, id: EffectId, cause: &Cause) -> Result<bool, StoreError> {
    let (now, mut ids, cause) = (app.now(), app.id_source(), cause.clone());
    let order = app.store.order_of_effect(id).await?;
    let replayed: Result<bool, StoreError> = app
        .store
        .write("replay", move |tx| {
            Box::pin(async move {
                // Before any other row of the order, so that no two transactions wait for each other.
                if let Some(order) = order {
                    tx.lock(order).await?;
                }
                tx.remember(cause.request.as_ref(), order, now).await?;
                let Some((kind, subject)) = tx.replay(id, now).await? else { return Ok(false) };
                tx.waits_again(&kind, &subject).await?;
                if let Some(order) = order {
                    let event = Event::new(
                        EventType::EffectReplayed,
                        now,
                        &cause.actor,
                        json!({"effect": id, "kind": kind, "reason": cause.reason}),
                    );
                    // The event stands in the timeline alone, so that there is nowhere to route it.
                    tx.record_events(order, "", &[event], &|_: &Event| Vec::new(), &mut ids).await?;
                }
                Ok(true)
            })
        })
        .await;
    if replayed? {
        return Ok(true);
    }
    Ok(false)
}

/// Events looked at in one replay of a range.
pub const EVENTS_AT_ONCE: u32 = 500;

/// Which events are posted once more.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    /// One.
    One(EventId),
    /// Those from an instant on and before another.
    Range(Timestamp, Timestamp),
}

/// What a replay put back into the outbox.
#[derive(Debug, Clone, Copy)]
pub struct Replayed {
    /// Posts that wait now; those that still waited are not counted.
    pub count: u64,
    /// Whether any event was found that webhooks are posted for.
    pub found: bool,
    /// Where the next call begins, when the range holds more.
    pub next_from: Option<Timestamp>,
}

/// Posts events of a client's orders once more, under the same ids, each order's in its order. Doing it twice harms nobody, so that a
/// request that may be repeated is remembered with its answer alone.
///
/// # Errors
/// [`StoreError`] when the database fails; then nothing is posted.
pub async fn replay_events(app: &App, client: &str, wanted: &Wanted) -> Result<Replayed, StoreError> {
    let (first, end) = match *wanted {
        Wanted::One(id) => (id, None),
        Wanted::Range(from, to) => (EventId::new(from, [0; 10]), Some(EventId::new(to, [0; 10]))),
    };
    let mut events = app.store.events_with_webhooks(client, first, end, EVENTS_AT_ONCE + 1).await?;
    let more = events.len() > EVENTS_AT_ONCE as usize;
    let next_from = more.then(|| events.pop()).flatten().map(|(_, at)| Timestamp::from_unix_micros(at));
    let (found, now) = (!events.is_empty(), app.now());
    let count = app
        .store
        .write("replay_events", move |tx| {
            Box::pin(async move {
                let events: Vec<_> = events.into_iter().map(|(id, _)| id).collect();
                if events.is_empty() { Ok::<_, StoreError>(0) } else { tx.replay_webhooks(&events, now).await }
            })
        })
        .await?;
    Ok(Replayed { count, found, next_from })
}

/// Posts an event's webhooks once more on an operator's word, under the same id; `false` where there is no such event, or none of its
/// webhooks has ended.
///
/// # Errors
/// [`StoreError`] when the database fails, or the request was taken before.
pub async fn post_again(app: &App, id: EventId, cause: &Cause) -> Result<bool, StoreError> {
    let Some(event) = app.store.event(id).await? else { return Ok(false) };
    let order = <[u8; 16]>::try_from(event.order_id.as_slice()).map(OrderId::from_bytes);
    let order = order.map_err(|_| StoreError::inconsistent("events", "order_id", &event.id))?;
    let (now, mut ids, cause) = (app.now(), app.id_source(), cause.clone());
    let posted: Result<bool, StoreError> = app
        .store
        .write("post_again", move |tx| {
            Box::pin(async move {
                tx.lock(order).await?;
                tx.remember(cause.request.as_ref(), order, now).await?;
                if tx.replay_webhooks(std::slice::from_ref(&event.id), now).await? == 0 {
                    return Ok(false);
                }
                let data = json!({"event": id, "kind": "webhook", "reason": cause.reason});
                let replayed = Event::new(EventType::EffectReplayed, now, &cause.actor, data);
                tx.record_events(order, "", &[replayed], &|_: &Event| Vec::new(), &mut ids).await?;
                Ok(true)
            })
        })
        .await;
    let posted = posted?;
    Ok(posted)
}
