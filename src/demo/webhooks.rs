//! A webhook receiver that verifies what it gets, and can be told how to answer.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use data_encoding::BASE64;
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;

use crate::adapters::webhook::signature;

/// A webhook as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its `webhook-id`.
    pub id: String,
    /// Whether its signature verified.
    pub verified: bool,
    /// What the receiver answered.
    pub status: u16,
    /// Its body.
    pub body: Value,
}

impl Received {
    /// Its type.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }
}

/// The receiver, running as long as the runtime.
#[derive(Clone)]
pub struct Receiver {
    /// Where it listens.
    pub url: String,
    key: Arc<Vec<u8>>,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    received: Vec<Received>,
    status: u16,
}

impl Receiver {
    /// Listens on a free port for webhooks signed with `secret` (`whsec_…`).
    ///
    /// # Errors
    /// No port can be taken, or the secret is none.
    pub async fn start(secret: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let key = BASE64.decode(secret.trim_start_matches("whsec_").as_bytes())?;
        let receiver = Self {
            url: format!("http://{}/hook", listener.local_addr()?),
            key: Arc::new(key),
            shared: Arc::new(Mutex::new(Shared { received: Vec::new(), status: 200 })),
        };
        let router = Router::new().route("/hook", post(receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(receiver)
    }

    /// What has arrived so far, refused or not.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.lock().received.clone()
    }

    /// What was taken of a type.
    #[must_use]
    pub fn taken(&self, kind: &str) -> Vec<Received> {
        self.received().into_iter().filter(|one| one.kind() == kind && one.status < 300).collect()
    }

    /// Tells the receiver how to answer from now on.
    pub fn answer_with(&self, status: u16) {
        self.lock().status = status;
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = header("webhook-id").to_owned();
    let text = String::from_utf8_lossy(&body).into_owned();
    let expected = signature(&receiver.key, &id, header("webhook-timestamp").parse().unwrap_or_default(), &text);
    let verified = header("webhook-signature").split(' ').any(|one| one.as_bytes().ct_eq(expected.as_bytes()).into());
    let mut shared = receiver.lock();
    let status = if verified { shared.status } else { 401 };
    shared.received.push(Received { id, verified, status, body: serde_json::from_str(&text).unwrap_or_default() });
    StatusCode::from_u16(status).unwrap_or(StatusCode::OK)
}
