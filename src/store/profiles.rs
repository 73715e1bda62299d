//! Table `profile_versions`.

use super::{Store, StoreError, Tx, exec, in_tx, on_pool};
use crate::dcv::timestamp::Timestamp;

impl Tx<'_> {
    /// Keeps a profile's effective values under their hash.
    pub async fn keep_profile(&mut self, hash: &[u8; 32], id: &str, body: &str, now: Timestamp) -> Result<(), StoreError> {
        const SQL: &str =
            "INSERT INTO profile_versions (hash, id, body, first_seen_at) VALUES ($1, $2, $3, $4) ON CONFLICT (hash) DO NOTHING";
        exec!(self, sqlx::query(SQL).bind(&hash[..]).bind(id).bind(body).bind(now.unix_micros()));
        Ok(())
    }
}

impl Store {
    /// Reads a profile's effective values by their hash.
    pub async fn profile_body(&self, hash: &[u8]) -> Result<Option<String>, StoreError> {
        const SQL: &str = "SELECT body FROM profile_versions WHERE hash = $1";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).bind(hash).fetch_optional(db).await?))
    }
}
