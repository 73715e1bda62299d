//! Reads request bodies.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::dcv::field::FieldError;
use crate::http::{Code, Problem};

/// Reads a body that must be a JSON object.
pub(super) fn read_object(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Map<String, Value>, Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(Code::WrongContentType));
    }
    let body = body.map_err(|rejection| {
        let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE { Code::BodyTooLarge } else { Code::BrokenJson };
        Problem::new(code)
    })?;
    match serde_json::from_slice(&body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::invalid(vec![FieldError::new("", "bad-value", "must be an object")])),
        Err(error) => Err(Problem::new(Code::BrokenJson).detail(format!("line {} column {}", error.line(), error.column()))),
    }
}
