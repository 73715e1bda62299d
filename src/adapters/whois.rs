//! WHOIS by whois-rust, one hop a call: it is given the address that was resolved and checked here, and follows nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use whois_rust::{WhoIs, WhoIsError, WhoIsLookupOptions, WhoIsServerValue};

use super::address::{NoAddress, PublicOnly};
use crate::dcv::contact::whois::{ANSWER_MAX_OCTETS, HopError, Question};
use crate::dcv::evidence::Exchange;
use crate::dcv::timestamp::Timestamp;
use crate::ports::{Clock, Whois, WhoisAnswer};

/// The WHOIS port. Spec: RFC 3912 §2.
const PORT: u16 = 43;

/// Servers whose rate is remembered before quiet ones are forgotten.
const SERVERS_KEPT: usize = 1000;

/// Look-ups on port 43.
pub struct PortFortyThree {
    library: WhoIs,
    connect_to: HashMap<String, SocketAddr>,
    pub(super) public_only: PublicOnly,
    timeout: Duration,
    limiter: DefaultKeyedRateLimiter<String>,
    refused: Mutex<HashMap<String, Refused>>,
    clock: Arc<dyn Clock>,
}

/// A server that refused: until when it is left alone, and for how long next time.
#[derive(Clone, Copy)]
struct Refused {
    until: Timestamp,
    next: Duration,
}

/// How long a server is left alone when it first refuses; twice as long each time it goes on.
const BACK_OFF_FIRST: Duration = Duration::from_secs(60);

/// How long a server is left alone at most.
const BACK_OFF_MAX: Duration = Duration::from_secs(3600);

impl PortFortyThree {
    /// Prepares look-ups of `timeout` each, one per `period` and server with `burst` at once.
    ///
    /// `connect_to` names hosts that are not resolved and count as allowed.
    ///
    /// # Panics
    /// Never: the library is given an empty table.
    #[must_use]
    pub fn new(
        connect_to: HashMap<String, SocketAddr>,
        timeout: Duration,
        period: Duration,
        burst: u32,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(period).unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
        Self {
            library: WhoIs::from_host("whois.invalid").expect("the library takes a table with one host"),
            connect_to: connect_to.into_iter().map(|(host, address)| (host.to_ascii_lowercase(), address)).collect(),
            public_only: PublicOnly::default(),
            timeout,
            limiter: RateLimiter::keyed(quota),
            refused: Mutex::new(HashMap::new()),
            clock,
        }
    }

    /// Finds where to connect: configured, or resolved and public in every address.
    async fn resolve(&self, server: &str) -> Result<SocketAddr, HopError> {
        if let Some(address) = self.connect_to.get(server) {
            return Ok(*address);
        }
        let unresolved = |words: String| HopError::Unresolved(words);
        let found = tokio::time::timeout(self.timeout, self.public_only.find(server, PORT))
            .await
            .map_err(|_| unresolved("no answer in time".to_owned()))?
            .map_err(|error| match error {
                NoAddress::NotPublic => HopError::ForbiddenAddress,
                NoAddress::Unresolved(error) => unresolved(error.to_string()),
            })?;
        found.first().copied().ok_or_else(|| unresolved("no address".to_owned()))
    }

    fn is_left_alone(&self, server: &str) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(server).is_some_and(|one| self.clock.now() < one.until)
    }

    async fn hop(&self, address: SocketAddr, query: &str) -> Result<Vec<u8>, HopError> {
        let broken = |error: WhoIsError| match error {
            WhoIsError::Elapsed(_) => HopError::Timeout,
            WhoIsError::IOError(error) if error.kind() == std::io::ErrorKind::TimedOut => HopError::Timeout,
            other => HopError::Broken(other.to_string()),
        };
        // The target is only what the library would put for `$addr`; the line to send is given whole.
        let mut options = WhoIsLookupOptions::from_string("whois.invalid").map_err(broken)?;
        let mut server = WhoIsServerValue::from_string(address.to_string()).map_err(broken)?;
        server.query = Some(format!("{query}\r\n"));
        options.server = Some(server);
        options.follow = 0;
        options.timeout = Some(self.timeout);
        options.max_response_size = Some(ANSWER_MAX_OCTETS);
        let raw = self.library.lookup_raw_async(options).await.map_err(broken)?;
        if raw.is_empty() { Err(HopError::Broken("the server closed without an answer".to_owned())) } else { Ok(raw) }
    }
}

#[async_trait]
impl Whois for PortFortyThree {
    fn back_off(&self, server: &str) -> Duration {
        let now = self.clock.now();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        // Forgotten once a server was left alone and then answered for as long as the longest wait.
        refused.retain(|_, one| now <= one.until + BACK_OFF_MAX);
        let wait = refused.get(server).map_or(BACK_OFF_FIRST, |one| one.next);
        tracing::warn!(server, seconds = wait.as_secs(), "the WHOIS server refuses for now; it is left alone");
        refused.insert(server.to_owned(), Refused { until: now + wait, next: (wait * 2).min(BACK_OFF_MAX) });
        wait
    }

    async fn ask(&self, question: &Question) -> WhoisAnswer {
        if self.is_left_alone(&question.server) {
            let (at, error) = (self.clock.now(), HopError::BackingOff);
            let exchange = Exchange::failed(&question.server, None, &question.query, at, error.to_string());
            return WhoisAnswer { result: Err(error), exchange };
        }
        // Answers name servers too: those not asked lately are forgotten, so that the table stays small.
        if self.limiter.len() > SERVERS_KEPT {
            self.limiter.retain_recent();
        }
        self.limiter.until_key_ready(&question.server).await;
        let at = self.clock.now();
        let address = match self.resolve(&question.server).await {
            Ok(address) => address,
            Err(error) => {
                let exchange = Exchange::failed(&question.server, None, &question.query, at, error.to_string());
                return WhoisAnswer { result: Err(error), exchange };
            }
        };
        let spoken_to = Some(address.to_string());
        match self.hop(address, &question.query).await {
            Ok(raw) => {
                let exchange = Exchange::answered(&question.server, spoken_to, &question.query, at, &raw);
                WhoisAnswer { result: Ok(raw), exchange }
            }
            Err(error) => {
                let exchange = Exchange::failed(&question.server, spoken_to, &question.query, at, error.to_string());
                WhoisAnswer { result: Err(error), exchange }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;
    use crate::adapters::address;
    use crate::adapters::address::tests::{listen, scripted};
    use crate::adapters::clock::SystemClock;
    use crate::dcv::contact::SourceStatus;
    use crate::dcv::contact::whois::Walk;
    use crate::dcv::name::{Adn, SuffixList};

    /// A root server that names one server for every top level.
    async fn root(named: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut question = String::new();
                let _ = BufReader::new(&mut stream).read_line(&mut question).await;
                let answer = format!("refer: {named}\r\n\r\ndomain: {}\r\n", question.trim().to_uppercase());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        at
    }

    #[tokio::test]
    async fn a_referral_leads_to_no_address_that_is_not_public() {
        // Every name leads to a listener on this host, so that whoever follows is seen.
        let (inner, reached) = listen("127.0.0.1:0".parse().unwrap()).await;
        for (named, reason) in [
            ("localhost", "unreadable-answer"),
            ("127.0.0.1", "unreadable-answer"),
            ("[::1]", "unreadable-answer"),
            ("whois.inner.example", "server-address-forbidden"),
            ("localhost.localdomain", "server-address-forbidden"),
        ] {
            let connect_to = HashMap::from([("whois.iana.org".to_owned(), root(named).await)]);
            let clock = Arc::new(SystemClock);
            let mut whois = PortFortyThree::new(connect_to, Duration::from_secs(5), Duration::from_millis(10), 20, clock);
            whois.public_only = scripted(move || inner, address::is_public);
            let mut walk = Walk::new(&Adn::parse("example.jp", &SuffixList::BuiltIn).unwrap(), "whois.iana.org", None);
            while let Some(question) = walk.question() {
                let answer = whois.ask(&question).await;
                walk.answer(answer.result.as_deref().map_err(Clone::clone));
            }
            let outcome = walk.finish();
            assert_eq!((outcome.status, outcome.reasons), (SourceStatus::Failed, vec![reason.to_owned()]), "{named}");
            assert!(outcome.contacts.is_empty());
        }
        assert_eq!(reached.load(Ordering::SeqCst), 0);
    }
}
