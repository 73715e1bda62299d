//! TXT and CAA record sets: an address comes out only where a whole value is that address.
//!
//! An input is written as zone files are: a line for each record, its tag, a blank, and its value with quotes and escapes.
#![no_main]

use dcvd::dcv::contact::Contact;
use dcvd::dcv::contact::dns_caa::{CaaRecord, Climb};
use dcvd::dcv::contact::dns_txt::{self, DnsOutcome};
use dcvd::dcv::email::{EmailAddress, txt_from_presentation};
use dcvd::dcv::evidence::Dnssec;
use dcvd::dcv::name::{Adn, SuffixList};
use dcvd::dcv::sender_policy::{dmarc, spf};
use libfuzzer_sys::fuzz_target;

fn all_stand_whole(contacts: &[Contact], values: &[Vec<u8>]) {
    for contact in contacts {
        assert!(values.iter().any(|value| EmailAddress::from_record(value).as_ref() == Ok(&contact.email)));
    }
}

/// The record of a line; a value that cannot be read as a zone file's is taken as it stands.
fn record(line: &[u8]) -> CaaRecord {
    let blank = line.iter().position(|byte| *byte == b' ');
    let (tag, value) = blank.map_or((&line[..0], line), |at| (&line[..at], &line[at + 1..]));
    let read = std::str::from_utf8(value).ok().and_then(|text| txt_from_presentation(text).ok());
    CaaRecord { critical: false, tag: String::from_utf8_lossy(tag).into_owned(), value: read.unwrap_or_else(|| value.to_vec()) }
}

fuzz_target!(|raw: &[u8]| {
    let records: Vec<CaaRecord> = raw.split(|byte| *byte == b'\n').map(record).collect();
    let values: Vec<Vec<u8>> = records.iter().map(|record| record.value.clone()).collect();
    let outcome = DnsOutcome::Records(values.clone());
    all_stand_whole(&dns_txt::read(&outcome, Dnssec::Secure).1, &values);
    assert!(dns_txt::read(&outcome, Dnssec::Bogus).1.is_empty());
    let _ = (dns_txt::doubled(&outcome), spf(&outcome), dmarc(&outcome));
    let mut climb = Climb::new(&Adn::parse("www.example.jp", &SuffixList::BuiltIn).expect("a good name"));
    climb.answer(&DnsOutcome::Records(records), Dnssec::Secure);
    all_stand_whole(&climb.finish().1, &values);
});
