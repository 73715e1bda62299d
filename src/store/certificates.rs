//! Table `certificates`: what was issued on an order, as the ordering system reports it.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, exec, in_tx, on_pool};
use crate::dcv::id::OrderId;

/// A certificate as stored.
#[derive(Clone, PartialEq, Eq, Debug, FromRow)]
pub struct CertificateRow {
    /// Hexadecimal, lower case, without leading zeros.
    pub serial: String,
    /// JSON: A-labels.
    pub names: String,
    /// Unix microseconds.
    pub not_before: i64,
    /// Unix microseconds.
    pub not_after: i64,
    /// Unix microseconds of the report.
    pub at: i64,
}

impl CertificateRow {
    /// Its names, A-labels.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when the column holds something else.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        serde_json::from_str(&self.names).map_err(|_| StoreError::inconsistent("certificates", "names", self.serial.as_bytes()))
    }
}

const OF_ORDER: &str =
    "SELECT serial, names, not_before, not_after, at FROM certificates WHERE order_id = $1 ORDER BY at, serial";

impl Tx<'_> {
    /// Inserts a certificate; the one already known under its serial number, where there is one.
    pub async fn insert_certificate(
        &mut self,
        order: OrderId,
        row: &CertificateRow,
    ) -> Result<Option<CertificateRow>, StoreError> {
        const SQL: &str =
            "INSERT INTO certificates (order_id, serial, names, not_before, not_after, at) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (order_id, serial) DO NOTHING";
        const KNOWN: &str =
            "SELECT serial, names, not_before, not_after, at FROM certificates WHERE order_id = $1 AND serial = $2";
        let rows = exec!(
            self,
            sqlx::query(SQL)
                .bind(&order.as_bytes()[..])
                .bind(&row.serial)
                .bind(&row.names)
                .bind(row.not_before)
                .bind(row.not_after)
                .bind(row.at)
        );
        if rows == 1 {
            return Ok(None);
        }
        Ok(in_tx!(self, |db| sqlx::query_as(KNOWN).bind(&order.as_bytes()[..]).bind(&row.serial).fetch_optional(db).await?))
    }
}

impl Tx<'_> {
    /// How many certificates an order has.
    pub async fn count_certificates(&mut self, order: OrderId) -> Result<usize, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM certificates WHERE order_id = $1";
        let count: i64 = in_tx!(self, |db| sqlx::query_scalar(SQL).bind(&order.as_bytes()[..]).fetch_one(db).await?);
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}

impl Store {
    /// The certificates of an order, oldest report first.
    pub async fn certificates(&self, order: OrderId) -> Result<Vec<CertificateRow>, StoreError> {
        Ok(on_pool!(self, |db| sqlx::query_as(OF_ORDER).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }
}
