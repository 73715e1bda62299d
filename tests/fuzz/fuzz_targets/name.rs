//! Names: what is accepted prints and reads back the same, and its ADNs end at the Base Domain Name.
#![no_main]

use dcvd::dcv::name::{CertificateName, NAME_MAX_OCTETS, SuffixList};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(name) = CertificateName::parse(text, &SuffixList::BuiltIn) else { return };
    let printed = name.to_string();
    assert!(printed.len() <= NAME_MAX_OCTETS && printed.is_ascii());
    assert_eq!(CertificateName::parse(&printed, &SuffixList::BuiltIn).as_ref(), Ok(&name));
    let (adns, base) = (name.fqdn().authorization_domains(), name.fqdn().base_domain());
    assert_eq!(adns.last().map(|adn| adn.fqdn().clone()), Some(base));
    assert!(adns.iter().all(|adn| name.fqdn().as_str().ends_with(adn.as_str())));
});
