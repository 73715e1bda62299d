//! Renews what draws near its end: tells the ordering side, and places the next order where the profile leaves that to this service.

use std::time::Duration;

use serde_json::json;

use super::ask::{AskError, Question};
use super::place_order::{NewOrder, PlaceError, Scheduled, place_order};
use super::show_order::{OrderRecord, list_orders, show_order};
use super::{App, Cause, notify};
use crate::dcv::email::EmailAddress;
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::OrderId;
use crate::dcv::name::CertificateName;
use crate::dcv::order::{Choice, ChoiceError, Chooser, OrderKind, Wanted};
use crate::dcv::profile::{Addresses, Compliance, RenewalRules, SelectedBy};
use crate::dcv::renewal::{self, Life, Step};
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::store::{OrderFilter, RenewalRow, StoreError, ValidationRow};

/// Certificates looked at in one round: each may ask other people's servers.
const ROUND_MAX: u32 = 20;

/// When what could not be done is tried again: by a daemon that ended meanwhile, or where a source did not answer.
const AGAIN: Duration = Duration::from_secs(3600);

/// When what somebody has to see to is tried again.
const NEXT_DAY: Duration = Duration::from_secs(DAY_SECS);

/// How long before this service would place an order one of the ordering system's own counts as the renewal, though it does not say so.
const OWN_RENEWAL: Duration = Duration::from_secs(30 * DAY_SECS);

/// Orders of the ordering system looked at for that.
const OWN_MAX: u32 = 50;

/// How long before the end people are told each day that there is no renewal yet.
const LATE: Duration = Duration::from_secs(7 * DAY_SECS);

/// Does what is due; how many certificates were looked at. Running it twice changes nothing the second time.
///
/// # Errors
/// [`StoreError`] when the database fails; what was done stays done.
pub async fn renew_due(app: &App) -> Result<usize, StoreError> {
    let now = app.now();
    let due = app.store.renewals_due(now, ROUND_MAX).await?;
    for row in &due {
        let claimed = row.clone();
        let again = now + AGAIN;
        let claim: Result<bool, StoreError> =
            app.store.write("claim_renewal", move |tx| Box::pin(async move { tx.claim_renewal(&claimed, again).await })).await;
        if !claim? {
            continue;
        }
        let ours = RenewalRow { next_at: Some(again.unix_micros()), ..row.clone() };
        let fell_due = row.next_at.map_or(now, Timestamp::from_unix_micros);
        // One that cannot be read must not keep the others waiting, nor be tried when it is of no use any more.
        if let Err(error) = renew(app, &ours, fell_due, now).await {
            tracing::error!(serial = row.certificate.serial, %error, "a renewal cannot be looked at; trying again");
            if now.unix_micros() >= row.certificate.not_after {
                let over: Result<bool, StoreError> = app
                    .store
                    .write("renewal", move |tx| Box::pin(async move { tx.renewal_done(&ours, now, None, None).await }))
                    .await;
                over?;
            }
        }
    }
    Ok(due.len())
}

/// A certificate that is looked at.
struct Ending<'e> {
    row: &'e RenewalRow,
    record: OrderRecord,
    life: Life,
    /// Its names that were approved, with their places in the order.
    names: Vec<(usize, CertificateName)>,
    now: Timestamp,
    /// When what is done now fell due, or was to be tried again.
    fell_due: Timestamp,
    next: Option<Timestamp>,
}

/// What there is of the ordering system's own that renews a certificate.
enum Own {
    /// Nothing.
    Nothing,
    /// An order that nobody has approved yet: it may come to nothing.
    Open,
    /// An order that was approved.
    Approved(Vec<u8>),
}

async fn renew(app: &App, row: &RenewalRow, fell_due: Timestamp, now: Timestamp) -> Result<(), StoreError> {
    let missing = || StoreError::inconsistent("renewals", "order_id", &row.order_id);
    let id = OrderId::from_bytes(row.order_id.as_slice().try_into().map_err(|_| missing())?);
    let record = show_order(app, id, None).await?.ok_or_else(missing)?;
    let profile = app.profile_of(&record.order).await?;
    let rules = &profile.profile.renewal;
    let at = Timestamp::from_unix_micros;
    let life = Life { not_before: at(row.certificate.not_before), not_after: at(row.certificate.not_after) };
    let next = renewal::next_after(rules, life, now).filter(|at| *at < life.not_after);
    let (lists, wanted) = (app.lists(), row.certificate.names()?);
    let parse = |(place, one): (usize, &ValidationRow)| Some((place, CertificateName::parse(&one.name, &lists.suffixes).ok()?));
    let held = |(_, one): &(usize, &ValidationRow)| one.state == "approved" && wanted.contains(&one.name);
    let names: Vec<_> = record.validations.iter().enumerate().filter(held).filter_map(parse).collect();
    let disputed = names.iter().find(|(place, _)| record.validations.get(*place).is_some_and(|one| one.disputed_at.is_some()));
    let disputed =
        disputed.map(|(_, name)| format!("somebody objected to the approval of {name}; order anew, and choose who is asked"));
    let ending = Ending { row, record, life, names, now, fell_due, next };
    match renewal::due(rules, life, at(row.done_until), now) {
        _ if ending.names.is_empty() => done(app, &ending, None, Vec::new()).await,
        None => done(app, &ending, next, Vec::new()).await,
        Some(step) => match own_renewal(app, &ending, rules).await? {
            Own::Approved(by) => write(app, &ending, None, Some(by), Vec::new(), Vec::new()).await,
            Own::Open => again(app, &ending, rules, None).await,
            Own::Nothing if step == Step::Notice => tell(app, &ending, rules).await,
            Own::Nothing if disputed.is_some() => again(app, &ending, rules, disputed).await,
            Own::Nothing => match place(app, &ending).await {
                // The order's own transaction wrote that it renews this one.
                Ok(_) | Err(PlaceError::Renewed) => Ok(()),
                Err(PlaceError::Ask(AskError::Store(error))) => Err(error),
                // The sources are asked again in an hour, as the claim says.
                Err(PlaceError::Ask(AskError::Choice(errors))) if errors.iter().any(is_unavailable) && !ending.is_late() => {
                    Ok(())
                }
                Err(error) => {
                    tracing::warn!(order = %id, %error, "a renewal could not be placed; trying again in a day");
                    again(app, &ending, rules, Some(error.to_string())).await
                }
            },
        },
    }
}

impl Ending<'_> {
    /// Whether the end is so near that each day's failure is told by mail.
    fn is_late(&self) -> bool {
        self.life.not_after.since(self.now) <= LATE
    }
}

fn is_unavailable(error: &ChoiceError) -> bool {
    matches!(error, ChoiceError::Unavailable { .. })
}

/// An order of the ordering system's own that renews the certificate: one that says so, or one of late, placed after the certificate was
/// reported, under the same profile, for the same applicant and all of its names.
async fn own_renewal(app: &App, ending: &Ending<'_>, rules: &RenewalRules) -> Result<Own, StoreError> {
    if let Some(by) = &ending.row.renewed_by {
        let missing = || StoreError::inconsistent("renewals", "renewed_by", &ending.row.order_id);
        let id = OrderId::from_bytes(by.as_slice().try_into().map_err(|_| missing())?);
        let record = show_order(app, id, None).await?.ok_or_else(missing)?;
        match outcome(&record.order.id, record.validations.iter()) {
            Own::Nothing => {}
            own => return Ok(own),
        }
    }
    let Some((_, first)) = ending.names.first() else { return Ok(Own::Nothing) };
    let order = &ending.record.order;
    let since = (ending.life.opens(rules) - OWN_RENEWAL)
        .max(ending.life.not_before)
        .max(Timestamp::from_unix_micros(ending.row.certificate.at.max(order.created_at)));
    let filter = OrderFilter {
        client: Some(order.client.clone()),
        name: Some(first.to_string()),
        created: (Some(since), None),
        limit: OWN_MAX,
        ..OrderFilter::default()
    };
    let names: Vec<String> = ending.names.iter().map(|(_, name)| name.to_string()).collect();
    let (told, mut found) = (order.facts()?, Own::Nothing);
    for record in list_orders(app, &filter).await?.0 {
        let facts = record.order.facts()?;
        let is_own = record.order.id != order.id
            && record.order.profile_id == order.profile_id
            && record.order.test == 0
            // What comes in another order's place is no renewal of this one.
            && facts.previous_order_id.is_none()
            && facts.organization == told.organization;
        if !is_own || !names.iter().all(|name| record.validations.iter().any(|one| one.name == *name && is_alive(one))) {
            continue;
        }
        match outcome(&record.order.id, record.validations.iter().filter(|one| names.contains(&one.name))) {
            Own::Nothing => {}
            Own::Open => found = Own::Open,
            approved @ Own::Approved(_) => return Ok(approved),
        }
    }
    Ok(found)
}

fn is_alive(one: &ValidationRow) -> bool {
    matches!(one.state.as_str(), "approved" | "pending" | "awaiting_approver")
}

/// What an order has come to, by its names.
fn outcome<'v>(order: &[u8], names: impl Iterator<Item = &'v ValidationRow>) -> Own {
    let alive: Vec<&ValidationRow> = names.filter(|one| is_alive(one)).collect();
    match alive.iter().all(|one| one.state == "approved") {
        _ if alive.is_empty() => Own::Nothing,
        true => Own::Approved(order.to_vec()),
        false => Own::Open,
    }
}

/// Places the order that renews a certificate: its names, applicant and approvers, under the profile as it is now.
async fn place(app: &App, ending: &Ending<'_>) -> Result<OrderRecord, PlaceError> {
    let order = &ending.record.order;
    let profile = app.profiles.get(Some(&order.profile_id)).cloned().ok_or(PlaceError::NotInForce)?;
    if profile.profile.compliance == Compliance::Enforce && !profile.profile.is_in_force(ending.now) {
        return Err(PlaceError::NotInForce);
    }
    let id = order.id()?;
    let mut facts = order.facts()?;
    (facts.kind, facts.previous_order_id) = (Some(OrderKind::Renewal), Some(id.to_string()));
    let scheduled = Scheduled { order: id, order_ref: order.order_ref.clone(), row: ending.row.clone() };
    let new = NewOrder {
        client: order.client.clone(),
        actor: Cause::SYSTEM.to_owned(),
        scheduled: Some(scheduled),
        amends: None,
        order_ref: renewal::order_ref(&order.order_ref, ending.life.not_after, &ending.row.certificate.serial),
        question: Question {
            choice: last_choice(app, ending, &profile.profile.addresses).await?,
            profile,
            names: ending.names.iter().map(|(_, name)| name.clone()).collect(),
            locale: notify::locale(order),
            facts,
            lists: app.lists(),
            previous: None,
            vouched: None,
        },
        test: false,
        request: None,
    };
    place_order(app, new).await
}

/// Who is asked again: whoever the service chooses, else whoever approved each name; somebody is chosen for those names whose approver may
/// not any more.
async fn last_choice(app: &App, ending: &Ending<'_>, addresses: &Addresses) -> Result<Choice, StoreError> {
    let choice = Choice::Unsaid.under(addresses, Chooser::WithOrder).unwrap_or(Choice::Later);
    if choice.asks_whoever_is_found() || addresses.selected_by == SelectedBy::Operator {
        return Ok(choice);
    }
    let record = &ending.record;
    let mut wanted: Vec<Wanted> = Vec::new();
    for (at, (place, _)) in ending.names.iter().enumerate() {
        let Some(one) = record.validations.get(*place) else { continue };
        // It may rest on an earlier order's approval.
        for (email, adn) in app.store.approvers_of(one.reused_id.as_ref().unwrap_or(&one.id)).await? {
            let Ok(email) = EmailAddress::parse(&email) else { continue };
            match wanted.iter_mut().find(|known| known.email == email && known.adn.as_deref() == Some(&adn)) {
                Some(known) => known.names.get_or_insert_default().push(at),
                None => wanted.push(Wanted { email, adn: Some(adn), names: Some(vec![at]) }),
            }
        }
    }
    Ok(Choice::Partly(wanted))
}

/// Tells the ordering side that the end draws near, and what follows.
async fn tell(app: &App, ending: &Ending<'_>, rules: &RenewalRules) -> Result<(), StoreError> {
    let opens = rules.places().then(|| ending.life.opens(rules).max(ending.now));
    let names: Vec<String> = ending.names.iter().map(|(_, name)| name.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let order = &ending.record.order;
    let notices = notify::of_renewal(order, &order.facts()?.notify, &names, ending.life.not_after, opens, None)?;
    let data = json!({"serial": ending.row.certificate.serial, "not_after": ending.life.not_after, "opens_at": opens});
    let event = Event::new(EventType::RenewalNoticed, ending.now, Cause::SYSTEM, data);
    write(app, ending, ending.next, None, vec![event], notices).await
}

/// Writes that there is nothing to do now.
async fn done(app: &App, ending: &Ending<'_>, next: Option<Timestamp>, events: Vec<Event>) -> Result<(), StoreError> {
    // Which order says that it renews the certificate is still true.
    let by = ending.row.renewed_by.clone().filter(|_| next.is_some());
    write(app, ending, next, by, events, Vec::new()).await
}

/// Writes what was done, and by which order the certificate is renewed; nothing, and tells nobody, where something else came of it
/// meanwhile.
async fn write(
    app: &App,
    ending: &Ending<'_>,
    next: Option<Timestamp>,
    by: Option<Vec<u8>>,
    events: Vec<Event>,
    notices: Vec<notify::NewNotice>,
) -> Result<(), StoreError> {
    let (id, order_ref) = (ending.record.order.id()?, ending.record.order.order_ref.clone());
    let (row, now) = (ending.row.clone(), ending.now);
    let (mut ids, routes) = (app.id_source(), app.routes(&ending.record.order.client));
    app.store
        .write("renewal", move |tx| {
            Box::pin(async move {
                tx.lock(id).await?;
                if tx.renewal_done(&row, now, next, by.as_deref()).await? {
                    notify::enqueue(tx, notices, now, &mut ids).await?;
                    tx.record_events(id, &order_ref, &events, &routes, &mut ids).await?;
                }
                Ok::<(), StoreError>(())
            })
        })
        .await?;
    Ok(())
}

/// Looks again in a day: what was due stays due. Why no order could be placed is an event each time; the operators and whoever ordered
/// get mail of it the first time, and each day shortly before the end.
async fn again(app: &App, ending: &Ending<'_>, rules: &RenewalRules, why: Option<String>) -> Result<(), StoreError> {
    let order = &ending.record.order;
    let (id, order_ref, row, now) = (order.id()?, order.order_ref.clone(), ending.row.clone(), ending.now);
    let (mut ids, routes) = (app.id_source(), app.routes(&order.client));
    let names: Vec<String> = ending.names.iter().map(|(_, name)| name.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut notices = Vec::new();
    let mut events = Vec::new();
    if let Some(why) = why {
        let to: Vec<String> = order.facts()?.notify.into_iter().chain(app.settings.operators.clone()).collect();
        if ending.fell_due < ending.life.opens(rules) + NEXT_DAY || ending.is_late() {
            notices = notify::of_renewal(order, &to, &names, ending.life.not_after, None, Some(&why))?;
        }
        let data = json!({"serial": row.certificate.serial, "reason": why});
        events.push(Event::new(EventType::RenewalFailed, now, Cause::SYSTEM, data));
    }
    app.store
        .write("renewal_again", move |tx| {
            Box::pin(async move {
                tx.lock(id).await?;
                if tx.claim_renewal(&row, now + NEXT_DAY).await? {
                    notify::enqueue(tx, notices, now, &mut ids).await?;
                    tx.record_events(id, &order_ref, &events, &routes, &mut ids).await?;
                }
                Ok::<(), StoreError>(())
            })
        })
        .await?;
    Ok(())
}
