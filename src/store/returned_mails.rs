//! Table `returned_mails`: what came back.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, exec, in_tx, later, on_pool};
use crate::dcv::id::{MailId, OrderId};
use crate::dcv::order::Delivery;
use crate::dcv::timestamp::Timestamp;

/// One message that came back, as stored.
#[derive(Clone, Debug, FromRow)]
pub struct ReturnedRow {
    /// Its id.
    pub id: Vec<u8>,
    /// Whose it is; `None` where its return path does not say.
    pub mail_id: Option<Vec<u8>>,
    /// The notice it came back for, where it is one's.
    pub notice_id: Option<Vec<u8>>,
    /// Unix microseconds.
    pub at: i64,
    /// A kind of returned mail.
    pub kind: String,
    /// What was read of it, JSON.
    pub findings: String,
    /// The message, cut at 64 KiB.
    pub raw: Vec<u8>,
    /// SHA-256 of the whole message and its mail's id.
    pub digest: Vec<u8>,
}

impl Tx<'_> {
    /// Keeps a message; `false` when it was kept before.
    pub async fn insert_returned(&mut self, row: &ReturnedRow) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO returned_mails (id, mail_id, at, kind, findings, raw, digest, notice_id)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (digest) DO NOTHING";
        let rows = exec!(
            self,
            sqlx::query(SQL)
                .bind(&row.id)
                .bind(&row.mail_id)
                .bind(row.at)
                .bind(&row.kind)
                .bind(&row.findings)
                .bind(&row.raw)
                .bind(&row.digest)
                .bind(&row.notice_id)
        );
        Ok(rows == 1)
    }

    /// How many messages are kept for a mail.
    pub async fn returned_of(&mut self, mail: MailId) -> Result<i64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM returned_mails WHERE mail_id = $1";
        Ok(in_tx!(self, |db| sqlx::query_scalar(SQL).bind(&mail.as_bytes()[..]).fetch_one(db).await?))
    }

    /// Drops the oldest of the messages that belong to no mail, beyond `kept` of those of notices and as many of nobody's.
    pub async fn drop_old_strays(&mut self, kept: u32) -> Result<(), StoreError> {
        const STRAYS: &str = "DELETE FROM returned_mails WHERE mail_id IS NULL AND notice_id IS NULL AND at <=
            (SELECT at FROM returned_mails WHERE mail_id IS NULL AND notice_id IS NULL ORDER BY at DESC LIMIT 1 OFFSET $1)";
        // What strangers send pushes out nothing that came back for a notice, and the other way round.
        const OF_NOTICES: &str = "DELETE FROM returned_mails WHERE notice_id IS NOT NULL AND at <=
            (SELECT at FROM returned_mails WHERE notice_id IS NOT NULL ORDER BY at DESC LIMIT 1 OFFSET $1)";
        later!(self, STRAYS, i64::from(kept));
        later!(self, OF_NOTICES, i64::from(kept));
        Ok(())
    }

    /// Records what a returned message says of a mail's fate; `false` when its fate is another already.
    ///
    /// A bounce stands against everything but a mail that was never handed over; a delay only while nothing else is known. Where we
    /// gave a mail up although a relay had seen it, its report shows that it was taken all the same.
    pub async fn returned_delivery(
        &mut self,
        id: MailId,
        delivery: Delivery,
        why: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        const BOUNCED: &str =
            "UPDATE mails SET delivery = $2, failure = $3, failure_detail = NULL, delivery_at = $4 WHERE id = $1
            AND delivery <> 'bounced' AND NOT (delivery = 'failed' AND failure NOT IN ('unknown', 'refused', 'gave-up'))";
        const OTHERS: &str = "UPDATE mails SET delivery = $2, failure = $3, failure_detail = NULL, delivery_at = $4 WHERE id = $1
            AND delivery NOT IN ('bounced', 'delivered', $2)
            AND NOT (delivery = 'failed' AND ($2 <> 'delivered' OR failure NOT IN ('unknown', 'refused', 'gave-up')))";
        let sql = if delivery == Delivery::Bounced { BOUNCED } else { OTHERS };
        let failure = (delivery != Delivery::Delivered).then_some(why);
        let rows =
            exec!(self, sqlx::query(sql).bind(&id.as_bytes()[..]).bind(delivery.as_str()).bind(failure).bind(at.unix_micros()));
        Ok(rows == 1)
    }
}

impl Store {
    /// What came back for an order's mails, oldest first.
    pub async fn returned_mails(&self, order: OrderId) -> Result<Vec<ReturnedRow>, StoreError> {
        const SQL: &str = "SELECT r.id, r.mail_id, r.notice_id, r.at, r.kind, r.findings, r.raw, r.digest FROM returned_mails r
            JOIN mails m ON m.id = r.mail_id WHERE m.order_id = $1 ORDER BY r.id";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }

    /// How many messages that belong to no mail came since an instant.
    pub async fn strays_since(&self, since: Timestamp) -> Result<i64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM returned_mails WHERE mail_id IS NULL AND notice_id IS NULL AND at > $1";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).bind(since.unix_micros()).fetch_one(db).await?))
    }

    /// The latest messages that belong to no mail, newest first.
    pub async fn stray_mails(&self, limit: u32) -> Result<Vec<ReturnedRow>, StoreError> {
        const SQL: &str = "SELECT id, mail_id, notice_id, at, kind, findings, raw, digest FROM returned_mails
            WHERE mail_id IS NULL ORDER BY at DESC LIMIT $1";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(i64::from(limit)).fetch_all(db).await?))
    }
}
