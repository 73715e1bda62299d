//! What several people's approvals of one name come to.

use std::cmp::Reverse;

use super::decision::Scope;
use super::timestamp::Timestamp;

/// One person's approval of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Given<'a> {
    /// The mailbox that was asked.
    pub by: &'a str,
    /// The ADN it was asked for.
    pub adn: &'a str,
    /// How far the approval reaches.
    pub scope: Scope,
    /// The last instant at which it may be reused.
    pub reusable_until: Option<Timestamp>,
}

/// What approvals come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tally {
    /// More people must approve.
    Waits {
        /// How many have.
        have: u32,
        /// How many must.
        need: u32,
    },
    /// Enough have: the name is approved as far as the approval at this place reaches, the narrowest of them all.
    Reached {
        /// Its place.
        by: usize,
        /// Until when all of them may be reused.
        reusable_until: Option<Timestamp>,
    },
}

/// Counts approvals of one name. A mailbox counts once, however often it was asked and however it is written.
#[must_use]
pub fn tally(given: &[Given<'_>], quorum: u32) -> Tally {
    let mut people: Vec<String> = given.iter().map(|one| one.by.to_lowercase()).collect();
    people.sort_unstable();
    people.dedup();
    let have = u32::try_from(people.len()).unwrap_or(u32::MAX);
    let narrowest = (0..given.len()).min_by_key(|at| (reach(given[*at].scope), Reverse(given[*at].adn.len())));
    match narrowest {
        Some(by) if have >= quorum => {
            let all: Option<Vec<Timestamp>> = given.iter().map(|one| one.reusable_until).collect();
            Tally::Reached { by, reusable_until: all.and_then(|all| all.into_iter().min()) }
        }
        _ => Tally::Waits { have, need: quorum },
    }
}

/// How far a scope reaches, compared with others.
const fn reach(scope: Scope) -> u8 {
    match scope {
        Scope::Order => 0,
        Scope::Fqdn => 1,
        Scope::Subtree => 2,
        Scope::Base => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Timestamp = Timestamp::from_unix_secs(1_795_305_600);

    fn given<'a>(by: &'a str, adn: &'a str, scope: Scope, days: u32) -> Given<'a> {
        Given { by, adn, scope, reusable_until: Some(DAY.plus_days(days)) }
    }

    #[test]
    fn a_mailbox_counts_once() {
        let twice =
            [given("a@example.jp", "example.jp", Scope::Base, 5), given("A@example.jp", "www.example.jp", Scope::Fqdn, 5)];
        assert_eq!(tally(&twice, 2), Tally::Waits { have: 1, need: 2 });
        assert_eq!(tally(&[], 1), Tally::Waits { have: 0, need: 1 });
    }

    #[test]
    fn the_narrowest_approval_and_the_earliest_end_count() {
        let two = [given("a@example.jp", "example.jp", Scope::Base, 5), given("b@example.jp", "example.jp", Scope::Fqdn, 9)];
        assert_eq!(tally(&two, 2), Tally::Reached { by: 1, reusable_until: Some(DAY.plus_days(5)) });
        let deeper =
            [given("a@example.jp", "example.jp", Scope::Subtree, 5), given("b@example.jp", "sub.example.jp", Scope::Subtree, 9)];
        assert!(matches!(tally(&deeper, 2), Tally::Reached { by: 1, .. }));
        let never = [given("a@example.jp", "example.jp", Scope::Base, 5), Given { reusable_until: None, ..two[1] }];
        assert!(matches!(tally(&never, 2), Tally::Reached { reusable_until: None, .. }));
    }

    proptest! {
        #[test]
        fn one_more_person_never_takes_away(people in proptest::collection::vec("[a-d]", 0..6), quorum in 1_u32..4) {
            let given: Vec<Given<'_>> = people.iter().map(|by| given(by, "example.jp", Scope::Base, 5)).collect();
            let have = |tally| match tally { Tally::Waits { have, .. } => have, Tally::Reached { .. } => u32::MAX };
            for at in 1..given.len() {
                prop_assert!(have(tally(&given[..at], quorum)) >= have(tally(&given[..at - 1], quorum)));
            }
        }
    }
}
