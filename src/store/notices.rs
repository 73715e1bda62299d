//! Table `notices`: mail without a link.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, exec, id_bytes, in_tx, later, on_pool};
use crate::dcv::id::{NoticeId, OrderId};
use crate::dcv::notice::NoticeKind;
use crate::dcv::order::Delivery;
use crate::dcv::timestamp::Timestamp;

/// One notice as stored.
#[derive(Clone, Debug, FromRow)]
pub struct NoticeRow {
    /// Its id.
    pub id: Vec<u8>,
    /// The order it tells of, if any.
    pub order_id: Option<Vec<u8>>,
    /// A [`NoticeKind`].
    pub kind: String,
    /// To whom it goes.
    pub recipient: String,
    /// Which language stands first.
    pub locale: String,
    /// What it tells besides the order, JSON.
    pub data: String,
    /// A [`Delivery`].
    pub delivery: String,
    /// Why it failed.
    pub failure: Option<String>,
    /// Unix microseconds.
    pub created_at: i64,
    /// Unix microseconds.
    pub sent_at: Option<i64>,
    /// Unix microseconds; when the canary came back.
    pub returned_at: Option<i64>,
    /// Unix microseconds; when somebody disputed what the receipt tells.
    pub disputed_at: Option<i64>,
}

impl NoticeRow {
    /// The id, typed.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when the column does not hold 16 bytes.
    pub fn id(&self) -> Result<NoticeId, StoreError> {
        id_bytes(&self.id, "notices", "id").map(NoticeId::from_bytes)
    }

    /// The order's id, typed.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when the column does not hold 16 bytes.
    pub fn order_id(&self) -> Result<Option<OrderId>, StoreError> {
        self.order_id.as_deref().map(|id| id_bytes(id, "notices", "order_id").map(OrderId::from_bytes)).transpose()
    }

    /// The kind, typed.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] for a kind the model does not know.
    pub fn kind(&self) -> Result<NoticeKind, StoreError> {
        NoticeKind::from_text(&self.kind).ok_or_else(|| StoreError::inconsistent("notices", "kind", &self.id))
    }
}

/// Every column of a notice, and what follows `FROM notices`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, order_id, kind, recipient, locale, data, delivery, failure, created_at, sent_at, returned_at, disputed_at FROM notices ",
            $rest
        )
    };
}

impl Tx<'_> {
    /// Inserts a notice.
    pub async fn insert_notice(&mut self, row: &NoticeRow) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO notices (id, order_id, kind, recipient, locale, data, delivery, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        later!(
            self,
            SQL,
            &row.id,
            &row.order_id,
            &row.kind,
            &row.recipient,
            &row.locale,
            &row.data,
            &row.delivery,
            row.created_at
        );
        Ok(())
    }

    /// Records what became of a notice; `false` when that is known already. A bounce stands against everything, and a late word of
    /// ours against nothing that a report said.
    pub async fn set_notice_delivery(
        &mut self,
        id: NoticeId,
        delivery: Delivery,
        failure: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        const OURS: &str =
            "UPDATE notices SET delivery = $2, failure = $3, sent_at = CASE WHEN $2 = 'accepted' THEN $4 ELSE sent_at END
            WHERE id = $1 AND delivery IN ('queued', 'sending')";
        const REPORTED: &str = "UPDATE notices SET delivery = $2, failure = $3 WHERE id = $1 AND $4 > 0
            AND delivery NOT IN ('bounced', 'failed', $2) AND ($2 <> 'delayed' OR delivery <> 'delivered')";
        let sql = if matches!(delivery, Delivery::Sending | Delivery::Accepted | Delivery::Failed) { OURS } else { REPORTED };
        let rows =
            exec!(self, sqlx::query(sql).bind(&id.as_bytes()[..]).bind(delivery.as_str()).bind(failure).bind(at.unix_micros()));
        Ok(rows == 1)
    }

    /// Records that the canary came back; `false` when it had.
    pub async fn canary_returned(&mut self, id: NoticeId, at: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE notices SET returned_at = $2, delivery = 'delivered', failure = NULL
            WHERE id = $1 AND kind = 'canary' AND returned_at IS NULL";
        Ok(exec!(self, sqlx::query(SQL).bind(&id.as_bytes()[..]).bind(at.unix_micros())) == 1)
    }

    /// Records that a receipt was disputed; `false` when it was before.
    pub async fn dispute(&mut self, id: NoticeId, at: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE notices SET disputed_at = $2 WHERE id = $1 AND disputed_at IS NULL";
        Ok(exec!(self, sqlx::query(SQL).bind(&id.as_bytes()[..]).bind(at.unix_micros())) == 1)
    }

    /// How many notices of a kind were made since an instant.
    pub async fn count_notices(&mut self, kind: NoticeKind, since: Timestamp) -> Result<i64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM notices WHERE kind = $1 AND created_at > $2";
        Ok(in_tx!(self, |db| sqlx::query_scalar(SQL).bind(kind.as_str()).bind(since.unix_micros()).fetch_one(db).await?))
    }

    /// Drops all canaries but the latest `kept`, with their effects.
    pub async fn drop_old_canaries(&mut self, kept: u32) -> Result<(), StoreError> {
        const OLD: &str =
            "SELECT id FROM notices WHERE order_id IS NULL AND kind = 'canary' ORDER BY created_at DESC LIMIT 100 OFFSET $1";
        let old: Vec<Vec<u8>> = in_tx!(self, |db| sqlx::query_scalar(OLD).bind(i64::from(kept)).fetch_all(db).await?);
        for id in old {
            later!(self, "UPDATE returned_mails SET notice_id = NULL WHERE notice_id = $1", &id);
            later!(self, "DELETE FROM attempts WHERE effect_id IN (SELECT id FROM effects WHERE subject_id = $1)", &id);
            later!(self, "DELETE FROM effects WHERE subject_id = $1", &id);
            later!(self, "DELETE FROM notices WHERE id = $1", &id);
        }
        Ok(())
    }

    /// Uses a code that shows an order's state once; `false` where it was used.
    pub async fn use_status_code(&mut self, id: &[u8], now: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE notices SET used_at = $2 WHERE id = $1 AND used_at IS NULL";
        Ok(exec!(self, sqlx::query(SQL).bind(id).bind(now.unix_micros())) == 1)
    }

    /// How many codes somebody was sent for an order since an instant.
    pub async fn count_status_codes(&mut self, order: OrderId, recipient: &str, since: Timestamp) -> Result<i64, StoreError> {
        const SQL: &str =
            "SELECT COUNT(*) FROM notices WHERE order_id = $1 AND kind = 'status-code' AND created_at > $2 AND recipient = $3";
        Ok(in_tx!(self, |db| sqlx::query_scalar(SQL)
            .bind(&order.as_bytes()[..])
            .bind(since.unix_micros())
            .bind(recipient)
            .fetch_one(db)
            .await?))
    }
}

impl Store {
    /// The codes that were sent to an order's people since an instant and not used: id and recipient.
    pub async fn status_codes(&self, order: OrderId, since: Timestamp) -> Result<Vec<(Vec<u8>, String)>, StoreError> {
        const SQL: &str = "SELECT id, recipient FROM notices WHERE order_id = $1 AND kind = 'status-code' AND created_at > $2 AND used_at IS NULL";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(&order.as_bytes()[..]).bind(since.unix_micros()).fetch_all(db).await?))
    }

    /// Reads one notice.
    pub async fn notice(&self, id: NoticeId) -> Result<Option<NoticeRow>, StoreError> {
        const SQL: &str = select!("WHERE id = $1");
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(&id.as_bytes()[..]).fetch_optional(db).await?))
    }

    /// Reads an order's notices, oldest first.
    pub async fn notices(&self, order: OrderId) -> Result<Vec<NoticeRow>, StoreError> {
        const SQL: &str = select!("WHERE order_id = $1 ORDER BY id");
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }

    /// Reads the latest notices of a kind that belong to no order, latest first.
    pub async fn latest_notices(&self, kind: NoticeKind, limit: u32) -> Result<Vec<NoticeRow>, StoreError> {
        const SQL: &str = select!("WHERE order_id IS NULL AND kind = $1 ORDER BY created_at DESC LIMIT $2");
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(kind.as_str()).bind(i64::from(limit)).fetch_all(db).await?))
    }
}
