//! Signs of life.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use metrics::gauge;
use serde_json::json;

use super::HttpState;
use crate::app::canary::{self, Canary};

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

/// What the daemon counted.
pub(super) async fn metrics(State(state): State<HttpState>) -> Response {
    let lists = state.app.lists();
    if let Some(as_of) = lists.suffixes.as_of() {
        gauge!("dcvd_public_suffix_list_age_seconds").set(state.app.now().since(as_of).as_secs_f64());
    }
    for (list, entries) in [("refuse_adn", lists.policy.refuse_adn.len()), ("hold", lists.policy.hold.len())] {
        gauge!("dcvd_policy_entries", "list" => list).set(f64::from(u32::try_from(entries).unwrap_or(u32::MAX)));
    }
    match state.app.store.orders_held().await {
        Ok(held) => gauge!("dcvd_orders_held").set(f64::from(i32::try_from(held).unwrap_or(i32::MAX))),
        Err(error) => tracing::warn!(%error, "the held orders cannot be counted"),
    }
    match canary::state(&state.app).await {
        Ok(Canary::Well { round_trip, .. }) => {
            gauge!("dcvd_canary_missed").set(0.0);
            gauge!("dcvd_canary_round_trip_seconds").set(round_trip.as_secs_f64());
        }
        Ok(Canary::Missed { .. }) => gauge!("dcvd_canary_missed").set(1.0),
        Ok(Canary::Off | Canary::Waiting) => {}
        Err(error) => tracing::warn!(%error, "the canaries cannot be read"),
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (StatusCode::OK, kind, (state.settings.metrics)()).into_response()
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body.to_string()).into_response()
}
