//! Table `events`: an order's timeline.

use serde_json::{Value, json};
use sqlx::FromRow;

use super::{Counted, EffectKind, NewEffect, OrderRow, Store, StoreError, Tx, later, on_pool};
use crate::dcv::event::Event;
use crate::dcv::id::{EffectId, EventId, OrderId};
use crate::dcv::timestamp::Timestamp;

/// One entry of a timeline, as stored.
#[derive(Clone, Debug, FromRow)]
pub struct EventRow {
    /// Its id.
    pub id: Vec<u8>,
    /// The order it belongs to.
    pub order_id: Vec<u8>,
    /// Its place in the order, from 1.
    pub seq: i64,
    /// An event type.
    pub kind: String,
    /// Unix microseconds.
    pub at: i64,
    /// Who caused it.
    pub actor: String,
    /// JSON, as the webhook carries it.
    pub data: String,
}

const BY_ID: &str = "SELECT id, order_id, seq, kind, at, actor, data FROM events WHERE id = $1";
const BY_ORDER: &str = "SELECT id, order_id, seq, kind, at, actor, data FROM events WHERE order_id = $1 ORDER BY seq";

/// What every event of an order tells.
struct Told<'o> {
    order: OrderId,
    order_ref: &'o str,
    test: bool,
}

impl Tx<'_> {
    /// Adds events to an order's timeline, each with one webhook effect per endpoint that `endpoints` names for it.
    ///
    /// `ids` draws fresh ids. The events get the order's next places, in the order given. One that tells the order's end ends it.
    ///
    /// # Errors
    /// [`StoreError::CannotEnd`] where an order is to end that is not pending.
    pub async fn record_events(
        &mut self,
        order: OrderId,
        order_ref: &str,
        events: &[Event],
        endpoints: &(dyn Fn(&Event) -> Vec<String> + Send + Sync),
        ids: &mut (dyn FnMut() -> [u8; 10] + Send),
    ) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let end = events.iter().find_map(|event| Some((event.kind.ends()?, event.at)));
        let (first, test) = self.take_seqs(order, i64::try_from(events.len()).unwrap_or(i64::MAX), end).await?;
        let told = Told { order, order_ref, test };
        self.insert_events(told, first, events, endpoints, ids).await
    }

    /// As [`Tx::record_events`], for an order that this transaction read under its lock and has recorded nothing of since.
    ///
    /// # Errors
    /// [`StoreError::CannotEnd`] as there; [`StoreError`] where something was recorded since, now or with a later statement.
    pub async fn record_next_events(
        &mut self,
        row: &OrderRow,
        events: &[Event],
        endpoints: &(dyn Fn(&Event) -> Vec<String> + Send + Sync),
        ids: &mut (dyn FnMut() -> [u8; 10] + Send),
    ) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let end = events.iter().find_map(|event| Some((event.kind.ends()?, event.at)));
        self.move_seqs(row, i64::try_from(events.len()).unwrap_or(i64::MAX), end).await?;
        let told = Told { order: row.id()?, order_ref: &row.order_ref, test: row.test == 1 };
        self.insert_events(told, row.last_seq + 1, events, endpoints, ids).await
    }

    /// The first events of an order that this transaction inserted, and whose `last_seq` says already how many they are.
    ///
    /// # Errors
    /// [`StoreError::CannotEnd`] where one of them tells its end, which only [`Tx::record_events`] writes.
    pub async fn record_first_events(
        &mut self,
        row: &OrderRow,
        events: &[Event],
        endpoints: &(dyn Fn(&Event) -> Vec<String> + Send + Sync),
        ids: &mut (dyn FnMut() -> [u8; 10] + Send),
    ) -> Result<(), StoreError> {
        let order = row.id()?;
        if events.iter().any(|event| event.kind.ends().is_some()) {
            return Err(StoreError::CannotEnd { order, why: "not by its first events" });
        }
        let told = Told { order, order_ref: &row.order_ref, test: row.test == 1 };
        self.insert_events(told, 1, events, endpoints, ids).await
    }

    async fn insert_events(
        &mut self,
        Told { order, order_ref, test }: Told<'_>,
        first: i64,
        events: &[Event],
        endpoints: &(dyn Fn(&Event) -> Vec<String> + Send + Sync),
        ids: &mut (dyn FnMut() -> [u8; 10] + Send),
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO events (id, order_id, seq, kind, at, actor, data) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        for (seq, event) in (first..).zip(events) {
            let id = EventId::new(event.at, ids());
            let mut data = event.data.clone();
            data.insert("order_id".to_owned(), json!(order));
            data.insert("order_ref".to_owned(), json!(order_ref));
            data.insert("seq".to_owned(), json!(seq));
            if test {
                data.insert("test".to_owned(), json!(true));
            }
            let row = EventRow {
                id: id.as_bytes().to_vec(),
                order_id: order.as_bytes().to_vec(),
                seq,
                kind: event.kind.as_str().to_owned(),
                at: event.at.unix_micros(),
                actor: event.actor.clone(),
                data: Value::Object(data).to_string(),
            };
            later!(self, SQL, &row.id, &row.order_id, row.seq, &row.kind, row.at, &row.actor, &row.data);
            self.seal_soon(&row)?;
            self.counted.push(Counted::Event(event.kind.as_str()));
            for endpoint in endpoints(event) {
                self.enqueue(&NewEffect {
                    id: EffectId::new(event.at, ids()),
                    kind: EffectKind::Webhook,
                    order: Some(order),
                    subject: *id.as_bytes(),
                    endpoint,
                    seq,
                    recipient: None,
                    body: None,
                    at: event.at,
                    held: false,
                })
                .await?;
            }
        }
        Ok(())
    }
}

impl Store {
    /// What tells that something changed since it was last asked: the latest event, and how far files are.
    pub async fn latest_change(&self) -> Result<(Option<Vec<u8>>, i64), StoreError> {
        const EVENT: &str = "SELECT id FROM events ORDER BY id DESC LIMIT 1";
        const FILES: &str =
            "SELECT CAST(COALESCE(SUM(parts), 0) AS BIGINT) FROM (SELECT parts FROM exports ORDER BY id DESC LIMIT 20) AS latest";
        Ok(on_pool!(self, |db| {
            let event = sqlx::query_scalar(EVENT).fetch_optional(db).await?;
            (event, sqlx::query_scalar(FILES).fetch_one(db).await?)
        }))
    }

    /// Reads one event.
    pub async fn event(&self, id: EventId) -> Result<Option<EventRow>, StoreError> {
        Ok(on_pool!(self, |db| sqlx::query_as(BY_ID).bind(&id.as_bytes()[..]).fetch_optional(db).await?))
    }

    /// How many events of each kind happened from `from` on and before `to`; ids are ordered by time.
    pub async fn count_events(&self, from: Timestamp, to: Timestamp) -> Result<Vec<(String, i64)>, StoreError> {
        const SQL: &str = "SELECT kind, COUNT(*) FROM events WHERE id >= $1 AND id < $2 GROUP BY kind";
        let bounds = [EventId::new(from, [0; 10]), EventId::new(to, [0; 10])];
        Ok(on_pool!(self, |db| sqlx::query_as(SQL)
            .bind(&bounds[0].as_bytes()[..])
            .bind(&bounds[1].as_bytes()[..])
            .fetch_all(db)
            .await?))
    }

    /// Events of a client's orders that webhooks are posted for: one by its id, or those up to `end`, oldest first, `limit` at most.
    pub async fn events_with_webhooks(
        &self,
        client: &str,
        first: EventId,
        end: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<(Vec<u8>, i64)>, StoreError> {
        const ONE: &str =
            "SELECT e.id, e.at FROM events e CROSS JOIN orders o WHERE o.id = e.order_id AND e.id = $1 AND o.client = $2
            AND EXISTS (SELECT 1 FROM effects f WHERE f.subject_id = e.id AND f.kind = 'webhook')";
        const RANGE: &str =
            "SELECT e.id, e.at FROM events e CROSS JOIN orders o WHERE o.id = e.order_id AND e.id >= $1 AND e.id < $3 AND o.client = $2
            AND EXISTS (SELECT 1 FROM effects f WHERE f.subject_id = e.id AND f.kind = 'webhook') ORDER BY e.id LIMIT $4";
        let first = first.as_bytes().to_vec();
        Ok(match end {
            None => on_pool!(self, |db| sqlx::query_as(ONE).bind(first).bind(client).fetch_all(db).await?),
            Some(end) => {
                on_pool!(self, |db| sqlx::query_as(RANGE)
                    .bind(first)
                    .bind(client)
                    .bind(end.as_bytes().to_vec())
                    .bind(i64::from(limit))
                    .fetch_all(db)
                    .await?)
            }
        })
    }

    /// Reads an order's timeline.
    pub async fn events(&self, order: OrderId) -> Result<Vec<EventRow>, StoreError> {
        Ok(on_pool!(self, |db| sqlx::query_as(BY_ORDER).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }
}
