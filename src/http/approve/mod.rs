//! What domain owners see: `/approve/{token}`, `/enter`, `/dispute/{token}` and `/about-mail`.

pub(super) mod about_mail;
pub(super) mod answer;
pub(super) mod dispute;
pub(super) mod enter;
mod pages;
pub(super) mod show;

use std::collections::HashMap;

use axum::body::Bytes;
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::HttpState;
use super::caller::Peer;
use crate::store::StoreError;

/// The language of a page: as switched to, else as the browser prefers, else as the order was placed.
fn language(query: &HashMap<String, String>, headers: &HeaderMap, order: Option<&str>) -> &'static str {
    let known = |text: &str| match text.trim().get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("ja") => Some("ja"),
        Some("en") => Some("en"),
        _ => None,
    };
    let preferred =
        headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).and_then(|value| value.split(',').find_map(known));
    query.get("lang").and_then(|text| known(text)).or(preferred).or_else(|| order.and_then(known)).unwrap_or("ja")
}

/// The page for a wrong link; only those count against the caller. It is the same for everybody, and rendered once.
fn not_opened(state: &HttpState, peer: &Peer, lang: &'static str) -> Response {
    if state.wrong_links.check_key(&peer.limited_as()).is_err() {
        return pages::slow_down(&state.app, lang);
    }
    let page = state.unknown_link[usize::from(lang == "en")].get_or_init(|| pages::unknown(&state.app, lang));
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "text/html; charset=utf-8")], Bytes::clone(page)).into_response()
}

/// The page for when the database is not there: nothing was decided, and the link waits.
fn unavailable(state: &HttpState, error: &StoreError, lang: &'static str) -> Response {
    tracing::error!(%error, "the store failed a page");
    pages::unavailable(&state.app, lang)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_wins_over_the_browser_and_the_browser_over_the_order() {
        let query = |lang: &str| HashMap::from([("lang".to_owned(), lang.to_owned())]);
        let (mut headers, none) = (HeaderMap::new(), HashMap::new());
        assert_eq!(language(&none, &headers, None), "ja");
        assert_eq!(language(&none, &headers, Some("en")), "en");
        headers.insert(ACCEPT_LANGUAGE, "fr, en-GB;q=0.8, ja;q=0.5".parse().unwrap());
        assert_eq!(language(&none, &headers, Some("ja")), "en");
        assert_eq!(language(&query("ja"), &headers, Some("en")), "ja");
        assert_eq!(language(&query("xx"), &headers, Some("ja")), "en");
    }
}
