//! `/status`: the state of one order, for whoever is told of it. A code comes by mail to the address that the ordering side named; it shows
//! the state once and does nothing else.

use std::collections::HashMap;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{language, pages, unavailable};
use crate::app::show_order::OrderRecord;
use crate::app::show_status::{send_status_code, show_status};
use crate::app::{english_time, japanese_time};
use crate::dcv::email::EmailAddress;
use crate::dcv::id::OrderId;
use crate::dcv::timestamp::Timestamp;
use crate::http::HttpState;
use crate::http::caller::Peer;
use crate::render::{NameView, ServiceView};

/// `approve/status.html`
#[derive(Serialize)]
struct StatusPage<'a> {
    service: &'a ServiceView,
    lang: &'static str,
    static_base: &'a str,
    /// `ask`, `code` or `shown`.
    step: &'static str,
    /// `unreadable`, `wrong`, `wait`, or empty.
    error: &'static str,
    request: String,
    email: String,
    shown: Option<Shown>,
}

/// An order's state as its people see it.
#[derive(Serialize)]
struct Shown {
    request_id: String,
    order_ref: String,
    state: String,
    received: String,
    deadline: String,
    names: Vec<(NameView, String)>,
    /// To whom mail went, masked, and what became of it.
    mails: Vec<(String, String)>,
}

fn page(state: &HttpState, status: StatusCode, context: &StatusPage<'_>) -> Response {
    match state.app.renderer.render("approve/status.html", context) {
        Ok(page) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn context<'a>(state: &'a HttpState, lang: &'static str, step: &'static str) -> StatusPage<'a> {
    let settings = &state.app.settings;
    StatusPage {
        service: &settings.service,
        lang,
        static_base: &settings.public_base,
        step,
        error: "",
        request: String::new(),
        email: String::new(),
        shown: None,
    }
}

pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let lang = language(&query, &headers, None);
    page(&state, StatusCode::OK, &context(&state, lang, "ask"))
}

pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Query(query): Query<HashMap<String, String>>,
    peer: Peer,
    headers: HeaderMap,
    form: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Response {
    let lang = language(&query, &headers, None);
    let form = form.map(|form| form.0).unwrap_or_default();
    let given = |name: &str| form.get(name).map(|text| text.trim().to_owned()).unwrap_or_default();
    let (request, email, code) = (given("request"), given("email"), given("code"));
    let (Ok(id), Ok(address)) = (OrderId::parse(&request), EmailAddress::parse(&email)) else {
        let context = StatusPage { error: "unreadable", request, email, ..context(&state, lang, "ask") };
        return page(&state, StatusCode::UNPROCESSABLE_ENTITY, &context);
    };
    // Asking for codes and trying them is limited alike, whether or not there is such an order.
    let key: [u8; 32] = Sha256::digest(format!("status {id} {}", address.to_string().to_lowercase())).into();
    if !state.may_confirm(&peer, key) {
        let context = StatusPage { error: "wait", request, email, ..context(&state, lang, "code") };
        return page(&state, StatusCode::TOO_MANY_REQUESTS, &context);
    }
    if code.is_empty() {
        if let Err(error) = send_status_code(&state.app, id, &address).await {
            return unavailable(&state, &error, lang);
        }
        let context = StatusPage { request, email, ..context(&state, lang, "code") };
        return page(&state, StatusCode::OK, &context);
    }
    match show_status(&state.app, id, &address, &code).await {
        Err(error) => unavailable(&state, &error, lang),
        Ok(None) => {
            let context = StatusPage { error: "wrong", request, email, ..context(&state, lang, "code") };
            page(&state, StatusCode::UNPROCESSABLE_ENTITY, &context)
        }
        Ok(Some(record)) => match shown(&record, lang) {
            Some(shown) => page(&state, StatusCode::OK, &StatusPage { shown: Some(shown), ..context(&state, lang, "shown") }),
            None => pages::refused(&state.app, StatusCode::INTERNAL_SERVER_ERROR, lang),
        },
    }
}

fn shown(record: &OrderRecord, lang: &str) -> Option<Shown> {
    let view = record.view().ok()?;
    let time = |at: Timestamp| if lang == "ja" { japanese_time(at) } else { english_time(at) };
    let masked = |text: &str| EmailAddress::parse(text).map_or_else(|_| String::new(), |address| address.masked());
    Some(Shown {
        request_id: view.id.to_string(),
        order_ref: view.order_ref,
        state: view.state,
        received: time(view.created_at),
        deadline: view.expires_at.map(time).unwrap_or_default(),
        names: view.validations.iter().map(|one| (NameView::new(&one.name), one.state.clone())).collect(),
        mails: view.mails.iter().map(|one| (masked(&one.to), one.delivery.clone())).collect(),
    })
}
