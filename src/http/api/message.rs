//! `GET /v1/orders/{id}/mails/{mail}/message`: what a client under test would have mailed, since it goes nowhere.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

use super::{Client, order_of};
use crate::dcv::id::MailId;
use crate::http::{Code, HttpState, Problem};

#[utoipa::path(
    get,
    path = "/v1/orders/{id}/mails/{mail}/message",
    operation_id = "showTestMessage",
    tag = "Orders",
    description = "What a client under test would have mailed, with its link. In earnest nobody but the recipient sees one.",
    params(("id" = String, Path, description = "The order's id"), ("mail" = String, Path, description = "The mail's id")),
    responses((status = 200, description = "The message", body = String, content_type = "message/rfc822")),
)]
pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    Path((id, mail)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let missing = || Problem::new(Code::NotFound);
    let record = order_of(&state, &id, &client).await?;
    let mail = MailId::parse(&mail).map_err(|_| missing())?;
    // In earnest nobody but the recipient is shown a link.
    let is_shown = record.order.test == 1 && record.mails.iter().any(|one| one.id[..] == mail.as_bytes()[..]);
    if !is_shown {
        return Err(missing());
    }
    let sealed = state.app.store.mail_body(mail).await?.ok_or_else(|| Problem::new(Code::LinkEnded))?;
    Ok(([(CONTENT_TYPE, "message/rfc822")], sealed).into_response())
}
