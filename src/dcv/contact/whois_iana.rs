//! IANA's answer for a top-level domain: only the referral counts, never the contacts, which are the TLD operator's.

use super::whois_field::{is_cut, server_name};

/// The registry's WHOIS server as IANA names it: `refer:` else `whois:`; `None` when it names none, or the answer was cut within it.
///
/// `domain:`, where given, must be the TLD that was asked.
#[must_use]
pub fn referral(text: &str, tld: &str) -> Option<String> {
    if field(text, "domain").is_some_and(|domain| !domain.eq_ignore_ascii_case(tld)) {
        return None;
    }
    server(text).filter(|server| !is_cut(text, server)).and_then(server_name)
}

/// Whether IANA says that the TLD has no WHOIS server. One that it names and that nobody can ask (`localhost`) is no such word.
#[must_use]
pub fn has_none(text: &str, tld: &str) -> bool {
    is_iana(text, tld) && server(text).is_none()
}

fn field<'t>(text: &'t str, label: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(label).then(|| value.trim())
    })
}

fn server(text: &str) -> Option<&str> {
    ["refer", "whois"].into_iter().filter_map(|label| field(text, label)).find(|named| !named.is_empty())
}

/// Whether a text is IANA's answer for `tld` rather than a registry's for a domain.
#[must_use]
pub fn is_iana(text: &str, tld: &str) -> bool {
    if !text.contains("IANA") && !text.contains("refer:") {
        return false;
    }
    if server(text).is_some_and(|server| is_cut(text, server)) {
        return false;
    }
    let mut fields = text.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()));
    let ours = fields.any(|(name, value)| name == "domain" && value.eq_ignore_ascii_case(tld));
    ours && text
        .lines()
        .any(|line| line.starts_with("refer:") || line.split_once(':').is_some_and(|(n, v)| n == "source" && v.trim() == "IANA"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_referral_and_nothing_else() {
        let text =
            "% IANA\nrefer:        whois.jprs.jp\n\ndomain:       JP\ncontact: administrative\ne-mail: x@registry.example\n";
        assert_eq!(referral(text, "jp").as_deref(), Some("whois.jprs.jp"));
        assert_eq!(referral(text, "com"), None);
        assert_eq!(referral("domain: DEV\nwhois:\n", "dev"), None);
        assert_eq!(referral("domain: X\nwhois: whois.nic.x-y\n", "x").as_deref(), Some("whois.nic.x-y"));
    }

    #[test]
    fn a_server_whose_name_was_cut_is_none_and_the_text_no_answer() {
        let cut = "% IANA\ndomain:       X\nrefer:        whois.nic.co";
        assert_eq!((referral(cut, "x"), is_iana(cut, "x")), (None, false));
        let whole = format!("{cut}\n");
        assert_eq!((referral(&whole, "x").as_deref(), is_iana(&whole, "x")), (Some("whois.nic.co"), true));
    }

    #[test]
    fn that_there_is_no_server_is_said_by_naming_none() {
        for none in ["domain: DEV\nsource: IANA\n", "domain: DEV\nwhois:\nsource: IANA\n"] {
            assert!(has_none(none, "dev"), "{none}");
        }
        for other in ["refer: localhost\ndomain: DEV\n", "domain: DEV\nwhois: 127.0.0.1\nsource: IANA\n", "domain: DEV\n"] {
            assert!(!has_none(other, "dev") && referral(other, "dev").is_none(), "{other}");
        }
    }
}
