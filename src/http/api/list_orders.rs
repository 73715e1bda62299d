//! `GET /v1/orders?state=&name=&order_ref=&cursor=&limit=`

use std::collections::HashMap;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Serialize;

use super::fields::unknown_parameters;
use super::{Client, json_answer};
use crate::app::show_order::{OrderView, list_orders};
use crate::dcv::field::{FieldError, is_one_line};
use crate::dcv::id::OrderId;
use crate::dcv::name::CertificateName;
use crate::dcv::order::OrderState;
use crate::dcv::timestamp::Timestamp;
use crate::http::docs::schema;
use crate::http::{HttpState, Problem};
use crate::store::OrderFilter;

/// Orders on one page.
const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;

/// Orders looked through for one page, by what no index leads to.
const LOOKED_AT: u32 = 5_000;

#[derive(Serialize)]
struct Page {
    orders: Vec<OrderView>,
    next_cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/orders",
    operation_id = "listOrders",
    tag = "Orders",
    description = "Lists orders, newest first. Pages stay stable while orders come. A page may hold fewer than `limit`, or none, and still have a `next_cursor`: by `state` or `profile` so many orders are looked through for each page. The list ends where `next_cursor` is null.",
    params(("state" = Option<String>, Query, description = "pending, completed or cancelled"), ("name" = Option<String>, Query), ("order_ref" = Option<String>, Query), ("profile" = Option<String>, Query), ("created_from" = Option<String>, Query, description = "RFC 3339, inclusive"), ("created_to" = Option<String>, Query, description = "RFC 3339, exclusive"), ("expires_from" = Option<String>, Query, description = "RFC 3339, inclusive"), ("expires_to" = Option<String>, Query, description = "RFC 3339, exclusive"), ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"), ("limit" = Option<u32>, Query, minimum = 1, maximum = 200)),
    responses((status = 200, description = "A page", body = schema::OrderPage)),
)]
pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Problem> {
    let mut filter = parse(&query, &state).map_err(Problem::invalid)?;
    filter.client = Some(client.name);
    // One more than asked for tells whether there is a next page.
    let limit = filter.limit as usize;
    filter.limit += 1;
    // What no index leads to is looked for among so many; the next page goes on from there.
    let is_sought = filter.profile.is_some() || filter.state.is_some_and(|state| state != OrderState::Pending);
    filter.within = is_sought.then_some(LOOKED_AT);
    let (mut records, edge) = list_orders(&state.app, &filter).await?;
    let more = records.len() > limit;
    records.truncate(limit);
    let orders = records.iter().map(crate::app::show_order::OrderRecord::view).collect::<Result<Vec<_>, _>>()?;
    let next = orders.last().filter(|_| more).map(|last| last.id);
    let next_cursor = next.or_else(|| edge.map(|edge| edge.id)).map(|id| id.to_string());
    Ok(json_answer(Page { orders, next_cursor }))
}

fn parse(query: &HashMap<String, String>, state: &HttpState) -> Result<OrderFilter, Vec<FieldError>> {
    let mut errors = unknown_parameters(
        query,
        &["state", "name", "order_ref", "profile", "created_from", "created_to", "expires_from", "expires_to", "cursor", "limit"],
    );
    let given = |name: &str| query.get(name).filter(|value| !value.is_empty());
    let mut filter = OrderFilter { limit: LIMIT_DEFAULT, order_ref: given("order_ref").cloned(), ..OrderFilter::default() };
    if filter.order_ref.as_deref().is_some_and(|text| !is_one_line(text)) {
        errors.push(FieldError::new("/order_ref", "bad-value", "must not hold control characters"));
    }
    if let Some(text) = given("state") {
        filter.state = OrderState::from_text(text);
        if filter.state.is_none() {
            errors.push(FieldError::new("/state", "bad-value", "must be one of: pending, completed, cancelled"));
        }
    }
    if let Some(text) = given("name") {
        match CertificateName::parse(text, &state.app.lists().suffixes) {
            Ok(name) => filter.name = Some(name.to_string()),
            Err(error) => errors.push(FieldError::new("/name", error.code(), error.to_string())),
        }
    }
    filter.profile = given("profile").cloned();
    if filter.profile.as_deref().is_some_and(|text| !is_one_line(text)) {
        errors.push(FieldError::new("/profile", "bad-value", "must not hold control characters"));
    }
    let mut range = |from: &'static str, to: &'static str| {
        let mut read = |name: &'static str| {
            let text = given(name)?;
            let time = Timestamp::parse_rfc3339(text).ok();
            if time.is_none() {
                let detail = "must be an instant such as 2026-11-22T09:00:00Z (RFC 3339)";
                errors.push(FieldError::new(format!("/{name}"), "bad-value", detail));
            }
            time
        };
        (read(from), read(to))
    };
    filter.created = range("created_from", "created_to");
    filter.expires = range("expires_from", "expires_to");
    if let Some(text) = given("cursor") {
        match OrderId::parse(text) {
            Ok(id) => filter.before = Some(id),
            Err(_) => errors.push(FieldError::new("/cursor", "bad-value", "must be a next_cursor of an earlier page")),
        }
    }
    if let Some(text) = given("limit") {
        match text.parse() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => filter.limit = limit,
            _ => errors.push(FieldError::new("/limit", "bad-value", format!("must be 1 to {LIMIT_MAX}"))),
        }
    }
    if errors.is_empty() { Ok(filter) } else { Err(errors) }
}
