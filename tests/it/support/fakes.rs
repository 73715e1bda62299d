//! Time that stands still, chance that repeats, and a DNS and WHOIS world written down: an unlisted name does not exist, an unlisted server does not answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dcvd::dcv::contact::dns_caa::CaaRecord;
use dcvd::dcv::contact::dns_txt::DnsOutcome;
use dcvd::dcv::contact::whois::{HopError, Question};
use dcvd::dcv::evidence::{Dnssec, Exchange};
use dcvd::dcv::timestamp::Timestamp;
use dcvd::ports::{Clock, Dns, DnsAnswer, Entropy, Whois, WhoisAnswer};
use sha2::{Digest, Sha256};

/// 2026-11-22T00:00:00Z, when every test begins.
pub const START: Timestamp = Timestamp::from_unix_secs(1_795_305_600);

/// A clock that moves when told to.
pub struct FakeClock(AtomicI64);

impl FakeClock {
    pub fn new() -> Self {
        Self(AtomicI64::new(START.unix_micros()))
    }

    pub fn go_back(&self, by: Duration) {
        self.0.fetch_sub(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }

    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Random bytes that are the same in every run.
#[derive(Default)]
pub struct SeededEntropy(AtomicU64);

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = Sha256::digest(self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

type Answer = (DnsOutcome<Vec<u8>>, Dnssec, Duration);

/// A zone as a map; every question is remembered.
#[derive(Default)]
pub struct FakeDns {
    answers: Mutex<HashMap<String, Answer>>,
    caa: Mutex<HashMap<String, Vec<CaaRecord>>>,
    mx: Mutex<HashMap<String, DnsOutcome<String>>>,
    asked: Mutex<Vec<String>>,
}

impl FakeDns {
    pub fn caa_is(&self, name: &str, tag: &str, value: &str) {
        let record = CaaRecord { critical: false, tag: tag.to_owned(), value: value.as_bytes().to_vec() };
        self.caa.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default().push(record);
    }

    pub fn mx_is(&self, domain: &str, hosts: &[&str]) {
        let records = DnsOutcome::Records(hosts.iter().map(|host| (*host).to_owned()).collect());
        self.mx.lock().unwrap_or_else(PoisonError::into_inner).insert(domain.to_owned(), records);
    }

    pub fn txt_is(&self, name: &str, values: &[&str]) {
        let records = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        self.outcome_is(name, DnsOutcome::Records(records), Dnssec::Secure, Duration::from_secs(60));
    }

    pub fn outcome_is(&self, name: &str, outcome: DnsOutcome<Vec<u8>>, dnssec: Dnssec, ttl: Duration) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(format!("_validation-contactemail.{name}"), (outcome, dnssec, ttl));
    }

    pub fn asked(&self) -> usize {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[async_trait]
impl Dns for FakeDns {
    async fn mx(&self, name: &str) -> DnsOutcome<String> {
        self.mx.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or(DnsOutcome::NoData)
    }

    async fn addresses(&self, _name: &str) -> DnsOutcome<()> {
        DnsOutcome::NoData
    }

    async fn caa(&self, name: &str) -> DnsAnswer<CaaRecord> {
        let found = self.caa.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let outcome = found.map_or(DnsOutcome::NoData, DnsOutcome::Records);
        let exchange = Exchange::answered("fake", None, name, START, format!("{outcome:?}").as_bytes());
        DnsAnswer { outcome, dnssec: Dnssec::Secure, ttl: Duration::from_secs(60), exchange }
    }

    async fn txt(&self, name: &str) -> DnsAnswer<Vec<u8>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, dnssec, ttl) =
            answers.get(name).cloned().unwrap_or((DnsOutcome::NxDomain, Dnssec::Secure, Duration::from_secs(60)));
        DnsAnswer {
            exchange: Exchange::answered("fake", None, name, START, format!("{outcome:?}").as_bytes()),
            outcome,
            dnssec,
            ttl,
        }
    }
}

/// WHOIS answers by server and question.
#[derive(Default)]
pub struct FakeWhois {
    answers: Mutex<HashMap<(String, String), Result<String, HopError>>>,
    asked: Mutex<Vec<Question>>,
    refused: Mutex<Vec<String>>,
    hanging: Mutex<Vec<String>>,
}

impl FakeWhois {
    pub fn answers(&self, server: &str, query: &str, answer: &str) {
        self.set(server, query, Ok(answer.to_owned()));
    }

    pub fn fails(&self, server: &str, query: &str, error: HopError) {
        self.set(server, query, Err(error));
    }

    /// A server that takes questions and never answers.
    pub fn hangs(&self, server: &str) {
        self.hanging.lock().unwrap_or_else(PoisonError::into_inner).push(server.to_owned());
    }

    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, server: &str, query: &str, answer: Result<String, HopError>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert((server.to_owned(), query.to_owned()), answer);
    }
}

#[async_trait]
impl Whois for FakeWhois {
    fn back_off(&self, server: &str) -> Duration {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).push(server.to_owned());
        Duration::from_secs(60)
    }

    async fn ask(&self, question: &Question) -> WhoisAnswer {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(question.clone());
        let hangs = self.hanging.lock().unwrap_or_else(PoisonError::into_inner).contains(&question.server);
        if hangs {
            std::future::pending::<()>().await;
        }
        let key = (question.server.clone(), question.query.clone());
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let result = answers.get(&key).cloned().unwrap_or_else(|| Err(HopError::Broken(format!("nobody answers {key:?}"))));
        let raw = result.as_deref().unwrap_or_default().as_bytes();
        let exchange = Exchange::answered(&question.server, None, &question.query, START, raw);
        WhoisAnswer { result: result.map(String::into_bytes), exchange }
    }
}
