//! An RDAP registry on loopback, thin, that leads to a registrar on the same port.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The one name it knows.
const NAME: &str = "sample-shop.com";

/// Listens on a free port; runs as long as the runtime.
///
/// # Errors
/// No port can be taken.
pub async fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/registry/domain/{name}", get(registry))
        .route("/registrar/domain/{name}", get(registrar))
        .with_state(address);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// The bootstrap registry that leads there. Spec: RFC 9224 §3.
#[must_use]
pub fn bootstrap(address: SocketAddr) -> String {
    json!({"version": "1.0", "services": [[["com"], [format!("http://{address}/registry/")]]]}).to_string()
}

async fn registry(State(address): State<SocketAddr>, Path(name): Path<String>) -> Response {
    let next =
        json!([{"rel": "related", "type": "application/rdap+json", "href": format!("http://{address}/registrar/domain/{NAME}")}]);
    answer(&name, &json!({"objectClassName": "domain", "ldhName": NAME, "links": next}))
}

async fn registrar(Path(name): Path<String>) -> Response {
    let entity = |role: &str, email: &str| json!({"objectClassName": "entity", "roles": [role], "vcardArray": ["vcard", [["email", {}, "text", email]]]});
    let entities = [
        entity("registrant", "registrant@sample-shop.com"),
        entity("administrative", "rdap-admin@sample-shop.com"),
        entity("abuse", "abuse@registrar.example"),
    ];
    answer(&name, &json!({"objectClassName": "domain", "ldhName": NAME, "entities": entities}))
}

fn answer(name: &str, body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/rdap+json")];
    if name.eq_ignore_ascii_case(NAME) {
        (kind, body.to_string()).into_response()
    } else {
        (StatusCode::NOT_FOUND, kind, json!({"errorCode": 404, "title": "Not Found"}).to_string()).into_response()
    }
}
