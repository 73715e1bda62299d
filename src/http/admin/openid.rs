//! `/admin/sign-in/openid`: to an OpenID Connect provider, and back from it.

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::frame::Frame;
use super::sign_in::{cookie, from, page, session_cookie};
use super::{html, lang};
use crate::app::sign_in_openid::{self, Answer, begin, finish};
use crate::dcv::authorization_request::AWAY_MAX;
use crate::dcv::operator_claims::NotAdmitted;
use crate::http::caller::Peer;
use crate::http::{Code, HttpState, Problem};

/// What the browser keeps while its person is away.
const AWAY: &str = "dcvd-away";

/// `admin/signed-in.html`
#[derive(Serialize)]
struct SignedInPage {
    #[serde(flatten)]
    frame: Frame,
}

/// `GET /admin/sign-in/openid`: sends the browser to the provider. No form: what leads from one to another site is not let through as one.
pub(super) async fn go(
    State(state): State<HttpState>,
    Query(query): Query<HashMap<String, String>>,
    peer: Peer,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if state.app.settings.claim_rules.is_empty() || state.app.settings.sign_in.is_none() {
        return Err(Problem::new(Code::NotFound));
    }
    let lang = lang(&query);
    // Another site must not use up the tries of whoever looks at it, nor sign them in behind their back. Browsers that do not say where a
    // request comes from are let through.
    let site = headers.get("sec-fetch-site").map_or("none", |site| site.to_str().unwrap_or_default());
    if !matches!(site, "none" | "same-origin") {
        return page(&state, StatusCode::FORBIDDEN, lang, "", "");
    }
    if state.away.check_key(&peer.limited_as()).is_err() {
        return page(&state, StatusCode::TOO_MANY_REQUESTS, lang, "wait", "");
    }
    let before = cookie(&headers);
    match begin(&state.app, lang == "en", before.as_deref()).await {
        Ok(away) => {
            let kept = away_cookie(&state, &away.cookie, AWAY_MAX.as_secs());
            Ok((StatusCode::SEE_OTHER, [(LOCATION, away.to)], [(SET_COOKIE, kept)]).into_response())
        }
        Err(why) => Ok(turned_back(why, lang)),
    }
}

/// `GET /admin/sign-in/openid/return`: back from the provider.
pub(super) async fn back(
    State(state): State<HttpState>,
    Query(query): Query<HashMap<String, String>>,
    peer: Peer,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if state.app.settings.claim_rules.is_empty() || state.app.settings.sign_in.is_none() {
        return Err(Problem::new(Code::NotFound));
    }
    let kept = kept(&headers).unwrap_or_default();
    let lang = sign_in_openid::lang(&state.app, &kept);
    if state.away.check_key(&peer.limited_as()).is_err() {
        return page(&state, StatusCode::TOO_MANY_REQUESTS, lang, "wait", "");
    }
    let given = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let issuer = query.get("iss").map(String::as_str);
    let answer = Answer { cookie: &kept, code: given("code"), state: given("state"), issuer };
    let mut answer = match finish(&state.app, answer, &from(&peer)).await? {
        // Sent on by an answer to a request that another site began, the browser would keep the strict cookie to itself.
        Ok(cookie) => {
            let mut page = html(&state, "admin/signed-in.html", &SignedInPage { frame: Frame::outside(lang) })?;
            page.headers_mut().append(SET_COOKIE, session_cookie(state.open_id_is_https(), cookie.as_str(), ""));
            page
        }
        Err(why) => turned_back(why, lang),
    };
    answer.headers_mut().append(SET_COOKIE, away_cookie(&state, "", 0));
    Ok(answer)
}

/// To the page where one signs in, which says why. The provider's code does not stay in the address.
fn turned_back(why: NotAdmitted, lang: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, format!("/admin/sign-in?why={}&lang={lang}", why.as_str()))]).into_response()
}

/// Comes back with a browser that another site sends here, unlike the cookie of a sign-in.
fn away_cookie(state: &HttpState, value: &str, seconds: u64) -> HeaderValue {
    let secure = if state.open_id_is_https() { "; Secure" } else { "" };
    let text = format!("{AWAY}={value}; Path=/admin/sign-in/openid; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn kept(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    all.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == AWAY).map(|(_, value)| value.to_owned())
}
