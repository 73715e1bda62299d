//! `POST /approve/{token}`: an answer; then 303 to the same address, which shows the receipt.

use std::collections::HashMap;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::show::not_opened;
use super::{language, pages};
use crate::app::answer::answer;
use crate::app::open_link::open_link;
use crate::dcv::decision::{Answer, Refusal, Scope};
use crate::dcv::field::FieldError;
use crate::http::caller::Peer;
use crate::http::{Code, HttpState, Problem};
use crate::render::Entered;

pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Path(token): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    peer: Peer,
    headers: HeaderMap,
    form: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Result<Response, Problem> {
    let switched = query.get("lang").map(String::as_str);
    let Some(opened) = open_link(&state.app, &token).await? else {
        return Ok(not_opened(&state, &peer, language(switched, &headers, None)));
    };
    let lang = language(switched, &headers, Some(&opened.record.order.locale));
    let form = form.map_err(|rejection| unreadable(&rejection))?.0;
    let given = |name: &str| form.get(name).map(|value| value.trim().to_owned()).unwrap_or_default();
    let entered = Entered {
        scope: given("scope"),
        signer: given("signer"),
        reason: given("reason"),
        authority: given("authority") == "yes",
    };
    if let Some(refusal) = &opened.closed {
        return Ok(pages::closed(&state.app, &opened, refusal, lang, Some(&given("decision"))));
    }
    let form_error = |errors: &[FieldError]| pages::form(&state.app, &opened, lang, &entered, errors);
    if !opened.nonce_fits(&state.app, &given("nonce")) {
        return Ok(form_error(&[FieldError::new("nonce", "bad-value", "the page has changed")]));
    }
    let answered = match given("decision").as_str() {
        "approve" => match scope(&entered.scope) {
            Err(error) => return Ok(form_error(&[error])),
            Ok(scope) => Answer::Approve { scope, signer: entered.signer.clone(), authority: entered.authority },
        },
        "reject" => Answer::Reject { reason: entered.reason.clone() },
        "report" => Answer::Report { reason: entered.reason.clone() },
        _ => return Ok(form_error(&[FieldError::new("decision", "missing", "press one of the buttons")])),
    };
    match answer(&state.app, &opened, answered, peer.as_evidence()).await? {
        Ok(_) => Ok((StatusCode::SEE_OTHER, [(header::LOCATION, receipt(&state, &token, switched))]).into_response()),
        Err(Refusal::Incomplete(errors)) => Ok(form_error(&errors)),
        Err(refusal) => {
            // Opened again, so that the page tells what the winner decided.
            let opened = open_link(&state.app, &token).await?.unwrap_or(opened);
            Ok(pages::closed(&state.app, &opened, &refusal, lang, Some(&given("decision"))))
        }
    }
}

fn scope(text: &str) -> Result<Option<Scope>, FieldError> {
    if text.is_empty() {
        return Ok(None);
    }
    Scope::from_text(text).map(Some).ok_or_else(|| FieldError::new("scope", "bad-value", "there is no such scope"))
}

/// Where the receipt is: the same address, with the language that was switched to.
fn receipt(state: &HttpState, token: &str, switched: Option<&str>) -> String {
    let lang = match switched {
        Some("ja") => "?lang=ja",
        Some("en") => "?lang=en",
        _ => "",
    };
    format!("{}/approve/{token}{lang}", state.app.settings.public_base)
}

fn unreadable(rejection: &FormRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::BodyTooLarge),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::new(Code::WrongContentType).detail("the body must be a form (application/x-www-form-urlencoded)")
        }
        _ => Problem::invalid(vec![FieldError::new("", "bad-value", "the form cannot be read")]),
    }
}
