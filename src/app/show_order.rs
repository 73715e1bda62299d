//! Shows orders: as the API tells them, with their timeline, and in lists.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::App;
use super::record_certificate::certificate_view;
use crate::dcv::contact::{Role, Source};
use crate::dcv::email::EmailAddress;
use crate::dcv::id::{EventId, MailId, OrderId};
use crate::dcv::mail_cause::MailCause;
use crate::dcv::method::Method;
use crate::dcv::name::CertificateName;
use crate::dcv::order::{OrderKind, OrderState};
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::store::{
    CertificateRow, EventRow, MailRow, MailValidations, OrderFilter, OrderHas, OrderIs, OrderRow, Search, SearchEdge, StoreError,
    ValidationRow,
};

/// An order with its names and mails, as stored.
#[derive(Debug, Clone)]
pub struct OrderRecord {
    /// The order.
    pub order: OrderRow,
    /// Its names, in its order.
    pub validations: Vec<ValidationRow>,
    /// Its mails, oldest first.
    pub mails: Vec<MailRow>,
    /// Which mail asks for which name.
    pub pairs: MailValidations,
    /// What was issued on it, as far as it was read: listings do without.
    pub certificates: Vec<CertificateRow>,
}

/// An order as the API tells it.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "DESIGN's contract names each member")]
pub struct OrderView {
    #[schema(value_type = String)]
    pub id: OrderId,
    pub order_ref: String,
    pub profile: String,
    pub state: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    pub validations: Vec<ValidationView>,
    pub mails: Vec<MailView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub certificates: Vec<Value>,
    #[serde(flatten)]
    pub facts: super::OrderFacts,
}

/// A name as the API tells it.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "DESIGN's contract names each member")]
pub struct ValidationView {
    pub name: String,
    pub state: String,
    pub answer: Option<String>,
    pub method: Option<String>,
    pub scope: Option<String>,
    pub signer: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub approved_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub reusable_until: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub selection_ends_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub disputed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub reused_from: Option<Box<RawValue>>,
}

/// A mail as the API tells it: never its link.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "DESIGN's contract names each member")]
pub struct MailView {
    #[schema(value_type = String)]
    pub id: MailId,
    pub to: String,
    pub adn: String,
    pub source: String,
    pub role: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_roles: Vec<String>,
    pub names: Vec<String>,
    pub state: String,
    pub delivery: String,
    pub failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub delivery_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub sent_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    pub resends: i64,
    pub reminders: i64,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resent_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_reminder_at: Option<Timestamp>,
    pub mail_host: Option<String>,
}

/// One entry of the timeline as the API tells it.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "DESIGN's contract names each member")]
pub struct EventView {
    #[schema(value_type = String)]
    pub id: EventId,
    pub seq: i64,
    #[serde(rename = "type")]
    pub kind: String,
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    pub actor: String,
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
}

impl OrderRecord {
    /// The order as the API tells it.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] for a row that does not fit the model.
    pub fn view(&self) -> Result<OrderView, StoreError> {
        let open = |mail: &&MailRow| matches!(mail.link.as_str(), "queued" | "sent");
        let last = self.mails.iter().filter(open).chain(self.mails.iter()).next();
        let deadline = last.map(|mail| mail.expires_at).or_else(|| self.validations.iter().find_map(|one| one.selection_ends_at));
        Ok(OrderView {
            id: self.order.id()?,
            order_ref: self.order.order_ref.clone(),
            profile: self.order.profile_id.clone(),
            state: self.order.state.clone(),
            created_at: Timestamp::from_unix_micros(self.order.created_at),
            held: self.order.is_held(),
            test: self.order.test == 1,
            expires_at: deadline.map(Timestamp::from_unix_micros),
            ended_at: self.order.ended_at.map(Timestamp::from_unix_micros),
            validations: self.validations.iter().map(ValidationView::new).collect(),
            mails: self.mails.iter().map(|mail| self.mail_view(mail)).collect::<Result<_, _>>()?,
            certificates: self.certificates.iter().map(certificate_view).collect(),
            facts: self.order.facts()?,
        })
    }

    /// The names a mail asks for.
    #[must_use]
    pub fn asked_by(&self, mail: &[u8]) -> Vec<&ValidationRow> {
        self.validations.iter().filter(|one| self.pairs.asks(mail, &one.id)).collect()
    }

    fn mail_view(&self, mail: &MailRow) -> Result<MailView, StoreError> {
        Ok(MailView {
            id: mail.id()?,
            to: mail.recipient.clone(),
            adn: mail.adn.clone(),
            source: mail.source.clone(),
            role: mail.role.clone(),
            also_roles: mail.also_roles.as_deref().into_iter().flat_map(|roles| roles.split(',')).map(str::to_owned).collect(),
            names: self.asked_by(&mail.id).iter().map(|validation| validation.name.clone()).collect(),
            state: mail.link.clone(),
            delivery: mail.delivery.clone(),
            failure: mail.failure.clone(),
            failure_detail: mail.failure_detail.clone().filter(|detail| mail.failure.as_ref() != Some(detail)),
            cause: cause(mail).map(MailCause::as_str),
            delivery_at: mail.delivery_at.map(Timestamp::from_unix_micros),
            created_at: Timestamp::from_unix_micros(mail.created_at),
            sent_at: mail.sent_at.map(Timestamp::from_unix_micros),
            answered_at: mail.answered_at.map(Timestamp::from_unix_micros),
            expires_at: Timestamp::from_unix_micros(mail.expires_at),
            resends: mail.resends,
            reminders: mail.reminders,
            resent_at: mail.resent_at.map(Timestamp::from_unix_micros),
            next_reminder_at: mail.remind_at.map(Timestamp::from_unix_micros),
            mail_host: mail.mail_host.clone(),
        })
    }
}

/// Why a mail did not arrive, as far as the servers' words tell.
pub fn cause(mail: &MailRow) -> Option<MailCause> {
    let lost = matches!(mail.delivery.as_str(), "delayed" | "bounced" | "failed");
    let words = mail.failure_detail.as_deref().or(mail.failure.as_deref()).filter(|_| lost)?;
    MailCause::of(words)
}

impl ValidationView {
    fn new(row: &ValidationRow) -> Self {
        let ended_at = row.ended_at.map(Timestamp::from_unix_micros);
        Self {
            name: row.name.clone(),
            state: row.state.clone(),
            answer: row.answer.clone(),
            method: row.method.clone(),
            scope: row.scope.clone(),
            signer: row.signer.clone(),
            approved_at: if row.state == "approved" { approved_at(row).or(ended_at) } else { None },
            ended_at,
            reusable_until: row.reusable_until.map(Timestamp::from_unix_micros),
            selection_ends_at: row.selection_ends_at.map(Timestamp::from_unix_micros),
            disputed_at: row.disputed_at.map(Timestamp::from_unix_micros),
            reused_from: row.reused_from.clone().and_then(|text| RawValue::from_string(text).ok()),
        }
    }
}

/// When the approval was given that a name rests on.
fn approved_at(row: &ValidationRow) -> Option<Timestamp> {
    let reused: Value = serde_json::from_str(row.reused_from.as_deref()?).ok()?;
    Timestamp::parse_rfc3339(reused["approved_at"].as_str()?).ok()
}

/// Reads one order; `client` limits it to that ordering system's.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn show_order(app: &App, id: OrderId, client: Option<&str>) -> Result<Option<OrderRecord>, StoreError> {
    match app.store.order(id).await? {
        Some(order) if client.is_none_or(|client| order.client == client) => read(app, order).await.map(Some),
        _ => Ok(None),
    }
}

/// Reads the rest of an order.
pub(super) async fn read(app: &App, order: OrderRow) -> Result<OrderRecord, StoreError> {
    let parts = app.store.parts(std::slice::from_ref(&order)).await?;
    let certificates = app.store.certificates(order.id()?).await?;
    let pairs = parts.pairs.into_iter().collect();
    Ok(OrderRecord { order, validations: parts.validations, mails: parts.mails, pairs, certificates })
}

/// Lists orders, newest first, and tells where the search for them stopped.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn list_orders(app: &App, filter: &OrderFilter) -> Result<(Vec<OrderRecord>, Option<SearchEdge>), StoreError> {
    let (orders, edge) = app.store.orders(filter).await?;
    let parts = app.store.parts(&orders).await?;
    let mut records: Vec<OrderRecord> = orders
        .into_iter()
        .map(|order| OrderRecord {
            order,
            validations: Vec::new(),
            mails: Vec::new(),
            pairs: MailValidations::default(),
            certificates: Vec::new(),
        })
        .collect();
    let place: HashMap<Vec<u8>, usize> = records.iter().enumerate().map(|(at, record)| (record.order.id.clone(), at)).collect();
    let mut mail_place = HashMap::new();
    for mail in parts.mails {
        if let Some(at) = place.get(&mail.order_id) {
            mail_place.insert(mail.id.clone(), *at);
            records[*at].mails.push(mail);
        }
    }
    for validation in parts.validations {
        if let Some(at) = place.get(&validation.order_id) {
            records[*at].validations.push(validation);
        }
    }
    let mut pairs: HashMap<usize, Vec<_>> = HashMap::new();
    for pair in parts.pairs {
        if let Some(at) = mail_place.get(&pair.0) {
            pairs.entry(*at).or_default().push(pair);
        }
    }
    for (at, pairs) in pairs {
        records[at].pairs = pairs.into_iter().collect();
    }
    Ok((records, edge))
}

/// What an operator means by what they typed: an order, an address, a name or reference, or else part of what was told.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn search(app: &App, text: &str) -> Result<Search, StoreError> {
    if let Ok(id) = OrderId::parse(text) {
        return Ok(Search::Order(id));
    }
    if let Ok(address) = EmailAddress::parse(text) {
        return Ok(Search::Recipient(address.to_string()));
    }
    let name = CertificateName::parse(text, &app.lists().suffixes).map(|name| name.to_string());
    for exactly in [Some(text.to_owned()), name.ok()].into_iter().flatten() {
        if app.store.is_called(&exactly).await? {
            return Ok(Search::Exactly(exactly));
        }
    }
    Ok(Search::Told(text.to_owned()))
}

/// What is due within this time is due soon.
const DUE_SOON: Duration = Duration::from_secs(3 * DAY_SECS);

/// A day as a form gives it, from its beginning in Japan.
fn day(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(&format!("{text}T00:00:00+09:00")).ok()
}

/// Which orders a list's address asks for; what it does not say right is as if it were not there.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn filter_by(
    app: &App,
    given: &(dyn Fn(&str) -> Option<String> + Sync),
    operator: &str,
    personal: bool,
) -> Result<OrderFilter, StoreError> {
    let search = match given("q") {
        // Whoever may not see addresses may not guess them either, nor what was told beside them.
        Some(text) => Some(match search(app, &text).await? {
            Search::Recipient(_) | Search::Told(_) if !personal => Search::Exactly(String::new()),
            search => search,
        }),
        None => None,
    };
    let days =
        |from, to| (given(from).and_then(|text| day(&text)), given(to).and_then(|text| day(&text)).map(|at| at.plus_days(1)));
    let is = given("is").and_then(|text| OrderIs::from_text(&text));
    let soon = (is == Some(OrderIs::DueSoon)).then(|| app.now() + DUE_SOON);
    Ok(OrderFilter {
        search,
        expires: (None, soon),
        state: given("state").and_then(|text| OrderState::from_text(&text)),
        is,
        assignee: given("mine").map(|_| operator.to_owned()),
        name: given("name"),
        order_ref: given("order_ref"),
        profile: given("profile"),
        source: given("source").and_then(|text| Source::from_text(&text)),
        method: given("method").and_then(|text| Method::from_section(&text)),
        requester: given("requester"),
        client: given("client"),
        kind: given("kind").and_then(|text| OrderKind::from_text(&text)),
        role: given("role").and_then(|text| Role::from_text(&text)),
        suffix: given("suffix").map(|text| text.trim_start_matches('.').to_ascii_lowercase()).filter(|text| !text.is_empty()),
        has: given("has").and_then(|text| OrderHas::from_text(&text)),
        created: days("from", "to"),
        decided: days("decided_from", "decided_to"),
        ..OrderFilter::default()
    })
}

/// Reads an order's timeline.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn timeline(app: &App, id: OrderId) -> Result<Vec<EventView>, StoreError> {
    app.store.events(id).await?.iter().map(event_view).collect()
}

fn event_view(row: &EventRow) -> Result<EventView, StoreError> {
    let bad = |column| StoreError::inconsistent("events", column, &row.id);
    Ok(EventView {
        id: EventId::from_bytes(row.id.clone().try_into().map_err(|_| bad("id"))?),
        seq: row.seq,
        kind: row.kind.clone(),
        timestamp: Timestamp::from_unix_micros(row.at),
        actor: row.actor.clone(),
        data: RawValue::from_string(row.data.clone()).map_err(|_| bad("data"))?,
    })
}
