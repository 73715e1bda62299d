//! Tables `tallies` and `tally_marks`: the statistics, and how far the timelines have been counted.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, exec, in_tx, later, on_pool};
use crate::dcv::id::EventId;
use crate::dcv::tally::{Count, Dimension};
use crate::dcv::timestamp::Timestamp;

/// An entry of a timeline with what is known of its order.
#[derive(Clone, Debug, FromRow)]
pub struct ToCount {
    /// Its id.
    pub id: Vec<u8>,
    /// The order.
    pub order_id: Vec<u8>,
    /// Its place in the order.
    pub seq: i64,
    /// An event type.
    pub kind: String,
    /// Unix microseconds.
    pub at: i64,
    /// JSON.
    pub data: String,
    /// The ordering system.
    pub client: String,
    /// The profile's name.
    pub profile_id: String,
    /// What the caller told, JSON.
    pub facts: String,
    /// Unix microseconds; of the order.
    pub created_at: i64,
    /// 1: the order is a test, and counts not.
    pub test: i64,
}

/// One count.
#[derive(Clone, Debug, FromRow)]
pub struct TallyRow {
    /// Unix microseconds; the beginning of the hour or month.
    pub at: i64,
    /// The property's value.
    pub value: String,
    /// What is counted.
    pub measure: String,
    /// How many.
    pub count: i64,
}

/// How far was counted, by what.
pub mod tally_marks {
    /// Everything but what comes later.
    pub const COUNTED: &str = "counted";
    /// Whether an order's end was told.
    pub const TOLD: &str = "told";
}

impl Tx<'_> {
    /// Moves a mark from where it was read; `false` where another daemon did.
    pub async fn move_tally_mark(&mut self, name: &str, from: Option<&[u8]>, to: &[u8]) -> Result<bool, StoreError> {
        const FIRST: &str = "INSERT INTO tally_marks (name, event) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        const NEXT: &str = "UPDATE tally_marks SET event = $2 WHERE name = $1 AND event = $3";
        let rows = match from {
            None => exec!(self, sqlx::query(FIRST).bind(name).bind(to)),
            Some(from) => exec!(self, sqlx::query(NEXT).bind(name).bind(to).bind(from)),
        };
        Ok(rows == 1)
    }

    /// Raises counts.
    pub async fn count_up(&mut self, counts: &[Count]) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO tallies (at, dimension, value, measure, count) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (dimension, at, value, measure) DO UPDATE SET count = tallies.count + excluded.count";
        for one in counts {
            later!(self, SQL, one.at, one.dimension, &one.value, one.measure, one.by);
        }
        Ok(())
    }

    /// Whether an order had an entry of one of these kinds before a place.
    pub async fn had_before(&mut self, order: &[u8], seq: i64, kinds: &[&str]) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT kind FROM events WHERE order_id = $1 AND seq < $2";
        let before: Vec<String> = in_tx!(self, |db| sqlx::query_scalar(SQL).bind(order).bind(seq).fetch_all(db).await?);
        Ok(before.iter().any(|kind| kinds.contains(&kind.as_str())))
    }

    /// Whether an order had mails from its beginning.
    pub async fn was_addressed(&mut self, order: &[u8], created_at: i64) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT 1 FROM mails WHERE order_id = $1 AND created_at = $2 LIMIT 1";
        let found: Option<i32> =
            in_tx!(self, |db| sqlx::query_scalar(SQL).bind(order).bind(created_at).fetch_optional(db).await?);
        Ok(found.is_some())
    }

    /// How often the approver of a name was reminded.
    pub async fn reminders_of(&mut self, order: &[u8], name: &str) -> Result<Option<i64>, StoreError> {
        const SQL: &str =
            "SELECT m.reminders FROM validations v JOIN mails m ON m.id = v.mail_id WHERE v.order_id = $1 AND v.name = $2";
        Ok(in_tx!(self, |db| sqlx::query_scalar(SQL).bind(order).bind(name).fetch_optional(db).await?))
    }

    /// Whether an event's webhooks were all taken, and there were any.
    pub async fn was_taken(&mut self, event: &[u8]) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT state FROM effects WHERE subject_id = $1 AND kind = 'webhook'";
        let states: Vec<String> = in_tx!(self, |db| sqlx::query_scalar(SQL).bind(event).fetch_all(db).await?);
        Ok(!states.is_empty() && states.iter().all(|state| state == "done"))
    }
}

impl Store {
    /// How far was counted.
    pub async fn tally_mark(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        const SQL: &str = "SELECT event FROM tally_marks WHERE name = $1";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).bind(name).fetch_optional(db).await?))
    }

    /// Entries after a mark and before an instant, oldest first.
    pub async fn to_count(&self, after: &[u8], until: Timestamp, limit: u32) -> Result<Vec<ToCount>, StoreError> {
        const SQL: &str =
            "SELECT e.id, e.order_id, e.seq, e.kind, e.at, e.data, o.client, o.profile_id, o.facts, o.created_at, o.test
            FROM events e CROSS JOIN orders o WHERE o.id = e.order_id AND e.id > $1 AND e.id < $2 ORDER BY e.id LIMIT $3";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL)
            .bind(after)
            .bind(EventId::new(until, [0; 10]).as_bytes().to_vec())
            .bind(i64::from(limit))
            .fetch_all(db)
            .await?))
    }

    /// The sums of everything together, by the day counted from an instant and by measure.
    pub async fn tally_days(&self, from: Timestamp, to: Timestamp) -> Result<Vec<(i64, String, i64)>, StoreError> {
        const SQL: &str = "SELECT (at - $2) / 86400000000 AS day, measure, CAST(SUM(count) AS BIGINT) FROM tallies
            WHERE dimension = $1 AND at >= $2 AND at < $3 GROUP BY (at - $2) / 86400000000, measure";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL)
            .bind(Dimension::All.as_str())
            .bind(from.unix_micros())
            .bind(to.unix_micros())
            .fetch_all(db)
            .await?))
    }

    /// The sums of some measures of everything together, by the hour of the week counted from 1970-01-01T00:00Z, a Thursday.
    pub async fn tally_week(&self, from: Timestamp, to: Timestamp, measures: [&str; 3]) -> Result<Vec<(i64, i64)>, StoreError> {
        const SQL: &str = "SELECT (at / 3600000000) % 168 AS hour, CAST(SUM(count) AS BIGINT) FROM tallies
            WHERE dimension = $1 AND at >= $2 AND at < $3 AND measure IN ($4, $5, $6) GROUP BY (at / 3600000000) % 168";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL)
            .bind(Dimension::All.as_str())
            .bind(from.unix_micros())
            .bind(to.unix_micros())
            .bind(measures[0])
            .bind(measures[1])
            .bind(measures[2])
            .fetch_all(db)
            .await?))
    }

    /// The sums of a dimension's values from an instant on and before another.
    pub async fn tally_sums(
        &self,
        dimension: Dimension,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(String, String, i64)>, StoreError> {
        const SQL: &str = "SELECT value, measure, CAST(SUM(count) AS BIGINT) FROM tallies
            WHERE dimension = $1 AND at >= $2 AND at < $3 GROUP BY value, measure";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL)
            .bind(dimension.as_str())
            .bind(from.unix_micros())
            .bind(to.unix_micros())
            .fetch_all(db)
            .await?))
    }

    /// The values of a dimension with the most of a measure in the months from one on to another.
    pub async fn tally_top(
        &self,
        dimension: Dimension,
        from: Timestamp,
        to: Timestamp,
        measure: &str,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "SELECT value FROM tallies WHERE dimension = $1 AND at >= $2 AND at <= $3 AND measure = $4
            GROUP BY value ORDER BY SUM(count) DESC, value LIMIT $5";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL)
            .bind(dimension.as_str())
            .bind(from.unix_micros())
            .bind(to.unix_micros())
            .bind(measure)
            .bind(i64::from(limit))
            .fetch_all(db)
            .await?))
    }

    /// The counts of some values of a dimension in one month.
    pub async fn tallies_of(
        &self,
        dimension: Dimension,
        month: Timestamp,
        values: &[String],
    ) -> Result<Vec<(String, String, i64)>, StoreError> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        Ok(on_pool!(self, |db| {
            let mut query = sqlx::QueryBuilder::new("SELECT value, measure, count FROM tallies WHERE dimension = ");
            query.push_bind(dimension.as_str()).push(" AND at = ").push_bind(month.unix_micros()).push(" AND value IN (");
            let mut list = query.separated(", ");
            for value in values {
                list.push_bind(value.as_str());
            }
            query.push(")").build_query_as().fetch_all(db).await?
        }))
    }

    /// One value's counts in some months.
    pub async fn tallies_in(&self, dimension: Dimension, months: &[i64], value: &str) -> Result<Vec<TallyRow>, StoreError> {
        Ok(on_pool!(self, |db| {
            let mut query = sqlx::QueryBuilder::new("SELECT at, value, measure, count FROM tallies WHERE dimension = ");
            query.push_bind(dimension.as_str()).push(" AND value = ").push_bind(value).push(" AND at IN (");
            let mut list = query.separated(", ");
            for month in months {
                list.push_bind(*month);
            }
            query.push(") ORDER BY at, measure").build_query_as().fetch_all(db).await?
        }))
    }

    /// How many open links end in each hour (since 1970) from an instant on and before another; the first of very many.
    pub async fn deadlines_ahead(&self, from: Timestamp, to: Timestamp) -> Result<Vec<(i64, i64)>, StoreError> {
        const SQL: &str = "SELECT hour, COUNT(*) FROM (SELECT expires_at / 3600000000 AS hour FROM mails
            WHERE link IN ('queued', 'sent') AND expires_at >= $1 AND expires_at < $2 ORDER BY expires_at LIMIT 100000) AS ahead GROUP BY hour ORDER BY hour";
        self.ahead(SQL, from, to).await
    }

    /// How many reported certificates end in each hour, likewise.
    pub async fn certificates_ahead(&self, from: Timestamp, to: Timestamp) -> Result<Vec<(i64, i64)>, StoreError> {
        const SQL: &str = "SELECT hour, COUNT(*) FROM (SELECT not_after / 3600000000 AS hour FROM certificates
            WHERE not_after >= $1 AND not_after < $2 ORDER BY not_after LIMIT 100000) AS ahead GROUP BY hour ORDER BY hour";
        self.ahead(SQL, from, to).await
    }

    async fn ahead(&self, sql: &'static str, from: Timestamp, to: Timestamp) -> Result<Vec<(i64, i64)>, StoreError> {
        Ok(on_pool!(self, |db| sqlx::query_as(sql).bind(from.unix_micros()).bind(to.unix_micros()).fetch_all(db).await?))
    }
}
