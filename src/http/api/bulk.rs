//! `POST /v1/orders/bulk`: many orders, one JSON object a line; a line of the answer for each, in their order, as they are done.

use std::convert::Infallible;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::idempotency::{keep_part, repeated_part};
use super::place_order::place;
use super::{Client, Request};
use crate::dcv::field::FieldError;
use crate::http::{Code, HttpState, Problem};

/// Most orders in one request.
pub(in crate::http) const LINES_MAX: usize = 1000;

/// Longest body, in bytes.
pub(in crate::http) const BODY_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Orders taken at once: they share durable commits.
const AT_ONCE: usize = 16;

const JSON_LINES: &str = "application/jsonl";

/// What JSON Lines are called.
const KINDS: [&str; 4] = [JSON_LINES, "application/x-ndjson", "application/json-lines", "application/x-jsonlines"];

#[utoipa::path(
    post,
    path = "/v1/orders/bulk",
    operation_id = "placeOrders",
    tag = "Orders",
    description = "Takes up to 1000 orders, one JSON object a line; the answer has a line for each, in their order, as they are done.",
    request_body(content = String, content_type = "application/jsonl"),
    responses((status = 200, description = "A line for each order: `line`, `status`, and `order` or `problem`", body = String, content_type = "application/jsonl")),
)]
pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    request: Request,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !KINDS.contains(&essence.as_str()) {
        return Err(Problem::new(Code::WrongContentType).detail("the body must be application/jsonl: one JSON object a line"));
    }
    let body = body.map_err(|rejection| {
        let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
        Problem::new(if too_large { Code::BodyTooLarge } else { Code::BadRequest })
    })?;
    let lines: Vec<(usize, Bytes)> = body
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(|(at, line)| (at + 1, body.slice_ref(line.trim_ascii())))
        .collect();
    if lines.is_empty() {
        return Err(Problem::invalid(vec![FieldError::new("", "missing-field", "there is no line")]));
    }
    if lines.len() > LINES_MAX {
        let detail = format!("{LINES_MAX} orders at most; nothing was taken");
        return Err(Problem::invalid(vec![FieldError::new("", "too-many", detail)]));
    }
    let answers = stream::iter(lines)
        .map(move |(number, line)| {
            let (state, client, request) = (state.clone(), client.clone(), request.part(number, &line));
            async move {
                // Each line is a request to the client's rate. A caller who hangs up ends the waiting.
                state.clients.wait(&client).await;
                // A task of its own goes on when the caller hangs up: what was begun is done whole.
                let answered = tokio::spawn(async move { answer(&state, &client, &request, number, &line).await }).await;
                let mut line = answered.unwrap_or_else(|_| refused(number, Problem::new(Code::Internal))).to_string();
                line.push('\n');
                Ok::<_, Infallible>(Bytes::from(line))
            }
        })
        .buffered(AT_ONCE);
    Ok(([(CONTENT_TYPE, JSON_LINES)], Body::from_stream(answers)).into_response())
}

/// One line's result.
async fn answer(state: &HttpState, client: &Client, request: &Request, number: usize, line: &[u8]) -> Value {
    let taken = match repeated_part(state, client, request).await {
        Ok(Some(first)) => first_answer(first).await,
        Ok(None) => match take(state, client, request, line).await {
            // The same line, sent before and still under way then, may have been faster.
            Err(problem) => match repeated_part(state, client, request).await {
                Ok(Some(first)) => first_answer(first).await,
                _ => Err(problem),
            },
            taken => taken,
        },
        Err(problem) => Err(problem),
    };
    match taken {
        Ok(order) => json!({"line": number, "status": 201, "order": order}),
        Err(problem) => refused(number, problem),
    }
}

/// The result of a line that was not taken.
fn refused(number: usize, problem: Problem) -> Value {
    let (status, document, retry_after) = problem.document();
    let mut answer = json!({"line": number, "status": status.as_u16(), "problem": document});
    if let Some(secs) = retry_after {
        answer["retry_after"] = json!(secs);
    }
    answer
}

async fn first_answer(first: Response) -> Result<Value, Problem> {
    let body = axum::body::to_bytes(first.into_body(), usize::MAX).await.map_err(|_| Problem::new(Code::Internal))?;
    serde_json::from_slice(&body).map_err(|_| Problem::new(Code::Internal))
}

async fn take(state: &HttpState, client: &Client, request: &Request, line: &[u8]) -> Result<Value, Problem> {
    if line.len() > state.settings.max_body_bytes {
        return Err(Problem::new(Code::BodyTooLarge));
    }
    let object = match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return Err(Problem::invalid(vec![FieldError::new("", "bad-value", "must be an object")])),
        Err(error) => return Err(Problem::new(Code::BrokenJson).detail(format!("column {}", error.column()))),
    };
    let view = place(state, client, request, &object).await?;
    let (location, body) =
        (format!("/v1/orders/{}", view.id), serde_json::to_value(view).map_err(|_| Problem::new(Code::Internal))?);
    keep_part(state, client, request, &location, &body.to_string()).await;
    Ok(body)
}
