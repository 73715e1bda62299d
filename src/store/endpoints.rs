//! Table `gone_endpoints`: receivers of webhooks that answered 410 Gone.

use super::{Counted, EffectKind, Store, StoreError, Tx, exec, in_tx, later, on_pool};
use crate::dcv::timestamp::Timestamp;

impl Tx<'_> {
    /// Records that a receiver is gone; the first time it said so stays.
    pub async fn endpoint_gone(&mut self, name: &str, address: &str, at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO gone_endpoints (name, address, gone_at) VALUES ($1, $2, $3)
            ON CONFLICT (name) DO UPDATE SET address = excluded.address, gone_at = CASE
            WHEN gone_endpoints.address = excluded.address AND gone_endpoints.gone_at < excluded.gone_at THEN gone_endpoints.gone_at
            ELSE excluded.gone_at END";
        later!(self, SQL, name, address, at.unix_micros());
        Ok(())
    }
}

impl Store {
    /// The receivers that are gone: name, what tells its address, and since when in Unix microseconds.
    pub async fn gone_endpoints(&self) -> Result<Vec<(String, String, i64)>, StoreError> {
        Ok(on_pool!(self, |db| sqlx::query_as("SELECT name, address, gone_at FROM gone_endpoints").fetch_all(db).await?))
    }

    /// Since when a receiver is gone; `None` where it is not, or another address stands under its name now.
    pub async fn endpoint_gone_at(&self, name: &str, address: &str) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "SELECT gone_at FROM gone_endpoints WHERE name = $1 AND address = $2";
        let at: Option<i64> = on_pool!(self, |db| sqlx::query_scalar(SQL).bind(name).bind(address).fetch_optional(db).await?);
        Ok(at.map(Timestamp::from_unix_micros))
    }

    /// Lets a receiver be posted to again, what was kept for it first; how many posts wait now, or `None` where it was not gone.
    pub async fn endpoint_back(&self, name: &str, now: Timestamp) -> Result<Option<u64>, StoreError> {
        const BACK: &str = "DELETE FROM gone_endpoints WHERE name = $1 RETURNING gone_at";
        const KEPT: &str =
            "UPDATE effects SET state = 'due', due_at = $3, tried = 0, first_tried_at = NULL, ended_at = NULL, lease = NULL
            WHERE endpoint = $1 AND kind = 'webhook' AND state = 'dead' AND ended_at >= $2";
        let name = name.to_owned();
        self.write("endpoint_back", move |tx| {
            Box::pin(async move {
                let since: Option<i64> = in_tx!(tx, |db| sqlx::query_scalar(BACK).bind(&name).fetch_optional(db).await?);
                let Some(since) = since else { return Ok(None) };
                tx.counted.push(Counted::Due(EffectKind::Webhook));
                Ok(Some(exec!(tx, sqlx::query(KEPT).bind(&name).bind(since).bind(now.unix_micros()))))
            })
        })
        .await
    }
}
