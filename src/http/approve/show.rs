//! `GET` and `HEAD /approve/{token}`: shows, and changes nothing.

use std::collections::HashMap;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::{language, pages};
use crate::app::open_link::open_link;
use crate::http::caller::Peer;
use crate::http::{HttpState, Problem};
use crate::render::Entered;

pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Path(token): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    peer: Peer,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let switched = query.get("lang").map(String::as_str);
    let Some(opened) = open_link(&state.app, &token).await? else {
        return Ok(not_opened(&state, &peer, language(switched, &headers, None)));
    };
    let lang = language(switched, &headers, Some(&opened.record.order.locale));
    Ok(match &opened.closed {
        Some(refusal) => pages::closed(&state.app, &opened, refusal, lang, None),
        None => pages::form(&state.app, &opened, lang, &Entered::default(), &[]),
    })
}

/// The page for a wrong link; only those count against the caller.
pub(super) fn not_opened(state: &HttpState, peer: &Peer, lang: &'static str) -> Response {
    match state.wrong_links.check_key(&peer.limited_as()) {
        Ok(()) => pages::unknown(&state.app, lang),
        Err(_) => pages::slow_down(&state.app, lang),
    }
}
