//! `POST /approve/{token}`: an answer; then 303 to the same address, which shows the receipt.

use std::collections::HashMap;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::{language, not_opened, pages, spoken, unavailable};
use crate::app::answer::answer;
use crate::app::open_link::{Opened, open_link};
use crate::dcv::decision::{Answer, REASON_MAX_CHARS, Refusal, Scope};
use crate::dcv::field::{FieldError, is_one_line};
use crate::dcv::profile::{AccessPin, Confirm};
use crate::http::HttpState;
use crate::http::caller::Peer;
use crate::render::Entered;
use crate::store::StoreError;

pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Path(token): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    peer: Peer,
    headers: HeaderMap,
    form: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Response {
    let opened = match open_link(&state.app, &token).await {
        Err(error) => return unavailable(&state, &error, language(&query, &headers, None)),
        Ok(None) => return not_opened(&state, &peer, language(&query, &headers, None)),
        Ok(Some(opened)) => opened,
    };
    let lang = spoken(&opened, language(&query, &headers, Some(&opened.order.locale)));
    let form = match form {
        Err(rejection) => return pages::refused(&state.app, rejection.status(), lang),
        Ok(Form(form)) => form,
    };
    let switched = query.get("lang").map(String::as_str);
    match answered(&state, &token, opened, &form, &peer, lang, switched).await {
        Ok(response) => response,
        Err(error) => unavailable(&state, &error, lang),
    }
}

async fn answered(
    state: &HttpState,
    token: &str,
    opened: Opened,
    form: &HashMap<String, String>,
    peer: &Peer,
    lang: &'static str,
    switched: Option<&str>,
) -> Result<Response, StoreError> {
    let given = |name: &str| form.get(name).map(|value| value.trim().to_owned()).unwrap_or_default();
    let entered = Entered {
        scope: given("scope"),
        signer: given("signer"),
        reason: reason(&given("reason")),
        authority: given("authority") == "yes",
        code: given("code"),
        pin: given("pin"),
    };
    if let Some(refusal) = &opened.closed {
        // A refusal that comes after somebody else's approval is an objection, and goes on to be taken as one.
        let decision = given("decision");
        let fits = opened.nonce_fits(&state.app, &given("nonce"));
        let rules = &opened.profile.profile.decision;
        let offered = (decision == "reject" && rules.reject.is_offered()) || (decision == "report" && rules.report);
        let objects = *refusal == Refusal::Decided && offered && fits;
        if !objects {
            // What was not sent by the page is not told as taken.
            let late = if fits || decision == "approve" { decision.as_str() } else { "" };
            return Ok(pages::closed(&state.app, &opened, refusal, lang, Some(late), false));
        }
    }
    let form_error = |errors: &[FieldError]| pages::form(&state.app, &opened, lang, &entered, errors);
    if !opened.nonce_fits(&state.app, &given("nonce")) {
        return Ok(form_error(&[FieldError::new("nonce", "bad-value", "the page has changed")]));
    }
    let answer_given = match given("decision").as_str() {
        "approve" => {
            let scope = match scope(&entered.scope) {
                Err(error) => return Ok(form_error(&[error])),
                Ok(scope) => scope,
            };
            // Every try counts, the right one too: else whoever guesses would only have to go on.
            let page = &opened.profile.profile.page;
            let tries_pin = page.access_pin == AccessPin::Required && !entered.pin.is_empty();
            let tries = tries_pin || (page.confirm != Confirm::Check && !entered.code.is_empty());
            if tries && !state.may_confirm(peer, opened.limited_as()) {
                let field = if tries_pin { "pin" } else { "code" };
                return Ok(form_error(&[FieldError::new(field, "too-many", "wait two minutes before another try")]));
            }
            let (confirmed, pin) = (opened.confirmed(&state.app, &entered.code), opened.pin_fits(&state.app, &entered.pin));
            let approval =
                Answer::Approve { scope, signer: entered.signer.clone(), authority: entered.authority, confirmed, pin };
            if page.review_step && given("reviewed") != "yes" {
                return Ok(match opened.would_be(&approval, state.app.now())? {
                    Ok(_) => pages::review(&state.app, &opened, lang, &entered),
                    Err(Refusal::Incomplete(errors)) => form_error(&errors),
                    Err(refusal) => pages::closed(&state.app, &opened, &refusal, lang, Some("approve"), false),
                });
            }
            approval
        }
        // Back from what was shown once more.
        "edit" => return Ok(form_error(&[])),
        "reject" if opened.profile.profile.decision.reject.is_offered() => Answer::Reject { reason: entered.reason.clone() },
        "report" if opened.profile.profile.decision.report => Answer::Report { reason: entered.reason.clone() },
        _ => return Ok(form_error(&[FieldError::new("decision", "missing", "press one of the buttons")])),
    };
    let caller = peer.as_evidence(state.readers.read_many(peer));
    match answer(&state.app, &opened, answer_given, caller).await? {
        Ok(_) => {
            let location = receipt(state, &opened, token, switched);
            Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
        }
        Err(Refusal::Incomplete(errors)) => Ok(form_error(&errors)),
        Err(refusal) => {
            // Opened again, so that the page tells what the winner decided.
            let opened = open_link(&state.app, token).await?.unwrap_or(opened);
            Ok(pages::closed(&state.app, &opened, &refusal, lang, Some(&given("decision")), false))
        }
    }
}

/// A reason as it is kept: nobody's refusal fails for how they wrote it.
fn reason(text: &str) -> String {
    let plain = text.replace("\r\n", "\n");
    let plain = plain.chars().map(|c| if c == '\n' || is_one_line(c.encode_utf8(&mut [0; 4])) { c } else { ' ' });
    plain.take(REASON_MAX_CHARS).collect()
}

fn scope(text: &str) -> Result<Option<Scope>, FieldError> {
    if text.is_empty() {
        return Ok(None);
    }
    Scope::from_text(text).map(Some).ok_or_else(|| FieldError::new("scope", "bad-value", "there is no such scope"))
}

/// Where the receipt is: the same address, with what lets it show the signer, and the language that was switched to.
fn receipt(state: &HttpState, opened: &Opened, token: &str, switched: Option<&str>) -> String {
    let lang = match switched {
        Some("ja") => "&lang=ja",
        Some("en") => "&lang=en",
        _ => "",
    };
    format!("{}/approve/{token}?receipt={}{lang}", state.app.settings.public_base, opened.receipt_tag(&state.app))
}
