//! What becomes of an order besides its answers: reuse, a second one for the same names, cancellation.

use serde::{Deserialize, Serialize};

use crate::dcv::retention::EVIDENCE_MIN_DAYS;

/// Whether approvals are reused for later orders.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReuseMode {
    /// Every order asks again.
    PerApplication,
    /// An order rests on the live approval of an earlier one, where it covers the name.
    PerDomain,
}

/// Reuse of approvals.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reuse {
    /// Whether approvals are reused.
    pub mode: ReuseMode,
    /// For how many days from their initiation, where that is less than the table of the Baseline Requirements allows.
    #[serde(default, with = "max_days")]
    pub max_days: Option<u32>,
}

/// A number of days, or "br": as the Baseline Requirements say.
mod max_days {
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum MaxDays {
        Days(u32),
        Word(String),
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
        match MaxDays::deserialize(deserializer)? {
            MaxDays::Days(days) if days > 0 => Ok(Some(days)),
            MaxDays::Word(word) if word == "br" => Ok(None),
            _ => Err(serde::de::Error::custom("must be \"br\", or a number of days from 1 on")),
        }
    }

    #[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde hands the field over by reference")]
    pub(super) fn serialize<S: Serializer>(days: &Option<u32>, serializer: S) -> Result<S::Ok, S::Error> {
        match days {
            Some(days) => serializer.serialize_u32(*days),
            None => serializer.serialize_str("br"),
        }
    }
}

/// What a profile demands of names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyRules {
    /// Whether a name is ordered only where the client's allow-list holds it, or a domain above it.
    pub require_domain_allowlist: bool,
}

/// What a second order for the same names does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// Both run.
    Multiple,
    /// The second is refused while the first is open.
    SingleOpen,
    /// The first is cancelled.
    Supersede,
}

/// On whose word an order is cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CancelParty {
    /// Who applied for the certificate.
    Applicant,
    /// Who provides it.
    Provider,
    /// Who runs this service.
    Operator,
}

impl CancelParty {
    /// Every party.
    pub const ALL: [Self; 3] = [Self::Applicant, Self::Provider, Self::Operator];

    /// Reads the contract's spelling.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        match text {
            "applicant" => Some(Self::Applicant),
            "provider" => Some(Self::Provider),
            "operator" => Some(Self::Operator),
            _ => None,
        }
    }

    /// The party as the contract spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applicant => "applicant",
            Self::Provider => "provider",
            Self::Operator => "operator",
        }
    }
}

/// What must be told with a cancellation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelField {
    /// Why.
    Reason,
    /// One of the order's names, so that no other order is cancelled by mistake.
    CommonName,
    /// On whose word.
    By,
}

/// Who may cancel an order, and what that takes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CancelRules {
    /// On whose word.
    pub by: Vec<CancelParty>,
    /// What must be told.
    pub required_fields: Vec<CancelField>,
}

impl Default for CancelRules {
    /// Anybody, who says why.
    fn default() -> Self {
        Self { by: CancelParty::ALL.to_vec(), required_fields: vec![CancelField::Reason] }
    }
}
/// How long orders are kept after they ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRules {
    /// Days after the end of the last certificate, or of the order where there can be none.
    pub evidence_days: u32,
    /// How long a certificate may last that nobody reported, in days.
    pub certificate_days: u32,
    /// Days after the end of the last certificate, as above, after which what is about people is taken out; 0 = with the order.
    pub personal_days: u32,
}

impl Default for RetentionRules {
    fn default() -> Self {
        Self { evidence_days: EVIDENCE_MIN_DAYS, certificate_days: 398, personal_days: 0 }
    }
}
