//! Answers of gTLD registries and registrars: `Label: value` lines. Spec: ICANN Registration Data Directory Services labels.

use super::whois::{Reading, WhoisStatus, classify};
use super::whois_field::{contact_value, is_cut, names_domain, note, server_name, why_no_address};
use super::{Contact, Role};
use crate::dcv::name::Adn;

/// The word that begins the labels of a role's lines; its address stands under the one that goes on with `Email`.
const ROLES: [(&str, Role); 3] = [("registrant", Role::Registrant), ("admin", Role::Administrative), ("tech", Role::Technical)];

/// One record as it is being read.
#[derive(Default)]
struct Record<'t> {
    contacts: Vec<Contact>,
    reasons: Vec<String>,
    referral: Option<String>,
    /// Roles whose address line has been seen: a second one is an attempt to slip one in.
    seen: Vec<Role>,
    /// What else is shown of a role.
    shown: Vec<(Role, &'t str)>,
    bad_referral: bool,
    /// How deep its first line is indented; a line that is indented otherwise continues the one before.
    margin: usize,
}

/// Reads an answer: only labels at the start of a line, within a record that names `base`.
///
/// A registry's thin record may be followed by the registrar's; the last one with contacts counts. A record of another name, a
/// doubled address line, an answer cut within an address or a server's name, or a referral to anything but a host name makes the whole
/// an error.
#[must_use]
pub fn read(text: &str, base: &Adn) -> Reading {
    let mut records: Vec<Record<'_>> = Vec::new();
    let mut inside = false;
    for whole in text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)) {
        let line = whole.trim_start();
        let margin = whole.len() - line.len();
        // The record ends at the registry's time stamp; what follows is terms of use.
        if line.starts_with(">>>") {
            inside = false;
            continue;
        }
        let Some((label, value)) = line.split_once(':') else { continue };
        let (label, value) = (label.trim_end(), value.trim());
        if label.eq_ignore_ascii_case("Domain Name") {
            if !names_domain(value, base) {
                return Reading::error("other-name");
            }
            records.push(Record { margin, ..Record::default() });
            inside = true;
            continue;
        }
        let Some(record) = records.last_mut().filter(|record| inside && record.margin == margin) else { continue };
        let is = |known: &str| label.eq_ignore_ascii_case(known);
        if is("registrar whois server") || is("whois server") {
            // The rest of the name may lead to strangers.
            if is_cut(text, value) {
                return Reading::error("truncated");
            }
            let server = server_name(value);
            record.bad_referral |= !value.is_empty() && server.is_none();
            if record.referral.is_some() && server.is_some() && record.referral != server {
                return Reading::error("doubled-field");
            }
            record.referral = record.referral.take().or(server);
            continue;
        }
        let (word, rest) = label.split_once(' ').unwrap_or((label, ""));
        let Some((_, role)) = ROLES.into_iter().find(|(known, _)| word.eq_ignore_ascii_case(known)) else { continue };
        if !rest.eq_ignore_ascii_case("email") {
            record.shown.push((role, value));
            continue;
        }
        if record.seen.contains(&role) {
            return Reading::error("doubled-field");
        }
        if is_cut(text, value) {
            return Reading::error("truncated");
        }
        record.seen.push(role);
        contact_value(role, label, value, &mut record.contacts, &mut record.reasons);
    }
    let Some(thick) = records.iter().rposition(|record| !record.seen.is_empty()).or(records.len().checked_sub(1)) else {
        return Reading::nothing(classify(text));
    };
    let mut record = records.swap_remove(thick);
    if record.bad_referral && record.contacts.is_empty() {
        return Reading::error("referral-refused");
    }
    for (_, role) in ROLES {
        let mut shown = record.shown.iter().filter(|(of, _)| *of == role).map(|(_, value)| *value).peekable();
        if shown.peek().is_some() && !record.seen.contains(&role) {
            note(&mut record.reasons, why_no_address(shown));
        }
    }
    let status = if record.seen.is_empty() && record.referral.is_some() { WhoisStatus::Referral } else { WhoisStatus::Found };
    Reading { status, contacts: record.contacts, handles: Vec::new(), referral: record.referral, reasons: record.reasons }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::name::SuffixList;
    use proptest::prelude::*;

    fn base() -> Adn {
        Adn::parse("example.com", &SuffixList::BuiltIn).unwrap()
    }

    #[test]
    fn reads_contacts_by_role_and_never_abuse_or_free_text() {
        let text = "Domain Name: EXAMPLE.COM\r\nRegistrar WHOIS Server: whois.registrar.example\r\n\
            Registrar Abuse Contact Email: abuse@registrar.example\r\nRegistrant Street: Admin Email: street@attacker.example\r\n\
            Registrant Email: r@example.com\r\nAdmin Email: a@example.com\r\nTech Email: Please query the RDDS service\r\n\
            >>> Last update <<<\r\nAdmin Email: after@attacker.example\r\n";
        let reading = read(text, &base());
        let got: Vec<_> = reading.contacts.iter().map(|c| (c.role.unwrap(), c.email.to_string())).collect();
        assert_eq!(got, [(Role::Registrant, "r@example.com".into()), (Role::Administrative, "a@example.com".into())]);
        assert_eq!(reading.referral.as_deref(), Some("whois.registrar.example"));
        assert_eq!(reading.reasons, ["redacted"]);
    }

    #[test]
    fn a_thin_record_before_the_registrars_is_stepped_over() {
        let text = "   Domain Name: EXAMPLE.COM\n   Whois Server: whois.registrar.example\n>>> then <<<\n\
                    Domain Name: EXAMPLE.COM\nAdmin Email: a@example.com\n";
        assert_eq!(read(text, &base()).contacts[0].email.to_string(), "a@example.com");
        let thin = read("   Domain Name: EXAMPLE.COM\n   Whois Server: whois.registrar.example\n", &base());
        assert_eq!((thin.status, thin.referral.as_deref()), (WhoisStatus::Referral, Some("whois.registrar.example")));
    }

    #[test]
    fn a_line_that_continues_another_names_no_server_and_no_address() {
        let text = "Domain Name: EXAMPLE.COM\nRegistrar WHOIS Server: whois.registrar.example\nRegistrant Street: 1-1\n\
            \x20  Registrar WHOIS Server: whois.evil.example\n   Admin Email: evil@attacker.example\n";
        let reading = read(text, &base());
        assert_eq!((reading.referral.as_deref(), reading.contacts.len()), (Some("whois.registrar.example"), 0));
        let twice = "Domain Name: EXAMPLE.COM\nWhois Server: whois.registrar.example\nWhois Server: whois.evil.example\n";
        assert_eq!(read(twice, &base()).reasons, ["doubled-field"]);
    }

    #[test]
    fn what_could_be_slipped_in_makes_the_whole_an_error() {
        for (text, reason) in [
            (
                "Domain Name: EXAMPLE.COM\nAdmin Email: a@example.com\n\nDomain Name: EVIL.EXAMPLE\nAdmin Email: e@evil.example\n",
                "other-name",
            ),
            ("Domain Name: OTHER.COM\nAdmin Email: a@other.com\n", "other-name"),
            ("Domain Name: EXAMPLE.COM\nAdmin Email: a@example.com\nAdmin Email: e@evil.example\n", "doubled-field"),
            ("Domain Name: EXAMPLE.COM\nAdmin Email: admin@exam", "truncated"),
            ("Domain Name: EXAMPLE.COM\nRegistrar WHOIS Server: whois.registrar.co", "truncated"),
            ("Domain Name: EXAMPLE.COM\nRegistrar WHOIS Server: 127.0.0.1:25\n", "referral-refused"),
            ("Domain Name: EXAMPLE.COM\nRegistrar WHOIS Server: localhost\n", "referral-refused"),
        ] {
            let reading = read(text, &base());
            assert_eq!((reading.status, reading.contacts.len()), (WhoisStatus::Error, 0), "{text}");
            assert_eq!(reading.reasons, [reason], "{text}");
        }
    }

    #[test]
    fn values_that_are_no_address_are_told_by_kind() {
        let text = "Domain Name: EXAMPLE.COM\nRegistrant Email: https://example.net/contact\nAdmin Email: REDACTED FOR PRIVACY\n\
                    Tech Email: a@example.com, b@example.com\n";
        let reading = read(text, &base());
        assert_eq!(
            (reading.contacts.len(), reading.reasons),
            (0, vec!["web-form".into(), "redacted".into(), "bad-email".into()])
        );
    }

    #[test]
    fn a_role_that_is_shown_without_an_address_is_told() {
        let with = |lines: &str| {
            let reading =
                read(&format!("Domain Name: EXAMPLE.COM\nAdmin Name: Taro\nAdmin Email: a@example.com\n{lines}"), &base());
            assert_eq!((reading.status, reading.contacts.len()), (WhoisStatus::Found, 1), "{lines}");
            reading.reasons
        };
        assert!(with("Registrar: R\nTechnology: none\n").is_empty());
        assert_eq!(with("Tech Name: Hanako\nTech Country: JP\nRegistrant State/Province: Tokyo\n"), ["no-email"]);
        assert_eq!(
            with("Registrant Organization: REDACTED FOR PRIVACY\nRegistrant Country: JP\nTech Name: T\n"),
            ["redacted", "no-email"]
        );
        assert_eq!(with("Tech Name: Hanako\nTech Email: https://example.net/\n"), ["web-form"]);
        assert_eq!(read("Domain Name: EXAMPLE.COM\nRegistrant Country: JP\n", &base()).reasons, ["no-email"]);
    }

    #[test]
    fn a_proxys_address_is_listed_and_not_usable() {
        let reading = read("Domain Name: EXAMPLE.COM\nAdmin Email: x@domainsbyproxy.com\n", &base());
        assert_eq!((reading.contacts[0].usable, reading.contacts[0].reason.as_deref()), (false, Some("privacy-proxy")));
    }

    #[test]
    fn answers_without_a_record_are_told_apart() {
        for (text, status) in [
            ("No match for \"EXAMPLE.COM\".\n", WhoisStatus::NotFound),
            ("Too many requests. No entries found\n", WhoisStatus::RateLimited),
            ("You have exceeded your quota of queries.\n", WhoisStatus::RateLimited),
            ("TLD is not supported.\n", WhoisStatus::Gone),
            ("Notice: Effective May 1, 2026, the WHOIS service has been retired\n", WhoisStatus::Gone),
            ("", WhoisStatus::Error),
        ] {
            assert_eq!(read(text, &base()).status, status, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(text in "(\\PC|\n|\r|:|Domain Name: example.com\n|Admin Email: ){0,200}") {
            let _ = read(&text, &base());
        }
    }
}
