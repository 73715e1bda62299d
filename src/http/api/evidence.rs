//! `GET /v1/orders/{id}/evidence`: all that an order rests on, for an auditor.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;

use super::events::for_clients;
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
    let evidence = show_evidence(&state.app, order_id(&id)?, Some(&client.name)).await?;
    let mut evidence = evidence.ok_or_else(|| Problem::new(Code::NotFound))?;
    evidence.events = for_clients(evidence.events);
    Ok(json_answer(evidence))
}
