//! `POST /admin/orders/{id}/mails/{mail}/resend`: the same mail once more, on an operator's word.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::from_same_origin;
use super::sign_in::actor;
use crate::app::Cause;
use crate::app::resend::resend;
use crate::app::sign_in::SignedIn;
use crate::dcv::id::{MailId, OrderId};
use crate::http::api::resend::refused;
use crate::http::{Code, HttpState, Problem};

pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Path((order, mail)): Path<(String, String)>,
    Extension(who): Extension<SignedIn>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    from_same_origin(&headers)?;
    let (Ok(order), Ok(mail)) = (OrderId::parse(&order), MailId::parse(&mail)) else { return Err(Problem::new(Code::NotFound)) };
    resend(&state.app, order, mail, &Cause::by(&actor(&state, &who))).await.map_err(|error| refused(&state.app, error))?;
    Ok((StatusCode::SEE_OTHER, [("location", format!("/admin/orders/{order}"))]).into_response())
}
