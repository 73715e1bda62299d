//! `POST /admin/effects/{id}/replay`: puts an effect that was given up back into the outbox.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::from_same_origin;
use super::sign_in::actor;
use crate::app::replay::replay;
use crate::app::sign_in::SignedIn;
use crate::dcv::id::EffectId;
use crate::http::{Code, HttpState, Problem};

pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Extension(who): Extension<SignedIn>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    from_same_origin(&headers)?;
    let id = EffectId::parse(&id).map_err(|_| Problem::new(Code::NotFound))?;
    if !replay(&state.app, id, &actor(&state, &who)).await? {
        return Err(Problem::new(Code::NotFound).detail("there is no such effect, or it was not given up"));
    }
    Ok((StatusCode::SEE_OTHER, [("location", "/admin")]).into_response())
}
