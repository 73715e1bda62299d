//! Tables `lookups` and `order_lookups`.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::{Store, StoreError, Tx, exec, id_bytes, in_tx, later, on_pool};
use crate::dcv::contact::{Contact, Source, SourceStatus};
use crate::dcv::evidence::{Dnssec, Exchange, Lookup};
use crate::dcv::id::{LookupId, OrderId};
use crate::dcv::timestamp::Timestamp;

#[derive(FromRow)]
pub(super) struct LookupRow {
    pub(super) id: Vec<u8>,
    pub(super) source: String,
    pub(super) adn: String,
    pub(super) status: String,
    pub(super) server: Option<String>,
    pub(super) dnssec: Option<String>,
    pub(super) at: i64,
    pub(super) valid_until: Option<i64>,
    pub(super) perspective: String,
    pub(super) findings: String,
}

#[derive(Serialize, Deserialize)]
struct Findings {
    contacts: Vec<Contact>,
    reasons: Vec<String>,
    exchanges: Vec<Exchange>,
}

impl LookupRow {
    fn into_lookup(self) -> Result<Lookup, StoreError> {
        let bad = |column| StoreError::inconsistent("lookups", column, &self.id);
        let findings: Findings = serde_json::from_str(&self.findings).map_err(|_| bad("findings"))?;
        let dnssec =
            |text: &String| serde_json::from_value::<Dnssec>(serde_json::Value::String(text.clone())).map_err(|_| bad("dnssec"));
        Ok(Lookup {
            id: LookupId::from_bytes(id_bytes(&self.id, "lookups", "id")?),
            source: Source::from_text(&self.source).ok_or_else(|| bad("source"))?,
            status: SourceStatus::from_text(&self.status).ok_or_else(|| bad("status"))?,
            dnssec: self.dnssec.as_ref().map(dnssec).transpose()?,
            at: Timestamp::from_unix_micros(self.at),
            valid_until: self.valid_until.map(Timestamp::from_unix_micros),
            contacts: findings.contacts,
            reasons: findings.reasons,
            exchanges: findings.exchanges,
            adn: self.adn,
            server: self.server,
            perspective: self.perspective,
        })
    }
}

const BY_ID: &str =
    "SELECT id, source, adn, status, server, dnssec, at, valid_until, perspective, findings FROM lookups WHERE id = $1";

impl Tx<'_> {
    /// One look-up, within the transaction.
    pub async fn lookup(&mut self, id: &[u8]) -> Result<Option<Lookup>, StoreError> {
        let row: Option<LookupRow> = in_tx!(self, |db| sqlx::query_as(BY_ID).bind(id).fetch_optional(db).await?);
        row.map(LookupRow::into_lookup).transpose()
    }

    /// Keeps a look-up.
    pub async fn insert_lookup(&mut self, lookup: &Lookup) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO lookups (id, source, adn, status, server, dnssec, at, valid_until, perspective, findings)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING";
        let findings =
            Findings { contacts: lookup.contacts.clone(), reasons: lookup.reasons.clone(), exchanges: lookup.exchanges.clone() };
        let findings = serde_json::to_string(&findings)
            .map_err(|_| StoreError::inconsistent("lookups", "findings", lookup.id.as_bytes()))?;
        let dnssec = lookup
            .dnssec
            .and_then(|dnssec| serde_json::to_value(dnssec).ok())
            .and_then(|value| value.as_str().map(str::to_owned));
        let row = LookupRow {
            id: lookup.id.as_bytes().to_vec(),
            source: lookup.source.as_str().to_owned(),
            adn: lookup.adn.clone(),
            status: lookup.status.as_str().to_owned(),
            server: lookup.server.clone(),
            dnssec,
            at: lookup.at.unix_micros(),
            valid_until: lookup.valid_until.map(Timestamp::unix_micros),
            perspective: lookup.perspective.clone(),
            findings,
        };
        let rows = exec!(
            self,
            sqlx::query(SQL)
                .bind(&row.id)
                .bind(&row.source)
                .bind(&row.adn)
                .bind(&row.status)
                .bind(&row.server)
                .bind(&row.dnssec)
                .bind(row.at)
                .bind(row.valid_until)
                .bind(&row.perspective)
                .bind(&row.findings)
        );
        if rows == 1 {
            self.seal_soon(&row)?;
        }
        Ok(())
    }

    /// Ties a look-up to the order that rests on it.
    pub async fn tie_lookup(&mut self, order: OrderId, lookup: LookupId) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO order_lookups (order_id, lookup_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        later!(self, SQL, &order.as_bytes()[..], &lookup.as_bytes()[..]);
        Ok(())
    }
}

impl Store {
    /// The latest look-up of a source for an ADN.
    pub async fn latest_lookup(&self, source: Source, adn: &str) -> Result<Option<Lookup>, StoreError> {
        const SQL: &str = "SELECT id, source, adn, status, server, dnssec, at, valid_until, perspective, findings FROM lookups
            WHERE adn = $1 AND source = $2 ORDER BY at DESC LIMIT 1";
        let row: Option<LookupRow> =
            on_pool!(self, |db| sqlx::query_as(SQL).bind(adn).bind(source.as_str()).fetch_optional(db).await?);
        row.map(LookupRow::into_lookup).transpose()
    }

    /// One look-up.
    pub async fn lookup(&self, id: &[u8]) -> Result<Option<Lookup>, StoreError> {
        let row: Option<LookupRow> = on_pool!(self, |db| sqlx::query_as(BY_ID).bind(id).fetch_optional(db).await?);
        row.map(LookupRow::into_lookup).transpose()
    }

    /// The look-ups an order rests on, oldest first.
    pub async fn order_lookups(&self, order: OrderId) -> Result<Vec<Lookup>, StoreError> {
        const SQL: &str = "SELECT l.id, l.source, l.adn, l.status, l.server, l.dnssec, l.at, l.valid_until, l.perspective, l.findings FROM lookups l
            JOIN order_lookups o ON o.lookup_id = l.id WHERE o.order_id = $1 ORDER BY l.at";
        let rows: Vec<LookupRow> = on_pool!(self, |db| sqlx::query_as(SQL).bind(&order.as_bytes()[..]).fetch_all(db).await?);
        rows.into_iter().map(LookupRow::into_lookup).collect()
    }
}
