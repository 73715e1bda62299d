//! `GET /v1/orders/{id}`

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;

use super::{Client, json_answer, order_id};
use crate::app::show_order::show_order;
use crate::http::docs::schema;
use crate::http::{Code, HttpState, Problem};

#[utoipa::path(
    get,
    path = "/v1/orders/{id}",
    operation_id = "showOrder",
    tag = "Orders",
    description = "Shows an order with its names and mails.",
    params(("id" = String, Path, description = "The order's id")),
    responses((status = 200, description = "The order", body = schema::OrderView)),
)]
pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let record = show_order(&state.app, order_id(&id)?, Some(&client.name)).await?.ok_or_else(|| Problem::new(Code::NotFound))?;
    Ok(json_answer(record.view()?))
}
