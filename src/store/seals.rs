//! Tables `unsealed`, `seals` and `audit_samples`: the audit log's chain, and what auditors ask of the rest.

use sqlx::FromRow;

use super::lookups::LookupRow;
use super::postgres_writer::begin;
use super::{AccessRow, AnswerRow, EventRow, RetirementRow, Store, StoreError, Tx, exec, in_tx, later, on_pool};
use crate::dcv::seal::{Entry, Sealed, digest};

/// One seal.
#[derive(Clone, Debug, FromRow)]
pub struct SealRow {
    /// 1, 2, 3 …
    pub number: i64,
    /// Unix microseconds.
    pub at: i64,
    /// The hash of the one before.
    pub previous: Vec<u8>,
    /// The entries, as [`Entry::read`] reads them.
    pub entries: Vec<u8>,
    /// Its own hash.
    pub hash: Vec<u8>,
}

/// A row that is sealed: its id and the digest of its columns.
pub(super) trait Sealable {
    fn kind() -> Sealed;
    fn id(&self) -> &[u8];
    fn digest(&self) -> [u8; 32];

    fn entry(&self) -> Result<Entry, StoreError> {
        let id = self.id().try_into().map_err(|_| StoreError::inconsistent(Self::kind().as_str(), "id", self.id()))?;
        Ok(Entry { kind: Self::kind(), id, digest: self.digest() })
    }
}

impl Sealable for EventRow {
    fn kind() -> Sealed {
        Sealed::Event
    }

    fn id(&self) -> &[u8] {
        &self.id
    }

    fn digest(&self) -> [u8; 32] {
        let fields = [
            (&self.id).into(),
            (&self.order_id).into(),
            self.seq.into(),
            self.kind.as_str().into(),
            self.at.into(),
            self.actor.as_str().into(),
            self.data.as_str().into(),
        ];
        digest(Sealed::Event, &fields)
    }
}

impl Sealable for AnswerRow {
    fn kind() -> Sealed {
        Sealed::Answer
    }

    fn id(&self) -> &[u8] {
        &self.id
    }

    fn digest(&self) -> [u8; 32] {
        let fields = [
            (&self.id).into(),
            (&self.mail_id).into(),
            self.at.into(),
            self.answer.as_str().into(),
            (&self.scope).into(),
            (&self.signer).into(),
            (&self.reason).into(),
            self.peer.as_str().into(),
            self.user_agent.as_str().into(),
            self.won.into(),
        ];
        digest(Sealed::Answer, &fields)
    }
}

impl Sealable for AccessRow {
    fn kind() -> Sealed {
        Sealed::Access
    }

    fn id(&self) -> &[u8] {
        &self.id
    }

    fn digest(&self) -> [u8; 32] {
        let fields = [
            (&self.id).into(),
            self.at.into(),
            self.operator.as_str().into(),
            self.event.as_str().into(),
            self.detail.as_str().into(),
            self.peer.as_str().into(),
        ];
        digest(Sealed::Access, &fields)
    }
}

impl Sealable for LookupRow {
    fn kind() -> Sealed {
        Sealed::Lookup
    }

    fn id(&self) -> &[u8] {
        &self.id
    }

    fn digest(&self) -> [u8; 32] {
        let fields = [
            (&self.id).into(),
            self.source.as_str().into(),
            self.adn.as_str().into(),
            self.status.as_str().into(),
            (&self.server).into(),
            (&self.dnssec).into(),
            self.at.into(),
            self.valid_until.into(),
            self.perspective.as_str().into(),
            self.findings.as_str().into(),
        ];
        digest(Sealed::Lookup, &fields)
    }
}

impl Tx<'_> {
    /// Notes a row that was written and never changes: it is sealed soon.
    pub(super) fn seal_soon<R: Sealable>(&mut self, row: &R) -> Result<(), StoreError> {
        self.unsealed.extend_from_slice(&row.entry()?.to_bytes());
        Ok(())
    }

    /// Keeps rows of an older daemon for the next seal.
    pub async fn adopt(&mut self, kind: Sealed, entries: &[Entry]) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO unsealed (id, entries) VALUES ($1, $2)";
        let Some(first) = entries.first() else { return Ok(()) };
        // A key of its own, which no transaction's rows have.
        let id = [b"o", &[kind.code()][..], &first.id].concat();
        let entries: Vec<u8> = entries.iter().flat_map(Entry::to_bytes).collect();
        later!(self, SQL, &id, &entries);
        Ok(())
    }

    /// Moves the mark up to which an older daemon's rows are kept for sealing; `false` where another daemon did.
    pub async fn move_adoption(&mut self, kind: Sealed, from: Option<&[u8]>, to: &[u8]) -> Result<bool, StoreError> {
        self.move_tally_mark(&format!("adopted-{}", kind.as_str()), from, to).await
    }

    /// Keeps what was noted for the next seal; the transaction's last statement.
    pub(super) async fn keep_unsealed(&mut self) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO unsealed (id, entries) VALUES ($1, $2)";
        let entries = std::mem::take(&mut self.unsealed);
        // The first row's kind and id, which no other transaction can have written.
        let Some(id) = entries.get(..17) else { return Ok(()) };
        later!(self, SQL, id, &entries);
        Ok(())
    }

    /// The latest seal's number and hash; on PostgreSQL nobody else seals until this transaction ends.
    pub async fn last_seal(&mut self) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
        const SQL: &str = "SELECT number, hash FROM seals ORDER BY number DESC LIMIT 1";
        if self.is_postgres() {
            exec!(self, sqlx::query("LOCK TABLE seals IN SHARE ROW EXCLUSIVE MODE"));
        }
        Ok(in_tx!(self, |db| sqlx::query_as(SQL).fetch_optional(db).await?))
    }

    /// What waits to be sealed: its key and its entries.
    pub async fn unsealed(&mut self, limit: u32) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        const SQL: &str = "SELECT id, entries FROM unsealed ORDER BY id LIMIT $1";
        Ok(in_tx!(self, |db| sqlx::query_as(SQL).bind(i64::from(limit)).fetch_all(db).await?))
    }

    /// Writes a seal over what was taken.
    pub async fn insert_seal(&mut self, seal: &SealRow, taken: &[Vec<u8>]) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO seals (number, at, previous, entries, hash) VALUES ($1, $2, $3, $4, $5)";
        later!(self, SQL, seal.number, seal.at, &seal.previous, &seal.entries, &seal.hash);
        for id in taken {
            later!(self, "DELETE FROM unsealed WHERE id = $1", id);
        }
        Ok(())
    }

    /// Keeps a sample that was drawn.
    pub async fn insert_sample(&mut self, sample: &SampleRow) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO audit_samples (id, at, drawn_by, from_at, to_at, percent, seed, total, drawn)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        later!(
            self,
            SQL,
            &sample.id,
            sample.at,
            &sample.drawn_by,
            sample.from_at,
            sample.to_at,
            sample.percent,
            &sample.seed,
            sample.total,
            &sample.drawn
        );
        Ok(())
    }
}

/// A sample as it was drawn.
#[derive(Clone, Debug, FromRow)]
pub struct SampleRow {
    /// Its id.
    pub id: Vec<u8>,
    /// Unix microseconds.
    pub at: i64,
    /// Who drew it.
    pub drawn_by: String,
    /// Unix microseconds; the approvals' time from here on.
    pub from_at: i64,
    /// Unix microseconds; and before this.
    pub to_at: i64,
    /// How many of a hundred, at least.
    pub percent: i64,
    /// With which the draw can be repeated.
    pub seed: Vec<u8>,
    /// From how many.
    pub total: i64,
    /// The validations, JSON.
    pub drawn: String,
}

/// Which approvals an auditor asks for.
#[derive(Clone, Debug, Default)]
pub struct ApprovalFilter {
    /// Only by this method.
    pub method: Option<String>,
    /// Only of addresses from this source.
    pub source: Option<String>,
    /// Only under this profile.
    pub profile: Option<String>,
    /// Only under this version of it.
    pub version: Option<Vec<u8>>,
    /// Only given from the first instant on and before the second, Unix microseconds.
    pub between: (i64, i64),
}

/// An approval with what it rests on.
#[derive(Clone, Debug, FromRow)]
pub struct AffectedRow {
    /// The validation.
    pub id: Vec<u8>,
    /// Its order.
    pub order_id: Vec<u8>,
    /// The order's reference.
    pub order_ref: String,
    /// The ordering system.
    pub client: String,
    /// The name.
    pub name: String,
    /// The profile.
    pub profile_id: String,
    /// Its version.
    pub profile_hash: Vec<u8>,
    /// The method's section.
    pub method: Option<String>,
    /// The scope.
    pub scope: Option<String>,
    /// Unix microseconds; when it was approved, or came to rest on the approval.
    pub ended_at: Option<i64>,
    /// Unix microseconds.
    pub reusable_until: Option<i64>,
    /// The validation that was approved itself, where this one rests on it.
    pub reused_id: Option<Vec<u8>>,
    /// The mail that was answered.
    pub mail_id: Vec<u8>,
    /// Where its address was found.
    pub source: String,
    /// Who approved.
    pub recipient: String,
}

const fn count_of(kind: Sealed) -> &'static str {
    match kind {
        Sealed::Event => "SELECT (SELECT COUNT(*) FROM events) + (SELECT COUNT(*) FROM retired WHERE kind = 'e')",
        Sealed::Answer => "SELECT (SELECT COUNT(*) FROM answers) + (SELECT COUNT(*) FROM retired WHERE kind = 'a')",
        Sealed::Lookup => "SELECT (SELECT COUNT(*) FROM lookups) + (SELECT COUNT(*) FROM retired WHERE kind = 'l')",
        Sealed::Access => "SELECT (SELECT COUNT(*) FROM access_log) + (SELECT COUNT(*) FROM retired WHERE kind = 'x')",
        Sealed::Retirement => "SELECT COUNT(*) FROM retirements",
    }
}

impl Store {
    /// Up to where an older daemon wrote rows of a kind, and up to where those are kept for sealing.
    pub async fn adoption(&self, kind: Sealed) -> Result<(Option<Vec<u8>>, Option<Vec<u8>>), StoreError> {
        let until = self.tally_mark(&format!("unsealed-{}", kind.as_str())).await?;
        Ok((until, self.tally_mark(&format!("adopted-{}", kind.as_str())).await?))
    }

    /// Seals from a number on.
    pub async fn seals(&self, from: i64, limit: u32) -> Result<Vec<SealRow>, StoreError> {
        const SQL: &str = "SELECT number, at, previous, entries, hash FROM seals WHERE number >= $1 ORDER BY number LIMIT $2";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(from).bind(i64::from(limit)).fetch_all(db).await?))
    }

    /// The latest seals, the latest first, without their entries.
    pub async fn latest_seals(&self, limit: u32) -> Result<Vec<(i64, i64, Vec<u8>)>, StoreError> {
        const SQL: &str = "SELECT number, at, hash FROM seals ORDER BY number DESC LIMIT $1";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(i64::from(limit)).fetch_all(db).await?))
    }

    /// Whether anything waits to be sealed.
    pub async fn any_unsealed(&self) -> Result<bool, StoreError> {
        let found: Option<i32> =
            on_pool!(self, |db| sqlx::query_scalar("SELECT 1 FROM unsealed LIMIT 1").fetch_optional(db).await?);
        Ok(found.is_some())
    }

    /// The audit log at one moment: the latest seal's number, what waits, and how many rows of each kind there are, in the order of
    /// [`Sealed::ALL`].
    pub async fn audit_moment(&self) -> Result<(i64, Vec<Vec<u8>>, Vec<i64>), StoreError> {
        const LAST: &str = "SELECT CAST(COALESCE(MAX(number), 0) AS BIGINT) FROM seals";
        Ok(on_pool!(self, |db| {
            let mut tx = begin(db, self.snapshot()).await?;
            let last = sqlx::query_scalar(LAST).fetch_one(&mut *tx).await?;
            let waiting = sqlx::query_scalar("SELECT entries FROM unsealed").fetch_all(&mut *tx).await?;
            let mut counts = Vec::new();
            for kind in Sealed::ALL {
                counts.push(sqlx::query_scalar(count_of(kind)).fetch_one(&mut *tx).await?);
            }
            (last, waiting, counts)
        }))
    }

    /// Rows of a kind from after one id on and up to another, as they are sealed: those of a daemon that sealed nothing.
    pub async fn rows_to_seal(&self, kind: Sealed, after: &[u8], until: &[u8], limit: u32) -> Result<Vec<Entry>, StoreError> {
        const EVENT: &str =
            "SELECT id, order_id, seq, kind, at, actor, data FROM events WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3";
        const ANSWER: &str = "SELECT id, mail_id, at, answer, scope, signer, reason, peer, user_agent, won FROM answers
            WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3";
        const LOOKUP: &str = "SELECT id, source, adn, status, server, dnssec, at, valid_until, perspective, findings FROM lookups
            WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3";
        const ACCESS: &str =
            "SELECT id, at, operator, event, detail, peer FROM access_log WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3";
        let limit = i64::from(limit);
        on_pool!(self, |db| match kind {
            Sealed::Event => {
                let rows: Vec<EventRow> = sqlx::query_as(EVENT).bind(after).bind(until).bind(limit).fetch_all(db).await?;
                rows.iter().map(Sealable::entry).collect()
            }
            Sealed::Answer => {
                let rows: Vec<AnswerRow> = sqlx::query_as(ANSWER).bind(after).bind(until).bind(limit).fetch_all(db).await?;
                rows.iter().map(Sealable::entry).collect()
            }
            Sealed::Lookup => {
                let rows: Vec<LookupRow> = sqlx::query_as(LOOKUP).bind(after).bind(until).bind(limit).fetch_all(db).await?;
                rows.iter().map(Sealable::entry).collect()
            }
            Sealed::Access => {
                let rows: Vec<AccessRow> = sqlx::query_as(ACCESS).bind(after).bind(until).bind(limit).fetch_all(db).await?;
                rows.iter().map(Sealable::entry).collect()
            }
            // No older daemon wrote any.
            Sealed::Retirement => Ok(Vec::new()),
        })
    }

    /// A row's digest as it is stored now; `None` where it is gone.
    pub async fn digest_now(&self, kind: Sealed, id: &[u8]) -> Result<Option<[u8; 32]>, StoreError> {
        const EVENT: &str = "SELECT id, order_id, seq, kind, at, actor, data FROM events WHERE id = $1";
        const ANSWER: &str =
            "SELECT id, mail_id, at, answer, scope, signer, reason, peer, user_agent, won FROM answers WHERE id = $1";
        const LOOKUP: &str =
            "SELECT id, source, adn, status, server, dnssec, at, valid_until, perspective, findings FROM lookups WHERE id = $1";
        const ACCESS: &str = "SELECT id, at, operator, event, detail, peer FROM access_log WHERE id = $1";
        const RETIREMENT: &str = "SELECT id, at, what, subject, rule, rows, digest FROM retirements WHERE id = $1";
        Ok(on_pool!(self, |db| match kind {
            Sealed::Event => sqlx::query_as::<_, EventRow>(EVENT).bind(id).fetch_optional(db).await?.map(|row| row.digest()),
            Sealed::Answer => sqlx::query_as::<_, AnswerRow>(ANSWER).bind(id).fetch_optional(db).await?.map(|row| row.digest()),
            Sealed::Lookup => sqlx::query_as::<_, LookupRow>(LOOKUP).bind(id).fetch_optional(db).await?.map(|row| row.digest()),
            Sealed::Access => sqlx::query_as::<_, AccessRow>(ACCESS).bind(id).fetch_optional(db).await?.map(|row| row.digest()),
            Sealed::Retirement => {
                sqlx::query_as::<_, RetirementRow>(RETIREMENT).bind(id).fetch_optional(db).await?.map(|row| row.digest())
            }
        }))
    }

    /// Approvals that an auditor asks for, those that rest on them included, in the order of their ids, after one.
    pub async fn approvals(&self, filter: &ApprovalFilter, after: &[u8], limit: u32) -> Result<Vec<AffectedRow>, StoreError> {
        Ok(on_pool!(self, |db| {
            let mut query = sqlx::QueryBuilder::new(
                "SELECT v.id, v.order_id, o.order_ref, o.client, v.name, o.profile_id, o.profile_hash, v.method, v.scope, v.ended_at,
                v.reusable_until, v.reused_id, m.id AS mail_id, m.source, m.recipient
                FROM validations v JOIN validations b ON b.id = COALESCE(v.reused_id, v.id) JOIN mails m ON m.id = b.mail_id
                JOIN orders o ON o.id = v.order_id WHERE v.state = 'approved' AND o.test = 0 AND v.id > ",
            );
            query.push_bind(after);
            query.push(" AND b.ended_at >= ").push_bind(filter.between.0).push(" AND b.ended_at < ").push_bind(filter.between.1);
            if let Some(method) = &filter.method {
                query.push(" AND b.method = ").push_bind(method.as_str());
            }
            if let Some(source) = &filter.source {
                query.push(" AND m.source = ").push_bind(source.as_str());
            }
            if let Some(profile) = &filter.profile {
                query.push(" AND o.profile_id = ").push_bind(profile.as_str());
            }
            if let Some(version) = &filter.version {
                query.push(" AND o.profile_hash = ").push_bind(version.as_slice());
            }
            query.push(" ORDER BY v.id LIMIT ").push_bind(i64::from(limit));
            query.build_query_as().fetch_all(db).await?
        }))
    }
}
