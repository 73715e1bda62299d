//! `/admin`: the status page. It serves whoever is signed in or, where that is off, this host alone.

pub(super) mod access;
pub(super) mod choose;
pub(super) mod list;
pub(super) mod look;
pub(super) mod order;
pub(super) mod release;
pub(super) mod replay;
pub(super) mod resend;
pub(super) mod returned;
pub(super) mod sign_in;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::{Code, HttpState, Problem};
use crate::dcv::timestamp::Timestamp;

/// Serves only a loopback peer that asks for a loopback address and speaks for nobody else; to all others the page does not exist.
///
/// A peer that is a trusted proxy speaks for others even where it says so in no header, as nginx does by default.
pub(super) async fn only_from_this_host(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    let own = |peer: IpAddr| peer.is_loopback() && !state.settings.trusted_proxies.iter().any(|net| net.contains(&peer));
    if peer.is_some_and(own) && names_loopback(request.headers()) && !is_forwarded(request.headers()) {
        next.run(request).await
    } else {
        Problem::new(Code::NotFound).into_response()
    }
}

/// Whether Host is a loopback address as a literal: a name could be made to resolve here by a stranger.
fn names_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let address = host.parse::<SocketAddr>().map(|address| address.ip());
    let address = address.or_else(|_| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>());
    address.is_ok_and(|address| address.to_canonical().is_loopback())
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str() == "forwarded" || name.as_str().starts_with("x-forwarded-"))
}

/// Takes a form only where the browser says that it came from the page's own origin.
fn from_same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    if origin.is_some() && origin == text(HOST) {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden).detail("the form must be sent from the status page itself"))
}

fn lang(query: &HashMap<String, String>) -> &'static str {
    if query.get("lang").is_some_and(|lang| lang == "en") { "en" } else { "ja" }
}

fn html<C: serde::Serialize>(state: &HttpState, template: &str, context: &C) -> Result<Response, Problem> {
    let page = state.app.renderer.render(template, context).map_err(|error| {
        tracing::error!(%error, "a page cannot be rendered");
        Problem::new(Code::Internal)
    })?;
    Ok((StatusCode::OK, [(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response())
}

/// "2026-11-22 18:00:00 JST"
fn jst(at: Timestamp) -> String {
    let t = at.to_jst();
    format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02} JST", t.year(), u8::from(t.month()), t.day(), t.hour(), t.minute(), t.second())
}

/// "2026-11-22 09:00:00 UTC"
fn utc(at: Timestamp) -> String {
    let t = at.to_utc();
    format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", t.year(), u8::from(t.month()), t.day(), t.hour(), t.minute(), t.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_literals_pass() {
        let with = |host: &str| HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
        for good in ["127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080"] {
            assert!(names_loopback(&with(good)), "{good}");
        }
        for bad in ["localhost", "localhost:8080", "evil.example", "192.0.2.1", "127.0.0.1.evil.example", ""] {
            assert!(!names_loopback(&with(bad)), "{bad}");
        }
        assert!(!names_loopback(&HeaderMap::new()));
    }
}
