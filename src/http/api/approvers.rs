//! `GET /v1/approvers?name=…&profile=…&refresh=…`

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::fields::unknown_parameters;
use super::json_answer;
use crate::app::list_approvers::{Listed, list_approvers};
use crate::dcv::contact::{Approver, Role, Source, SourceReport, Standing};
use crate::dcv::email::EmailAddress;
use crate::dcv::field::FieldError;
use crate::dcv::method::{Method, Rule};
use crate::dcv::name::{CertificateName, DomainClass};
use crate::dcv::timestamp::Timestamp;
use crate::http::{HttpState, Problem};

/// A listing as the API and the command line tell it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApproversView<'a> {
    name: String,
    base_domain: String,
    #[schema(value_type = String)]
    class: DomainClass,
    #[schema(value_type = String)]
    profile: &'a str,
    #[schema(value_type = String, format = DateTime)]
    looked_up_at: Timestamp,
    approvers: Vec<ApproverView<'a>>,
    /// How each source fared: `ok` with addresses, `empty`, `failed`, or `off`. Where nobody whom it names may be chosen, `reasons` says why.
    #[schema(value_type = Vec<Object>)]
    sources: &'a [SourceReport],
}

#[derive(Serialize, ToSchema)]
struct ApproverView<'a> {
    #[schema(value_type = String)]
    email: &'a EmailAddress,
    #[schema(value_type = String)]
    adn: &'a str,
    #[schema(value_type = String)]
    source: Source,
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
    #[schema(value_type = String)]
    method: Method,
    usable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<&'a str>,
    #[schema(value_type = Object)]
    rule: Rule,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<Object>)]
    also: &'a [Standing],
}

impl<'a> ApproversView<'a> {
    pub(crate) fn new(name: &CertificateName, listed: &'a Listed) -> Self {
        Self {
            name: name.to_string(),
            base_domain: name.fqdn().base_domain().to_string(),
            class: name.fqdn().class(),
            profile: &listed.profile.profile.id,
            looked_up_at: listed.looked_up_at,
            approvers: listed.listing.approvers.iter().map(approver).collect(),
            sources: &listed.listing.sources,
        }
    }
}

fn approver(one: &Approver) -> ApproverView<'_> {
    ApproverView {
        email: &one.email,
        adn: one.adn.as_str(),
        source: one.source,
        role: one.role,
        method: one.method(),
        usable: one.usable,
        reason: one.reason.as_deref(),
        rule: one.rule,
        also: &one.also,
    }
}

#[utoipa::path(
    get,
    path = "/v1/approvers",
    operation_id = "listApprovers",
    tag = "Approvers",
    description = "Who may approve a name: every address with its source, method and standing on the day, and how each source fared.",
    params(("name" = String, Query, description = "The name, in Unicode or A-labels; a wildcard as `*.example.jp`", example = "www.example.co.jp"), ("profile" = Option<String>, Query, description = "The certificate service's rules; the default profile, unless given"), ("refresh" = Option<bool>, Query, description = "Ask every source again instead of reading stored look-ups")),
    responses((status = 200, description = "The list", body = ApproversView<'static>)),
)]
pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Problem> {
    let mut errors = unknown_parameters(&query, &["name", "profile", "refresh"]);
    let name = match query.get("name").map(|name| CertificateName::parse(name, &state.app.lists().suffixes)) {
        None => Err(FieldError::new("/name", "missing-field", "name the domain")),
        Some(Err(error)) => Err(FieldError::new("/name", error.code(), error.to_string())),
        Some(Ok(name)) => Ok(name),
    };
    let refresh = match query.get("refresh").map(String::as_str) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            errors.push(FieldError::new("/refresh", "bad-value", "must be true or false"));
            false
        }
    };
    let profile = state.app.profiles.get(query.get("profile").map(String::as_str)).cloned();
    if profile.is_none() {
        errors.push(FieldError::new("/profile", "unknown-profile", "there is no such profile"));
    }
    let name = name.map_err(|error| errors.push(error)).ok();
    let (Some(name), Some(profile), true) = (name, profile, errors.is_empty()) else { return Err(Problem::invalid(errors)) };
    let listed = list_approvers(&state.app, &name, profile, refresh).await?;
    Ok(json_answer(ApproversView::new(&name, &listed)))
}
