//! Which ordering systems there are, and how fast each may ask.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::http::{HeaderName, HeaderValue};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use subtle::{Choice, ConstantTimeEq as _};

use crate::dcv::client::{RequestRate, Rights};
use crate::store::{ClientRow, Store};

/// An ordering system that calls.
#[derive(Clone, Debug)]
pub(in crate::http) struct Client {
    /// Its name.
    pub(in crate::http) name: String,
    /// What it may do.
    pub(in crate::http) rights: Arc<Rights>,
}

impl Client {
    /// The ordering system as one who acts.
    pub(in crate::http) fn actor(&self) -> String {
        format!("client:{}", self.name)
    }
}

/// A token's hash and whose it is.
type Token = ([u8; 32], Client);

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// How long the tokens of the database are believed: as long a revoked one works, and a new one may wait after a wrong guess.
const BELIEVED: Duration = Duration::from_secs(5);

/// The ordering systems of the configuration and of the database.
pub(in crate::http) struct Registry {
    configured: Vec<Token>,
    stored: ArcSwap<(Option<Instant>, Vec<Token>)>,
    reading: tokio::sync::Mutex<()>,
    default_rate: RequestRate,
    limiters: Mutex<HashMap<String, (RequestRate, Arc<Limiter>)>>,
}

impl Registry {
    pub(in crate::http) fn new(configured: &[(String, [u8; 32], Arc<Rights>)], default_rate: RequestRate) -> Self {
        let known =
            configured.iter().map(|(name, hash, rights)| (*hash, Client { name: name.clone(), rights: Arc::clone(rights) }));
        Self {
            configured: known.collect(),
            stored: ArcSwap::from_pointee((None, Vec::new())),
            reading: tokio::sync::Mutex::new(()),
            default_rate,
            limiters: Mutex::default(),
        }
    }

    /// Whose token has a hash. All hashes are compared, each in constant time.
    pub(in crate::http) async fn find(&self, store: &Store, hash: &[u8; 32]) -> Option<Client> {
        if let Some(client) = among(&self.configured, hash) {
            return Some(client);
        }
        self.refresh(store).await;
        among(&self.stored.load().1, hash)
    }

    /// Reads the tokens of the database again where they are too old; one request at a time does, and where the database is away the old
    /// ones are believed.
    async fn refresh(&self, store: &Store) {
        let fresh = || self.stored.load().0.is_some_and(|at| at.elapsed() < BELIEVED);
        if fresh() {
            return;
        }
        let _turn = self.reading.lock().await;
        if fresh() {
            return;
        }
        match store.client_tokens().await {
            Ok(rows) => self.stored.store(Arc::new((Some(Instant::now()), rows.iter().filter_map(token).collect()))),
            Err(error) => {
                tracing::warn!(%error, "the ordering systems' tokens cannot be read; those known are believed");
                let known = self.stored.load().1.clone();
                self.stored.store(Arc::new((Some(Instant::now()), known)));
            }
        }
    }

    fn limiter(&self, client: &Client) -> (RequestRate, Arc<Limiter>) {
        let rate = client.rights.rate.unwrap_or(self.default_rate);
        let limiter = {
            let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
            match limiters.get(&client.name) {
                Some((known, limiter)) if *known == rate => Arc::clone(limiter),
                _ => {
                    let limiter = Arc::new(RateLimiter::direct(quota(rate)).with_middleware());
                    limiters.insert(client.name.clone(), (rate, Arc::clone(&limiter)));
                    limiter
                }
            }
        };
        (rate, limiter)
    }

    /// Waits until the client's rate allows one request more, and counts it.
    pub(in crate::http) async fn wait(&self, client: &Client) {
        let (_, limiter) = self.limiter(client);
        while let Err(refused) = limiter.check() {
            tokio::time::sleep(refused.wait_time_from(DefaultClock::default().now())).await;
        }
    }

    /// Counts a request: what the answer tells of it, and for how many seconds the client must wait where it is too fast.
    pub(in crate::http) fn count(&self, client: &Client) -> ([(HeaderName, HeaderValue); 2], Option<u64>) {
        let (rate, limiter) = self.limiter(client);
        let (remaining, wait) = match limiter.check() {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(refused) => (0, Some(refused.wait_time_from(DefaultClock::default().now()).as_secs() + 1)),
        };
        (headers(rate, remaining, wait), wait)
    }
}

fn among(tokens: &[Token], hash: &[u8; 32]) -> Option<Client> {
    let mut found = None;
    for (known, client) in tokens {
        let same: Choice = known.ct_eq(hash);
        if bool::from(same) {
            found = Some(client);
        }
    }
    found.cloned()
}

fn token(row: &ClientRow) -> Option<Token> {
    if row.revoked_at.is_some() {
        return None;
    }
    let hash = row.token_sha256.as_slice().try_into().ok()?;
    match serde_json::from_str(&row.rights) {
        Ok(rights) => Some((hash, Client { name: row.name.clone(), rights: Arc::new(rights) })),
        Err(error) => {
            tracing::error!(client = row.name, %error, "an ordering system's rights cannot be read; it is let in nowhere");
            None
        }
    }
}

/// So many at once, refilled evenly.
fn quota(rate: RequestRate) -> Quota {
    let requests = NonZeroU32::new(rate.requests).unwrap_or(NonZeroU32::MIN);
    let each = Duration::from_secs(u64::from(rate.seconds)) / requests.get();
    Quota::with_period(each.max(Duration::from_nanos(1))).unwrap_or_else(|| Quota::per_second(requests)).allow_burst(requests)
}

/// `RateLimit-Policy` and `RateLimit`. Spec: draft-ietf-httpapi-ratelimit-headers-10.
fn headers(rate: RequestRate, remaining: u32, wait: Option<u64>) -> [(HeaderName, HeaderValue); 2] {
    let refilled = u64::from(rate.requests.saturating_sub(remaining)) * u64::from(rate.seconds) / u64::from(rate.requests.max(1));
    let until = wait.unwrap_or(refilled.max(1));
    let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    [
        (HeaderName::from_static("ratelimit-policy"), value(format!("\"client\";q={};w={}", rate.requests, rate.seconds))),
        (HeaderName::from_static("ratelimit"), value(format!("\"client\";r={remaining};t={until}"))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_too_fast_is_told_when_to_come_back() {
        let rights = Rights { rate: Some(RequestRate { requests: 2, seconds: 60 }), ..Rights::default() };
        let registry = Registry::new(&[], RequestRate { requests: 1, seconds: 1 });
        let client = |name: &str| Client { name: name.to_owned(), rights: Arc::new(rights.clone()) };
        let remaining: Vec<String> =
            (0..3).map(|_| registry.count(&client("a")).0[1].1.to_str().unwrap().split(';').nth(1).unwrap().to_owned()).collect();
        assert_eq!(remaining, ["r=1", "r=0", "r=0"]);
        let (headers, wait) = registry.count(&client("a"));
        assert!(wait.is_some_and(|secs| (1..=31).contains(&secs)), "{wait:?}");
        assert_eq!(headers[0].1, "\"client\";q=2;w=60");
        assert_eq!(registry.count(&client("b")).1, None, "another client's requests do not count");
    }
}
