//! The operators' policy on names: which never take constructed addresses, and which orders wait for a person first.
//!
//! Spec: BR v2.2.6 §4.2.1 (High Risk Certificate Requests).

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::decision::Scope;
use super::name::{CertificateName, Fqdn};
use super::profile::Profile;

/// Longest reason kept with an entry, in characters.
pub const REASON_MAX_CHARS: usize = 500;

/// An entry that cannot stand.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{entry}`: {problem}")]
pub struct PolicyError {
    /// The entry's name.
    pub entry: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Names, each with the reason why it is listed. An entry stands for its name and every name below.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NameList {
    /// By lower-case A-labels.
    reasons: HashMap<String, String>,
}

/// Why a name is listed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// The name that was looked for.
    pub name: String,
    /// The entry that stands for it.
    pub entry: String,
    /// The entry's reason.
    pub reason: String,
}

impl NameList {
    /// Takes entries of names and reasons.
    ///
    /// # Errors
    /// [`PolicyError`] for a name that is no host name, one that is listed twice, or a reason that is missing or too long.
    pub fn new(entries: BTreeMap<String, String>) -> Result<Self, PolicyError> {
        let mut reasons = HashMap::new();
        for (entry, reason) in entries {
            let err = |problem| PolicyError { entry: entry.clone(), problem };
            let ascii = idna::domain_to_ascii_strict(&entry).map_err(|_| err("is no domain name"))?;
            if ascii.is_empty() {
                return Err(err("is no domain name"));
            }
            if reason.trim().is_empty() || reason.chars().count() > REASON_MAX_CHARS {
                return Err(err("needs a reason of at most 500 characters"));
            }
            if reasons.insert(ascii, reason).is_some() {
                return Err(err("is listed twice"));
            }
        }
        Ok(Self { reasons })
    }

    /// The nearest entry that stands for `name`.
    #[must_use]
    pub fn find(&self, name: &Fqdn) -> Option<Listed> {
        if self.reasons.is_empty() {
            return None;
        }
        let mut at = name.as_str();
        loop {
            if let Some(reason) = self.reasons.get(at) {
                return Some(Listed { name: name.to_string(), entry: at.to_owned(), reason: reason.clone() });
            }
            at = at.split_once('.')?.1;
        }
    }

    /// The entries for names below `name`: what a wildcard, or an approval of a whole subtree, would reach.
    #[must_use]
    pub fn find_below(&self, name: &Fqdn) -> Vec<Listed> {
        let below = |entry: &&String| entry.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
        let mut found: Vec<Listed> = self
            .reasons
            .iter()
            .filter(|(entry, _)| below(entry))
            .map(|(entry, reason)| Listed { name: name.to_string(), entry: entry.clone(), reason: reason.clone() })
            .collect();
        found.sort_by(|a, b| a.entry.cmp(&b.entry));
        found
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reasons.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// The lists in force.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// Names at which no constructed address is usable: whoever registers a mailbox there could be `admin`.
    pub refuse_adn: NameList,
    /// Names whose orders send no mail until an operator releases them.
    pub hold: NameList,
}

impl Policy {
    /// Why an order for `name` waits for an operator: entries for the name or above it, and where the approval may reach further
    /// than the name itself, entries below what it reaches.
    #[must_use]
    pub fn holds(&self, name: &CertificateName, profile: &Profile) -> Vec<Listed> {
        if self.hold.is_empty() {
            return Vec::new();
        }
        let scopes = &profile.page.scope_options;
        let reach = if scopes.contains(&Scope::Base) || scopes.contains(&Scope::Subtree) {
            // Of the widest ADN that somebody may be asked at; WHOIS and RDAP know the Base Domain Name.
            Some(name.fqdn().base_domain())
        } else if name.is_wildcard() {
            Some(name.fqdn().clone())
        } else {
            None
        };
        let mut found: Vec<Listed> = self.hold.find(name.fqdn()).into_iter().collect();
        for below in reach.iter().flat_map(|reach| self.hold.find_below(reach)) {
            if !found.contains(&below) && !found.iter().any(|known| known.entry == below.entry) {
                found.push(below);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::name::SuffixList;

    fn list(entries: &[(&str, &str)]) -> Result<NameList, PolicyError> {
        NameList::new(entries.iter().map(|(name, reason)| ((*name).to_owned(), (*reason).to_owned())).collect())
    }

    fn fqdn(name: &str) -> Fqdn {
        Fqdn::parse(name, &SuffixList::BuiltIn).unwrap()
    }

    #[test]
    fn an_entry_stands_for_its_name_and_all_below_and_the_nearest_wins() {
        let list = list(&[("example.co.jp", "a"), ("www.example.co.jp", "b"), ("日本語.jp", "c"), ("go.jp", "d")]).unwrap();
        let found = |name: &str| list.find(&fqdn(name)).map(|one| (one.entry, one.reason));
        assert_eq!(found("mail.example.co.jp"), Some(("example.co.jp".to_owned(), "a".to_owned())));
        assert_eq!(found("a.www.example.co.jp"), Some(("www.example.co.jp".to_owned(), "b".to_owned())));
        assert_eq!(found("xn--wgv71a119e.jp").map(|one| one.1), Some("c".to_owned()));
        assert_eq!(found("any.go.jp").map(|one| one.1), Some("d".to_owned()));
        assert_eq!(found("notexample.co.jp"), None);
    }

    #[test]
    fn a_list_is_taken_whole_or_refused_whole() {
        for (entries, problem) in [
            (vec![("a b.jp", "x")], "no domain name"),
            (vec![("", "x")], "no domain name"),
            (vec![("example.jp", " ")], "needs a reason"),
            (vec![("EXAMPLE.jp", "x"), ("example.jp", "y")], "twice"),
        ] {
            assert!(list(&entries).unwrap_err().to_string().contains(problem), "{entries:?}");
        }
    }

    #[test]
    fn an_order_is_held_for_whatever_its_approval_could_reach() {
        let profile = |scopes: &str| -> Profile {
            let text = include_str!("../../config/profiles/standard.toml");
            let mut table: toml::Table = text.parse().unwrap();
            table.insert("id".to_owned(), "test".into());
            let mut profile: Profile = table.try_into().unwrap();
            profile.page.scope_options = scopes.split(' ').map(|one| Scope::from_text(one).unwrap()).collect();
            profile
        };
        let hold = list(&[("pay.example.co.jp", "a brand")]).unwrap();
        let policy = Policy { hold, ..Policy::default() };
        let held = |name: &str, scopes: &str| {
            policy.holds(&CertificateName::parse(name, &SuffixList::BuiltIn).unwrap(), &profile(scopes)).len()
        };
        for (name, scopes, expected) in [
            ("www.example.co.jp", "fqdn", 0),
            ("www.example.co.jp", "order", 0),
            ("www.example.co.jp", "fqdn subtree", 1),
            ("www.example.co.jp", "base", 1),
            ("*.example.co.jp", "order", 1),
            ("*.www.example.co.jp", "order", 0),
            ("a.pay.example.co.jp", "fqdn", 1),
            ("www.example.com", "subtree", 0),
        ] {
            assert_eq!(held(name, scopes), expected, "{name} {scopes}");
        }
    }
}
