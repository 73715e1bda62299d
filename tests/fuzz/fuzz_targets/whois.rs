//! WHOIS answers: every address read stands in the answer, and a walk ends whatever it is told.
//!
//! An input begins with a digit that chooses the name; a form feed stands between the answers of one walk.
#![no_main]

use dcvd::dcv::contact::whois::{HopError, Walk, decode, read_domain, read_saved};
use dcvd::dcv::name::{Adn, DomainClass, SuffixList};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 8] =
    ["example.com", "example.jp", "example.co.jp", "example.tokyo.jp", "example.fr", "example.de", "example.at", "example.be"];

/// More hops than any walk takes: IANA, the registry, its handles, the registrar.
const HOPS_MAX: usize = 16;

fuzz_target!(|data: &[u8]| {
    let Some((choice, raw)) = data.split_first() else { return };
    let name = NAMES[usize::from(*choice) % NAMES.len()];
    let base = Adn::parse(name, &SuffixList::BuiltIn).expect("a good name");
    let reading = read_domain(raw, &base);
    let is_jp = !matches!(base.fqdn().class(), DomainClass::Gtld | DomainClass::Cctld);
    // As it was decoded: one octet of ISO-2022-JP is another character in each of its character sets.
    let text = decode(raw, is_jp).unwrap_or_default();
    for contact in &reading.contacts {
        assert!(text.contains(contact.email.local_part()), "{:?}", contact.email);
    }
    let answers: Vec<Vec<u8>> = raw.split(|byte| *byte == 0x0c).map(<[u8]>::to_vec).collect();
    let _ = read_saved(&answers, &base);
    let mut walk = Walk::new(&base, "whois.iana.org", None);
    let mut hops = 0;
    let mut answers = answers.iter().cycle();
    while walk.question().is_some() {
        walk.answer(answers.next().map(Vec::as_slice).ok_or(HopError::Timeout));
        hops += 1;
        assert!(hops <= HOPS_MAX);
    }
});
