//! TXT and CAA record sets: an address comes out only where a whole value is that address.
#![no_main]

use dcvd::dcv::contact::dns_caa::{CaaRecord, Climb};
use dcvd::dcv::contact::dns_txt::{self, DnsOutcome};
use dcvd::dcv::contact::Contact;
use dcvd::dcv::email::EmailAddress;
use dcvd::dcv::evidence::Dnssec;
use dcvd::dcv::name::{Adn, SuffixList};
use libfuzzer_sys::fuzz_target;

fn all_stand_whole(contacts: &[Contact], values: &[Vec<u8>]) {
    for contact in contacts {
        assert!(values.iter().any(|value| EmailAddress::from_record(value).as_ref() == Ok(&contact.email)));
    }
}

fuzz_target!(|records: Vec<(String, Vec<u8>)>| {
    let values: Vec<Vec<u8>> = records.iter().map(|(_, value)| value.clone()).collect();
    let outcome = DnsOutcome::Records(values.clone());
    all_stand_whole(&dns_txt::read(&outcome, Dnssec::Secure).1, &values);
    assert!(dns_txt::read(&outcome, Dnssec::Bogus).1.is_empty());
    let _ = dns_txt::doubled(&outcome);
    let mut climb = Climb::new(&Adn::parse("www.example.jp", &SuffixList::BuiltIn).expect("a good name"));
    let caa = records.into_iter().map(|(tag, value)| CaaRecord { critical: false, tag, value }).collect();
    climb.answer(&DnsOutcome::Records(caa), Dnssec::Secure);
    all_stand_whole(&climb.finish().1, &values);
});
