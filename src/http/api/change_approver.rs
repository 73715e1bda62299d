//! `POST /v1/orders/{id}/approvers`: asks somebody else, or somebody at last.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::body::read_object;
use super::fields::Fields;
use super::place_order::{choice, names, not_asked, under};
use super::{Client, Request, ended, json_answer, order_of, resend};
use crate::app::App;
use crate::app::change_approver::{ChangeError, change_approver, open_names};
use crate::dcv::field::FieldError;
use crate::dcv::name::CertificateName;
use crate::dcv::order::{Choice, Chooser};
use crate::http::docs::schema;
use crate::http::{Code, HttpState, Problem};
use crate::store::ValidationRow;

#[utoipa::path(
    post,
    path = "/v1/orders/{id}/approvers",
    operation_id = "changeApprover",
    tag = "Orders",
    description = "Asks other approvers, or some at last: new links; those sent before for these names are superseded.",
    params(("id" = String, Path, description = "The order's id")),
    request_body = schema::ApproversBody,
    responses((status = 202, description = "The order", body = schema::OrderView)),
)]
pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    request: Request,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let object = read_object(&headers, body)?;
    let record = order_of(&state, &id, &client).await?;
    let lists = state.app.lists();
    let mut fields = Fields::new("", &object);
    let wanted = if fields.value("names").is_some() { names(&lists, &mut fields) } else { Vec::new() };
    // Which names it is: the order's open ones, unless the caller says.
    let texts: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let open = if fields.errors.is_empty() {
        match open_names(&record, &texts) {
            Ok(open) => open,
            Err(error) => {
                let meant = |one: &&ValidationRow| texts.is_empty() || texts.contains(&one.name);
                let meant: Vec<_> = record.validations.iter().filter(meant).collect();
                return Err(ended(&state, &record, &meant, refused(&state.app, error, &texts)).await);
            }
        }
    } else {
        texts
    };
    let asked: Vec<CertificateName> = open.iter().filter_map(|name| CertificateName::parse(name, &lists.suffixes).ok()).collect();
    let profile = state.app.profile_of(&record.order).await?;
    let choice = under(&profile.profile, choice(&lists, &mut fields, &asked), Chooser::AfterOrder, &mut fields);
    if matches!(choice, Choice::Unsaid | Choice::Later) && fields.errors.is_empty() {
        fields.error("approvers", "missing-field", "name at least one approver, or \"all\"");
    }
    if matches!(choice, Choice::Entered(_)) {
        fields.error("approvers", "bad-value", "an address is entered with the order; choose one of those listed");
    }
    let errors = fields.finish();
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    let cause = request.cause(&client, 202);
    let changed =
        change_approver(&state.app, &record, asked, choice, &cause).await.map_err(|error| refused(&state.app, error, &open))?;
    Ok((StatusCode::ACCEPTED, json_answer(changed.view()?)).into_response())
}

pub(in crate::http) fn refused(app: &App, error: ChangeError, names: &[String]) -> Problem {
    match error {
        ChangeError::Missing => Problem::new(Code::NotFound),
        ChangeError::Ended(detail) => Problem::new(Code::NameEnded).detail(detail),
        error @ ChangeError::Shared { .. } => {
            Problem::invalid(vec![FieldError::new("/names", "mail-asks-for-more", error.to_string())])
        }
        ChangeError::TooSoon(refusal) => resend::refused(app, refusal.into()),
        ChangeError::Ask(error) => not_asked(error, names),
    }
}
