//! The five addresses put together from an ADN. Spec: BR v2.2.6 §3.2.2.4.4.

use serde::{Deserialize, Deserializer, Serialize};

use super::{Approver, Source, refusal};
use crate::dcv::email::{ADDRESS_MAX_OCTETS, EmailAddress};
use crate::dcv::method;
use crate::dcv::name::Adn;
use crate::dcv::policy::Policy;
use crate::dcv::profile::Profile;
use crate::dcv::timestamp::Timestamp;

/// The five local parts; configuration can take some away and never add one. Spec: BR v2.2.6 §3.2.2.4.4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LocalPart {
    /// `admin`
    Admin,
    /// `administrator`
    Administrator,
    /// `webmaster`
    Webmaster,
    /// `hostmaster`
    Hostmaster,
    /// `postmaster`
    Postmaster,
}

impl<'de> Deserialize<'de> for LocalPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        if let Some(part) = Self::ALL.into_iter().find(|part| part.as_str() == text) {
            return Ok(part);
        }
        let nearest = Self::ALL.into_iter().map(Self::as_str).min_by_key(|part| strsim::damerau_levenshtein(part, &text));
        let nearest = nearest.filter(|part| strsim::damerau_levenshtein(part, &text) <= SLIP_MAX);
        let hint = nearest.map_or_else(String::new, |part| format!("; did you mean `{part}`?"));
        let five = Self::ALL.map(Self::as_str).join(", ");
        let problem = format!("`{text}` is none of the five, {five} (BR v2.2.6 section 3.2.2.4.4){hint}");
        Err(serde::de::Error::custom(problem))
    }
}

/// Most letters that a local part may differ in to be taken for a slip of the keyboard.
const SLIP_MAX: usize = 2;

impl LocalPart {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Admin, Self::Administrator, Self::Webmaster, Self::Hostmaster, Self::Postmaster];

    /// The local part as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Administrator => "administrator",
            Self::Webmaster => "webmaster",
            Self::Hostmaster => "hostmaster",
            Self::Postmaster => "postmaster",
        }
    }
}

/// The reason that says that policy refuses constructed addresses at an ADN.
pub const ADN_REFUSED: &str = "adn-refused";

/// Every constructed address the profile offers at `adns`, nearest ADN first. At an ADN of nearly 253 octets some local
/// parts make no address (RFC 5321 §4.5.3.1.3): those are left out, and [`some_too_long`] says so.
pub(super) fn approvers(adns: &[Adn], profile: &Profile, policy: &Policy, now: Timestamp) -> Vec<Approver> {
    let rule = method::rule(Source::Constructed.method(), now);
    let refused = refusal(Source::Constructed, rule, profile);
    adns.iter()
        .map(|adn| (adn, refused.or_else(|| policy.refuse_adn.find(adn.fqdn()).map(|_| ADN_REFUSED))))
        .flat_map(|(adn, reason)| profile.addresses.local_parts.iter().map(move |part| (adn, reason, part)))
        .filter_map(|(adn, reason, part)| {
            Some(Approver {
                email: EmailAddress::at(part.as_str(), adn)?,
                adn: adn.clone(),
                source: Source::Constructed,
                role: None,
                usable: reason.is_none(),
                reason: reason.map(str::to_owned),
                rule,
                lookup: None,
                looked_up_at: now,
                valid_until: None,
                also: Vec::new(),
            })
        })
        .collect()
}

/// Whether an ADN is too long for one of the profile's local parts.
pub(super) fn some_too_long(adns: &[Adn], profile: &Profile) -> bool {
    let longest = profile.addresses.local_parts.iter().map(|part| part.as_str().len()).max().unwrap_or(0);
    adns.iter().any(|adn| longest + 1 + adn.as_str().len() > ADDRESS_MAX_OCTETS)
}
