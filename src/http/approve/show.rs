//! `GET` and `HEAD /approve/{token}`: shows, and changes nothing.

use std::collections::HashMap;

use axum::extract::{Path, Query, State};
use axum::http::header::ACCEPT_LANGUAGE;
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::{language, not_opened, pages, spoken, unavailable};
use crate::app::open_link::{Opened, open_link};
use crate::dcv::timestamp::Timestamp;
use crate::dcv::viewer::{Opening, is_scanner};
use crate::http::HttpState;
use crate::http::caller::Peer;
use crate::render::Entered;

/// What is no link at all gets the page for a wrong one.
pub(in crate::http) async fn nothing(
    State(state): State<HttpState>,
    Query(query): Query<HashMap<String, String>>,
    peer: Peer,
    headers: HeaderMap,
) -> Response {
    not_opened(&state, &peer, language(&query, &headers, None))
}

pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Path(token): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    peer: Peer,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let opened = match open_link(&state.app, &token).await {
        Err(error) => return unavailable(&state, &error, language(&query, &headers, None)),
        Ok(None) => return not_opened(&state, &peer, language(&query, &headers, None)),
        Ok(Some(opened)) => opened,
    };
    state.readers.note(&peer, opened.limited_as());
    note_view(&state, &opened, &peer, &method, &headers);
    let lang = spoken(&opened, language(&query, &headers, Some(&opened.order.locale)));
    match &opened.closed {
        Some(refusal) => {
            let receipt = query.get("receipt").is_some_and(|tag| opened.is_receipt(&state.app, tag));
            pages::closed(&state.app, &opened, refusal, lang, None, receipt)
        }
        None => pages::form(&state.app, &opened, lang, &Entered::default(), &[]),
    }
}

/// Remembers who opened the page, for operators: nothing rests on it.
fn note_view(state: &HttpState, opened: &Opened, peer: &Peer, method: &Method, headers: &HeaderMap) {
    let (now, Ok(mail)) = (state.app.now(), opened.mail.id()) else { return };
    let opening = Opening {
        head: method == Method::HEAD,
        user_agent: &peer.user_agent,
        has_language: headers.contains_key(ACCEPT_LANGUAGE),
        after_sending: opened.mail.sent_at.map(|at| now.since(Timestamp::from_unix_micros(at))),
        read_many: state.readers.read_many(peer),
    };
    state.app.views.note(mail, &peer.address.to_string(), &peer.user_agent, is_scanner(&opening), now);
}
