//! The Baseline Requirements' e-mail methods and the dated table of what each is worth on a day.

use serde::{Serialize, Serializer};
use time::Date;
use time::macros::date;

use super::timestamp::Timestamp;

/// The version of the Baseline Requirements that this table was read from.
pub const BR_VERSION: &str = "2.2.6";

/// When that version was published.
pub const BR_AS_OF: Date = date!(2026 - 03 - 31);

/// How an approver's address was found, as the Baseline Requirements number it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Method {
    /// Spec: BR v2.2.6 §3.2.2.4.2, e-mail to a Domain Contact.
    DomainContact,
    /// Spec: BR v2.2.6 §3.2.2.4.4, constructed e-mail.
    Constructed,
    /// Spec: BR v2.2.6 §3.2.2.4.13, e-mail to the DNS CAA contact.
    DnsCaaContact,
    /// Spec: BR v2.2.6 §3.2.2.4.14, e-mail to the DNS TXT contact.
    DnsTxtContact,
}

impl Method {
    /// Every method, in the order of their sections.
    pub const ALL: [Self; 4] = [Self::DomainContact, Self::Constructed, Self::DnsCaaContact, Self::DnsTxtContact];

    /// The section's number, which is the method's name in the outer contract.
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Self::DomainContact => "3.2.2.4.2",
            Self::Constructed => "3.2.2.4.4",
            Self::DnsCaaContact => "3.2.2.4.13",
            Self::DnsTxtContact => "3.2.2.4.14",
        }
    }

    /// The ballot that set the day on which the method ends.
    #[must_use]
    pub const fn ballot(self) -> &'static str {
        match self {
            Self::DomainContact => "SC-080",
            Self::Constructed | Self::DnsCaaContact | Self::DnsTxtContact => "SC-090",
        }
    }

    /// Whether other Network Perspectives must see the same address. Spec: BR v2.2.6 §3.2.2.9.
    #[must_use]
    pub const fn needs_corroboration(self) -> bool {
        matches!(self, Self::DnsCaaContact | Self::DnsTxtContact)
    }

    /// Reads a section's number.
    #[must_use]
    pub fn from_section(section: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.section() == section)
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.section())
    }
}

/// What the Baseline Requirements say of a method on a day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleStatus {
    /// May be used.
    Allowed,
    /// SHOULD NOT be used; still counts.
    ShouldNot,
    /// MUST NOT be used, prior validations included.
    MustNot,
}

/// A method's standing on a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Rule {
    /// What the method may be used for.
    pub status: RuleStatus,
    /// The day this status began; `None` where it held before the table begins.
    #[serde(serialize_with = "day")]
    pub since: Option<Date>,
    /// The day from which the method must not be used.
    #[serde(serialize_with = "day")]
    pub ends: Option<Date>,
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde hands the field over by reference")]
fn day<S: Serializer>(date: &Option<Date>, serializer: S) -> Result<S::Ok, S::Error> {
    match date {
        // Twice for every address of a listing: by hand, which is several times as fast as the general formatter.
        Some(date) => {
            let (year, month, day) = date.to_calendar_date();
            let mut text = *b"0000-00-00";
            for (at, value) in [(3, year.unsigned_abs()), (6, u32::from(u8::from(month))), (9, u32::from(day))] {
                let (mut at, mut value) = (at, value);
                while value > 0 && text[at] != b'-' {
                    text[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
                    value /= 10;
                    at = at.saturating_sub(1);
                }
            }
            serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
        }
        None => serializer.serialize_none(),
    }
}

/// From when e-mail methods SHOULD NOT be used. Spec: BR v2.2.6 §3.2.2.4.4, .13, .14.
const EMAIL_SHOULD_NOT: Date = date!(2026 - 03 - 15);
/// From when e-mail methods MUST NOT be used, prior validations included. Spec: BR v2.2.6 §3.2.2.4.4, .13, .14.
const EMAIL_MUST_NOT: Date = date!(2028 - 03 - 15);
/// From when Domain Contacts MUST NOT be used, prior validations included. Spec: BR v2.2.6 §3.2.2.4.2.
const CONTACT_MUST_NOT: Date = date!(2025 - 07 - 15);

/// Looks a method up in the dated table.
#[must_use]
pub fn rule(method: Method, at: Timestamp) -> Rule {
    let from = |day: Date| at >= Timestamp::start_of(day);
    let (should_not, must_not) = match method {
        Method::DomainContact => (CONTACT_MUST_NOT, CONTACT_MUST_NOT),
        Method::Constructed | Method::DnsCaaContact | Method::DnsTxtContact => (EMAIL_SHOULD_NOT, EMAIL_MUST_NOT),
    };
    let (status, since) = if from(must_not) {
        (RuleStatus::MustNot, Some(must_not))
    } else if from(should_not) {
        (RuleStatus::ShouldNot, Some(should_not))
    } else {
        (RuleStatus::Allowed, None)
    };
    Rule { status, since, ends: Some(must_not) }
}

/// How many remote Network Perspectives must be asked, and in how many RIR regions those must lie that see the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Quorum {
    /// Remote perspectives at least, besides the primary one.
    pub remote_perspectives: u8,
    /// Regions at least in which corroborating ones lie.
    pub rir_regions: u8,
}

/// The quorum from each day on. Spec: BR v2.2.6 §3.2.2.9.
const QUORUM_ROWS: [(Date, Quorum); 4] = [
    (date!(2025 - 09 - 15), Quorum { remote_perspectives: 2, rir_regions: 0 }),
    (date!(2026 - 03 - 15), Quorum { remote_perspectives: 3, rir_regions: 2 }),
    (date!(2026 - 06 - 15), Quorum { remote_perspectives: 4, rir_regions: 2 }),
    (date!(2026 - 12 - 15), Quorum { remote_perspectives: 5, rir_regions: 2 }),
];

/// The quorum that a method needs on a day; `None` where it needs none.
#[must_use]
pub fn quorum(method: Method, at: Timestamp) -> Option<Quorum> {
    let in_force = QUORUM_ROWS.iter().rev().find(|(from, _)| at >= Timestamp::start_of(*from));
    in_force.map(|(_, quorum)| *quorum).filter(|_| method.needs_corroboration())
}

impl Quorum {
    /// How many of `asked` remote perspectives may see something else. Spec: BR v2.2.6 §3.2.2.9.
    #[must_use]
    pub const fn non_corroborations_max(asked: u8) -> u8 {
        match asked {
            0 | 1 => 0,
            2..=5 => 1,
            6.. => 2,
        }
    }
}

/// How long a validation may be reused, by the day of issuance: days, and the first day of the next row.
/// Spec: BR v2.2.6 §4.2.1.
const REUSE_ROWS: [(u32, Option<Date>); 4] =
    [(398, Some(date!(2026 - 03 - 15))), (200, Some(date!(2027 - 03 - 15))), (100, Some(date!(2029 - 03 - 15))), (10, None)];

/// How long a validation may be reused under one row of the table, by the day of issuance. Spec: BR v2.2.6 §4.2.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct ReuseRow {
    /// Days from its initiation.
    pub max_days: u32,
    /// The row's first day; `None` where it held before the table begins.
    #[serde(serialize_with = "day")]
    pub issued_from: Option<Date>,
    /// The next row's first day; `None` for the last row.
    #[serde(serialize_with = "day")]
    pub issued_before: Option<Date>,
    /// The instant from which issuance may not rest on it, within the row; `None` where it may not at any time of the row.
    pub usable_until: Option<Timestamp>,
}

/// What each row of the table allows for a validation initiated at an instant.
#[must_use]
pub fn reuse_rows(method: Method, initiated: Timestamp) -> Vec<ReuseRow> {
    let method_ends = rule(method, initiated).ends.map(Timestamp::start_of);
    let mut from = None;
    let mut rows = Vec::with_capacity(REUSE_ROWS.len());
    for (days, ends) in REUSE_ROWS {
        let begins = from.map(Timestamp::start_of).filter(|begins| *begins > initiated).unwrap_or(initiated);
        let until = [ends.map(Timestamp::start_of), method_ends].into_iter().flatten().fold(initiated.plus_days(days), Ord::min);
        rows.push(ReuseRow {
            max_days: days,
            issued_from: from,
            issued_before: ends,
            usable_until: (until > begins).then_some(until),
        });
        from = ends;
    }
    rows
}

/// How many days after it was initiated a validation may be used for issuance on a day. Spec: BR v2.2.6 §4.2.1.
#[must_use]
pub fn reuse_days(at: Timestamp) -> u32 {
    let row = REUSE_ROWS.iter().find(|(_, ends)| ends.is_none_or(|ends| at < Timestamp::start_of(ends)));
    row.map_or(0, |(days, _)| *days)
}

/// The last instant at which every row of the table still allows issuance on a validation initiated at `initiated`;
/// `None` when the method must not be used by then.
///
/// Spec: BR v2.2.6 §3.2.2.4 ("initiated within"), §4.2.1.
#[must_use]
pub fn reusable_until(method: Method, initiated: Timestamp) -> Option<Timestamp> {
    let ends = rule(method, initiated).ends.map(Timestamp::start_of);
    if ends.is_some_and(|ends| initiated >= ends) {
        return None;
    }
    let mut until = initiated;
    for (days, row_ends) in REUSE_ROWS.map(|(days, ends)| (days, ends.map(Timestamp::start_of))) {
        if row_ends.is_some_and(|row_ends| row_ends <= initiated) {
            continue;
        }
        let allowed = initiated.plus_days(days);
        if allowed <= until {
            break;
        }
        match row_ends {
            Some(row_ends) if allowed >= row_ends => until = row_ends,
            _ => {
                until = allowed;
                break;
            }
        }
    }
    Some(ends.map_or(until, |ends| until.min(ends)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn statuses_change_at_midnight_utc() {
        let before = rule(Method::Constructed, at("2026-03-14T23:59:59.999999Z"));
        assert_eq!((before.status, before.since), (RuleStatus::Allowed, None));
        let after = rule(Method::Constructed, at("2026-03-15T00:00:00Z"));
        assert_eq!(after.status, RuleStatus::ShouldNot);
        assert_eq!(rule(Method::DnsTxtContact, at("2028-03-15T00:00:00Z")).status, RuleStatus::MustNot);
        assert_eq!(rule(Method::DomainContact, at("2025-07-14T00:00:00Z")).status, RuleStatus::Allowed);
        assert_eq!(rule(Method::DomainContact, at("2026-11-22T00:00:00Z")).status, RuleStatus::MustNot);
    }

    #[test]
    fn a_rule_prints_as_the_contract_shows() {
        let rule = rule(Method::Constructed, at("2026-11-22T00:00:00Z"));
        assert_eq!(serde_json::to_string(&rule).unwrap(), r#"{"status":"should-not","since":"2026-03-15","ends":"2028-03-15"}"#);
    }

    #[test]
    fn the_reuse_limit_shrinks_on_its_days() {
        let days = |text| reuse_days(at(text));
        assert_eq!(days("2026-03-14T23:59:59Z"), 398);
        assert_eq!(days("2026-11-22T00:00:00Z"), 200);
        assert_eq!(days("2027-03-15T00:00:00Z"), 100);
        assert_eq!(days("2029-03-15T00:00:00Z"), 10);
    }

    #[test]
    fn the_quorum_grows_on_its_days_and_only_dns_contacts_need_one() {
        let remote =
            |text| quorum(Method::DnsTxtContact, at(text)).map(|quorum| (quorum.remote_perspectives, quorum.rir_regions));
        assert_eq!(remote("2025-09-14T23:59:59Z"), None);
        assert_eq!(remote("2025-09-15T00:00:00Z"), Some((2, 0)));
        assert_eq!(remote("2026-11-22T00:00:00Z"), Some((4, 2)));
        assert_eq!(remote("2026-12-14T23:59:59Z"), Some((4, 2)));
        assert_eq!(remote("2026-12-15T00:00:00Z"), Some((5, 2)));
        assert_eq!(quorum(Method::Constructed, at("2026-11-22T00:00:00Z")), None);
        assert_eq!([1, 2, 5, 6, 9].map(Quorum::non_corroborations_max), [0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_shorter_row_cuts_reuse_on_its_first_day() {
        let until = |text| reusable_until(Method::Constructed, at(text)).map(|t| t.to_string());
        assert_eq!(until("2026-11-22T09:00:00Z").as_deref(), Some("2027-03-15T00:00:00Z"));
        // Initiated late enough that the 100-day row still reaches past its own first day.
        assert_eq!(until("2027-01-01T00:00:00Z").as_deref(), Some("2027-04-11T00:00:00Z"));
        assert_eq!(until("2026-04-01T00:00:00Z").as_deref(), Some("2026-10-18T00:00:00Z"));
        assert_eq!(until("2028-01-01T00:00:00Z").as_deref(), Some("2028-03-15T00:00:00Z"));
        assert_eq!(until("2028-03-15T00:00:00Z"), None);
        assert_eq!(reusable_until(Method::DomainContact, at("2026-11-22T00:00:00Z")), None);
    }

    #[test]
    fn each_row_tells_its_own_last_instant() {
        let until = |text| -> Vec<Option<String>> {
            reuse_rows(Method::Constructed, at(text)).iter().map(|row| row.usable_until.map(|t| t.to_string())).collect()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(until("2026-11-22T00:00:00Z"), [None, some("2027-03-15T00:00:00Z"), None, None]);
        assert_eq!(until("2027-01-01T00:00:00Z"), [None, some("2027-03-15T00:00:00Z"), some("2027-04-11T00:00:00Z"), None]);
    }

    proptest! {
        #[test]
        fn reusable_until_is_where_the_first_gap_in_the_rows_begins(secs in 1_735_689_600_i64..1_836_000_000) {
            let initiated = Timestamp::from_unix_secs(secs);
            let mut until = initiated;
            for row in reuse_rows(Method::Constructed, initiated) {
                let begins = row.issued_from.map_or(initiated, Timestamp::start_of).max(initiated);
                if let Some(ends) = row.usable_until.filter(|_| begins <= until) {
                    until = until.max(ends);
                }
            }
            prop_assert_eq!(reusable_until(Method::Constructed, initiated), (until > initiated).then_some(until));
        }

        #[test]
        fn reuse_never_outlasts_a_row_that_holds_on_its_last_day(secs in 1_735_689_600_i64..1_836_000_000) {
            let initiated = Timestamp::from_unix_secs(secs);
            if let Some(until) = reusable_until(Method::Constructed, initiated) {
                prop_assert!(until > initiated);
                let just_before = until - std::time::Duration::from_micros(1);
                let days = REUSE_ROWS.iter()
                    .find(|(_, end)| end.is_none_or(|end| just_before < Timestamp::start_of(end)))
                    .map(|(days, _)| *days).unwrap();
                prop_assert!(just_before <= initiated.plus_days(days));
                prop_assert!(until <= Timestamp::start_of(EMAIL_MUST_NOT));
            }
        }
    }
}
