//! Answers of `whois.jprs.jp`, in English and Japanese.
//!
//! General-use and prefecture types show the public contact's address; the others name JPNIC handles that take a second query.

use super::Role;
use super::whois::{Handle, Reading, WhoisStatus, classify};
use super::whois_field::{contact_value, is_cut, names_domain};
use crate::dcv::email::EmailAddress;
use crate::dcv::name::{Adn, DomainClass};

/// A labelled line: `a. [Label]   value` or `[Label]   value`.
struct Field<'t> {
    section: Section,
    label: &'t str,
    value: &'t str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Domain,
    Contact,
}

/// Splits an answer into its labelled lines; the banner, continuation lines and free text are not among them.
fn fields(text: &str) -> impl Iterator<Item = Field<'_>> {
    let mut section = None;
    // Some copies are indented as a whole; a line indented deeper than the rest still continues the one before.
    let indented = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let margin = text.lines().filter(|line| !line.trim().is_empty()).map(indented).min().unwrap_or(0);
    text.split('\n')
        .map(move |line| line.get(margin..).unwrap_or(""))
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .filter_map(move |line| {
            let heading = |english: &str| line.strip_prefix(english).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
            if heading("Domain Information:") {
                section = Some(Section::Domain);
            } else if heading("Contact Information:") {
                section = Some(Section::Contact);
            }
            let section = section?;
            let bytes = line.as_bytes();
            let lettered = bytes.len() > 3 && bytes[0].is_ascii_lowercase() && &bytes[1..3] == b". ";
            let (label, value) = line.get(if lettered { 3 } else { 0 }..)?.strip_prefix('[')?.split_once(']')?;
            Some(Field { section, label, value: value.trim() })
        })
}

/// JPNIC handles as seen on domains, and JPNIC's group handles.
fn is_handle(value: &str) -> bool {
    let digits = |text: &str, range: std::ops::RangeInclusive<usize>| {
        range.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    let person = value.strip_suffix("JP").is_some_and(|rest| {
        rest.get(..2).is_some_and(|letters| letters.bytes().all(|b| b.is_ascii_uppercase()))
            && rest.get(2..).is_some_and(|number| digits(number, 3..=6))
    });
    person || value.strip_prefix("JP").is_some_and(|number| digits(number, 8..=8))
}

/// Reads the answer for a domain.
#[must_use]
pub fn read_domain(text: &str, base: &Adn) -> Reading {
    if text.split('\n').any(|line| line.trim() == "No match!!") {
        return Reading::nothing(WhoisStatus::NotFound);
    }
    let by_handle = matches!(base.fqdn().class(), DomainClass::JpOrganizational | DomainClass::JpGeographic);
    let mut reading = Reading::nothing(WhoisStatus::Found);
    let (mut named, mut addresses) = (0, 0);
    for field in fields(text) {
        match (field.section, field.label) {
            (Section::Domain, "Domain Name" | "ドメイン名") if names_domain(field.value, base) => named += 1,
            (Section::Domain, "Domain Name" | "ドメイン名") => return Reading::error("other-name"),
            (Section::Domain, "State" | "Status" | "状態") => {
                let word = field.value.split(' ').next().unwrap_or("");
                reading.status = match word {
                    "Suspended" | "Deleted" => WhoisStatus::Suspended,
                    "Reserved" => WhoisStatus::Reserved,
                    _ => reading.status,
                };
            }
            (Section::Domain, "Administrative Contact" | "登録担当者") if !field.value.is_empty() => {
                reading.handles.push(handle(Role::Administrative, "登録担当者", field.value));
            }
            (Section::Domain, "Technical Contact" | "技術連絡担当者") if !field.value.is_empty() => {
                reading.handles.push(handle(Role::Technical, "技術連絡担当者", field.value));
            }
            (Section::Contact, "Email") if is_cut(text, field.value) => return Reading::error("truncated"),
            (Section::Contact, "Email") => {
                addresses += 1;
                contact_value(Role::Public, "公開連絡窓口", field.value, &mut reading.contacts, &mut reading.reasons);
            }
            _ => {}
        }
    }
    if named == 0 && classify(text) == WhoisStatus::RateLimited {
        return Reading::nothing(WhoisStatus::RateLimited);
    }
    if named != 1 {
        return Reading::error("unreadable-answer");
    }
    if addresses > 1 {
        return Reading::error("doubled-field");
    }
    // The class by the name and the layout of the answer must agree; either alone could be somebody else's text.
    if if by_handle { addresses > 0 } else { !reading.handles.is_empty() } {
        return Reading::error("other-layout");
    }
    // What is no handle must never be sent as a question.
    if reading.handles.iter().any(|one| !is_handle(&one.handle)) {
        return Reading::error("bad-handle");
    }
    match reading.status {
        WhoisStatus::Found => reading,
        other => Reading::nothing(other),
    }
}

fn handle(role: Role, label: &str, value: &str) -> Handle {
    Handle { role, label: label.to_owned(), handle: value.to_owned() }
}

/// Whether a text is a handle's answer rather than a domain's.
#[must_use]
pub fn is_handle_answer(text: &str) -> bool {
    let mut labels = fields(text).map(|field| field.label);
    labels.any(|label| matches!(label, "JPNIC Handle" | "JP Handle" | "JPNICハンドル" | "JPハンドル"))
}

/// Reads the answer for a handle: the address under `[E-Mail]`, never the one under `[Reply Mail]`.
///
/// # Errors
/// A stable code when the answer is not one record of that handle.
pub fn read_handle(text: &str, handle: &str) -> Result<Option<EmailAddress>, &'static str> {
    if text.split('\n').any(|line| line.trim() == "No match!!") {
        return Err("handle-not-found");
    }
    let (mut named, mut emails) = (0, Vec::new());
    for field in fields(text).filter(|field| field.section == Section::Contact) {
        match field.label {
            "JPNIC Handle" | "JP Handle" | "JPNICハンドル" | "JPハンドル" => {
                if field.value != handle {
                    return Err("handle-mismatch");
                }
                named += 1;
            }
            "E-Mail" | "電子メイル" | "電子メール" if is_cut(text, field.value) => return Err("truncated"),
            "E-Mail" | "電子メイル" | "電子メール" if !field.value.is_empty() => {
                emails.push(EmailAddress::parse(field.value));
            }
            _ => {}
        }
    }
    if named != 1 || emails.len() > 1 {
        return Err("unreadable-answer");
    }
    emails.pop().transpose().map_err(|_| "bad-email")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::name::SuffixList;
    use proptest::prelude::*;

    const BANNER: &str = "[ JPRS database provides information on network administration. Its use is    ]\r\n\
        [ restricted to network administration purposes. For further information,     ]\r\n\r\n";

    fn base(name: &str) -> Adn {
        Adn::parse(name, &SuffixList::BuiltIn).unwrap()
    }

    #[test]
    fn organizational_names_give_handles_and_free_text_gives_nothing() {
        let text = format!(
            "{BANNER}Domain Information:\r\na. [Domain Name]                EXAMPLE.CO.JP\r\n\
             g. [Organization]               Bar Ltd. Admin Email: evil@attacker.example\r\n\
             m. [Administrative Contact]     AB1234JP\r\nn. [Technical Contact]          CD567JP\r\n\
             [State]                         Connected (2027/03/31)\r\n\
             \x20                               [Email] hidden@attacker.example\r\n"
        );
        let reading = read_domain(&text, &base("example.co.jp"));
        assert_eq!(reading.status, WhoisStatus::Found);
        assert!(reading.contacts.is_empty());
        assert_eq!(reading.handles.iter().map(|h| h.handle.as_str()).collect::<Vec<_>>(), ["AB1234JP", "CD567JP"]);
        let injected = text.replace("CD567JP", "CD567JP/e ^XX1JP");
        assert_eq!(read_domain(&injected, &base("example.co.jp")).reasons, ["bad-handle"]);
    }

    #[test]
    fn general_names_give_the_public_contact_in_both_languages() {
        for (heading, label) in [("Contact Information:", "[Name]"), ("Contact Information: [公開連絡窓口]", "[名前]")] {
            let text = format!(
                "{BANNER}Domain Information: [ドメイン情報]\n[Domain Name]                   EXAMPLE.JP\n[Email]   not-here@example.jp\n\n\
                 {heading}\n{label}                          Taro\n[Email]                         taro@example.jp\n[Fax]                           \n"
            );
            let reading = read_domain(&text, &base("example.jp"));
            assert_eq!(reading.contacts.len(), 1, "{heading}");
            assert_eq!(reading.contacts[0].email.to_string(), "taro@example.jp");
            assert_eq!(reading.contacts[0].role, Some(Role::Public));
        }
    }

    #[test]
    fn an_answer_about_another_name_or_two_is_an_error() {
        let other = "Domain Information:\n[Domain Name]   OTHER.JP\nContact Information:\n[Email]  a@other.jp\n";
        assert_eq!(read_domain(other, &base("example.jp")).status, WhoisStatus::Error);
        let twice = "Domain Information:\n[Domain Name]  EXAMPLE.JP\n[Domain Name]  EXAMPLE.JP\n";
        assert_eq!(read_domain(twice, &base("example.jp")).status, WhoisStatus::Error);
        assert_eq!(read_domain("Too many requests\n", &base("example.jp")).status, WhoisStatus::RateLimited);
        assert_eq!(read_domain("Something else\n", &base("example.jp")).status, WhoisStatus::Error);
        assert_eq!(read_domain("No match!!\r\n", &base("example.jp")).status, WhoisStatus::NotFound);
    }

    #[test]
    fn a_suspended_name_has_no_contacts() {
        let text =
            "Domain Information:\n[Domain Name]  EXAMPLE.JP\n[Status]  Suspended\nContact Information:\n[Email]  a@example.jp\n";
        let reading = read_domain(text, &base("example.jp"));
        assert_eq!((reading.status, reading.contacts.len()), (WhoisStatus::Suspended, 0));
    }

    #[test]
    fn a_handle_yields_its_mailbox_and_never_the_notification_address() {
        let text = "Contact Information:\r\na. [JPNIC Handle]               AB1234JP\r\nd. [E-Mail]                     a@example.co.jp\r\n\
                    y. [Reply Mail]                 not-this@example.co.jp\r\n[Last Update]                   2026/04/01\r\n\
                    \x20                               db-staff@nic.ad.jp\r\n";
        assert_eq!(read_handle(text, "AB1234JP").unwrap().unwrap().to_string(), "a@example.co.jp");
        assert_eq!(read_handle(text, "ZZ9999JP"), Err("handle-mismatch"));
        assert_eq!(read_handle("No match!!", "AB1234JP"), Err("handle-not-found"));
        assert_eq!(read_handle("", "AB1234JP"), Err("unreadable-answer"));
    }

    #[test]
    fn an_answer_cut_within_its_address_yields_none() {
        let handles =
            "Contact Information:\r\na. [JPNIC Handle]               AB1234JP\r\nd. [E-Mail]                     a@example.co";
        assert_eq!(read_handle(handles, "AB1234JP"), Err("truncated"));
        assert_eq!(read_handle(handles, "ZZ9999JP"), Err("handle-mismatch"));
        let general =
            "Domain Information:\r\n[Domain Name]   EXAMPLE.JP\r\n\r\nContact Information:\r\n[Email]   taro@example.co";
        let reading = read_domain(general, &base("example.jp"));
        assert_eq!(
            (reading.status, reading.contacts.len(), reading.reasons),
            (WhoisStatus::Error, 0, vec!["truncated".to_owned()])
        );
        // Recorded answers end without a line end on other lines.
        let reading = read_domain(&format!("{general}.jp\r\n[Fax]    03-0000-0000"), &base("example.jp"));
        assert_eq!(reading.contacts[0].email.to_string(), "taro@example.co.jp");
        let rest = format!("{handles}.jp\r\n[Last Update]                   2026/04/01");
        assert_eq!(read_handle(&rest, "AB1234JP").unwrap().unwrap().to_string(), "a@example.co.jp");
    }

    #[test]
    fn an_answer_cut_before_its_address_line_shows_no_address() {
        let general = "Domain Information:\r\n[Domain Name]   EXAMPLE.JP\r\n\r\nContact Information:\r\n[Name]   Taro\r\n[Em";
        let reading = read_domain(general, &base("example.jp"));
        assert_eq!((reading.status, reading.contacts.len()), (WhoisStatus::Found, 0));
        assert_eq!(read_handle("Contact Information:\r\na. [JPNIC Handle]   AB1234JP\r\nd. [E-M", "AB1234JP"), Ok(None));
    }

    proptest! {
        #[test]
        fn no_answer_panics(text in "(\\PC|\n|\r|\\[|\\]){0,200}") {
            let _ = read_domain(&text, &base("example.jp"));
            let _ = read_handle(&text, "AB1234JP");
        }
    }
}
