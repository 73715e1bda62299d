//! Takes an order: works out and checks the approvers, commits, and leaves the mails in the outbox.

use serde_json::json;

use super::ask::{self, AskError, Chosen, Question, Written, choose};
use super::show_order::OrderRecord;
use super::{App, notify};
use crate::dcv::contact::SourceReport;
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::{OrderId, ValidationId};
use crate::dcv::order::{Assignment, OrderState, ValidationState};
use crate::dcv::timestamp::Timestamp;
use crate::store::{OrderRow, StoreError, ValidationRow};

/// An order as an ordering system submits it, parsed.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// The ordering system.
    pub client: String,
    /// Its reference.
    pub order_ref: String,
    /// What is asked of whom.
    pub question: Question,
}

/// Why an order was not taken; nothing was stored but look-ups.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The client used the reference before.
    #[error("the order reference was used before")]
    DuplicateOrderRef,
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
    if app.store.order_ref_taken(&new.client, &new.order_ref).await? {
        return Err(PlaceError::DuplicateOrderRef);
    }
    let Chosen { assignment, lookups, missing } = choose(app, &new.question).await?;
    let now = app.now();
    let draft = draft(app, &new, &assignment, &missing, now)?;
    let record = draft.record.clone();
    let (mut ids, routes) = (app.id_source(), app.routes(&new.client));
    // What policy holds must not be announced.
    let heads_up = new.question.profile.profile.mail.applicant_heads_up && record.order.held.is_none();
    let facts = new.question.facts;
    app.store
        .write("place_order", move |tx| {
            Box::pin(async move {
                let Draft { record, written, events } = draft;
                let order = record.order.id()?;
                if !tx.insert_order(&record.order).await? {
                    return Err(PlaceError::DuplicateOrderRef);
                }
                for validation in &record.validations {
                    tx.insert_validation(validation).await?;
                }
                for lookup in lookups {
                    tx.tie_lookup(order, lookup).await?;
                }
                let held = record.order.held.is_some();
                ask::commit(tx, order, held, &written, now, &mut ids).await?;
                if heads_up {
                    notify::enqueue(
                        tx,
                        notify::of_order(&record.order, &facts, &record.validations, &record.mails)?,
                        now,
                        &mut ids,
                    )
                    .await?;
                }
                tx.record_events(order, &record.order.order_ref, &events, &routes, &mut ids).await?;
                Ok(())
            })
        })
        .await?;
    app.wake.mail.notify_one();
    app.wake.webhook.notify_one();
    app.wake.notice.notify_one();
    Ok(record)
}

/// Why the order's mails wait for an operator, as JSON; `None` where policy holds none of its names.
fn held(new: &NewOrder) -> Option<String> {
    let entries: Vec<_> =
        new.question.names.iter().flat_map(|name| new.question.lists.policy.holds(name, &new.question.profile.profile)).collect();
    (!entries.is_empty()).then(|| json!(entries).to_string())
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
    assignment: &Assignment,
    missing: &[SourceReport],
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
        held: held(new),
        released_at: None,
    };
    let validations: Vec<ValidationRow> = new
        .question
        .names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let awaiting = assignment.awaiting.contains(&at);
            let state = if awaiting { ValidationState::AwaitingApprover } else { ValidationState::Pending };
            ValidationRow {
                id: ValidationId::new(now, ids()).as_bytes().to_vec(),
                order_id: order.id.clone(),
                position: i64::try_from(at).unwrap_or(i64::MAX),
                name: name.to_string(),
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
            }
        })
        .collect();
    let written = ask::write(app, &new.question, &order, assignment, &validations, now)?;
    let record = OrderRecord { order, validations, mails: written.mails.clone(), pairs: written.pairs.clone() };
    let actor = format!("client:{}", new.client);
    let names: Vec<&str> = record.validations.iter().map(|validation| validation.name.as_str()).collect();
    let mut events = vec![Event::new(
        EventType::OrderCreated,
        now,
        &actor,
        json!({"names": names, "profile": profile.id, "state": "pending"}),
    )];
    if record.order.held.is_some() {
        events.push(Event::new(EventType::OrderHeld, now, "system", json!({})));
    }
    if !assignment.awaiting.is_empty() {
        let waiting: Vec<&str> = assignment.awaiting.iter().filter_map(|at| names.get(*at).copied()).collect();
        let mut sources: Vec<&SourceReport> = Vec::new();
        for report in missing {
            if !sources.contains(&report) {
                sources.push(report);
            }
        }
        let data = json!({
            "names": waiting,
            "sources": sources,
            "remedy": "publish an address at _validation-contactemail.<domain>, or lift the registration's privacy protection",
            "selection_ends_at": now.plus_days(profile.window.selection_days),
        });
        events.push(Event::new(EventType::ApproverNeeded, now, "system", data));
    }
    Ok(Draft { record, written, events })
}
