//! Tables `clients` and `client_tokens`: ordering systems made on the command line.

use sqlx::FromRow;

use super::{Store, StoreError, exec, in_tx, later, on_pool};
use crate::dcv::timestamp::Timestamp;

/// A token of an ordering system, as stored.
#[derive(Clone, Debug, FromRow)]
pub struct ClientRow {
    /// The ordering system.
    pub name: String,
    /// What it may do, JSON.
    pub rights: String,
    /// SHA-256 of the token.
    pub token_sha256: Vec<u8>,
    /// Unix microseconds.
    pub created_at: i64,
    /// Unix microseconds.
    pub revoked_at: Option<i64>,
}

impl Store {
    /// Adds an ordering system, or another token to one that is known; the rights of a known one are replaced where they are given.
    pub async fn add_client_token(
        &self,
        name: &str,
        rights: Option<String>,
        token_sha256: [u8; 32],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        const CLIENT: &str = "INSERT INTO clients (name, rights, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET rights = excluded.rights";
        const TOKEN: &str = "INSERT INTO client_tokens (token_sha256, client, created_at) VALUES ($1, $2, $3)";
        let name = name.to_owned();
        self.write("add_client_token", move |tx| {
            Box::pin(async move {
                if let Some(rights) = rights {
                    later!(tx, CLIENT, &name, &rights, at.unix_micros());
                }
                later!(tx, TOKEN, &token_sha256[..], &name, at.unix_micros());
                Ok(())
            })
        })
        .await
    }

    /// Ends a token; `false` where there is none by that hash or it has ended.
    pub async fn revoke_client_token(&self, hash: Vec<u8>, at: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE client_tokens SET revoked_at = $2 WHERE token_sha256 = $1 AND revoked_at IS NULL";
        self.write("revoke_client_token", move |tx| {
            Box::pin(async move { Ok(exec!(tx, sqlx::query(SQL).bind(&hash).bind(at.unix_micros())) == 1) })
        })
        .await
    }

    /// Every token, revoked ones included, by ordering system and age.
    pub async fn client_tokens(&self) -> Result<Vec<ClientRow>, StoreError> {
        const SQL: &str = "SELECT c.name, c.rights, t.token_sha256, t.created_at, t.revoked_at FROM clients c
            JOIN client_tokens t ON t.client = c.name ORDER BY c.name, t.created_at";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).fetch_all(db).await?))
    }
}
