//! Which addresses a referral or a webhook may reach.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Whether an address is a global unicast one: not private, loopback, link-local, shared, documentation, multicast or
/// reserved. Spec: IANA IPv4 and IPv6 Special-Purpose Address Registries.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| is_public_v6(v6), is_public_v4),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    !(v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        || v4.is_broadcast()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240)
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [first, second, ..] = v6.segments();
    // Global unicast is 2000::/3; 2001:db8::/32, 2002::/16 (6to4) and 3fff::/20 lie within and lead elsewhere.
    (first & 0xe000) == 0x2000
        && !(first == 0x2001 && (second == 0xdb8 || second < 0x200))
        && first != 0x2002
        && !(first == 0x3fff && second < 0x1000)
}

/// The address that a URL names as its host, where it is one.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(v4) => Some(v4.into()),
        Host::Ipv6(v6) => Some(v6.into()),
        Host::Domain(_) => None,
    }
}

/// Asks the system for a name's addresses, or a test for what it says instead.
type Lookup = Box<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Finds a name's addresses and refuses a name with any that is not public. Whoever connects does so to what was found here and asks no
/// second time, so that a name which says something else a moment later (DNS rebinding) leads nowhere else.
pub(super) struct PublicOnly {
    lookup: Lookup,
    may: fn(IpAddr) -> bool,
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAddress {
    #[error(transparent)]
    Unresolved(#[from] io::Error),
    #[error("the address is not a public one")]
    NotPublic,
}

impl Default for PublicOnly {
    fn default() -> Self {
        let lookup = |name: String, port| async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) }.boxed();
        Self { lookup: Box::new(lookup), may: is_public }
    }
}

impl PublicOnly {
    /// The addresses of a name, all of them public.
    pub(super) fn find(&self, name: &str, port: u16) -> impl Future<Output = Result<Vec<SocketAddr>, NoAddress>> + Send + use<> {
        let (lookup, may) = ((self.lookup)(name.to_owned(), port), self.may);
        async move {
            let found = lookup.await?;
            if found.iter().all(|found| may(found.ip())) { Ok(found) } else { Err(NoAddress::NotPublic) }
        }
    }
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.find(name.as_str(), 0);
        Box::pin(async move { Ok(Box::new(found.await?.into_iter()) as Addrs) })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::adapters::clock::SystemClock;
    use crate::adapters::rdap::HttpRdap;
    use crate::adapters::webhook::{Endpoint, StandardWebhooks};
    use crate::adapters::whois::PortFortyThree;
    use crate::dcv::contact::whois::Question;
    use crate::dcv::timestamp::Timestamp;
    use crate::ports::{Rdap as _, Webhook as _, Whois as _};

    /// Counts who connects, and answers each.
    pub(in crate::adapters) async fn listen(at: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind(at).await.unwrap();
        let (at, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 204 \r\nconnection: close\r\n\r\n").await;
            }
        });
        (at, count)
    }

    /// Leads every name to what `lookup` says at the time; what `may` takes counts as public.
    pub(in crate::adapters) fn scripted(
        lookup: impl Fn() -> SocketAddr + Send + Sync + 'static,
        may: fn(IpAddr) -> bool,
    ) -> PublicOnly {
        let lookup = move |_: String, _: u16| {
            let found = lookup();
            async move { Ok(vec![found]) }.boxed()
        };
        PublicOnly { lookup: Box::new(lookup), may }
    }

    /// DNS rebinding, with 127.0.0.2 in the place of a public address: a name leads there when it is looked at, and to 127.0.0.3 at
    /// every other question.
    struct Rebinding {
        port: u16,
        asked: Arc<AtomicUsize>,
        reached: Arc<AtomicUsize>,
        inner: Arc<AtomicUsize>,
    }

    impl Rebinding {
        async fn start() -> (Self, PublicOnly) {
            let (public, reached) = listen("127.0.0.2:0".parse().unwrap()).await;
            let port = public.port();
            let (_, inner) = listen(SocketAddr::from(([127, 0, 0, 3], port))).await;
            let asked = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&asked);
            let lookup = move || {
                let last = if counted.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { 2 } else { 3 };
                SocketAddr::from(([127, 0, 0, last], port))
            };
            let only = scripted(lookup, |ip| ip == Ipv4Addr::new(127, 0, 0, 2));
            (Self { port, asked, reached, inner }, only)
        }

        /// Has `ask` ask again and again: once each time, and nobody reaches what is not public.
        async fn holds(&self, ask: impl AsyncFn()) {
            for round in 1..=5 {
                ask().await;
                ask().await;
                let told = [&self.asked, &self.reached, &self.inner].map(|count| count.load(Ordering::SeqCst));
                assert_eq!(told, [2 * round, round, 0]);
            }
        }
    }

    #[tokio::test]
    async fn a_name_that_changes_leads_only_to_what_was_looked_at() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (timeout, clock) = (Duration::from_secs(5), Arc::new(SystemClock));

        let (world, only) = Rebinding::start().await;
        let url = format!("http://rebound.example:{}/", world.port).parse().unwrap();
        let endpoint = Endpoint { name: "hook".to_owned(), url, keys: vec![vec![1]], allow_private_address: false };
        let webhooks = StandardWebhooks::finding(vec![endpoint], timeout, only).unwrap();
        let at = Timestamp::from_unix_secs(1);
        world.holds(async || drop(webhooks.post("hook", "evt_1", at, "{}").await)).await;

        // Nobody answers in TLS there: whether it was reached is all that counts.
        let (world, only) = Rebinding::start().await;
        let rdap = HttpRdap::finding("", false, timeout, clock.clone(), only).unwrap();
        let url = format!("https://rebound.example:{}/domain/example.com", world.port);
        world.holds(async || drop(rdap.ask(&url).await)).await;

        let (world, only) = Rebinding::start().await;
        let mut whois = PortFortyThree::new(HashMap::new(), timeout, Duration::from_millis(10), 20, clock);
        whois.public_only = only;
        let question = Question { server: "rebound.example".to_owned(), query: "example.com".to_owned() };
        world.holds(async || drop(whois.ask(&question).await)).await;
    }

    #[test]
    fn only_global_unicast_is_public() {
        for public in ["8.8.8.8", "203.104.1.1", "2606:4700::1", "2001:4860:4860::8888"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "2001:db8::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }
}
