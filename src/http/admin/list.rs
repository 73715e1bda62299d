//! `GET /admin`

use std::collections::HashMap;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Serialize;

use super::returned::CanaryLine;
use super::{html, jst, lang};
use crate::app::canary;
use crate::app::show_order::{OrderRecord, list_orders};
use crate::app::sign_in::SignedIn;
use crate::dcv::field::is_one_line;
use crate::dcv::id::OrderId;
use crate::dcv::mail_cause::MailCause;
use crate::dcv::operator::Need;
use crate::dcv::order::OrderState;
use crate::dcv::policy::Listed;
use crate::dcv::timestamp::Timestamp;
use crate::http::{HttpState, Problem};
use crate::store::{EffectKind, OrderFilter, StoreError};

/// Orders on one page.
const LIMIT: u32 = 50;

/// `admin/list.html`
#[derive(Serialize)]
struct ListPage<'a> {
    lang: &'static str,
    static_base: &'a str,
    /// Who is signed in.
    who: &'a str,
    /// They may read the access log.
    access: bool,
    mails_due: i64,
    webhooks_due: i64,
    orders_held: i64,
    canary: CanaryLine,
    states: Vec<&'static str>,
    filter: FilterView,
    orders: Vec<OrderLine>,
    next: Option<String>,
}

#[derive(Serialize)]
struct FilterView {
    state: String,
    name: String,
    order_ref: String,
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
    validations: Vec<ValidationLine>,
    mails: Vec<MailLine>,
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
struct MailLine {
    id: String,
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
    pub(super) fn new(record: &OrderRecord) -> Result<Self, StoreError> {
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
            validations: record
                .validations
                .iter()
                .map(|one| ValidationLine {
                    name: one.name.clone(),
                    state: one.state.clone(),
                    method: one.method.clone().unwrap_or_default(),
                    signer: one.signer.clone().unwrap_or_default(),
                    reason: one.reason.clone().unwrap_or_default(),
                    reusable_until: one.reusable_until.map(Timestamp::from_unix_micros).map(jst).unwrap_or_default(),
                })
                .collect(),
            mails: view
                .mails
                .into_iter()
                .map(|mail| MailLine {
                    id: mail.id.to_string(),
                    to: mail.to,
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
                    failure: mail.failure,
                    failure_detail: mail.failure_detail,
                    cause: MailCause::ALL.into_iter().find(|one| Some(one.as_str()) == mail.cause).map(MailCause::in_words),
                    delivery_at: mail.delivery_at.map(jst).unwrap_or_default(),
                    deadline: jst(mail.expires_at),
                })
                .collect(),
        })
    }
}

pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Extension(who): Extension<SignedIn>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Problem> {
    let given =
        |name: &str| query.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty() && is_one_line(value));
    let filter = OrderFilter {
        state: given("state").and_then(|text| OrderState::from_text(&text)),
        held: given("held").is_some(),
        name: given("name"),
        order_ref: given("order_ref"),
        before: given("before").and_then(|text| OrderId::parse(&text).ok()),
        limit: LIMIT + 1,
        ..OrderFilter::default()
    };
    let mut records = list_orders(&state.app, &filter).await?;
    let more = records.len() > LIMIT as usize;
    records.truncate(LIMIT as usize);
    let lang = lang(&query);
    let orders = records.iter().map(OrderLine::new).collect::<Result<Vec<_>, _>>()?;
    let next = orders.last().filter(|_| more).map(|last| {
        let mut next = url::form_urlencoded::Serializer::new(String::new());
        for name in ["state", "name", "order_ref", "held"] {
            if let Some(value) = given(name) {
                next.append_pair(name, &value);
            }
        }
        next.append_pair("lang", lang).append_pair("before", &last.id).finish()
    });
    let page = ListPage {
        lang,
        static_base: "",
        who: &who.name,
        access: state.app.settings.sign_in.is_some() && who.role.may(Need::ReadAccess),
        mails_due: state.app.store.effects_due(EffectKind::Mail).await?,
        canary: CanaryLine::new(canary::state(&state.app).await?),
        orders_held: state.app.store.orders_held().await?,
        webhooks_due: state.app.store.effects_due(EffectKind::Webhook).await?,
        states: OrderState::ALL.iter().map(|state| state.as_str()).collect(),
        filter: FilterView {
            state: filter.state.map_or_else(String::new, |state| state.as_str().to_owned()),
            name: filter.name.clone().unwrap_or_default(),
            order_ref: filter.order_ref.clone().unwrap_or_default(),
        },
        orders,
        next,
    };
    html(&state, "admin/list.html", &page)
}
