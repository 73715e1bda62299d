//! The API describes itself: `/openapi.json`, `/docs`, and a page for each kind of problem.

mod events;
pub(in crate::http) mod problems;
pub(in crate::http) mod schema;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::{CODES, HttpState, api};
use crate::dcv::order::{Delivery, LinkState, OrderKind, OrderState, ValidationState};

/// The parts of the description that the code tells by itself.
#[derive(OpenApi)]
#[openapi(
    paths(
        api::approvers::get,
        api::place_order::post,
        api::bulk::post,
        api::list_orders::get,
        api::show_order::get,
        api::events::get,
        api::evidence::get,
        api::resend::post,
        api::change_approver::post,
        api::cancel::post,
        api::extend::post,
        api::certificates::post,
        api::message::get,
        api::pin::get,
        api::validations::get,
        api::replay::post,
        api::allowlist::get,
        api::allowlist::put,
        api::allowlist::delete,
    ),
    components(schemas(schema::ProblemDocument))
)]
struct Described;

const ABOUT: &str = "Domain control validation by e-mail: works out who may approve a name, asks them, and reports the answer by signed \
webhook. Every POST takes an `Idempotency-Key`; a repeat returns the first answer. Times are RFC 3339 in UTC. Webhooks follow the Standard \
Webhooks specification: verify them with one of its libraries, drop repeats by `webhook-id`, order them by `data.seq` within an order.";

/// The description, made once.
pub(in crate::http) fn document(public_base: &str) -> Value {
    let mut doc = serde_json::to_value(Described::openapi()).unwrap_or_default();
    doc["info"] =
        json!({"title": "dcvd", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT, "license": {"name": "MIT"}});
    doc["servers"] = json!([{"url": public_base}]);
    doc["security"] = json!([{"bearer": []}]);
    doc["components"]["securitySchemes"] = json!({"bearer": {"type": "http", "scheme": "bearer"}});
    let mut problems: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for (code, status, _) in CODES {
        problems.entry(*status).or_default().push(code);
    }
    for operation in doc["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut()) {
        for (method, operation) in operation.as_object_mut().into_iter().flatten() {
            for (status, codes) in &problems {
                operation["responses"][status.to_string()] = json!({
                    "description": format!("code: {}", codes.join(", ")),
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
                });
            }
            if method == "post"
                && let Some(parameters) = operation.as_object_mut().map(|one| one.entry("parameters").or_insert(json!([])))
                && let Some(parameters) = parameters.as_array_mut()
            {
                parameters.push(json!({
                    "name": "Idempotency-Key", "in": "header", "required": false,
                    "description": "1 to 255 visible characters; a repeat within 48 hours returns the first answer.",
                    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
                }));
            }
        }
    }
    words(&mut doc);
    doc["webhooks"] = events::webhooks();
    doc
}

/// Says which words fields may hold, from the one list of each.
fn words(doc: &mut Value) {
    let states = |all: &[&'static str]| json!(all);
    let order: Vec<_> = OrderState::ALL.iter().map(|one| one.as_str()).collect();
    let validation: Vec<_> = ValidationState::ALL.iter().map(|one| one.as_str()).collect();
    let link: Vec<_> = LinkState::ALL.iter().map(|one| one.as_str()).collect();
    let delivery: Vec<_> = Delivery::ALL.iter().map(|one| one.as_str()).collect();
    let kind: Vec<_> = OrderKind::ALL.iter().map(|one| one.as_str()).collect();
    let schemas = &mut doc["components"]["schemas"];
    for (schema, field, values) in [
        ("ValidationView", "state", &validation),
        ("MailView", "state", &link),
        ("MailView", "delivery", &delivery),
        ("NewOrderBody", "kind", &kind),
    ] {
        let property = &mut schemas[schema]["properties"][field];
        if property["type"].is_array() {
            let mut values: Vec<Value> = values.iter().map(|one| json!(one)).collect();
            values.push(Value::Null);
            property["enum"] = json!(values);
        } else {
            property["enum"] = states(values);
        }
    }
    // The order's own fields stand beside those that the caller told.
    for part in schemas["OrderView"]["allOf"].as_array_mut().into_iter().flatten() {
        if part["properties"]["state"].is_object() {
            part["properties"]["state"]["enum"] = states(&order);
        }
    }
}

/// `GET /openapi.json`
pub(in crate::http) async fn openapi(State(state): State<HttpState>) -> Response {
    static DOCUMENT: OnceLock<(String, Bytes)> = OnceLock::new();
    let base = &state.app.settings.public_base;
    let (made_for, made) = DOCUMENT.get_or_init(|| (base.clone(), Bytes::from(document(base).to_string())));
    let body = if made_for == base { made.clone() } else { Bytes::from(document(base).to_string()) };
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "public, max-age=300")], body).into_response()
}

/// What the rendered description may load: its own script and styles, which it writes into the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
                      worker-src blob:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /docs`: the description as people read it.
pub(in crate::http) async fn page(State(state): State<HttpState>) -> Response {
    let base = &state.app.settings.public_base;
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>dcvd API</title>\n</head>\n<body>\n<noscript><p>This page needs a script to be drawn; the description itself is \
         <a href=\"{base}/openapi.json\">openapi.json</a>.</p></noscript>\n<redoc spec-url=\"{base}/openapi.json\"></redoc>\n\
         <script src=\"{base}/static/redoc.standalone.js\"></script>\n</body>\n</html>\n"
    );
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-cache")], page)
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_api_is_described_and_no_other() {
        let source = include_str!("../mod.rs");
        let mut routes = Vec::new();
        for line in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"/v1/")) {
            let (path, handlers) = line.split_once('"').unwrap();
            routes.extend(
                ["get", "post", "put", "delete"]
                    .into_iter()
                    .filter(|method| handlers.contains(&format!("{method}(")))
                    .map(|method| format!("{method} /v1/{path}")),
            );
        }
        let doc = document("https://dcv.example.net");
        let mut described = Vec::new();
        for (path, operations) in doc["paths"].as_object().unwrap() {
            described.extend(operations.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
        }
        routes.sort();
        described.sort();
        assert_eq!(described, routes);
    }

    #[test]
    fn every_reference_leads_somewhere_and_ids_are_unique() {
        let doc = document("https://dcv.example.net");
        let text = doc.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(doc.pointer(reference).is_some(), "{reference}");
        }
        let mut ids: Vec<_> = text.split("\"operationId\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert!(doc["openapi"].as_str().unwrap().starts_with("3.1"));
        assert!(doc["webhooks"]["validation.approved"]["post"].is_object() && doc["webhooks"]["order.held"].is_null());
        assert_eq!(doc["components"]["schemas"]["MailView"]["properties"]["delivery"]["enum"][0], "queued");
    }
}
