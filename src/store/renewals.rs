//! Table `renewals`: certificates that draw near their end.

use sqlx::FromRow;

use super::{CertificateRow, Store, StoreError, Tx, exec, id_bytes, in_tx, later, on_pool};
use crate::dcv::id::OrderId;
use crate::dcv::timestamp::Timestamp;

/// A certificate that draws near its end, as stored.
#[derive(Clone, Debug, FromRow)]
pub struct RenewalRow {
    /// The order that it was issued on.
    pub order_id: Vec<u8>,
    /// Unix microseconds; what was due until then was done.
    pub done_until: i64,
    /// Unix microseconds; when there is something to do.
    pub next_at: Option<i64>,
    /// The order that says it renews the certificate; it does once it is approved.
    pub renewed_by: Option<Vec<u8>>,
    /// The certificate.
    #[sqlx(flatten)]
    pub certificate: CertificateRow,
}

impl Tx<'_> {
    /// Watches a certificate from now on.
    pub async fn watch(
        &mut self,
        order: OrderId,
        serial: &str,
        done_until: Timestamp,
        next_at: Option<Timestamp>,
        renewed_by: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO renewals (order_id, serial, done_until, next_at, renewed_by) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (order_id, serial) DO NOTHING";
        later!(
            self,
            SQL,
            &order.as_bytes()[..],
            serial,
            done_until.unix_micros(),
            next_at.map(Timestamp::unix_micros),
            renewed_by
        );
        Ok(())
    }

    /// The certificates of an order that are watched, or were until they were renewed.
    pub async fn watched(&mut self, order: OrderId) -> Result<Vec<RenewalRow>, StoreError> {
        const SQL: &str =
            "SELECT r.order_id, r.done_until, r.next_at, r.renewed_by, c.serial, c.names, c.not_before, c.not_after, c.at
            FROM renewals r JOIN certificates c ON c.order_id = r.order_id AND c.serial = r.serial
            WHERE r.order_id = $1 AND (r.next_at IS NOT NULL OR r.renewed_by IS NOT NULL)";
        Ok(in_tx!(self, |db| sqlx::query_as(SQL).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }

    /// Takes what is due upon oneself, and sets when it is looked at again should this end early; `false` where another took it.
    pub async fn claim_renewal(&mut self, row: &RenewalRow, again: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE renewals SET next_at = $4 WHERE order_id = $1 AND serial = $2 AND next_at = $3";
        Ok(exec!(
            self,
            sqlx::query(SQL).bind(&row.order_id).bind(&row.certificate.serial).bind(row.next_at).bind(again.unix_micros())
        ) == 1)
    }

    /// Writes that what was due is done and when there is more; `false` where something else came of it since it was read.
    pub async fn renewal_done(
        &mut self,
        row: &RenewalRow,
        until: Timestamp,
        next_at: Option<Timestamp>,
        renewed_by: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE renewals SET done_until = $4, next_at = $5, renewed_by = $6
            WHERE order_id = $1 AND serial = $2 AND next_at = $3";
        let rows = exec!(
            self,
            sqlx::query(SQL)
                .bind(&row.order_id)
                .bind(&row.certificate.serial)
                .bind(row.next_at)
                .bind(until.unix_micros())
                .bind(next_at.map(Timestamp::unix_micros))
                .bind(renewed_by)
        );
        Ok(rows == 1)
    }

    /// Writes which order says that it renews a certificate; the certificate is watched until that order is approved. Whoever claimed it
    /// meanwhile writes nothing any more.
    pub async fn says_it_renews(&mut self, row: &RenewalRow, by: &[u8]) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE renewals SET renewed_by = $3, next_at = next_at + 1 WHERE order_id = $1 AND serial = $2 AND next_at IS NOT NULL";
        later!(self, SQL, &row.order_id, &row.certificate.serial, by);
        Ok(())
    }
}

impl Store {
    /// The orders that renew an order's certificates.
    pub async fn orders_renewing(&self, order: OrderId) -> Result<Vec<OrderId>, StoreError> {
        const SQL: &str = "SELECT renewed_by FROM renewals WHERE order_id = $1 AND renewed_by IS NOT NULL";
        let found: Vec<Vec<u8>> = on_pool!(self, |db| sqlx::query_scalar(SQL).bind(&order.as_bytes()[..]).fetch_all(db).await?);
        found.iter().map(|id| id_bytes(id, "renewals", "renewed_by").map(OrderId::from_bytes)).collect()
    }

    /// What is due, the longest waiting first.
    pub async fn renewals_due(&self, now: Timestamp, limit: u32) -> Result<Vec<RenewalRow>, StoreError> {
        const SQL: &str =
            "SELECT r.order_id, r.done_until, r.next_at, r.renewed_by, c.serial, c.names, c.not_before, c.not_after, c.at
            FROM renewals r JOIN certificates c ON c.order_id = r.order_id AND c.serial = r.serial
            WHERE r.next_at IS NOT NULL AND r.next_at <= $1 ORDER BY r.next_at LIMIT $2";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(now.unix_micros()).bind(i64::from(limit)).fetch_all(db).await?))
    }

    /// Who approved a name, each with the ADN, in the order of their mails; nobody where it was not approved by mail.
    pub async fn approvers_of(&self, validation: &[u8]) -> Result<Vec<(String, String)>, StoreError> {
        const SQL: &str = "SELECT m.recipient, m.adn FROM mail_validations mv JOIN mails m ON m.id = mv.mail_id
            WHERE mv.validation_id = $1 AND mv.void = 0
            AND EXISTS (SELECT 1 FROM answers a WHERE a.mail_id = m.id AND a.won = 1 AND a.answer = 'approve') ORDER BY m.id";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(validation).fetch_all(db).await?))
    }

    /// Whether an order says that it renews a certificate.
    pub async fn is_renewal(&self, order: OrderId) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT 1 FROM renewals WHERE renewed_by = $1 LIMIT 1";
        let found: Option<i32> =
            on_pool!(self, |db| sqlx::query_scalar(SQL).bind(&order.as_bytes()[..]).fetch_optional(db).await?);
        Ok(found.is_some())
    }
}
