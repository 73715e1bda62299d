//! `POST /v1/orders/{id}/extend`

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::body::read_object;
use super::fields::Fields;
use super::{Client, Request, ended, json_answer, order_id, order_of};
use crate::app::extend::{ExtendError, extend};
use crate::dcv::field::FieldError;
use crate::dcv::profile::WINDOW_MAX_DAYS;
use crate::http::docs::schema;
use crate::http::{Code, HttpState, Problem};

/// Longest reason, in characters.
const REASON_MAX_CHARS: usize = 1000;

#[utoipa::path(
    post,
    path = "/v1/orders/{id}/extend",
    operation_id = "extendOrder",
    tag = "Orders",
    description = "Moves the deadline of the open links, never past 30 days from their creation.",
    params(("id" = String, Path, description = "The order's id")),
    request_body = schema::ExtendBody,
    responses((status = 202, description = "The order", body = schema::OrderView)),
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
    let mut fields = Fields::new("", &object);
    let days = fields.required_integer("days", 1..=WINDOW_MAX_DAYS - 1);
    let reason = fields.required_line("reason", REASON_MAX_CHARS);
    let errors = fields.finish();
    let (Some(days), true) = (days, errors.is_empty()) else { return Err(Problem::invalid(errors)) };
    let cause = request.cause(&client, 202);
    if let Err(error) = extend(&state.app, order_id(&id)?, days, reason.as_deref(), &cause).await {
        return Err(match error {
            ExtendError::Missing => Problem::new(Code::NotFound),
            ExtendError::Ended => {
                let all: Vec<_> = record.validations.iter().collect();
                ended(&state, &record, &all, Problem::new(Code::LinkEnded).detail(error.to_string())).await
            }
            ExtendError::TooFar(far) => Problem::invalid(vec![FieldError::new("/days", "past-30-days", far.to_string())])
                .member("latest", serde_json::json!(far.0)),
            ExtendError::Store(error) => error.into(),
        });
    }
    Ok((StatusCode::ACCEPTED, json_answer(order_of(&state, &id, &client).await?.view()?)).into_response())
}
