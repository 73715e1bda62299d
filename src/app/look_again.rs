//! Asks the sources again for names that await an approver: protection was lifted, a record was published, a server is back.

use std::collections::BTreeMap;

use serde_json::json;

use super::change_approver::{ChangeError, change_approver};
use super::lookups::{self, Freshness};
use super::show_order::{OrderRecord, read};
use super::{App, Cause};
use crate::dcv::contact::{self, SourceReport};
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::OrderId;
use crate::dcv::name::{CertificateName, Fqdn};
use crate::dcv::order::{self, Choice};
use crate::dcv::profile::Profile;
use crate::dcv::remedy::{look_again_at, remedies};
use crate::dcv::timestamp::Timestamp;
use crate::store::{StoreError, ValidationRow};

/// Orders looked at in one round: each asks other people's servers.
const ROUND_MAX: u32 = 4;

/// When the sources of a name that begins to await an approver are asked again.
pub(super) fn first(now: Timestamp) -> Timestamp {
    look_again_at(0, now)
}

/// Asks again for what is due; how many orders were looked at.
///
/// # Errors
/// [`StoreError`] when the database fails; what was found stays found.
pub async fn look_again_due(app: &App) -> Result<usize, StoreError> {
    let due = app.store.orders_to_look_again(app.now(), ROUND_MAX).await?;
    for id in &due {
        let id: [u8; 16] = id.as_slice().try_into().map_err(|_| StoreError::inconsistent("validations", "order_id", id))?;
        let id = OrderId::from_bytes(id);
        // One order that cannot be read must not keep the others waiting.
        if let Err(error) = look_again(app, id).await {
            tracing::error!(order = %id, %error, "the sources could not be asked again; trying again");
        }
    }
    Ok(due.len())
}

async fn look_again(app: &App, id: OrderId) -> Result<(), StoreError> {
    let Some(order) = app.store.order(id).await? else { return Ok(()) };
    let record = read(app, order).await?;
    let versioned = app.profile_of(&record.order).await?;
    let (profile, lists) = (&versioned.profile, app.lists());
    let due = |one: &&ValidationRow| one.look_again_at.is_some_and(|at| at <= app.now().unix_micros());
    let waiting: Vec<ValidationRow> = record.validations.iter().filter(due).cloned().collect();
    let parsed: Vec<CertificateName> =
        waiting.iter().filter_map(|one| CertificateName::parse(&one.name, &lists.suffixes).ok()).collect();
    if parsed.len() < waiting.len() {
        // The suffix list changed under it; whoever runs this must look.
        return Err(StoreError::inconsistent("validations", "name", &record.order.id));
    }
    let names: Vec<&Fqdn> = parsed.iter().map(CertificateName::fqdn).collect();
    let gathered = lookups::gather(app, &names, profile, Freshness::Asked).await?;
    let now = app.now();
    let listings: Vec<_> = names.iter().map(|name| contact::list(name, profile, &lists.policy, &gathered, now)).collect();
    let found: Vec<usize> = (0..listings.len()).filter(|at| !order::allowed(&listings[*at]).is_empty()).collect();
    if record.order.asks_all == 1 && !found.is_empty() {
        let names = found.iter().filter_map(|at| parsed.get(*at).cloned()).collect();
        let choice = Choice::Unsaid.under(&profile.addresses).unwrap_or(Choice::All);
        let choice = if choice == Choice::Unsaid { Choice::All } else { choice };
        match change_approver(app, &record, names, choice, &Cause::by("system")).await {
            Ok(_) => return Ok(()),
            // Found and gone again, or answered meanwhile: looked at once more later.
            Err(ChangeError::Ask(super::ask::AskError::Store(error))) => return Err(error),
            Err(error) => tracing::info!(order = %id, %error, "whoever was found could not be asked"),
        }
    }
    let reports: Vec<SourceReport> = listings.iter().flat_map(|listing| listing.sources.iter()).cloned().collect();
    let allowed: Vec<(String, Vec<String>)> =
        found.iter().map(|at| (waiting[*at].name.clone(), order::allowed(&listings[*at]))).collect();
    told(app, &record, profile, waiting, &reports, allowed, now).await
}

/// Writes down what the look brought: `approver.needed` with whom to choose from where somebody was found, else an entry in the
/// timeline alone.
async fn told(
    app: &App,
    record: &OrderRecord,
    profile: &Profile,
    waiting: Vec<ValidationRow>,
    reports: &[SourceReport],
    allowed: Vec<(String, Vec<String>)>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (id, order_ref) = (record.order.id()?, record.order.order_ref.clone());
    let (mut ids, routes) = (app.id_source(), app.routes(&record.order.client));
    let ends = waiting.iter().find_map(|one| one.selection_ends_at).map_or(now, Timestamp::from_unix_micros);
    let names: Vec<&str> = waiting.iter().map(|one| one.name.as_str()).collect();
    let event = if allowed.is_empty() {
        Event::new(EventType::LookedAgain, now, "system", json!({"names": names, "sources": reports}))
    } else {
        let found: Vec<&str> = allowed.iter().map(|(name, _)| name.as_str()).collect();
        needed(&found, &[], profile, reports, &allowed, ends, now)
    };
    app.store
        .write("look_again", move |tx| {
            Box::pin(async move {
                tx.lock(id).await?;
                for one in &waiting {
                    let looks = u32::try_from(one.looks + 1).unwrap_or(u32::MAX);
                    // Once somebody was found it is the ordering system's turn.
                    let next = allowed.iter().all(|(name, _)| *name != one.name).then(|| look_again_at(looks, now));
                    tx.looked_again(&one.id, next).await?;
                }
                tx.record_events(id, &order_ref, &[event], &routes, &mut ids).await
            })
        })
        .await?;
    app.wake.webhook.notify_one();
    Ok(())
}

/// What tells the ordering system that names await an approver: why, what to do, and whom it may choose where somebody was found.
pub(super) fn needed(
    names: &[&str],
    fqdns: &[&Fqdn],
    profile: &Profile,
    missing: &[SourceReport],
    allowed: &[(String, Vec<String>)],
    selection_ends_at: Timestamp,
    now: Timestamp,
) -> Event {
    let mut sources: Vec<&SourceReport> = Vec::new();
    for report in missing {
        if !sources.contains(&report) {
            sources.push(report);
        }
    }
    let mut ways = Vec::new();
    for fqdn in fqdns {
        for way in remedies(fqdn, &profile.addresses, missing) {
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
    }
    let allowed: BTreeMap<&String, &Vec<String>> = allowed.iter().map(|(name, addresses)| (name, addresses)).collect();
    let remedy = if allowed.is_empty() {
        ways.iter().map(|way| way.en.as_str()).collect::<Vec<_>>().join(" ")
    } else {
        "choose from `allowed`: POST /v1/orders/{id}/approvers".to_owned()
    };
    let data = json!({
        "names": names,
        "reason": if allowed.is_empty() { "none-found" } else { "found" },
        "sources": sources,
        "remedy": remedy,
        "remedies": ways,
        "allowed": allowed,
        "selection_ends_at": selection_ends_at,
    });
    Event::new(EventType::ApproverNeeded, now, "system", data)
}
