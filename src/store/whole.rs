//! What is read together: an order with its names and its mails, under its lock, by whatever decides on all of it; and what a link asks.
//!
//! SQLite is asked once for all of it: handing a statement over to sqlx's thread costs more than most take.

use std::sync::LazyLock;

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Either, Executor as _, FromRow as _};

use super::{Conn, MailRow, MailValidations, OrderRow, Pools, Store, StoreError, Tx, ValidationRow, mails, orders, validations};
use crate::dcv::id::OrderId;

/// An order, its names in their order, its mails with the oldest first, and which mail asks for which name.
pub struct Whole {
    /// The order.
    pub order: OrderRow,
    /// Its names.
    pub validations: Vec<ValidationRow>,
    /// Its mails.
    pub mails: Vec<MailRow>,
    /// Which mail asks for which name.
    pub pairs: MailValidations,
}

/// A mail with its order and the names it asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The mail.
    pub mail: MailRow,
    /// Its order.
    pub order: OrderRow,
    /// The names it asks for, in the order's order.
    pub validations: Vec<ValidationRow>,
}

static WHOLE: LazyLock<String> =
    LazyLock::new(|| [orders::BY_ID, validations::BY_ORDER, mails::BY_ORDER, mails::PAIRS].join(";\n"));

static ASKED: LazyLock<String> = LazyLock::new(|| [mails::BY_RANDOM, orders::BY_RANDOM, validations::BY_RANDOM].join(";\n"));

impl Tx<'_> {
    /// Takes the order's lock (on PostgreSQL; SQLite has one writer) and reads all of it.
    pub async fn lock_whole(&mut self, id: OrderId) -> Result<Option<Whole>, StoreError> {
        let Conn::Sqlite(conn) = &mut self.conn else {
            let Some(order) = self.lock_order(id).await? else { return Ok(None) };
            let (validations, mails) = (self.validations(id).await?, self.mails(id).await?);
            return Ok(Some(Whole { order, validations, mails, pairs: self.mail_validations(id).await? }));
        };
        let mut steps = conn.fetch_many(sqlx::query(AssertSqlSafe(WHOLE.as_str())).bind(&id.as_bytes()[..]));
        let (mut order, mut validations, mut mails, mut pairs) = (None, Vec::new(), Vec::new(), Vec::new());
        let mut answered = 0;
        while let Some(step) = steps.try_next().await? {
            match (step, answered) {
                (Either::Left(_), _) => answered += 1,
                (Either::Right(row), 0) => order = Some(OrderRow::from_row(&row)?),
                (Either::Right(row), 1) => validations.push(ValidationRow::from_row(&row)?),
                (Either::Right(row), 2) => mails.push(MailRow::from_row(&row)?),
                (Either::Right(row), _) => pairs.push(<(Vec<u8>, Vec<u8>)>::from_row(&row)?),
            }
        }
        let pairs = pairs.into_iter().collect();
        Ok(order.map(|order| Whole { order, validations, mails, pairs }))
    }
}

impl Store {
    /// Finds the mail of a Random Value by its hash, with its order and the names it asks for. Each is of its moment: what was decided
    /// in between shows in the names, which are read last.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn asked_by_hash(&self, random_hash: &[u8; 32]) -> Result<Option<Asked>, StoreError> {
        let (mut mail, mut order, mut validations) = (None, None, Vec::new());
        match &self.pools {
            Pools::Sqlite { read, .. } => {
                let mut steps = read.fetch_many(sqlx::query(AssertSqlSafe(ASKED.as_str())).bind(&random_hash[..]));
                let mut answered = 0;
                while let Some(step) = steps.try_next().await? {
                    match (step, answered) {
                        (Either::Left(_), _) => answered += 1,
                        (Either::Right(row), 0) => mail = Some(MailRow::from_row(&row)?),
                        (Either::Right(row), 1) => order = Some(OrderRow::from_row(&row)?),
                        (Either::Right(row), _) => validations.push(ValidationRow::from_row(&row)?),
                    }
                }
            }
            // One connection for all: an owner waits for this page, and scanners ask for it too.
            Pools::Postgres(pool, _) => {
                let mut conn = pool.acquire().await?;
                mail = sqlx::query_as(mails::BY_RANDOM).bind(&random_hash[..]).fetch_optional(&mut *conn).await?;
                if let Some(MailRow { id, order_id, .. }) = &mail {
                    order = sqlx::query_as(orders::BY_ID).bind(order_id).fetch_optional(&mut *conn).await?;
                    validations = sqlx::query_as(validations::OF_MAIL).bind(id).fetch_all(&mut *conn).await?;
                }
            }
        }
        // The order of a mail that was there may be removed before it is asked for: then the link is unknown.
        Ok(mail.zip(order).map(|(mail, order)| Asked { mail, order, validations }))
    }
}
