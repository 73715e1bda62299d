//! `/dispute/{token}`: whoever got a receipt says that the approval was none of theirs.

use std::collections::HashMap;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::{language, not_opened, pages, unavailable};
use crate::app::dispute::{dispute, open};
use crate::http::HttpState;
use crate::http::caller::Peer;

pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Path(token): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    peer: Peer,
    headers: HeaderMap,
) -> Response {
    match open(&state.app, &token).await {
        Err(error) => unavailable(&state, &error, language(&query, &headers, None)),
        Ok(None) => not_opened(&state, &peer, language(&query, &headers, None)),
        Ok(Some(opened)) => {
            let lang = language(&query, &headers, Some(&opened.order.locale));
            pages::dispute(&state.app, &opened, StatusCode::OK, lang)
        }
    }
}

pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Path(token): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    peer: Peer,
    headers: HeaderMap,
    form: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Response {
    let opened = match open(&state.app, &token).await {
        Err(error) => return unavailable(&state, &error, language(&query, &headers, None)),
        Ok(None) => return not_opened(&state, &peer, language(&query, &headers, None)),
        Ok(Some(opened)) => opened,
    };
    let lang = language(&query, &headers, Some(&opened.order.locale));
    // A scanner that presses buttons ticks no box.
    let sure = form.is_ok_and(|form| form.0.get("sure").is_some_and(|sure| sure == "yes"));
    if !sure {
        return pages::dispute(&state.app, &opened, StatusCode::UNPROCESSABLE_ENTITY, lang);
    }
    if let Err(error) = dispute(&state.app, &opened, peer.as_evidence(state.readers.read_many(&peer))).await {
        return unavailable(&state, &error, lang);
    }
    let location = format!("{}/dispute/{token}?lang={lang}", state.app.settings.public_base);
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}
