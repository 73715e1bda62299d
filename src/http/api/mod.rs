//! `/v1`: what ordering systems call.

pub(super) mod approvers;
mod body;
pub(super) mod change_approver;
pub(super) mod events;
pub(super) mod evidence;
pub(super) mod fields;
pub(super) mod list_orders;
pub(super) mod place_order;
pub(super) mod resend;
pub(super) mod show_order;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::{Code, HttpState, Problem};
use crate::dcv::id::OrderId;

/// The ordering system that calls.
#[derive(Clone)]
pub(super) struct Client(pub(super) String);

/// Lets only known ordering systems through. The token is compared by its hash, in constant time, with every client's.
pub(super) async fn authenticate(State(state): State<HttpState>, mut request: Request, next: Next) -> Response {
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Problem::new(Code::Unauthorized).into_response();
    };
    let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let mut found = None;
    for (name, known) in &state.settings.clients {
        let same: Choice = known.ct_eq(&hash);
        if bool::from(same) {
            found = Some(name.clone());
        }
    }
    match found {
        None => Problem::new(Code::Unauthorized).into_response(),
        Some(name) => {
            request.extensions_mut().insert(Client(name));
            next.run(request).await
        }
    }
}

fn order_id(text: &str) -> Result<OrderId, Problem> {
    OrderId::parse(text).map_err(|_| Problem::new(Code::NotFound))
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
