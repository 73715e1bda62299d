//! Table `allowlist`: which domains an ordering system may order.

use sqlx::{FromRow, QueryBuilder};

use super::{Store, StoreError, Tx, exec, in_tx, later, on_pool};

/// A domain of the list, as stored.
#[derive(Clone, PartialEq, Eq, Debug, FromRow)]
pub struct AllowRow {
    /// The ordering system.
    pub client: String,
    /// A-labels.
    pub domain: String,
    /// Whom to ask where an order names nobody.
    pub approver: Option<String>,
    /// JSON: the profiles it may be ordered under; `[]` for all.
    pub profiles: String,
    /// For people.
    pub note: String,
    /// Unix microseconds.
    pub changed_at: i64,
    /// Who wrote it: `client:<name>`, or `command-line`.
    pub changed_by: String,
}

const COLUMNS: &str = "SELECT client, domain, approver, profiles, note, changed_at, changed_by FROM allowlist WHERE ";

impl Tx<'_> {
    /// Writes a domain's entry, in place of the one that it has.
    pub async fn put_allowed(&mut self, row: &AllowRow) -> Result<(), StoreError> {
        const SQL: &str =
            "INSERT INTO allowlist (client, domain, approver, profiles, note, changed_at, changed_by) VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (client, domain) DO UPDATE SET approver = excluded.approver, profiles = excluded.profiles,
            note = excluded.note, changed_at = excluded.changed_at, changed_by = excluded.changed_by";
        later!(self, SQL, &row.client, &row.domain, &row.approver, &row.profiles, &row.note, row.changed_at, &row.changed_by);
        Ok(())
    }

    /// Takes a domain from the list; `false` where it was not on it.
    pub async fn drop_allowed(&mut self, client: &str, domain: &str) -> Result<bool, StoreError> {
        const SQL: &str = "DELETE FROM allowlist WHERE client = $1 AND domain = $2";
        Ok(exec!(self, sqlx::query(SQL).bind(client).bind(domain)) == 1)
    }

    /// Empties an ordering system's list.
    pub async fn clear_allowlist(&mut self, client: &str) -> Result<(), StoreError> {
        later!(self, "DELETE FROM allowlist WHERE client = $1", client);
        Ok(())
    }
}

impl Store {
    /// The entries of every ordering system for some domains.
    pub async fn allowed_anywhere(&self, domains: &[String]) -> Result<Vec<AllowRow>, StoreError> {
        Ok(on_pool!(self, |db| {
            let mut query = QueryBuilder::new(COLUMNS);
            query.push("domain IN (");
            let mut list = query.separated(", ");
            for domain in domains {
                list.push_bind(domain.as_str());
            }
            query.push(") ORDER BY domain, client LIMIT 200").build_query_as().fetch_all(db).await?
        }))
    }

    /// The entries of an ordering system for any of some domains.
    pub async fn allowed(&self, client: &str, domains: &[String]) -> Result<Vec<AllowRow>, StoreError> {
        if domains.is_empty() {
            return Ok(Vec::new());
        }
        Ok(on_pool!(self, |db| {
            let mut query = QueryBuilder::new(COLUMNS);
            query.push("client = ").push_bind(client).push(" AND domain IN (");
            let mut list = query.separated(", ");
            for domain in domains {
                list.push_bind(domain);
            }
            query.push(")").build_query_as().fetch_all(db).await?
        }))
    }

    /// The list, by ordering system and domain, from after a place on.
    pub async fn allowlist(
        &self,
        client: Option<&str>,
        after: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<AllowRow>, StoreError> {
        Ok(on_pool!(self, |db| {
            let mut query = QueryBuilder::new(COLUMNS);
            query.push("1 = 1");
            if let Some(client) = client {
                query.push(" AND client = ").push_bind(client);
            }
            if let Some((client, domain)) = after {
                query.push(" AND (client > ").push_bind(client).push(" OR (client = ").push_bind(client);
                query.push(" AND domain > ").push_bind(domain).push("))");
            }
            query.push(" ORDER BY client, domain LIMIT ").push_bind(i64::from(limit));
            query.build_query_as().fetch_all(db).await?
        }))
    }
}
