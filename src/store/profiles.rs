//! Table `profile_versions`.

use super::{Store, StoreError, Tx, later, on_pool};
use crate::dcv::timestamp::Timestamp;

impl Tx<'_> {
    /// Keeps a profile's effective values under their hash.
    pub async fn keep_profile(&mut self, hash: &[u8; 32], id: &str, body: &str, now: Timestamp) -> Result<(), StoreError> {
        const SQL: &str =
            "INSERT INTO profile_versions (hash, id, body, first_seen_at) VALUES ($1, $2, $3, $4) ON CONFLICT (hash) DO NOTHING";
        later!(self, SQL, &hash[..], id, body, now.unix_micros());
        Ok(())
    }
}

impl Store {
    /// The versions of a profile that were ever in force here: hash, values and when each was first seen, the latest first.
    pub async fn profile_versions(&self, id: &str) -> Result<Vec<(Vec<u8>, String, i64)>, StoreError> {
        const SQL: &str =
            "SELECT hash, body, first_seen_at FROM profile_versions WHERE id = $1 ORDER BY first_seen_at DESC LIMIT 50";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(id).fetch_all(db).await?))
    }

    /// Reads a profile's effective values by their hash.
    pub async fn profile_body(&self, hash: &[u8]) -> Result<Option<String>, StoreError> {
        const SQL: &str = "SELECT body FROM profile_versions WHERE hash = $1";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).bind(hash).fetch_optional(db).await?))
    }
}
