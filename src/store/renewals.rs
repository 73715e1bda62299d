//! Table `renewals`: orders whose certificates draw near their end.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, exec, in_tx, on_pool};
use crate::dcv::id::OrderId;
use crate::dcv::timestamp::Timestamp;

/// An order whose certificates draw near their end, as stored.
#[derive(Clone, Debug, FromRow)]
pub struct RenewalRow {
    /// The order.
    pub order_id: Vec<u8>,
    /// Unix microseconds; the latest end among its certificates.
    pub not_after: i64,
    /// Unix microseconds; what was due until then was done.
    pub done_until: i64,
    /// Unix microseconds; when there is something to do.
    pub next_at: Option<i64>,
    /// The order that renews it.
    pub renewed_by: Option<Vec<u8>>,
}

impl Tx<'_> {
    /// Sets when an order's certificates end, where that is later than what is known; one that is renewed already stays so.
    pub async fn expect_end(
        &mut self,
        order: OrderId,
        not_after: Timestamp,
        next_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO renewals (order_id, not_after, done_until, next_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (order_id) DO UPDATE SET not_after = excluded.not_after, done_until = excluded.done_until,
            next_at = CASE WHEN renewals.renewed_by IS NULL THEN excluded.next_at ELSE NULL END
            WHERE renewals.not_after < excluded.not_after";
        exec!(
            self,
            sqlx::query(SQL)
                .bind(&order.as_bytes()[..])
                .bind(not_after.unix_micros())
                .bind(now.unix_micros())
                .bind(next_at.map(Timestamp::unix_micros))
        );
        Ok(())
    }

    /// Takes what is due upon oneself, and sets when it is looked at again should this end early; `false` where another took it.
    pub async fn claim_renewal(&mut self, row: &RenewalRow, again: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE renewals SET next_at = $3 WHERE order_id = $1 AND next_at = $2";
        Ok(exec!(self, sqlx::query(SQL).bind(&row.order_id).bind(row.next_at).bind(again.unix_micros())) == 1)
    }

    /// Writes that what was due is done, and when there is more.
    pub async fn renewal_done(&mut self, order: OrderId, until: Timestamp, next_at: Option<Timestamp>) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE renewals SET done_until = $2, next_at = $3 WHERE order_id = $1 AND renewed_by IS NULL";
        let next_at = next_at.map(Timestamp::unix_micros);
        exec!(self, sqlx::query(SQL).bind(&order.as_bytes()[..]).bind(until.unix_micros()).bind(next_at));
        Ok(())
    }

    /// Writes which order renews another of the same ordering system.
    pub async fn renewed(&mut self, earlier: OrderId, by: &[u8], client: &str) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE renewals SET renewed_by = $2, next_at = NULL WHERE order_id = $1 AND renewed_by IS NULL
            AND EXISTS (SELECT 1 FROM orders WHERE id = $1 AND client = $3)";
        exec!(self, sqlx::query(SQL).bind(&earlier.as_bytes()[..]).bind(by).bind(client));
        Ok(())
    }
}

impl Store {
    /// What is due, the longest waiting first.
    pub async fn renewals_due(&self, now: Timestamp, limit: u32) -> Result<Vec<RenewalRow>, StoreError> {
        const SQL: &str = "SELECT order_id, not_after, done_until, next_at, renewed_by FROM renewals
            WHERE next_at IS NOT NULL AND next_at <= $1 ORDER BY next_at LIMIT $2";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(now.unix_micros()).bind(i64::from(limit)).fetch_all(db).await?))
    }

    /// An order's renewal, where its certificates are watched.
    pub async fn renewal(&self, order: OrderId) -> Result<Option<RenewalRow>, StoreError> {
        const SQL: &str = "SELECT order_id, not_after, done_until, next_at, renewed_by FROM renewals WHERE order_id = $1";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(&order.as_bytes()[..]).fetch_optional(db).await?))
    }
}
