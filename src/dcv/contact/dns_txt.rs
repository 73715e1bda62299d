//! The DNS TXT record e-mail contact. Spec: BR v2.2.6 §3.2.2.4.14, A.2.1.

use super::{Contact, SourceStatus};
use crate::dcv::email::{EmailAddress, EmailError};
use crate::dcv::evidence::Dnssec;
use crate::dcv::name::Adn;

/// The label under which the record stands. Spec: BR v2.2.6 A.2.1.
pub const LABEL: &str = "_validation-contactemail";

/// Most addresses read from one record set; a set with more is refused whole.
pub const CONTACTS_MAX: usize = 32;

/// How a DNS question ended; five ways of no answer are five values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DnsOutcome<T> {
    /// The record set.
    Records(Vec<T>),
    /// The name exists without such a record. Spec: RFC 2308 §2.2.
    NoData,
    /// The name does not exist. Spec: RFC 2308 §2.1.
    NxDomain,
    /// The server failed, or a validating upstream hides a bogus answer behind it.
    ServFail,
    /// No answer in time.
    Timeout,
    /// DNSSEC validation proved the answer false.
    Bogus,
    /// Another response code or a transport error, in words.
    Other(String),
}

impl<T> DnsOutcome<T> {
    /// Reads each record as something else.
    #[must_use]
    pub fn map<U>(self, read: impl FnMut(T) -> U) -> DnsOutcome<U> {
        match self {
            Self::Records(records) => DnsOutcome::Records(records.into_iter().map(read).collect()),
            Self::NoData => DnsOutcome::NoData,
            Self::NxDomain => DnsOutcome::NxDomain,
            Self::ServFail => DnsOutcome::ServFail,
            Self::Timeout => DnsOutcome::Timeout,
            Self::Bogus => DnsOutcome::Bogus,
            Self::Other(words) => DnsOutcome::Other(words),
        }
    }

    /// Whether validation proved the answer false.
    #[must_use]
    pub const fn is_bogus(&self) -> bool {
        matches!(self, Self::Bogus)
    }
}

/// Why an outcome is no answer, as a stable code; records and denials are only failures when they are bogus.
pub(super) const fn failure<T>(outcome: &DnsOutcome<T>) -> &'static str {
    match outcome {
        DnsOutcome::ServFail => "servfail",
        DnsOutcome::Timeout => "timeout",
        DnsOutcome::Other(_) => "dns-error",
        DnsOutcome::Bogus | DnsOutcome::Records(_) | DnsOutcome::NoData | DnsOutcome::NxDomain => "dnssec-bogus",
    }
}

/// The name to ask for an ADN's TXT contact.
#[must_use]
pub fn question(adn: &Adn) -> String {
    format!("{LABEL}.{adn}")
}

/// Where the record ends up when the final dot is forgotten in a zone file: the zone's name is added once more.
#[must_use]
pub fn doubled_question(adn: &Adn) -> String {
    format!("{LABEL}.{adn}.{}", adn.fqdn().base_domain())
}

/// The reason that says that an address stands at [`doubled_question`], where one does. It is a hint and yields no address.
#[must_use]
pub fn doubled(outcome: &DnsOutcome<Vec<u8>>) -> Option<&'static str> {
    let DnsOutcome::Records(records) = outcome else { return None };
    records.iter().any(|record| EmailAddress::from_record(record).is_ok()).then_some("doubled-name")
}

/// What a value is that is no address, as a stable code: the mistakes that people make are told apart.
fn mistake(record: &[u8], error: &EmailError) -> &'static str {
    let Ok(text) = std::str::from_utf8(record) else { return error.code() };
    let inner = text.trim();
    let is_address = |text: &str| EmailAddress::parse(text).is_ok();
    let unquoted = inner.trim_matches(['"', '\'', '“', '”']);
    if unquoted != inner && is_address(unquoted.trim()) {
        return "quotes";
    }
    let addresses = inner.split([',', ';', ' ']).filter(|part| is_address(part.trim())).count();
    if addresses > 1 {
        return "several-addresses";
    }
    if inner.split_once('<').and_then(|(_, rest)| rest.strip_suffix('>')).is_some_and(is_address) {
        return "display-name";
    }
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-_=+/.:~".contains(c);
    if !inner.contains('@')
        && (inner.starts_with("v=") || inner.contains('=') || (inner.len() >= 16 && inner.chars().all(is_token)))
    {
        return "token";
    }
    error.code()
}

/// Reads the answer: each record's strings already joined, each record one address.
#[must_use]
pub fn read(outcome: &DnsOutcome<Vec<u8>>, dnssec: Dnssec) -> (SourceStatus, Vec<Contact>, Vec<String>) {
    let failed = |reason: &str| (SourceStatus::Failed, Vec::new(), vec![reason.to_owned()]);
    let records = match outcome {
        DnsOutcome::Records(records) if dnssec != Dnssec::Bogus => records,
        DnsOutcome::NoData => return (SourceStatus::Empty, Vec::new(), vec!["no-record".into(), "no-data".into()]),
        DnsOutcome::NxDomain => return (SourceStatus::Empty, Vec::new(), vec!["no-record".into(), "nxdomain".into()]),
        other => return failed(failure(other)),
    };
    if records.len() > CONTACTS_MAX {
        return failed("too-many-records");
    }
    let (mut contacts, mut reasons) = (Vec::<Contact>::new(), Vec::<String>::new());
    for record in records {
        match EmailAddress::from_record(record) {
            Ok(email) if contacts.iter().any(|known| known.email == email) => {}
            Ok(email) => contacts.push(Contact { role: None, label: None, handle: None, email, usable: true, reason: None }),
            Err(error) => {
                let reason = mistake(record, &error).to_owned();
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
            }
        }
    }
    let status = if contacts.is_empty() { SourceStatus::Empty } else { SourceStatus::Ok };
    (status, contacts, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records(values: &[&str]) -> DnsOutcome<Vec<u8>> {
        DnsOutcome::Records(values.iter().map(|v| v.as_bytes().to_vec()).collect())
    }

    #[test]
    fn every_good_record_is_an_address_and_every_bad_one_a_reason() {
        let (status, contacts, reasons) =
            read(&records(&["a@example.jp", "mailto:b@example.jp", "c@example.jp", "a@example.jp"]), Dnssec::Insecure);
        assert_eq!(status, SourceStatus::Ok);
        assert_eq!(contacts.iter().map(|c| c.email.to_string()).collect::<Vec<_>>(), ["a@example.jp", "c@example.jp"]);
        assert_eq!(reasons, ["mailto"]);
    }

    #[test]
    fn what_people_put_there_by_mistake_is_told() {
        for (value, reason) in [
            ("\"a@example.jp\"", "quotes"),
            ("'a@example.jp'", "quotes"),
            (" a@example.jp", "white-space"),
            ("a@example.jp ", "white-space"),
            ("a@example.jp,b@example.jp", "several-addresses"),
            ("a@example.jp b@example.jp", "several-addresses"),
            ("Hanako <a@example.jp>", "display-name"),
            ("mailto:a@example.jp", "mailto"),
            ("v=spf1 -all", "token"),
            ("google-site-verification=rXOxyZounnZasA8Z7oaD3c14JdjS9aKSWvsR1EbUSIQ", "token"),
            ("_dnsauth9c3f2b1a7d", "token"),
            ("hostmaster", "at-sign"),
            ("", "empty"),
        ] {
            let (status, contacts, reasons) = read(&records(&[value]), Dnssec::Secure);
            assert_eq!((status, contacts.len(), reasons), (SourceStatus::Empty, 0, vec![reason.to_owned()]), "{value:?}");
            assert!(super::super::reason::explain(reason).is_some(), "{reason}");
        }
    }

    #[test]
    fn a_record_under_the_domain_written_twice_is_a_hint_and_no_address() {
        let adn = Adn::parse("www.example.jp", &crate::dcv::name::SuffixList::BuiltIn).unwrap();
        assert_eq!(doubled_question(&adn), "_validation-contactemail.www.example.jp.example.jp");
        assert_eq!(doubled(&records(&["v=spf1 -all"])), None);
        assert_eq!(doubled(&records(&["a@example.jp"])), Some("doubled-name"));
    }

    #[test]
    fn a_bogus_answer_yields_no_address() {
        assert_eq!(read(&records(&["a@example.jp"]), Dnssec::Bogus).0, SourceStatus::Failed);
        let (status, contacts, reasons) = read(&DnsOutcome::Bogus, Dnssec::Bogus);
        assert_eq!((status, contacts.len(), reasons[0].as_str()), (SourceStatus::Failed, 0, "dnssec-bogus"));
    }

    #[test]
    fn five_ways_of_no_address_stay_apart() {
        let outcomes = [DnsOutcome::NoData, DnsOutcome::NxDomain, DnsOutcome::ServFail, DnsOutcome::Timeout, DnsOutcome::Bogus];
        let reasons: std::collections::HashSet<_> = outcomes.iter().map(|o| read(o, Dnssec::Insecure).2).collect();
        assert_eq!(reasons.len(), outcomes.len());
    }

    proptest! {
        #[test]
        fn no_record_panics(records: Vec<Vec<u8>>) {
            let _ = read(&DnsOutcome::Records(records), Dnssec::Secure);
        }
    }
}
