//! Renews what draws near its end: tells the ordering side, and places the next order where the profile leaves that to this service.

use std::time::Duration;

use serde_json::{Value, json};

use super::ask::{AskError, Question};
use super::place_order::{NewOrder, PlaceError, place_order};
use super::show_order::{OrderRecord, show_order};
use super::{App, Cause, notify};
use crate::dcv::email::EmailAddress;
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::OrderId;
use crate::dcv::name::CertificateName;
use crate::dcv::order::{Choice, ChoiceError, Chooser, OrderKind, Wanted};
use crate::dcv::profile::{Addresses, Compliance, RenewalRules};
use crate::dcv::renewal::{self, Step};
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::store::{RenewalRow, StoreError};

/// Orders looked at in one round: each may ask other people's servers.
const ROUND_MAX: u32 = 20;

/// When what could not be done is tried again: by a daemon that ended meanwhile, or where a source did not answer.
const AGAIN: Duration = Duration::from_secs(3600);

/// When what somebody has to see to is tried again.
const NEXT_DAY: Duration = Duration::from_secs(DAY_SECS);

/// Does what is due; how many orders were looked at. Running it twice changes nothing the second time.
///
/// # Errors
/// [`StoreError`] when the database fails; what was done stays done.
pub async fn renew_due(app: &App) -> Result<usize, StoreError> {
    let now = app.now();
    let due = app.store.renewals_due(now, ROUND_MAX).await?;
    for row in &due {
        let claimed = row.clone();
        let again = now + AGAIN;
        let ours =
            app.store.write("claim_renewal", move |tx| Box::pin(async move { tx.claim_renewal(&claimed, again).await })).await;
        // One order that cannot be read must not keep the others waiting.
        match ours {
            Ok(false) => {}
            Ok::<_, StoreError>(true) => {
                if let Err(error) = renew(app, row, now).await {
                    tracing::error!(order = ?row.order_id, %error, "a renewal cannot be looked at; trying again");
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(due.len())
}

async fn renew(app: &App, row: &RenewalRow, now: Timestamp) -> Result<(), StoreError> {
    let missing = || StoreError::inconsistent("renewals", "order_id", &row.order_id);
    let id = OrderId::from_bytes(row.order_id.as_slice().try_into().map_err(|_| missing())?);
    let record = show_order(app, id, None).await?.ok_or_else(missing)?;
    let profile = app.profile_of(&record.order).await?;
    let rules = &profile.profile.renewal;
    let end = Timestamp::from_unix_micros(row.not_after);
    let next = renewal::next_after(rules, end, now).filter(|at| *at < end);
    match renewal::due(rules, end, Timestamp::from_unix_micros(row.done_until), now) {
        None => done(app, &record, now, next, None).await,
        Some(Step::Notice) => tell(app, &record, rules, end, now, next).await,
        Some(Step::Place) => match place(app, &record, end).await {
            // The order's own transaction wrote that it renews this one.
            Ok(placed) => {
                let event = (EventType::RenewalPlaced, json!({"order_id": placed.order.id()?, "not_after": end}));
                done(app, &record, now, next, Some(event)).await
            }
            Err(PlaceError::Ask(AskError::Store(error))) => Err(error),
            // The sources are asked again in an hour, as the claim says.
            Err(PlaceError::Ask(AskError::Choice(errors))) if errors.iter().any(is_unavailable) => Ok(()),
            Err(error) => {
                tracing::warn!(order = %id, %error, "a renewal could not be placed; trying again in a day");
                failed(app, &record, &error.to_string(), now).await
            }
        },
    }
}

fn is_unavailable(error: &ChoiceError) -> bool {
    matches!(error, ChoiceError::Unavailable { .. })
}

/// Places the order that renews another: the same names, applicant and approvers, under the profile as it is now.
async fn place(app: &App, record: &OrderRecord, end: Timestamp) -> Result<OrderRecord, PlaceError> {
    let profile = app.profiles.get(Some(&record.order.profile_id)).cloned().ok_or(PlaceError::NotInForce)?;
    if profile.profile.compliance == Compliance::Enforce && !profile.profile.is_in_force(app.now()) {
        return Err(PlaceError::NotInForce);
    }
    let lists = app.lists();
    let parse = |text: &str| CertificateName::parse(text, &lists.suffixes).ok();
    let names: Vec<CertificateName> = record.validations.iter().filter_map(|one| parse(&one.name)).collect();
    if names.len() < record.validations.len() {
        return Err(StoreError::inconsistent("validations", "name", &record.order.id).into());
    }
    let id = record.order.id()?;
    let mut facts = record.order.facts()?;
    (facts.kind, facts.previous_order_id) = (Some(OrderKind::Renewal), Some(id.to_string()));
    let choice = last_choice(record, &profile.profile.addresses);
    let new = |choice| NewOrder {
        client: record.order.client.clone(),
        actor: Cause::SYSTEM.to_owned(),
        order_ref: renewal::order_ref(&record.order.order_ref, end),
        question: Question {
            profile: profile.clone(),
            names: names.clone(),
            choice,
            locale: notify::locale(&record.order),
            facts: facts.clone(),
            lists: lists.clone(),
            previous: None,
            vouched: None,
        },
        test: false,
        request: None,
    };
    match place_order(app, new(choice)).await {
        // Whoever approved last may not any more: somebody else is chosen.
        Err(PlaceError::Ask(AskError::Choice(errors))) if !errors.iter().any(is_unavailable) => {
            place_order(app, new(Choice::Later)).await
        }
        placed => placed,
    }
}

/// Who is asked again: whoever the service chooses, else whoever approved each name, or was asked for it, last.
fn last_choice(record: &OrderRecord, addresses: &Addresses) -> Choice {
    if let Ok(choice) = Choice::Unsaid.under(addresses, Chooser::WithOrder)
        && choice.asks_whoever_is_found()
    {
        return choice;
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    for (at, one) in record.validations.iter().enumerate() {
        let asked = |mail: &&crate::store::MailRow| record.pairs.iter().any(|(by, of)| *by == mail.id && *of == one.id);
        let by = record.mails.iter().find(|mail| one.mail_id.as_ref() == Some(&mail.id));
        let by = by.or_else(|| record.mails.iter().rfind(asked));
        let Some((mail, email)) = by.and_then(|mail| Some((mail, EmailAddress::parse(&mail.recipient).ok()?))) else {
            return Choice::Later;
        };
        match wanted.iter_mut().find(|known| known.email == email && known.adn.as_deref() == Some(&mail.adn)) {
            Some(known) => known.names.get_or_insert_default().push(at),
            None => wanted.push(Wanted { email, adn: Some(mail.adn.clone()), names: Some(vec![at]) }),
        }
    }
    Choice::These(wanted)
}

/// Tells the ordering side that the end draws near, and what follows.
async fn tell(
    app: &App,
    record: &OrderRecord,
    rules: &RenewalRules,
    end: Timestamp,
    now: Timestamp,
    next: Option<Timestamp>,
) -> Result<(), StoreError> {
    let opens = rules.places().then(|| (end - rules.open_before).max(now));
    let names: Vec<&str> = record.validations.iter().map(|one| one.name.as_str()).collect();
    let notices = notify::of_renewal(&record.order, &names, end, opens)?;
    let (id, order_ref) = (record.order.id()?, record.order.order_ref.clone());
    let (mut ids, routes) = (app.id_source(), app.routes(&record.order.client));
    app.store
        .write("renewal_notice", move |tx| {
            Box::pin(async move {
                tx.lock(id).await?;
                notify::enqueue(tx, notices, now, &mut ids).await?;
                tx.renewal_done(id, now, next).await?;
                let data = json!({"not_after": end, "opens_at": opens});
                let event = Event::new(EventType::RenewalNoticed, now, Cause::SYSTEM, data);
                tx.record_events(id, &order_ref, &[event], &routes, &mut ids).await
            })
        })
        .await?;
    app.wake.notice.notify_one();
    Ok(())
}

/// Writes what was done.
async fn done(
    app: &App,
    record: &OrderRecord,
    now: Timestamp,
    next: Option<Timestamp>,
    told: Option<(EventType, Value)>,
) -> Result<(), StoreError> {
    let (id, order_ref) = (record.order.id()?, record.order.order_ref.clone());
    let (mut ids, routes) = (app.id_source(), app.routes(&record.order.client));
    app.store
        .write("renewal_done", move |tx| {
            Box::pin(async move {
                tx.lock(id).await?;
                tx.renewal_done(id, now, next).await?;
                let events: Vec<Event> =
                    told.into_iter().map(|(kind, data)| Event::new(kind, now, Cause::SYSTEM, data)).collect();
                tx.record_events(id, &order_ref, &events, &routes, &mut ids).await
            })
        })
        .await
}

/// Writes why no order could be placed, and looks again in a day: what was due stays due.
async fn failed(app: &App, record: &OrderRecord, why: &str, now: Timestamp) -> Result<(), StoreError> {
    let renewal = app.store.renewal(record.order.id()?).await?;
    let Some(row) = renewal.filter(|row| row.next_at.is_some()) else { return Ok(()) };
    let (id, order_ref, why) = (record.order.id()?, record.order.order_ref.clone(), why.to_owned());
    let (mut ids, routes) = (app.id_source(), app.routes(&record.order.client));
    app.store
        .write("renewal_failed", move |tx| {
            Box::pin(async move {
                tx.lock(id).await?;
                if tx.claim_renewal(&row, now + NEXT_DAY).await? {
                    let event = Event::new(EventType::RenewalFailed, now, Cause::SYSTEM, json!({"reason": why}));
                    tx.record_events(id, &order_ref, &[event], &routes, &mut ids).await?;
                }
                Ok(())
            })
        })
        .await
}
