//! The DNS CAA e-mail contact. Spec: BR v2.2.6 §3.2.2.4.13, A.1.1; RFC 8659 §3 (the climb), §4.1 (tags without case).

use super::dns_txt::{CONTACTS_MAX, DnsOutcome, failure};
use super::{Contact, SourceStatus};
use crate::dcv::email::EmailAddress;
use crate::dcv::evidence::Dnssec;
use crate::dcv::name::Adn;

/// The property that holds an address. Spec: BR v2.2.6 A.1.1.
const CONTACT_TAG: &str = "contactemail";

/// One CAA record as it stands. Spec: RFC 8659 §4.1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaaRecord {
    /// The issuer critical flag. A contact may be critical; it says nothing of the address.
    pub critical: bool,
    /// The property's tag, as written.
    pub tag: String,
    /// The property's value, as written.
    pub value: Vec<u8>,
}

/// The climb from an ADN, ended by the first name that has CAA records or does not answer.
///
/// RFC 8659 goes on to the top-level domain. Above the Base Domain Name the records are the registry's, and an address in them
/// would approve every name below: the climb ends at the Base Domain Name, and what stands above is not even asked for.
#[derive(Clone, Debug)]
pub struct Climb {
    names: Vec<String>,
    at: usize,
    ended: bool,
    dnssec: Dnssec,
    outcome: (SourceStatus, Vec<Contact>, Vec<String>),
}

impl Climb {
    /// Begins at the ADN itself.
    #[must_use]
    pub fn new(adn: &Adn) -> Self {
        Self {
            names: adn.fqdn().authorization_domains().iter().map(ToString::to_string).collect(),
            at: 0,
            ended: false,
            dnssec: Dnssec::Secure,
            outcome: (SourceStatus::Empty, Vec::new(), vec!["no-record".to_owned()]),
        }
    }

    /// The name to ask next; `None` when the climb has ended.
    #[must_use]
    pub fn question(&self) -> Option<&str> {
        self.names.get(self.at).map(String::as_str).filter(|_| !self.ended)
    }

    /// Takes the answer to [`Climb::question`].
    ///
    /// A failure nearer the name wins over an answer further up, since it may hide records that would have counted.
    pub fn answer(&mut self, outcome: &DnsOutcome<CaaRecord>, dnssec: Dnssec) {
        if self.question().is_none() {
            return;
        }
        self.dnssec = self.dnssec.min(dnssec);
        match outcome {
            DnsOutcome::NoData | DnsOutcome::NxDomain if dnssec != Dnssec::Bogus => self.at += 1,
            DnsOutcome::Records(records) if dnssec != Dnssec::Bogus => {
                self.ended = true;
                self.outcome = read(records);
            }
            other => {
                self.ended = true;
                self.outcome = (SourceStatus::Failed, Vec::new(), vec![failure(other).to_owned()]);
            }
        }
    }

    /// What the climb found, and the weakest DNSSEC verdict on its way.
    #[must_use]
    pub fn finish(self) -> (SourceStatus, Vec<Contact>, Vec<String>, Dnssec) {
        let (status, contacts, reasons) = self.outcome;
        (status, contacts, reasons, self.dnssec)
    }
}

/// Reads a record set: the tag without case, the value whole.
fn read(records: &[CaaRecord]) -> (SourceStatus, Vec<Contact>, Vec<String>) {
    let (mut contacts, mut reasons) = (Vec::<Contact>::new(), Vec::<String>::new());
    let is_contact = |record: &&CaaRecord| record.tag.eq_ignore_ascii_case(CONTACT_TAG);
    if records.iter().filter(is_contact).count() > CONTACTS_MAX {
        return (SourceStatus::Failed, contacts, vec!["too-many-records".to_owned()]);
    }
    for record in records.iter().filter(is_contact) {
        match EmailAddress::from_record(&record.value) {
            Ok(email) if contacts.iter().any(|known| known.email == email) => {}
            Ok(email) => contacts.push(Contact { role: None, label: None, handle: None, email, usable: true, reason: None }),
            Err(error) => reasons.push(error.code().to_owned()),
        }
    }
    if contacts.is_empty() && reasons.is_empty() {
        reasons.push("no-contactemail".to_owned());
    }
    reasons.dedup();
    (if contacts.is_empty() { SourceStatus::Empty } else { SourceStatus::Ok }, contacts, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::name::SuffixList;
    use proptest::prelude::*;

    fn record(tag: &str, value: &str) -> CaaRecord {
        CaaRecord { critical: false, tag: tag.to_owned(), value: value.as_bytes().to_vec() }
    }

    /// Climbs through a zone of records; a name without any is no data.
    fn climb(name: &str, zone: &[(&str, DnsOutcome<CaaRecord>)]) -> (SourceStatus, Vec<String>, Vec<String>, Vec<String>) {
        let mut climb = Climb::new(&Adn::parse(name, &SuffixList::BuiltIn).unwrap());
        let mut asked = Vec::new();
        while let Some(question) = climb.question().map(str::to_owned) {
            let outcome =
                zone.iter().find(|(name, _)| *name == question).map_or(DnsOutcome::NoData, |(_, outcome)| outcome.clone());
            asked.push(question);
            climb.answer(&outcome, Dnssec::Secure);
        }
        let (status, contacts, reasons, _) = climb.finish();
        (status, contacts.iter().map(|contact| contact.email.to_string()).collect(), reasons, asked)
    }

    #[test]
    fn climbs_to_the_first_record_set_and_stops_there() {
        let found = DnsOutcome::Records(vec![record("issue", "ca.example"), record("ContactEmail", "a@example.co.jp")]);
        let (status, emails, _, asked) = climb("sub.www.example.co.jp", &[("example.co.jp", found)]);
        assert_eq!((status, emails), (SourceStatus::Ok, vec!["a@example.co.jp".to_owned()]));
        assert_eq!(asked, ["sub.www.example.co.jp", "www.example.co.jp", "example.co.jp"]);
        let near = [
            ("www.example.jp", DnsOutcome::Records(vec![record("issue", ";")])),
            ("example.jp", DnsOutcome::Records(vec![record("contactemail", "a@example.jp")])),
        ];
        let (status, emails, reasons, _) = climb("www.example.jp", &near);
        assert_eq!((status, emails.len(), reasons), (SourceStatus::Empty, 0, vec!["no-contactemail".to_owned()]));
    }

    #[test]
    fn a_failure_nearer_the_name_wins_over_an_answer_further_up() {
        for (outcome, reason) in
            [(DnsOutcome::ServFail, "servfail"), (DnsOutcome::Timeout, "timeout"), (DnsOutcome::Bogus, "dnssec-bogus")]
        {
            let zone =
                [("www.example.jp", outcome), ("example.jp", DnsOutcome::Records(vec![record("contactemail", "a@example.jp")]))];
            let (status, emails, reasons, asked) = climb("www.example.jp", &zone);
            assert_eq!((status, emails.len(), asked.len()), (SourceStatus::Failed, 0, 1));
            assert_eq!(reasons, [reason]);
        }
    }

    #[test]
    fn a_registrys_own_contact_is_nobodys_approver_and_not_asked_for() {
        let zone = [("co.jp", DnsOutcome::Records(vec![record("contactemail", "registry@jprs.example")]))];
        let (status, emails, reasons, asked) = climb("www.example.co.jp", &zone);
        assert_eq!((status, emails.len(), reasons), (SourceStatus::Empty, 0, vec!["no-record".to_owned()]));
        assert_eq!(asked, ["www.example.co.jp", "example.co.jp"]);
    }

    #[test]
    fn the_value_is_one_address_to_the_letter() {
        let zone = [(
            "example.jp",
            DnsOutcome::Records(vec![record("contactemail", "mailto:a@example.jp"), record("contactemail", " b@example.jp")]),
        )];
        assert_eq!(climb("example.jp", &zone).2, ["mailto", "white-space"]);
    }

    proptest! {
        #[test]
        fn no_record_panics(tag: String, value: Vec<u8>) {
            let mut climb = Climb::new(&Adn::parse("example.jp", &SuffixList::BuiltIn).unwrap());
            climb.answer(&DnsOutcome::Records(vec![CaaRecord { critical: true, tag, value }]), Dnssec::Secure);
            let _ = climb.finish();
        }
    }
}
