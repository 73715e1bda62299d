//! Keeps mail to one recipient domain to a rate and to so many at once. What is not its turn gets an instant of its own to come
//! back at, so that a thousand mails to one domain are looked at a thousand times and not a million.

use std::collections::HashMap;
use std::time::Duration;

use crate::dcv::timestamp::Timestamp;

/// How long a mail waits while as many as may be are under way to its domain.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// Between the instants of those that wait so.
const BUSY_STEP: Duration = Duration::from_millis(100);

/// Entries kept before those of the past are dropped.
const KEPT_MAX: usize = 10_000;

/// Paces mail by recipient domain.
#[derive(Debug)]
pub struct Pace {
    period: Duration,
    burst: u32,
    at_once: u32,
    domains: HashMap<String, Domain>,
    /// The instants that effects were told to come back at.
    booked: HashMap<Vec<u8>, Timestamp>,
    /// When they were last looked through.
    forgot_at: Timestamp,
    /// The latest instant that was told of.
    latest: Timestamp,
}

/// A clock that is so far behind what it said before was set back; turns of before mean nothing then.
const SET_BACK: Duration = Duration::from_secs(30);

/// How often what is kept is looked through: doing so at each mail would cost as much as there is, each time.
const FORGET_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Domain {
    under_way: u32,
    /// When all that was let through and booked would have gone at the rate alone.
    full_until: Timestamp,
    /// The latest instant that was given out while as many as may be were under way.
    busy_until: Timestamp,
}

impl Pace {
    /// One mail every `period`, `burst` of them at once after a rest, and `at_once` under way.
    #[must_use]
    pub fn new(period: Duration, burst: u32, at_once: u32) -> Self {
        Self {
            period,
            burst: burst.max(1),
            at_once: at_once.max(1),
            domains: HashMap::new(),
            booked: HashMap::new(),
            forgot_at: Timestamp::default(),
            latest: Timestamp::default(),
        }
    }

    /// Begins a mail to `domain`; [`Pace::end`] must follow.
    ///
    /// # Errors
    /// The instant at which it may come back, where it is not its turn.
    pub fn begin(&mut self, domain: &str, effect: &[u8], now: Timestamp) -> Result<(), Timestamp> {
        if now + SET_BACK < self.latest {
            self.booked.clear();
            for one in self.domains.values_mut() {
                (one.full_until, one.busy_until) = (now, now);
            }
            (self.forgot_at, self.latest) = (now, now);
        }
        self.latest = self.latest.max(now);
        self.forget(now);
        let one = self.domains.entry(domain.to_owned()).or_default();
        match self.booked.get(effect) {
            Some(at) if *at > now => return Err(*at),
            Some(_) => {}
            None => {
                let from = one.full_until - self.period * (self.burst - 1);
                one.full_until = one.full_until.max(now) + self.period;
                if from > now {
                    self.booked.insert(effect.to_vec(), from);
                    return Err(from);
                }
            }
        }
        if one.under_way >= self.at_once {
            // Its turn has come and stays; each that waits gets an instant of its own.
            one.busy_until = one.busy_until.max(now + BUSY_WAIT) + BUSY_STEP;
            self.booked.insert(effect.to_vec(), one.busy_until);
            return Err(one.busy_until);
        }
        self.booked.remove(effect);
        one.under_way += 1;
        Ok(())
    }

    /// Ends a mail that was begun.
    pub fn end(&mut self, domain: &str) {
        if let Some(one) = self.domains.get_mut(domain) {
            one.under_way = one.under_way.saturating_sub(1);
        }
    }

    fn forget(&mut self, now: Timestamp) {
        if now < self.forgot_at + FORGET_EVERY {
            return;
        }
        self.forgot_at = now;
        if self.domains.len() > KEPT_MAX {
            self.domains.retain(|_, one| one.under_way > 0 || one.full_until > now);
        }
        if self.booked.len() > KEPT_MAX {
            // Whoever does not come within an hour of its turn has ended otherwise.
            self.booked.retain(|_, at| *at + Duration::from_secs(3600) > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp::from_unix_secs(1_795_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let mut pace = Pace::new(SECOND, 2, 100);
        let begun: Vec<_> = (0..5_u8).map(|n| pace.begin("example.jp", &[n], START)).collect();
        assert_eq!(begun, [Ok(()), Ok(()), Err(START + SECOND), Err(START + SECOND * 2), Err(START + SECOND * 3)]);
        assert_eq!(pace.begin("example.com", &[9], START), Ok(()), "another domain is not concerned");
        assert_eq!(pace.begin("example.jp", &[3], START + SECOND), Err(START + SECOND * 2), "it keeps its turn");
        assert_eq!(pace.begin("example.jp", &[2], START + SECOND), Ok(()));
        assert_eq!(pace.begin("example.jp", &[7], START + SECOND * 60), Ok(()), "after a rest there is no wait");
    }

    #[test]
    fn only_so_many_are_under_way() {
        let mut pace = Pace::new(Duration::from_millis(1), 100, 1);
        assert_eq!(pace.begin("example.jp", &[1], START), Ok(()));
        let later = START + BUSY_WAIT + BUSY_STEP;
        assert_eq!(pace.begin("example.jp", &[2], START), Err(later));
        assert_eq!(pace.begin("example.jp", &[3], START), Err(later + BUSY_STEP), "not all at one instant");
        pace.end("example.jp");
        assert_eq!(pace.begin("example.jp", &[2], START), Err(later), "it keeps its instant");
        assert_eq!(pace.begin("example.jp", &[2], later), Ok(()));
    }

    #[test]
    fn turns_of_before_the_clock_was_set_back_are_forgotten() {
        let mut pace = Pace::new(SECOND, 1, 1);
        let ahead = START + SECOND * 3600;
        assert_eq!(pace.begin("example.jp", &[1], ahead), Ok(()));
        assert_eq!(pace.begin("example.jp", &[2], ahead), Err(ahead + SECOND));
        pace.end("example.jp");
        assert_eq!(pace.begin("example.jp", &[2], START), Ok(()), "nobody waits for an hour that was not");
        assert_eq!(pace.begin("example.jp", &[3], START), Err(START + SECOND), "the rate holds");
        assert_eq!(
            pace.begin("example.jp", &[4], START - SECOND),
            Err(START + SECOND * 2),
            "a clock that is set right a little changes nothing"
        );
    }

    proptest! {
        #[test]
        fn no_more_than_the_rate_and_the_burst_ever_go(period in 1_u64..50, burst in 1_u32..9, tries in proptest::collection::vec((0_u8..40, 0_u64..30), 1..200)) {
            let mut pace = Pace::new(Duration::from_millis(period), burst, 1000);
            let (mut now, mut gone) = (START, Vec::new());
            for (effect, wait) in tries {
                now = now + Duration::from_millis(wait);
                if pace.begin("example.jp", &[effect], now).is_ok() {
                    gone.push(now);
                }
            }
            for (at, last) in gone.iter().enumerate() {
                for (earlier, first) in gone[..at].iter().enumerate() {
                    let most = u128::from(burst) + last.since(*first).as_millis() / u128::from(period) + 1;
                    prop_assert!((at - earlier + 1) as u128 <= most + 40, "booked turns may come late and together");
                }
            }
        }
    }
}
