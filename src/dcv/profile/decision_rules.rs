//! How answers become decisions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::span;
use crate::dcv::timestamp::DAY_SECS;

/// Whose answer counts where several people are asked for one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionPolicy {
    /// The first.
    FirstWins,
    /// An approval waits for the others' refusal, for a while or until all have answered.
    RejectVetoes,
}

/// Whether the page offers to refuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectButton {
    /// It does; a refusal ends the names it was asked for.
    #[default]
    Record,
    /// It does; a refusal cancels the whole order.
    CancelOrder,
    /// It does not: whoever does not approve says that they do not recognise the request, or leaves it.
    Hidden,
}

/// How answers become decisions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecisionRules {
    /// How many people must approve a name, 1 to 5.
    pub quorum: u32,
    /// Whose answer counts.
    pub policy: DecisionPolicy,
    /// How long an approval waits for a refusal.
    #[serde(with = "span")]
    pub veto_for: Duration,
    /// Whether the page offers to refuse.
    pub reject: RejectButton,
    /// Whether the page offers to say that the request is not recognised.
    pub report: bool,
}

impl Default for DecisionRules {
    fn default() -> Self {
        Self {
            quorum: 1,
            policy: DecisionPolicy::FirstWins,
            veto_for: Duration::from_secs(DAY_SECS),
            reject: RejectButton::Record,
            report: true,
        }
    }
}

impl RejectButton {
    /// Whether the page offers to refuse.
    #[must_use]
    pub fn is_offered(self) -> bool {
        self != Self::Hidden
    }
}
