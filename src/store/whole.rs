//! An order with its names and its mails, read under its lock by whatever decides on all of it.

use std::sync::LazyLock;

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Either, Executor as _, FromRow as _};

use super::{Conn, MailRow, MailValidation, OrderRow, StoreError, Tx, ValidationRow, mails, orders, validations};
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
    pub pairs: Vec<MailValidation>,
}

/// What SQLite is asked at once.
static TOGETHER: LazyLock<String> =
    LazyLock::new(|| [orders::BY_ID, validations::BY_ORDER, mails::BY_ORDER, mails::PAIRS].join(";\n"));

impl Tx<'_> {
    /// Takes the order's lock (on PostgreSQL; SQLite has one writer) and reads all of it.
    pub async fn lock_whole(&mut self, id: OrderId) -> Result<Option<Whole>, StoreError> {
        let Conn::Sqlite(conn) = &mut self.conn else {
            let Some(order) = self.lock_order(id).await? else { return Ok(None) };
            let (validations, mails) = (self.validations(id).await?, self.mails(id).await?);
            return Ok(Some(Whole { order, validations, mails, pairs: self.mail_validations(id).await? }));
        };
        let mut steps = conn.fetch_many(sqlx::query(AssertSqlSafe(TOGETHER.as_str())).bind(&id.as_bytes()[..]));
        let (mut order, mut validations, mut mails, mut pairs) = (None, Vec::new(), Vec::new(), Vec::new());
        let mut answered = 0;
        while let Some(step) = steps.try_next().await? {
            match (step, answered) {
                (Either::Left(_), _) => answered += 1,
                (Either::Right(row), 0) => order = Some(OrderRow::from_row(&row)?),
                (Either::Right(row), 1) => validations.push(ValidationRow::from_row(&row)?),
                (Either::Right(row), 2) => mails.push(MailRow::from_row(&row)?),
                (Either::Right(row), _) => pairs.push(MailValidation::from_row(&row)?),
            }
        }
        Ok(order.map(|order| Whole { order, validations, mails, pairs }))
    }
}
