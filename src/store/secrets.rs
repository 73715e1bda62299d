//! Table `secrets`: keys made at first start where none is configured.

use super::{Store, StoreError, exec, in_tx};
use crate::dcv::timestamp::Timestamp;

impl Store {
    /// Returns the secret called `name` and since when it is there, keeping `fresh` as it where there is none yet. Two daemons get the same.
    pub async fn secret(&self, name: &'static str, fresh: Vec<u8>, now: Timestamp) -> Result<(Vec<u8>, Timestamp), StoreError> {
        const INSERT: &str = "INSERT INTO secrets (name, value, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
        const SELECT: &str = "SELECT value, created_at FROM secrets WHERE name = $1";
        self.write("secret", move |tx| {
            Box::pin(async move {
                exec!(tx, sqlx::query(INSERT).bind(name).bind(fresh).bind(now.unix_micros()));
                let (value, at): (Vec<u8>, i64) = in_tx!(tx, |db| sqlx::query_as(SELECT).bind(name).fetch_one(db).await?);
                Ok((value, Timestamp::from_unix_micros(at)))
            })
        })
        .await
    }
}
