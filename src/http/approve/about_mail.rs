//! `GET /about-mail`: how to recognise our mails.

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::{language, pages};
use crate::http::HttpState;

pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    pages::about_mail(&state.app, language(&query, &headers, None))
}
