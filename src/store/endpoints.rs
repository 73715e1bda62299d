//! Table `gone_endpoints`: receivers of webhooks that answered 410 Gone.

use super::{Store, StoreError, Tx, exec, in_tx, on_pool};
use crate::dcv::timestamp::Timestamp;

impl Tx<'_> {
    /// Records that a receiver is gone.
    pub async fn endpoint_gone(&mut self, name: &str, url: &str, at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO gone_endpoints (name, url, gone_at) VALUES ($1, $2, $3)
            ON CONFLICT (name) DO UPDATE SET url = excluded.url, gone_at = excluded.gone_at";
        exec!(self, sqlx::query(SQL).bind(name).bind(url).bind(at.unix_micros()));
        Ok(())
    }
}

impl Store {
    /// When a receiver answered that it is gone; `None` where it did not, or another address stands under its name now.
    pub async fn endpoint_gone_at(&self, name: &str, url: &str) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "SELECT gone_at FROM gone_endpoints WHERE name = $1 AND url = $2";
        let at: Option<i64> = on_pool!(self, |db| sqlx::query_scalar(SQL).bind(name).bind(url).fetch_optional(db).await?);
        Ok(at.map(Timestamp::from_unix_micros))
    }

    /// The receivers that are gone.
    pub async fn gone_endpoints(&self) -> Result<Vec<String>, StoreError> {
        Ok(on_pool!(self, |db| sqlx::query_scalar("SELECT name FROM gone_endpoints").fetch_all(db).await?))
    }

    /// Lets a receiver be posted to again; `false` where it was not gone.
    pub async fn endpoint_back(&self, name: &str) -> Result<bool, StoreError> {
        const SQL: &str = "DELETE FROM gone_endpoints WHERE name = $1";
        let name = name.to_owned();
        self.write("endpoint_back", move |tx| Box::pin(async move { Ok(exec!(tx, sqlx::query(SQL).bind(&name)) == 1) })).await
    }
}
