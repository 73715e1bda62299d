//! Takes an order: works out and checks the approvers, commits, and leaves the mails in the outbox.

use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::lookups::{self, Freshness};
use super::show_order::OrderRecord;
use super::{App, Lists, OrderFacts, facts_view, notify};
use crate::dcv::contact::{self, Listing, Source, SourceReport, SourceStatus};
use crate::dcv::event::{Event, EventType};
use crate::dcv::evidence::Lookup;
use crate::dcv::id::{EffectId, LookupId, MailId, OrderId, ValidationId};
use crate::dcv::link::{self, RandomValue};
use crate::dcv::name::{CertificateName, Fqdn};
use crate::dcv::order::{
    self, Assignment, Choice, ChoiceError, Delivery, LinkState, Locale, OrderKind, OrderState, PlannedMail, ValidationState,
};
use crate::dcv::profile::{SubjectFields, Versioned};
use crate::dcv::resend::next_reminder;
use crate::dcv::return_path;
use crate::dcv::timestamp::Timestamp;
use crate::ports::Letter;
use crate::render::{ApprovalMail, ApprovalParts, NameView};
use crate::store::{EffectKind, MailRow, NewEffect, OrderRow, StoreError, ValidationRow};

/// An order as an ordering system submits it, parsed.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// The ordering system.
    pub client: String,
    /// Its reference.
    pub order_ref: String,
    /// The rules.
    pub profile: Arc<Versioned>,
    /// The names, each once.
    pub names: Vec<CertificateName>,
    /// Whom to ask.
    pub choice: Choice,
    /// Which language stands first.
    pub locale: Locale,
    /// What else was told.
    pub facts: OrderFacts,
    /// The lists that the names were read with.
    pub lists: Arc<Lists>,
}

/// Why an order was not taken; nothing was stored but look-ups.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The client used the reference before.
    #[error("the order reference was used before")]
    DuplicateOrderRef,
    /// The choice of approvers cannot be followed.
    #[error("the choice of approvers cannot be followed")]
    Choice(Vec<ChoiceError>),
    /// Mail could not be rendered or composed: a template of the operator's, or an address the mail library refuses.
    #[error("the mail cannot be made: {0}")]
    Mail(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes an order.
///
/// # Errors
/// [`PlaceError`]; then there is no order.
pub async fn place_order(app: &App, new: NewOrder) -> Result<OrderRecord, PlaceError> {
    if app.store.order_ref_taken(&new.client, &new.order_ref).await? {
        return Err(PlaceError::DuplicateOrderRef);
    }
    let Chosen { assignment, lookups, missing } = choose(app, &new).await?;
    let now = app.now();
    let draft = draft(app, &new, &assignment, &missing, now)?;
    let record = draft.record.clone();
    let (mut ids, routes) = (app.id_source(), app.routes(&new.client));
    // What policy holds must not be announced.
    let heads_up = new.profile.profile.mail.applicant_heads_up && record.order.held.is_none();
    let facts = new.facts;
    app.store
        .write("place_order", move |tx| {
            Box::pin(async move {
                let Draft { record, letters, events } = draft;
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
                for (mail, letter) in record.mails.iter().zip(letters) {
                    let asked: Vec<_> =
                        record.pairs.iter().filter(|(id, _)| *id == mail.id).map(|(_, validation)| validation.clone()).collect();
                    tx.insert_mail(mail, &asked).await?;
                    let effect = NewEffect {
                        id: EffectId::new(now, ids()),
                        kind: EffectKind::Mail,
                        order: Some(order),
                        subject: *mail.id()?.as_bytes(),
                        endpoint: mail.reference.clone(),
                        seq: 0,
                        recipient: Some(mail.recipient.clone()),
                        body: Some(letter),
                        at: now,
                        held: record.order.held.is_some(),
                    };
                    tx.enqueue(&effect).await?;
                }
                if heads_up {
                    notify::enqueue(tx, notify::of_order(&record.order, &facts, &record.validations, &record.mails)?, now, &mut ids).await?;
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
    let entries: Vec<_> = new.names.iter().flat_map(|name| new.lists.policy.holds(name, &new.profile.profile)).collect();
    (!entries.is_empty()).then(|| json!(entries).to_string())
}

/// Who is asked, and what that rests on.
struct Chosen {
    assignment: Assignment,
    lookups: Vec<LookupId>,
    /// How the sources fared that yielded nobody for a name that awaits an approver.
    missing: Vec<SourceReport>,
}

/// Works out whom to ask, from constructed addresses alone where that is enough: they take no network and never wait.
async fn choose(app: &App, new: &NewOrder) -> Result<Chosen, PlaceError> {
    let profile = &new.profile.profile;
    let names: Vec<&Fqdn> = new.names.iter().map(CertificateName::fqdn).collect();
    let listings = |lookups: &[Lookup], now| -> Vec<Listing> {
        names.iter().map(|name| contact::list(name, profile, &new.lists.policy, lookups, now)).collect()
    };
    let quick = listings(&[], app.now());
    if new.choice != Choice::All {
        match order::assign(&quick, &new.choice) {
            Ok(assignment) if assignment.awaiting.is_empty() => {
                return Ok(Chosen { assignment, lookups: Vec::new(), missing: Vec::new() });
            }
            Err(errors) if new.choice == Choice::Unsaid => return Err(PlaceError::Choice(errors)),
            _ => {}
        }
    }
    let gathered = lookups::gather(app, &names, profile, Freshness::Mailing).await?;
    let full = listings(&gathered, app.now());
    let assignment = order::assign(&full, &new.choice).map_err(PlaceError::Choice)?;
    let awaiting = assignment.awaiting.iter().filter_map(|at| full.get(*at));
    let fruitless = |report: &&SourceReport| matches!(report.status, SourceStatus::Empty | SourceStatus::Failed);
    let missing = awaiting.flat_map(|listing| listing.sources.iter().filter(fruitless)).cloned().collect();
    Ok(Chosen { assignment, lookups: gathered.iter().map(|lookup| lookup.id).collect(), missing })
}

/// An order with everything that its commit writes.
struct Draft {
    record: OrderRecord,
    letters: Vec<Vec<u8>>,
    events: Vec<Event>,
}

fn draft(
    app: &App,
    new: &NewOrder,
    assignment: &Assignment,
    missing: &[SourceReport],
    now: Timestamp,
) -> Result<Draft, PlaceError> {
    let profile = &new.profile.profile;
    let mut ids = app.id_source();
    let order = OrderRow {
        id: OrderId::new(now, ids()).as_bytes().to_vec(),
        client: new.client.clone(),
        order_ref: new.order_ref.clone(),
        profile_id: profile.id.clone(),
        profile_hash: new.profile.hash.to_vec(),
        state: OrderState::Pending.as_str().to_owned(),
        locale: new.locale.as_str().to_owned(),
        facts: serde_json::to_string(&new.facts).map_err(|error| PlaceError::Mail(error.to_string()))?,
        created_at: now.unix_micros(),
        ended_at: None,
        last_seq: 0,
        held: held(new),
        released_at: None,
    };
    let validations: Vec<ValidationRow> = new
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
            }
        })
        .collect();
    let (mut mails, mut pairs, mut letters) = (Vec::new(), Vec::new(), Vec::new());
    for planned in &assignment.mails {
        let asked: Vec<&ValidationRow> = planned.names.iter().filter_map(|at| validations.get(*at)).collect();
        let (mail, letter) = write_mail(app, new, &order, planned, &asked, others(assignment, planned), now)?;
        pairs.extend(asked.iter().map(|validation| (mail.id.clone(), validation.id.clone())));
        mails.push(mail);
        letters.push(letter);
    }
    let record = OrderRecord { order, validations, mails, pairs };
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
    Ok(Draft { record, letters, events })
}

/// The other recipients that are asked for one of the same names, masked.
fn others(assignment: &Assignment, planned: &PlannedMail) -> Vec<String> {
    let shares = |mail: &&PlannedMail| mail.approver.email != planned.approver.email && !mail.names.is_disjoint(&planned.names);
    assignment.mails.iter().filter(shares).map(|mail| mail.approver.email.masked()).collect()
}

/// Makes one mail: its row, and its final bytes, which hold the only copy of its Random Value.
fn write_mail(
    app: &App,
    new: &NewOrder,
    order: &OrderRow,
    planned: &PlannedMail,
    asked: &[&ValidationRow],
    others: Vec<String>,
    now: Timestamp,
) -> Result<(MailRow, Vec<u8>), PlaceError> {
    let mut ids = app.id_source();
    let id = MailId::new(now, ids());
    let random = RandomValue::new(app.random());
    let (approver, profile) = (&planned.approver, &new.profile.profile);
    // The reference stands in the return path; it tells nothing of the Random Value.
    let reference = return_path::reference(&app.keys, id.as_bytes());
    let mut row = MailRow {
        id: id.as_bytes().to_vec(),
        order_id: order.id.clone(),
        recipient: approver.email.to_string(),
        adn: approver.adn.to_string(),
        adn_is_base: i64::from(approver.adn.is_base_domain()),
        source: approver.source.as_str().to_owned(),
        role: approver.role.map(|role| role.as_str().to_owned()),
        lookup_id: approver.lookup.map(|lookup| lookup.as_bytes().to_vec()),
        looked_up_at: approver.looked_up_at.unix_micros(),
        valid_until: valid_until(new, approver.source, approver.looked_up_at, approver.valid_until).map(Timestamp::unix_micros),
        random_hash: random.hash().to_vec(),
        // Without the return path's MAC: Message-IDs travel far.
        message_id: format!("<{}@{}>", id.to_string().trim_start_matches(MailId::PREFIX), app.settings.message_id_host),
        reference,
        content_hash: Vec::new(),
        link: LinkState::Queued.as_str().to_owned(),
        delivery: Delivery::Queued.as_str().to_owned(),
        failure: None,
        created_at: now.unix_micros(),
        expires_at: now.plus_days(profile.window.days).unix_micros(),
        sent_at: None,
        answered_at: None,
        resends: 0,
        reminders: 0,
        resent_at: None,
        remind_at: next_reminder(&profile.reminders, now.plus_days(profile.window.days), now).map(Timestamp::unix_micros),
        mail_host: None,
    };
    let names = asked.iter().map(|validation| NameView::new(&validation.name)).collect();
    let facts = facts_view(order, &new.facts, &row, names);
    let url = format!("{}/approve/{}", app.settings.public_base, link::sign(&app.keys, &random, now));
    let context = ApprovalMail {
        facts: &facts,
        service: &app.settings.service,
        ca: &profile.ca,
        locale: new.locale.as_str(),
        url: &url,
        others,
    };
    let ApprovalParts { subject, text, html } =
        app.renderer.approval_mail(&context).map_err(|error| PlaceError::Mail(error.to_string()))?;
    let fields = SubjectFields { domain: &facts.adn.unicode, request_id: &facts.request_id, order_ref: &facts.order_ref };
    let renewal = new.facts.kind == Some(OrderKind::Renewal);
    let letter = Letter {
        to: approver.email.clone(),
        subject: profile.mail.subject(new.locale == Locale::Ja, renewal, &fields).unwrap_or(subject),
        text,
        html: Some(html),
        message_id: row.message_id.clone(),
        mail_id: Some(id),
        kind: "approval",
        date: now,
        languages: if new.locale == Locale::Ja { "ja, en" } else { "en, ja" },
    };
    let bytes = app.ports.mail_out.compose(&letter).map_err(|error| PlaceError::Mail(error.to_string()))?;
    row.content_hash = Sha256::digest(&bytes).to_vec();
    Ok((row, bytes))
}

/// Until when a chosen address may be mailed without asking again: a DNS answer's TTL, or the profile's age for registration
/// data; `None` for constructed addresses.
fn valid_until(new: &NewOrder, source: Source, looked_up_at: Timestamp, ttl_ends: Option<Timestamp>) -> Option<Timestamp> {
    match source {
        Source::Constructed => None,
        Source::DnsTxt | Source::DnsCaa => ttl_ends,
        Source::Whois | Source::Rdap => Some(looked_up_at + new.profile.profile.addresses.candidate_ttl),
    }
}
