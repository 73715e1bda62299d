//! What happens, and when, as a certificate draws near its end.

use super::order::reference::followed_by;
use super::profile::RenewalRules;
use super::timestamp::Timestamp;

/// One thing to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// The ordering side is told.
    Notice,
    /// This service places the order that renews.
    Place,
}

/// When a certificate holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// From when.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

impl Life {
    /// When this service places the order that renews, where it does: as long before the end as the rules say, and in the last third of a
    /// life too short for that.
    #[must_use]
    pub fn opens(self, rules: &RenewalRules) -> Timestamp {
        let third = self.not_after.since(self.not_before) / 3;
        self.not_after - rules.open_before.min(third)
    }
}

/// All that is to be done for a certificate, in order.
#[must_use]
pub fn schedule(rules: &RenewalRules, life: Life) -> Vec<(Timestamp, Step)> {
    let mut steps: Vec<_> = rules.notices.iter().map(|before| (life.not_after - *before, Step::Notice)).collect();
    steps.retain(|(at, _)| *at > life.not_before);
    if rules.places() {
        steps.push((life.opens(rules), Step::Place));
    }
    steps.sort_unstable();
    steps
}

/// When there is next something to do after an instant; `None` where nothing is left.
#[must_use]
pub fn next_after(rules: &RenewalRules, life: Life, done_until: Timestamp) -> Option<Timestamp> {
    schedule(rules, life).into_iter().map(|(at, _)| at).find(|at| *at > done_until)
}

/// What is to be done at `now`, when all until `done_until` was: of several notices that were missed, one; where the order is to be
/// placed, that alone, since it tells more. Nothing once the certificate has ended.
#[must_use]
pub fn due(rules: &RenewalRules, life: Life, done_until: Timestamp, now: Timestamp) -> Option<Step> {
    let missed = |(at, _): &(Timestamp, Step)| *at > done_until && *at <= now;
    schedule(rules, life).into_iter().filter(missed).map(|(_, step)| step).max().filter(|_| now < life.not_after)
}

/// The reference of the order that renews the one called `order_ref`, unique for each certificate.
#[must_use]
pub fn order_ref(order_ref: &str, not_after: Timestamp, serial: &str) -> String {
    let first = order_ref.rsplit_once(MARK).filter(|(_, tail)| is_tail(tail)).map_or(order_ref, |(first, _)| first);
    let day = not_after.to_utc().date();
    // The last digits: the first ones are one authority's for all that it issues.
    let last = serial.char_indices().rev().nth(SERIAL_CHARS - 1).map_or(0, |(at, _)| at);
    let tail = format!("{MARK}{day}/{}", &serial[last..]);
    followed_by(first, &tail)
}

/// Whether this is what follows the mark in a reference of ours: a day and a serial number.
fn is_tail(tail: &str) -> bool {
    let is_day = |day: &str| day.len() == 10 && day.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    tail.split_once('/').is_some_and(|(day, serial)| is_day(day) && serial.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// What stands between a reference and the day of the end.
const MARK: &str = "/renewal/";

/// Characters of the serial number in a reference.
const SERIAL_CHARS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::profile::{CreatedBy, Silence};
    use proptest::prelude::*;
    use std::time::Duration;

    const END: Timestamp = Timestamp::from_unix_secs(1_830_000_000);
    const YEAR: Life = Life { not_before: Timestamp::from_unix_secs(1_830_000_000 - 400 * 86_400), not_after: END };

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * 86_400)
    }

    fn rules(created_by: CreatedBy, notices: &[u64]) -> RenewalRules {
        RenewalRules { created_by, notices: notices.iter().map(|one| days(*one)).collect(), ..RenewalRules::default() }
    }

    #[test]
    fn notices_come_first_and_the_order_thirty_days_before_the_end() {
        let jprs = rules(CreatedBy::Scheduler, &[35, 30]);
        let at = |before: u64| END - days(before);
        assert_eq!(schedule(&jprs, YEAR), [(at(35), Step::Notice), (at(30), Step::Notice), (at(30), Step::Place)]);
        assert_eq!(next_after(&jprs, YEAR, at(40)), Some(at(35)));
        assert_eq!(next_after(&jprs, YEAR, at(30)), None);
        assert_eq!(due(&jprs, YEAR, at(40), at(36)), None);
        assert_eq!(due(&jprs, YEAR, at(40), at(31)), Some(Step::Notice));
        assert_eq!(due(&jprs, YEAR, at(40), at(20)), Some(Step::Place), "a daemon that was down does what counts");
        assert_eq!(due(&jprs, YEAR, at(40), END), None, "nobody renews what has ended");
        let caller = rules(CreatedBy::Caller, &[]);
        assert!(schedule(&caller, YEAR).is_empty());
        assert_eq!(schedule(&RenewalRules { silence: Silence::ContinueWithLast, ..caller }, YEAR).len(), 1);
    }

    #[test]
    fn each_renewal_has_a_reference_of_its_own() {
        let first = order_ref("A-1001", END, "0a1b");
        assert_eq!(first, "A-1001/renewal/2027-12-28/0a1b");
        assert_eq!(order_ref(&first, END + days(365), "0c"), "A-1001/renewal/2028-12-27/0c");
        assert_eq!(order_ref("A/renewal/plan", END, "0c"), "A/renewal/plan/renewal/2027-12-28/0c", "a caller's own words stay");
        let long = |last: &str| order_ref(&format!("{}{last}", "x".repeat(127)), END, &"f".repeat(40));
        let serial = |last: &str| order_ref("A", END, &format!("{}{last}", "ab".repeat(16)));
        assert_ne!(serial("01"), serial("02"));
        assert_eq!(long("a").chars().count(), 128);
        assert_ne!(long("a"), long("b"));
    }

    #[test]
    fn a_short_life_is_renewed_in_its_last_third() {
        let jprs = rules(CreatedBy::Scheduler, &[35, 30]);
        let short = Life { not_before: END - days(30), not_after: END };
        assert_eq!(schedule(&jprs, short), [(END - days(10), Step::Place)], "no notice before it holds");
        // Reported late: what is past is done at once.
        assert_eq!(next_after(&jprs, YEAR, YEAR.not_before), Some(END - days(35)));
        assert_eq!(due(&jprs, YEAR, YEAR.not_before, END - days(20)), Some(Step::Place));
    }

    proptest! {
        #[test]
        fn what_is_due_was_scheduled_and_never_comes_twice(
            notices in proptest::collection::vec(1_u64..180, 0..6), open in 1_u64..180, places: bool, looks in proptest::collection::vec(0_u64..400, 1..20),
        ) {
            let rules = RenewalRules {
                created_by: if places { CreatedBy::Scheduler } else { CreatedBy::Caller },
                open_before: days(open),
                ..rules(CreatedBy::Caller, &notices)
            };
            let mut looks = looks;
            looks.sort_unstable();
            let (mut done, mut placed) = (END - days(400), 0);
            for look in looks {
                let now = END - days(400) + days(look);
                if due(&rules, YEAR, done, now) == Some(Step::Place) {
                    placed += 1;
                }
                done = now;
            }
            prop_assert!(placed <= usize::from(places));
        }
    }
}
