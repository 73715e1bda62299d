//! Table `marks`: when something was last done, or a daemon last heard of, for all daemons on one database.

use super::{Store, StoreError, Tx, exec, in_tx, later, on_pool};
use crate::dcv::timestamp::Timestamp;

impl Tx<'_> {
    /// Takes what is due once in a while, for one daemon of several: `true` when it was last done before `before`.
    pub async fn take_mark(&mut self, name: &str, before: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO marks (name, at) VALUES ($1, $3)
            ON CONFLICT (name) DO UPDATE SET at = $3 WHERE marks.at < $2";
        Ok(exec!(self, sqlx::query(SQL).bind(name).bind(before.unix_micros()).bind(now.unix_micros())) == 1)
    }

    /// Notes that a daemon is at work; how many are of which was heard after `since`. Those that have long been silent are forgotten.
    pub async fn sign_of_life(
        &mut self,
        daemon: &str,
        now: Timestamp,
        since: Timestamp,
        silent: Timestamp,
    ) -> Result<i64, StoreError> {
        const SQL: &str = "INSERT INTO marks (name, at) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET at = $2";
        later!(self, "DELETE FROM marks WHERE name >= 'daemon:' AND name < 'daemon;' AND at < $1", silent.unix_micros());
        later!(self, SQL, format!("daemon:{daemon}"), now.unix_micros());
        let sql = "SELECT COUNT(*) FROM marks WHERE name >= 'daemon:' AND name < 'daemon;' AND at > $1";
        Ok(in_tx!(self, |db| sqlx::query_scalar(sql).bind(since.unix_micros()).fetch_one(db).await?))
    }

    /// Forgets a daemon that ends.
    pub async fn no_sign_of_life(&mut self, daemon: &str) -> Result<(), StoreError> {
        later!(self, "DELETE FROM marks WHERE name = $1", format!("daemon:{daemon}"));
        Ok(())
    }
}

impl Store {
    /// When something that is done once in a while was last done.
    pub async fn mark(&self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "SELECT at FROM marks WHERE name = $1";
        let at: Option<i64> = on_pool!(self, |db| sqlx::query_scalar(SQL).bind(name).fetch_optional(db).await?);
        Ok(at.map(Timestamp::from_unix_micros))
    }
}
