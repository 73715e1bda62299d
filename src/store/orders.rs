//! Table `orders`.

use sqlx::{Database, Encode, FromRow, QueryBuilder, Type};

use super::{Store, StoreError, Tx, begin, change_one, exec, id_bytes, in_tx, on_pool};
use crate::dcv::contact::{Role, Source};
use crate::dcv::id::OrderId;
use crate::dcv::method::Method;
use crate::dcv::order::{OrderKind, OrderState};
use crate::dcv::timestamp::Timestamp;

/// One order as stored.
#[derive(Clone, Debug, FromRow)]
pub struct OrderRow {
    /// Its id.
    pub id: Vec<u8>,
    /// The ordering system that placed it.
    pub client: String,
    /// That system's own reference, unique within it.
    pub order_ref: String,
    /// The profile's name.
    pub profile_id: String,
    /// The profile's content hash.
    pub profile_hash: Vec<u8>,
    /// An [`OrderState`].
    pub state: String,
    /// `ja` or `en`.
    pub locale: String,
    /// What the caller told besides, JSON.
    pub facts: String,
    /// Unix microseconds.
    pub created_at: i64,
    /// Unix microseconds; when it left `pending`.
    pub ended_at: Option<i64>,
    /// The latest event's seq.
    pub last_seq: i64,
    /// Why its mails wait, or once waited, for an operator: the policy's entries as JSON.
    pub held: Option<String>,
    /// Unix microseconds; when an operator released it.
    pub released_at: Option<i64>,
    /// 1 where whoever is found later is asked without being chosen.
    pub asks_all: i64,
    /// 1 where a client under test placed it.
    pub test: i64,
    /// The operator whose it is.
    pub assignee: Option<String>,
    /// Unix microseconds; since when its reminders rest.
    pub paused_at: Option<i64>,
}

impl OrderRow {
    /// Whether its mails wait for an operator.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_some() && self.released_at.is_none() && self.state == OrderState::Pending.as_str()
    }

    /// The id, typed.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when the column does not hold 16 bytes.
    pub fn id(&self) -> Result<OrderId, StoreError> {
        id_bytes(&self.id, "orders", "id").map(OrderId::from_bytes)
    }
}

/// What stands out about an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderIs {
    /// One of the others but the last.
    InTrouble,
    /// Policy holds it.
    Held,
    /// A name awaits an approver.
    Awaiting,
    /// An open link's mail is late, came back or was given up.
    Undelivered,
    /// A webhook or a mail of it was given up.
    GivenUp,
    /// Its deadline is near.
    DueSoon,
}

impl OrderIs {
    /// Every one.
    pub const ALL: [Self; 6] = [Self::InTrouble, Self::Held, Self::Awaiting, Self::Undelivered, Self::GivenUp, Self::DueSoon];

    /// As it stands in addresses, and in Japanese and in English.
    #[must_use]
    pub const fn in_words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::InTrouble => ("in-trouble", "要対応", "needs a person"),
            Self::Held => ("held", "保留中", "held by policy"),
            Self::Awaiting => ("awaiting", "承認者未定", "awaits an approver"),
            Self::Undelivered => ("undelivered", "未達・遅延", "mail not delivered"),
            Self::GivenUp => ("given-up", "送信断念あり", "something was given up"),
            Self::DueSoon => ("due-soon", "期限まで3日以内", "due within 3 days"),
        }
    }

    /// Reads what stands in addresses.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.in_words().0 == text)
    }

    /// The orders that are so; each question has a small index of its own.
    const fn sql(self) -> &'static str {
        match self {
            Self::Held => "SELECT id FROM orders WHERE held IS NOT NULL AND released_at IS NULL AND state = 'pending'",
            Self::Awaiting => "SELECT order_id FROM validations WHERE state = 'awaiting_approver'",
            Self::Undelivered => {
                "SELECT order_id FROM mails WHERE link IN ('queued', 'sent') AND delivery IN ('bounced', 'failed', 'delayed')"
            }
            Self::GivenUp => "SELECT order_id FROM effects WHERE state = 'dead' AND last_error <> 'link-ended' AND order_id IS NOT NULL",
            Self::InTrouble => {
                "SELECT id FROM orders WHERE held IS NOT NULL AND released_at IS NULL AND state = 'pending'
                UNION ALL SELECT order_id FROM validations WHERE state = 'awaiting_approver'
                UNION ALL SELECT order_id FROM mails WHERE link IN ('queued', 'sent') AND delivery IN ('bounced', 'failed', 'delayed')"
            }
            // The caller says until when, by `expires`.
            Self::DueSoon => "",
        }
    }
}

/// What happened to an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderHas {
    /// Somebody reported it as none of theirs.
    Reported,
    /// A link was opened by what looks like a program, and by nobody else.
    Scanned,
    /// A link was opened, and nobody answered.
    Unanswered,
}

impl OrderHas {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Reported, Self::Scanned, Self::Unanswered];

    /// As it stands in addresses, and in Japanese and in English.
    #[must_use]
    pub const fn in_words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Reported => ("reported", "心当たりなしの通報あり", "reported as unknown"),
            Self::Scanned => ("scanned", "プログラムだけが開封", "opened by programs alone"),
            Self::Unanswered => ("unanswered", "開封済み・未回答", "opened, not answered"),
        }
    }

    /// Reads what stands in addresses.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.in_words().0 == text)
    }

    /// Whether an order is one of these.
    const fn sql(self) -> &'static str {
        match self {
            Self::Reported => {
                "EXISTS (SELECT 1 FROM mails m JOIN answers a ON a.mail_id = m.id WHERE m.order_id = orders.id AND a.answer = 'report')"
            }
            Self::Scanned => {
                "EXISTS (SELECT 1 FROM mails m JOIN views v ON v.mail_id = m.id WHERE m.order_id = orders.id AND v.scanner = 1)
                AND NOT EXISTS (SELECT 1 FROM mails m JOIN views v ON v.mail_id = m.id WHERE m.order_id = orders.id AND v.scanner = 0)"
            }
            Self::Unanswered => {
                "EXISTS (SELECT 1 FROM mails m JOIN views v ON v.mail_id = m.id WHERE m.order_id = orders.id AND v.scanner = 0)
                AND NOT EXISTS (SELECT 1 FROM mails m JOIN answers a ON a.mail_id = m.id WHERE m.order_id = orders.id)"
            }
        }
    }
}

/// What an operator searches for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Search {
    /// An order.
    Order(OrderId),
    /// Whoever was mailed.
    Recipient(String),
    /// A name, all names of a registered domain, or an order's reference: exactly this.
    Exactly(String),
    /// Part of what was told with the order: organization, requester, product.
    Told(String),
}

/// Which orders to list.
#[derive(Clone, Debug, Default)]
pub struct OrderFilter {
    /// Only this ordering system's.
    pub client: Option<String>,
    /// Only in this state.
    pub state: Option<OrderState>,
    /// Only those that stand out so.
    pub is: Option<OrderIs>,
    /// Only what is searched for.
    pub search: Option<Search>,
    /// Only this operator's.
    pub assignee: Option<String>,
    /// Only with this name among theirs.
    pub name: Option<String>,
    /// Only with this reference.
    pub order_ref: Option<String>,
    /// Only under this profile.
    pub profile: Option<String>,
    /// Only with a mail to an address that was found there.
    pub source: Option<Source>,
    /// Only with a name that was decided by this method.
    pub method: Option<Method>,
    /// Only with a mail to a contact of this role.
    pub role: Option<Role>,
    /// Only with a name below this suffix, without a leading dot.
    pub suffix: Option<String>,
    /// Only those to which this happened.
    pub has: Option<OrderHas>,
    /// Only with a name that was decided from the first instant on and before the second.
    pub decided: (Option<Timestamp>, Option<Timestamp>),
    /// Only those of this requester.
    pub requester: Option<String>,
    /// Only for this purpose.
    pub kind: Option<OrderKind>,
    /// Only created from the first instant on and before the second.
    pub created: (Option<Timestamp>, Option<Timestamp>),
    /// Only those that wait, and whose deadline lies from the first instant on and before the second.
    pub expires: (Option<Timestamp>, Option<Timestamp>),
    /// Only older than this one (newest first).
    pub before: Option<OrderId>,
    /// How many, at most.
    pub limit: u32,
    /// Among how many at most, newest first, those are sought that no index tells: few that fit cost no walk through all.
    pub within: Option<u32>,
}

/// The oldest order that a listing `within` a number looked at, where that gave fewer than were asked for: there may be older ones.
#[derive(Clone, Copy, Debug)]
pub struct SearchEdge {
    /// The order.
    pub id: OrderId,
    /// When it was placed.
    pub created_at: Timestamp,
}

/// Every column of an order, and what follows `FROM orders`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, client, order_ref, profile_id, profile_hash, state, locale, facts, created_at, ended_at, last_seq, held, released_at, asks_all, test, assignee, paused_at
            FROM orders ",
            $rest
        )
    };
}

const LIST: &str = select!("WHERE 1 = 1");
pub(super) const BY_ID: &str = select!("WHERE id = $1");
pub(super) const BY_RANDOM: &str = select!("WHERE id = (SELECT order_id FROM mails WHERE random_hash = $1)");

impl Tx<'_> {
    /// Inserts an order; `false` when the client has used the reference already.
    pub async fn insert_order(&mut self, row: &OrderRow) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO orders (id, client, order_ref, profile_id, profile_hash, state, locale, facts, created_at, ended_at, last_seq, held, asks_all, test)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (client, order_ref) DO NOTHING";
        let rows = exec!(
            self,
            sqlx::query(SQL)
                .bind(&row.id)
                .bind(&row.client)
                .bind(&row.order_ref)
                .bind(&row.profile_id)
                .bind(&row.profile_hash)
                .bind(&row.state)
                .bind(&row.locale)
                .bind(&row.facts)
                .bind(row.created_at)
                .bind(row.ended_at)
                .bind(row.last_seq)
                .bind(&row.held)
                .bind(row.asks_all)
                .bind(row.test)
        );
        Ok(rows == 1)
    }

    /// Takes the order's lock (on PostgreSQL; SQLite has one writer) and reads it.
    pub async fn lock_order(&mut self, id: OrderId) -> Result<Option<OrderRow>, StoreError> {
        const PLAIN: &str = select!("WHERE id = $1");
        const LOCKING: &str = select!("WHERE id = $1 FOR UPDATE");
        let sql = if self.is_postgres() { LOCKING } else { PLAIN };
        Ok(in_tx!(self, |db| sqlx::query_as(sql).bind(&id.as_bytes()[..]).fetch_optional(db).await?))
    }

    /// Takes the order's lock, before any other row of the order, so that no two transactions wait for each other.
    pub async fn lock(&mut self, id: OrderId) -> Result<(), StoreError> {
        const SQL: &str = "SELECT 1 FROM orders WHERE id = $1 FOR UPDATE";
        if self.is_postgres() {
            exec!(self, sqlx::query(SQL).bind(&id.as_bytes()[..]));
        }
        Ok(())
    }

    /// Ends the hold on a pending order; `false` when there was none.
    pub async fn release(&mut self, id: OrderId, at: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE orders SET released_at = $2 WHERE id = $1 AND held IS NOT NULL AND released_at IS NULL AND state = 'pending'";
        Ok(exec!(self, sqlx::query(SQL).bind(&id.as_bytes()[..]).bind(at.unix_micros())) == 1)
    }

    /// Holds a pending order that was never held; `false` when it was.
    pub async fn hold(&mut self, id: OrderId, entries: &str) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE orders SET held = $2 WHERE id = $1 AND held IS NULL AND state = 'pending'";
        Ok(exec!(self, sqlx::query(SQL).bind(&id.as_bytes()[..]).bind(entries)) == 1)
    }

    /// Gives a pending order to an operator, or to nobody; `false` when that is so already.
    pub async fn assign(&mut self, id: OrderId, to: Option<&str>) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE orders SET assignee = $2 WHERE id = $1 AND state = 'pending' AND COALESCE(assignee, '') <> COALESCE($2, '')";
        Ok(exec!(self, sqlx::query(SQL).bind(&id.as_bytes()[..]).bind(to)) == 1)
    }

    /// Lets a pending order's reminders rest, or go on; `false` when that is so already.
    pub async fn pause(&mut self, id: OrderId, at: Option<Timestamp>) -> Result<bool, StoreError> {
        const REST: &str = "UPDATE orders SET paused_at = $2 WHERE id = $1 AND state = 'pending' AND paused_at IS NULL";
        const GO_ON: &str = "UPDATE orders SET paused_at = $2 WHERE id = $1 AND state = 'pending' AND paused_at IS NOT NULL";
        let sql = if at.is_some() { REST } else { GO_ON };
        Ok(exec!(self, sqlx::query(sql).bind(&id.as_bytes()[..]).bind(at.map(Timestamp::unix_micros))) == 1)
    }

    /// Reserves the next `count` places in the order's timeline, and ends a pending order where one of them tells its end: the first
    /// place, and whether the order is a test.
    ///
    /// # Errors
    /// [`StoreError::CannotEnd`] where it is to end and is not pending.
    pub(super) async fn take_seqs(
        &mut self,
        id: OrderId,
        count: i64,
        end: Option<(OrderState, Timestamp)>,
    ) -> Result<(i64, bool), StoreError> {
        const SQL: &str = "UPDATE orders SET last_seq = last_seq + $2 WHERE id = $1 RETURNING last_seq, test";
        const ENDING: &str =
            "UPDATE orders SET last_seq = last_seq + $2, state = $3, ended_at = $4 WHERE id = $1 AND state = 'pending'
            RETURNING last_seq, test";
        let taken: Option<(i64, i64)> = in_tx!(self, |db| {
            let query = sqlx::query_as(if end.is_some() { ENDING } else { SQL }).bind(&id.as_bytes()[..]).bind(count);
            let query = match end {
                Some((state, at)) => query.bind(state.as_str()).bind(at.unix_micros()),
                None => query,
            };
            query.fetch_optional(db).await?
        });
        let (last, test) = taken.ok_or(match end {
            Some(_) => StoreError::CannotEnd { order: id, why: "it is not pending" },
            None => sqlx::Error::RowNotFound.into(),
        })?;
        Ok((last - count + 1, test == 1))
    }

    /// As [`Tx::take_seqs`], of an order as this transaction read it under its lock.
    pub(super) async fn move_seqs(
        &mut self,
        row: &OrderRow,
        count: i64,
        end: Option<(OrderState, Timestamp)>,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE orders SET last_seq = last_seq + $2 WHERE id = $1 AND last_seq = $3";
        const ENDING: &str = "UPDATE orders SET last_seq = last_seq + $2, state = $4, ended_at = $5
            WHERE id = $1 AND last_seq = $3 AND state = 'pending'";
        match end {
            Some(_) if row.state != OrderState::Pending.as_str() => {
                return Err(StoreError::CannotEnd { order: row.id()?, why: "it is not pending" });
            }
            Some((state, at)) => {
                change_one!(self, ENDING, &row.id, count, row.last_seq, state.as_str(), at.unix_micros());
            }
            None => change_one!(self, SQL, &row.id, count, row.last_seq),
        }
        Ok(())
    }
}

impl Store {
    /// Reads one order.
    pub async fn order(&self, id: OrderId) -> Result<Option<OrderRow>, StoreError> {
        Ok(on_pool!(self, |db| sqlx::query_as(BY_ID).bind(&id.as_bytes()[..]).fetch_optional(db).await?))
    }

    /// How many pending orders wait for an operator.
    pub async fn orders_held(&self) -> Result<i64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM orders WHERE held IS NOT NULL AND released_at IS NULL AND state = 'pending'";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).fetch_one(db).await?))
    }

    /// Whether the client has used a reference.
    pub async fn order_ref_taken(&self, client: &str, order_ref: &str) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT 1 FROM orders WHERE client = $1 AND order_ref = $2";
        let found: Option<i32> =
            on_pool!(self, |db| sqlx::query_scalar(SQL).bind(client).bind(order_ref).fetch_optional(db).await?);
        Ok(found.is_some())
    }

    /// Lists orders, newest first, and tells where the search for them stopped, both of one moment.
    pub async fn orders(&self, filter: &OrderFilter) -> Result<(Vec<OrderRow>, Option<SearchEdge>), StoreError> {
        // Only the conditions in use are in the text, so that each listing has an index to walk.
        let Some(within) = filter.within else {
            let rows = on_pool!(self, |db| {
                let mut query = QueryBuilder::new(LIST);
                indexed(&mut query, filter);
                sought(&mut query, filter);
                query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(filter.limit));
                query.build_query_as().fetch_all(db).await?
            });
            return Ok((rows, None));
        };
        let (rows, edge) = on_pool!(self, |db| {
            let mut tx = begin(db, self.snapshot()).await?;
            let mut query = QueryBuilder::new(LIST);
            query.push(" AND id IN (SELECT id FROM (SELECT id FROM orders WHERE 1 = 1");
            indexed(&mut query, filter);
            query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(within)).push(") AS newest)");
            sought(&mut query, filter);
            query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(filter.limit));
            let rows: Vec<OrderRow> = query.build_query_as().fetch_all(&mut *tx).await?;
            let mut edge: Option<(Vec<u8>, i64)> = None;
            if rows.len() < filter.limit as usize {
                let mut query = QueryBuilder::new("SELECT id, created_at FROM orders WHERE 1 = 1");
                indexed(&mut query, filter);
                query.push(" ORDER BY id DESC LIMIT 1 OFFSET ").push_bind(i64::from(within) - 1);
                edge = query.build_query_as().fetch_optional(&mut *tx).await?;
            }
            (rows, edge)
        });
        let edge = edge.map(|(id, at)| {
            let id = id_bytes(&id, "orders", "id").map(OrderId::from_bytes)?;
            Ok::<_, StoreError>(SearchEdge { id, created_at: Timestamp::from_unix_micros(at) })
        });
        Ok((rows, edge.transpose()?))
    }

    /// Whether anything is called exactly so.
    pub async fn is_called(&self, text: &str) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT 1 FROM orders WHERE order_ref = $1 UNION ALL SELECT 1 FROM validations WHERE name = $1
            UNION ALL SELECT 1 FROM validations WHERE base_domain = $1 LIMIT 1";
        let found: Option<i32> = on_pool!(self, |db| sqlx::query_scalar(SQL).bind(text).fetch_optional(db).await?);
        Ok(found.is_some())
    }

    /// How many pending orders are so, at most `limit`.
    pub async fn count_orders(&self, is: Option<OrderIs>, limit: u32) -> Result<i64, StoreError> {
        let which = is.map_or("SELECT id FROM orders WHERE state = 'pending'", OrderIs::sql);
        let sql = format!("SELECT COUNT(*) FROM (SELECT 1 FROM ({which}) AS found LIMIT $1) AS counted");
        Ok(on_pool!(self, |db| sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(i64::from(limit)).fetch_one(db).await?))
    }

    /// How many open links end before an instant, at most `limit`.
    pub async fn count_due(&self, until: Timestamp, limit: u32) -> Result<i64, StoreError> {
        const SQL: &str =
            "SELECT COUNT(*) FROM (SELECT 1 FROM mails WHERE link IN ('queued', 'sent') AND expires_at < $1 LIMIT $2) AS counted";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).bind(until.unix_micros()).bind(i64::from(limit)).fetch_one(db).await?))
    }
}

/// What an index leads to.
fn indexed<'q, DB: Database>(query: &mut QueryBuilder<DB>, filter: &'q OrderFilter)
where
    i64: Encode<'q, DB> + Type<DB>,
    &'q str: Encode<'q, DB> + Type<DB>,
    Vec<u8>: Encode<'q, DB> + Type<DB>,
{
    if let Some(client) = &filter.client {
        query.push(" AND client = ").push_bind(client.as_str());
    }
    if filter.state == Some(OrderState::Pending) {
        query.push(" AND state = 'pending'");
    }
    if let Some(is) = filter.is.filter(|is| *is != OrderIs::DueSoon) {
        query.push(" AND id IN (").push(is.sql()).push(")");
    }
    match &filter.search {
        None | Some(Search::Told(_)) => {}
        Some(Search::Order(id)) => {
            query.push(" AND id = ").push_bind(id.as_bytes().to_vec());
        }
        Some(Search::Recipient(address)) => {
            query.push(" AND id IN (SELECT order_id FROM mails WHERE recipient = ").push_bind(address.as_str()).push(")");
        }
        Some(Search::Exactly(text)) => {
            query.push(" AND id IN (SELECT id FROM orders WHERE order_ref = ").push_bind(text.as_str());
            query.push(" UNION ALL SELECT order_id FROM validations WHERE name = ").push_bind(text.as_str());
            query.push(" UNION ALL SELECT order_id FROM validations WHERE base_domain = ").push_bind(text.as_str()).push(")");
        }
    }
    if let Some(assignee) = &filter.assignee {
        query.push(" AND assignee IS NOT NULL AND state = 'pending' AND assignee = ").push_bind(assignee.as_str());
    }
    if let Some(order_ref) = &filter.order_ref {
        query.push(" AND order_ref = ").push_bind(order_ref.as_str());
    }
    if let Some(name) = &filter.name {
        query.push(" AND id IN (SELECT order_id FROM validations WHERE name = ").push_bind(name.as_str()).push(")");
    }
    // Ids are ordered by time of creation, to the millisecond; the column says it to the microsecond.
    if let Some(from) = filter.created.0 {
        query.push(" AND id >= ").push_bind(OrderId::new(from, [0; 10]).as_bytes().to_vec());
    }
    if let Some(to) = filter.created.1 {
        query.push(" AND id <= ").push_bind(OrderId::new(to, [0xff; 10]).as_bytes().to_vec());
    }
    if filter.expires != (None, None) {
        // Two small indexes hold what waits, however many orders are stored.
        let (from, to) =
            (filter.expires.0.map_or(0, Timestamp::unix_micros), filter.expires.1.map_or(i64::MAX, Timestamp::unix_micros));
        query.push(" AND id IN (SELECT order_id FROM mails WHERE link IN ('queued', 'sent') AND expires_at >= ").push_bind(from);
        query.push(" AND expires_at < ").push_bind(to);
        query.push(" UNION ALL SELECT order_id FROM validations WHERE state = 'awaiting_approver' AND selection_ends_at >= ");
        query.push_bind(from).push(" AND selection_ends_at < ").push_bind(to).push(")");
    }
    if let Some(before) = &filter.before {
        query.push(" AND id < ").push_bind(before.as_bytes().to_vec());
    }
}

/// What no index leads to.
fn sought<'q, DB: Database>(query: &mut QueryBuilder<DB>, filter: &'q OrderFilter)
where
    i64: Encode<'q, DB> + Type<DB>,
    &'q str: Encode<'q, DB> + Type<DB>,
    String: Encode<'q, DB> + Type<DB>,
{
    if let Some(state) = filter.state.filter(|state| *state != OrderState::Pending) {
        query.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(profile) = &filter.profile {
        query.push(" AND profile_id = ").push_bind(profile.as_str());
    }
    if let Some(from) = filter.created.0 {
        query.push(" AND created_at >= ").push_bind(from.unix_micros());
    }
    if let Some(to) = filter.created.1 {
        query.push(" AND created_at < ").push_bind(to.unix_micros());
    }
    if let Some(source) = filter.source {
        query.push(" AND EXISTS (SELECT 1 FROM mails m WHERE m.order_id = orders.id AND m.source = ");
        query.push_bind(source.as_str()).push(")");
    }
    if let Some(method) = filter.method {
        query.push(" AND EXISTS (SELECT 1 FROM validations v WHERE v.order_id = orders.id AND v.method = ");
        query.push_bind(method.section()).push(")");
    }
    if let Some(role) = filter.role {
        query.push(" AND EXISTS (SELECT 1 FROM mails m WHERE m.order_id = orders.id AND (m.role = ").push_bind(role.as_str());
        query.push(" OR m.also_roles LIKE ").push_bind(format!("%{}%", role.as_str())).push("))");
    }
    if let Some(suffix) = &filter.suffix {
        query.push(" AND EXISTS (SELECT 1 FROM validations v WHERE v.order_id = orders.id AND v.name LIKE ");
        query.push_bind(format!("%.{}", like(suffix))).push(" ESCAPE '\\')");
    }
    if let Some(has) = filter.has {
        query.push(" AND ").push(has.sql());
    }
    if filter.decided != (None, None) {
        let (from, to) = filter.decided;
        query.push(" AND EXISTS (SELECT 1 FROM validations v WHERE v.order_id = orders.id AND v.state IN ('approved', 'rejected') AND v.ended_at >= ");
        query.push_bind(from.map_or(0, Timestamp::unix_micros)).push(" AND v.ended_at < ");
        query.push_bind(to.map_or(i64::MAX, Timestamp::unix_micros)).push(")");
    }
    if let Some(requester) = &filter.requester {
        // As it stands in JSON, quotation marks and all.
        let written = serde_json::Value::from(requester.as_str()).to_string();
        query.push(" AND facts LIKE ").push_bind(format!("%\"requester\":{}%", like(&written))).push(" ESCAPE '\\'");
    }
    if let Some(kind) = filter.kind {
        query.push(" AND facts LIKE ").push_bind(format!("%\"kind\":\"{}\"%", kind.as_str()));
    }
    if let Some(Search::Told(text)) = &filter.search {
        query.push(" AND LOWER(facts) LIKE ").push_bind(format!("%{}%", like(&text.to_lowercase()))).push(" ESCAPE '\\'");
    }
}

/// Text as LIKE takes it for itself, with a backslash as the escape.
fn like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
