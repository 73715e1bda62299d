//! What happens when a certificate that was issued on an order draws near its end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{span, spans};
use crate::dcv::timestamp::DAY_SECS;

/// Whether a renewal asks again although an earlier approval lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revalidate {
    /// It does.
    #[default]
    Always,
    /// Only where none can be reused (`reuse.mode`).
    IfNotReusable,
}

/// Who places the order that renews.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreatedBy {
    /// The ordering system.
    #[default]
    Caller,
    /// This service: nobody applies, and the mail comes again.
    Scheduler,
}

/// What follows where the ordering system was told of the end and placed no order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// This service places the order with what was told last.
    ContinueWithLast,
    /// Nothing: the certificate ends.
    #[default]
    Stop,
}

/// What happens when a certificate draws near its end. Times count back from there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RenewalRules {
    /// Whether a renewal asks again although an earlier approval lives.
    pub revalidate: Revalidate,
    /// Who places the order that renews.
    pub created_by: CreatedBy,
    /// How long before the end this service places it, where it does.
    #[serde(with = "span")]
    pub open_before: Duration,
    /// When the order's `notify` is told that the end draws near.
    #[serde(with = "spans")]
    pub notices: Vec<Duration>,
    /// What follows where the ordering system places no order.
    pub silence: Silence,
}

impl RenewalRules {
    /// Whether this service ever places the order that renews.
    #[must_use]
    pub fn places(&self) -> bool {
        self.created_by == CreatedBy::Scheduler || self.silence == Silence::ContinueWithLast
    }
}

impl Default for RenewalRules {
    /// Nobody is told and nothing is placed.
    fn default() -> Self {
        Self {
            revalidate: Revalidate::Always,
            created_by: CreatedBy::Caller,
            open_before: Duration::from_secs(30 * DAY_SECS),
            notices: Vec::new(),
            silence: Silence::Stop,
        }
    }
}
