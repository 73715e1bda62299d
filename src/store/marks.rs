//! Table `marks`: when something was last done, for all daemons on one database.

use std::time::Duration;

use super::{Store, StoreError, Tx, exec, in_tx, on_pool};
use crate::dcv::timestamp::Timestamp;

/// A mark that lies further ahead than daemons' clocks may differ was set by a clock that was set back since: it says nothing.
const AHEAD: Duration = Duration::from_secs(60);

impl Tx<'_> {
    /// Takes what is due once in a while, for one daemon of several: `true` when it was last done before `before`.
    pub async fn take_mark(&mut self, name: &str, before: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO marks (name, at) VALUES ($1, $3)
            ON CONFLICT (name) DO UPDATE SET at = $3 WHERE marks.at < $2 OR marks.at > $4";
        Ok(exec!(
            self,
            sqlx::query(SQL).bind(name).bind(before.unix_micros()).bind(now.unix_micros()).bind((now + AHEAD).unix_micros())
        ) == 1)
    }
}

impl Store {
    /// When something that is done once in a while was last done; long ago, where a clock that was set back since says so.
    pub async fn mark(&self, name: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "SELECT at FROM marks WHERE name = $1";
        let at: Option<i64> = on_pool!(self, |db| sqlx::query_scalar(SQL).bind(name).fetch_optional(db).await?);
        let known = |at: Timestamp| if at <= now + AHEAD { at } else { Timestamp::default() };
        Ok(at.map(Timestamp::from_unix_micros).map(known))
    }
}
