//! `GET /admin/profiles`: the rules in force, what to know of them, and what their mails and pages look like.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::Value;

use super::frame::Frame;
use super::{html, jst};
use crate::app::ask::AskError;
use crate::app::preview::{STATES, preview};
use crate::dcv::order::Locale;
use crate::dcv::profile::{Level, Versioned, advice};
use crate::dcv::timestamp::Timestamp;
use crate::http::approve::pages;
use crate::http::{Code, HttpState, Problem};
use crate::render::Entered;

/// `admin/profiles.html`
#[derive(Serialize)]
struct ProfilesPage {
    #[serde(flatten)]
    frame: Frame,
    profiles: Vec<ProfileLine>,
}

#[derive(Serialize)]
struct ProfileLine {
    id: String,
    title: String,
    compliance: &'static str,
    from: String,
    until: String,
    in_force: bool,
    sha256: String,
    warnings: usize,
}

/// `admin/profile.html`
#[derive(Serialize)]
struct ProfilePage {
    #[serde(flatten)]
    frame: Frame,
    profile: ProfileLine,
    /// Every key with its effective value.
    values: Vec<(String, String)>,
    /// Rule, level, key, words.
    advice: Vec<(&'static str, &'static str, &'static str, String)>,
    subject: String,
    text: String,
    has_html: bool,
    states: [&'static str; 7],
    /// The hash of each version that was ever in force, and since when.
    versions: Vec<(String, String)>,
    /// What differs from the version that is asked for: the key, there, now.
    differs: Vec<(String, String, String)>,
    against: String,
}

fn line(state: &HttpState, one: &Versioned, lang: &str) -> ProfileLine {
    let (profile, now) = (&one.profile, state.app.now());
    let day = |date: Option<time::Date>| date.map(|date| date.to_string()).unwrap_or_default();
    ProfileLine {
        id: profile.id.clone(),
        title: if lang == "ja" { profile.title_ja.clone() } else { profile.title_en.clone() },
        compliance: profile.compliance.as_str(),
        from: day(profile.valid_from),
        until: day(profile.valid_until),
        in_force: profile.is_in_force(now),
        sha256: HEXLOWER.encode(&one.hash),
        warnings: advice(profile, now).into_iter().filter(|one| one.level != Level::Info).count(),
    }
}

pub(super) async fn list(State(state): State<HttpState>, frame: Frame) -> Result<Response, Problem> {
    let profiles = state.app.profiles.iter().map(|one| line(&state, one, frame.lang)).collect();
    html(&state, "admin/profiles.html", &ProfilesPage { frame, profiles })
}

fn locale(frame: &Frame) -> Locale {
    if frame.lang == "en" { Locale::En } else { Locale::Ja }
}

pub(super) async fn show(State(state): State<HttpState>, Path(id): Path<String>, frame: Frame) -> Result<Response, Problem> {
    let one = state.app.profiles.get(Some(&id)).ok_or_else(|| Problem::new(Code::NotFound))?;
    let letter = preview(&state.app, one, locale(&frame), "valid").map_err(|error| broken(&error))?.letter;
    let body: Value = serde_json::from_str(&one.body).unwrap_or_default();
    let mut values = Vec::new();
    flat("", &body, &mut values);
    let versions = state.app.store.profile_versions(&id).await?;
    let against = frame.given("against").unwrap_or_default();
    let other = versions.iter().find(|(hash, ..)| HEXLOWER.encode(hash) == against);
    let differs = other.map(|(_, body, _)| differences(body, &values)).unwrap_or_default();
    let page = ProfilePage {
        profile: line(&state, one, frame.lang),
        values,
        advice: advice(&one.profile, state.app.now())
            .into_iter()
            .map(|one| (one.rule, one.level.as_str(), one.key, one.words))
            .collect(),
        subject: letter.subject,
        text: letter.text,
        has_html: letter.html.is_some(),
        states: STATES,
        versions: versions.iter().map(|(hash, _, at)| (HEXLOWER.encode(hash), jst(Timestamp::from_unix_micros(*at)))).collect(),
        differs,
        against,
        frame,
    };
    html(&state, "admin/profile.html", &page)
}

fn broken(error: &AskError) -> Problem {
    tracing::error!(%error, "a profile's mail cannot be rendered");
    Problem::new(Code::Internal)
}

/// Every key with its value, a line each.
fn flat(at: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                flat(&if at.is_empty() { key.clone() } else { format!("{at}.{key}") }, value, into);
            }
        }
        Value::String(text) => into.push((at.to_owned(), text.clone())),
        other => into.push((at.to_owned(), other.to_string())),
    }
}

/// The keys whose values are others than in an earlier version: there, and now.
fn differences(before: &str, now: &[(String, String)]) -> Vec<(String, String, String)> {
    let mut earlier = Vec::new();
    flat("", &serde_json::from_str(before).unwrap_or_default(), &mut earlier);
    let find = |all: &[(String, String)], key: &str| all.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone());
    let keys: BTreeSet<&String> = earlier.iter().chain(now).map(|(key, _)| key).collect();
    keys.into_iter()
        .map(|key| (key.clone(), find(&earlier, key).unwrap_or_default(), find(now, key).unwrap_or_default()))
        .filter(|(_, before, now)| before != now)
        .collect()
}

/// `GET /admin/profiles/{id}/mail`: the mail's HTML, by itself.
pub(super) async fn mail(State(state): State<HttpState>, Path(id): Path<String>, frame: Frame) -> Result<Response, Problem> {
    // The mail's styles stand in it.
    const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox");
    let one = state.app.profiles.get(Some(&id)).ok_or_else(|| Problem::new(Code::NotFound))?;
    let letter = preview(&state.app, one, locale(&frame), "valid").map_err(|error| broken(&error))?.letter;
    let html = letter.html.ok_or_else(|| Problem::new(Code::NotFound))?;
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")), (CONTENT_SECURITY_POLICY, POLICY)];
    Ok((StatusCode::OK, headers, html).into_response())
}

/// `GET /admin/profiles/{id}/page?state=…`: the page of a link in a state; its buttons do nothing.
pub(super) async fn page(State(state): State<HttpState>, Path(id): Path<String>, frame: Frame) -> Result<Response, Problem> {
    const POLICY: HeaderValue = HeaderValue::from_static(
        "default-src 'none'; style-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    );
    let one = state.app.profiles.get(Some(&id)).ok_or_else(|| Problem::new(Code::NotFound))?;
    let wanted = frame.given("state").unwrap_or_default();
    let wanted = STATES.into_iter().find(|known| *known == wanted).unwrap_or("valid");
    let opened = preview(&state.app, one, locale(&frame), wanted).map_err(|error| broken(&error))?.opened;
    let mut shown = match &opened.closed {
        Some(refusal) => pages::closed(&state.app, &opened, refusal, frame.lang, None, false),
        None => pages::form(&state.app, &opened, frame.lang, &Entered::default(), &[]),
    };
    *shown.status_mut() = StatusCode::OK;
    shown.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
    Ok(shown)
}
