//! A registration contact that whoever applies tells, where the look-up found none.
//!
//! Nobody is mailed because somebody typed an address. It must be found in WHOIS: listed by a later look-up, or standing in an answer that
//! could not be read, where an operator looks at it.

use serde::{Deserialize, Serialize};

use super::{Listing, Source, SourceStatus};
use crate::dcv::email::EmailAddress;
use crate::dcv::evidence::Lookup;
use crate::dcv::id::LookupId;

/// A contact as it was told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The address.
    pub email: EmailAddress,
    /// Who is asked where it comes to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<EmailAddress>,
    /// The look-up in whose answer it stands, unread: an operator must look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<LookupId>,
}

/// What a look-up makes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is among the contacts that may be asked.
    Listed,
    /// WHOIS answered, and it is none of the domain's contacts.
    Refuted,
    /// It stands in this look-up's answer, which could not be read.
    Seen(LookupId),
    /// WHOIS or RDAP did not answer, and what did has it not.
    Unknown,
}

/// Holds an entry against what was found for a name.
#[must_use]
pub fn judge(email: &EmailAddress, listing: &Listing, lookups: &[Lookup]) -> Verdict {
    let of_registration = |source: Source| matches!(source, Source::Whois | Source::Rdap);
    let contact = |one: &&super::Approver| {
        one.usable && (of_registration(one.source) || one.also.iter().any(|also| also.usable && of_registration(also.source)))
    };
    let mut contacts = listing.approvers.iter().filter(contact).peekable();
    if contacts.peek().is_some() {
        return if contacts.any(|one| one.email == *email) { Verdict::Listed } else { Verdict::Refuted };
    }
    let base = listing.name.authorization_domains().pop();
    let ours = |one: &&Lookup| of_registration(one.source) && base.as_ref().is_some_and(|base| base.as_str() == one.adn);
    let (failed, answered): (Vec<&Lookup>, Vec<&Lookup>) =
        lookups.iter().filter(ours).partition(|one| one.status == SourceStatus::Failed);
    // What was read and may not be asked stays so, however it is told.
    if answered.iter().any(|one| one.contacts.iter().any(|contact| contact.email == *email)) {
        return Verdict::Refuted;
    }
    let stands = |answer: &str| answer.lines().any(|line| stands_in(email, line) && !is_anothers(email, line));
    let holds = |one: &&&Lookup| one.exchanges.iter().any(|exchange| stands(&exchange.answer));
    match answered.iter().find(holds) {
        Some(found) => Verdict::Seen(found.id),
        // What did not answer may hold it.
        None if answered.is_empty() || !failed.is_empty() => Verdict::Unknown,
        None => Verdict::Refuted,
    }
}

/// Whether a line tells, beside the address, of somebody who is no contact of the domain.
fn is_anothers(email: &EmailAddress, line: &str) -> bool {
    let lower = line.to_lowercase().replace(&email.to_string().to_lowercase(), " ");
    ["abuse", "registrar", "reseller", "billing", "notify", "通知アドレス"].iter().any(|word| lower.contains(word))
}

/// Whether an address stands in a text, and not within another one.
fn stands_in(email: &EmailAddress, text: &str) -> bool {
    let (text, wanted) = (text.to_lowercase(), email.to_string().to_lowercase());
    let part = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~-.@".contains(c);
    text.match_indices(&wanted).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + wanted.len()..]);
        // A full stop may end a sentence.
        let goes_on = after.trim_start_matches('.').starts_with(|c: char| part(c) && c != '.') && !after.starts_with(' ');
        !before.ends_with(part) && !goes_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn email(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    #[test]
    fn an_address_stands_in_a_text_as_a_whole() {
        let owner = email("owner@example.jp");
        for text in ["owner@example.jp", "連絡先 <Owner@EXAMPLE.jp>", "mail: owner@example.jp.", "owner@example.jp\r\n"] {
            assert!(stands_in(&owner, text), "{text}");
        }
        for text in ["", "co-owner@example.jp", "owner@example.jp.evil.example", "owner@example.jpn", "x.owner@example.jp"] {
            assert!(!stands_in(&owner, text), "{text}");
        }
    }

    #[test]
    fn the_registrars_own_address_is_nobodys_contact() {
        assert!(
            is_anothers(&email("a@b.jp"), "Registrar Abuse Contact Email: a@b.jp")
                && is_anothers(&email("a@b.jp"), "[通知アドレス] a@b.jp")
                && !is_anothers(&email("a@b.jp"), "Kontakt: a@b.jp")
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = stands_in(&email("a@b.jp"), &format!("{text}a@b.jp{text}"));
        }
    }
}
