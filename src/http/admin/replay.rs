//! `POST /admin/effects/{id}/replay`: puts an effect that was given up back into the outbox.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::from_same_origin;
use crate::app::replay::replay;
use crate::dcv::id::EffectId;
use crate::http::{Code, HttpState, Problem};

pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    from_same_origin(&headers)?;
    let id = EffectId::parse(&id).map_err(|_| Problem::new(Code::NotFound))?;
    if !replay(&state.app, id, "operator").await? {
        return Err(Problem::new(Code::NotFound).detail("there is no such effect, or it was not given up"));
    }
    Ok((StatusCode::SEE_OTHER, [("location", "/admin")]).into_response())
}
