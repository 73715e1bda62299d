//! What happens, and when, as a certificate draws near its end.

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

/// All that is to be done for a certificate that ends at `not_after`, in order.
#[must_use]
pub fn schedule(rules: &RenewalRules, not_after: Timestamp) -> Vec<(Timestamp, Step)> {
    let mut steps: Vec<_> = rules.notices.iter().map(|before| (not_after - *before, Step::Notice)).collect();
    if rules.places() {
        steps.push((not_after - rules.open_before, Step::Place));
    }
    steps.sort_unstable();
    steps
}

/// When there is next something to do after an instant; `None` where nothing is left.
#[must_use]
pub fn next_after(rules: &RenewalRules, not_after: Timestamp, done_until: Timestamp) -> Option<Timestamp> {
    schedule(rules, not_after).into_iter().map(|(at, _)| at).find(|at| *at > done_until)
}

/// What is to be done at `now`, when all until `done_until` was: of several notices that were missed, one; where the order is to be
/// placed, that alone, since it tells more. Nothing once the certificate has ended.
#[must_use]
pub fn due(rules: &RenewalRules, not_after: Timestamp, done_until: Timestamp, now: Timestamp) -> Option<Step> {
    let missed = |(at, _): &(Timestamp, Step)| *at > done_until && *at <= now;
    schedule(rules, not_after).into_iter().filter(missed).map(|(_, step)| step).max().filter(|_| now < not_after)
}

/// The reference of the order that renews the one called `order_ref`, unique for each certificate's end.
#[must_use]
pub fn order_ref(order_ref: &str, not_after: Timestamp) -> String {
    let first = order_ref.split_once(MARK).map_or(order_ref, |(first, _)| first);
    let day = not_after.to_utc().date();
    let tail = format!("{MARK}{day}");
    // A reference that is as long as one may be gives way.
    let room = ORDER_REF_MAX_CHARS.saturating_sub(tail.chars().count());
    first.chars().take(room).chain(tail.chars()).collect()
}

/// What stands between a reference and the day of the end.
const MARK: &str = "/renewal/";

/// Longest reference of an order, in characters.
pub const ORDER_REF_MAX_CHARS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::profile::{CreatedBy, Silence};
    use proptest::prelude::*;
    use std::time::Duration;

    const END: Timestamp = Timestamp::from_unix_secs(1_830_000_000);

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
        assert_eq!(schedule(&jprs, END), [(at(35), Step::Notice), (at(30), Step::Notice), (at(30), Step::Place)]);
        assert_eq!(next_after(&jprs, END, at(40)), Some(at(35)));
        assert_eq!(next_after(&jprs, END, at(30)), None);
        assert_eq!(due(&jprs, END, at(40), at(36)), None);
        assert_eq!(due(&jprs, END, at(40), at(31)), Some(Step::Notice));
        assert_eq!(due(&jprs, END, at(40), at(20)), Some(Step::Place), "a daemon that was down does what counts");
        assert_eq!(due(&jprs, END, at(40), END), None, "nobody renews what has ended");
        let caller = rules(CreatedBy::Caller, &[]);
        assert!(schedule(&caller, END).is_empty());
        assert_eq!(schedule(&RenewalRules { silence: Silence::ContinueWithLast, ..caller }, END).len(), 1);
    }

    #[test]
    fn each_renewal_has_a_reference_of_its_own() {
        let first = order_ref("A-1001", END);
        assert_eq!(first, "A-1001/renewal/2027-12-28");
        assert_eq!(order_ref(&first, END + days(365)), "A-1001/renewal/2028-12-27");
        assert_eq!(order_ref(&"x".repeat(128), END).chars().count(), 128);
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
                if due(&rules, END, done, now) == Some(Step::Place) {
                    placed += 1;
                }
                done = now;
            }
            prop_assert!(placed <= usize::from(places));
        }
    }
}
