//! IANA's answer for a top-level domain: only the referral counts, never the contacts, which are the TLD operator's.

use super::whois_field::server_name;

/// The registry's WHOIS server as IANA names it: `refer:` else `whois:`; `None` when it names none.
///
/// `domain:`, where given, must be the TLD that was asked.
#[must_use]
pub fn referral(text: &str, tld: &str) -> Option<String> {
    let value = |label: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(label).then(|| value.trim())
        })
    };
    if value("domain").is_some_and(|domain| !domain.eq_ignore_ascii_case(tld)) {
        return None;
    }
    value("refer").or_else(|| value("whois")).and_then(server_name)
}

/// Whether a text is IANA's answer for `tld` rather than a registry's for a domain.
#[must_use]
pub fn is_iana(text: &str, tld: &str) -> bool {
    if !text.contains("IANA") && !text.contains("refer:") {
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
}
