//! Moving a deadline: never past 30 days from the Random Value's creation.

use super::profile::WINDOW_MAX_DAYS;
use super::timestamp::Timestamp;

/// A deadline cannot be moved so far; it may be moved to this instant at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the link may be answered until {0} at most, 30 days after it was made (BR v2.2.6 section 3.2.2.4.4)")]
pub struct TooFar(pub Timestamp);

/// The deadline `days` after the present one, for a link made at `created`. Spec: BR v2.2.6 §3.2.2.4.4, .13, .14 ("no more than 30 days").
///
/// # Errors
/// [`TooFar`].
pub fn extended(created: Timestamp, expires: Timestamp, days: u32) -> Result<Timestamp, TooFar> {
    let last = created.plus_days(WINDOW_MAX_DAYS);
    let wanted = expires.plus_days(days);
    if wanted > last { Err(TooFar(last)) } else { Ok(wanted) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thirty_days_are_the_last() {
        let created = Timestamp::from_unix_secs(1_795_305_600);
        assert_eq!(extended(created, created.plus_days(26), 4), Ok(created.plus_days(30)));
        assert_eq!(extended(created, created.plus_days(26), 5), Err(TooFar(created.plus_days(30))));
    }

    proptest! {
        #[test]
        fn never_past_thirty_days(first in 1_u32..=30, days in 1_u32..100_000) {
            let created = Timestamp::from_unix_secs(1_795_305_600);
            if let Ok(until) = extended(created, created.plus_days(first), days) {
                prop_assert!(until <= created.plus_days(30) && until > created.plus_days(first));
            }
        }
    }
}
