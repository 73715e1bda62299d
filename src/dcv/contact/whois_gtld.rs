//! Answers of gTLD registries and registrars: `Label: value` lines. Spec: ICANN Registration Data Directory Services labels.

use super::whois::{Reading, WhoisStatus, server_name};
use super::{Contact, Role};
use crate::dcv::email::EmailAddress;
use crate::dcv::name::Adn;

/// Reads an answer: only labels at the start of a line within the record that names `base`.
#[must_use]
pub fn read(text: &str, base: &Adn) -> Reading {
    let mut reading = Reading::nothing(WhoisStatus::Found);
    let mut inside = false;
    for line in text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).trim_start()) {
        // The record ends at the registry's time stamp; what follows is terms of use.
        if inside && line.starts_with(">>>") {
            break;
        }
        let Some((label, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if label.eq_ignore_ascii_case("Domain Name") {
            if inside {
                // Another record begins; only the first one that names ours counts.
                break;
            }
            inside = value.trim_end_matches('.').eq_ignore_ascii_case(base.as_str());
            continue;
        }
        if !inside {
            continue;
        }
        let role = match label.to_ascii_lowercase().as_str() {
            "registrant email" => Role::Registrant,
            "admin email" => Role::Administrative,
            "tech email" => Role::Technical,
            "registrar whois server" | "whois server" => {
                reading.referral = reading.referral.or_else(|| server_name(value));
                continue;
            }
            _ => continue,
        };
        contact(&mut reading, role, label, value);
    }
    if inside { reading } else { Reading::nothing(classify(text)) }
}

fn contact(reading: &mut Reading, role: Role, label: &str, value: &str) {
    match EmailAddress::parse(value) {
        Ok(email) => reading.contacts.push(Contact {
            role: Some(role),
            label: Some(label.to_owned()),
            handle: None,
            email,
            usable: true,
            reason: None,
        }),
        Err(_) if value.is_empty() => {}
        Err(_) if value.to_ascii_lowercase().contains("redacted") => reading.reasons.push("redacted".to_owned()),
        Err(_) => reading.reasons.push("bad-email".to_owned()),
    }
}

/// What an answer without the record says.
fn classify(text: &str) -> WhoisStatus {
    let start: String = text.chars().take(2000).collect::<String>().to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| start.contains(phrase));
    if says(&["too many", "limit exceeded", "quota exceeded", "try again later"]) {
        WhoisStatus::RateLimited
    } else if says(&["has been retired", "tld is not supported", "no longer available"]) {
        WhoisStatus::Gone
    } else if says(&["no match", "not found", "no data found", "no entries found", "no object found"]) {
        WhoisStatus::NotFound
    } else {
        WhoisStatus::Error
    }
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
        assert_eq!(reading.reasons, ["bad-email"]);
    }

    #[test]
    fn another_names_record_counts_for_nothing() {
        let text = "Domain Name: OTHER.COM\nAdmin Email: a@other.com\nDomain Name: EXAMPLE.COM\nAdmin Email: a@example.com\n\
                    Domain Name: THIRD.COM\nAdmin Email: a@third.com\n";
        let reading = read(text, &base());
        assert_eq!(reading.contacts.len(), 1);
        assert_eq!(reading.contacts[0].email.to_string(), "a@example.com");
    }

    #[test]
    fn answers_without_a_record_are_told_apart() {
        for (text, status) in [
            ("No match for \"EXAMPLE.COM\".\n", WhoisStatus::NotFound),
            ("Too many requests. No entries found\n", WhoisStatus::RateLimited),
            ("TLD is not supported.\n", WhoisStatus::Gone),
            ("", WhoisStatus::Error),
        ] {
            assert_eq!(read(text, &base()).status, status, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(text in "(\\PC|\n|\r|:){0,200}") {
            let _ = read(&text, &base());
        }
    }
}
