//! RDAP answers and the bootstrap registry.
#![no_main]

use dcvd::dcv::contact::rdap;
use dcvd::dcv::name::{Adn, SuffixList};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let base = Adn::parse("example.com", &SuffixList::BuiltIn).expect("a good name");
    let reading = rdap::read_answer(200, raw, &base);
    let text = String::from_utf8_lossy(raw);
    for contact in &reading.contacts {
        assert!(text.contains('@') || text.contains("\\u00"), "{:?}", contact.email);
    }
    let _ = rdap::service(raw, "com", false);
});
