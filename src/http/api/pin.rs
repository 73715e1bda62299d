//! `GET /v1/orders/{id}/mails/{mail}/pin`: the number that approving takes besides the mail, to be handed over by another way.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Client, json_answer, order_of};
use crate::dcv::id::MailId;
use crate::dcv::link;
use crate::dcv::profile::AccessPin;
use crate::http::{Code, HttpState, Problem};

/// A mail's access PIN.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct PinView {
    /// Eight digits; the same each time, while the link keys are.
    pin: String,
}

#[utoipa::path(
    get,
    path = "/v1/orders/{id}/mails/{mail}/pin",
    operation_id = "showPin",
    tag = "Orders",
    description = "The access PIN of a mail, under profiles that ask for one: hand it to the approver by another way than e-mail. Takes the scope orders:write.",
    params(("id" = String, Path, description = "The order's id"), ("mail" = String, Path, description = "The mail's id")),
    responses((status = 200, description = "The PIN", body = PinView)),
)]
pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    Path((id, mail)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let missing = || Problem::new(Code::NotFound);
    let record = order_of(&state, &id, &client).await?;
    let mail = MailId::parse(&mail).map_err(|_| missing())?;
    let profile = state.app.profile_of(&record.order).await?;
    let asked = profile.profile.page.access_pin == AccessPin::Required;
    let row = record.mails.iter().find(|one| one.id[..] == mail.as_bytes()[..]).filter(|_| asked).ok_or_else(missing)?;
    if !row.link()?.is_open() {
        return Err(Problem::new(Code::LinkEnded));
    }
    tracing::info!(order = id, %mail, client = client.name, "an access PIN was handed out");
    Ok(json_answer(PinView { pin: link::access_pin(&state.app.keys, mail.as_bytes()) }))
}
