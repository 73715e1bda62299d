//! Takes personal data out of orders that stay. What was sealed of it is noted with both digests, so that the audit log can tell it from what
//! somebody changed.

use sqlx::FromRow;

use super::retention::letter;
use super::seals::Sealable;
use super::{AnswerRow, EventRow, Store, StoreError, Tx, in_tx, later, on_pool};
use crate::dcv::id::OrderId;
use crate::dcv::mask::{self, MASKED};
use crate::dcv::seal::Entry;
use crate::dcv::timestamp::Timestamp;

/// A sealed row that stays without personal data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, FromRow)]
pub(super) struct MaskedRow {
    pub(super) kind: String,
    pub(super) id: Vec<u8>,
    /// The digest that was sealed.
    pub(super) was: Vec<u8>,
    /// The digest since.
    pub(super) is_now: Vec<u8>,
}

impl MaskedRow {
    fn of<R: Sealable>(was: [u8; 32], row: &R) -> Self {
        Self { kind: letter(R::kind()), id: row.id().to_vec(), was: was.to_vec(), is_now: row.digest().to_vec() }
    }
}

impl Store {
    /// Whether a sealed row is what it was but for personal data that was taken out.
    pub async fn is_masked(&self, entry: &Entry, now: &[u8; 32]) -> Result<bool, StoreError> {
        // Only what is masked at all, and by a note that is there: that one is sealed, and holds this row's digests.
        const SQL: &str = "SELECT 1 FROM masked m JOIN retirements r ON r.id = m.retirement
            WHERE m.kind = $1 AND m.id = $2 AND m.was = $3 AND m.is_now = $4 AND m.kind IN ('a', 'e')";
        let found: Option<i32> = on_pool!(self, |db| sqlx::query_scalar(SQL)
            .bind(letter(entry.kind))
            .bind(&entry.id[..])
            .bind(&entry.digest[..])
            .bind(&now[..])
            .fetch_optional(db)
            .await?);
        Ok(found.is_some())
    }

    /// The rows that one note is about, in the order of their digest.
    pub(super) async fn masked_by(&self, retirement: &[u8]) -> Result<Vec<MaskedRow>, StoreError> {
        const SQL: &str = "SELECT kind, id, was, is_now FROM masked WHERE retirement = $1 ORDER BY kind, id";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(retirement).fetch_all(db).await?))
    }
}

impl Tx<'_> {
    /// Takes out of an order what is about people: from where they answered, what they wrote, who requested it, what came back from them.
    pub async fn mask_order(&mut self, order: OrderId, retirement: &[u8], rule: &str, at: Timestamp) -> Result<(), StoreError> {
        const NOTE: &str = "INSERT INTO masked (kind, id, was, is_now, retirement) VALUES ($1, $2, $3, $4, $5)";
        const FACTS: &str = "SELECT facts FROM orders WHERE id = $1";
        let id = &order.as_bytes()[..];
        let mut masked = self.mask_events(id).await?;
        masked.extend(self.mask_answers(id).await?);
        masked.sort_unstable();
        self.retire("personal-data", &order.to_string(), rule, &mut [], &masked, retirement, at).await?;
        for row in &masked {
            later!(self, NOTE, &row.kind, &row.id, &row.was, &row.is_now, retirement);
        }
        let facts: String = in_tx!(self, |db| sqlx::query_scalar(FACTS).bind(id).fetch_one(db).await?);
        let facts = mask::facts(&facts).unwrap_or(facts);
        later!(self, "UPDATE orders SET facts = $2, masked_at = $3 WHERE id = $1", id, facts, at.unix_micros());
        for sql in [
            "UPDATE validations SET signer = CASE WHEN signer IS NULL THEN NULL ELSE $2 END,
             reason = CASE WHEN reason IS NULL THEN NULL ELSE $2 END WHERE order_id = $1",
            // One row for all programs and one for all people.
            "INSERT INTO views (mail_id, peer, user_agent, scanner, first_at, last_at, times)
             SELECT v.mail_id, $2, CASE WHEN v.scanner = 1 THEN 'program' ELSE 'person' END, v.scanner, MIN(v.first_at), MAX(v.last_at),
             CAST(SUM(v.times) AS BIGINT) FROM views v JOIN mails m ON m.id = v.mail_id WHERE m.order_id = $1 AND v.peer <> $2
             GROUP BY v.mail_id, v.scanner",
            "DELETE FROM views WHERE peer <> $2 AND mail_id IN (SELECT id FROM mails WHERE order_id = $1)",
            "UPDATE notices SET recipient = $2, data = '{}' WHERE order_id = $1",
            "UPDATE effects SET recipient = $2, last_error = NULL WHERE order_id = $1 AND kind = 'notice'",
            "UPDATE attempts SET detail = $2, dialogue = NULL WHERE effect_id IN (SELECT id FROM effects WHERE order_id = $1 AND kind = 'notice')",
        ] {
            later!(self, sql, id, MASKED);
        }
        for sql in [
            "UPDATE returned_mails SET raw = $2 WHERE mail_id IN (SELECT id FROM mails WHERE order_id = $1)",
            "UPDATE returned_mails SET raw = $2, findings = '{}' WHERE notice_id IN (SELECT id FROM notices WHERE order_id = $1)",
        ] {
            later!(self, sql, id, MASKED.as_bytes());
        }
        Ok(())
    }

    async fn mask_events(&mut self, order: &[u8]) -> Result<Vec<MaskedRow>, StoreError> {
        const EVENTS: &str = "SELECT id, order_id, seq, kind, at, actor, data FROM events WHERE order_id = $1";
        let rows: Vec<EventRow> = in_tx!(self, |db| sqlx::query_as(EVENTS).bind(order).fetch_all(db).await?);
        let mut masked = Vec::new();
        for mut row in rows {
            let was = row.digest();
            let Some(data) = mask::event_data(&row.kind, &row.data) else { continue };
            row.data = data;
            later!(self, "UPDATE events SET data = $2 WHERE id = $1", &row.id, &row.data);
            masked.push(MaskedRow::of(was, &row));
        }
        Ok(masked)
    }

    async fn mask_answers(&mut self, order: &[u8]) -> Result<Vec<MaskedRow>, StoreError> {
        const ANSWERS: &str = "SELECT a.id, a.mail_id, a.at, a.answer, a.scope, a.signer, a.reason, a.peer, a.user_agent, a.won
            FROM answers a JOIN mails m ON m.id = a.mail_id WHERE m.order_id = $1";
        const MASK: &str = "UPDATE answers SET signer = $2, reason = $3, peer = $4, user_agent = $5 WHERE id = $1";
        let rows: Vec<AnswerRow> = in_tx!(self, |db| sqlx::query_as(ANSWERS).bind(order).fetch_all(db).await?);
        let mut masked = Vec::new();
        for mut row in rows {
            let was = row.digest();
            for text in [&mut row.signer, &mut row.reason].into_iter().flatten().chain([&mut row.peer, &mut row.user_agent]) {
                MASKED.clone_into(text);
            }
            later!(self, MASK, &row.id, &row.signer, &row.reason, &row.peer, &row.user_agent);
            masked.push(MaskedRow::of(was, &row));
        }
        Ok(masked)
    }
}
