//! `/v1`: what ordering systems call.

pub(super) mod allowlist;
pub(super) mod approvers;
mod body;
pub(super) mod bulk;
pub(super) mod cancel;
pub(super) mod certificates;
pub(super) mod change_approver;
mod clients;
pub(super) mod events;
pub(super) mod evidence;
pub(super) mod extend;
pub(super) mod fields;
mod idempotency;
pub(super) mod list_orders;
pub(super) mod message;
pub(super) mod pin;
pub(super) mod place_order;
pub(super) mod replay;
pub(super) mod resend;
pub(super) mod show_order;
pub(super) mod validations;

use axum::extract::{Request as HttpRequest, State};
use axum::http::Method;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

pub(super) use self::clients::{Client, Registry};
pub(super) use self::idempotency::Request;
use self::idempotency::remember;
use super::{Code, HttpState, Problem};
use crate::app::show_order::{OrderRecord, show_order};
use crate::dcv::client::ApiScope;
use crate::dcv::id::OrderId;
use crate::dcv::order::ValidationState;
use crate::dcv::profile::OnExpiry;
use crate::store::ValidationRow;

/// When whoever was one too many may come back, in seconds.
const SHED_FOR_SECS: u64 = 2;

/// Lets only known ordering systems through, to what each may do, as fast as it may and so many at once. The token is compared by its hash.
pub(super) async fn authenticate(State(state): State<HttpState>, mut request: HttpRequest, next: Next) -> Response {
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let unauthorized = || Problem::new(Code::Unauthorized).into_response();
    let Some(token) = token.filter(|token| !token.is_empty()) else { return unauthorized() };
    let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let Some(client) = state.clients.find(&state.app.store, &hash).await else { return unauthorized() };
    let (told, wait) = state.clients.count(&client);
    let needed = needed(request.method(), request.uri().path());
    let mut response = if let Some(secs) = wait {
        Problem::new(Code::TooManyRequests).retry_after(secs).into_response()
    } else if !client.rights.allows(needed) {
        let detail = format!("this token does not have the scope {}", needed.as_str());
        Problem::new(Code::InsufficientScope).detail(detail).into_response()
    } else if let Ok(_place) = state.under_way.try_acquire() {
        // Within this layer: a layer of its own would be paid for by every request.
        if idempotency::is_keyed(&request) {
            request.extensions_mut().insert(client.clone());
            remember(&state, &client, request, next).await.into_response()
        } else {
            request.extensions_mut().insert(client);
            next.run(request).await
        }
    } else {
        // Before its body or its key is looked at. Owners' pages and whoever watches over the daemon need no place, so that no stranger can
        // take those of ordering systems.
        Problem::new(Code::Unavailable).retry_after(SHED_FOR_SECS).into_response()
    };
    for (name, value) in told {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The scope that a request takes.
fn needed(method: &Method, path: &str) -> ApiScope {
    let of_events = ["/events", "/evidence"].iter().any(|end| path.ends_with(end)) || path.starts_with("/v1/webhooks/");
    if path.starts_with("/v1/allowlist") {
        return if method == Method::GET { ApiScope::OrdersRead } else { ApiScope::AllowlistWrite };
    }
    if path.ends_with("/pin") {
        return ApiScope::OrdersWrite;
    }
    match (of_events, method == Method::POST) {
        (true, _) => ApiScope::EventsRead,
        (false, true) => ApiScope::OrdersWrite,
        (false, false) => ApiScope::OrdersRead,
    }
}

/// A refusal for what has ended; where nobody answered for these names in time and the profile wants a new application, that one.
async fn ended(state: &HttpState, record: &OrderRecord, names: &[&ValidationRow], problem: Problem) -> Problem {
    let expired = !names.is_empty() && names.iter().all(|one| one.state == ValidationState::Expired.as_str());
    match state.app.profile_of(&record.order).await {
        Err(error) => error.into(),
        Ok(profile) if expired && profile.profile.window.on_expiry == OnExpiry::Reapply => Problem::new(Code::MustReapply),
        Ok(_) => problem,
    }
}

fn order_id(text: &str) -> Result<OrderId, Problem> {
    OrderId::parse(text).map_err(|_| Problem::new(Code::NotFound))
}

/// An order of the client's own; another's is no order.
async fn order_of(state: &HttpState, id: &str, client: &Client) -> Result<OrderRecord, Problem> {
    let record = show_order(&state.app, order_id(id)?, Some(&client.name)).await?;
    record.ok_or_else(|| Problem::new(Code::NotFound))
}

/// Room for an answer of a few approvers or one order; larger ones grow.
const ANSWER_OCTETS: usize = 4096;

/// A JSON answer, written straight into one buffer.
fn json_answer<T: Serialize>(body: T) -> Response {
    let mut bytes = Vec::with_capacity(ANSWER_OCTETS);
    match serde_json::to_writer(&mut bytes, &body) {
        Ok(()) => ([(CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            Problem::new(Code::Internal).into_response()
        }
    }
}
