//! `/v1/allowlist`: which domains the client may order.

use std::collections::HashMap;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::read_object;
use super::fields::Fields;
use super::{Client, json_answer};
use crate::app::allowlist;
use crate::dcv::allowlist::Entry;
use crate::dcv::field::FieldError;
use crate::dcv::name::Fqdn;
use crate::dcv::timestamp::Timestamp;
use crate::http::docs::schema;
use crate::http::{Code, HttpState, Problem};
use crate::store::{AllowRow, StoreError};

/// Domains on one page, unless asked otherwise, and at most.
const LIMIT: u32 = 100;
const LIMIT_MAX: u32 = 1000;

/// Longest texts, in characters.
const TEXT_MAX_CHARS: usize = 300;

/// A domain of the list as the API tells it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AllowedView {
    /// A-labels; it and every name below it may be ordered.
    domain: String,
    /// Whom to ask where an order names nobody.
    approver: Option<String>,
    /// The profiles it may be ordered under; empty for all.
    profiles: Vec<String>,
    /// For people.
    note: String,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
}

/// A page of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AllowlistView {
    domains: Vec<AllowedView>,
    /// The next page's cursor.
    next: Option<String>,
}

fn view(row: &AllowRow) -> Result<AllowedView, StoreError> {
    Ok(AllowedView {
        domain: row.domain.clone(),
        approver: row.approver.clone(),
        profiles: row.profiles()?,
        note: row.note.clone(),
        changed_at: Timestamp::from_unix_micros(row.changed_at),
    })
}

#[utoipa::path(
    get,
    path = "/v1/allowlist",
    operation_id = "listAllowlist",
    tag = "Allow-list",
    description = "The domains that the client may order under profiles that hold it to a list, by name.",
    params(
        ("cursor" = Option<String>, Query, description = "From `next`."),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 100 unless said.", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "A page of the list", body = AllowlistView)),
)]
pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Problem> {
    let wrong = |field: &str, code, detail: &str| Problem::invalid(vec![FieldError::new(format!("/{field}"), code, detail)]);
    if let Some(unknown) = query.keys().find(|key| !["cursor", "limit"].contains(&key.as_str())) {
        return Err(wrong(unknown, "unknown-field", "there is no such parameter"));
    }
    let limit = query.get("limit").map_or(Ok(LIMIT), |text| text.parse());
    let limit = limit.ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    let limit = limit.ok_or_else(|| wrong("limit", "bad-value", "must be 1 to 1000"))?;
    let after = query.get("cursor").map(|domain| (client.name.as_str(), domain.as_str()));
    let mut rows = state.app.store.allowlist(Some(&client.name), after, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.domain.clone());
    let domains = rows.iter().map(view).collect::<Result<_, _>>()?;
    Ok(json_answer(AllowlistView { domains, next }))
}

#[utoipa::path(
    put,
    path = "/v1/allowlist/{domain}",
    operation_id = "putAllowed",
    tag = "Allow-list",
    description = "Puts a domain on the list, or writes its entry anew. Takes the scope allowlist:write.",
    params(("domain" = String, Path, description = "The domain; every name below it is meant too")),
    request_body = schema::AllowedBody,
    responses((status = 200, description = "The entry", body = AllowedView)),
)]
pub(in crate::http) async fn put(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    Path(domain): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let object = read_object(&headers, body)?;
    let mut fields = Fields::new("", &object);
    let approver = fields.line("approver", TEXT_MAX_CHARS).unwrap_or_default();
    let note = fields.line("note", TEXT_MAX_CHARS).unwrap_or_default();
    let mut profiles = Vec::new();
    for (at, value) in fields.list("profiles").into_iter().flatten().enumerate() {
        match value.as_str() {
            Some(id) if state.app.profiles.get(Some(id)).is_some() => profiles.push(id.to_owned()),
            _ => fields.errors.push(FieldError::new(format!("/profiles/{at}"), "unknown-profile", "there is no such profile")),
        }
    }
    let mut errors = fields.finish();
    let entry = Entry::parse(&domain, &approver, profiles, &note, &state.app.lists().suffixes);
    let entry = entry
        .map_err(|wrong| errors.extend(wrong.into_iter().map(|one| FieldError { pointer: format!("/{}", one.pointer), ..one })));
    match entry {
        Ok(entry) if errors.is_empty() => Ok(json_answer(view(&allowlist::put(&state.app, &client.name, &entry).await?)?)),
        _ => Err(Problem::invalid(errors)),
    }
}

#[utoipa::path(
    delete,
    path = "/v1/allowlist/{domain}",
    operation_id = "deleteAllowed",
    tag = "Allow-list",
    description = "Takes a domain from the list; orders that were placed go on. Takes the scope allowlist:write.",
    params(("domain" = String, Path, description = "The domain as it stands on the list")),
    responses((status = 204, description = "It is gone")),
)]
pub(in crate::http) async fn delete(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    Path(domain): Path<String>,
) -> Result<Response, Problem> {
    let domain = Fqdn::parse(&domain, &state.app.lists().suffixes).map_err(|_| Problem::new(Code::NotFound))?;
    if !allowlist::remove(&state.app, &client.name, domain.as_str()).await? {
        return Err(Problem::new(Code::NotFound));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
