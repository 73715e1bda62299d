//! Table `validations`.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, exec, in_tx, on_pool};
use crate::dcv::decision::Decision;
use crate::dcv::id::{MailId, OrderId};
use crate::dcv::method::Method;
use crate::dcv::order::ValidationState;
use crate::dcv::timestamp::Timestamp;

/// One name within an order, as stored.
#[derive(Clone, Debug, FromRow)]
pub struct ValidationRow {
    /// Its id.
    pub id: Vec<u8>,
    /// The order it belongs to.
    pub order_id: Vec<u8>,
    /// Its place in the order, from 0.
    pub position: i64,
    /// A-labels, with `*.` where it is a wildcard.
    pub name: String,
    /// A [`ValidationState`].
    pub state: String,
    /// Unix microseconds; while awaiting an approver: until when.
    pub selection_ends_at: Option<i64>,
    /// The mail whose answer decided it.
    pub mail_id: Option<Vec<u8>>,
    /// `approve`, `reject` or `report`.
    pub answer: Option<String>,
    /// The method's section.
    pub method: Option<String>,
    /// The scope of an approval.
    pub scope: Option<String>,
    /// The name given, as typed.
    pub signer: Option<String>,
    /// The reason given, as typed.
    pub reason: Option<String>,
    /// Unix microseconds.
    pub ended_at: Option<i64>,
    /// Unix microseconds.
    pub reusable_until: Option<i64>,
    /// Unix microseconds; until when an approval waits for a refusal by somebody else.
    pub veto_ends_at: Option<i64>,
}

impl ValidationRow {
    /// The state, typed.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] for a state the model does not know.
    pub fn state(&self) -> Result<ValidationState, StoreError> {
        ValidationState::from_text(&self.state).ok_or_else(|| StoreError::inconsistent("validations", "state", &self.id))
    }
}

impl Tx<'_> {
    /// Inserts one name.
    pub async fn insert_validation(&mut self, row: &ValidationRow) -> Result<(), StoreError> {
        const SQL: &str =
            "INSERT INTO validations (id, order_id, position, name, state, selection_ends_at) VALUES ($1, $2, $3, $4, $5, $6)";
        exec!(
            self,
            sqlx::query(SQL)
                .bind(&row.id)
                .bind(&row.order_id)
                .bind(row.position)
                .bind(&row.name)
                .bind(&row.state)
                .bind(row.selection_ends_at)
        );
        Ok(())
    }

    /// Reads the names of an order within the transaction.
    pub async fn validations(&mut self, order: OrderId) -> Result<Vec<ValidationRow>, StoreError> {
        Ok(in_tx!(self, |db| sqlx::query_as(BY_ORDER).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }

    /// Applies a decision to a name that is still pending; `false` when it was not.
    pub async fn decide_validation(
        &mut self,
        id: &[u8],
        mail: MailId,
        answer: &str,
        method: Method,
        decision: &Decision,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE validations SET state = $2, mail_id = $3, answer = $4, method = $5, scope = $6, signer = $7, reason = $8,
            ended_at = $9, reusable_until = $10, veto_ends_at = NULL WHERE id = $1 AND state = 'pending'";
        let rows = exec!(
            self,
            sqlx::query(SQL)
                .bind(id)
                .bind(decision.state.as_str())
                .bind(&mail.as_bytes()[..])
                .bind(answer)
                .bind(method.section())
                .bind(decision.scope.map(super::super::dcv::decision::Scope::as_str))
                .bind(&decision.signer)
                .bind(&decision.reason)
                .bind(at.unix_micros())
                .bind(decision.reusable_until.map(Timestamp::unix_micros))
        );
        Ok(rows == 1)
    }

    /// Writes an approval down that waits for a refusal by somebody else; `false` where the name is not open or one waits already.
    pub async fn hold_approval(
        &mut self,
        id: &[u8],
        mail: MailId,
        method: Method,
        decision: &Decision,
        veto_ends_at: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE validations SET mail_id = $2, answer = 'approve', method = $3, scope = $4, signer = $5, reusable_until = $6,
            veto_ends_at = $7 WHERE id = $1 AND state = 'pending' AND veto_ends_at IS NULL";
        let rows = exec!(
            self,
            sqlx::query(SQL)
                .bind(id)
                .bind(&mail.as_bytes()[..])
                .bind(method.section())
                .bind(decision.scope.map(super::super::dcv::decision::Scope::as_str))
                .bind(&decision.signer)
                .bind(decision.reusable_until.map(Timestamp::unix_micros))
                .bind(veto_ends_at.unix_micros())
        );
        Ok(rows == 1)
    }

    /// Makes an approval count that waited for a refusal; `false` where none waits.
    pub async fn end_veto(&mut self, id: &[u8], at: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE validations SET state = 'approved', ended_at = $2, veto_ends_at = NULL
            WHERE id = $1 AND state = 'pending' AND veto_ends_at IS NOT NULL";
        Ok(exec!(self, sqlx::query(SQL).bind(id).bind(at.unix_micros())) == 1)
    }

    /// Records that somebody is asked for a name that awaited an approver, or still asked for one that was asked for before.
    pub async fn asked(&mut self, id: &[u8]) -> Result<(), StoreError> {
        const SQL: &str =
            "UPDATE validations SET state = 'pending', selection_ends_at = NULL WHERE id = $1 AND state = 'awaiting_approver'";
        exec!(self, sqlx::query(SQL).bind(id));
        Ok(())
    }

    /// Ends an open name without an answer; `false` when it was not in `from`.
    pub async fn end_validation(
        &mut self,
        id: &[u8],
        from: ValidationState,
        to: ValidationState,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE validations SET state = $3, ended_at = $4 WHERE id = $1 AND state = $2";
        let rows = exec!(self, sqlx::query(SQL).bind(id).bind(from.as_str()).bind(to.as_str()).bind(at.unix_micros()));
        Ok(rows == 1)
    }
}

const BY_ORDER: &str =
    "SELECT id, order_id, position, name, state, selection_ends_at, mail_id, answer, method, scope, signer, reason, ended_at,
    reusable_until, veto_ends_at FROM validations WHERE order_id = $1 ORDER BY position";

pub(super) const OF_MAIL: &str =
    "SELECT id, order_id, position, name, state, selection_ends_at, v.mail_id, answer, method, scope, signer, reason, ended_at,
    reusable_until, veto_ends_at FROM validations v JOIN mail_validations mv ON mv.validation_id = v.id WHERE mv.mail_id = $1 ORDER BY position";

pub(super) const OF_ORDERS: &str =
    "SELECT id, order_id, position, name, state, selection_ends_at, mail_id, answer, method, scope, signer, reason, ended_at,
    reusable_until, veto_ends_at FROM validations WHERE order_id IN (";

impl Store {
    /// Reads the names of an order, in the order's order.
    pub async fn validations(&self, order: OrderId) -> Result<Vec<ValidationRow>, StoreError> {
        Ok(on_pool!(self, |db| sqlx::query_as(BY_ORDER).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }

    /// Orders with an approval that has waited long enough for a refusal.
    pub async fn orders_past_veto(&self, now: Timestamp, limit: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        const SQL: &str = "SELECT DISTINCT order_id FROM validations
            WHERE state = 'pending' AND veto_ends_at IS NOT NULL AND veto_ends_at <= $1 LIMIT $2";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).bind(now.unix_micros()).bind(i64::from(limit)).fetch_all(db).await?))
    }

    /// How many names wait for an approver to be chosen.
    pub async fn names_awaiting(&self) -> Result<i64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM validations WHERE state = 'awaiting_approver'";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).fetch_one(db).await?))
    }

    /// Orders with a name whose time for choosing an approver is over.
    pub async fn orders_past_selection(&self, now: Timestamp, limit: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        const SQL: &str =
            "SELECT DISTINCT order_id FROM validations WHERE state = 'awaiting_approver' AND selection_ends_at <= $1 LIMIT $2";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).bind(now.unix_micros()).bind(i64::from(limit)).fetch_all(db).await?))
    }
}
