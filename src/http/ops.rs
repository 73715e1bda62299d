//! Signs of life.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use metrics::gauge;
use serde_json::json;

use super::HttpState;
use crate::app::App;
use crate::app::canary::{self, Canary};
use crate::dcv::method;
use crate::dcv::timestamp::Timestamp;
use crate::store::{EffectKind, StoreError};

/// The process lives.
pub(super) async fn healthz() -> Response {
    answer(StatusCode::OK, &json!({"status": "ok"}))
}

/// Whether requests can be served: the database answers and the clock is right. A queue that is late is told, and keeps nobody away.
pub(super) async fn readyz(State(state): State<HttpState>) -> Response {
    match state.readiness().await {
        Some(readiness) => {
            let status = if readiness.status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            answer(status, &json!(readiness))
        }
        None => answer(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "unavailable", "database": state.app.store.kind()})),
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
    gauge!("dcvd_rules_age_seconds").set(state.app.now().since(Timestamp::start_of(method::BR_AS_OF)).as_secs_f64());
    if let Some(since) = state.app.settings.link_key_since {
        gauge!("dcvd_link_key_age_seconds").set(state.app.now().since(since).as_secs_f64());
    }
    if let Err(error) = count_stored(&state.app).await {
        tracing::warn!(%error, "what is stored cannot be counted");
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

/// What stands in the database.
async fn count_stored(app: &App) -> Result<(), StoreError> {
    let number = |count: i64| f64::from(i32::try_from(count).unwrap_or(i32::MAX));
    gauge!("dcvd_orders_open").set(number(app.store.orders_open().await?));
    gauge!("dcvd_orders_held").set(number(app.store.orders_held().await?));
    gauge!("dcvd_unsealed").set(number(app.store.unsealed().await?));
    let (queues, given_up, now) = (app.store.queues().await?, app.store.given_up().await?, app.now());
    for kind in [EffectKind::Mail, EffectKind::Notice, EffectKind::Webhook].map(EffectKind::as_str) {
        let queue = queues.iter().find(|queue| queue.kind == kind);
        let age = queue.and_then(|queue| queue.oldest).map_or(0, |at| (now.unix_micros() - at).max(0) / 1_000_000);
        gauge!("dcvd_queue_length", "kind" => kind).set(number(queue.map_or(0, |queue| queue.length)));
        gauge!("dcvd_queue_age_seconds", "kind" => kind).set(number(age));
        let dead = given_up.iter().find(|(of, _)| of == kind).map_or(0, |(_, count)| *count);
        gauge!("dcvd_queue_given_up", "kind" => kind).set(number(dead));
    }
    Ok(())
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body.to_string()).into_response()
}
