//! `/enter`: takes a link, or its token, that does not open as it is.

use std::collections::HashMap;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::{language, not_opened, pages};
use crate::dcv::link::{self, Pasted};
use crate::http::HttpState;
use crate::http::caller::Peer;

pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    pages::enter(&state.app, StatusCode::OK, language(&query, &headers, None), "")
}

pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Query(query): Query<HashMap<String, String>>,
    peer: Peer,
    headers: HeaderMap,
    form: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Response {
    let lang = language(&query, &headers, None);
    let entered = form.ok().and_then(|form| form.0.get("link").cloned()).unwrap_or_default();
    match link::pasted(&entered) {
        Pasted::Token(token) if link::verify(&state.app.keys, &token).is_ok() => {
            let location = format!("{}/approve/{token}?lang={lang}", state.app.settings.public_base);
            (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
        }
        Pasted::Token(token) if link::verify_dispute(&state.app.keys, &token).is_ok() => {
            let location = format!("{}/dispute/{token}?lang={lang}", state.app.settings.public_base);
            (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
        }
        Pasted::Token(_) => not_opened(&state, &peer, lang),
        Pasted::Cut => pages::enter(&state.app, StatusCode::UNPROCESSABLE_ENTITY, lang, "cut"),
        Pasted::Nothing => pages::enter(&state.app, StatusCode::UNPROCESSABLE_ENTITY, lang, "nothing"),
    }
}
