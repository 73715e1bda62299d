//! `GET /admin/orders/{id}`

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::Value;

use super::frame::Frame;
use super::list::OrderLine;
use super::{html, jst, utc};
use crate::app::bundle::{BundleError, bundle};
use crate::app::change_approver::open_names;
use crate::app::show_order::{EventView, OrderRecord, show_order, timeline};
use crate::dcv::certificate::not_after_of;
use crate::dcv::contact;
use crate::dcv::evidence::{Exchange, Lookup};
use crate::dcv::id::{EffectId, OrderId};
use crate::dcv::name::CertificateName;
use crate::dcv::operator::Need;
use crate::dcv::order;
use crate::dcv::profile::{CancelField, Profile, SelectedBy};
use crate::dcv::timestamp::Timestamp;
use crate::http::{Code, HttpState, Problem};
use crate::store::{AttemptRow, NoticeRow, ReturnedRow};

/// `admin/order.html`
#[derive(Serialize)]
struct OrderPage {
    #[serde(flatten)]
    frame: Frame,
    order: OrderLine,
    views: Vec<ViewLine>,
    /// Orders that this one follows, or that follow it.
    linked: Vec<Linked>,
    /// Whom an operator may ask in place of those who were asked; empty where nothing is open, or the service chooses by itself.
    instead: Vec<String>,
    /// Names that a person may still decide.
    open: Vec<String>,
    /// Who may cancel, and whether a name must be typed for it.
    cancel_by: Vec<&'static str>,
    cancel_needs_name: bool,
    /// One approver is enough: where several must agree, all are chosen again together.
    one_decides: bool,
    /// For the customer's mail administrator: the delivery record of each mail.
    records: Vec<DeliveryRecord>,
    /// The TXT record that would name a contact, for each open name's registered domain.
    to_publish: Vec<Publish>,
    events: Vec<EventLine>,
    attempts: Vec<AttemptLine>,
    dead: Vec<DeadLine>,
    lookups: Vec<LookupLine>,
    returned: Vec<ReturnedLine>,
    notices: Vec<NoticeLine>,
    /// When the certificate ends, and how that is known: `reported`, `metadata`, or empty where nobody told.
    certificate_ends: String,
    known_by: &'static str,
    external_checks: Vec<&'static str>,
    /// Names that await an approver, and whom an operator may choose.
    awaiting: Option<Awaiting>,
}

#[derive(Serialize)]
struct Awaiting {
    names: Vec<String>,
    /// Those listed by what was last found.
    choices: Vec<String>,
    /// The contact that was entered; empty where none was.
    entry: String,
    /// It stands in a WHOIS answer that could not be read.
    entry_seen: bool,
    fallback: String,
    /// An operator chooses, and not the service.
    selectable: bool,
}

/// What an operator may choose for the names that await an approver; `None` where none does.
fn awaiting(
    state: &HttpState,
    record: &OrderRecord,
    profile: &Profile,
    lookups: &[Lookup],
    frame: &Frame,
) -> Result<Option<Awaiting>, Problem> {
    let rows: Vec<_> = record.validations.iter().filter(|row| row.state == "awaiting_approver").collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let lists = state.app.lists();
    let selectable = profile.addresses.selected_by != SelectedBy::System;
    let mut all = Awaiting {
        names: Vec::new(),
        choices: Vec::new(),
        entry: String::new(),
        entry_seen: false,
        fallback: String::new(),
        selectable,
    };
    for row in rows {
        all.names.push(row.name.clone());
        if let Ok(name) = CertificateName::parse(&row.name, &lists.suffixes) {
            let listing = contact::list(name.fqdn(), profile, &lists.policy, lookups, state.app.now());
            for address in order::allowed(&listing) {
                if !all.choices.contains(&address) {
                    all.choices.push(frame.shown(&address));
                }
            }
        }
        if let Some(entry) = row.entry()? {
            all.entry_seen |= entry.seen.is_some();
            all.entry = frame.shown(&entry.email.to_string());
            all.fallback = entry.fallback.map(|fallback| frame.shown(&fallback.to_string())).unwrap_or_default();
        }
    }
    Ok(Some(all))
}

/// One agent that opened a link's page.
#[derive(Serialize)]
struct ViewLine {
    to: String,
    first: String,
    last: String,
    times: i64,
    peer: String,
    user_agent: String,
    scanner: bool,
}

/// Another order that belongs to this one.
#[derive(Serialize)]
struct Linked {
    id: String,
    ja: &'static str,
    en: &'static str,
}

/// What became of a mail, as text to pass on.
#[derive(Serialize)]
struct DeliveryRecord {
    to: String,
    text: String,
}

/// The record to publish for a domain, as zone files and as control panels want it.
#[derive(Serialize)]
pub(super) struct Publish {
    pub(super) domain: String,
    zone: String,
    host: &'static str,
    value: String,
}

impl Publish {
    pub(super) fn new(domain: &str) -> Self {
        let value = format!("contact@{domain}");
        Self {
            zone: format!("_validation-contactemail.{domain}. 3600 IN TXT \"{value}\""),
            host: "_validation-contactemail",
            value,
            domain: domain.to_owned(),
        }
    }
}

#[derive(Serialize)]
struct NoticeLine {
    at: String,
    kind: String,
    to: String,
    delivery: String,
    failure: Option<String>,
}

#[derive(Serialize)]
pub(super) struct ReturnedLine {
    at: String,
    kind: String,
    words: Vec<String>,
    raw: String,
}

#[derive(Serialize)]
struct EventLine {
    seq: i64,
    jst: String,
    utc: String,
    kind: String,
    actor: String,
    data: String,
}

#[derive(Serialize)]
struct AttemptLine {
    at: String,
    kind: String,
    endpoint: String,
    number: i64,
    outcome: String,
    detail: String,
    dialogue: Option<String>,
}

#[derive(Serialize)]
struct DeadLine {
    id: String,
    kind: String,
    endpoint: String,
    error: String,
}

#[derive(Serialize)]
struct LookupLine {
    source: &'static str,
    adn: String,
    status: &'static str,
    dnssec: Option<String>,
    at: String,
    reasons: Vec<String>,
    exchanges: Vec<Exchange>,
}

pub(super) async fn get(State(state): State<HttpState>, Path(id): Path<String>, frame: Frame) -> Result<Response, Problem> {
    let id = OrderId::parse(&id).map_err(|_| Problem::new(Code::NotFound))?;
    let record = show_order(&state.app, id, None).await?.ok_or_else(|| Problem::new(Code::NotFound))?;
    let events = timeline(&state.app, id).await?;
    let reported = record.certificates.iter().map(|one| one.not_after).max().map(Timestamp::from_unix_micros);
    let (ends, known_by) = match (reported, not_after_of(&record.order.facts()?.metadata)) {
        (Some(reported), _) => (Some(reported), "reported"),
        (None, Some(told)) => (Some(told), "metadata"),
        (None, None) => (None, ""),
    };
    let profile = state.app.profile_of(&record.order).await?;
    let lookups = state.app.store.order_lookups(id).await?;
    let attempts = state.app.store.attempts(id).await?;
    let page = OrderPage {
        awaiting: awaiting(&state, &record, &profile.profile, &lookups, &frame)?,
        views: views(&state, &record, &frame).await?,
        linked: linked(&state, &record).await?,
        instead: instead(&state, &record, &profile.profile, &lookups, &frame),
        cancel_by: profile.profile.cancel.by.iter().map(|by| by.as_str()).collect(),
        one_decides: profile.profile.decision.quorum == 1,
        cancel_needs_name: profile.profile.cancel.required_fields.contains(&CancelField::CommonName),
        records: records(&record, &events, &attempts, &frame),
        to_publish: to_publish(&state, &record),
        open: open_names(&record, &[]).unwrap_or_default(),
        order: OrderLine::new(&record, &frame)?,
        events: events
            .into_iter()
            .map(|event| EventLine {
                seq: event.seq,
                jst: jst(event.timestamp),
                utc: utc(event.timestamp),
                kind: event.kind,
                actor: event.actor,
                data: frame.shown(&in_lines(event.data.get(), &frame)),
            })
            .collect(),
        attempts: attempts
            .into_iter()
            .map(|one| AttemptLine {
                at: utc(Timestamp::from_unix_micros(one.ended_at)),
                kind: one.kind,
                endpoint: one.endpoint,
                number: one.number,
                outcome: one.outcome,
                detail: frame.shown(&one.detail),
                dialogue: one.dialogue.map(|text| frame.shown(&text)),
            })
            .collect(),
        dead: state
            .app
            .store
            .dead_effects(id)
            .await?
            .into_iter()
            .filter_map(|one| {
                let id = EffectId::from_bytes(one.id.try_into().ok()?);
                Some(DeadLine {
                    id: id.to_string(),
                    kind: one.kind,
                    endpoint: one.endpoint,
                    error: frame.shown(&one.last_error.unwrap_or_default()),
                })
            })
            .collect(),
        returned: state.app.store.returned_mails(id).await?.into_iter().map(|row| returned_line(row, &frame)).collect(),
        certificate_ends: ends.map(utc).unwrap_or_default(),
        known_by,
        external_checks: profile.profile.external_checks.iter().map(|check| check.as_str()).collect(),
        notices: state.app.store.notices(id).await?.into_iter().map(|row| notice_line(row, &frame)).collect(),
        lookups: lookups.into_iter().map(|lookup| lookup_line(lookup, &frame)).collect(),
        frame,
    };
    html(&state, "admin/order.html", &page)
}

/// Raw answers and messages are for whoever may see what people wrote.
fn hidden(raw: String, frame: &Frame) -> String {
    if frame.may(Need::SeePersonal) { raw } else { "***".to_owned() }
}

async fn views(state: &HttpState, record: &OrderRecord, frame: &Frame) -> Result<Vec<ViewLine>, Problem> {
    let rows = state.app.store.views(record.order.id()?).await?;
    let to = |mail: &[u8]| record.mails.iter().find(|one| one.id == mail).map(|one| frame.shown(&one.recipient));
    Ok(rows
        .into_iter()
        .map(|row| ViewLine {
            to: to(&row.mail_id).unwrap_or_default(),
            first: jst(Timestamp::from_unix_micros(row.first_at)),
            last: jst(Timestamp::from_unix_micros(row.last_at)),
            times: row.times,
            peer: hidden(row.peer, frame),
            user_agent: row.user_agent,
            scanner: row.scanner == 1,
        })
        .collect())
}

/// Orders that this one names, or rests on.
async fn linked(state: &HttpState, record: &OrderRecord) -> Result<Vec<Linked>, Problem> {
    let mut linked = Vec::new();
    let mut add = |id: Option<OrderId>, ja: &'static str, en: &'static str| {
        if let Some(id) = id
            && !linked.iter().any(|one: &Linked| one.id == id.to_string())
        {
            linked.push(Linked { id: id.to_string(), ja, en });
        }
    };
    let facts = record.order.facts()?;
    let amends = facts.amends.as_deref().and_then(|text| OrderId::parse(text).ok());
    let before = facts.previous_order_id.as_deref().and_then(|text| OrderId::parse(text).ok());
    add(before, "前の注文", "the order before");
    add(amends, "変更前の注文", "the order as it was before");
    for one in &record.validations {
        let reused: Value = one.reused_from.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let id = reused["order_id"].as_str().and_then(|text| OrderId::parse(text).ok());
        add(id, "承認を再利用した注文", "whose approval it rests on");
    }
    for id in state.app.store.orders_renewing(record.order.id()?).await? {
        add(Some(id), "更新の注文", "the order that renews it");
    }
    Ok(linked)
}

/// Whom an operator may ask in place of those who were asked.
fn instead(state: &HttpState, record: &OrderRecord, profile: &Profile, lookups: &[Lookup], frame: &Frame) -> Vec<String> {
    if profile.addresses.selected_by == SelectedBy::System || !frame.may(Need::ChooseApprover) {
        return Vec::new();
    }
    let (lists, mut all) = (state.app.lists(), Vec::new());
    for row in record.validations.iter().filter(|row| row.state == "pending") {
        if let Ok(name) = CertificateName::parse(&row.name, &lists.suffixes) {
            let listing = contact::list(name.fqdn(), profile, &lists.policy, lookups, state.app.now());
            for address in order::allowed(&listing) {
                if !all.contains(&address) {
                    all.push(address);
                }
            }
        }
    }
    all
}

/// What a mail administrator needs to find a mail in their own logs.
fn records(record: &OrderRecord, events: &[EventView], attempts: &[AttemptRow], frame: &Frame) -> Vec<DeliveryRecord> {
    let mut records = Vec::new();
    for mail in &record.mails {
        let Ok(id) = mail.id() else { continue };
        let mut lines = vec![
            format!("Message-ID: {}", mail.message_id),
            format!("To: {}", frame.shown(&mail.recipient)),
            format!("Created: {}", utc(Timestamp::from_unix_micros(mail.created_at))),
        ];
        for event in events.iter().filter(|event| event.kind.starts_with("mail.")) {
            let data: Value = serde_json::from_str(event.data.get()).unwrap_or_default();
            if data["mail_id"].as_str() != Some(&id.to_string()) {
                continue;
            }
            let mut line = format!("{} {}", utc(event.timestamp), event.kind);
            for (key, words) in [
                ("relay", "relay"),
                ("queue_id", "queue id"),
                ("tls", "TLS"),
                ("reply", "reply"),
                ("reason", "reason"),
                ("detail", "detail"),
            ] {
                if let Some(value) = data[key].as_str().filter(|value| !value.is_empty()) {
                    line.extend(["; ", words, ": ", &frame.shown(value)]);
                }
            }
            lines.push(line);
        }
        let tries = attempts.iter().filter(|one| one.kind == "mail" && one.endpoint == mail.reference && one.outcome != "done");
        for one in tries {
            let at = utc(Timestamp::from_unix_micros(one.ended_at));
            lines.push(format!("{at} attempt {}: {}", one.number, frame.shown(&one.detail)));
        }
        records.push(DeliveryRecord { to: frame.shown(&mail.recipient), text: lines.join("\n") });
    }
    records
}

/// The TXT records that would name a contact.
fn to_publish(state: &HttpState, record: &OrderRecord) -> Vec<Publish> {
    let lists = state.app.lists();
    let mut all: Vec<Publish> = Vec::new();
    for row in &record.validations {
        if let Ok(name) = CertificateName::parse(&row.name, &lists.suffixes) {
            let domain = name.fqdn().base_domain().to_string();
            if !all.iter().any(|one| one.domain == domain) {
                all.push(Publish::new(&domain));
            }
        }
    }
    all
}

fn notice_line(row: NoticeRow, frame: &Frame) -> NoticeLine {
    NoticeLine {
        at: utc(Timestamp::from_unix_micros(row.created_at)),
        kind: row.kind,
        to: frame.shown(&row.recipient),
        delivery: row.delivery,
        failure: row.failure.map(|text| frame.shown(&text)),
    }
}

pub(super) fn returned_line(row: ReturnedRow, frame: &Frame) -> ReturnedLine {
    let findings: Value = serde_json::from_str(&row.findings).unwrap_or_default();
    let recipients = findings["recipients"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let words = recipients.iter().map(|one| {
        [text(&one["address"]), text(&one["action"]), text(&one["status"]), text(&one["diagnostic"])].join(" ").trim().to_owned()
    });
    ReturnedLine {
        at: utc(Timestamp::from_unix_micros(row.at)),
        kind: row.kind,
        words: words.map(|words| frame.shown(&words)).collect(),
        raw: hidden(String::from_utf8_lossy(&row.raw).into_owned(), frame),
    }
}

fn lookup_line(mut lookup: Lookup, frame: &Frame) -> LookupLine {
    for exchange in &mut lookup.exchanges {
        exchange.answer = hidden(std::mem::take(&mut exchange.answer), frame);
    }
    LookupLine {
        source: lookup.source.as_str(),
        adn: lookup.adn,
        status: lookup.status.as_str(),
        dnssec: lookup
            .dnssec
            .and_then(|dnssec| serde_json::to_value(dnssec).ok())
            .and_then(|value| value.as_str().map(str::to_owned)),
        at: utc(lookup.at),
        reasons: lookup.reasons,
        exchanges: lookup.exchanges,
    }
}

/// An event's data, a member a line, without what the page shows elsewhere.
fn in_lines(data: &str, frame: &Frame) -> String {
    // What people wrote is for whoever may see it.
    let hides =
        |name: &str| !frame.may(Need::SeePersonal) && matches!(name, "signer" | "reason" | "note" | "recipients" | "dialogue");
    let Ok(Value::Object(data)) = serde_json::from_str(data) else { return String::new() };
    data.iter()
        .filter(|(name, value)| !value.is_null() && !matches!(name.as_str(), "order_id" | "order_ref" | "seq"))
        .map(|(name, value)| if hides(name) { (name, Value::from("***")) } else { (name, value.clone()) })
        .map(|(name, value)| format!("{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// `GET /admin/orders/{id}/bundle`: all that an order rests on, as one archive.
pub(super) async fn archive(State(state): State<HttpState>, Path(id): Path<String>, frame: Frame) -> Result<Response, Problem> {
    if !frame.may(Need::SeePersonal) {
        return Err(Problem::new(Code::Forbidden).detail("the bundle holds personal data"));
    }
    let id = OrderId::parse(&id).map_err(|_| Problem::new(Code::NotFound))?;
    let bytes = bundle(&state.app, id).await.map_err(|error| match error {
        BundleError::Missing => Problem::new(Code::NotFound),
        BundleError::Store(error) => error.into(),
        error @ BundleError::Made(_) => {
            tracing::error!(%error, "a bundle cannot be made");
            Problem::new(Code::Internal)
        }
    })?;
    let name = format!("attachment; filename=\"{id}.zip\"");
    Ok(([(CONTENT_TYPE, "application/zip".to_owned()), (CONTENT_DISPOSITION, name)], bytes).into_response())
}
