//! `GET /admin/orders/{id}`

use std::collections::HashMap;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use super::list::OrderLine;
use super::{html, jst, lang, utc};
use crate::app::show_order::{OrderRecord, show_order, timeline};
use crate::app::sign_in::SignedIn;
use crate::dcv::certificate::not_after_of;
use crate::dcv::contact;
use crate::dcv::evidence::{Exchange, Lookup};
use crate::dcv::id::{EffectId, OrderId};
use crate::dcv::name::CertificateName;
use crate::dcv::order;
use crate::dcv::profile::{Profile, SelectedBy};
use crate::dcv::timestamp::Timestamp;
use crate::http::{Code, HttpState, Problem};
use crate::store::{NoticeRow, ReturnedRow};

/// `admin/order.html`
#[derive(Serialize)]
struct OrderPage<'a> {
    lang: &'static str,
    static_base: &'a str,
    /// Who is signed in.
    who: &'a str,
    order: OrderLine,
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
fn awaiting(state: &HttpState, record: &OrderRecord, profile: &Profile, lookups: &[Lookup]) -> Result<Option<Awaiting>, Problem> {
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
                    all.choices.push(address);
                }
            }
        }
        if let Some(entry) = row.entry()? {
            all.entry_seen |= entry.seen.is_some();
            all.entry = entry.email.to_string();
            all.fallback = entry.fallback.map(|fallback| fallback.to_string()).unwrap_or_default();
        }
    }
    Ok(Some(all))
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

pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    Extension(who): Extension<SignedIn>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Problem> {
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
    let page = OrderPage {
        awaiting: awaiting(&state, &record, &profile.profile, &lookups)?,
        lang: lang(&query),
        static_base: "",
        who: &who.name,
        order: OrderLine::new(&record)?,
        events: events
            .into_iter()
            .map(|event| EventLine {
                seq: event.seq,
                jst: jst(event.timestamp),
                utc: utc(event.timestamp),
                kind: event.kind,
                actor: event.actor,
                data: in_lines(event.data.get()),
            })
            .collect(),
        attempts: state
            .app
            .store
            .attempts(id)
            .await?
            .into_iter()
            .map(|one| AttemptLine {
                at: utc(Timestamp::from_unix_micros(one.ended_at)),
                kind: one.kind,
                endpoint: one.endpoint,
                number: one.number,
                outcome: one.outcome,
                detail: one.detail,
                dialogue: one.dialogue,
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
                    error: one.last_error.unwrap_or_default(),
                })
            })
            .collect(),
        returned: state.app.store.returned_mails(id).await?.into_iter().map(returned_line).collect(),
        certificate_ends: ends.map(utc).unwrap_or_default(),
        known_by,
        external_checks: profile.profile.external_checks.iter().map(|check| check.as_str()).collect(),
        notices: state.app.store.notices(id).await?.into_iter().map(notice_line).collect(),
        lookups: lookups.into_iter().map(lookup_line).collect(),
    };
    html(&state, "admin/order.html", &page)
}

fn notice_line(row: NoticeRow) -> NoticeLine {
    NoticeLine {
        at: utc(Timestamp::from_unix_micros(row.created_at)),
        kind: row.kind,
        to: row.recipient,
        delivery: row.delivery,
        failure: row.failure,
    }
}

pub(super) fn returned_line(row: ReturnedRow) -> ReturnedLine {
    let findings: Value = serde_json::from_str(&row.findings).unwrap_or_default();
    let recipients = findings["recipients"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let words = recipients.iter().map(|one| {
        [text(&one["address"]), text(&one["action"]), text(&one["status"]), text(&one["diagnostic"])].join(" ").trim().to_owned()
    });
    ReturnedLine {
        at: utc(Timestamp::from_unix_micros(row.at)),
        kind: row.kind,
        words: words.collect(),
        raw: String::from_utf8_lossy(&row.raw).into_owned(),
    }
}

fn lookup_line(lookup: Lookup) -> LookupLine {
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
fn in_lines(data: &str) -> String {
    let Ok(Value::Object(data)) = serde_json::from_str(data) else { return String::new() };
    data.iter()
        .filter(|(name, value)| !value.is_null() && !matches!(name.as_str(), "order_id" | "order_ref" | "seq"))
        .map(|(name, value)| format!("{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect::<Vec<_>>()
        .join("\n")
}
