//! `POST /admin/orders/{id}/approvers`: asks whom an operator chose.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Form};

use super::from_same_origin;
use super::sign_in::actor;
use crate::app::choose_approver::{ChooseError, OperatorsChoice, choose_approver};
use crate::app::sign_in::SignedIn;
use crate::dcv::email::EmailAddress;
use crate::dcv::id::OrderId;
use crate::http::api::change_approver;
use crate::http::{Code, HttpState, Problem};

pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    Extension(who): Extension<SignedIn>,
    headers: HeaderMap,
    Form(form): Form<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    from_same_origin(&headers)?;
    let id = OrderId::parse(&id).map_err(|_| Problem::new(Code::NotFound))?;
    let given = |name: &str| form.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    let choice = match given("choice").first().copied() {
        Some("entered") => OperatorsChoice::Entered,
        Some("fallback") => OperatorsChoice::Fallback,
        _ => {
            let emails: Vec<EmailAddress> = given("email").iter().filter_map(|text| EmailAddress::parse(text).ok()).collect();
            if emails.is_empty() {
                return Err(Problem::new(Code::BadRequest).detail("choose one of those listed"));
            }
            OperatorsChoice::Listed(emails)
        }
    };
    match choose_approver(&state.app, id, &choice, &actor(&state, &who)).await {
        // Pressed twice, or after somebody else: the page tells what came of it.
        Ok(()) | Err(ChooseError::Nothing) => {}
        Err(ChooseError::Missing) => return Err(Problem::new(Code::NotFound)),
        Err(error @ ChooseError::NotSelectable(_)) => return Err(Problem::new(Code::NameEnded).detail(error.to_string())),
        Err(ChooseError::Change(error)) => return Err(change_approver::refused(&state.app, error, &[])),
    }
    Ok((StatusCode::SEE_OTHER, [("location", format!("/admin/orders/{id}"))]).into_response())
}
