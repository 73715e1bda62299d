//! Which domains an ordering system may order certificates for (許可リスト), and whom it wants asked there.

use super::email::EmailAddress;
use super::field::{FieldError, is_one_line};
use super::name::{Fqdn, SuffixList};

/// Most profiles named for one domain.
const PROFILES_MAX: usize = 50;

/// Longest note, and longest name of a profile, in characters.
const TEXT_MAX_CHARS: usize = 200;

/// One domain of the list: it, and every name below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The domain.
    pub domain: Fqdn,
    /// Whom to ask where an order names nobody; must be one who may approve the name then.
    pub approver: Option<EmailAddress>,
    /// The profiles it may be ordered under; empty for all.
    pub profiles: Vec<String>,
    /// For people.
    pub note: String,
}

impl Entry {
    /// Reads an entry from its texts; an empty approver is none.
    ///
    /// # Errors
    /// Every [`FieldError`] there is; pointers name the fields.
    pub fn parse(
        domain: &str,
        approver: &str,
        profiles: Vec<String>,
        note: &str,
        suffixes: &SuffixList,
    ) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let read = Fqdn::parse(domain.trim(), suffixes)
            .map_err(|error| errors.push(FieldError::new("domain", error.code(), error.to_string())));
        let approver = match approver.trim() {
            "" => None,
            text => EmailAddress::parse(text)
                .map_err(|error| errors.push(FieldError::new("approver", "bad-email", error.to_string())))
                .ok(),
        };
        let is_text = |text: &String| is_one_line(text) && text.chars().count() <= TEXT_MAX_CHARS;
        if profiles.len() > PROFILES_MAX || profiles.iter().any(|profile| profile.is_empty() || !is_text(profile)) {
            errors.push(FieldError::new("profiles", "bad-value", format!("must be {PROFILES_MAX} names of profiles at most")));
        }
        let note = note.trim().to_owned();
        if !is_text(&note) {
            errors.push(FieldError::new("note", "too-long", format!("must be one line of {TEXT_MAX_CHARS} characters at most")));
        }
        match read {
            Ok(domain) if errors.is_empty() => Ok(Self { domain, approver, profiles, note }),
            _ => Err(errors),
        }
    }

    /// Whether a name may be ordered by this entry under a profile.
    #[must_use]
    pub fn allows(&self, profile: &str) -> bool {
        self.profiles.is_empty() || self.profiles.iter().any(|one| one == profile)
    }
}

/// The domains at which an entry would speak for a name: the name itself first, then those above it, down to the Base Domain Name.
#[must_use]
pub fn above(name: &Fqdn) -> Vec<String> {
    name.authorization_domains().iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_whole_or_refused_whole() {
        let parse = |domain: &str, approver: &str, note: &str| {
            Entry::parse(domain, approver, vec!["nii-upki".to_owned()], note, &SuffixList::BuiltIn)
        };
        let entry = parse(" 日本語.jp ", "Admin@日本語.jp", "学科").unwrap();
        assert_eq!((entry.domain.as_str(), entry.note.as_str()), ("xn--wgv71a119e.jp", "学科"));
        assert!(entry.allows("nii-upki") && !entry.allows("standard"));
        let pointers = |errors: Vec<FieldError>| errors.into_iter().map(|one| one.pointer).collect::<Vec<_>>();
        assert_eq!(pointers(parse("co.jp", "nobody", "a\nb").unwrap_err()), ["domain", "approver", "note"]);
        assert!(parse("*.example.jp", "", "").is_err(), "what is below is meant anyway");
    }

    #[test]
    fn the_nearest_domain_speaks_first_and_no_suffix_ever() {
        let name = Fqdn::parse("a.b.example.co.jp", &SuffixList::BuiltIn).unwrap();
        assert_eq!(above(&name), ["a.b.example.co.jp", "b.example.co.jp", "example.co.jp"]);
    }
}
