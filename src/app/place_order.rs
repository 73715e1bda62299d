//! Takes an order: works out and checks the approvers, commits, and leaves the mails in the outbox.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ask::{self, AskError, Chosen, Question, Written, choose};
use super::cancel::{self, Cancellation};
use super::change_approver::may_mail;
use super::show_order::OrderRecord;
use super::{App, Cause, OrderFacts, allowlist, look_again, notify, reuse};
use crate::dcv::contact::entry::Entry;
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::{OrderId, ValidationId};
use crate::dcv::name::CertificateName;
use crate::dcv::order::{Choice, ChoiceError, OrderState, ValidationState};
use crate::dcv::profile::{Concurrency, Resends};
use crate::dcv::resend::ResendRefusal;
use crate::dcv::timestamp::Timestamp;
use crate::store::{OrderRow, RenewalRow, Repeatable, StoreError, Tx, ValidationRow};

/// An order as an ordering system submits it, parsed.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// The ordering system.
    pub client: String,
    /// Who places it, as the timeline tells.
    pub actor: String,
    /// Its reference.
    pub order_ref: String,
    /// What is asked of whom.
    pub question: Question,
    /// This service places it to renew a certificate.
    pub scheduled: Option<Scheduled>,
    /// An operator places it in the place of another.
    pub amends: Option<Amends>,
    /// It comes from a client under test: its mails go nowhere, its approvals prove nothing.
    pub test: bool,
    /// The request, where it may be repeated.
    pub request: Option<Repeatable>,
}

/// The order in whose place another comes.
#[derive(Debug, Clone)]
pub struct Amends {
    /// Which.
    pub order: OrderId,
    /// The last entry of its timeline that was known when the other was made up.
    pub last_seq: i64,
    /// What is told with its end.
    pub why: Cancellation,
}

/// The certificate that an order of this service's own renews.
#[derive(Debug, Clone)]
pub struct Scheduled {
    /// The order that it was issued on.
    pub order: OrderId,
    /// That order's reference.
    pub order_ref: String,
    /// The certificate, as it was claimed.
    pub row: RenewalRow,
}

/// Why an order was not taken; nothing was stored but look-ups.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The client used the reference before.
    #[error("the order reference was used before")]
    DuplicateOrderRef,
    /// The profile allows one open order for the same customer and names; this one is open.
    #[error("the order {0} is open for one of these names")]
    OpenOrderExists(OrderId),
    /// An approval that the order was to rest on ended meanwhile, again and again.
    #[error("an approval that was to be reused ended meanwhile")]
    ReuseGone,
    /// The profile holds clients to a list of domains, and these names, by their places, are not on this one's.
    #[error("a name is not on the client's allow-list")]
    NotAllowlisted(Vec<usize>),
    /// Somebody renews the certificate meanwhile.
    #[error("another order renews the certificate")]
    Renewed,
    /// The order in whose place this one comes has ended meanwhile.
    #[error("the order has changed or ended meanwhile: look again")]
    Ended,
    /// Whoever would be asked was mailed too often, or a moment ago.
    #[error("whoever would be asked was mailed too often, or a moment ago")]
    TooSoon(ResendRefusal),
    /// The profile is gone, or takes no orders on this day.
    #[error("the profile takes no orders on this day")]
    NotInForce,
    /// Nothing could be asked.
    #[error(transparent)]
    Ask(#[from] AskError),
}

impl From<StoreError> for PlaceError {
    fn from(error: StoreError) -> Self {
        Self::Ask(error.into())
    }
}

/// Takes an order.
///
/// # Errors
/// [`PlaceError`]; then there is no order.
pub async fn place_order(app: &App, new: NewOrder) -> Result<OrderRecord, PlaceError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match place(app, new.clone()).await {
            // Somebody objected to an approval that the order was to rest on, meanwhile: without it, then.
            Err(PlaceError::ReuseGone) if tries < PLACE_TRIES => {}
            placed => return placed,
        }
    }
}

/// How often an order is placed whose reused approvals end meanwhile.
const PLACE_TRIES: u32 = 3;

async fn place(app: &App, mut new: NewOrder) -> Result<OrderRecord, PlaceError> {
    if app.store.order_ref_taken(&new.client, &new.order_ref).await? {
        return Err(PlaceError::DuplicateOrderRef);
    }
    let told = new.question.choice.clone();
    allowlist::apply(app, &mut new).await?;
    new.question.previous = ask::previous(app, &new.client, &new.question.facts).await?;
    let held = held(&new);
    // What waits for a person rests on nothing.
    let reused = if held.is_some() { BTreeMap::new() } else { reuse::find(app, &new, app.now()).await? };
    let settled = reused.keys().copied().collect();
    let chosen = match choose(app, &new.question, &settled).await {
        // Whom the client's list names may not be asked, or nobody knows yet: as though it named nobody.
        Err(AskError::Choice(errors))
            if new.question.choice != told
                && (told == Choice::Later || !errors.iter().any(|error| matches!(error, ChoiceError::Unavailable { .. }))) =>
        {
            new.question.choice = told;
            choose(app, &new.question, &settled).await?
        }
        chosen => chosen?,
    };
    let now = app.now();
    let draft = draft(app, &new, held, &chosen, &reused, now)?;
    let record = draft.record.clone();
    let complete = settled.len() == new.question.names.len();
    let (concurrency, request) = (new.question.profile.profile.concurrency, new.request.clone());
    let (mut ids, routes) = (app.id_source(), app.routes(&new.client));
    // What policy holds must not be announced.
    let heads_up = new.question.profile.profile.mail.applicant_heads_up && record.order.held.is_none();
    let facts = new.question.facts;
    let (renews, scheduled, amends) = (facts.succeeds(), new.scheduled.clone(), new.amends.clone());
    let (actor, rules) = (new.actor.clone(), new.question.profile.profile.resend.clone());
    app.store
        .write("place_order", move |tx| {
            Box::pin(async move {
                let Draft { record, written, events } = draft;
                let order = record.order.id()?;
                // What this service places by itself takes no order's place.
                let concurrency = if scheduled.is_some() { Concurrency::SingleOpen } else { concurrency };
                if let Some(amends) = amends {
                    end_amended(tx, amends, &record, &rules, &actor, &routes, now, &mut ids).await?;
                }
                make_room(tx, concurrency, &record, &facts, &routes, now, &mut ids).await?;
                if !tx.insert_order(&record.order).await? {
                    return Err(PlaceError::DuplicateOrderRef);
                }
                tx.remember(request.as_ref(), order, now).await?;
                if let Some(scheduled) = &scheduled {
                    tx.lock(scheduled.order).await?;
                    if !tx.renewal_done(&scheduled.row, now, None, Some(&record.order.id)).await? {
                        return Err(PlaceError::Renewed);
                    }
                    let certificate = &scheduled.row.certificate;
                    let not_after = Timestamp::from_unix_micros(certificate.not_after);
                    let data = json!({"order_id": order, "serial": certificate.serial, "not_after": not_after});
                    let placed = Event::new(EventType::RenewalPlaced, now, Cause::SYSTEM, data);
                    tx.record_events(scheduled.order, &scheduled.order_ref, &[placed], &routes, &mut ids).await?;
                } else if let Some(earlier) = renews {
                    renew(tx, earlier, &record).await?;
                }
                for earlier in record.validations.iter().filter_map(|one| one.reused_id.as_ref()) {
                    if !tx.is_live(earlier, now).await? {
                        return Err(PlaceError::ReuseGone);
                    }
                }
                for validation in &record.validations {
                    tx.insert_validation(validation).await?;
                }
                for lookup in chosen.lookups {
                    tx.tie_lookup(order, lookup).await?;
                }
                ask::commit(tx, &record.order, &written, now, &mut ids).await?;
                if heads_up {
                    notify::enqueue(
                        tx,
                        notify::of_order(&record.order, &facts, &record.validations, &record.mails)?,
                        now,
                        &mut ids,
                    )
                    .await?;
                }
                tx.record_first_events(&record.order, &events, &routes, &mut ids).await?;
                if complete {
                    let last = super::answer::completion(&record.order, &record.validations, now)?;
                    tx.record_events(order, &record.order.order_ref, last.as_slice(), &routes, &mut ids).await?;
                }
                Ok::<_, PlaceError>(())
            })
        })
        .await?;
    if complete {
        let ended_at = Some(now.unix_micros());
        let order = OrderRow { state: OrderState::Completed.as_str().to_owned(), ended_at, ..record.order };
        return Ok(OrderRecord { order, ..record });
    }
    Ok(record)
}

/// Ends the order in whose place another comes.
#[expect(clippy::too_many_arguments, reason = "what a transaction works with")]
async fn end_amended(
    tx: &mut Tx<'_>,
    Amends { order: earlier, last_seq, why }: Amends,
    new: &OrderRecord,
    rules: &Resends,
    actor: &str,
    routes: &(dyn Fn(&Event) -> Vec<String> + Send + Sync),
    now: Timestamp,
    ids: &mut (dyn FnMut() -> [u8; 10] + Send),
) -> Result<(), PlaceError> {
    // As every order that is placed does: the client first.
    tx.lock_client(&new.order.client).await?;
    let open = tx.lock_order(earlier).await?.filter(|order| order.state == OrderState::Pending.as_str());
    // What happened meanwhile was not looked at: an approver replaced, a refusal, an answer.
    let open = open.filter(|order| order.last_seq == last_seq).ok_or(PlaceError::Ended)?;
    let mails = tx.mails(earlier).await?;
    for mail in &new.mails {
        may_mail(&mails, mail, rules, now).map_err(PlaceError::TooSoon)?;
    }
    let successor = new.order.id()?;
    let why = Cancellation { successor: Some(successor), ..why };
    let event = cancel::end(tx, &open, &why, actor, now, ids).await?;
    tx.record_events(earlier, &open.order_ref, &[event], routes, ids).await?;
    Ok(())
}

/// Writes that an order says it renews the certificates of an earlier one of the same client, those that it shares a name with.
async fn renew(tx: &mut Tx<'_>, earlier: OrderId, new: &OrderRecord) -> Result<(), StoreError> {
    if new.order.test == 1 {
        return Ok(());
    }
    let Some(order) = tx.lock_order(earlier).await?.filter(|order| order.client == new.order.client) else { return Ok(()) };
    for row in tx.watched(order.id()?).await? {
        let names = row.certificate.names()?;
        if names.iter().any(|name| new.validations.iter().any(|one| one.name == *name)) {
            tx.says_it_renews(&row, &new.order.id).await?;
        }
    }
    Ok(())
}

/// Sees to the client's open orders for one of the same names and the same applicant, as the profile says.
async fn make_room(
    tx: &mut Tx<'_>,
    concurrency: Concurrency,
    new: &OrderRecord,
    facts: &OrderFacts,
    routes: &(dyn Fn(&Event) -> Vec<String> + Send + Sync),
    now: Timestamp,
    ids: &mut (dyn FnMut() -> [u8; 10] + Send),
) -> Result<(), PlaceError> {
    if concurrency == Concurrency::Multiple {
        return Ok(());
    }
    let names: Vec<String> = new.validations.iter().map(|one| one.name.clone()).collect();
    for (id, told) in tx.open_orders_with(&new.order.client, &names).await? {
        let inconsistent = |column| StoreError::inconsistent("orders", column, &id);
        let told: OrderFacts = serde_json::from_str(&told).map_err(|_| inconsistent("facts"))?;
        // Refusing a second order harms nobody; cancelling the first takes that the customer is known to be the same.
        let same = told.organization == facts.organization;
        if !same || (concurrency == Concurrency::Supersede && told.organization.is_none()) {
            continue;
        }
        let id = OrderId::from_bytes(id.as_slice().try_into().map_err(|_| inconsistent("id"))?);
        if concurrency == Concurrency::SingleOpen {
            return Err(PlaceError::OpenOrderExists(id));
        }
        let Some(open) = tx.lock_order(id).await?.filter(|order| order.state == OrderState::Pending.as_str()) else { continue };
        let reason = Some(format!("superseded by {}", new.order.order_ref));
        let why = Cancellation { reason, successor: Some(new.order.id()?), ..Cancellation::default() };
        let event = cancel::end(tx, &open, &why, "system", now, ids).await?;
        tx.record_events(id, &open.order_ref, &[event], routes, ids).await?;
    }
    Ok(())
}

/// Why the order's mails wait for an operator, as JSON; `None` where policy holds none of its names.
fn held(new: &NewOrder) -> Option<String> {
    let entries: Vec<_> =
        new.question.names.iter().flat_map(|name| new.question.lists.policy.holds(name, &new.question.profile.profile)).collect();
    (!entries.is_empty()).then(|| json!(entries).to_string())
}

/// What `order.created` tells.
fn created(names: &[&str], profile: &str, facts: &OrderFacts, test: bool) -> Value {
    let mut data = json!({
        "names": names, "profile": profile, "state": "pending", "kind": facts.kind, "previous_order_id": facts.previous_order_id,
    });
    if test {
        data["test"] = json!(true);
    }
    data
}

/// An order with everything that its commit writes.
struct Draft {
    record: OrderRecord,
    written: Written,
    events: Vec<Event>,
}

fn draft(
    app: &App,
    new: &NewOrder,
    held: Option<String>,
    Chosen { assignment, missing, allowed, seen, .. }: &Chosen,
    reused: &BTreeMap<usize, reuse::Reused>,
    now: Timestamp,
) -> Result<Draft, PlaceError> {
    let profile = &new.question.profile.profile;
    let mut ids = app.id_source();
    let order = OrderRow {
        id: OrderId::new(now, ids()).as_bytes().to_vec(),
        client: new.client.clone(),
        order_ref: new.order_ref.clone(),
        profile_id: profile.id.clone(),
        profile_hash: new.question.profile.hash.to_vec(),
        state: OrderState::Pending.as_str().to_owned(),
        locale: new.question.locale.as_str().to_owned(),
        facts: serde_json::to_string(&new.question.facts).map_err(|error| AskError::Mail(error.to_string()))?,
        created_at: now.unix_micros(),
        ended_at: None,
        last_seq: 0,
        held,
        released_at: None,
        asks_all: i64::from(new.question.choice.asks_whoever_is_found()),
        test: i64::from(new.test),
        assignee: None,
        paused_at: None,
    };
    let validations: Vec<ValidationRow> = new
        .question
        .names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let awaiting = assignment.awaiting.contains(&at);
            let state = if awaiting { ValidationState::AwaitingApprover } else { ValidationState::Pending };
            let fresh = ValidationRow {
                id: ValidationId::new(now, ids()).as_bytes().to_vec(),
                order_id: order.id.clone(),
                position: i64::try_from(at).unwrap_or(i64::MAX),
                name: name.to_string(),
                base_domain: Some(name.fqdn().base_domain().to_string()),
                state: state.as_str().to_owned(),
                selection_ends_at: awaiting.then(|| now.plus_days(profile.window.selection_days).unix_micros()),
                mail_id: None,
                answer: None,
                method: None,
                scope: None,
                signer: None,
                reason: None,
                ended_at: None,
                reusable_until: None,
                veto_ends_at: None,
                adn: None,
                disputed_at: None,
                reused_from: None,
                reused_id: None,
                // Where somebody may be chosen it is the ordering system's turn.
                look_again_at: (awaiting && !allowed.contains_key(&at)).then(|| look_again::first(now).unix_micros()),
                looks: 0,
                entry: match &new.question.choice {
                    Choice::Entered(entry) if awaiting => {
                        Some(json!(Entry { seen: seen.get(&at).copied(), ..entry.clone() }).to_string())
                    }
                    _ => None,
                },
            };
            match reused.get(&at) {
                Some(earlier) => reuse::rest_on(earlier, fresh, profile, now),
                None => fresh,
            }
        })
        .collect();
    let written = ask::write(app, &new.question, &order, assignment, &validations, now)?;
    let mut record =
        OrderRecord { order, validations, mails: written.mails.clone(), pairs: written.pairs.clone(), certificates: Vec::new() };
    let names: Vec<&str> = record.validations.iter().map(|validation| validation.name.as_str()).collect();
    let mut events =
        vec![Event::new(EventType::OrderCreated, now, &new.actor, created(&names, &profile.id, &new.question.facts, new.test))];
    for (at, earlier) in reused {
        if let Some(validation) = record.validations.get(*at) {
            events.push(reuse::event(earlier, validation, profile, now)?);
        }
    }
    if record.order.held.is_some() {
        events.push(Event::new(EventType::OrderHeld, now, "system", json!({})));
    }
    if !assignment.awaiting.is_empty() {
        let waiting: Vec<&str> = assignment.awaiting.iter().filter_map(|at| names.get(*at).copied()).collect();
        let ends = now.plus_days(profile.window.selection_days);
        let fqdns: Vec<_> =
            assignment.awaiting.iter().filter_map(|at| new.question.names.get(*at)).map(CertificateName::fqdn).collect();
        let allowed: Vec<(String, Vec<String>)> = allowed
            .iter()
            .filter_map(|(at, addresses)| Some((record.validations.get(*at)?.name.clone(), addresses.clone())))
            .collect();
        events.push(look_again::needed(&waiting, &fqdns, profile, missing, &allowed, ends, now));
    }
    record.order.last_seq = i64::try_from(events.len()).unwrap_or(i64::MAX);
    Ok(Draft { record, written, events })
}
