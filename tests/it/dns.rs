//! The DNS adapter against a real server with signed zones: secure, insecure, bogus and failed are different results.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use dcvd::adapters::clock::SystemClock;
use dcvd::adapters::dns::HickoryDns;
use dcvd::dcv::contact::dns_txt::DnsOutcome;
use dcvd::dcv::evidence::Dnssec;
use dcvd::demo::dns::{BOGUS_NAME, DnsServer, INSECURE_NAME, SILENT_NAME};
use dcvd::ports::{Dns as _, DnsAnswer};

struct Setup {
    _server: DnsServer,
    dns: HickoryDns,
}

impl Setup {
    async fn new(validates: bool) -> Self {
        let server = DnsServer::start().await.unwrap();
        let anchor = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(anchor.path(), server.trust_anchor()).unwrap();
        let dns =
            HickoryDns::new(&[server.address], validates, Some(anchor.path()), Duration::from_secs(2), Arc::new(SystemClock))
                .unwrap();
        Self { _server: server, dns }
    }

    async fn txt(&self, name: &str) -> DnsAnswer<Vec<u8>> {
        self.dns.txt(&format!("_validation-contactemail.{name}")).await
    }
}

fn records(values: &[&str]) -> DnsOutcome<Vec<u8>> {
    DnsOutcome::Records(values.iter().map(|value| value.as_bytes().to_vec()).collect())
}

#[tokio::test]
async fn a_signed_answer_is_secure() {
    let setup = Setup::new(true).await;
    let answer = setup.txt("sample-shop.co.jp").await;
    assert_eq!((answer.outcome, answer.dnssec), (records(&["dns-owner@sample-shop.co.jp"]), Dnssec::Secure));
    assert_eq!(answer.ttl, Duration::from_secs(60));
    assert!(answer.exchange.answer.contains("dns-owner"));
}

#[tokio::test]
async fn an_unsigned_zones_answer_is_insecure() {
    let answer = Setup::new(true).await.txt(INSECURE_NAME).await;
    assert_eq!((answer.outcome, answer.dnssec), (records(&["owner@insecure-shop.jp"]), Dnssec::Insecure));
}

#[tokio::test]
async fn an_answer_signed_by_a_stranger_is_bogus_and_has_no_records() {
    let answer = Setup::new(true).await.txt(BOGUS_NAME).await;
    assert_eq!((answer.outcome, answer.dnssec), (DnsOutcome::Bogus, Dnssec::Bogus));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_proven_not_to() {
    let answer = Setup::new(true).await.txt("www.sample-shop.co.jp").await;
    assert_eq!((answer.outcome, answer.dnssec), (DnsOutcome::NxDomain, Dnssec::Secure));
}

#[tokio::test]
async fn a_name_without_such_a_record_is_no_data() {
    let setup = Setup::new(true).await;
    let answer = setup.dns.txt("sample-shop.co.jp").await;
    assert_eq!((answer.outcome, answer.dnssec), (DnsOutcome::NoData, Dnssec::Secure));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_timeout() {
    let answer = Setup::new(true).await.txt(SILENT_NAME).await;
    assert_eq!(answer.outcome, DnsOutcome::Timeout);
    let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
    let dns = HickoryDns::new(&[deaf.local_addr().unwrap()], false, None, Duration::from_secs(1), Arc::new(SystemClock)).unwrap();
    assert_eq!(dns.txt("_validation-contactemail.example.jp").await.outcome, DnsOutcome::Timeout);
}

#[tokio::test]
async fn with_validation_off_nothing_is_called_secure() {
    let setup = Setup::new(false).await;
    for name in ["sample-shop.co.jp", BOGUS_NAME] {
        let answer = setup.txt(name).await;
        assert_eq!(answer.dnssec, Dnssec::Off);
        assert!(matches!(answer.outcome, DnsOutcome::Records(_)));
    }
}

#[tokio::test]
async fn caa_records_are_read_as_they_stand() {
    let setup = Setup::new(true).await;
    let answer = setup.dns.caa("sample-shop.com").await;
    let DnsOutcome::Records(records) = answer.outcome else { panic!("{:?}", answer.outcome) };
    assert_eq!((records[0].tag.as_str(), records[0].value.as_slice()), ("contactemail", &b"caa-owner@sample-shop.com"[..]));
    assert_eq!(answer.dnssec, Dnssec::Secure);
    assert_eq!(setup.dns.caa("sample-shop.jp").await.outcome, DnsOutcome::NoData);
}

#[tokio::test]
async fn a_bad_trust_anchor_is_told_with_its_key() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "not an anchor").unwrap();
    let error = HickoryDns::new(
        &["127.0.0.1:53".parse().unwrap()],
        true,
        Some(file.path()),
        Duration::from_secs(1),
        Arc::new(SystemClock),
    );
    assert!(error.err().unwrap().to_string().starts_with("dns.trust_anchor_file"));
}
