//! One certificate service's rules, as data.
//!
//! A profile is read from `<profile_dir>/<id>.toml`; combinations that make no sense do not deserialize or are refused by
//! [`Profile::lint`]. An order freezes the profile's content hash, so that a later edit does not reach back.

mod addresses;
mod advice;
mod decision_rules;
mod languages;
mod lint;
mod mail_rules;
mod order_rules;
mod page;
mod reminders;
mod renewal_rules;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::Date;

pub use self::addresses::{Addresses, AdnChoice, Dispatch, ManualEntry, PrivacyProxy, RoleMap, SelectedAt, SelectedBy};
pub use self::advice::{Advice, Level, advice, advised};
pub use self::decision_rules::{DecisionPolicy, DecisionRules, RejectButton};
pub use self::languages::Languages;
pub use self::lint::LintError;
pub use self::mail_rules::{MailBody, MailRules, SubjectFields};
pub use self::order_rules::{CancelField, CancelParty, CancelRules, Concurrency, PolicyRules, RetentionRules, Reuse, ReuseMode};
pub use self::page::{AccessPin, Asked, AskedReason, Confirm, Page};
pub use self::reminders::{ReminderMode, Reminders, Resends};
pub use self::renewal_rules::{CreatedBy, RenewalRules, Revalidate, Silence};
pub use self::window::{OnExpiry, Rounding, Window};
use super::decision::Scope;
use super::timestamp::Timestamp;

/// Longest window in days, from the Random Value's creation. Spec: BR v2.2.6 §3.2.2.4.4, .13, .14 ("no more than 30 days").
pub const WINDOW_MAX_DAYS: u32 = 30;

/// What the dated rule table does to a profile's orders.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compliance {
    /// What the table forbids on the day is refused.
    Enforce,
    /// Each result is marked with its method's status; nothing is refused.
    Record,
}

impl Compliance {
    /// The value as the outer contract spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Record => "record",
        }
    }
}

/// Who corroborates DNS addresses from other Network Perspectives. Spec: BR v2.2.6 §3.2.2.9.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Corroboration {
    /// Nobody: under `enforce`, TXT and CAA addresses are listed and not usable.
    #[default]
    None,
    /// The certificate authority's own perspectives, before issuance.
    External,
}

/// A check that others make, noted beside the order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExternalCheck {
    /// A telephone call to the applicant.
    Phone,
    /// Documents that the applicant sends.
    Documents,
    /// A third party's records.
    ThirdParty,
}

impl ExternalCheck {
    /// The check as profiles spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Documents => "documents",
            Self::ThirdParty => "third_party",
        }
    }
}

/// The rules of one certificate service at one period.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The name that orders use; the file's name without `.toml`.
    pub id: String,
    /// What the service is called in Japanese.
    pub title_ja: String,
    /// What the service is called in English.
    pub title_en: String,
    /// The certificate authority, shown in mails; empty where it is not told.
    #[serde(default)]
    pub ca: String,
    /// Who takes applications, shown in mails; empty where it is not told.
    #[serde(default)]
    pub seller: String,
    /// What is ordered where an order does not say.
    #[serde(default)]
    pub product: String,
    /// The service's first day, in Japan.
    #[serde(default, with = "date")]
    pub valid_from: Option<Date>,
    /// The service's last day, in Japan.
    #[serde(default, with = "date")]
    pub valid_until: Option<Date>,
    /// Where the values stand that are not this product's own.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// Checks that others make, noted beside the order.
    #[serde(default)]
    pub external_checks: Vec<ExternalCheck>,
    /// What the dated rule table does.
    pub compliance: Compliance,
    /// Who corroborates DNS addresses.
    #[serde(default)]
    pub corroboration: Corroboration,
    /// Whose addresses may be asked.
    pub addresses: Addresses,
    /// How long things stay open.
    pub window: Window,
    /// What the approve page asks.
    pub page: Page,
    /// How answers become decisions.
    #[serde(default)]
    pub decision: DecisionRules,
    /// When recipients are reminded.
    #[serde(default)]
    pub reminders: Reminders,
    /// How often a mail may be sent once more.
    #[serde(default)]
    pub resend: Resends,
    /// The mails' wording, and which notices go.
    #[serde(default)]
    pub mail: MailRules,
    /// Reuse of approvals.
    pub reuse: Reuse,
    /// What happens when a certificate draws near its end.
    #[serde(default)]
    pub renewal: RenewalRules,
    /// What is demanded of names.
    #[serde(default)]
    pub policy: PolicyRules,
    /// What a second order for the same names does.
    pub concurrency: Concurrency,
    /// Who may cancel an order, and what that takes.
    #[serde(default)]
    pub cancel: CancelRules,
    /// How long orders are kept.
    #[serde(default)]
    pub retention: RetentionRules,
}

/// A day as "2025-07-06", or "none".
mod date {
    use serde::{Deserialize, Deserializer, Serializer};
    use time::Date;
    use time::format_description::BorrowedFormatItem;
    use time::macros::format_description;

    const FORMAT: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let read = |text: String| {
            Date::parse(&text, FORMAT).map_err(|_| serde::de::Error::custom("must be a day such as 2025-07-06, or \"none\""))
        };
        text.filter(|text| text != "none").map(read).transpose()
    }

    #[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde hands the field over by reference")]
    pub(super) fn serialize<S: Serializer>(date: &Option<Date>, serializer: S) -> Result<S::Ok, S::Error> {
        match date {
            Some(date) => serializer.serialize_str(&date.format(FORMAT).map_err(serde::ser::Error::custom)?),
            None => serializer.serialize_none(),
        }
    }
}

impl Profile {
    /// Whether the service takes orders on a day; its dates are Japan's.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        let today = now.to_jst().date();
        self.valid_from.is_none_or(|from| from <= today) && self.valid_until.is_none_or(|until| today <= until)
    }

    /// The effective values of a profile as it was written: where approvals are reused and no scope is asked for, they reach the
    /// names alone, and the page says so. One for its order alone could never be reused.
    #[must_use]
    pub fn effective(mut self) -> Self {
        if self.reuse.mode == ReuseMode::PerDomain && self.page.scope_options == [Scope::Order] {
            self.page.scope_options = vec![Scope::Fqdn];
        }
        self
    }
}

/// A profile with its content hash.
#[derive(Debug, Clone)]
pub struct Versioned {
    /// The rules.
    pub profile: Profile,
    /// Effective values, JSON.
    pub body: String,
    /// SHA-256 of `body`.
    pub hash: [u8; 32],
}

impl Versioned {
    /// Hashes a profile's effective values.
    ///
    /// # Errors
    /// The profile cannot be written as JSON.
    pub fn new(profile: Profile) -> Result<Self, serde_json::Error> {
        let body = serde_json::to_string(&profile)?;
        let hash = Sha256::digest(body.as_bytes()).into();
        Ok(Self { profile, body, hash })
    }

    /// Reads effective values as stored.
    ///
    /// # Errors
    /// The text is no profile.
    pub fn from_body(body: &str) -> Result<Self, serde_json::Error> {
        // As it was frozen: keys that came later are no part of it.
        Ok(Self { profile: serde_json::from_str(body)?, body: body.to_owned(), hash: Sha256::digest(body.as_bytes()).into() })
    }
}

/// Every profile in force, by name.
#[derive(Debug, Clone)]
pub struct Catalog {
    all: BTreeMap<String, Arc<Versioned>>,
    default: Arc<Versioned>,
}

impl Catalog {
    /// Takes the profiles; `None` when none of them is called `default`.
    #[must_use]
    pub fn new(profiles: Vec<Versioned>, default: &str) -> Option<Self> {
        let all: BTreeMap<_, _> = profiles.into_iter().map(|one| (one.profile.id.clone(), Arc::new(one))).collect();
        let default = all.get(default).cloned()?;
        Some(Self { all, default })
    }

    /// The profile an order names, or the default one.
    #[must_use]
    pub fn get(&self, id: Option<&str>) -> Option<&Arc<Versioned>> {
        id.map_or(Some(&self.default), |id| self.all.get(id))
    }

    /// Every profile, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Versioned>> {
        self.all.values()
    }
}

/// Durations as configuration writes them: "26d", "10s", "1h30m".
pub mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Reads "26d", "10s", "1h30m".
    ///
    /// # Errors
    /// The text is no such duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(serde::de::Error::custom)
    }

    /// Writes what [`deserialize`] reads.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*span))
    }
}

/// Lists of [`span`]s.
mod spans {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Span(#[serde(with = "super::span")] Duration);

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
        Ok(Vec::<Span>::deserialize(deserializer)?.into_iter().map(|span| span.0).collect())
    }

    pub(super) fn serialize<S: Serializer>(spans: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(spans.iter().map(|span| Span(*span)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: SubjectFields<'_> = SubjectFields { domain: "{order_ref}.example", request_id: "ord_1", order_ref: "A-1" };

    fn rules(subject_ja: &str) -> MailRules {
        MailRules { subject_ja: subject_ja.to_owned(), ..MailRules::default() }
    }

    #[test]
    fn no_profile_lets_the_rendered_defaults_approve() {
        use crate::dcv::decision::Scope;
        let standard: Profile =
            toml::from_str(&format!("id = \"x\"\n{}", include_str!("../../../config/profiles/standard.toml"))).unwrap();
        let all = [Scope::Fqdn, Scope::Subtree, Scope::Base, Scope::Order];
        for bits in 1_u32..16 {
            let scope_options: Vec<Scope> = (0..4).filter(|at| bits & (1 << at) != 0).map(|at| all[at]).collect();
            let page = Page { authority_check: false, scope_options, ..standard.page.clone() };
            let always_a_choice = [true, false].iter().all(|base| crate::dcv::decision::offered_scopes(&page, *base).len() > 1);
            let linted = Profile { page: page.clone(), ..standard.clone() }.lint();
            assert_eq!(linted.is_ok(), always_a_choice, "{:?}", page.scope_options);
            let address = Profile { page: Page { confirm: Confirm::Address, ..page }, ..standard.clone() };
            assert!(address.lint().is_err());
        }
    }

    #[test]
    fn what_an_order_froze_reads_back_as_it_was_when_keys_are_added() {
        let standard: Profile =
            toml::from_str(&format!("id = \"x\"\n{}", include_str!("../../../config/profiles/standard.toml"))).unwrap();
        let mut body = serde_json::to_value(&standard).unwrap();
        for later in ["evidence", "external_checks", "cancel", "valid_until", "seller"] {
            body.as_object_mut().unwrap().remove(later);
        }
        let body = body.to_string();
        let read = Versioned::from_body(&body).unwrap();
        assert_eq!((read.body.as_str(), read.hash), (body.as_str(), Sha256::digest(body.as_bytes()).into()));
    }

    #[test]
    fn a_subject_is_filled_once() {
        let rules = MailRules {
            subject_renewal_ja: "【更新】{domain}".to_owned(),
            ..rules("{order_ref}【{domain}】({request_id})")
        };
        assert_eq!(rules.subject(true, false, &FIELDS).unwrap(), "A-1【{order_ref}.example】(ord_1)", "what is filled in stays");
        assert_eq!(rules.subject(true, true, &FIELDS).unwrap(), "【更新】{order_ref}.example");
        assert_eq!(rules.subject(false, true, &FIELDS), None, "left to the template");
    }

    #[test]
    fn a_subject_must_name_the_domain_and_nothing_unknown() {
        assert_eq!(rules("確認のお願い: {domain}").lint(), Ok(()));
        for bad in ["確認のお願い", "{domain} {cn}", "{domain} あと3日", "{domain}\nBcc: x@example.jp", "{domain}}"] {
            assert_eq!(rules(bad).lint().unwrap_err().key, "mail.subject_ja", "{bad}");
        }
    }
}
