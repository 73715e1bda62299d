//! `POST /admin/orders/{id}/release`: lets an order that policy held go on.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::from_same_origin;
use super::sign_in::actor;
use crate::app::release::release;
use crate::app::sign_in::SignedIn;
use crate::dcv::id::OrderId;
use crate::http::{Code, HttpState, Problem};

pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    Extension(who): Extension<SignedIn>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    from_same_origin(&headers)?;
    let id = OrderId::parse(&id).map_err(|_| Problem::new(Code::NotFound))?;
    if !release(&state.app, id, &actor(&state, &who)).await? {
        return Err(Problem::new(Code::NotFound).detail("there is no such order, or nothing holds it"));
    }
    Ok((StatusCode::SEE_OTHER, [("location", format!("/admin/orders/{id}"))]).into_response())
}
