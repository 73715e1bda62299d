//! What domain owners see: `/approve/{token}`, `/enter`, `/dispute/{token}` and `/about-mail`.

pub(super) mod about_mail;
pub(super) mod answer;
pub(super) mod dispute;
pub(super) mod enter;
pub(super) mod pages;
pub(super) mod show;
pub(super) mod status;

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{Query, Request};
use axum::http::header::{
    ACCEPT_LANGUAGE, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, STRICT_TRANSPORT_SECURITY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use super::HttpState;
use super::caller::Peer;
use crate::app::open_link::Opened;
use crate::dcv::order::Locale;
use crate::store::StoreError;

/// The language of a page: as switched to, else as the browser prefers, else as the order was placed.
fn language(query: &HashMap<String, String>, headers: &HeaderMap, order: Option<&str>) -> &'static str {
    let preferred = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).and_then(preferred);
    query.get("lang").and_then(|text| known(text)).or(preferred).or_else(|| order.and_then(known)).unwrap_or("ja")
}

/// The language of an opened link's page: one that its profile's pages speak.
fn spoken(opened: &Opened, lang: &'static str) -> &'static str {
    let wanted = Locale::from_text(lang).unwrap_or(Locale::Ja);
    opened.profile.profile.page.languages.pick(wanted).as_str()
}

/// One of our languages, by a tag's primary subtag (RFC 5646 §2.2.1).
fn known(tag: &str) -> Option<&'static str> {
    let primary = tag.trim().split('-').next().unwrap_or_default();
    ["ja", "en"].into_iter().find(|ours| primary.eq_ignore_ascii_case(ours))
}

/// Which of our languages an `Accept-Language` likes best (RFC 9110 §12.5.4); of two liked alike the first.
fn preferred(accepted: &str) -> Option<&'static str> {
    let mut best: Option<(&'static str, f32)> = None;
    for one in accepted.split(',') {
        let (tag, parameter) = one.split_once(';').unwrap_or((one, "q=1"));
        let weight = parameter.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok()).unwrap_or(0.0);
        if let Some(lang) = known(tag)
            && weight > best.map_or(0.0, |(_, weight)| weight)
        {
            best = Some((lang, weight));
        }
    }
    best.map(|(lang, _)| lang)
}

/// What a layer or an extractor refused, as a page: whoever answers with a browser is not shown JSON.
pub(super) fn as_page(state: &HttpState, asked: &Asked, refused: &Response) -> Response {
    let status = refused.status();
    let query = Query::<HashMap<String, String>>::try_from_uri(&asked.uri).map(|query| query.0).unwrap_or_default();
    let mut page = pages::refused(&state.app, status, language(&query, &asked.headers, None));
    page.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for name in [ALLOW, RETRY_AFTER] {
        if let Some(value) = refused.headers().get(&name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    if state.app.settings.public_base.starts_with("https://") {
        page.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(super::HSTS));
    }
    page.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(super::PAGE_POLICY));
    page
}

/// What of a request a page about it needs; the address may hold a token.
pub(super) struct Asked {
    uri: Uri,
    headers: HeaderMap,
}

impl Asked {
    /// Keeps it where the request is for one of these pages.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let path = request.uri().path();
        let is_page = ["/approve/", "/dispute/"].iter().any(|at| path.starts_with(at))
            || ["/enter", "/about-mail", "/status"].contains(&path);
        let language = request.headers().get(ACCEPT_LANGUAGE).map(|value| (ACCEPT_LANGUAGE, value.clone()));
        is_page.then(|| Self { uri: request.uri().clone(), headers: language.into_iter().collect() })
    }
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

    #[test]
    fn the_browsers_weights_count_and_not_its_order() {
        for (accepted, lang) in [
            ("en;q=0.5, ja", Some("ja")),
            ("en-US,en;q=0.9,ja;q=0.8", Some("en")),
            ("ja;q=0, en;q=0.1", Some("en")),
            ("jav, eng, fr", None),
            ("ja;q=nothing", None),
            ("", None),
        ] {
            assert_eq!(preferred(accepted), lang, "{accepted}");
        }
    }
}
