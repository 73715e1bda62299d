//! What the approve page asks, and how it says it.

use serde::{Deserialize, Serialize};

use super::Languages;
use crate::dcv::decision::Scope;

/// The deliberate act that approving takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    /// The authority box, a scope, or a signer's name.
    Check,
    /// The confirmation code that stands in the mail and not in its link.
    Code,
    /// The address that the mail went to, typed again.
    Address,
}

impl Confirm {
    /// The value as profiles spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Code => "code",
            Self::Address => "address",
        }
    }
}

/// Whether an input is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// Shown and needed to approve.
    Required,
    /// Shown.
    Optional,
    /// Not shown.
    Hidden,
}

/// Whether a reason is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedReason {
    /// Shown, and needed to refuse.
    RequiredOnReject,
    /// Shown.
    #[default]
    Optional,
    /// Not shown.
    Hidden,
}

impl AskedReason {
    /// The value as profiles spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequiredOnReject => "required_on_reject",
            Self::Optional => "optional",
            Self::Hidden => "hidden",
        }
    }
}

/// Whether approving takes a number that comes by another way than the mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessPin {
    /// It does not.
    #[default]
    Off,
    /// It does: the ordering system gets it with the order, and hands it over after its own check of who that is.
    Required,
}

/// What the approve page asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The deliberate act.
    pub confirm: Confirm,
    /// Whether the box "I have authority over this domain" is shown and needed.
    pub authority_check: bool,
    /// The signer's name.
    pub signer: Asked,
    /// The scopes offered; a single one is not shown.
    pub scope_options: Vec<Scope>,
    /// The scope that is chosen when the page opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope_default: Option<Scope>,
    /// What stands beside the scopes, in Japanese; empty = nothing.
    #[serde(default)]
    pub scope_hint_ja: String,
    /// What the field for the signer's name is called, and what stands below it; empty = the standard words.
    #[serde(default)]
    pub signer_label_ja: String,
    /// The same in English.
    #[serde(default)]
    pub signer_label_en: String,
    /// What stands below the field.
    #[serde(default)]
    pub signer_hint_ja: String,
    /// The same in English.
    #[serde(default)]
    pub signer_hint_en: String,
    /// A reason for refusing.
    #[serde(default)]
    pub reason: AskedReason,
    /// A number that comes by another way.
    #[serde(default)]
    pub access_pin: AccessPin,
    /// Whether an approval is shown once more as it was entered, before it is given.
    #[serde(default)]
    pub review_step: bool,
    /// Whether mails tell where a broken link can be entered.
    #[serde(default = "yes")]
    pub enter_code: bool,
    /// The languages one can switch between.
    #[serde(default)]
    pub languages: Languages,
    /// What the buttons say; empty = the standard words.
    #[serde(default)]
    pub approve_label_ja: String,
    /// The same in English.
    #[serde(default)]
    pub approve_label_en: String,
    /// The button that refuses.
    #[serde(default)]
    pub reject_label_ja: String,
    /// The same in English.
    #[serde(default)]
    pub reject_label_en: String,
}

impl Page {
    /// Every text that a profile may word, by key.
    pub(super) fn wordings(&self) -> [(&'static str, &str); 9] {
        [
            ("page.approve_label_ja", &self.approve_label_ja),
            ("page.approve_label_en", &self.approve_label_en),
            ("page.reject_label_ja", &self.reject_label_ja),
            ("page.reject_label_en", &self.reject_label_en),
            ("page.signer_label_ja", &self.signer_label_ja),
            ("page.signer_label_en", &self.signer_label_en),
            ("page.signer_hint_ja", &self.signer_hint_ja),
            ("page.signer_hint_en", &self.signer_hint_en),
            ("page.scope_hint_ja", &self.scope_hint_ja),
        ]
    }
}

const fn yes() -> bool {
    true
}
