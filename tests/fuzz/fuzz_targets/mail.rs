//! Returned mail: bounded whatever it is, and what is passed on of it is plain text.
#![no_main]

use dcvd::dcv::mail_cause::MailCause;
use dcvd::dcv::returned_mail;
use libfuzzer_sys::fuzz_target;

/// Most addresses and envelopes that are looked at for whose a message is.
const ADDRESSES_MAX: usize = 50;

fuzz_target!(|raw: &[u8]| {
    let returned = returned_mail::read(raw);
    assert!(returned.recipients.len() <= 50);
    for recipient in &returned.recipients {
        assert!(!recipient.address.chars().any(char::is_control));
        let Some(diagnostic) = &recipient.diagnostic else { continue };
        assert!(diagnostic.chars().count() <= 500 && !diagnostic.chars().any(char::is_control));
        let _ = MailCause::of(diagnostic);
    }
    let written = returned_mail::written(raw);
    assert!(![&written.from, &written.subject].iter().any(|line| line.chars().any(char::is_control)));
    assert!(!written.text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')));
    assert!(returned_mail::sent_to(raw).len() <= ADDRESSES_MAX && returned_mail::envelopes(raw).len() <= ADDRESSES_MAX);
});
