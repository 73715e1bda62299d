//! `POST /admin/orders/{id}/look`: asks the sources at once for names that await an approver.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::from_same_origin;
use crate::app::look_again::look_now;
use crate::dcv::id::OrderId;
use crate::http::{Code, HttpState, Problem};

pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    from_same_origin(&headers)?;
    let id = OrderId::parse(&id).map_err(|_| Problem::new(Code::NotFound))?;
    // Where nothing waits any more, the page says so.
    look_now(&state.app, id).await?;
    Ok((StatusCode::SEE_OTHER, [("location", format!("/admin/orders/{id}"))]).into_response())
}
