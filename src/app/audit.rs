//! What auditors ask: whether the log is whole, what a fault touched, whether today's code decides as then, and a random sample.

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::App;
use crate::dcv::contact::Source;
use crate::dcv::coverage::proven;
use crate::dcv::decision::Scope;
use crate::dcv::id::{EventId, LookupId, MailId, OrderId, ValidationId};
use crate::dcv::method;
use crate::dcv::reread::{read_then, reread};
use crate::dcv::seal::{BEGINNING, Entry, Sealed, hash};
use crate::dcv::timestamp::Timestamp;
use crate::store::{AffectedRow, ApprovalFilter, SampleRow, SealRow, Store, StoreError};

/// Seals, or approvals, read at once.
const PAGE: u32 = 200;

/// Faults told one by one; more are counted.
const FAULTS_MAX: usize = 1000;

/// What is wrong with the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum Fault {
    /// A seal is missing, or does not follow the one before it.
    Chain { seal: i64 },
    /// A seal is not what it was.
    Seal { seal: i64 },
    /// A sealed row is gone.
    Gone { seal: i64, kind: &'static str, id: String },
    /// A sealed row is not what it was.
    Changed { seal: i64, kind: &'static str, id: String },
    /// There are rows that were never written by the daemon, or from before there were seals.
    Unsealed { kind: &'static str, rows: i64 },
    /// The seal whose hash was given is not in the chain.
    NotFound { head: String },
}

/// What a look at the whole log found.
#[derive(Debug, Default, Serialize)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Verified {
    pub seals: i64,
    pub rows: i64,
    pub waiting: i64,
    /// Sealed rows that were removed since they need not be kept any more.
    pub retired: i64,
    /// Sealed rows that personal data was taken out of.
    pub masked: i64,
    /// Rows of an older daemon are not all sealed yet: it cannot be said whether any was put in.
    pub adopting: bool,
    pub head: Option<String>,
    pub faults: Vec<Fault>,
    pub more_faults: u64,
}

impl Verified {
    /// Nothing was changed, taken out or put in.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        } else {
            self.more_faults += 1;
        }
    }
}

/// Reads the whole log and every row that it seals. `known` is the hash of a seal noted elsewhere, which must be among them; `step` is told
/// after each page how many seals are done.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn verify(store: &Store, known: Option<&str>, mut step: impl FnMut(i64)) -> Result<Verified, StoreError> {
    let mut found = Verified::default();
    // What is written and sealed from here on is the next look's; rows and seals before it do not change.
    let (last, unsealed, counts) = store.audit_moment().await?;
    let mut previous = BEGINNING.to_vec();
    let mut sealed = [0_i64; Sealed::ALL.len()];
    let mut is_known = known.is_none();
    loop {
        let mut page = store.seals(found.seals + 1, PAGE).await?;
        page.retain(|seal| seal.number <= last);
        if page.is_empty() {
            break;
        }
        for seal in &page {
            found.seals += 1;
            if seal.number != found.seals || seal.previous != previous {
                found.fault(Fault::Chain { seal: seal.number });
                found.seals = seal.number;
            }
            previous.clone_from(&seal.hash);
            is_known |= known.is_some_and(|known| HEXLOWER.encode(&seal.hash) == known.to_ascii_lowercase());
            let entries = entries(seal);
            match entries {
                None => found.fault(Fault::Seal { seal: seal.number }),
                Some(entries) => {
                    for entry in entries {
                        sealed[place(entry.kind)] += 1;
                        found.rows += 1;
                        row(store, seal.number, &entry, &mut found).await?;
                    }
                }
            }
        }
        step(found.seals);
    }
    found.head = (found.seals > 0).then(|| HEXLOWER.encode(&previous));
    if !is_known {
        found.fault(Fault::NotFound { head: known.unwrap_or_default().to_owned() });
    }
    let mut waiting = [0_i64; Sealed::ALL.len()];
    for entries in unsealed {
        for entry in Entry::read(&entries).unwrap_or_default() {
            waiting[place(entry.kind)] += 1;
            found.waiting += 1;
            row(store, 0, &entry, &mut found).await?;
        }
    }
    for kind in Sealed::ALL {
        let rows = counts.get(place(kind)).copied().unwrap_or_default() - sealed[place(kind)] - waiting[place(kind)];
        let (until, adopted) = store.adoption(kind).await?;
        if until.is_some() && until != adopted {
            // An older daemon's rows are being taken over.
            found.adopting = true;
        } else if rows > 0 {
            found.fault(Fault::Unsealed { kind: kind.as_str(), rows });
        }
    }
    Ok(found)
}

fn place(kind: Sealed) -> usize {
    Sealed::ALL.iter().position(|one| *one == kind).unwrap_or_default()
}

/// A seal's entries, where it is what it was.
fn entries(seal: &SealRow) -> Option<Vec<Entry>> {
    let own = hash(seal.number, Timestamp::from_unix_micros(seal.at), &seal.previous, &seal.entries);
    if own[..] == seal.hash[..] { Entry::read(&seal.entries) } else { None }
}

async fn row(store: &Store, seal: i64, entry: &Entry, found: &mut Verified) -> Result<(), StoreError> {
    let id = || match entry.kind {
        Sealed::Lookup => LookupId::from_bytes(entry.id).to_string(),
        Sealed::Event | Sealed::Access | Sealed::Retirement => EventId::from_bytes(entry.id).to_string(),
        Sealed::Answer => HEXLOWER.encode(&entry.id),
    };
    if entry.kind == Sealed::Retirement
        && let Some(retirement) = store.retirement(&entry.id).await?
        && store.retired_digest(&entry.id).await? != (retirement.rows, retirement.digest)
    {
        // Somebody noted more, or less, than was removed then.
        found.fault(Fault::Changed { seal, kind: entry.kind.as_str(), id: id() });
    }
    match store.digest_now(entry.kind, &entry.id).await? {
        // What says why rows are gone is itself never gone by rule.
        None if entry.kind != Sealed::Retirement && store.is_retired(entry.kind, &entry.id).await? => found.retired += 1,
        None => found.fault(Fault::Gone { seal, kind: entry.kind.as_str(), id: id() }),
        Some(now) if now != entry.digest && store.is_masked(entry, &now).await? => found.masked += 1,
        Some(now) if now != entry.digest => found.fault(Fault::Changed { seal, kind: entry.kind.as_str(), id: id() }),
        Some(_) => {}
    }
    Ok(())
}

/// An approval that a fault touched.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "each member is what the API calls so")]
pub struct Affected {
    pub validation: ValidationId,
    pub order: OrderId,
    pub order_ref: String,
    pub client: String,
    pub name: String,
    pub profile: String,
    pub profile_version: String,
    pub method: String,
    pub source: String,
    pub scope: String,
    pub approver: String,
    pub approved_at: Option<Timestamp>,
    pub reusable_until: Option<Timestamp>,
    /// It rests on another order's approval.
    pub reused: bool,
    /// Serial numbers of the certificates that were reported for the order.
    pub certificates: Vec<String>,
}

/// Every approval that fits, with the certificates reported for its order; each is given to `each`. How many there were.
///
/// # Errors
/// [`StoreError`] when the database fails, or what `each` gives.
pub async fn affected(
    store: &Store,
    filter: &ApprovalFilter,
    mut each: impl FnMut(Affected) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let (mut after, mut count) = (Vec::new(), 0);
    loop {
        let page = store.approvals(filter, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(count) };
        after.clone_from(&last.id);
        for row in page {
            let order = order_of(&row)?;
            let certificates = store.certificates(order).await?.into_iter().map(|one| one.serial).collect();
            each(Affected {
                validation: ValidationId::from_bytes(bytes(&row.id)?),
                order,
                certificates,
                profile_version: HEXLOWER.encode(&row.profile_hash),
                method: row.method.unwrap_or_default(),
                scope: row.scope.unwrap_or_default(),
                approved_at: row.ended_at.map(Timestamp::from_unix_micros),
                reusable_until: row.reusable_until.map(Timestamp::from_unix_micros),
                reused: row.reused_id.is_some(),
                order_ref: row.order_ref,
                client: row.client,
                name: row.name,
                profile: row.profile_id,
                source: row.source,
                approver: row.recipient,
            })?;
            count += 1;
        }
    }
}

fn bytes(id: &[u8]) -> Result<[u8; 16], StoreError> {
    id.try_into().map_err(|_| StoreError::inconsistent("validations", "id", id))
}

fn order_of(row: &AffectedRow) -> Result<OrderId, StoreError> {
    bytes(&row.order_id).map(OrderId::from_bytes)
}

/// Where today's code sees an approval otherwise than it was seen.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "each member is what the API calls so")]
pub struct Difference {
    pub validation: ValidationId,
    pub order: OrderId,
    pub name: String,
    /// What differs.
    pub what: &'static str,
    pub then: String,
    pub now: String,
}

/// Reads and decides every approval that fits again, from the evidence that is stored, with today's code. How many were looked at, and how
/// many of them rest on evidence that cannot be read again.
///
/// # Errors
/// [`StoreError`] when the database fails, or what `each` gives.
pub async fn replay(
    app: &App,
    filter: &ApprovalFilter,
    mut each: impl FnMut(Difference) -> Result<(), StoreError>,
) -> Result<(u64, u64), StoreError> {
    let (mut after, mut count, mut unreadable) = (Vec::new(), 0, 0);
    loop {
        let page = app.store.approvals(filter, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok((count, unreadable)) };
        after.clone_from(&last.id);
        for row in page.into_iter().filter(|row| row.reused_id.is_none()) {
            count += 1;
            let (readable, differences) = again(app, &row).await?;
            unreadable += u64::from(!readable);
            for (what, then, now) in differences {
                each(Difference {
                    validation: ValidationId::from_bytes(bytes(&row.id)?),
                    order: order_of(&row)?,
                    name: row.name.clone(),
                    what,
                    then,
                    now,
                })?;
            }
        }
    }
}

/// One approval again: whether its evidence could be read, and what differs.
async fn again(app: &App, row: &AffectedRow) -> Result<(bool, Vec<(&'static str, String, String)>), StoreError> {
    let mut differs = Vec::new();
    let mut readable = true;
    let Some(mail) = app.store.mail(MailId::from_bytes(bytes(&row.mail_id)?)).await? else {
        return Ok((false, vec![("mail", row.recipient.clone(), "gone".to_owned())]));
    };
    if let Some(lookup) = &mail.lookup_id {
        match app.store.lookup(lookup).await? {
            None => differs.push(("look-up", HEXLOWER.encode(lookup), "gone".to_owned())),
            Some(lookup) => match reread(&lookup, &app.settings.whois_root, &app.lists().suffixes) {
                Err(why) => {
                    tracing::info!(lookup = %lookup.id, why = why.as_str(), "a look-up cannot be read again");
                    readable = false;
                }
                Ok(now) => {
                    let then = read_then(&lookup);
                    // An operator may have vouched for an address that no parser found.
                    if mail.vouched == 0 && !now.contains(&mail.recipient) {
                        differs.push(("approver", mail.recipient.clone(), now.join(" ")));
                    } else if then != now {
                        differs.push(("addresses", then.join(" "), now.join(" ")));
                    }
                }
            },
        }
    }
    let method = Source::from_text(&row.source).map(Source::method);
    let section = method.map_or("", |method| method.section());
    if row.method.as_deref() != Some(section) {
        differs.push(("method", row.method.clone().unwrap_or_default(), section.to_owned()));
    }
    let initiated = mail.initiated_at();
    if let (Some(then), Some(method)) = (row.reusable_until, method) {
        let now = method::reusable_until(method, initiated);
        if now.is_none_or(|now| then > now.unix_micros()) {
            let now = now.map_or_else(|| "never".to_owned(), |now| now.to_string());
            differs.push(("reusable_until", Timestamp::from_unix_micros(then).to_string(), now));
        }
    }
    if let Some(answered) = mail.answered_at.filter(|answered| *answered >= mail.expires_at) {
        let (then, now) = (Timestamp::from_unix_micros(answered), Timestamp::from_unix_micros(mail.expires_at));
        differs.push(("deadline", format!("answered {then}"), format!("ended {now}")));
    }
    match row.scope.as_deref().and_then(Scope::from_text) {
        Some(scope) => {
            let proven = proven(scope, &mail.adn, &[row.name.as_str()]);
            if !proven.this_order_only && !proven.covers(&row.name) {
                differs.push(("scope", scope.as_str().to_owned(), "does not cover the name".to_owned()));
            }
        }
        None => differs.push(("scope", row.scope.clone().unwrap_or_default(), "unknown".to_owned())),
    }
    Ok((readable, differs))
}

/// Draws a random sample of the approvals that fit, writes down that it was drawn, and gives what was drawn. The seed and the ids alone say
/// which are in it, so that anybody can draw it again.
///
/// # Errors
/// [`StoreError`] when the database fails; then nothing was drawn.
pub async fn sample(
    app: &App,
    filter: &ApprovalFilter,
    percent: u32,
    by: &str,
) -> Result<(SampleRow, Vec<Affected>), StoreError> {
    let mut all = Vec::new();
    affected(&app.store, filter, |one| {
        all.push(one);
        Ok(())
    })
    .await?;
    let seed: [u8; 32] = app.random();
    let total = all.len();
    // At least so many of a hundred; of a few, one.
    let size = (total * percent as usize).div_ceil(100);
    all.sort_by_cached_key(|one| Sha256::new_with_prefix(seed).chain_update(one.validation.as_bytes()).finalize().to_vec());
    all.truncate(size);
    let drawn: Vec<ValidationId> = all.iter().map(|one| one.validation).collect();
    let now = app.now();
    let row = SampleRow {
        id: EventId::new(now, app.random()).as_bytes().to_vec(),
        at: now.unix_micros(),
        drawn_by: by.to_owned(),
        from_at: filter.between.0,
        to_at: filter.between.1,
        percent: i64::from(percent),
        seed: seed.to_vec(),
        total: i64::try_from(total).unwrap_or(i64::MAX),
        drawn: json!(drawn).to_string(),
    };
    let kept = row.clone();
    app.store.write("draw_sample", move |tx| Box::pin(async move { tx.insert_sample(&kept).await })).await?;
    Ok((row, all))
}
