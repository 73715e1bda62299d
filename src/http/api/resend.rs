//! `POST /v1/orders/{id}/resend`: the same mail once more.

use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::body::read_object;
use super::fields::Fields;
use super::{Client, Request, ended, json_answer, order_id, order_of};
use crate::app::App;
use crate::app::resend::{ResendError, resend};
use crate::dcv::id::MailId;
use crate::dcv::resend::ResendRefusal;
use crate::http::docs::schema;
use crate::http::{Code, HttpState, Problem};

/// Longest mail id looked at, in characters.
const ID_MAX_CHARS: usize = 64;

#[utoipa::path(
    post,
    path = "/v1/orders/{id}/resend",
    operation_id = "resendMail",
    tag = "Orders",
    description = "Sends the same mail once more: the same link, the same deadline.",
    params(("id" = String, Path, description = "The order's id")),
    request_body = schema::ResendBody,
    responses((status = 202, description = "The order", body = schema::OrderView)),
)]
pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    request: Request,
    Path(text): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let object = read_object(&headers, body)?;
    let mut fields = Fields::new("", &object);
    let mail = fields.required_line("mail_id", ID_MAX_CHARS).and_then(|text| {
        let read = MailId::parse(&text).ok();
        if read.is_none() {
            fields.error("mail_id", "bad-value", "must be the id of a mail, as the order tells it");
        }
        read
    });
    let errors = fields.finish();
    let (Some(mail), true) = (mail, errors.is_empty()) else { return Err(Problem::invalid(errors)) };
    let id = order_id(&text)?;
    // Another client's order is no order.
    let record = order_of(&state, &text, &client).await?;
    if let Err(error) = resend(&state.app, id, mail, &request.cause(&client, 202)).await {
        let over = matches!(error, ResendError::Refused(ResendRefusal::Ended));
        let problem = refused(&state.app, error);
        let asked = record.asked_by(mail.as_bytes());
        return Err(if over { ended(&state, &record, &asked, problem).await } else { problem });
    }
    let record = order_of(&state, &text, &client).await?;
    Ok((StatusCode::ACCEPTED, json_answer(record.view()?)).into_response())
}

/// How soon to ask again while an earlier sending still waits.
const WAITING_SECS: u64 = 5;

/// A refused resend as a problem document.
pub(in crate::http) fn refused(app: &App, error: ResendError) -> Problem {
    match error {
        ResendError::Store(error) => error.into(),
        ResendError::Missing => Problem::new(Code::NotFound).detail("this order has no such mail"),
        ResendError::Refused(refusal) => {
            let too_soon = |wait: Duration| {
                let secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Problem::new(Code::ResendTooSoon).retry_after(secs.max(1))
            };
            let problem = match refusal {
                ResendRefusal::Ended => Problem::new(Code::LinkEnded),
                ResendRefusal::OldDeadline => Problem::new(Code::ResendWouldStateOldDeadline),
                ResendRefusal::Waiting => too_soon(Duration::from_secs(WAITING_SECS)),
                ResendRefusal::TooSoon(at) | ResendRefusal::Spent(at) => too_soon(at.since(app.now())),
            };
            problem.detail(refusal.to_string())
        }
    }
}
