//! Table `views`: who opened which link's page.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, in_tx, later, on_pool};
use crate::dcv::id::OrderId;

/// One agent at one address that opened a link's page.
#[derive(Clone, Debug, FromRow)]
pub struct ViewRow {
    /// The mail whose link it is.
    pub mail_id: Vec<u8>,
    /// The caller's address.
    pub peer: String,
    /// The caller's User-Agent, cut.
    pub user_agent: String,
    /// 1 where it looks like a program.
    pub scanner: i64,
    /// Unix microseconds.
    pub first_at: i64,
    /// Unix microseconds.
    pub last_at: i64,
    /// How often.
    pub times: i64,
}

impl Tx<'_> {
    /// Adds a view; beyond `max` different ones of a mail it is dropped, but for the first person.
    pub async fn note_view(&mut self, row: &ViewRow, max: i64) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO views (mail_id, peer, user_agent, scanner, first_at, last_at, times)
            SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT COUNT(*) FROM views WHERE mail_id = $1) < $8
            OR EXISTS (SELECT 1 FROM views WHERE mail_id = $1 AND peer = $2 AND user_agent = $3)
            OR ($4 = 0 AND NOT EXISTS (SELECT 1 FROM views WHERE mail_id = $1 AND scanner = 0))
            ON CONFLICT (mail_id, peer, user_agent) DO UPDATE SET times = views.times + excluded.times, last_at = excluded.last_at,
            scanner = views.scanner * excluded.scanner";
        later!(self, SQL, &row.mail_id, &row.peer, &row.user_agent, row.scanner, row.first_at, row.last_at, row.times, max);
        Ok(())
    }

    /// When a mail's order was placed, where no person has opened any page of it yet and it is no test.
    pub async fn first_view_of_order(&mut self, mail: &[u8]) -> Result<Option<i64>, StoreError> {
        const SQL: &str = "SELECT o.created_at FROM mails m JOIN orders o ON o.id = m.order_id WHERE m.id = $1 AND o.test = 0
            AND NOT EXISTS (SELECT 1 FROM mails n JOIN views v ON v.mail_id = n.id WHERE n.order_id = m.order_id AND v.scanner = 0)";
        Ok(in_tx!(self, |db| sqlx::query_scalar(SQL).bind(mail).fetch_optional(db).await?))
    }
}

impl Store {
    /// Who opened an order's pages, the first first.
    pub async fn views(&self, order: OrderId) -> Result<Vec<ViewRow>, StoreError> {
        const SQL: &str = "SELECT v.mail_id, v.peer, v.user_agent, v.scanner, v.first_at, v.last_at, v.times
            FROM mails m CROSS JOIN views v WHERE v.mail_id = m.id AND m.order_id = $1 ORDER BY v.first_at, v.peer, v.user_agent LIMIT 500";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }
}
