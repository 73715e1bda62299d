//! Tables `operators`, `sessions` and `access_log`: who uses the status page.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, exec, in_tx, later, on_pool};
use crate::dcv::operator::EndReason;
use crate::dcv::timestamp::Timestamp;

/// An operator as stored.
#[derive(Clone, FromRow)]
pub struct OperatorRow {
    /// The name given to sign in.
    pub name: String,
    /// A role.
    pub role: String,
    /// The password's hash.
    pub password: String,
    /// What the one-time passwords' secret is made of.
    pub nonce: Vec<u8>,
    /// The latest one-time password that was used.
    pub last_step: i64,
    /// Unix microseconds.
    pub created_at: i64,
    /// Unix microseconds.
    pub disabled_at: Option<i64>,
}

/// A sign-in as stored.
#[derive(Clone, Debug, FromRow)]
pub struct SessionRow {
    /// SHA-256 of what the cookie holds.
    pub id: Vec<u8>,
    /// Whose it is.
    pub operator: String,
    /// The operator's role now.
    pub role: String,
    /// Unix microseconds.
    pub created_at: i64,
    /// Unix microseconds.
    pub seen_at: i64,
    /// From where.
    pub peer: String,
}

/// One entry of the access log.
#[derive(Clone, Debug, FromRow)]
pub struct AccessRow {
    /// Its id.
    pub id: Vec<u8>,
    /// Unix microseconds.
    pub at: i64,
    /// Who.
    pub operator: String,
    /// What.
    pub event: String,
    /// JSON.
    pub detail: String,
    /// From where.
    pub peer: String,
}

const SESSION: &str = "SELECT s.id, s.operator, o.role, s.created_at, s.seen_at, s.peer FROM sessions s
    JOIN operators o ON o.name = s.operator WHERE s.ended_at IS NULL AND o.disabled_at IS NULL AND ";

impl Tx<'_> {
    /// Inserts an operator; `false` where the name is taken.
    pub async fn insert_operator(&mut self, row: &OperatorRow) -> Result<bool, StoreError> {
        const SQL: &str =
            "INSERT INTO operators (name, role, password, nonce, last_step, created_at) VALUES ($1, $2, $3, $4, 0, $5)
            ON CONFLICT (name) DO NOTHING";
        let rows = exec!(
            self,
            sqlx::query(SQL).bind(&row.name).bind(&row.role).bind(&row.password).bind(&row.nonce).bind(row.created_at)
        );
        Ok(rows == 1)
    }

    /// Gives an operator a new password and secret, and lets a disabled one in again; `false` where there is none.
    pub async fn reset_operator(&mut self, row: &OperatorRow) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE operators SET password = $2, nonce = $3, last_step = 0, role = $4, disabled_at = NULL WHERE name = $1";
        let rows = exec!(self, sqlx::query(SQL).bind(&row.name).bind(&row.password).bind(&row.nonce).bind(&row.role));
        Ok(rows == 1)
    }

    /// Lets an operator in no more; `false` where that was so.
    pub async fn disable_operator(&mut self, name: &str, at: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE operators SET disabled_at = $2 WHERE name = $1 AND disabled_at IS NULL";
        Ok(exec!(self, sqlx::query(SQL).bind(name).bind(at.unix_micros())) == 1)
    }

    /// Uses up a one-time password; `false` where it, or a later one, was used, or the password is another by now.
    pub async fn use_step(&mut self, operator: &OperatorRow, step: i64) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE operators SET last_step = $2
            WHERE name = $1 AND last_step < $2 AND password = $3 AND disabled_at IS NULL";
        Ok(exec!(self, sqlx::query(SQL).bind(&operator.name).bind(step).bind(&operator.password)) == 1)
    }

    /// Begins a sign-in.
    pub async fn insert_session(&mut self, row: &SessionRow, user_agent: &str) -> Result<(), StoreError> {
        const SQL: &str =
            "INSERT INTO sessions (id, operator, created_at, seen_at, peer, user_agent) VALUES ($1, $2, $3, $4, $5, $6)";
        later!(self, SQL, &row.id, &row.operator, row.created_at, row.seen_at, &row.peer, user_agent);
        Ok(())
    }

    /// Notes that a sign-in is used.
    pub async fn see_session(&mut self, id: &[u8], at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE sessions SET seen_at = $2 WHERE id = $1 AND ended_at IS NULL AND seen_at < $2";
        later!(self, SQL, id, at.unix_micros());
        Ok(())
    }

    /// Ends a sign-in; whose it was, or `None` where it had ended.
    pub async fn end_session(&mut self, id: &[u8], why: EndReason, at: Timestamp) -> Result<Option<String>, StoreError> {
        const SQL: &str =
            "UPDATE sessions SET ended_at = $2, end_reason = $3 WHERE id = $1 AND ended_at IS NULL RETURNING operator";
        Ok(in_tx!(self, |db| sqlx::query_scalar(SQL)
            .bind(id)
            .bind(at.unix_micros())
            .bind(why.as_str())
            .fetch_optional(db)
            .await?))
    }

    /// The sign-ins of an operator that have not ended.
    pub async fn sessions_of(&mut self, operator: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        const SQL: &str = "SELECT id FROM sessions WHERE operator = $1 AND ended_at IS NULL";
        Ok(in_tx!(self, |db| sqlx::query_scalar(SQL).bind(operator).fetch_all(db).await?))
    }

    /// Writes an entry of the access log.
    pub async fn insert_access(&mut self, row: &AccessRow) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO access_log (id, at, operator, event, detail, peer) VALUES ($1, $2, $3, $4, $5, $6)";
        later!(self, SQL, &row.id, row.at, &row.operator, &row.event, &row.detail, &row.peer);
        self.seal_soon(row)
    }
}

impl Tx<'_> {
    /// Makes an operator who comes by a certificate, or gives a known one the role of the rule that let them in; `false` where they were
    /// disabled, or came by password until now.
    pub async fn admit_operator(&mut self, row: &OperatorRow) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO operators (name, role, password, nonce, last_step, created_at) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (name) DO UPDATE SET role = excluded.role WHERE operators.disabled_at IS NULL AND operators.password = ''";
        let rows = exec!(
            self,
            sqlx::query(SQL)
                .bind(&row.name)
                .bind(&row.role)
                .bind(&row.password)
                .bind(&row.nonce)
                .bind(row.last_step)
                .bind(row.created_at)
        );
        Ok(rows == 1)
    }
}

impl Store {
    /// An operator by name.
    pub async fn operator(&self, name: &str) -> Result<Option<OperatorRow>, StoreError> {
        const SQL: &str = "SELECT name, role, password, nonce, last_step, created_at, disabled_at FROM operators WHERE name = $1";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(name).fetch_optional(db).await?))
    }

    /// Every operator, by name.
    pub async fn operators(&self) -> Result<Vec<OperatorRow>, StoreError> {
        const SQL: &str = "SELECT name, role, password, nonce, last_step, created_at, disabled_at FROM operators ORDER BY name";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).fetch_all(db).await?))
    }

    /// A sign-in that has not ended, of an operator who may come in.
    pub async fn session(&self, id: &[u8]) -> Result<Option<SessionRow>, StoreError> {
        let sql = format!("{SESSION} s.id = $1");
        Ok(on_pool!(self, |db| sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(db).await?))
    }

    /// Sign-ins that may be over by time.
    pub async fn sessions_resting(&self, seen: Timestamp, created: Timestamp, limit: u32) -> Result<Vec<SessionRow>, StoreError> {
        let sql = format!("{SESSION} (s.seen_at <= $1 OR s.created_at <= $2) ORDER BY s.seen_at LIMIT $3");
        Ok(on_pool!(self, |db| sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(seen.unix_micros())
            .bind(created.unix_micros())
            .bind(i64::from(limit))
            .fetch_all(db)
            .await?))
    }

    /// The latest entries of the access log, newest first.
    pub async fn access_log(&self, before: Option<&[u8]>, limit: u32) -> Result<Vec<AccessRow>, StoreError> {
        const ALL: &str = "SELECT id, at, operator, event, detail, peer FROM access_log ORDER BY id DESC LIMIT $1";
        const BEFORE: &str =
            "SELECT id, at, operator, event, detail, peer FROM access_log WHERE id < $2 ORDER BY id DESC LIMIT $1";
        Ok(match before {
            None => on_pool!(self, |db| sqlx::query_as(ALL).bind(i64::from(limit)).fetch_all(db).await?),
            Some(before) => {
                on_pool!(self, |db| sqlx::query_as(BEFORE).bind(i64::from(limit)).bind(before).fetch_all(db).await?)
            }
        })
    }
}
