//! `GET /v1/orders/{id}/evidence`: all that an order rests on, for an auditor.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;

use super::{Client, json_answer, order_id};
use crate::app::show_evidence::show_evidence;
use crate::http::docs::schema;
use crate::http::{Code, HttpState, Problem};

#[utoipa::path(
    get,
    path = "/v1/orders/{id}/evidence",
    operation_id = "showEvidence",
    tag = "Events",
    description = "All that the order rests on, for an auditor: look-ups with their raw answers, mails, answers, attempts.",
    params(("id" = String, Path, description = "The order's id")),
    responses((status = 200, description = "The evidence", body = schema::Evidence)),
)]
pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let evidence = show_evidence(&state.app, order_id(&id)?, &client.name).await?.ok_or_else(|| Problem::new(Code::NotFound))?;
    Ok(json_answer(evidence))
}
