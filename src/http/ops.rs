//! Signs of life.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::HttpState;

/// The process lives.
pub(super) async fn healthz() -> Response {
    answer(StatusCode::OK, &json!({"status": "ok"}))
}

/// The database answers, so requests can be served.
pub(super) async fn readyz(State(state): State<HttpState>) -> Response {
    match state.app.store.ping().await {
        Ok(()) => answer(StatusCode::OK, &json!({"status": "ok", "database": state.app.store.kind()})),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            answer(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "unavailable", "database": state.app.store.kind()}))
        }
    }
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body.to_string()).into_response()
}
