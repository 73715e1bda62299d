//! Returned mail: bounded whatever it is.
#![no_main]

use dcvd::dcv::returned_mail;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let returned = returned_mail::read(raw);
    assert!(returned.recipients.len() <= 50);
    assert!(returned.recipients.iter().all(|one| one.diagnostic.as_ref().is_none_or(|text| text.chars().count() <= 500)));
});
