//! Holds registration contacts that were entered against WHOIS, until they are found there or come to nothing.

use std::time::Duration;

use serde_json::json;

use super::ask::AskError;
use super::change_approver::{ChangeError, change_approver};
use super::show_order::OrderRecord;
use super::{App, Cause};
use crate::dcv::contact::Listing;
use crate::dcv::contact::entry::{Entry, Verdict, judge};
use crate::dcv::email::EmailAddress;
use crate::dcv::event::{Event, EventType};
use crate::dcv::evidence::Lookup;
use crate::dcv::name::CertificateName;
use crate::dcv::order::{Choice, Wanted};
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::store::{StoreError, ValidationRow};

/// How long an entered contact may remain unsettled before the one who stands in is asked.
const FALLBACK_AFTER: Duration = Duration::from_secs(3 * DAY_SECS);

/// What was found anew for names that await an approver, each with its row.
pub(super) struct Found<'f> {
    pub(super) waiting: &'f [ValidationRow],
    pub(super) names: &'f [CertificateName],
    pub(super) listings: &'f [Listing],
    pub(super) lookups: &'f [Lookup],
}

/// Holds each entry against what was found; whether there was any.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub(super) async fn hold_against(app: &App, record: &OrderRecord, found: &Found<'_>) -> Result<bool, StoreError> {
    let (mut listed, mut refuted, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let mut told = None;
    let waited = app.now().since(Timestamp::from_unix_micros(record.order.created_at)) >= FALLBACK_AFTER;
    for ((row, name), listing) in found.waiting.iter().zip(found.names).zip(found.listings) {
        let Some(entry) = row.entry()? else { continue };
        match judge(&entry.email, listing, found.lookups) {
            Verdict::Listed => listed.push(name.clone()),
            Verdict::Refuted if entry.fallback.is_some() => refuted.push(name.clone()),
            // Nobody else was named: the ordering system must choose.
            Verdict::Refuted => notes.push((row.id.clone(), row.name.clone(), false, None)),
            // Nobody has looked at it, or WHOIS is away for days: whoever was named beside it.
            Verdict::Seen(_) | Verdict::Unknown if waited && entry.fallback.is_some() => refuted.push(name.clone()),
            Verdict::Seen(lookup) if entry.seen != Some(lookup) => {
                let known = entry.seen.is_some();
                notes.push((row.id.clone(), row.name.clone(), known, Some(Entry { seen: Some(lookup), ..entry.clone() })));
            }
            Verdict::Seen(_) | Verdict::Unknown => {}
        }
        told = Some(entry);
    }
    let Some(entry) = told else { return Ok(false) };
    ask(app, record, listed, &entry.email).await?;
    if let Some(fallback) = &entry.fallback {
        ask(app, record, refuted, fallback).await?;
    }
    note(app, record, notes).await?;
    Ok(true)
}

/// Asks somebody for names, where there are any; what stands in the way is looked at again later.
async fn ask(app: &App, record: &OrderRecord, names: Vec<CertificateName>, email: &EmailAddress) -> Result<(), StoreError> {
    if names.is_empty() {
        return Ok(());
    }
    let choice = Choice::These(vec![Wanted { email: email.clone(), adn: None, names: None }]);
    match change_approver(app, record, names, choice, &Cause::by(Cause::SYSTEM)).await {
        Ok(_) => Ok(()),
        Err(ChangeError::Ask(AskError::Store(error))) => Err(error),
        Err(error) => {
            tracing::info!(order = record.order.order_ref, %error, "whoever was entered, or stands in, could not be asked");
            Ok(())
        }
    }
}

/// A name's row and name, whether the timeline tells it already, and what is known of its entry now.
type Note = (Vec<u8>, String, bool, Option<Entry>);

/// Writes down what became of entries, and says so in the timeline.
async fn note(app: &App, record: &OrderRecord, notes: Vec<Note>) -> Result<(), StoreError> {
    if notes.is_empty() {
        return Ok(());
    }
    let (id, order_ref, now) = (record.order.id()?, record.order.order_ref.clone(), app.now());
    let (mut ids, routes) = (app.id_source(), app.routes(&record.order.client));
    app.store
        .write("note_entry", move |tx| {
            Box::pin(async move {
                tx.lock(id).await?;
                let mut events = Vec::new();
                for (row, name, known, entry) in notes {
                    let text = entry.as_ref().map(|entry| json!(entry).to_string());
                    if let Some(lookup) = entry.as_ref().and_then(|entry| entry.seen) {
                        tx.tie_lookup(id, lookup).await?;
                    }
                    if tx.set_entry(&row, text.as_deref()).await? && !known {
                        let what = if entry.is_some() { "seen-unread" } else { "not-in-whois" };
                        let data = json!({"names": [name], "entry": what});
                        events.push(Event::new(EventType::LookedAgain, now, Cause::SYSTEM, data));
                    }
                }
                tx.record_events(id, &order_ref, &events, &routes, &mut ids).await
            })
        })
        .await
}
