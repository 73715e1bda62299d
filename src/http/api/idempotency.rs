//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a repeat returns the first answer and changes nothing.
//!
//! A change and the memory of its key are one transaction, so that a repeat after a crash finds either both or neither. Refusals are
//! not remembered: what was corrected may be sent under the same key.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, Request as HttpRequest};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest, Sha256};

use super::{Client, bulk};
use crate::app::Cause;
use crate::app::show_order::show_order;
use crate::dcv::field::FieldError;
use crate::http::{Code, HttpState, Problem};
use crate::store::{RepeatRow, Repeatable};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Says that an answer is that of an earlier request.
static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Longest key, in characters.
const KEY_MAX_CHARS: usize = 255;

/// Longest answer that is kept, in bytes; what is longer is made anew from the order.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// The request's key, where it carries one; handlers make their [`Cause`] of it.
#[derive(Clone, Default)]
pub(in crate::http) struct Request(Option<(String, [u8; 32])>);

impl Request {
    /// On whose word a change is made, and what is remembered with it; `status` is that of its success.
    pub(in crate::http) fn cause(&self, client: &Client, status: u16) -> Cause {
        Cause { actor: client.actor(), request: self.repeatable(client, status), reason: None }
    }

    /// The request as it is remembered.
    pub(in crate::http) fn repeatable(&self, client: &Client, status: u16) -> Option<Repeatable> {
        self.0.clone().map(|(key, fingerprint)| Repeatable { client: client.name.clone(), key, fingerprint, status })
    }

    /// One of several requests in a body, by its place.
    pub(in crate::http) fn part(&self, at: usize, body: &[u8]) -> Self {
        Self(self.0.as_ref().map(|(key, _)| (format!("{key}/{at}"), Sha256::digest(body).into())))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Request {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// Whether a request may be repeated.
pub(super) fn is_keyed(request: &HttpRequest) -> bool {
    request.method() == Method::POST && request.headers().contains_key(&IDEMPOTENCY_KEY)
}

/// Answers a repeat as the first time, and keeps the answer of a first time.
pub(super) async fn remember(
    state: &HttpState,
    client: &Client,
    mut request: HttpRequest,
    next: Next,
) -> Result<Response, Problem> {
    let Some(given) = request.headers().get(&IDEMPOTENCY_KEY) else { return Ok(next.run(request).await) };
    let key = read(given).ok_or_else(|| {
        Problem::invalid(vec![FieldError::new(
            "",
            "idempotency-key-invalid",
            "Idempotency-Key must be 1 to 255 visible characters",
        )])
    })?;
    let (parts, body) = request.into_parts();
    let whole = !parts.uri.path().ends_with("/bulk");
    let longest = if whole { state.settings.max_body_bytes } else { bulk::BODY_MAX_BYTES };
    let body = to_bytes(body, longest).await.map_err(|_| Problem::new(Code::BodyTooLarge))?;
    let mut hash = Sha256::new();
    hash.update(parts.uri.path().as_bytes());
    hash.update([0]);
    hash.update(&body);
    let fingerprint: [u8; 32] = hash.finalize().into();
    if let Some(answer) = repeated(state, client, &key, &fingerprint).await? {
        return Ok(answer);
    }
    // The lines of a bulk request are remembered one by one.
    request = HttpRequest::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(Request(Some((key.clone(), fingerprint))));
    let response = next.run(request).await;
    if !response.status().is_success() {
        // Another request under this key may have been faster.
        let answer = repeated(state, client, &key, &fingerprint).await?;
        return Ok(answer.unwrap_or(response));
    }
    if whole { keep(state, client, key, fingerprint, response).await } else { Ok(response) }
}

/// The answer to a line of a bulk request that was taken before.
pub(in crate::http) async fn repeated_part(
    state: &HttpState,
    client: &Client,
    part: &Request,
) -> Result<Option<Response>, Problem> {
    match &part.0 {
        None => Ok(None),
        Some((key, fingerprint)) => repeated(state, client, key, fingerprint).await,
    }
}

/// Keeps the answer to a line of a bulk request.
pub(in crate::http) async fn keep_part(state: &HttpState, client: &Client, part: &Request, location: &str, body: &str) {
    if let Some(request) = part.repeatable(client, StatusCode::CREATED.as_u16()) {
        write(state, request, Some(location.to_owned()), body.to_owned()).await;
    }
}

async fn write(state: &HttpState, request: Repeatable, location: Option<String>, body: String) {
    let now = state.app.now();
    let kept = state
        .app
        .store
        .write("keep_answer", move |tx| Box::pin(async move { tx.keep_answer(&request, location.as_deref(), &body, now).await }));
    // The change stands; without the answer a repeat tells the order as it is then.
    if let Err(error) = kept.await {
        tracing::warn!(%error, "the answer to a request that may be repeated was not kept");
    }
}

/// Reads a key: a structured field's string, or bare as most send it.
fn read(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?.trim();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let fits = !bare.is_empty() && bare.len() <= KEY_MAX_CHARS && bare.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| bare.to_owned())
}

async fn repeated(state: &HttpState, client: &Client, key: &str, fingerprint: &[u8; 32]) -> Result<Option<Response>, Problem> {
    let Some(row) = state.app.store.remembered(&client.name, key).await? else { return Ok(None) };
    if row.fingerprint != fingerprint {
        return Err(Problem::new(Code::IdempotencyKeyReused));
    }
    answer(state, client, &row).await.map(Some)
}

/// An earlier request's answer; where the daemon ended before it was kept, the order as it is now.
async fn answer(state: &HttpState, client: &Client, row: &RepeatRow) -> Result<Response, Problem> {
    let status = u16::try_from(row.status).ok().and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
    let order = row.order()?;
    let body = match (&row.answer, order) {
        (Some(answer), _) => Bytes::from(answer.clone()),
        (None, Some(id)) => {
            let record = show_order(&state.app, id, Some(&client.name)).await?.ok_or_else(|| Problem::new(Code::NotFound))?;
            Bytes::from(serde_json::to_vec(&record.view()?).map_err(|_| Problem::new(Code::Internal))?)
        }
        (None, None) => return Err(Problem::new(Code::IdempotencyInProgress).retry_after(1)),
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(&REPLAYED, HeaderValue::from_static("true"));
    let created = order.filter(|_| status == StatusCode::CREATED && row.answer.is_none()).map(|id| format!("/v1/orders/{id}"));
    if let Some(location) = row.location.clone().or(created).and_then(|location| HeaderValue::try_from(location).ok()) {
        headers.insert(LOCATION, location);
    }
    Ok((status, headers, body).into_response())
}

/// Keeps a first answer, so that a repeat gets these bytes.
async fn keep(
    state: &HttpState,
    client: &Client,
    key: String,
    fingerprint: [u8; 32],
    response: Response,
) -> Result<Response, Problem> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|_| Problem::new(Code::Internal))?;
    if body.len() <= ANSWER_MAX_BYTES
        && let Ok(text) = String::from_utf8(body.to_vec())
    {
        let location = parts.headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let request = Repeatable { client: client.name.clone(), key, fingerprint, status: parts.status.as_u16() };
        write(state, request, location, text).await;
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_bare_or_quoted() {
        let read = |text: &str| super::read(&HeaderValue::from_str(text).unwrap());
        assert_eq!(read("8e03978e-40d5-43dd-bc93-6894a57f9324").as_deref(), Some("8e03978e-40d5-43dd-bc93-6894a57f9324"));
        assert_eq!(read("\"abc\"").as_deref(), Some("abc"));
        assert_eq!((read(""), read("\"\""), read("a b"), read(&"a".repeat(256))), (None, None, None, None));
    }
}
