//! Table `idempotency_keys`: requests that may be repeated.

use std::time::Duration;

use sqlx::FromRow;

use super::{Store, StoreError, Tx, exec, id_bytes, in_tx, later, on_pool};
use crate::dcv::id::OrderId;
use crate::dcv::timestamp::Timestamp;

/// A request that carried an Idempotency-Key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repeatable {
    /// The ordering system.
    pub client: String,
    /// Its key.
    pub key: String,
    /// SHA-256 of path and body.
    pub fingerprint: [u8; 32],
    /// The status that its success is answered with.
    pub status: u16,
}

/// A request that changed something, as stored.
#[derive(Clone, Debug, FromRow)]
pub struct RepeatRow {
    /// SHA-256 of path and body.
    pub fingerprint: Vec<u8>,
    /// The order it changed.
    pub order_id: Option<Vec<u8>>,
    /// Of the answer.
    pub status: i64,
    /// Of the answer.
    pub location: Option<String>,
    /// The answer's body; `None` where the daemon ended before it was written.
    pub answer: Option<String>,
}

impl RepeatRow {
    /// The order, typed.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when the column does not hold 16 bytes.
    pub fn order(&self) -> Result<Option<OrderId>, StoreError> {
        self.order_id.as_deref().map(|id| id_bytes(id, "idempotency_keys", "order_id").map(OrderId::from_bytes)).transpose()
    }
}

impl Tx<'_> {
    /// Remembers a request together with what it changes.
    ///
    /// # Errors
    /// [`StoreError::Repeated`] when its key was used meanwhile; then nothing may be changed.
    pub async fn remember(
        &mut self,
        request: Option<&Repeatable>,
        order: impl Into<Option<OrderId>>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO idempotency_keys (client, key, fingerprint, order_id, status, created_at) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (client, key) DO NOTHING";
        let Some(request) = request else { return Ok(()) };
        let order = order.into().map(|order: OrderId| order.as_bytes().to_vec());
        let rows = exec!(
            self,
            sqlx::query(SQL)
                .bind(&request.client)
                .bind(&request.key)
                .bind(&request.fingerprint[..])
                .bind(&order)
                .bind(i64::from(request.status))
                .bind(at.unix_micros())
        );
        if rows == 1 { Ok(()) } else { Err(StoreError::Repeated) }
    }

    /// Keeps a request's answer, also of one that remembered nothing itself; the first that is written stays.
    pub async fn keep_answer(
        &mut self,
        request: &Repeatable,
        location: Option<&str>,
        answer: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO idempotency_keys (client, key, fingerprint, status, location, answer, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (client, key) DO UPDATE SET
            status = CASE WHEN idempotency_keys.answer IS NULL THEN excluded.status ELSE idempotency_keys.status END, location = COALESCE(idempotency_keys.location, excluded.location), answer = COALESCE(idempotency_keys.answer, excluded.answer)
            WHERE idempotency_keys.fingerprint = excluded.fingerprint";
        later!(
            self,
            SQL,
            &request.client,
            &request.key,
            &request.fingerprint[..],
            i64::from(request.status),
            location,
            answer,
            at.unix_micros()
        );
        Ok(())
    }
}

impl Tx<'_> {
    /// Drops a request's answer, as a daemon that ended before it was kept leaves it. For tests.
    pub async fn forget_answer(&mut self, client: &str, key: &str) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE idempotency_keys SET answer = NULL, location = NULL WHERE client = $1 AND key = $2";
        later!(self, SQL, client, key);
        Ok(())
    }
}

impl Store {
    /// Reads what was remembered under a client's key.
    pub async fn remembered(&self, client: &str, key: &str) -> Result<Option<RepeatRow>, StoreError> {
        const SQL: &str =
            "SELECT fingerprint, order_id, status, location, answer FROM idempotency_keys WHERE client = $1 AND key = $2";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(client).bind(key).fetch_optional(db).await?))
    }

    /// Forgets requests older than `age`, `limit` at a time; how many.
    pub async fn forget_requests(&self, now: Timestamp, age: Duration, limit: u32) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM idempotency_keys WHERE (client, key) IN
            (SELECT client, key FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2)";
        const ANY: &str = "SELECT 1 FROM idempotency_keys WHERE created_at < $1 LIMIT 1";
        let before = (now - age).unix_micros();
        // A look before the write: an idle daemon must not cost a durable commit each time.
        let any: Option<i32> = on_pool!(self, |db| sqlx::query_scalar(ANY).bind(before).fetch_optional(db).await?);
        if any.is_none() {
            return Ok(0);
        }
        self.write("forget_requests", move |tx| {
            Box::pin(async move { Ok(exec!(tx, sqlx::query(SQL).bind(before).bind(i64::from(limit)))) })
        })
        .await
    }
}
