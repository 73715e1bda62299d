//! What the readers of registration data share: the name that was asked for, an address field's value, a server's name.

use super::{Contact, PRIVACY_PROXY, Role};
use crate::dcv::email::EmailAddress;
use crate::dcv::name::Adn;

/// Whether a `Domain Name` value names `base`, in either form of an internationalized name.
pub(super) fn names_domain(value: &str, base: &Adn) -> bool {
    let value = value.trim_end_matches('.');
    value.eq_ignore_ascii_case(base.as_str())
        || (!value.is_ascii() && idna::domain_to_ascii(value).is_ok_and(|ascii| ascii == base.as_str()))
}

/// Domains of services that stand in for a registrant: mail to them reaches whoever the service thinks it should.
const PROXY_DOMAINS: [&str; 14] = [
    "anonymised.email",
    "contact.gandi.net",
    "contactprivacy.com",
    "domainsbyproxy.com",
    "o-w-o.info",
    "privacy-link.com",
    "privacyguardian.org",
    "privacyprotect.org",
    "proxy.dreamhost.com",
    "proxyregistrant.email",
    "whoisguard.com",
    "whoisprivacyprotect.com",
    "whoisproxy.com",
    "withheldforprivacy.com",
];

/// Addresses that a registrar shows for every domain it redacts: an approval from one would approve anything.
const SHARED_ADDRESSES: [&str; 1] = ["info@domain-contact.org"];

/// Why an address should not be mailed as it is, as a stable code.
fn refused_address(email: &EmailAddress) -> Option<&'static str> {
    let domain = email.ascii_domain();
    if SHARED_ADDRESSES.iter().any(|shared| email.to_string().eq_ignore_ascii_case(shared)) {
        return Some("shared-redaction");
    }
    let under = |proxy: &&str| domain.strip_suffix(*proxy).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    PROXY_DOMAINS.iter().any(under).then_some(PRIVACY_PROXY)
}

/// Whether `value`, a part of `text`, stands on a last line that has no end: more of it may have been sent than arrived. Many servers
/// leave out the last line end, behind lines that tell nobody's address.
pub(super) fn is_cut(text: &str, value: &str) -> bool {
    let at = value.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    !text.as_bytes().get(at..).is_some_and(|rest| rest.contains(&b'\n'))
}

/// Tells a reason once.
pub(super) fn note(reasons: &mut Vec<String>, reason: &str) {
    if !reasons.iter().any(|known| known == reason) {
        reasons.push(reason.to_owned());
    }
}

/// Adds a contact: one entry a role and address.
pub(super) fn add(contacts: &mut Vec<Contact>, one: Contact) {
    if !contacts.iter().any(|known| known.role == one.role && known.email == one.email) {
        contacts.push(one);
    }
}

/// Whether a value says that what should stand there is hidden.
fn is_hidden(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    lower.starts_with("please query the rdds")
        || ["redacted", "not disclosed", "not shown"].iter().any(|word| lower.contains(word))
}

/// Why a contact that is shown has no address, by what is shown of it.
pub(super) fn why_no_address<'t>(mut values: impl Iterator<Item = &'t str>) -> &'static str {
    if values.any(is_hidden) { "redacted" } else { "no-email" }
}

/// Reads an address field's value: exactly one address, or a reason why there is none.
pub(super) fn contact_value(role: Role, label: &str, value: &str, contacts: &mut Vec<Contact>, reasons: &mut Vec<String>) {
    if let Ok(email) = EmailAddress::parse(value) {
        add(contacts, contact(role, label, None, email));
        return;
    }
    let lower = value.to_ascii_lowercase();
    let reason = if value.is_empty() {
        "no-email"
    } else if is_hidden(value) {
        "redacted"
    } else if lower.contains("http://") || lower.contains("https://") || lower.contains("email form") {
        "web-form"
    } else {
        "bad-email"
    };
    note(reasons, reason);
}

/// A contact, usable unless its address says otherwise.
pub(super) fn contact(role: Role, label: &str, handle: Option<String>, email: EmailAddress) -> Contact {
    let reason = refused_address(&email).map(str::to_owned);
    Contact { role: Some(role), label: Some(label.to_owned()), handle, usable: reason.is_none(), reason, email }
}

/// Accepts a server name as an answer states it: a bare host name of two labels or more, nothing else.
pub(super) fn server_name(value: &str) -> Option<String> {
    let host = value.trim().to_ascii_lowercase();
    let good = host.len() <= 253
        && host.contains('.')
        && !host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
    good.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_cut_where_no_line_end_follows() {
        let text = "Admin Email: a@example.com\r\nTech Email: b@example.co";
        let values: Vec<&str> = text.lines().filter_map(|line| line.split_once(':')).map(|(_, value)| value.trim()).collect();
        assert_eq!(values.iter().map(|value| is_cut(text, value)).collect::<Vec<_>>(), [false, true]);
        let empty = "Admin Email:";
        assert!(empty.split_once(':').is_some_and(|(_, value)| is_cut(empty, value)));
    }

    #[test]
    fn server_names_are_bare_host_names() {
        assert_eq!(server_name(" WHOIS.ENOM.COM ").as_deref(), Some("whois.enom.com"));
        for bad in
            ["http://www.donuts.co", "whois.example.com:43", "127.0.0.1", "localhost", "a b.example", "[::1]", "-a.example"]
        {
            assert_eq!(server_name(bad), None, "{bad}");
        }
    }
}
