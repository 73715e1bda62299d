//! `POST /v1/webhooks/replay`: events once more, under the same ids.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::body::read_object;
use super::fields::Fields;
use super::{Client, json_answer};
use crate::app::replay::{EVENTS_AT_ONCE, Wanted, replay_events};
use crate::dcv::id::EventId;
use crate::http::docs::schema;
use crate::http::{Code, HttpState, Problem};

/// Longest event id looked at, in characters.
const ID_MAX_CHARS: usize = 64;

#[utoipa::path(
    post,
    path = "/v1/webhooks/replay",
    operation_id = "replayEvents",
    tag = "Events",
    description = "Posts events once more, under the same ids: one, or those of a time.",
    request_body = schema::ReplayBody,
    responses((status = 202, description = "How many posts wait now", body = schema::ReplayedView)),
)]
pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let object = read_object(&headers, body)?;
    let mut fields = Fields::new("", &object);
    let one = object.contains_key("event_id");
    let wanted = if one {
        fields.required_line("event_id", ID_MAX_CHARS).and_then(|text| {
            let read = EventId::parse(&text).ok();
            if read.is_none() {
                fields.error("event_id", "bad-value", "must be an event's id, as webhook-id tells it");
            }
            read.map(Wanted::One)
        })
    } else {
        let (from, to) = (fields.required_time("from"), fields.required_time("to"));
        if let (Some(from), Some(to)) = (from, to)
            && to <= from
        {
            fields.error("to", "bad-value", "must be after from");
        }
        from.zip(to).map(|(from, to)| Wanted::Range(from, to))
    };
    let errors = fields.finish();
    let (Some(wanted), true) = (wanted, errors.is_empty()) else { return Err(Problem::invalid(errors)) };
    let replayed = replay_events(&state.app, &client.name, &wanted).await?;
    if one && !replayed.found {
        return Err(Problem::new(Code::NotFound).detail("there is no such event that a webhook is posted for"));
    }
    let answer = json!({"replayed": replayed.count, "at_most": EVENTS_AT_ONCE, "next_from": replayed.next_from});
    Ok((StatusCode::ACCEPTED, json_answer(answer)).into_response())
}
