//! DNS by hickory-resolver, validating DNSSEC itself.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Resolver, TokioResolver};

use crate::dcv::contact::dns_caa::CaaRecord;
use crate::dcv::contact::dns_txt::DnsOutcome;
use crate::dcv::evidence::{Dnssec, Exchange};
use crate::ports::{Clock, Dns, DnsAnswer};

/// How long an answer without a TTL of its own (a failure) is believed: not at all.
const NO_TTL: Duration = Duration::ZERO;

/// The resolver cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum DnsSetupError {
    /// The trust anchor's file cannot be used.
    #[error("dns.trust_anchor_file: {0}")]
    TrustAnchor(String),
    /// The system's name servers cannot be read, or nothing fits together.
    #[error("dns.nameservers: {0}")]
    Resolver(#[from] NetError),
}

/// Look-ups at configured or the system's name servers.
pub struct HickoryDns {
    resolver: TokioResolver,
    validates: bool,
    servers: String,
    deadline: Duration,
    clock: Arc<dyn Clock>,
}

impl HickoryDns {
    /// Builds a resolver without a cache of answers: each question is asked.
    ///
    /// `anchor` is a file of DS or DNSKEY records; `None` is the IANA root's built-in anchor.
    ///
    /// # Errors
    /// [`DnsSetupError`] names the key at fault.
    pub fn new(
        nameservers: &[SocketAddr],
        validates: bool,
        anchor: Option<&Path>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DnsSetupError> {
        let mut builder = if nameservers.is_empty() {
            Resolver::builder_tokio()?
        } else {
            let servers = nameservers.iter().map(|server| name_server(*server)).collect();
            Resolver::builder_with_config(ResolverConfig::from_parts(None, Vec::new(), servers), TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        options.preserve_intermediates = true;
        options.case_randomization = true;
        options.attempts = 2;
        options.timeout = timeout / 3;
        if validates {
            let anchors = match anchor {
                None => TrustAnchors::default(),
                Some(path) => TrustAnchors::from_file(path)
                    .map_err(|error| DnsSetupError::TrustAnchor(format!("{}: {error}", path.display())))?,
            };
            builder = builder.with_trust_anchor(Arc::new(anchors));
        }
        let servers = if nameservers.is_empty() {
            "system".to_owned()
        } else {
            nameservers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        Ok(Self { resolver: builder.build()?, validates, servers, deadline: timeout, clock })
    }

    /// Asks for one type of record and follows aliases by name.
    ///
    /// The validator calls a good denial behind an alias bogus (hickory 0.26, every CAA question for a `www` that is a CNAME), so a
    /// bogus answer is asked again one alias at a time; the verdict is the weakest on the way.
    async fn ask<T: Send>(
        &self,
        question: &str,
        kind: RecordType,
        read: fn(&RData) -> Option<T>,
        say: fn(&T) -> String,
    ) -> DnsAnswer<T> {
        let at = self.clock.now();
        let asking = async {
            // A final dot keeps the search list out.
            let Ok(mut name) = Name::from_ascii(format!("{question}.")) else {
                return (DnsOutcome::Other("not a name that can be asked".to_owned()), Dnssec::Indeterminate, NO_TTL);
            };
            let mut weakest = Dnssec::Secure;
            for _ in 0..=CNAMES_MAX {
                let (outcome, dnssec, ttl) = match self.resolver.lookup(name.clone(), kind).await {
                    Ok(lookup) => read_records(&name, lookup.answers(), read),
                    Err(error) => read_error(&error),
                };
                if outcome.is_bogus()
                    && let Ok(lookup) = self.resolver.lookup(name.clone(), RecordType::CNAME).await
                    && let Some((target, verdict)) = alias(&name, lookup.answers())
                    && verdict != Dnssec::Bogus
                {
                    weakest = weakest.min(verdict);
                    name = target;
                    continue;
                }
                return (outcome, weakest.min(dnssec), ttl);
            }
            (DnsOutcome::Other("too many aliases".to_owned()), Dnssec::Indeterminate, NO_TTL)
        };
        let (outcome, dnssec, ttl) =
            tokio::time::timeout(self.deadline, asking).await.unwrap_or((DnsOutcome::Timeout, Dnssec::Indeterminate, NO_TTL));
        let said = match &outcome {
            DnsOutcome::Records(records) => records.iter().map(say).collect::<Vec<_>>().join("\n"),
            DnsOutcome::NoData => "NOERROR, no data".to_owned(),
            DnsOutcome::NxDomain => "NXDOMAIN".to_owned(),
            DnsOutcome::ServFail => "SERVFAIL".to_owned(),
            DnsOutcome::Timeout => "no answer in time".to_owned(),
            DnsOutcome::Bogus => "bogus".to_owned(),
            DnsOutcome::Other(words) => words.clone(),
        };
        let exchange = Exchange::answered(&self.servers, None, &format!("{question} {kind}"), at, said.as_bytes());
        DnsAnswer { outcome, dnssec: if self.validates { dnssec } else { Dnssec::Off }, ttl, exchange }
    }
}

#[async_trait]
impl Dns for HickoryDns {
    async fn txt(&self, question: &str) -> DnsAnswer<Vec<u8>> {
        let read = |data: &RData| match data {
            RData::TXT(txt) => Some(txt.txt_data.concat()),
            _ => None,
        };
        self.ask(question, RecordType::TXT, read, |text| format!("TXT {:?}", String::from_utf8_lossy(text))).await
    }

    async fn caa(&self, question: &str) -> DnsAnswer<CaaRecord> {
        let read = |data: &RData| match data {
            RData::CAA(caa) => Some(CaaRecord { critical: caa.issuer_critical, tag: caa.tag.clone(), value: caa.value.clone() }),
            _ => None,
        };
        let say = |caa: &CaaRecord| {
            format!("CAA {} {} {:?}", if caa.critical { 128 } else { 0 }, caa.tag, String::from_utf8_lossy(&caa.value))
        };
        self.ask(question, RecordType::CAA, read, say).await
    }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let ip: IpAddr = server.ip();
    let mut config = NameServerConfig::udp_and_tcp(ip);
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    config
}

/// Longest chain of CNAMEs followed.
const CNAMES_MAX: usize = 8;

/// Walks the answer by name from the question, through CNAMEs, to the records; the verdict is the weakest on the way.
fn read_records<T>(question: &Name, answers: &[Record], read: fn(&RData) -> Option<T>) -> (DnsOutcome<T>, Dnssec, Duration) {
    let mut name = question.clone();
    let (mut weakest, mut ttl) = (Dnssec::Secure, u32::MAX);
    for _ in 0..=CNAMES_MAX {
        let mut found = Vec::new();
        for record in answers.iter().filter(|record| record.name == name) {
            if let Some(data) = read(&record.data) {
                found.push(data);
                weakest = weakest.min(verdict(record.proof));
                ttl = ttl.min(record.ttl);
            }
        }
        if !found.is_empty() {
            return (DnsOutcome::Records(found), weakest, Duration::from_secs(u64::from(ttl)));
        }
        let Some((target, dnssec)) = alias(&name, answers) else { break };
        weakest = weakest.min(dnssec);
        ttl = answers.iter().filter(|record| record.name == name).map(|record| record.ttl).fold(ttl, u32::min);
        name = target;
    }
    (DnsOutcome::NoData, weakest, NO_TTL)
}

/// Where a name's CNAME leads, and how it is proven.
fn alias(name: &Name, answers: &[Record]) -> Option<(Name, Dnssec)> {
    answers.iter().find_map(|record| match &record.data {
        RData::CNAME(target) if record.name == *name => Some((target.0.clone(), verdict(record.proof))),
        _ => None,
    })
}

const fn verdict(proof: Proof) -> Dnssec {
    match proof {
        Proof::Secure => Dnssec::Secure,
        Proof::Insecure => Dnssec::Insecure,
        Proof::Bogus => Dnssec::Bogus,
        Proof::Indeterminate => Dnssec::Indeterminate,
    }
}

fn read_error<T>(error: &NetError) -> (DnsOutcome<T>, Dnssec, Duration) {
    match error {
        NetError::Timeout => (DnsOutcome::Timeout, Dnssec::Indeterminate, NO_TTL),
        NetError::Dns(DnsError::DnssecBogus) => (DnsOutcome::Bogus, Dnssec::Bogus, NO_TTL),
        NetError::Dns(DnsError::NoRecordsFound(none)) => denied(none),
        NetError::Dns(DnsError::Nsec { response, proof, .. }) => {
            let outcome =
                if response.metadata.response_code == ResponseCode::NXDomain { DnsOutcome::NxDomain } else { DnsOutcome::NoData };
            match verdict(*proof) {
                Dnssec::Bogus => (DnsOutcome::Bogus, Dnssec::Bogus, NO_TTL),
                dnssec => (outcome, dnssec, NO_TTL),
            }
        }
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => (DnsOutcome::ServFail, Dnssec::Indeterminate, NO_TTL),
        NetError::Dns(DnsError::ResponseCode(code)) => (DnsOutcome::Other(format!("{code}")), Dnssec::Indeterminate, NO_TTL),
        other => (DnsOutcome::Other(other.to_string()), Dnssec::Indeterminate, NO_TTL),
    }
}

/// A denial: the verdict is the weakest of the records that deny.
fn denied<T>(none: &NoRecords) -> (DnsOutcome<T>, Dnssec, Duration) {
    let ttl = Duration::from_secs(u64::from(none.negative_ttl.unwrap_or(0)));
    let dnssec = none
        .authorities
        .iter()
        .flat_map(|records| records.iter())
        .map(|record| verdict(record.proof))
        .min()
        .unwrap_or(Dnssec::Indeterminate);
    match none.response_code {
        ResponseCode::NXDomain => (DnsOutcome::NxDomain, dnssec, ttl),
        ResponseCode::NoError => (DnsOutcome::NoData, dnssec, ttl),
        ResponseCode::ServFail => (DnsOutcome::ServFail, dnssec, NO_TTL),
        code => (DnsOutcome::Other(format!("{code}")), dnssec, NO_TTL),
    }
}
