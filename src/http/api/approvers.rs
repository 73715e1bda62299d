//! `GET /v1/approvers?name=…&profile=…&refresh=…`

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::response::Response;
use serde::Serialize;

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
#[derive(Serialize)]
pub(crate) struct ApproversView<'a> {
    name: String,
    base_domain: String,
    class: DomainClass,
    profile: &'a str,
    looked_up_at: Timestamp,
    approvers: Vec<ApproverView<'a>>,
    sources: &'a [SourceReport],
}

#[derive(Serialize)]
struct ApproverView<'a> {
    email: &'a EmailAddress,
    adn: &'a str,
    source: Source,
    role: Option<Role>,
    method: Method,
    usable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    rule: Rule,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
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
