//! `POST /v1/orders/{id}/certificates`: what was issued on an order. Idempotent by serial number.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::body::read_object;
use super::fields::Fields;
use super::place_order::names;
use super::{Client, Request, json_answer, order_id, order_of};
use crate::app::record_certificate::{CertificateError, NOTED, NewCertificate, certificate_view, record_certificate};
use crate::dcv::certificate;
use crate::dcv::field::FieldError;
use crate::http::docs::schema;
use crate::http::{Code, HttpState, Problem};

/// Longest serial number looked at, in characters.
const SERIAL_MAX_CHARS: usize = 80;

#[utoipa::path(
    post,
    path = "/v1/orders/{id}/certificates",
    operation_id = "recordCertificate",
    tag = "Orders",
    description = "Reports a certificate that was issued on the order. Idempotent by serial number.",
    params(("id" = String, Path, description = "The order's id")),
    request_body = schema::CertificateBody,
    responses((status = 201, description = "Noted", body = schema::CertificateView), (status = 200, description = "Known already", body = schema::CertificateView)),
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
    order_of(&state, &id, &client).await?;
    let mut fields = Fields::new("", &object);
    let serial = fields.required_line("serial", SERIAL_MAX_CHARS).and_then(|text| {
        let read = certificate::serial(&text);
        if read.is_none() {
            fields.error("serial", "bad-value", "must be a positive number of 20 octets at most, in hexadecimal");
        }
        read
    });
    let names: Vec<String> = names(&state.app.lists(), &mut fields).iter().map(ToString::to_string).collect();
    let not_before = fields.required_time("not_before");
    let not_after = fields.required_time("not_after");
    if let (Some(from), Some(until)) = (not_before, not_after)
        && until <= from
    {
        fields.error("not_after", "bad-value", "must be after not_before");
    }
    let errors = fields.finish();
    let (Some(serial), Some(not_before), Some(not_after), true) = (serial, not_before, not_after, errors.is_empty()) else {
        return Err(Problem::invalid(errors));
    };
    let new = NewCertificate { serial: serial.clone(), names, not_before, not_after };
    let id = order_id(&id)?;
    let fresh = record_certificate(&state.app, id, new, &request.cause(&client, NOTED)).await.map_err(|error| match error {
        CertificateError::Missing => Problem::new(Code::NotFound),
        CertificateError::NotApproved(at) => {
            let detail = "was not approved in this order, so that no certificate can rest on it";
            Problem::invalid(vec![FieldError::new(format!("/names/{at}"), "not-approved", detail)])
        }
        CertificateError::Differs => Problem::new(Code::CertificateDiffers),
        CertificateError::TooMany => Problem::invalid(vec![FieldError::new("/serial", "too-many", error.to_string())]),
        CertificateError::Store(error) => error.into(),
    })?;
    let known = state.app.store.certificates(id).await?;
    let row = known.iter().find(|row| row.serial == serial).ok_or_else(|| Problem::new(Code::Internal))?;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, json_answer(certificate_view(row))).into_response())
}
