//! Table `secrets`: keys made at first start where none is configured.

use super::{Store, StoreError, exec, in_tx};
use crate::dcv::timestamp::Timestamp;

impl Store {
    /// Returns the secret called `name`, keeping `fresh` as it where there is none yet. Two daemons get the same one.
    pub async fn secret(&self, name: &'static str, fresh: Vec<u8>, now: Timestamp) -> Result<Vec<u8>, StoreError> {
        const INSERT: &str = "INSERT INTO secrets (name, value, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
        const SELECT: &str = "SELECT value FROM secrets WHERE name = $1";
        self.write("secret", move |tx| {
            Box::pin(async move {
                exec!(tx, sqlx::query(INSERT).bind(name).bind(fresh).bind(now.unix_micros()));
                Ok(in_tx!(tx, |db| sqlx::query_scalar(SELECT).bind(name).fetch_one(db).await?))
            })
        })
        .await
    }
}
