//! Webhooks by reqwest, signed by the Standard Webhooks specification.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::address::{self, PublicOnly};
use crate::dcv::timestamp::Timestamp;
use crate::ports::{PostFailure, Webhook};

/// Longest answer kept for the record, in characters.
const ANSWER_MAX_CHARS: usize = 200;

/// Longest answer read, in octets; a connection whose answer is longer is not used again.
const ANSWER_MAX_OCTETS: usize = 16 * 1024;

/// Where to post, and with which key.
pub struct Endpoint {
    /// Its name in the configuration.
    pub name: String,
    /// The address.
    pub url: Url,
    /// The signing keys: the present one, and while receivers change over the one before.
    pub keys: Vec<Vec<u8>>,
    /// Whether private, loopback and link-local addresses may be reached.
    pub allow_private_address: bool,
}

/// Posts to the configured endpoints.
pub struct StandardWebhooks {
    endpoints: HashMap<String, Endpoint>,
    public_only: reqwest::Client,
    anywhere: reqwest::Client,
}

impl StandardWebhooks {
    /// Prepares the clients: no redirects, no proxies, one deadline for all of a request.
    ///
    /// # Errors
    /// The TLS back-end cannot be set up.
    pub fn new(endpoints: Vec<Endpoint>, timeout: Duration) -> Result<Self, reqwest::Error> {
        Self::finding(endpoints, timeout, PublicOnly::default())
    }

    /// As [`Self::new`], where names lead to what `public_only` finds.
    pub(super) fn finding(endpoints: Vec<Endpoint>, timeout: Duration, public_only: PublicOnly) -> Result<Self, reqwest::Error> {
        let builder = || {
            reqwest::Client::builder()
                .redirect(Policy::none())
                .no_proxy()
                .timeout(timeout)
                .connect_timeout(timeout)
                .tcp_nodelay(true)
                .user_agent(concat!("dcvd/", env!("CARGO_PKG_VERSION")))
        };
        Ok(Self {
            endpoints: endpoints.into_iter().map(|endpoint| (endpoint.name.clone(), endpoint)).collect(),
            public_only: builder().dns_resolver(Arc::new(public_only)).build()?,
            anywhere: builder().build()?,
        })
    }
}

/// The value of `webhook-signature`. Spec: Standard Webhooks, "Signature scheme" (`v1`).
///
/// # Panics
/// Never: HMAC takes a key of any length.
#[must_use]
pub fn signature(key: &[u8], id: &str, timestamp_secs: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp_secs}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[async_trait]
impl Webhook for StandardWebhooks {
    async fn post(&self, endpoint: &str, id: &str, now: Timestamp, body: &str) -> Result<String, PostFailure> {
        let fail = |detail: String| PostFailure { detail, retry_after: None, gone: false };
        let endpoint =
            self.endpoints.get(endpoint).ok_or_else(|| fail(format!("no webhook `{endpoint}` is configured any more")))?;
        if !endpoint.allow_private_address && address::literal(&endpoint.url).is_some_and(|ip| !address::is_public(ip)) {
            return Err(fail("the address is not a public one (allow_private_address)".to_owned()));
        }
        let client = if endpoint.allow_private_address { &self.anywhere } else { &self.public_only };
        let seconds = now.unix_secs();
        let signatures: Vec<String> = endpoint.keys.iter().map(|key| signature(key, id, seconds, body)).collect();
        let mut response = client
            .post(endpoint.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signatures.join(" "))
            .body(body.to_owned())
            .send()
            .await
            .map_err(|error| fail(in_words(&error)))?;
        let status = response.status();
        let mut said = Vec::new();
        while said.len() < ANSWER_MAX_OCTETS
            && let Ok(Some(chunk)) = response.chunk().await
        {
            said.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(status.to_string());
        }
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|value| retry_after(value, now));
        let said: String = String::from_utf8_lossy(&said).chars().take(ANSWER_MAX_CHARS).collect();
        let detail = format!("{status} {said}").trim_end().to_owned();
        Err(PostFailure { detail, retry_after, gone: status == StatusCode::GONE })
    }

    fn address(&self, endpoint: &str) -> Option<String> {
        self.endpoints.get(endpoint).map(|endpoint| data_encoding::HEXLOWER.encode(&Sha256::digest(endpoint.url.as_str())))
    }
}

/// `Retry-After`: seconds, or an instant. Spec: RFC 9110 §10.2.3.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(secs) = value.trim().parse() {
        return Some(Duration::from_secs(secs));
    }
    let at = httpdate::parse_http_date(value.trim()).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_unix_secs(i64::try_from(at.as_secs()).ok()?).since(now))
}

/// An error with its causes, without the address, which may hold credentials.
fn in_words(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the request failed"
    };
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    let mut last = None;
    while let Some(inner) = cause {
        last = Some(inner.to_string());
        cause = inner.source();
    }
    last.map_or_else(|| kind.to_owned(), |last| format!("{kind}: {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_says_when_by_seconds_or_by_the_clock() {
        let now = Timestamp::parse_rfc3339("2026-11-22T09:00:00Z").unwrap();
        let read = |value: &str| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!((read("120"), read("Sun, 22 Nov 2026 09:05:00 GMT")), (Some(120), Some(300)));
        assert_eq!((read("Sun, 22 Nov 2026 08:00:00 GMT"), read("soon"), read("-1")), (Some(0), None, None));
    }

    #[test]
    fn the_signature_is_the_specifications() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let ours = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(ours, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
