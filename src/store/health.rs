//! What tells how the daemon fares, over several tables.

use sqlx::FromRow;

use super::{Store, StoreError, on_pool};
use crate::dcv::id::EventId;
use crate::dcv::timestamp::Timestamp;

/// How one kind of effect fares.
#[derive(Debug, Clone, FromRow)]
pub struct QueueRow {
    /// `mail`, `notice` or `webhook`.
    pub kind: String,
    /// Those that are due or will be.
    pub length: i64,
    /// When the first of them came to be, in Unix microseconds: one that fails again and again is as old as it is.
    pub oldest: Option<i64>,
}

impl Store {
    /// The outbox by kind; what policy holds back is not in it.
    pub async fn queues(&self) -> Result<Vec<QueueRow>, StoreError> {
        const SQL: &str = "SELECT kind, COUNT(*) AS length, MIN(created_at) AS oldest FROM effects
            WHERE state = 'due' AND due_at < 9223372036854775807 GROUP BY kind ORDER BY kind";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).fetch_all(db).await?))
    }

    /// Effects that were given up, by kind.
    pub async fn given_up(&self) -> Result<Vec<(String, i64)>, StoreError> {
        const SQL: &str = "SELECT kind, COUNT(*) FROM effects WHERE state = 'dead' AND last_error <> 'link-ended' GROUP BY kind";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).fetch_all(db).await?))
    }

    /// Pending orders.
    pub async fn orders_open(&self) -> Result<i64, StoreError> {
        Ok(on_pool!(self, |db| sqlx::query_scalar("SELECT COUNT(*) FROM orders WHERE state = 'pending'").fetch_one(db).await?))
    }

    /// Rows that wait for a seal.
    pub async fn unsealed(&self) -> Result<i64, StoreError> {
        Ok(on_pool!(self, |db| sqlx::query_scalar("SELECT COUNT(*) FROM unsealed").fetch_one(db).await?))
    }

    /// When the latest entry of any timeline was made, by whichever daemon.
    pub async fn latest_event(&self) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "SELECT id FROM events ORDER BY id DESC LIMIT 1";
        let id: Option<Vec<u8>> = on_pool!(self, |db| sqlx::query_scalar(SQL).fetch_optional(db).await?);
        let Some(id) = id else { return Ok(None) };
        let bytes = id.as_slice().try_into().map_err(|_| StoreError::inconsistent("events", "id", &id))?;
        Ok(Some(EventId::from_bytes(bytes).at()))
    }
}
