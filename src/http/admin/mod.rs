//! `/admin`: the status page. It serves whoever is signed in or, where that is off, this host alone.

mod access;
mod exports;
mod frame;
mod list;
mod live;
mod openid;
mod order;
mod overview;
mod press;
mod profiles;
mod returned;
mod seek;
pub(super) mod shown;
mod sign_in;
mod statistics;
mod trouble;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{self, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tower::ServiceBuilder;

use super::{Code, HttpState, Problem, set};
use crate::dcv::timestamp::Timestamp;
pub use exports::FILTERS as EXPORT_FILTERS;

/// What the status page may load: its own script looks again when something changed.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The routes of the status page.
pub(super) fn router(state: &HttpState) -> Router<HttpState> {
    Router::new()
        .route("/admin", get(overview::get))
        .route("/admin/orders", get(list::get))
        .route("/admin/orders/{id}", get(order::get))
        .route("/admin/orders/{id}/bundle", get(order::archive))
        .route("/admin/orders/{id}/approvers", post(press::choose))
        .route("/admin/orders/{id}/look", post(press::look))
        .route("/admin/orders/{id}/release", post(press::let_go))
        .route("/admin/orders/{id}/cancel", post(press::withdraw))
        .route("/admin/orders/{id}/amend", post(press::amend_order))
        .route("/admin/orders/{id}/extend", post(press::prolong))
        .route("/admin/orders/{id}/put/{what}", post(press::put_to))
        .route("/admin/orders/{id}/mails/{mail}/resend", post(press::send_again))
        .route("/admin/orders/{id}/mails/{mail}/reissue", post(press::reissue))
        .route("/admin/statistics", get(statistics::get))
        .route("/admin/domains", get(seek::domains))
        .route("/admin/approvers", get(seek::approvers))
        .route("/admin/dns", get(seek::dns))
        .route("/admin/webhooks", get(seek::webhooks))
        .route("/admin/profiles", get(profiles::list))
        .route("/admin/profiles/{id}", get(profiles::show))
        .route("/admin/profiles/{id}/mail", get(profiles::mail))
        .route("/admin/profiles/{id}/page", get(profiles::page))
        .route("/admin/returned", get(returned::get))
        .route("/admin/effects/{id}/replay", post(press::send_effect))
        .route("/admin/events/{id}/replay", post(press::post_again))
        .route("/admin/exports", get(exports::get).post(exports::post))
        .route("/admin/exports/{id}", get(exports::file))
        .route("/admin/live", get(live::get))
        .route("/admin/access", get(access::get))
        .route_layer(from_fn_with_state(state.clone(), sign_in::guard))
        .route("/admin/sign-in", get(sign_in::get).post(sign_in::post))
        .route("/admin/sign-in/certificate", post(sign_in::by_certificate))
        .route("/admin/sign-in/openid", get(openid::go))
        .route("/admin/sign-in/openid/return", get(openid::back))
        .route("/admin/sign-out", post(sign_in::sign_out))
        .layer(
            ServiceBuilder::new()
                .layer(set(header::CACHE_CONTROL, "no-store"))
                // With "no-referrer" a browser says of its own forms that they come from `null`.
                .layer(set(header::REFERRER_POLICY, "same-origin"))
                .layer(set(header::CONTENT_SECURITY_POLICY, POLICY))
                .layer(from_fn_with_state(state.clone(), trouble::page)),
        )
}

/// Serves only a loopback peer that asks for a loopback address and speaks for nobody else; to all others the page does not exist.
///
/// A peer that is a trusted proxy speaks for others even where it says so in no header, as nginx does by default.
pub(super) async fn only_from_this_host(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    if is_this_host(&state, &request) && names_loopback(request.headers()) {
        next.run(request).await
    } else {
        Problem::new(Code::NotFound).into_response()
    }
}

/// As [`only_from_this_host`], for what nobody presses and no browser shows: there the host may be called `localhost` too.
pub(super) async fn counts_for_this_host(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let named = names_loopback(request.headers()) || names_localhost(request.headers());
    if is_this_host(&state, &request) && named { next.run(request).await } else { Problem::new(Code::NotFound).into_response() }
}

/// Whether a request comes over loopback and speaks for nobody else.
fn is_this_host(state: &HttpState, request: &Request) -> bool {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    let own = |peer: IpAddr| peer.is_loopback() && !state.settings.trusted_proxies.iter().any(|net| net.contains(&peer));
    peer.is_some_and(own) && !is_forwarded(request.headers())
}

fn host_of(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether Host is `localhost`: the one name that is to mean no other host, as far as whoever resolves it keeps to that.
fn names_localhost(headers: &HeaderMap) -> bool {
    let host = host_of(headers);
    host.rsplit_once(':').map_or(host, |(name, _)| name).eq_ignore_ascii_case("localhost")
}

/// Whether Host is a loopback address as a literal: a name could be made to resolve here by a stranger.
fn names_loopback(headers: &HeaderMap) -> bool {
    let host = host_of(headers);
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
            assert_eq!(names_localhost(&with(bad)), bad.starts_with("localhost"), "{bad}");
        }
        assert!(!names_loopback(&HeaderMap::new()) && !names_localhost(&HeaderMap::new()));
        assert!(names_localhost(&with("LocalHost:80")) && !names_localhost(&with("localhost.evil.example")));
    }
}
