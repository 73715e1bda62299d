//! Who calls: the peer, or whom a trusted proxy says it speaks for.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use ipnet::IpNet;

use super::HttpState;
use crate::app::answer::Caller;

/// Longest User-Agent kept, in characters.
const USER_AGENT_MAX_CHARS: usize = 300;

/// The caller of a request.
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) user_agent: String,
}

impl Peer {
    /// What a limit on callers is keyed by: an IPv4 address, or an IPv6 /64.
    pub(super) fn limited_as(&self) -> IpAddr {
        neighbourhood(self.address)
    }

    /// The caller as evidence.
    pub(super) fn as_evidence(&self, read_many: bool) -> Caller {
        Caller { peer: self.address.to_string(), user_agent: self.user_agent.clone(), read_many }
    }
}

/// Whom an address may stand for: an IPv4 address itself, or an IPv6 /64, of which one host has every address.
pub(super) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// How many different links make a caller one that reads everybody's mail.
const MANY_LINKS: usize = 24;

/// How long what a caller read is remembered.
const READ_LATELY: Duration = Duration::from_secs(3600);

/// Callers remembered at most.
const READERS_MAX: usize = 10_000;

/// Which links callers opened lately, by address: who opens dozens is no domain owner. An agent's name says nothing, since the caller
/// chooses it.
#[derive(Default)]
pub(super) struct Readers(Mutex<HashMap<IpAddr, Read>>);

struct Read {
    since: Instant,
    links: HashSet<[u8; 32]>,
}

impl Readers {
    /// Notes that a caller opened a genuine link, given by a hash.
    pub(super) fn note(&self, peer: &Peer, link: [u8; 32]) {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() >= READERS_MAX {
            readers.retain(|_, read| read.since.elapsed() < READ_LATELY);
            if readers.len() >= READERS_MAX {
                readers.clear();
            }
        }
        let read = readers.entry(peer.limited_as()).or_insert_with(|| Read { since: Instant::now(), links: HashSet::new() });
        if read.since.elapsed() >= READ_LATELY {
            *read = Read { since: Instant::now(), links: HashSet::new() };
        }
        if read.links.len() < MANY_LINKS {
            read.links.insert(link);
        }
    }

    /// Whether a caller opened dozens lately.
    pub(super) fn read_many(&self, peer: &Peer) -> bool {
        let readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = readers.get(&peer.limited_as());
        read.is_some_and(|read| read.links.len() >= MANY_LINKS && read.since.elapsed() < READ_LATELY)
    }
}

impl FromRequestParts<HttpState> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Infallible> {
        let peer =
            parts.extensions.get::<ConnectInfo<SocketAddr>>().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |info| info.0.ip());
        let user_agent =
            parts.headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default();
        Ok(Self {
            address: forwarded_for(peer, &parts.headers, &state.settings.trusted_proxies),
            user_agent: user_agent.chars().filter(|c| !c.is_control()).take(USER_AGENT_MAX_CHARS).collect(),
        })
    }
}

/// Walks X-Forwarded-For from the right as long as the speaker is a trusted proxy.
fn forwarded_for(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address.to_canonical()));
    let said: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let mut address = peer.to_canonical();
    for hop in said.iter().rev() {
        if !is_trusted(address) {
            break;
        }
        let Ok(next) = hop.trim().parse::<IpAddr>() else { break };
        address = next.to_canonical();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "198.51.100.7, 203.0.113.9, 10.1.1.1".parse().unwrap());
        let from = |peer: &str| forwarded_for(peer.parse().unwrap(), &headers, &trusted).to_string();
        assert_eq!(from("192.0.2.1"), "192.0.2.1");
        assert_eq!(from("10.0.0.1"), "203.0.113.9");
    }
}
