//! RDAP over HTTPS by reqwest: no redirects, one deadline, a size limit, public addresses only, and nothing that is not said to be RDAP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::redirect::Policy;
use url::Url;

use super::address::{self, PublicOnly};
use crate::dcv::contact::rdap::{ANSWER_MAX_OCTETS, AskError, is_media_type};
use crate::dcv::evidence::Exchange;
use crate::ports::{Clock, Rdap, RdapAnswer};

/// Largest bootstrap registry, in octets; IANA's is about 60 KiB.
const BOOTSTRAP_MAX_OCTETS: usize = 1024 * 1024;

/// Longest Content-Type kept, in characters; it stands in the evidence where it is refused.
const MEDIA_TYPE_MAX_CHARS: usize = 100;

/// What came back.
struct Reply {
    status: u16,
    /// The Content-Type; empty where there is none.
    media_type: String,
    body: Vec<u8>,
    peer: Option<SocketAddr>,
}

/// Asks registries and registrars.
pub struct HttpRdap {
    client: reqwest::Client,
    bootstrap: String,
    /// Loopback tests alone: `http://` and private addresses.
    allow_http: bool,
    clock: Arc<dyn Clock>,
}

impl HttpRdap {
    /// Prepares requests of `timeout` each. `bootstrap` is an address or a file's path.
    ///
    /// # Errors
    /// The TLS back-end cannot be set up.
    pub fn new(bootstrap: &str, allow_http: bool, timeout: Duration, clock: Arc<dyn Clock>) -> Result<Self, reqwest::Error> {
        Self::finding(bootstrap, allow_http, timeout, clock, PublicOnly::default())
    }

    /// As [`Self::new`], where names lead to what `public_only` finds.
    pub(super) fn finding(
        bootstrap: &str,
        allow_http: bool,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        public_only: PublicOnly,
    ) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder().redirect(Policy::none()).no_proxy().timeout(timeout);
        if !allow_http {
            builder = builder.https_only(true).dns_resolver(Arc::new(public_only));
        }
        Ok(Self { client: builder.build()?, bootstrap: bootstrap.to_owned(), allow_http, clock })
    }

    async fn get(&self, url: &str, limit: usize) -> Result<Reply, String> {
        let url: Url = url.parse().map_err(|_| "not an address".to_owned())?;
        if !self.allow_http && address::literal(&url).is_some_and(|ip| !address::is_public(ip)) {
            return Err("the server's address is not a public one".to_owned());
        }
        let failed = |error: reqwest::Error| {
            if error.is_timeout() { "no answer in time".to_owned() } else { error.without_url().to_string() }
        };
        let mut response = self.client.get(url).header(ACCEPT, "application/rdap+json").send().await.map_err(failed)?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type: String = kind.chars().take(MEDIA_TYPE_MAX_CHARS).collect();
        let (mut body, peer) = (Vec::new(), response.remote_addr());
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > limit {
                return Err(format!("larger than {limit} bytes"));
            }
        }
        Ok(Reply { status: response.status().as_u16(), media_type, body, peer })
    }
}

#[async_trait]
impl Rdap for HttpRdap {
    async fn bootstrap(&self) -> Result<Vec<u8>, String> {
        if self.bootstrap.starts_with("https://") || self.bootstrap.starts_with("http://") {
            return match self.get(&self.bootstrap, BOOTSTRAP_MAX_OCTETS).await? {
                Reply { status: 200, body, .. } => Ok(body),
                Reply { status, .. } => Err(format!("HTTP {status}")),
            };
        }
        tokio::fs::read(PathBuf::from(&self.bootstrap)).await.map_err(|error| error.to_string())
    }

    async fn ask(&self, url: &str) -> RdapAnswer {
        let at = self.clock.now();
        let server = url.parse::<Url>().ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        match self.get(url, ANSWER_MAX_OCTETS).await {
            Ok(Reply { status, media_type, body, peer }) => {
                let peer = peer.map(|peer| peer.to_string());
                let exchange = Exchange::answered(&server, peer, &format!("GET {url} → {status}"), at, &body);
                // Any other status tells by itself what there is to tell.
                if status == 200 && !is_media_type(&media_type) {
                    let error = AskError::OtherMediaType(media_type);
                    let exchange = Exchange { error: Some(error.to_string()), ..exchange };
                    return RdapAnswer { result: Err(error), exchange };
                }
                RdapAnswer { result: Ok((status, body)), exchange }
            }
            Err(words) => {
                let exchange = Exchange::failed(&server, None, &format!("GET {url}"), at, words.clone());
                RdapAnswer { result: Err(AskError::Broken(words)), exchange }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::adapters::address::tests::listen;
    use crate::adapters::clock::SystemClock;

    #[tokio::test]
    async fn nothing_that_is_not_public_is_asked_however_it_is_written() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (inner, reached) = listen("127.0.0.1:0".parse().unwrap()).await;
        let (port, timeout, clock) = (inner.port(), Duration::from_secs(5), Arc::new(SystemClock));
        let rdap = HttpRdap::new("", false, timeout, clock.clone()).unwrap();
        let addresses = [
            "127.0.0.1",
            "127.1",
            "0x7f000001",
            "2130706433",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
        ];
        for host in addresses.into_iter().chain(["localhost"]) {
            for scheme in ["https", "http"] {
                let url = format!("{scheme}://{host}:{port}/domain/example.com");
                let answer = rdap.ask(&url).await;
                let refused = answer.result.unwrap_err().to_string();
                assert!(host == "localhost" || refused.contains("not a public one"), "{url}: {refused}");
                assert_eq!(answer.exchange.error, Some(refused), "the refusal is evidence");
                let rdap = HttpRdap::new(&url, false, timeout, clock.clone()).unwrap();
                assert!(rdap.bootstrap().await.is_err(), "{url}");
            }
        }
        // In clear no name is asked at all.
        assert!(rdap.ask("http://rdap.example/domain/example.com").await.result.is_err());
        assert_eq!(reached.load(Ordering::SeqCst), 0);
    }
}
