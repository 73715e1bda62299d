//! `POST /v1/orders/{id}/cancel`

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::body::read_object;
use super::fields::Fields;
use super::{Client, Request, json_answer, order_id, order_of};
use crate::app::cancel::{CancelError, Cancellation, cancel};
use crate::dcv::field::FieldError;
use crate::dcv::name::CertificateName;
use crate::dcv::profile::{CancelField, CancelParty};
use crate::http::docs::schema;
use crate::http::{Code, HttpState, Problem};

/// Longest texts, in characters.
const REASON_MAX_CHARS: usize = 1000;
const NAME_MAX_CHARS: usize = 300;

#[utoipa::path(
    post,
    path = "/v1/orders/{id}/cancel",
    operation_id = "cancelOrder",
    tag = "Orders",
    description = "Cancels an order. What was approved stays approved; nothing else of it can be.",
    params(("id" = String, Path, description = "The order's id")),
    request_body = schema::CancelBody,
    responses((status = 200, description = "The order", body = schema::OrderView)),
)]
pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    request: Request,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let object = read_object(&headers, body)?;
    let record = order_of(&state, &id, &client).await?;
    let rules = &state.app.profile_of(&record.order).await?.profile.cancel;
    let mut fields = Fields::new("", &object);
    let reason = fields.line("reason", REASON_MAX_CHARS);
    let common_name = fields.line("common_name", NAME_MAX_CHARS);
    let by = fields.word("by", CancelParty::from_text, "applicant, provider, operator");
    for (field, name, given) in [
        (CancelField::Reason, "reason", reason.is_some()),
        (CancelField::CommonName, "common_name", common_name.is_some()),
        (CancelField::By, "by", by.is_some()),
    ] {
        if rules.required_fields.contains(&field) && !given && fields.is_well(name) {
            fields.error(name, "missing-field", "the order's profile wants this with a cancellation");
        }
    }
    if let Some(text) = &common_name {
        let read = CertificateName::parse(text, &state.app.lists().suffixes);
        if !read.is_ok_and(|name| record.validations.iter().any(|one| one.name == name.to_string())) {
            fields.error("common_name", "bad-value", "is none of this order's names");
        }
    }
    // Where not everybody may, it must be told who does.
    if by.is_none() && fields.is_well("by") && rules.by.len() < CancelParty::ALL.len() {
        fields.error("by", "missing-field", "under the order's profile it matters who cancels");
    }
    let mut forbidden = None;
    if let Some(by) = by.filter(|by| !rules.by.contains(by)) {
        let allowed: Vec<&str> = rules.by.iter().map(|one| one.as_str()).collect();
        let detail = format!("under the order's profile {} may not cancel; {} may", by.as_str(), allowed.join(", "));
        forbidden = Some(detail);
    }
    let errors: Vec<FieldError> = fields.finish();
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    if let Some(detail) = forbidden {
        return Err(Problem::new(Code::NotAllowed).detail(detail));
    }
    let told = Cancellation { reason, by, common_name, successor: None };
    cancel(&state.app, order_id(&id)?, told, &request.cause(&client, 200)).await.map_err(|error| match error {
        CancelError::Missing => Problem::new(Code::NotFound),
        CancelError::Ended(_) => Problem::new(Code::OrderEnded).detail(error.to_string()),
        CancelError::Store(error) => error.into(),
    })?;
    Ok(json_answer(order_of(&state, &id, &client).await?.view()?))
}
