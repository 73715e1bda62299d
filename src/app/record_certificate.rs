//! Takes note of a certificate that was issued on an order. It drives renewals and retention.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::{App, Cause};
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::OrderId;
use crate::dcv::profile::RenewalRules;
use crate::dcv::renewal::{self, Life};
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::store::{CertificateRow, Repeatable, StoreError, Tx};

/// A certificate as an ordering system reports it, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCertificate {
    /// The serial number in its one form.
    pub serial: String,
    /// A-labels, each once.
    pub names: Vec<String>,
    /// When it begins to hold.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

/// Why a certificate was not noted.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// There is no such order.
    #[error("there is no such order")]
    Missing,
    /// A name, by its place, was not approved in the order.
    #[error("name {0} was not approved in this order")]
    NotApproved(usize),
    /// Another certificate was reported under the serial number.
    #[error("another certificate was reported under this serial number")]
    Differs,
    /// The order has as many as it may have.
    #[error("an order takes {CERTIFICATES_MAX} certificates at most")]
    TooMany,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Most certificates of one order, reissues included.
pub const CERTIFICATES_MAX: usize = 1000;

/// Notes a certificate; `false` where it was known already.
///
/// # Errors
/// [`CertificateError`]; then nothing is noted.
pub async fn record_certificate(app: &App, id: OrderId, new: NewCertificate, cause: &Cause) -> Result<bool, CertificateError> {
    let order = app.store.order(id).await?.ok_or(CertificateError::Missing)?;
    let profile = app.profile_of(&order).await?;
    let (now, mut ids, routes, cause) = (app.now(), app.id_source(), app.routes(&order.client), cause.clone());
    app.store
        .write("record_certificate", move |tx| {
            Box::pin(async move {
                let order = tx.lock_order(id).await?.ok_or(CertificateError::Missing)?;
                tx.remember(cause.request.as_ref(), id, now).await?;
                let validations = tx.validations(id).await?;
                let approved = |name: &String| validations.iter().any(|one| one.name == *name && one.state == "approved");
                if let Some(at) = new.names.iter().position(|name| !approved(name)) {
                    return Err(CertificateError::NotApproved(at));
                }
                let row = CertificateRow {
                    serial: new.serial.clone(),
                    names: json!(new.names).to_string(),
                    not_before: new.not_before.unix_micros(),
                    not_after: new.not_after.unix_micros(),
                    at: now.unix_micros(),
                };
                if let Some(known) = tx.insert_certificate(id, &row).await? {
                    if !is_same(&known, &row)? {
                        return Err(CertificateError::Differs);
                    }
                    keep_answer(tx, cause.request, KNOWN, &known, now).await?;
                    return Ok(false);
                }
                if tx.count_certificates(id).await? > CERTIFICATES_MAX {
                    return Err(CertificateError::TooMany);
                }
                keep_answer(tx, cause.request, NOTED, &row, now).await?;
                // What a client under test brought about is nobody's certificate.
                if order.test == 0 {
                    watch(tx, id, &new, &profile.profile.renewal, now).await?;
                }
                let data = json!({
                    "serial": new.serial, "names": new.names, "not_before": new.not_before, "not_after": new.not_after,
                });
                let event = Event::new(EventType::CertificateRecorded, now, &cause.actor, data);
                tx.record_events(id, &order.order_ref, &[event], &routes, &mut ids).await?;
                Ok(true)
            })
        })
        .await
}

/// Status of the answer to a report of a certificate that was not known, and of one that was.
pub const NOTED: u16 = 201;
/// See [`NOTED`].
pub const KNOWN: u16 = 200;

/// Keeps the answer with what it tells of: a repeat is told of the certificate, and not, as after other changes, of the order.
async fn keep_answer(
    tx: &mut Tx<'_>,
    request: Option<Repeatable>,
    status: u16,
    row: &CertificateRow,
    now: Timestamp,
) -> Result<(), StoreError> {
    match request {
        Some(request) => tx.keep_answer(&Repeatable { status, ..request }, None, &certificate_view(row).to_string(), now).await,
        None => Ok(()),
    }
}

/// Whether two reports under one serial number tell of one certificate, in whichever order they tell its names.
fn is_same(known: &CertificateRow, told: &CertificateRow) -> Result<bool, StoreError> {
    let names = |row: &CertificateRow| row.names().map(|names| names.into_iter().collect::<BTreeSet<String>>());
    let life = |row: &CertificateRow| (row.not_before, row.not_after);
    Ok(life(known) == life(told) && names(known)? == names(told)?)
}

/// How much later a reissue may end than what it replaces.
const REISSUE: Duration = Duration::from_secs(30 * DAY_SECS);

/// Watches a certificate until its end, in place of those of the order that it replaces: the same names or fewer, and no longer a life.
async fn watch(
    tx: &mut Tx<'_>,
    id: OrderId,
    new: &NewCertificate,
    rules: &RenewalRules,
    now: Timestamp,
) -> Result<(), StoreError> {
    let life = Life { not_before: new.not_before, not_after: new.not_after };
    let mut renewed_by = None;
    for earlier in tx.watched(id).await? {
        let (names, ends) = (earlier.certificate.names()?, Timestamp::from_unix_micros(earlier.certificate.not_after));
        if ends > new.not_after || !names.iter().all(|name| new.names.contains(name)) {
            continue;
        }
        if earlier.renewed_by.is_some() && new.not_after < ends + REISSUE {
            // A reissue of what is renewed already needs no other renewal.
            if earlier.next_at.is_none() {
                return Ok(());
            }
            renewed_by.clone_from(&earlier.renewed_by);
        }
        if earlier.next_at.is_some() {
            tx.renewal_done(&earlier, now, None, None).await?;
        }
    }
    // One that was reported late owes what is past.
    let next = renewal::next_after(rules, life, life.not_before);
    if let Some(next) = next.filter(|_| now < life.not_after) {
        tx.watch(id, &new.serial, life.not_before, Some(next), renewed_by.as_deref()).await?;
    }
    Ok(())
}

/// A certificate as the API tells it.
#[must_use]
pub fn certificate_view(row: &CertificateRow) -> Value {
    let names: Value = serde_json::from_str(&row.names).unwrap_or_default();
    json!({
        "serial": row.serial,
        "names": names,
        "not_before": Timestamp::from_unix_micros(row.not_before),
        "not_after": Timestamp::from_unix_micros(row.not_after),
        "recorded_at": Timestamp::from_unix_micros(row.at),
    })
}
