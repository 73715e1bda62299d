//! Removes what need not be kept any more. What was sealed of it is noted, so that the audit log can tell it from what somebody took out.

use sha2::{Digest as _, Sha256};
use sqlx::FromRow;

use super::masking::MaskedRow;
use super::seals::Sealable;
use super::{Store, StoreError, Tx, in_tx, later, on_pool};
use crate::dcv::id::OrderId;
use crate::dcv::seal::{Sealed, digest};
use crate::dcv::timestamp::Timestamp;

/// One removal.
#[derive(Debug, Clone, FromRow)]
pub struct RetirementRow {
    /// Its id.
    pub id: Vec<u8>,
    /// Unix microseconds.
    pub at: i64,
    /// `order`, `personal-data` or `access-log`.
    pub what: String,
    /// The order's id, or until when.
    pub subject: String,
    /// Why.
    pub rule: String,
    /// Sealed rows among what was removed.
    pub rows: i64,
    /// SHA-256 of their kinds and ids.
    pub digest: Vec<u8>,
}

impl Sealable for RetirementRow {
    fn kind() -> Sealed {
        Sealed::Retirement
    }

    fn id(&self) -> &[u8] {
        &self.id
    }

    fn digest(&self) -> [u8; 32] {
        let fields = [
            (&self.id).into(),
            self.at.into(),
            self.what.as_str().into(),
            self.subject.as_str().into(),
            self.rule.as_str().into(),
            self.rows.into(),
            (&self.digest).into(),
        ];
        digest(Sealed::Retirement, &fields)
    }
}

/// What tells how long an order is kept.
#[derive(Debug, Clone, FromRow)]
pub struct OldOrderRow {
    /// Its id.
    pub id: Vec<u8>,
    /// The profile it was placed under.
    pub profile_id: String,
    /// That profile's content.
    pub profile_hash: Vec<u8>,
    /// Unix microseconds.
    pub ended_at: Option<i64>,
    /// 1 where a name of it was approved.
    pub approved: i64,
    /// Unix microseconds.
    pub reusable_until: Option<i64>,
    /// Unix microseconds.
    pub not_after: Option<i64>,
    /// 1 where a renewal is still to come, or another order rests on it.
    pub needed: i64,
    /// Unix microseconds: when its personal data was taken out.
    pub masked_at: Option<i64>,
}

const OLD: &str = "SELECT o.id, o.profile_id, o.profile_hash, o.ended_at,
    CAST(CASE WHEN EXISTS (SELECT 1 FROM validations v WHERE v.order_id = o.id AND v.state = 'approved') THEN 1 ELSE 0 END AS BIGINT) AS approved,
    (SELECT MAX(v.reusable_until) FROM validations v WHERE v.order_id = o.id) AS reusable_until,
    (SELECT MAX(c.not_after) FROM certificates c WHERE c.order_id = o.id) AS not_after,
    CAST(CASE WHEN EXISTS (SELECT 1 FROM renewals r WHERE r.order_id = o.id AND r.next_at IS NOT NULL)
        OR EXISTS (SELECT 1 FROM validations v JOIN validations w ON w.reused_id = v.id WHERE v.order_id = o.id)
        OR EXISTS (SELECT 1 FROM renewals r WHERE r.renewed_by = o.id AND r.next_at IS NOT NULL)
        OR EXISTS (SELECT 1 FROM effects e WHERE e.order_id = o.id AND e.state = 'due')
        THEN 1 ELSE 0 END AS BIGINT) AS needed, o.masked_at
    FROM orders o WHERE o.state <> 'pending' AND o.id ";

impl Store {
    /// Orders that have ended, from after one id on and made before an instant, in the order of their ids.
    pub async fn old_orders(&self, after: &[u8], before: Timestamp, limit: u32) -> Result<Vec<OldOrderRow>, StoreError> {
        let sql = format!("{OLD} > $1 AND o.id < $2 ORDER BY o.id LIMIT $3");
        let before = OrderId::new(before, [0; 10]);
        Ok(on_pool!(self, |db| sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(after)
            .bind(&before.as_bytes()[..])
            .bind(i64::from(limit))
            .fetch_all(db)
            .await?))
    }

    /// Whether a sealed row was removed since it need not be kept.
    pub async fn is_retired(&self, kind: Sealed, id: &[u8]) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT 1 FROM retired t JOIN retirements r ON r.id = t.retirement WHERE t.kind = $1 AND t.id = $2";
        let found: Option<i32> =
            on_pool!(self, |db| sqlx::query_scalar(SQL).bind(letter(kind)).bind(id).fetch_optional(db).await?);
        Ok(found.is_some())
    }

    /// The digest of what a removal names now, to be compared with the one that it noted.
    pub async fn retired_digest(&self, retirement: &[u8]) -> Result<(i64, Vec<u8>), StoreError> {
        const SQL: &str = "SELECT kind, id FROM retired WHERE retirement = $1 ORDER BY kind, id";
        let rows: Vec<(String, Vec<u8>)> = on_pool!(self, |db| sqlx::query_as(SQL).bind(retirement).fetch_all(db).await?);
        let masked = self.masked_by(retirement).await?;
        Ok((i64::try_from(rows.len() + masked.len()).unwrap_or(i64::MAX), digest_of(&rows, &masked)))
    }

    /// A removal by its id.
    pub async fn retirement(&self, id: &[u8]) -> Result<Option<RetirementRow>, StoreError> {
        const SQL: &str = "SELECT id, at, what, subject, rule, rows, digest FROM retirements WHERE id = $1";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(id).fetch_optional(db).await?))
    }

    /// How many entries of the access log are older than an instant.
    pub async fn access_before(&self, before: &[u8]) -> Result<i64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM access_log WHERE id < $1";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).bind(before).fetch_one(db).await?))
    }
}

/// A kind as it is noted.
pub(super) fn letter(kind: Sealed) -> String {
    char::from(kind.code()).to_string()
}

fn digest_of(rows: &[(String, Vec<u8>)], masked: &[MaskedRow]) -> Vec<u8> {
    let mut hash = Sha256::new_with_prefix(b"dcvd/retired/v1\0");
    for (kind, id) in rows {
        hash.update(kind);
        hash.update(id);
    }
    for row in masked {
        for part in [row.kind.as_bytes(), &row.id, &row.was, &row.is_now] {
            hash.update(part);
        }
    }
    hash.finalize().to_vec()
}

impl Tx<'_> {
    /// Reads again, under the order's lock, what tells how long it is kept.
    pub async fn old_order(&mut self, order: OrderId) -> Result<Option<OldOrderRow>, StoreError> {
        let sql = format!("{OLD} = $1");
        Ok(in_tx!(self, |db| sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(&order.as_bytes()[..]).fetch_optional(db).await?))
    }

    /// Removes an order with all that belongs to it alone.
    pub async fn remove_order(&mut self, order: OrderId, retirement: &[u8], rule: &str, at: Timestamp) -> Result<(), StoreError> {
        let id = &order.as_bytes()[..];
        let mut rows: Vec<(String, Vec<u8>)> = Vec::new();
        for (kind, sql) in [
            (Sealed::Event, "SELECT id FROM events WHERE order_id = $1"),
            (Sealed::Answer, "SELECT a.id FROM answers a JOIN mails m ON m.id = a.mail_id WHERE m.order_id = $1"),
            // Those that no other order rests on.
            (
                Sealed::Lookup,
                "SELECT l.lookup_id FROM order_lookups l WHERE l.order_id = $1
                AND NOT EXISTS (SELECT 1 FROM order_lookups n WHERE n.lookup_id = l.lookup_id AND n.order_id <> $1)
                AND NOT EXISTS (SELECT 1 FROM mails m WHERE m.lookup_id = l.lookup_id AND m.order_id <> $1)",
            ),
        ] {
            let ids: Vec<Vec<u8>> = in_tx!(self, |db| sqlx::query_scalar(sql).bind(id).fetch_all(db).await?);
            rows.extend(ids.into_iter().map(|id| (letter(kind), id)));
        }
        self.retire("order", &order.to_string(), rule, &mut rows, &[], retirement, at).await?;
        for sql in [
            "DELETE FROM views WHERE mail_id IN (SELECT id FROM mails WHERE order_id = $1)",
            "DELETE FROM mail_validations WHERE mail_id IN (SELECT id FROM mails WHERE order_id = $1)",
            "DELETE FROM answers WHERE mail_id IN (SELECT id FROM mails WHERE order_id = $1)",
            "DELETE FROM returned_mails WHERE mail_id IN (SELECT id FROM mails WHERE order_id = $1)",
            "DELETE FROM returned_mails WHERE notice_id IN (SELECT id FROM notices WHERE order_id = $1)",
            "DELETE FROM attempts WHERE effect_id IN (SELECT id FROM effects WHERE order_id = $1)",
            "DELETE FROM effects WHERE order_id = $1",
            "DELETE FROM notices WHERE order_id = $1",
            "DELETE FROM events WHERE order_id = $1",
            "DELETE FROM certificates WHERE order_id = $1",
            "DELETE FROM renewals WHERE order_id = $1",
            "DELETE FROM order_lookups WHERE order_id = $1",
            "DELETE FROM idempotency_keys WHERE order_id = $1",
            "DELETE FROM mails WHERE order_id = $1",
            "DELETE FROM validations WHERE order_id = $1",
            "DELETE FROM orders WHERE id = $1",
        ] {
            later!(self, sql, id);
        }
        for (_, lookup) in rows.iter().filter(|(kind, _)| *kind == letter(Sealed::Lookup)) {
            later!(self, "DELETE FROM lookups WHERE id = $1", lookup);
        }
        Ok(())
    }

    /// Removes the oldest entries of the access log before an id, and the sign-ins that ended by then; how many entries.
    pub async fn remove_access(
        &mut self,
        before: &[u8],
        until: Timestamp,
        limit: u32,
        retirement: &[u8],
        at: Timestamp,
    ) -> Result<usize, StoreError> {
        const OLD: &str = "SELECT id FROM access_log WHERE id < $1 ORDER BY id LIMIT $2";
        later!(self, "DELETE FROM sessions WHERE ended_at < $1", until.unix_micros());
        let ids: Vec<Vec<u8>> =
            in_tx!(self, |db| sqlx::query_scalar(OLD).bind(before).bind(i64::from(limit)).fetch_all(db).await?);
        if ids.is_empty() {
            return Ok(0);
        }
        let mut rows: Vec<_> = ids.into_iter().map(|id| (letter(Sealed::Access), id)).collect();
        self.retire("access-log", &until.to_string(), "retention.access_log", &mut rows, &[], retirement, at).await?;
        for (_, id) in &rows {
            later!(self, "DELETE FROM access_log WHERE id = $1", id);
        }
        Ok(rows.len())
    }

    /// Notes sealed rows that go, and such that stay without personal data, in one row that is sealed in their place.
    #[expect(clippy::too_many_arguments, reason = "the columns of the note")]
    pub(super) async fn retire(
        &mut self,
        what: &str,
        subject: &str,
        rule: &str,
        rows: &mut [(String, Vec<u8>)],
        masked: &[MaskedRow],
        retirement: &[u8],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str =
            "INSERT INTO retirements (id, at, what, subject, rule, rows, digest) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        rows.sort_unstable();
        let row = RetirementRow {
            id: retirement.to_vec(),
            at: at.unix_micros(),
            what: what.to_owned(),
            subject: subject.to_owned(),
            rule: rule.to_owned(),
            rows: i64::try_from(rows.len() + masked.len()).unwrap_or(i64::MAX),
            digest: digest_of(rows, masked),
        };
        later!(self, SQL, &row.id, row.at, &row.what, &row.subject, &row.rule, row.rows, &row.digest);
        self.seal_soon(&row)?;
        for (kind, id) in rows.iter() {
            const NOTE: &str = "INSERT INTO retired (kind, id, retirement) VALUES ($1, $2, $3)";
            later!(self, NOTE, kind, id, retirement);
        }
        Ok(())
    }
}
