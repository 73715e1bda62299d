//! Table `validations`.

use sqlx::FromRow;

use super::{MailRow, Store, StoreError, Tx, change_one, exec, in_tx, later, on_pool};
use crate::dcv::contact::entry::Entry;
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
    /// Its Base Domain Name; `None` in rows that are older than this and not filled yet.
    pub base_domain: Option<String>,
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
    /// The ADN that its approval was given for.
    pub adn: Option<String>,
    /// Unix microseconds; when somebody objected to its approval.
    pub disputed_at: Option<i64>,
    /// The approval that it rests on, where nobody was asked again: JSON.
    pub reused_from: Option<String>,
    /// The validation that this is.
    pub reused_id: Option<Vec<u8>>,
    /// Unix microseconds; while awaiting an approver: when the sources are asked again.
    pub look_again_at: Option<i64>,
    /// How often they were.
    pub looks: i64,
    /// While awaiting an approver: the registration contact that was entered, JSON.
    pub entry: Option<String>,
}

/// An approval that later orders may rest on, with what that takes to know.
#[derive(Clone, Debug, FromRow)]
pub struct LiveRow {
    /// The validation.
    #[sqlx(flatten)]
    pub validation: ValidationRow,
    /// The order's reference.
    pub order_ref: String,
    /// What the order's caller told, JSON.
    pub facts: String,
    /// The order's profile.
    pub profile_id: String,
    /// The hash of its values.
    pub profile_hash: Vec<u8>,
    /// The look-up that yielded the address; none for constructed ones.
    pub lookup_id: Option<Vec<u8>>,
    /// Who approved.
    pub recipient: String,
    /// Where the address was found.
    pub source: String,
    /// Unix microseconds; when the Random Value was made.
    pub mail_created_at: i64,
    /// Unix microseconds; when the address was looked up.
    pub looked_up_at: i64,
}

impl LiveRow {
    /// When the reuse clock started: the earlier of the Random Value's creation and the look-up. Spec: BR v2.2.6 §4.2.1.
    #[must_use]
    pub fn initiated_at(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.mail_created_at.min(self.looked_up_at))
    }
}

impl ValidationRow {
    /// The registration contact that was entered, read back.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when the column holds something else.
    pub fn entry(&self) -> Result<Option<Entry>, StoreError> {
        let read =
            |text: &String| serde_json::from_str(text).map_err(|_| StoreError::inconsistent("validations", "entry", &self.id));
        self.entry.as_ref().map(read).transpose()
    }

    /// The state, typed.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] for a state the model does not know.
    pub fn state(&self) -> Result<ValidationState, StoreError> {
        ValidationState::from_text(&self.state).ok_or_else(|| StoreError::inconsistent("validations", "state", &self.id))
    }
}

/// Every column of a validation, and what follows.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT v.id, v.order_id, v.position, v.name, v.base_domain, v.state, v.selection_ends_at, v.mail_id, v.answer, v.method, v.scope, v.signer, v.reason,
            v.ended_at, v.reusable_until, v.veto_ends_at, v.adn, v.disputed_at, v.reused_from, v.reused_id, v.look_again_at, v.looks, v.entry",
            $rest
        )
    };
}

/// A change to one, and the row as it is then. SQLite's RETURNING knows no alias. sqlx reads the row and no further, where SQLite would
/// tell that a foreign key was broken: the columns that are changed so are in none.
macro_rules! returning {
    ($change:literal) => {
        concat!(
            $change,
            " RETURNING id, order_id, position, name, base_domain, state, selection_ends_at, mail_id, answer, method, scope, signer, reason,
            ended_at, reusable_until, veto_ends_at, adn, disputed_at, reused_from, reused_id, look_again_at, looks, entry"
        )
    };
}

/// An approval that stands.
#[derive(Clone, Debug, FromRow)]
pub struct StandingApproval {
    /// The name it was given for.
    pub name: String,
    /// The ADN.
    pub adn: Option<String>,
    /// The scope.
    pub scope: Option<String>,
    /// The method's section.
    pub method: Option<String>,
    /// The order.
    pub order_id: Vec<u8>,
    /// Unix microseconds; when it was given.
    pub ended_at: Option<i64>,
    /// Unix microseconds.
    pub reusable_until: Option<i64>,
    /// The order's reference.
    pub order_ref: String,
    /// The ordering system.
    pub client: String,
}

impl Tx<'_> {
    /// Writes a name's registered domain down, where it is not.
    pub async fn set_base_domain(&mut self, id: &[u8], base: &str) -> Result<(), StoreError> {
        later!(self, "UPDATE validations SET base_domain = $2 WHERE id = $1 AND base_domain IS NULL", id, base);
        Ok(())
    }

    /// Inserts one name.
    pub async fn insert_validation(&mut self, row: &ValidationRow) -> Result<(), StoreError> {
        const SQL: &str =
            "INSERT INTO validations (id, order_id, position, name, state, selection_ends_at, look_again_at, reused_from, adn, method, scope, signer,
            ended_at, reusable_until, answer, reused_id, entry, base_domain) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";
        later!(
            self,
            SQL,
            &row.id,
            &row.order_id,
            row.position,
            &row.name,
            &row.state,
            row.selection_ends_at,
            row.look_again_at,
            &row.reused_from,
            &row.adn,
            &row.method,
            &row.scope,
            &row.signer,
            row.ended_at,
            row.reusable_until,
            &row.answer,
            &row.reused_id,
            &row.entry,
            &row.base_domain
        );
        Ok(())
    }

    /// Whether an approval may still be rested on; nobody can object to it before this transaction ends.
    pub async fn is_live(&mut self, id: &[u8], now: Timestamp) -> Result<bool, StoreError> {
        const PLAIN: &str =
            "SELECT 1 FROM validations WHERE id = $1 AND state = 'approved' AND disputed_at IS NULL AND reusable_until > $2";
        const LOCKING: &str = "SELECT 1 FROM validations WHERE id = $1 AND state = 'approved' AND disputed_at IS NULL AND reusable_until > $2 FOR SHARE";
        let sql = if self.is_postgres() { LOCKING } else { PLAIN };
        let found: Option<i32> =
            in_tx!(self, |db| sqlx::query_scalar(sql).bind(id).bind(now.unix_micros()).fetch_optional(db).await?);
        Ok(found.is_some())
    }

    /// The names of other orders that rest on an approval.
    pub async fn resting_on(&mut self, id: &[u8]) -> Result<Vec<ValidationRow>, StoreError> {
        const SQL: &str = select!(" FROM validations v WHERE v.reused_id = $1 ORDER BY v.id");
        Ok(in_tx!(self, |db| sqlx::query_as(SQL).bind(id).fetch_all(db).await?))
    }

    /// Takes a look at a name's sources upon oneself, by moving the next one to `next`; `false` where another daemon was faster or
    /// somebody is asked by now.
    pub async fn claim_look(&mut self, row: &ValidationRow, next: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE validations SET looks = looks + 1, look_again_at = $3
            WHERE id = $1 AND state = 'awaiting_approver' AND look_again_at = $2";
        Ok(exec!(self, sqlx::query(SQL).bind(&row.id).bind(row.look_again_at).bind(next.unix_micros())) == 1)
    }

    /// Writes what is known of the contact that was entered for a name; `false` where it awaits nobody any more.
    pub async fn set_entry(&mut self, id: &[u8], entry: Option<&str>) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE validations SET entry = $2 WHERE id = $1 AND state = 'awaiting_approver'";
        Ok(exec!(self, sqlx::query(SQL).bind(id).bind(entry)) == 1)
    }

    /// Has the sources of an order's names asked again from an instant on; `false` where no name awaits an approver.
    pub async fn look_at(&mut self, order: OrderId, at: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE validations SET look_again_at = $2 WHERE order_id = $1 AND state = 'awaiting_approver'";
        Ok(exec!(self, sqlx::query(SQL).bind(&order.as_bytes()[..]).bind(at.unix_micros())) > 0)
    }

    /// Looks at a name's sources no more, since it is the ordering system's turn; `false` where somebody is asked by now.
    pub async fn look_no_more(&mut self, id: &[u8]) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE validations SET look_again_at = NULL WHERE id = $1 AND state = 'awaiting_approver'";
        Ok(exec!(self, sqlx::query(SQL).bind(id)) == 1)
    }

    /// Records that somebody objects to an approval: no later order may rest on it.
    pub async fn set_disputed(&mut self, id: &[u8], at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE validations SET disputed_at = COALESCE(disputed_at, $2) WHERE id = $1";
        later!(self, SQL, id, at.unix_micros());
        Ok(())
    }

    /// Reads the names of an order within the transaction.
    pub async fn validations(&mut self, order: OrderId) -> Result<Vec<ValidationRow>, StoreError> {
        Ok(in_tx!(self, |db| sqlx::query_as(BY_ORDER).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }

    /// On PostgreSQL, has a client's other orders wait for this transaction. Before any order's own lock.
    pub async fn lock_client(&mut self, client: &str) -> Result<(), StoreError> {
        const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext($1))";
        if self.is_postgres() {
            exec!(self, sqlx::query(LOCK).bind(client));
        }
        Ok(())
    }

    /// A client's open orders with one of some names: id and facts. On PostgreSQL the client's other orders wait for this
    /// transaction, so that of two at once the second sees the first.
    pub async fn open_orders_with(&mut self, client: &str, names: &[String]) -> Result<Vec<(Vec<u8>, String)>, StoreError> {
        self.lock_client(client).await?;
        Ok(in_tx!(self, |db| {
            let mut query = sqlx::QueryBuilder::new(
                // CROSS JOIN keeps SQLite from walking all the client's orders.
                "SELECT DISTINCT o.id, o.facts FROM validations v CROSS JOIN orders o
                WHERE o.id = v.order_id AND o.state = 'pending' AND v.state IN ('awaiting_approver', 'pending') AND o.client = ",
            );
            query.push_bind(client).push(" AND v.name IN (");
            let mut list = query.separated(", ");
            for name in names {
                list.push_bind(name);
            }
            query.push(") ORDER BY o.id").build_query_as().fetch_all(db).await?
        }))
    }

    /// Applies a decision to a name that this transaction read, pending, under the order's lock; the name as it is then.
    ///
    /// # Errors
    /// [`StoreError`] where it is not pending any more, now or with a later statement.
    pub async fn decide_validation(
        &mut self,
        one: &ValidationRow,
        mail: &MailRow,
        answer: &str,
        decision: &Decision,
        at: Timestamp,
    ) -> Result<ValidationRow, StoreError> {
        const SQL: &str =
            "UPDATE validations SET state = $2, mail_id = $3, answer = $4, method = $5, scope = $6, signer = $7, reason = $8,
            ended_at = $9, reusable_until = $10, veto_ends_at = NULL, adn = $11 WHERE id = $1 AND state = 'pending'";
        let decided = ValidationRow {
            state: decision.state.as_str().to_owned(),
            mail_id: Some(mail.id.clone()),
            answer: Some(answer.to_owned()),
            method: Some(mail.source()?.method().section().to_owned()),
            scope: decision.scope.map(|scope| scope.as_str().to_owned()),
            signer: decision.signer.clone(),
            reason: decision.reason.clone(),
            ended_at: Some(at.unix_micros()),
            reusable_until: decision.reusable_until.map(Timestamp::unix_micros),
            veto_ends_at: None,
            adn: Some(mail.adn.clone()),
            ..one.clone()
        };
        change_one!(
            self,
            SQL,
            &decided.id,
            &decided.state,
            &decided.mail_id,
            &decided.answer,
            &decided.method,
            &decided.scope,
            &decided.signer,
            &decided.reason,
            decided.ended_at,
            decided.reusable_until,
            &decided.adn
        );
        Ok(decided)
    }

    /// Drops an approval of a name that waits for a refusal, where there is one.
    pub async fn drop_held_approval(&mut self, id: &[u8]) -> Result<(), StoreError> {
        const SQL: &str =
            "UPDATE validations SET veto_ends_at = NULL, mail_id = NULL, answer = NULL, method = NULL, scope = NULL,
            signer = NULL, reusable_until = NULL, adn = NULL WHERE id = $1 AND state = 'pending' AND veto_ends_at IS NOT NULL";
        later!(self, SQL, id);
        Ok(())
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
            veto_ends_at = $7, adn = (SELECT adn FROM mails WHERE id = $2) WHERE id = $1 AND state = 'pending' AND veto_ends_at IS NULL";
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

    /// Makes an approval count that waited for a refusal: the name as it is now; `None` where none waits.
    pub async fn end_veto(&mut self, id: &[u8], at: Timestamp) -> Result<Option<ValidationRow>, StoreError> {
        const SQL: &str = returning!(
            "UPDATE validations SET state = 'approved', ended_at = $2, veto_ends_at = NULL,
            reusable_until = CASE WHEN reusable_until > $2 THEN reusable_until END
            WHERE id = $1 AND state = 'pending' AND veto_ends_at IS NOT NULL"
        );
        Ok(in_tx!(self, |db| sqlx::query_as(SQL).bind(id).bind(at.unix_micros()).fetch_optional(db).await?))
    }

    /// Records that the recipient of a mail is asked anew by another: what they said to that one counts no more.
    pub async fn asked_anew(&mut self, mail: MailId) -> Result<(), StoreError> {
        const UNHOLD: &str =
            "UPDATE validations SET veto_ends_at = NULL, mail_id = NULL, answer = NULL, method = NULL, scope = NULL,
            signer = NULL, reusable_until = NULL, adn = NULL WHERE mail_id = $1 AND state = 'pending' AND veto_ends_at IS NOT NULL";
        let mail = mail.as_bytes().to_vec();
        later!(self, "UPDATE mail_validations SET void = 1 WHERE mail_id = $1", &mail);
        later!(self, UNHOLD, &mail);
        Ok(())
    }

    /// Records that somebody is asked for a name that awaited an approver, or still asked for one that was asked for before.
    pub async fn asked(&mut self, id: &[u8]) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE validations SET state = 'pending', selection_ends_at = NULL, look_again_at = NULL, entry = NULL WHERE id = $1 AND state = 'awaiting_approver'";
        // Whoever was asked before counts no more.
        later!(self, "UPDATE mail_validations SET void = 1 WHERE validation_id = $1", id);
        self.drop_held_approval(id).await?;
        later!(self, SQL, id);
        Ok(())
    }

    /// Ends an open name without an answer, one that waited for a refusal included: the name as it is now; `None` when it was not in
    /// `from`.
    pub async fn end_validation(
        &mut self,
        id: &[u8],
        from: ValidationState,
        to: ValidationState,
        at: Timestamp,
    ) -> Result<Option<ValidationRow>, StoreError> {
        const SQL: &str = returning!(
            "UPDATE validations SET state = $3, ended_at = $4, veto_ends_at = NULL, look_again_at = NULL,
            mail_id = NULL, answer = NULL, method = NULL, scope = NULL, signer = NULL, reusable_until = NULL, adn = NULL WHERE id = $1 AND state = $2"
        );
        Ok(in_tx!(self, |db| sqlx::query_as(SQL)
            .bind(id)
            .bind(from.as_str())
            .bind(to.as_str())
            .bind(at.unix_micros())
            .fetch_optional(db)
            .await?))
    }
}

pub(super) const BY_ORDER: &str = select!(" FROM validations v WHERE v.order_id = $1 ORDER BY v.position");

pub(super) const OF_MAIL: &str =
    select!(" FROM validations v JOIN mail_validations mv ON mv.validation_id = v.id WHERE mv.mail_id = $1 ORDER BY v.position");

pub(super) const BY_RANDOM: &str = select!(
    " FROM mails m JOIN mail_validations mv ON mv.mail_id = m.id JOIN validations v ON v.id = mv.validation_id WHERE m.random_hash = $1
    ORDER BY v.position"
);

pub(super) const OF_ORDERS: &str = select!(" FROM validations v WHERE v.order_id IN (");

const LIVE: &str = select!(
    ", o.order_ref, o.facts, o.profile_id, o.profile_hash, m.recipient, m.source, m.lookup_id, m.created_at AS mail_created_at, m.looked_up_at
    FROM validations v CROSS JOIN orders o CROSS JOIN mails m
    WHERE o.id = v.order_id AND m.id = v.mail_id AND v.state = 'approved' AND v.reused_from IS NULL AND v.disputed_at IS NULL AND v.scope <> 'order' AND o.test = 0 AND v.reusable_until > "
);

/// Most live approvals looked at for one order's names.
const LIVE_MAX: i64 = 2000;

impl Store {
    /// The approvals below a registered domain that may still be reused, those that last longest first.
    pub async fn standing_approvals(&self, base: &str, now: Timestamp, limit: u32) -> Result<Vec<StandingApproval>, StoreError> {
        const SQL: &str = "SELECT v.name, v.adn, v.scope, v.method, v.order_id, v.ended_at, v.reusable_until, o.order_ref, o.client
            FROM validations v JOIN orders o ON o.id = v.order_id WHERE v.base_domain = $1 AND v.state = 'approved' AND v.reused_from IS NULL
            AND v.disputed_at IS NULL AND v.reusable_until > $2 AND o.test = 0 ORDER BY v.reusable_until DESC LIMIT $3";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL)
            .bind(base)
            .bind(now.unix_micros())
            .bind(i64::from(limit))
            .fetch_all(db)
            .await?))
    }

    /// Names whose registered domain is not written down yet.
    pub async fn without_base(&self, limit: u32) -> Result<Vec<(Vec<u8>, String)>, StoreError> {
        const SQL: &str = "SELECT id, name FROM validations WHERE base_domain IS NULL ORDER BY id LIMIT $1";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(i64::from(limit)).fetch_all(db).await?))
    }

    /// Reads the names of an order, in the order's order.
    pub async fn validations(&self, order: OrderId) -> Result<Vec<ValidationRow>, StoreError> {
        Ok(on_pool!(self, |db| sqlx::query_as(BY_ORDER).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }

    /// A client's approvals at some ADNs that may still be reused at `now`, those that last longest first: those of `names` themselves, and
    /// those that reach further.
    pub async fn live_approvals(
        &self,
        client: &str,
        adns: &[String],
        names: &[String],
        now: Timestamp,
    ) -> Result<Vec<LiveRow>, StoreError> {
        if adns.is_empty() {
            return Ok(Vec::new());
        }
        Ok(on_pool!(self, |db| {
            let mut query = sqlx::QueryBuilder::new(LIVE);
            query.push_bind(now.unix_micros()).push(" AND o.client = ").push_bind(client).push(" AND v.adn IN (");
            let mut list = query.separated(", ");
            for adn in adns {
                list.push_bind(adn);
            }
            query.push(") AND (v.scope IN ('base', 'subtree') OR v.name IN (");
            let mut list = query.separated(", ");
            for name in names {
                list.push_bind(name);
            }
            query.push(")) ORDER BY v.reusable_until DESC, v.id LIMIT ").push_bind(LIVE_MAX);
            query.build_query_as().fetch_all(db).await?
        }))
    }

    /// Orders with a name whose sources are to be asked again.
    pub async fn orders_to_look_again(&self, now: Timestamp, limit: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        const SQL: &str =
            "SELECT order_id FROM validations WHERE state = 'awaiting_approver' AND look_again_at <= $1 GROUP BY order_id
            ORDER BY MIN(look_again_at) LIMIT $2";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).bind(now.unix_micros()).bind(i64::from(limit)).fetch_all(db).await?))
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
