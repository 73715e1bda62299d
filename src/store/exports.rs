//! Tables `exports` and `export_parts`: files that operators asked for.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, exec, in_tx, later, on_pool};
use crate::dcv::timestamp::Timestamp;

/// A file, as stored.
#[derive(Clone, Debug, Default, FromRow)]
pub struct ExportRow {
    /// Its id.
    pub id: Vec<u8>,
    /// Who asked for it.
    pub operator: String,
    /// What is in it and how it is written, JSON.
    pub made_of: String,
    /// 1: without personal data.
    pub masked: i64,
    /// `waiting`, `ready` or `failed`.
    pub state: String,
    /// Unix microseconds.
    pub created_at: i64,
    /// Rows in it so far.
    pub row_count: i64,
    /// Parts of it so far.
    pub parts: i64,
    /// Octets of it so far.
    pub octets: i64,
    /// Where the next part begins.
    pub cursor: Option<Vec<u8>>,
    /// Unix microseconds.
    pub ended_at: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, operator, made_of, masked, state, created_at, row_count, parts, octets, cursor, ended_at FROM exports ",
            $rest
        )
    };
}

impl Tx<'_> {
    /// Adds a file to be made; `false` where its operator has `max` under way, or all files together have so many octets already.
    pub async fn insert_export(&mut self, row: &ExportRow, max: i64, octets_max: i64) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO exports (id, operator, made_of, masked, state, created_at, row_count, parts, octets)
            SELECT $1, $2, $3, $4, $5, $6, 0, 0, 0 WHERE (SELECT COUNT(*) FROM exports WHERE state = 'waiting' AND operator = $2) < $7
            AND (SELECT COALESCE(SUM(octets), 0) FROM exports) < $8";
        let rows = exec!(
            self,
            sqlx::query(SQL)
                .bind(&row.id)
                .bind(&row.operator)
                .bind(&row.made_of)
                .bind(row.masked)
                .bind(&row.state)
                .bind(row.created_at)
                .bind(max)
                .bind(octets_max)
        );
        Ok(rows == 1)
    }

    /// Adds a part, and where the next begins: without that the file is ready. Nothing where another daemon was faster.
    pub async fn add_export_part(
        &mut self,
        row: &ExportRow,
        bytes: &[u8],
        rows: i64,
        next: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE exports SET parts = parts + 1, row_count = row_count + $3, octets = octets + $7, cursor = $4,
            state = CASE WHEN $5 = 1 THEN 'ready' ELSE 'waiting' END, ended_at = CASE WHEN $5 = 1 THEN $6 ELSE ended_at END
            WHERE id = $1 AND parts = $2 AND state = 'waiting'";
        const PART: &str = "INSERT INTO export_parts (export_id, number, body) VALUES ($1, $2, $3)";
        let changed = exec!(
            self,
            sqlx::query(SQL)
                .bind(&row.id)
                .bind(row.parts)
                .bind(rows)
                .bind(next)
                .bind(i64::from(next.is_none()))
                .bind(now.unix_micros())
                .bind(i64::try_from(bytes.len()).unwrap_or(i64::MAX))
        );
        if changed == 1 {
            later!(self, PART, &row.id, row.parts, bytes);
        }
        Ok(())
    }

    /// Ends a file that waits and cannot be made; what was made of it is dropped.
    pub async fn end_export(&mut self, id: &[u8], state: &str, now: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE exports SET state = $2, ended_at = $3, octets = 0 WHERE id = $1 AND state = 'waiting'";
        later!(self, SQL, id, state, now.unix_micros());
        later!(self, "DELETE FROM export_parts WHERE export_id = $1", id);
        Ok(())
    }

    /// Forgets files that were asked for before an instant; how many.
    pub async fn forget_exports(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        const PARTS: &str = "DELETE FROM export_parts WHERE export_id IN (SELECT id FROM exports WHERE created_at < $1)";
        later!(self, PARTS, before.unix_micros());
        Ok(exec!(self, sqlx::query("DELETE FROM exports WHERE created_at < $1").bind(before.unix_micros())))
    }
}

impl Store {
    /// The file that has waited longest.
    pub async fn waiting_export(&self) -> Result<Option<ExportRow>, StoreError> {
        const SQL: &str = select!("WHERE state = 'waiting' ORDER BY id LIMIT 1");
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).fetch_optional(db).await?))
    }

    /// Reads one file's row.
    pub async fn export(&self, id: &[u8]) -> Result<Option<ExportRow>, StoreError> {
        const SQL: &str = select!("WHERE id = $1");
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(id).fetch_optional(db).await?))
    }

    /// The latest files, the latest first; of one operator, or of all.
    pub async fn exports(&self, operator: Option<&str>, limit: u32) -> Result<Vec<ExportRow>, StoreError> {
        const ALL: &str = select!("ORDER BY id DESC LIMIT $1");
        const OWN: &str = select!("WHERE operator = $2 ORDER BY id DESC LIMIT $1");
        Ok(match operator {
            None => on_pool!(self, |db| sqlx::query_as(ALL).bind(i64::from(limit)).fetch_all(db).await?),
            Some(operator) => {
                on_pool!(self, |db| sqlx::query_as(OWN).bind(i64::from(limit)).bind(operator).fetch_all(db).await?)
            }
        })
    }

    /// One part of a file.
    pub async fn export_part(&self, id: &[u8], number: i64) -> Result<Option<Vec<u8>>, StoreError> {
        const SQL: &str = "SELECT body FROM export_parts WHERE export_id = $1 AND number = $2";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).bind(id).bind(number).fetch_optional(db).await?))
    }

    /// Whether any file was asked for before an instant.
    pub async fn any_export_before(&self, before: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT 1 FROM exports WHERE created_at < $1 LIMIT 1";
        let found: Option<i32> =
            on_pool!(self, |db| sqlx::query_scalar(SQL).bind(before.unix_micros()).fetch_optional(db).await?);
        Ok(found.is_some())
    }
}
