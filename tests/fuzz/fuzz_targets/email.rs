//! Addresses: what is accepted prints and reads back the same, on one line, and where they are hidden they are hidden everywhere.
#![no_main]

use dcvd::dcv::email::{EmailAddress, masked_text, txt_from_presentation};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(email) = EmailAddress::parse(text) {
        let printed = email.to_string();
        assert!(!printed.chars().any(|c| c.is_control() || c.is_whitespace()));
        assert_eq!(EmailAddress::parse(&printed).as_ref(), Ok(&email));
    }
    if let Ok(value) = txt_from_presentation(text) {
        let _ = EmailAddress::from_record(&value);
    }
    let masked = masked_text(text);
    assert!(masked.match_indices('@').all(|(at, _)| masked[..at].ends_with("***")), "{masked}");
});
