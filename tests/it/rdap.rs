//! The RDAP adapter against a server that means ill.

use std::sync::Arc;
use std::time::Duration;

use dcvd::adapters::clock::SystemClock;
use dcvd::adapters::rdap::HttpRdap;
use dcvd::ports::Rdap as _;

use crate::support::gzip::bomb;
use crate::webhooks::{Fault, raw_receiver};

#[tokio::test]
async fn what_was_packed_is_asked_for_by_nobody_and_unpacked_by_nobody() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (url, requests) = raw_receiver(Fault::Bomb("200 OK")).await;
    // A connection each: it is closed after its answer.
    let rdap = || HttpRdap::new(&url, true, Duration::from_secs(5), Arc::new(SystemClock)).unwrap();
    let (status, body) = rdap().ask(&url).await.result.unwrap();
    assert!(status == 200 && body == bomb(), "{status}, {} octets, and not as they came", body.len());
    let registry = rdap().bootstrap().await.unwrap();
    assert!(registry == bomb(), "{} octets, and not as they came", registry.len());
    for request in requests.lock().unwrap().iter() {
        assert!(!request.to_ascii_lowercase().contains("accept-encoding"), "{request}");
    }
}
