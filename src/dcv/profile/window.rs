//! How long links can be answered, and what follows.

use serde::{Deserialize, Serialize};

use super::WINDOW_MAX_DAYS;
use crate::dcv::timestamp::Timestamp;

/// How long things stay open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Days of 86,400 s from the Random Value's creation to the deadline, 1 to 30.
    pub days: u32,
    /// Where within its day the deadline lies.
    #[serde(default)]
    pub rounding: Rounding,
    /// What follows when nobody answered in time.
    #[serde(default)]
    pub on_expiry: OnExpiry,
    /// Days for choosing an approver while an order awaits one, 1 to 365.
    pub selection_days: u32,
}

impl Window {
    /// The deadline of a link made at `created`. Spec: BR v2.2.6 §3.2.2.4.4 (no more than 30 days).
    #[must_use]
    pub fn ends(&self, created: Timestamp) -> Timestamp {
        let plain = created.plus_days(self.days);
        match self.rounding {
            Rounding::None => plain,
            Rounding::EndOfDayJst => plain.end_of_day_jst().min(created.plus_days(WINDOW_MAX_DAYS)),
        }
    }
}

/// Where within its day a deadline lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// As many seconds after the beginning as the days have.
    #[default]
    None,
    /// At the day's end in Japan, never past 30 days.
    EndOfDayJst,
}

/// What follows when nobody answered in time. The link is over either way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// Whoever handles the request asks anew: a new order that follows this one.
    #[default]
    Reissue,
    /// The applicant must apply again.
    Reapply,
}
