//! `POST /admin/orders/{id}/approvers`: asks whom an operator chose.

use std::collections::HashMap;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::from_same_origin;
use crate::app::choose_approver::{ChooseError, OperatorsChoice, choose_approver};
use crate::dcv::email::EmailAddress;
use crate::dcv::id::OrderId;
use crate::http::api::change_approver;
use crate::http::{Code, HttpState, Problem};

pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Result<Response, Problem> {
    from_same_origin(&headers)?;
    let id = OrderId::parse(&id).map_err(|_| Problem::new(Code::NotFound))?;
    let choice = match form.get("choice").map(String::as_str) {
        Some("entered") => OperatorsChoice::Entered,
        Some("fallback") => OperatorsChoice::Fallback,
        _ => {
            let email = form.get("email").and_then(|text| EmailAddress::parse(text).ok());
            OperatorsChoice::Listed(email.ok_or_else(|| Problem::new(Code::BadRequest).detail("choose one of those listed"))?)
        }
    };
    choose_approver(&state.app, id, &choice, "operator").await.map_err(|error| match error {
        ChooseError::Nothing | ChooseError::NotSelectable(_) => Problem::new(Code::NameEnded).detail(error.to_string()),
        ChooseError::Change(error) => change_approver::refused(&state.app, error, &[]),
    })?;
    Ok((StatusCode::SEE_OTHER, [("location", format!("/admin/orders/{id}"))]).into_response())
}
