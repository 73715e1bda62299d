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
use crate::dcv::profile::{Addresses, Compliance, RenewalRules};
use crate::dcv::renewal::{self, Life, Step};
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::store::{MailRow, OrderFilter, RenewalRow, StoreError, ValidationRow};

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
        // One that cannot be read must not keep the others waiting.
        if let Err(error) = renew(app, &ours, now).await {
            tracing::error!(serial = row.certificate.serial, %error, "a renewal cannot be looked at; trying again");
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
    next: Option<Timestamp>,
}

async fn renew(app: &App, row: &RenewalRow, now: Timestamp) -> Result<(), StoreError> {
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
    let ending = Ending { row, record, life, names, now, next };
    match renewal::due(rules, life, at(row.done_until), now) {
        _ if ending.names.is_empty() => done(app, &ending, None, Vec::new()).await,
        None => done(app, &ending, next, Vec::new()).await,
        Some(step) => match own_renewal(app, &ending, rules).await? {
            Some(by) => renewed_by(app, &ending, by).await,
            None if step == Step::Notice => tell(app, &ending, rules).await,
            None => match place(app, &ending).await {
                // The order's own transaction wrote that it renews this one.
                Ok(_) | Err(PlaceError::Renewed) => Ok(()),
                Err(PlaceError::Ask(AskError::Store(error))) => Err(error),
                // The sources are asked again in an hour, as the claim says; an open order for the names may become the renewal.
                Err(PlaceError::Ask(AskError::Choice(errors))) if errors.iter().any(is_unavailable) => Ok(()),
                Err(PlaceError::OpenOrderExists(_)) => again(app, &ending, None).await,
                Err(error) => {
                    tracing::warn!(order = %id, %error, "a renewal could not be placed; trying again in a day");
                    again(app, &ending, Some(error.to_string())).await
                }
            },
        },
    }
}

fn is_unavailable(error: &ChoiceError) -> bool {
    matches!(error, ChoiceError::Unavailable { .. })
}

/// An order of the ordering system's own that renews the certificate without saying so: of late, under the same profile, for the same
/// applicant and all of its names, and not come to nothing.
async fn own_renewal(app: &App, ending: &Ending<'_>, rules: &RenewalRules) -> Result<Option<Vec<u8>>, StoreError> {
    let Some((_, first)) = ending.names.first() else { return Ok(None) };
    let order = &ending.record.order;
    let since = ending.life.opens(rules) - OWN_RENEWAL;
    let filter = OrderFilter {
        client: Some(order.client.clone()),
        name: Some(first.to_string()),
        created: (Some(since.max(ending.life.not_before)), None),
        limit: OWN_MAX,
        ..OrderFilter::default()
    };
    let organization = order.facts()?.organization;
    for record in list_orders(app, &filter).await? {
        let lives = |one: &ValidationRow| matches!(one.state.as_str(), "approved" | "pending" | "awaiting_approver");
        let holds = |name: &String| record.validations.iter().any(|one| one.name == *name && lives(one));
        let names: Vec<String> = ending.names.iter().map(|(_, name)| name.to_string()).collect();
        let is_own = record.order.id != order.id
            && record.order.profile_id == order.profile_id
            && record.order.test == 0
            && record.order.facts()?.organization == organization;
        if is_own && names.iter().all(holds) {
            return Ok(Some(record.order.id));
        }
    }
    Ok(None)
}

/// Places the order that renews a certificate: its names, applicant and approvers, under the profile as it is now.
async fn place(app: &App, ending: &Ending<'_>) -> Result<OrderRecord, PlaceError> {
    let order = &ending.record.order;
    let profile = app.profiles.get(Some(&order.profile_id)).cloned().ok_or(PlaceError::NotInForce)?;
    if profile.profile.compliance == Compliance::Enforce && !profile.profile.is_in_force(ending.now) {
        return Err(PlaceError::NotInForce);
    }
    let (id, serial) = (order.id()?, &ending.row.certificate.serial);
    let mut facts = order.facts()?;
    (facts.kind, facts.previous_order_id) = (Some(OrderKind::Renewal), Some(id.to_string()));
    let scheduled =
        Scheduled { order: id, order_ref: order.order_ref.clone(), serial: serial.clone(), not_after: ending.life.not_after };
    let new = NewOrder {
        client: order.client.clone(),
        actor: Cause::SYSTEM.to_owned(),
        scheduled: Some(scheduled),
        order_ref: renewal::order_ref(&order.order_ref, ending.life.not_after, serial),
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
    if let Ok(choice) = Choice::Unsaid.under(addresses, Chooser::WithOrder)
        && choice.asks_whoever_is_found()
    {
        return Ok(choice);
    }
    let record = &ending.record;
    let mut wanted: Vec<Wanted> = Vec::new();
    for (at, (place, _)) in ending.names.iter().enumerate() {
        let Some(one) = record.validations.get(*place) else { continue };
        let by = record.mails.iter().find(|mail: &&MailRow| one.mail_id.as_ref() == Some(&mail.id));
        let by = match (by, &one.reused_id) {
            (Some(mail), _) => Some((mail.recipient.clone(), mail.adn.clone())),
            // It rests on an earlier order's approval.
            (None, Some(earlier)) => app.store.approver_of(earlier).await?,
            (None, None) => None,
        };
        let Some((email, adn)) = by.and_then(|(to, adn)| Some((EmailAddress::parse(&to).ok()?, adn))) else { continue };
        match wanted.iter_mut().find(|known| known.email == email && known.adn.as_deref() == Some(&adn)) {
            Some(known) => known.names.get_or_insert_default().push(at),
            None => wanted.push(Wanted { email, adn: Some(adn), names: Some(vec![at]) }),
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
    write(app, ending, next, None, events, Vec::new()).await
}

/// Writes that an order of the ordering system's own renews the certificate.
async fn renewed_by(app: &App, ending: &Ending<'_>, by: Vec<u8>) -> Result<(), StoreError> {
    write(app, ending, None, Some(by), Vec::new(), Vec::new()).await
}

async fn write(
    app: &App,
    ending: &Ending<'_>,
    next: Option<Timestamp>,
    by: Option<Vec<u8>>,
    events: Vec<Event>,
    notices: Vec<notify::NewNotice>,
) -> Result<(), StoreError> {
    let (id, order_ref) = (ending.record.order.id()?, ending.record.order.order_ref.clone());
    let (serial, now) = (ending.row.certificate.serial.clone(), ending.now);
    let (mut ids, routes) = (app.id_source(), app.routes(&ending.record.order.client));
    app.store
        .write("renewal", move |tx| {
            Box::pin(async move {
                tx.lock(id).await?;
                match &by {
                    Some(by) => {
                        tx.renewed(id, &serial, by).await?;
                    }
                    None => tx.renewal_done(id, &serial, now, next).await?,
                }
                notify::enqueue(tx, notices, now, &mut ids).await?;
                tx.record_events(id, &order_ref, &events, &routes, &mut ids).await
            })
        })
        .await?;
    app.wake.notice.notify_one();
    Ok(())
}

/// Looks again in a day: what was due stays due. Why no order could be placed is told to the operators and to whoever ordered.
async fn again(app: &App, ending: &Ending<'_>, why: Option<String>) -> Result<(), StoreError> {
    let order = &ending.record.order;
    let (id, order_ref, row, now) = (order.id()?, order.order_ref.clone(), ending.row.clone(), ending.now);
    let (mut ids, routes) = (app.id_source(), app.routes(&order.client));
    let names: Vec<String> = ending.names.iter().map(|(_, name)| name.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut notices = Vec::new();
    let mut events = Vec::new();
    if let Some(why) = why {
        let to: Vec<String> = order.facts()?.notify.into_iter().chain(app.settings.operators.clone()).collect();
        notices = notify::of_renewal(order, &to, &names, ending.life.not_after, None, Some(&why))?;
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
    app.wake.notice.notify_one();
    Ok(())
}
