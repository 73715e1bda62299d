//! `GET /admin/orders`: the orders, as far as a filter lets them through.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::frame::Frame;
use super::{html, jst};
use crate::app::show_order::{OrderRecord, filter_by, list_orders};
use crate::dcv::contact::Source;
use crate::dcv::id::OrderId;
use crate::dcv::mail_cause::MailCause;
use crate::dcv::method::Method;
use crate::dcv::operator::Need;
use crate::dcv::order::{OrderKind, OrderState};
use crate::dcv::policy::Listed;
use crate::dcv::timestamp::Timestamp;
use crate::http::{HttpState, Problem};
use crate::store::{OrderFilter, OrderHas, OrderIs, StoreError};

/// Orders on one page.
const LIMIT: u32 = 50;

/// Orders looked at for one page: where few fit, the page says how far it looked, and looks on when asked to.
const LOOKED_AT: u32 = 5_000;

/// `admin/list.html`
#[derive(Serialize)]
struct ListPage {
    #[serde(flatten)]
    frame: Frame,
    states: Vec<&'static str>,
    are: Vec<(&'static str, &'static str, &'static str)>,
    profiles: Vec<String>,
    sources: Vec<&'static str>,
    kinds: Vec<&'static str>,
    methods: Vec<&'static str>,
    has: Vec<(&'static str, &'static str, &'static str)>,
    filter: FilterView,
    orders: Vec<OrderLine>,
    /// The next page's address.
    next: Option<String>,
    /// How far it looked, where the page is not full and older orders were not looked at.
    until: String,
}

/// What the form shows.
#[derive(Serialize)]
struct FilterView {
    q: String,
    state: String,
    is: String,
    profile: String,
    source: String,
    kind: String,
    method: String,
    requester: String,
    client: String,
    from: String,
    to: String,
    role: String,
    suffix: String,
    has: String,
    decided_from: String,
    decided_to: String,
}

/// An order as the status page shows it.
#[derive(Serialize)]
pub(super) struct OrderLine {
    pub(super) id: String,
    order_ref: String,
    client: String,
    profile: String,
    state: String,
    held: bool,
    /// Why it waits for an operator: the policy's entries with their reasons.
    held_for: Vec<Listed>,
    created: String,
    deadline: String,
    organization: String,
    requester: String,
    product: String,
    pub(super) assignee: String,
    pub(super) paused: bool,
    test: bool,
    validations: Vec<ValidationLine>,
    pub(super) mails: Vec<MailLine>,
}

#[derive(Serialize)]
struct ValidationLine {
    name: String,
    state: String,
    method: String,
    signer: String,
    reason: String,
    reusable_until: String,
}

#[derive(Serialize)]
pub(super) struct MailLine {
    pub(super) id: String,
    to: String,
    mail_host: Option<String>,
    /// It can be sent once more, as far as the list can tell.
    resendable: bool,
    resends: i64,
    reminders: i64,
    sent_at: String,
    adn: String,
    source: String,
    role: Option<String>,
    state: String,
    delivery: String,
    failure: Option<String>,
    failure_detail: Option<String>,
    /// What it means and what to do, in Japanese and in English.
    cause: Option<(&'static str, &'static str)>,
    delivery_at: String,
    deadline: String,
}

impl OrderLine {
    pub(super) fn new(record: &OrderRecord, frame: &Frame) -> Result<Self, StoreError> {
        let view = record.view()?;
        Ok(Self {
            id: view.id.to_string(),
            order_ref: view.order_ref,
            client: record.order.client.clone(),
            profile: view.profile,
            state: view.state,
            held: view.held,
            held_for: record.order.held.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
            created: jst(view.created_at),
            deadline: view.expires_at.map(jst).unwrap_or_default(),
            organization: view.facts.organization.clone().unwrap_or_default(),
            requester: view.facts.requester.clone().unwrap_or_default(),
            product: view.facts.product.clone().unwrap_or_default(),
            assignee: record.order.assignee.clone().unwrap_or_default(),
            paused: record.order.paused_at.is_some(),
            test: view.test,
            validations: record
                .validations
                .iter()
                .map(|one| ValidationLine {
                    name: one.name.clone(),
                    state: one.state.clone(),
                    method: one.method.clone().unwrap_or_default(),
                    signer: typed(one.signer.as_deref(), frame),
                    reason: typed(one.reason.as_deref(), frame),
                    reusable_until: one.reusable_until.map(Timestamp::from_unix_micros).map(jst).unwrap_or_default(),
                })
                .collect(),
            mails: view
                .mails
                .into_iter()
                .map(|mail| MailLine {
                    id: mail.id.to_string(),
                    to: frame.shown(&mail.to),
                    mail_host: mail.mail_host,
                    resendable: matches!(mail.state.as_str(), "queued" | "sent")
                        && !matches!(mail.delivery.as_str(), "queued" | "sending"),
                    sent_at: mail.sent_at.map(jst).unwrap_or_default(),
                    resends: mail.resends,
                    reminders: mail.reminders,
                    adn: mail.adn,
                    source: mail.source,
                    role: mail.role,
                    state: mail.state,
                    delivery: mail.delivery,
                    failure: mail.failure.map(|text| frame.shown(&text)),
                    failure_detail: mail.failure_detail.map(|text| frame.shown(&text)),
                    cause: MailCause::ALL.into_iter().find(|one| Some(one.as_str()) == mail.cause).map(MailCause::in_words),
                    delivery_at: mail.delivery_at.map(jst).unwrap_or_default(),
                    deadline: jst(mail.expires_at),
                })
                .collect(),
        })
    }
}

/// What a person typed, for whoever may see it.
fn typed(text: Option<&str>, frame: &Frame) -> String {
    match text {
        Some(name) if frame.may(Need::SeePersonal) => name.to_owned(),
        Some(_) => "***".to_owned(),
        None => String::new(),
    }
}

pub(super) async fn get(State(state): State<HttpState>, frame: Frame) -> Result<Response, Problem> {
    let before = frame.given("before").and_then(|text| OrderId::parse(&text).ok());
    let wanted = filter_by(&state.app, &|name| frame.given(name), &frame.signed.name, frame.may(Need::SeePersonal)).await?;
    let filter = OrderFilter { before, limit: LIMIT + 1, within: Some(LOOKED_AT), ..wanted };
    // Where the page is not full there may be older ones that were not looked at.
    let (mut records, edge) = list_orders(&state.app, &filter).await?;
    let more = records.len() > LIMIT as usize;
    records.truncate(LIMIT as usize);
    let orders = records.iter().map(|record| OrderLine::new(record, &frame)).collect::<Result<Vec<_>, _>>()?;
    let next = orders.last().filter(|_| more).map(|last| last.id.clone());
    let next = next.or_else(|| edge.map(|edge| edge.id.to_string())).map(|id| frame.with("before", &id));
    let given = |name: &str| frame.given(name).unwrap_or_default();
    let page = ListPage {
        states: OrderState::ALL.iter().map(|state| state.as_str()).collect(),
        are: OrderIs::ALL.iter().map(|is| is.in_words()).collect(),
        profiles: state.app.profiles.iter().map(|one| one.profile.id.clone()).collect(),
        sources: Source::ALL.iter().map(|source| source.as_str()).collect(),
        methods: Method::ALL.iter().map(|method| method.section()).collect(),
        has: OrderHas::ALL.iter().map(|has| has.in_words()).collect(),
        kinds: OrderKind::ALL.iter().map(|kind| kind.as_str()).collect(),
        filter: FilterView {
            q: given("q"),
            state: given("state"),
            is: given("is"),
            profile: given("profile"),
            source: given("source"),
            kind: given("kind"),
            method: given("method"),
            requester: given("requester"),
            client: given("client"),
            from: given("from"),
            to: given("to"),
            role: given("role"),
            suffix: given("suffix"),
            has: given("has"),
            decided_from: given("decided_from"),
            decided_to: given("decided_to"),
        },
        orders,
        next,
        until: edge.map(|edge| jst(edge.created_at)).unwrap_or_default(),
        frame,
    };
    html(&state, "admin/list.html", &page)
}
