//! Table `turns`: rates that hold for all daemons on one database together.

use std::time::Duration;

use super::{StoreError, Tx, in_tx, later};
use crate::dcv::timestamp::Timestamp;

/// One in each `period`, `burst` at once after a rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SharedRate {
    /// Between two.
    pub period: Duration,
    /// So many at once.
    pub burst: u32,
}

impl SharedRate {
    /// How far ahead of the rate alone one may be.
    fn slack(self) -> Duration {
        self.period * self.burst.saturating_sub(1)
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// Nobody is told to wait longer (a server that refuses is left alone for an hour): a turn further ahead is one of a clock that was
/// set back since, and is none.
const AHEAD: Duration = Duration::from_secs(2 * 3600);

impl Tx<'_> {
    /// Takes the next turn: from when on it is; `None`, and none is taken, where that would be after `until`.
    pub async fn take_turn(
        &mut self,
        name: &str,
        rate: SharedRate,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "INSERT INTO turns (name, full_until) VALUES ($1, $2 + $3) ON CONFLICT (name) DO UPDATE
            SET full_until = CASE WHEN turns.full_until > $2 AND turns.full_until <= $5 THEN turns.full_until ELSE $2 END + $3
            WHERE turns.full_until <= $4 OR turns.full_until > $5 RETURNING full_until";
        let full_until: Option<i64> = in_tx!(self, |db| sqlx::query_scalar(SQL)
            .bind(name)
            .bind(now.unix_micros())
            .bind(micros(rate.period))
            .bind((until + rate.slack()).unix_micros())
            .bind((now + rate.slack() + rate.period + AHEAD).unix_micros())
            .fetch_optional(db)
            .await?);
        Ok(full_until.map(|full| Timestamp::from_unix_micros(full.saturating_sub(micros(rate.period + rate.slack())))))
    }

    /// Gives no turn before an instant.
    pub async fn no_turn_until(&mut self, name: &str, rate: SharedRate, until: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO turns (name, full_until) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE
            SET full_until = CASE WHEN turns.full_until > $2 THEN turns.full_until ELSE $2 END";
        later!(self, SQL, name, (until + rate.slack()).unix_micros());
        Ok(())
    }

    /// Forgets what has rested since an instant.
    pub async fn forget_turns(&mut self, before: Timestamp) -> Result<(), StoreError> {
        later!(self, "DELETE FROM turns WHERE full_until < $1", before.unix_micros());
        Ok(())
    }
}
