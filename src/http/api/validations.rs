//! `GET /v1/validations?name=…`: the live approvals that a name may rest on.

use std::collections::HashMap;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use serde_json::json;

use super::fields::unknown_parameters;
use super::{Client, json_answer};
use crate::app::list_validations::list_validations;
use crate::dcv::field::FieldError;
use crate::dcv::name::CertificateName;
use crate::http::docs::schema;
use crate::http::{HttpState, Problem};

#[utoipa::path(
    get,
    path = "/v1/validations",
    operation_id = "listValidations",
    tag = "Validations",
    description = "The live approvals that a name may rest on, with the last instant under each row of the reuse table.",
    params(("name" = String, Query, example = "www.example.co.jp")),
    responses((status = 200, description = "The approvals", body = schema::ValidationsPage)),
)]
pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Problem> {
    let mut errors = unknown_parameters(&query, &["name"]);
    let name = match query.get("name") {
        None => Err(FieldError::new("/name", "missing-field", "this parameter is required")),
        Some(text) => CertificateName::parse(text, &state.app.lists().suffixes)
            .map_err(|error| FieldError::new("/name", error.code(), error.to_string())),
    };
    match (name, errors.is_empty()) {
        (Ok(name), true) => {
            let validations = list_validations(&state.app, &client.name, &name).await?;
            Ok(json_answer(json!({"name": name.to_string(), "validations": validations})))
        }
        (name, _) => {
            errors.extend(name.err());
            Err(Problem::invalid(errors))
        }
    }
}
