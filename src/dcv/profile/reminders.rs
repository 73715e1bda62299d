//! When recipients are reminded, and how often a mail may be sent once more.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{span, spans};

/// What a reminder is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReminderMode {
    /// The same mail once more.
    IdenticalResend,
    /// A notice without a link.
    NoticeOnly,
    /// There is none.
    Off,
}

/// When recipients who have not answered are reminded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reminders {
    /// How long before the deadline.
    #[serde(with = "spans")]
    pub at: Vec<Duration>,
    /// What they get.
    pub mode: ReminderMode,
}

impl Reminders {
    /// How long before the deadline there is a reminder.
    pub fn offsets(&self) -> impl Iterator<Item = Duration> {
        self.at.iter().copied().filter(|_| self.mode != ReminderMode::Off)
    }

    /// Whether a reminder is the mail itself.
    #[must_use]
    pub fn is_identical(&self) -> bool {
        self.mode == ReminderMode::IdenticalResend
    }
}

impl Default for Reminders {
    /// None, where a profile says nothing of them.
    fn default() -> Self {
        Self { at: Vec::new(), mode: ReminderMode::Off }
    }
}

/// How often a mail may be sent once more on somebody's word.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resends {
    /// Time between one sending and the next.
    #[serde(with = "span")]
    pub min_interval: Duration,
    /// How often.
    pub max: u32,
}

impl Default for Resends {
    fn default() -> Self {
        Self { min_interval: Duration::ZERO, max: 5 }
    }
}
