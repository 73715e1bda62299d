//! `GET /v1/orders/{id}/events`

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;

use super::{Client, json_answer, order_id};
use crate::app::show_order::{EventView, show_order, timeline};
use crate::dcv::event::EventType;
use crate::http::docs::schema;
use crate::http::{Code, HttpState, Problem};

#[derive(Serialize)]
struct Timeline {
    events: Vec<EventView>,
}

#[utoipa::path(
    get,
    path = "/v1/orders/{id}/events",
    operation_id = "listEvents",
    tag = "Events",
    description = "The order's timeline.",
    params(("id" = String, Path, description = "The order's id")),
    responses((status = 200, description = "The timeline", body = schema::Timeline)),
)]
pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = order_id(&id)?;
    show_order(&state.app, id, Some(&client.name)).await?.ok_or_else(|| Problem::new(Code::NotFound))?;
    Ok(json_answer(Timeline { events: for_clients(timeline(&state.app, id).await?) }))
}

/// What ordering systems may read of a timeline: not what operators write to each other.
pub(super) fn for_clients(mut events: Vec<EventView>) -> Vec<EventView> {
    events.retain(|event| !EventType::from_text(&event.kind).is_some_and(EventType::is_operators_own));
    events
}
