//! Names: what is accepted prints and reads back the same, and its ADNs end at the Base Domain Name; also as a line of an allow-list.
#![no_main]

use dcvd::dcv::allowlist::{Entry, above};
use dcvd::dcv::field::is_one_line;
use dcvd::dcv::name::{CertificateName, Fqdn, NAME_MAX_OCTETS, SuffixList};
use libfuzzer_sys::fuzz_target;

fn name(text: &str) {
    let Ok(name) = CertificateName::parse(text, &SuffixList::BuiltIn) else { return };
    let printed = name.to_string();
    assert!(printed.len() <= NAME_MAX_OCTETS && printed.is_ascii());
    assert_eq!(CertificateName::parse(&printed, &SuffixList::BuiltIn).as_ref(), Ok(&name));
    let (adns, base) = (name.fqdn().authorization_domains(), name.fqdn().base_domain());
    assert_eq!(adns.last().map(|adn| adn.fqdn().clone()), Some(base));
    assert!(adns.iter().all(|adn| name.fqdn().as_str().ends_with(adn.as_str())));
}

/// Domain, approver, profiles and note, with tabs between them.
fn entry(line: &str) {
    let mut fields = line.splitn(4, '\t').chain(std::iter::repeat(""));
    let mut next = || fields.next().unwrap_or_default();
    let (domain, approver, profiles, note) = (next(), next(), next(), next());
    let profiles = profiles.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect();
    let Ok(entry) = Entry::parse(domain, approver, profiles, note, &SuffixList::BuiltIn) else { return };
    assert_eq!(Fqdn::parse(entry.domain.as_str(), &SuffixList::BuiltIn).as_ref(), Ok(&entry.domain));
    assert_eq!(above(&entry.domain).last().map(String::as_str), Some(entry.domain.base_domain().as_str()));
    assert!(is_one_line(&entry.note) && entry.profiles.iter().all(|profile| is_one_line(profile)));
}

fuzz_target!(|text: &str| {
    name(text);
    entry(text);
});
