//! Table `answers`: what people pressed.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, in_tx, later, on_pool};
use crate::dcv::id::OrderId;

/// One press of a button, as stored.
#[derive(Clone, Debug, FromRow)]
pub struct AnswerRow {
    /// Its id.
    pub id: Vec<u8>,
    /// The mail answered.
    pub mail_id: Vec<u8>,
    /// Unix microseconds.
    pub at: i64,
    /// `approve`, `reject` or `report`.
    pub answer: String,
    /// The scope chosen.
    pub scope: Option<String>,
    /// The name given.
    pub signer: Option<String>,
    /// The reason given.
    pub reason: Option<String>,
    /// The caller's address.
    pub peer: String,
    /// The caller's User-Agent.
    pub user_agent: String,
    /// 1 where this answer decided.
    pub won: i64,
}

/// An approval that counted.
#[derive(Clone, Debug, FromRow)]
pub struct ApprovalRow {
    /// The name approved.
    pub validation_id: Vec<u8>,
    /// The mail answered.
    pub mail_id: Vec<u8>,
    /// The scope chosen; none where there was no choice.
    pub scope: Option<String>,
    /// The name given.
    pub signer: Option<String>,
}

impl Tx<'_> {
    /// Whether a mail was answered with a refusal or a report, in time or late.
    pub async fn has_refused(&mut self, mail: &[u8]) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT 1 FROM answers WHERE mail_id = $1 AND answer IN ('reject', 'report') LIMIT 1";
        let found: Option<i32> = in_tx!(self, |db| sqlx::query_scalar(SQL).bind(mail).fetch_optional(db).await?);
        Ok(found.is_some())
    }

    /// The approvals that count in an order, by name and mail; not those of people who were replaced since.
    pub async fn approvals(&mut self, order: OrderId) -> Result<Vec<ApprovalRow>, StoreError> {
        const SQL: &str = "SELECT mv.validation_id, a.mail_id, a.scope, a.signer FROM answers a JOIN mails m ON m.id = a.mail_id
            JOIN mail_validations mv ON mv.mail_id = m.id
            WHERE m.order_id = $1 AND a.won = 1 AND a.answer = 'approve' AND mv.void = 0 ORDER BY a.id";
        Ok(in_tx!(self, |db| sqlx::query_as(SQL).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }

    /// Keeps an answer.
    pub async fn insert_answer(&mut self, row: &AnswerRow) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO answers (id, mail_id, at, answer, scope, signer, reason, peer, user_agent, won)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        later!(
            self,
            SQL,
            &row.id,
            &row.mail_id,
            row.at,
            &row.answer,
            &row.scope,
            &row.signer,
            &row.reason,
            &row.peer,
            &row.user_agent,
            row.won
        );
        self.seal_soon(row)
    }
}

impl Store {
    /// The answers to an order's mails, oldest first.
    pub async fn answers(&self, order: OrderId) -> Result<Vec<AnswerRow>, StoreError> {
        const SQL: &str =
            "SELECT a.id, a.mail_id, a.at, a.answer, a.scope, a.signer, a.reason, a.peer, a.user_agent, a.won FROM answers a
            JOIN mails m ON m.id = a.mail_id WHERE m.order_id = $1 ORDER BY a.id";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }
}
