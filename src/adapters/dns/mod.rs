//! DNS by hickory-resolver, validating DNSSEC itself, with a second validator where it is in doubt.

pub mod anchor;
mod second_opinion;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::DNSSECRData;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Resolver, TokioResolver, system_conf};
use tokio::time::Instant;

use self::anchor::{Anchor, AnchorError};
use self::second_opinion::SecondOpinion;
use crate::dcv::contact::dns_caa::CaaRecord;
use crate::dcv::contact::dns_txt::DnsOutcome;
use crate::dcv::evidence::{Dnssec, DnssecValidation, Exchange};
use crate::ports::{Clock, Dns, DnsAnswer};

/// How long an answer without a TTL of its own (a failure) is believed: not at all.
const NO_TTL: Duration = Duration::ZERO;

/// Questions after which the resolver is made anew: its cache of verdicts cannot be sized and would grow for ever.
const QUESTIONS_PER_RESOLVER: u32 = 10_000;

/// The resolver cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum DnsSetupError {
    /// The trust anchor's file cannot be used.
    #[error("dns.trust_anchor_file: {0}")]
    TrustAnchor(#[from] AnchorError),
    /// The trust anchor cannot be used by the second validator.
    #[error("dns.trust_anchor_file: {0}")]
    SecondValidator(String),
    /// The system's name servers cannot be read, or nothing fits together.
    #[error("dns.nameservers: {0}")]
    Resolver(#[from] NetError),
}

/// Look-ups at configured or the system's name servers.
pub struct HickoryDns {
    config: ResolverConfig,
    /// `None`: answers are not validated.
    validation: Option<Validation>,
    current: ArcSwapOption<Numbered>,
    servers: String,
    deadline: Duration,
    clock: Arc<dyn Clock>,
}

struct Validation {
    anchor: Anchor,
    second: SecondOpinion,
}

/// A resolver that counts what it was asked.
struct Numbered {
    resolver: TokioResolver,
    asked: AtomicU32,
}

/// One answer, read: how it ended, how it is proven, and how long it may be believed.
type Read<T> = (DnsOutcome<T>, Dnssec, Duration);

/// What following a question to its end brought.
struct Followed<T> {
    answer: Read<T>,
    /// The records that came, for evidence.
    said: Vec<String>,
    overruled: Option<Dnssec>,
}

impl HickoryDns {
    /// Prepares look-ups without a cache of answers: each question is asked. `anchor` is what validation begins from; `None`
    /// switches it off. Must be called within a runtime.
    ///
    /// # Errors
    /// [`DnsSetupError`] names the key at fault.
    pub fn new(
        nameservers: &[SocketAddr],
        anchor: Option<Anchor>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DnsSetupError> {
        let config = if nameservers.is_empty() {
            let (config, _) = system_conf::read_system_conf()?;
            // A search list has no place here: every question is a whole name.
            ResolverConfig::from_parts(None, Vec::new(), config.name_servers().to_vec())
        } else {
            ResolverConfig::from_parts(None, Vec::new(), nameservers.iter().map(|server| name_server(*server)).collect())
        };
        let addresses: Vec<SocketAddr> = config
            .name_servers()
            .iter()
            .map(|server| SocketAddr::new(server.ip, server.connections.first().map_or(53, |connection| connection.port)))
            .collect();
        let validation = match anchor {
            None => None,
            Some(anchor) => {
                let second = SecondOpinion::new(anchor.text(), &addresses, timeout).map_err(DnsSetupError::SecondValidator)?;
                Some(Validation { anchor, second })
            }
        };
        let servers = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        Ok(Self { config, validation, current: ArcSwapOption::empty(), servers, deadline: timeout, clock })
    }

    /// The resolver to ask, made when there is none or the last one has been asked enough.
    async fn resolver(&self) -> Result<Arc<Numbered>, NetError> {
        if let Some(current) = self.current.load_full()
            && current.asked.fetch_add(1, Ordering::Relaxed) < QUESTIONS_PER_RESOLVER
        {
            return Ok(current);
        }
        let mut builder = self.builder();
        if let Some(validation) = &self.validation {
            let mut fetched = Vec::new();
            for owner in validation.anchor.owners_of_digests() {
                // Not validated: a key counts only where the anchor's digest covers it.
                let lookup = self.builder().build()?.lookup(owner.clone(), RecordType::DNSKEY).await?;
                let keys = lookup.answers().iter().filter_map(|record| match &record.data {
                    RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some((owner.clone(), key.clone())),
                    _ => None,
                });
                let covered: Vec<_> = keys.filter(|(owner, key)| validation.anchor.covers(owner, key)).collect();
                if covered.is_empty() {
                    return Err(NetError::from(format!(
                        "no key of {owner} fits a DS record of the trust anchor: its tag, algorithm and digest"
                    )));
                }
                fetched.extend(covered);
            }
            builder = builder.with_trust_anchor(Arc::new(validation.anchor.trusted(&fetched)));
        }
        let made = Arc::new(Numbered { resolver: builder.build()?, asked: AtomicU32::new(1) });
        self.current.store(Some(Arc::clone(&made)));
        Ok(made)
    }

    fn builder(&self) -> hickory_resolver::ResolverBuilder<TokioRuntimeProvider> {
        let mut builder = Resolver::builder_with_config(self.config.clone(), TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        options.preserve_intermediates = true;
        options.case_randomization = true;
        options.attempts = 2;
        options.timeout = self.deadline / 3;
        builder
    }

    /// Asks for one type of record.
    async fn ask<T: Send>(&self, question: &str, kind: RecordType, read: fn(&RData) -> Option<T>) -> DnsAnswer<T> {
        let at = self.clock.now();
        let until = Instant::now() + self.deadline;
        let nothing = |outcome| Followed { answer: (outcome, Dnssec::Indeterminate, NO_TTL), said: Vec::new(), overruled: None };
        // A final dot keeps the search list out.
        let followed = match Name::from_ascii(format!("{question}.")) {
            Ok(name) => tokio::time::timeout_at(until, self.follow(name, kind, read, until))
                .await
                .unwrap_or_else(|_| nothing(DnsOutcome::Timeout)),
            Err(_) => nothing(DnsOutcome::Other("not a name that can be asked".to_owned())),
        };
        let Followed { answer: (outcome, dnssec, ttl), mut said, overruled } = followed;
        let dnssec = if self.validation.is_some() { dnssec } else { Dnssec::Off };
        let error = match &outcome {
            DnsOutcome::Records(_) => None,
            DnsOutcome::NoData => {
                said.push("; NOERROR, no data".to_owned());
                None
            }
            DnsOutcome::NxDomain => {
                said.push("; NXDOMAIN".to_owned());
                None
            }
            DnsOutcome::ServFail => Some("SERVFAIL".to_owned()),
            DnsOutcome::Timeout => Some("no answer in time".to_owned()),
            DnsOutcome::Bogus => Some("DNSSEC proves the answer false".to_owned()),
            DnsOutcome::Other(words) => Some(words.clone()),
        };
        let query = format!("{question} {kind}");
        let tags = self.validation.as_ref().map_or_else(Vec::new, |validation| validation.anchor.key_tags().to_vec());
        let exchange = Exchange {
            error,
            validation: Some(DnssecValidation { verdict: dnssec, anchor_key_tags: tags, overruled }),
            ..Exchange::answered(&self.servers, None, &query, at, said.join("\n").as_bytes())
        };
        DnsAnswer { outcome, dnssec, ttl, exchange }
    }

    /// Asks for one type of record and follows aliases hop by hop; the verdict is the weakest on the way.
    ///
    /// hickory 0.26 judges denials wrongly both ways: a good one behind an alias as bogus (every CAA question for a `www` that is
    /// a CNAME), one behind an unsigned alias as secure, and one whose authority records belong to any unsigned zone as insecure
    /// without looking for a proof. So no denial counts before the name was asked for an alias of its own, and none counts as
    /// less than secure on hickory's word alone. What is in doubt goes to the second validator; what that cannot prove is bogus.
    async fn follow<T: Send>(
        &self,
        mut name: Name,
        kind: RecordType,
        read: fn(&RData) -> Option<T>,
        until: Instant,
    ) -> Followed<T> {
        let (mut weakest, mut said) = (Dnssec::Secure, Vec::new());
        for _ in 0..=CNAMES_MAX {
            let resolver = match self.resolver().await {
                Ok(resolver) => resolver,
                Err(error) => return Followed { answer: not_asked(&error), said, overruled: None },
            };
            let looked = resolver.resolver.lookup(name.clone(), kind).await;
            let mut answer = match &looked {
                Ok(lookup) => read_records(&name, lookup.answers(), read),
                Err(error) => read_error(error),
            };
            said.extend(told(&looked));
            let leads_away = matches!(answer.0, DnsOutcome::NoData) && is_referral(authorities(&looked));
            let Some(validation) = &self.validation else {
                let answer = if leads_away { referral() } else { answer };
                return Followed { answer, said, overruled: None };
            };
            let mut doubtful = looked.as_ref().is_ok_and(|lookup| is_expanded(&name, kind, lookup.answers()));
            // An answer without what was asked for is no denial: nothing in it was proven absent.
            if looked.is_ok() && matches!(answer.0, DnsOutcome::NoData) {
                answer = bogus();
            }
            if matches!(answer.0, DnsOutcome::NoData | DnsOutcome::NxDomain | DnsOutcome::Bogus) {
                let looked = resolver.resolver.lookup(name.clone(), RecordType::CNAME).await;
                match looked.as_ref().map(|lookup| alias(&name, lookup.answers())) {
                    Ok(Some((target, verdict))) if verdict != Dnssec::Bogus => {
                        said.extend(told(&looked));
                        weakest = weakest.min(verdict);
                        name = target;
                        continue;
                    }
                    Ok(_) => answer = bogus(),
                    Err(error) => match read_error::<T>(error) {
                        (DnsOutcome::NoData | DnsOutcome::NxDomain, verdict, _) => answer.1 = answer.1.min(verdict),
                        failed => answer = failed,
                    },
                }
                doubtful |= match answer.0 {
                    DnsOutcome::Bogus => true,
                    DnsOutcome::NoData | DnsOutcome::NxDomain => leads_away || answer.1 != Dnssec::Secure,
                    _ => false,
                };
            }
            if !doubtful {
                answer.1 = answer.1.min(weakest);
                return Followed { answer, said, overruled: None };
            }
            let first = answer.1;
            // A little before the end, so that the verdict of the first is still told where the second does not answer.
            let opinion =
                tokio::time::timeout_at(until - self.deadline / 20, validation.second.ask(&name.to_ascii(), kind.into())).await;
            let Ok(Some(opinion)) = opinion else { return Followed { answer: bogus(), said, overruled: None } };
            let (outcome, _, ttl) = read_message(&name, &opinion.message, read);
            said.extend(
                opinion
                    .message
                    .answers
                    .iter()
                    .chain(&opinion.message.authorities)
                    .map(|record| format!("{record} ; second validator")),
            );
            let overruled = (first != opinion.verdict).then_some(first);
            return Followed { answer: (outcome, weakest.min(opinion.verdict), ttl), said, overruled };
        }
        let answer = (DnsOutcome::Other(TOO_MANY_ALIASES.to_owned()), Dnssec::Indeterminate, NO_TTL);
        Followed { answer, said, overruled: None }
    }
}

/// What a chain of more than [`CNAMES_MAX`] aliases is called.
const TOO_MANY_ALIASES: &str = "too many aliases";

/// Whether an answer was made from a wildcard by its signature's count of labels: that no nearer name exists takes a proof.
/// Spec: RFC 4035 §5.3.4.
fn is_expanded(name: &Name, kind: RecordType, answers: &[Record]) -> bool {
    answers.iter().any(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) if record.name == *name => {
            let covered = signature.input().type_covered;
            (covered == kind || covered == RecordType::CNAME) && signature.input().num_labels < name.num_labels()
        }
        _ => false,
    })
}

/// The resolver itself could not be made ready: no answer to the question asked, whatever its own questions brought.
fn not_asked<T>(error: &NetError) -> Read<T> {
    match error {
        NetError::Timeout => (DnsOutcome::Timeout, Dnssec::Indeterminate, NO_TTL),
        other => {
            (DnsOutcome::Other(format!("the trust anchor's key could not be fetched: {other}")), Dnssec::Indeterminate, NO_TTL)
        }
    }
}

/// The records of an answer as evidence, signatures and denials among them, each with how it is proven.
fn told(looked: &Result<Lookup, NetError>) -> Vec<String> {
    let line = |record: &Record| format!("{record} ; {}", verdict(record.proof).as_str());
    match looked {
        Ok(lookup) => lookup.answers().iter().map(line).collect(),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
            none.authorities.iter().flat_map(|records| records.iter()).map(line).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// The authority section of an answer that has no records.
fn authorities(looked: &Result<Lookup, NetError>) -> &[Record] {
    match looked {
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => none.authorities.as_deref().unwrap_or_default(),
        Err(NetError::Dns(DnsError::Nsec { response, .. })) => &response.authorities,
        _ => &[],
    }
}

/// Whether an answer without records names other servers instead of denying anything: a denial has an SOA record, or nothing.
/// Spec: RFC 2308 §2.2.
fn is_referral(authorities: &[Record]) -> bool {
    let holds = |kind: RecordType| authorities.iter().any(|record| record.record_type() == kind);
    holds(RecordType::NS) && !holds(RecordType::SOA)
}

/// What such an answer is: a server that does not look further itself is of no use here.
fn referral<T>() -> Read<T> {
    (DnsOutcome::Other("the server refers to others instead of answering".to_owned()), Dnssec::Indeterminate, NO_TTL)
}

const fn bogus<T>() -> Read<T> {
    (DnsOutcome::Bogus, Dnssec::Bogus, NO_TTL)
}

/// Reads a message that the second validator judged.
fn read_message<T>(question: &Name, message: &hickory_resolver::proto::op::Message, read: fn(&RData) -> Option<T>) -> Read<T> {
    let answer = read_records(question, &message.answers, read);
    match (answer.0, message.metadata.response_code) {
        (DnsOutcome::Records(records), _) => (DnsOutcome::Records(records), answer.1, answer.2),
        (_, ResponseCode::NoError) if message.answers.is_empty() && is_referral(&message.authorities) => referral(),
        (_, ResponseCode::NoError) => (DnsOutcome::NoData, answer.1, NO_TTL),
        (_, ResponseCode::NXDomain) => (DnsOutcome::NxDomain, answer.1, NO_TTL),
        (_, ResponseCode::ServFail) => (DnsOutcome::ServFail, answer.1, NO_TTL),
        (_, code) => (DnsOutcome::Other(format!("{code}")), answer.1, NO_TTL),
    }
}

#[async_trait]
impl Dns for HickoryDns {
    async fn txt(&self, question: &str) -> DnsAnswer<Vec<u8>> {
        let read = |data: &RData| match data {
            RData::TXT(txt) => Some(txt.txt_data.concat()),
            _ => None,
        };
        self.ask(question, RecordType::TXT, read).await
    }

    async fn caa(&self, question: &str) -> DnsAnswer<CaaRecord> {
        let read = |data: &RData| match data {
            RData::CAA(caa) => Some(CaaRecord { critical: caa.issuer_critical, tag: caa.tag.clone(), value: caa.value.clone() }),
            _ => None,
        };
        self.ask(question, RecordType::CAA, read).await
    }

    async fn mx(&self, question: &str) -> DnsOutcome<String> {
        let read = |data: &RData| match data {
            RData::MX(mx) => Some(mx.exchange.to_ascii()),
            _ => None,
        };
        self.ask(question, RecordType::MX, read).await.outcome
    }

    async fn addresses(&self, question: &str) -> DnsOutcome<()> {
        let v4 = self.ask(question, RecordType::A, |data| matches!(data, RData::A(_)).then_some(())).await.outcome;
        if v4 != DnsOutcome::NoData {
            return v4;
        }
        self.ask(question, RecordType::AAAA, |data| matches!(data, RData::AAAA(_)).then_some(())).await.outcome
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
fn read_records<T>(question: &Name, answers: &[Record], read: fn(&RData) -> Option<T>) -> Read<T> {
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

fn read_error<T>(error: &NetError) -> Read<T> {
    match error {
        NetError::Timeout => (DnsOutcome::Timeout, Dnssec::Indeterminate, NO_TTL),
        NetError::Dns(DnsError::DnssecBogus) => bogus(),
        NetError::Dns(DnsError::NoRecordsFound(none)) => denied(none),
        NetError::Dns(DnsError::Nsec { response, proof, .. }) => {
            let outcome =
                if response.metadata.response_code == ResponseCode::NXDomain { DnsOutcome::NxDomain } else { DnsOutcome::NoData };
            match verdict(*proof) {
                Dnssec::Bogus => bogus(),
                dnssec => (outcome, dnssec, NO_TTL),
            }
        }
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => (DnsOutcome::ServFail, Dnssec::Indeterminate, NO_TTL),
        NetError::Dns(DnsError::ResponseCode(code)) => (DnsOutcome::Other(format!("{code}")), Dnssec::Indeterminate, NO_TTL),
        other => (DnsOutcome::Other(other.to_string()), Dnssec::Indeterminate, NO_TTL),
    }
}

/// A denial: the verdict is the weakest of the records that deny.
fn denied<T>(none: &NoRecords) -> Read<T> {
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
