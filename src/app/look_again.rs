//! Asks the sources again for names that await an approver: protection was lifted, a record was published, a server is back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::change_approver::{ChangeError, change_approver};
use super::entered::{self, Found};
use super::lookups::{self, Freshness};
use super::show_order::{OrderRecord, read};
use super::{App, Cause};
use crate::dcv::contact::{self, SourceReport};
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::OrderId;
use crate::dcv::name::{CertificateName, Fqdn};
use crate::dcv::order::{self, Choice, Chooser, OrderState};
use crate::dcv::profile::{Profile, SelectedBy};
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

/// Has the sources asked again at once, for whoever has just lifted a protection or published a record; `false` where no name awaits an
/// approver. A worker does it within a second.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn look_now(app: &App, id: OrderId, cause: &Cause) -> Result<bool, StoreError> {
    let Some(order) = app.store.order(id).await? else { return Ok(false) };
    let (now, mut ids, cause) = (app.now(), app.id_source(), cause.clone());
    app.store
        .write("look_now", move |tx| {
            Box::pin(async move {
                tx.lock(id).await?;
                tx.remember(cause.request.as_ref(), id, now).await?;
                if !tx.look_at(id, now).await? {
                    return Ok(false);
                }
                let event = Event::new(EventType::LookAsked, now, &cause.actor, json!({"reason": cause.reason}));
                // It stands in the timeline alone, so that there is nowhere to route it.
                tx.record_events(id, &order.order_ref, &[event], &|_: &Event| Vec::new(), &mut ids).await?;
                Ok(true)
            })
        })
        .await
}

async fn look_again(app: &App, id: OrderId) -> Result<(), StoreError> {
    let Some(order) = app.store.order(id).await? else { return Ok(()) };
    let record = read(app, order).await?;
    let now = app.now();
    let due = |one: &&ValidationRow| one.look_again_at.is_some_and(|at| at <= now.unix_micros());
    let due: Vec<ValidationRow> = record.validations.iter().filter(due).cloned().collect();
    let waiting = claim(app, due, now).await?;
    if waiting.is_empty() {
        return Ok(());
    }
    let versioned = app.profile_of(&record.order).await?;
    let (profile, lists) = (&versioned.profile, app.lists());
    let parsed: Vec<CertificateName> =
        waiting.iter().filter_map(|one| CertificateName::parse(&one.name, &lists.suffixes).ok()).collect();
    if parsed.len() < waiting.len() {
        // The suffix list changed under it; whoever runs this must look.
        return Err(StoreError::inconsistent("validations", "name", &record.order.id));
    }
    let names: Vec<&Fqdn> = parsed.iter().map(CertificateName::fqdn).collect();
    let gathered = lookups::gather(app, &names, profile, Freshness::Asked).await?;
    let listings: Vec<_> = names.iter().map(|name| contact::list(name, profile, &lists.policy, &gathered, app.now())).collect();
    let reports: Vec<SourceReport> = listings.iter().flat_map(|listing| listing.sources.iter()).cloned().collect();
    let found = Found { waiting: &waiting, names: &parsed, listings: &listings, lookups: &gathered };
    if entered::hold_against(app, &record, &found).await? {
        return Ok(());
    }
    let mut allowed = Vec::new();
    if record.order.asks_all == 1 {
        // As the order asked: everybody, or everybody of the role.
        let choice = Choice::Unsaid
            .under(&profile.addresses, Chooser::WithOrder)
            .ok()
            .filter(Choice::asks_whoever_is_found)
            .unwrap_or(Choice::All);
        let found = order::assign(&listings, &choice, &BTreeSet::new(), profile.decision.quorum).unwrap_or_default();
        let names: BTreeSet<usize> = found.mails.iter().flat_map(|mail| mail.names.iter().copied()).collect();
        let names: Vec<_> = names.iter().filter_map(|at| parsed.get(*at).cloned()).collect();
        if !names.is_empty() {
            match change_approver(app, &record, names, choice, &Cause::by(Cause::SYSTEM)).await {
                Ok(_) => return Ok(()),
                Err(ChangeError::Ask(super::ask::AskError::Store(error))) => return Err(error),
                // Found and gone again, or answered meanwhile: looked at once more later.
                Err(error) => tracing::info!(order = %id, %error, "whoever was found could not be asked"),
            }
        }
    } else {
        for (one, listing) in waiting.iter().zip(&listings) {
            let addresses = order::allowed(listing);
            if !addresses.is_empty() {
                allowed.push((one.name.clone(), addresses));
            }
        }
    }
    told(app, &record, profile, waiting, &reports, allowed).await
}

/// Takes the looks that are due upon oneself, and sets when the next are: a daemon that ends meanwhile, or an order that cannot be read,
/// keeps nobody waiting.
async fn claim(app: &App, due: Vec<ValidationRow>, now: Timestamp) -> Result<Vec<ValidationRow>, StoreError> {
    app.store
        .write("claim_look", move |tx| {
            Box::pin(async move {
                let mut ours = Vec::new();
                for one in due {
                    let looks = u32::try_from(one.looks + 1).unwrap_or(u32::MAX);
                    if tx.claim_look(&one, look_again_at(looks, now)).await? {
                        ours.push(one);
                    }
                }
                Ok(ours)
            })
        })
        .await
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
) -> Result<(), StoreError> {
    let (id, order_ref, now) = (record.order.id()?, record.order.order_ref.clone(), app.now());
    let (mut ids, routes) = (app.id_source(), app.routes(&record.order.client));
    let ends = waiting.iter().find_map(|one| one.selection_ends_at).map_or(now, Timestamp::from_unix_micros);
    let (profile, reports) = (profile.clone(), reports.to_vec());
    app.store
        .write("look_again", move |tx| {
            Box::pin(async move {
                let Some(order) = tx.lock_order(id).await? else { return Ok(()) };
                if order.state != OrderState::Pending.as_str() {
                    return Ok(());
                }
                let mut found = Vec::new();
                for (name, addresses) in allowed {
                    // Once somebody was found it is the ordering system's turn; where it was faster, there is nothing to tell.
                    let Some(one) = waiting.iter().find(|one| one.name == name) else { continue };
                    if tx.look_no_more(&one.id).await? {
                        found.push((name, addresses));
                    }
                }
                let event = if found.is_empty() {
                    let names: Vec<&str> = waiting.iter().map(|one| one.name.as_str()).collect();
                    Event::new(EventType::LookedAgain, now, Cause::SYSTEM, json!({"names": names, "sources": reports}))
                } else {
                    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
                    needed(&names, &[], &profile, &reports, &found, ends, now)
                };
                tx.record_events(id, &order_ref, &[event], &routes, &mut ids).await
            })
        })
        .await?;
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
        if !sources.iter().any(|known| known.tells_the_same(report)) {
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
        match profile.addresses.selected_by {
            SelectedBy::Operator => "an operator chooses on the status page".to_owned(),
            _ => "choose from `allowed`: POST /v1/orders/{id}/approvers".to_owned(),
        }
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
