//! Answers of ccTLD registries (and a few old registrars) in other layouts than `Label: value`: objects that refer to each
//! other by handle, sections in brackets, and blocks under headings.

use super::whois::{Reading, WhoisStatus, classify};
use super::whois_field::{contact_value, is_cut, names_domain, note, why_no_address};
use super::{Contact, Role};
use crate::dcv::email::EmailAddress;
use crate::dcv::name::Adn;

/// Reads an answer in whichever of the layouts it is; `None` when it is in none of them.
#[must_use]
pub fn read(text: &str, base: &Adn) -> Option<Reading> {
    let (mut named, mut has_handles, mut has_sections, mut has_headings) = (false, false, false, false);
    for line in text.lines() {
        match line.as_bytes().first() {
            // A reduced record is a refusal in disguise.
            Some(b'%' | b'#') if classify(line) == WhoisStatus::RateLimited => {
                return Some(Reading::nothing(WhoisStatus::RateLimited));
            }
            Some(b'[') => has_sections |= matches!(line.trim_end(), "[Tech-C]" | "[Admin-C]" | "[Holder]" | "[Zone-C]"),
            Some(b'n' | b'N') => has_handles |= field(line).is_some_and(|(label, _)| is(label, "nic-hdl")),
            _ => {}
        }
        named = named || domain_line(line).is_some_and(|value| names_domain(value, base));
        has_headings = has_headings || heading(line).is_some();
    }
    match (named, has_handles, has_sections, has_headings) {
        (true, true, ..) => Some(objects(text, base)),
        (true, _, true, _) => Some(sections(text)),
        (true, _, _, true) => Some(blocks(text)),
        _ => None,
    }
}

/// `label: value` at the very start of a line.
fn field(line: &str) -> Option<(&str, &str)> {
    let (label, value) = line.split_once(':')?;
    let good = !label.is_empty() && !label.starts_with(char::is_whitespace) && !label.starts_with(['%', '#']);
    good.then(|| (label.trim_end(), value.trim()))
}

fn is(label: &str, known: &str) -> bool {
    label.eq_ignore_ascii_case(known)
}

fn domain_line(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if !line.get(..6).is_some_and(|begin| is(begin, "domain")) {
        return None;
    }
    field(line).filter(|(label, _)| is(label, "domain") || is(label, "domain name")).map(|(_, value)| value)
}

fn found(contacts: Vec<Contact>, reasons: Vec<String>) -> Reading {
    Reading { status: WhoisStatus::Found, contacts, handles: Vec::new(), referral: None, reasons }
}

/// An answer with a field twice that may stand once: somebody may have slipped one in.
fn doubled() -> Reading {
    Reading::error("doubled-field")
}

/// An answer cut within an address: the rest may make another one of it.
fn truncated() -> Reading {
    Reading::error("truncated")
}

/// Objects between blank lines: the domain's names handles, each handle's object holds the address. References within contact
/// objects are the contacts' own and count for nothing. A handle with no object, or several, has no address here.
fn objects(text: &str, base: &Adn) -> Reading {
    let objects: Vec<Vec<(&str, &str)>> = text
        .split("\n\n")
        .flat_map(|part| part.split("\r\n\r\n"))
        .map(|part| part.lines().filter_map(field).collect::<Vec<_>>())
        .filter(|object| !object.is_empty())
        .collect();
    let is_handle = |object: &[(&str, &str)], handle: &str| {
        object.iter().find(|(label, _)| is(label, "nic-hdl")).is_some_and(|(_, value)| *value == handle)
    };
    let mut domains =
        objects.iter().filter(|object| object.iter().any(|(label, value)| is(label, "domain") && names_domain(value, base)));
    let (Some(domain), None) = (domains.next(), domains.next()) else { return Reading::nothing(WhoisStatus::Error) };
    let (mut contacts, mut reasons) = (Vec::new(), Vec::new());
    for (label, handle) in domain {
        let role = match label.to_ascii_lowercase().as_str() {
            "holder-c" | "registrant" => Role::Registrant,
            "admin-c" => Role::Administrative,
            "tech-c" => Role::Technical,
            _ => continue,
        };
        if is_cut(text, handle) {
            return truncated();
        }
        let mut named = objects.iter().filter(|object| is_handle(object, handle));
        let (first, None) = (named.next(), named.next()) else {
            note(&mut reasons, "malformed-contact");
            continue;
        };
        let Some(object) = first else {
            note(&mut reasons, "no-email");
            continue;
        };
        if object.iter().any(|(label, value)| (is(label, "nic-hdl") || is(label, "e-mail")) && is_cut(text, value)) {
            return truncated();
        }
        let before = contacts.len();
        let mut emails = object.iter().filter(|(label, _)| is(label, "e-mail"));
        match emails.next() {
            Some((_, value)) => contact_value(role, label, value, &mut contacts, &mut reasons),
            None => note(&mut reasons, why_no_address(object.iter().map(|(_, value)| *value))),
        }
        if emails.next().is_some() {
            return doubled();
        }
        for contact in &mut contacts[before..] {
            contact.handle = Some((*handle).to_owned());
        }
    }
    found(contacts, reasons)
}

/// Sections in brackets, as DENIC shows them.
fn sections(text: &str) -> Reading {
    let mut sections: Vec<(Option<Role>, Vec<&str>)> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if line.starts_with('[') {
            let role = match line {
                "[Holder]" => Some(Role::Registrant),
                "[Admin-C]" => Some(Role::Administrative),
                "[Tech-C]" => Some(Role::Technical),
                _ => None,
            };
            sections.push((role, Vec::new()));
        } else if let Some((_, lines)) = sections.last_mut() {
            lines.push(line);
        }
    }
    let (mut contacts, mut reasons) = (Vec::new(), Vec::new());
    for (role, lines) in sections {
        let Some(role) = role else { continue };
        let mut emails = lines.iter().copied().filter_map(field).filter(|(label, _)| is(label, "email")).map(|(_, value)| value);
        match (emails.next(), emails.next()) {
            (Some(_), Some(_)) => return doubled(),
            (Some(value), None) if is_cut(text, value) => return truncated(),
            (Some(value), None) => contact_value(role, "Email", value, &mut contacts, &mut reasons),
            (None, _) => note(&mut reasons, why_no_address(lines.iter().copied())),
        }
    }
    found(contacts, reasons)
}

/// Longest heading, in octets, its colon included.
const HEADING_MAX_OCTETS: usize = 23;

/// The role of a heading that stands alone on its line.
fn heading(line: &str) -> Option<Role> {
    const HEADINGS: [(&str, Role); 6] = [
        ("registrant", Role::Registrant),
        ("registrant contact", Role::Registrant),
        ("administrative contact", Role::Administrative),
        ("admin contact", Role::Administrative),
        ("technical contact", Role::Technical),
        ("technical contacts", Role::Technical),
    ];
    let line = line.trim();
    if line.len() > HEADING_MAX_OCTETS {
        return None;
    }
    let line = line.strip_suffix(':').unwrap_or(line);
    HEADINGS.iter().find(|(known, _)| is(line, known)).map(|(_, role)| *role)
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Blocks under headings, ended by the first line that is not indented deeper.
fn blocks(text: &str) -> Reading {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let (mut contacts, mut reasons) = (Vec::new(), Vec::new());
    for (at, line) in lines.iter().enumerate() {
        let Some(role) = heading(line) else { continue };
        let block: Vec<&str> = lines[at + 1..]
            .iter()
            .copied()
            .take_while(|inner| !inner.is_empty() && indentation(inner) > indentation(line))
            .collect();
        match address_of(&block, at + 1 + block.len() < lines.len()) {
            Ok(Some(value)) if is_cut(text, value) => return truncated(),
            Ok(Some(value)) => contact_value(role, line.trim().trim_end_matches(':'), value, &mut contacts, &mut reasons),
            Ok(None) => note(&mut reasons, why_no_address(block.iter().copied())),
            Err(reason) => return Reading::error(reason),
        }
    }
    found(contacts, reasons)
}

/// The address of a block: its one `Email:` line; else its last line where that is an address alone, or its one line of a name
/// and an address two blanks apart. An address elsewhere in the block is part of somebody's free text, so that what counts by its
/// place counts only where the block is seen to end (`ends`): in an answer that was cut before, free text would stand last.
fn address_of<'t>(block: &[&'t str], ends: bool) -> Result<Option<&'t str>, &'static str> {
    let labelled: Vec<&str> = block
        .iter()
        .filter_map(|line| line.trim().split_once(':'))
        .filter(|(label, _)| label.trim().eq_ignore_ascii_case("email"))
        .map(|(_, value)| value.trim())
        .collect();
    match labelled[..] {
        [] => {}
        [one] => return Ok(Some(one)),
        _ => return Err("doubled-field"),
    }
    match placed(block)? {
        Some(_) if !ends => Err("truncated"),
        found => Ok(found),
    }
}

/// The address that a block without labels shows by its place.
fn placed<'t>(block: &[&'t str]) -> Result<Option<&'t str>, &'static str> {
    if let Some(last) = block.last().map(|line| line.trim()).filter(|last| EmailAddress::parse(last).is_ok()) {
        return Ok(Some(last));
    }
    let beside: Vec<&str> = block
        .iter()
        .filter_map(|line| line.trim().rsplit_once("  "))
        .map(|(_, value)| value.trim())
        .filter(|value| EmailAddress::parse(value).is_ok())
        .collect();
    match beside[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err("doubled-field"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::name::SuffixList;
    use proptest::prelude::*;

    fn base(name: &str) -> Adn {
        Adn::parse(name, &SuffixList::BuiltIn).unwrap()
    }

    fn got(text: &str, name: &str) -> Vec<(Role, String)> {
        let reading = read(text, &base(name)).unwrap();
        reading.contacts.iter().map(|contact| (contact.role.unwrap(), contact.email.to_string())).collect()
    }

    #[test]
    fn objects_are_followed_by_the_domains_own_handles_only() {
        let text = "domain:      example.fr\nholder-c:    H1-FRNIC\nadmin-c:     A1-FRNIC\ntech-c:      T1-FRNIC\n\n\
            registrar:   R\ne-mail:      registrar@example.net\n\nnic-hdl:     A1-FRNIC\ne-mail:      a@example.fr\nadmin-c:     X1-FRNIC\n\
            changed:     01/01/2009 nic@nic.example\n\nnic-hdl:     T1-FRNIC\ntrouble:     abuse@example.net\n\n\
            nic-hdl:     X1-FRNIC\ne-mail:      x@example.net\n";
        assert_eq!(got(text, "example.fr"), [(Role::Administrative, "a@example.fr".to_owned())]);
    }

    #[test]
    fn a_sections_zone_contact_counts_for_nothing() {
        let text = "Domain: example.de\n[Tech-C]\nEmail: t@example.de\n[Zone-C]\nEmail: z@example.net\n";
        assert_eq!(got(text, "example.de"), [(Role::Technical, "t@example.de".to_owned())]);
    }

    #[test]
    fn blocks_end_with_their_indentation_and_free_text_is_no_address() {
        let text = "Domain Name: EXAMPLE.EDU\n\nRegistrant:\n   write to evil@example.net\n   Some Street\n\nAdministrative Contact:\n   Taro\n   \
                    a@example.edu\n\nRegistrar Technical Contacts:\n   Email: r@example.net\n";
        assert_eq!(got(text, "example.edu"), [(Role::Administrative, "a@example.edu".to_owned())]);
        let beside = "Domain Name: example.com.tw\n   Administrative Contact:\n      TARO  t@example.com.tw\n      +886.1\n\n";
        assert_eq!(got(beside, "example.com.tw"), [(Role::Administrative, "t@example.com.tw".to_owned())]);
        let twice = "Domain name: example.com\nAdmin Contact:\n    Email: a@example.com\n    Email: b@example.com\n";
        assert_eq!(got(twice, "example.com"), []);
    }

    #[test]
    fn two_addresses_in_one_object_or_section_make_the_whole_an_error() {
        let object = "domain: example.fr\nadmin-c: A1\n\nnic-hdl: A1\ne-mail: a@example.fr\ne-mail: evil@attacker.example\n";
        let section = "Domain: example.fr\n[Tech-C]\nEmail: t@example.fr\nEmail: evil@attacker.example\n";
        for text in [object, section] {
            let reading = read(text, &base("example.fr")).unwrap();
            assert_eq!((reading.status, reading.contacts.len()), (WhoisStatus::Error, 0), "{text}");
        }
    }

    #[test]
    fn a_contact_without_an_address_is_told_in_every_layout() {
        for (text, reasons) in [
            (
                "domain: example.fr\nadmin-c: A1\ntech-c: T1\n\nnic-hdl: A1\ncontact: Taro\n\nnic-hdl: T1\ne-mail: t@example.fr\n",
                "no-email",
            ),
            ("domain: example.fr\nadmin-c: A1\ntech-c: T1\n\nnic-hdl: T1\ne-mail: t@example.fr\n", "no-email"),
            (
                "domain: example.fr\nadmin-c: A1\n\nnic-hdl: A1\ne-mail: a@example.fr\n\nnic-hdl: A1\ne-mail: b@example.fr\n",
                "malformed-contact",
            ),
            ("Domain: example.fr\n[Holder]\nName: Taro\n[Tech-C]\nEmail: t@example.fr\n[Zone-C]\nName: Z\n", "no-email"),
            ("Domain: example.fr\n[Tech-C]\nEmail: t@example.fr\n[Zone-C]\nName: Z\n", ""),
            (
                "Domain: example.fr\nRegistrant:\n\tNot shown, please visit the site.\n\nTechnical Contacts:\n\tName: T\n\n",
                "redacted no-email",
            ),
            ("Domain: example.fr\nAdmin Contact:\n\nTechnical Contact:\n\tEmail: t@example.fr\n", "no-email"),
        ] {
            let reading = read(text, &base("example.fr")).unwrap();
            assert_eq!((reading.status, reading.reasons.join(" ").as_str()), (WhoisStatus::Found, reasons), "{text}");
        }
    }

    #[test]
    fn an_answer_cut_within_an_address_is_an_error() {
        for text in [
            "domain: example.fr\nadmin-c: A1\n\nnic-hdl: A1\ne-mail: a@example.co",
            "domain: example.fr\nadmin-c: A1\n\ne-mail: a@example.com\nnic-hdl: A1",
            "Domain: example.fr\n[Tech-C]\nEmail: t@example.co",
            "Domain Name: example.fr\nAdmin Contact:\n    Taro\n    Email: a@example.co",
            "Domain Name: example.fr\nAdmin Contact:\n    Taro\n    a@example.co",
            "Domain Name: example.fr\nAdmin Contact:\n    TARO  a@example.co",
        ] {
            let reading = read(text, &base("example.fr")).unwrap();
            assert_eq!((reading.status, reading.contacts.len()), (WhoisStatus::Error, 0), "{text}");
            assert_eq!(reading.reasons, ["truncated"], "{text}");
            assert_eq!(got(&format!("{text}\n\n"), "example.fr").len(), 1, "{text}");
            assert_eq!(got(&format!("{text}\n\nEnd"), "example.fr").len(), 1, "{text}");
        }
    }

    #[test]
    fn free_text_that_a_cut_leaves_as_the_last_line_of_a_block_is_no_address() {
        let text = "Domain Name: EXAMPLE.EDU\n\nAdministrative Contact:\n   Taro\n   evil@attacker.example\n";
        assert_eq!(read(text, &base("example.edu")).unwrap().reasons, ["truncated"]);
        let whole = format!("{text}   Some Street\n   a@example.edu\n\n");
        assert_eq!(got(&whole, "example.edu"), [(Role::Administrative, "a@example.edu".to_owned())]);
    }

    #[test]
    fn a_reduced_record_is_a_refusal() {
        let text = "% Query rate limit exceeded. Reduced information.\ndomain:      example.br\n";
        assert_eq!(read(text, &base("example.br")).unwrap().status, WhoisStatus::RateLimited);
    }

    proptest! {
        #[test]
        fn no_answer_panics(text in "(\\PC|\n| |:|domain: example.fr\n|nic-hdl: A\n|Registrant:\n|\\[Tech-C\\]\n){0,120}") {
            let _ = read(&text, &base("example.fr"));
        }
    }
}
