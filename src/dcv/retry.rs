//! When to try an effect again.

use std::time::Duration;

use super::timestamp::Timestamp;

/// Waits before each attempt, in seconds: at once, 1 s, 5 s, 30 s, 2 min, 10 min, 30 min, 1 h; then [`STEADY_SECS`].
const WAITS_SECS: [u64; 8] = [0, 1, 5, 30, 120, 600, 1800, 3600];

/// Wait before every later attempt: 2 h.
const STEADY_SECS: u64 = 7200;

/// How long after its first attempt an effect is tried: 3 days.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(3 * 86_400);

/// Jitter added to each wait, in thousandths of it either way.
const JITTER_PERMILLE: u64 = 200;

/// When attempt number `attempts` + 1 is due, or `None` when it is time to give up.
///
/// `jitter` is a random number; it moves the wait by up to ±20 %. `after` is the least wait the receiver asked for
/// (`Retry-After`), clamped to two hours.
#[must_use]
pub fn next_attempt(
    first_tried: Timestamp,
    attempts: u32,
    now: Timestamp,
    jitter: u16,
    after: Option<Duration>,
) -> Option<Timestamp> {
    let base = WAITS_SECS.get(attempts as usize).copied().unwrap_or(STEADY_SECS) * 1000;
    let share = (u64::from(jitter) * 2 * JITTER_PERMILLE) >> 16;
    let wait = Duration::from_millis(base * (1000 - JITTER_PERMILLE + share) / 1000);
    let wait = wait.max(after.unwrap_or_default().min(Duration::from_secs(STEADY_SECS)));
    let due = now + wait;
    (due <= first_tried + GIVE_UP_AFTER).then_some(due)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp::from_unix_secs(1_795_000_000);

    #[test]
    fn the_schedule_is_the_contracts() {
        let mut now = START;
        let mut waits = Vec::new();
        for attempts in 0.. {
            let Some(due) = next_attempt(START, attempts, now, 1 << 15, None) else { break };
            // Jitter in the middle of its range is none.
            waits.push(due.since(now).as_secs());
            now = due;
        }
        assert_eq!(waits[..10], [0, 1, 5, 30, 120, 600, 1800, 3600, 7200, 7200]);
        assert_eq!(waits.len(), 43, "every 2 h for 3 days");
    }

    #[test]
    fn a_receivers_wish_is_clamped() {
        let due = |after| next_attempt(START, 1, START, 0, Some(Duration::from_secs(after))).unwrap().since(START).as_secs();
        assert_eq!(due(60), 60);
        assert_eq!(due(1_000_000), 7200);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_fifth(attempts in 0_u32..20, jitter: u16) {
            let base = u128::from(WAITS_SECS.get(attempts as usize).copied().unwrap_or(STEADY_SECS)) * 1000;
            let due = next_attempt(START, attempts, START, jitter, None).unwrap();
            let wait = due.since(START).as_millis();
            prop_assert!(wait >= base * 8 / 10 && wait <= base * 12 / 10);
        }
    }
}
