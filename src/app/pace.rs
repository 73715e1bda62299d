//! Keeps mail to one recipient domain to a rate and to so many at once. What is not its turn gets an instant of its own to come
//! back at, so that a thousand mails to one domain are looked at a thousand times and not a million.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use super::App;
use crate::dcv::timestamp::Timestamp;
use crate::store::StoreError;

/// Shares the pace with the other daemons that work on the database, for as many as were seen; `false` where they cannot be counted yet.
///
/// # Errors
/// [`StoreError`] when the database fails; the share stays as it is.
pub async fn share(app: &App) -> Result<bool, StoreError> {
    let Some(daemons) = app.store.listeners().await? else { return Ok(false) };
    let mut pace = app.pace.lock().unwrap_or_else(PoisonError::into_inner);
    if pace.seen(daemons, app.now()) {
        tracing::info!(daemons = pace.daemons(), "the pace of mail to a domain is shared");
    }
    Ok(true)
}

/// Whether it was counted before how many daemons share the pace, as under the configuration before.
pub fn is_counted(app: &App) -> bool {
    app.pace.lock().unwrap_or_else(PoisonError::into_inner).is_counted()
}

/// How long a mail waits while as many as may be are under way to its domain.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// Between the instants of those that wait so.
const BUSY_STEP: Duration = Duration::from_millis(100);

/// A mail that comes this much after its instant still counts as in time, so that the rate is reached though workers look only at times.
const LATE: Duration = Duration::from_secs(2);

/// The most daemons seen within so long share the pace: sessions of those that lost the database for a moment come back.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// Entries kept before those of the past are dropped.
const KEPT_MAX: usize = 10_000;

/// One mail every `period`, `burst` of them at once after a rest, and `at_once` under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Between two mails.
    pub period: Duration,
    /// So many at once after a rest; one at least.
    pub burst: u32,
    /// So many handed over at the same time; one at least.
    pub at_once: u32,
}

/// Paces mail by recipient domain.
#[derive(Debug)]
pub struct Pace {
    rate: Rate,
    /// How many daemons were seen to share it, and when.
    seen: VecDeque<(u32, Timestamp)>,
    daemons: u32,
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
    /// When all that went would have gone at the rate alone.
    full_until: Timestamp,
    /// The last instant of the line of those that wait for the rate.
    line_until: Timestamp,
    /// The latest instant that was given out while as many as may be were under way.
    busy_until: Timestamp,
}

impl Pace {
    /// Keeps to a rate, alone.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            seen: VecDeque::new(),
            daemons: 1,
            domains: HashMap::new(),
            booked: HashMap::new(),
            forgot_at: Timestamp::default(),
            latest: Timestamp::default(),
        }
    }

    /// Keeps to another rate from now on. Turns by the rate before mean nothing then: nobody waits for them.
    pub fn set(&mut self, rate: Rate) {
        if rate == self.rate {
            return;
        }
        self.rate = rate;
        self.booked.clear();
        let full = self.latest + rate.period * rate.burst;
        for one in self.domains.values_mut() {
            one.full_until = one.full_until.min(full);
            (one.line_until, one.busy_until) = (Timestamp::default(), Timestamp::default());
        }
    }

    /// Whether it was ever counted how many share it.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        !self.seen.is_empty()
    }

    /// How many share it.
    #[must_use]
    pub const fn daemons(&self) -> u32 {
        self.daemons
    }

    /// Takes note that so many daemons work now, and keeps to what is left to each, so that they keep the pace together. One mail at once
    /// is each one's at least. `true` where the share is another than before.
    pub fn seen(&mut self, daemons: u32, now: Timestamp) -> bool {
        self.seen.retain(|(_, at)| *at <= now && *at + SEEN_WITHIN > now);
        self.seen.push_back((daemons.max(1), now));
        let most = self.seen.iter().map(|(daemons, _)| *daemons).max().unwrap_or(1);
        std::mem::replace(&mut self.daemons, most) != most
    }

    /// Begins a mail to `domain`; [`Pace::end`] must follow.
    ///
    /// # Errors
    /// The instant at which it may come back, where it is not its turn.
    pub fn begin(&mut self, domain: &str, effect: &[u8], now: Timestamp) -> Result<(), Timestamp> {
        if now + SET_BACK < self.latest {
            self.booked.clear();
            for one in self.domains.values_mut() {
                (one.full_until, one.line_until, one.busy_until) = (now, now, now);
            }
            (self.forgot_at, self.latest) = (now, now);
        }
        self.latest = self.latest.max(now);
        self.forget(now);
        let share = |whole: u32| (whole / self.daemons).max(1);
        let (period, burst, at_once) = (self.rate.period * self.daemons, share(self.rate.burst), share(self.rate.at_once));
        let one = self.domains.entry(domain.to_owned()).or_default();
        let booked = self.booked.get(effect).copied();
        if let Some(at) = booked.filter(|at| *at > now) {
            return Err(at);
        }
        let from = one.full_until - period * (burst - 1);
        // Nobody overtakes the line. Of several daemons each has a part of it, and meets what waits in another's.
        let waits = from > now || (booked.is_none() && self.daemons == 1 && one.line_until > now);
        if waits {
            // As close as though it were alone: others take some of the line, and no turn shall pass unused.
            one.line_until = from.max(one.line_until + self.rate.period);
            self.booked.insert(effect.to_vec(), one.line_until);
            return Err(one.line_until);
        }
        if one.under_way >= at_once {
            // Its turn has come and stays; each that waits gets an instant of its own.
            one.busy_until = one.busy_until.max(now + BUSY_WAIT) + BUSY_STEP;
            self.booked.insert(effect.to_vec(), one.busy_until);
            return Err(one.busy_until);
        }
        self.booked.remove(effect);
        let due = booked.unwrap_or(now).max(now - LATE);
        one.full_until = one.full_until.max(due) + period;
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
            self.domains.retain(|_, one| one.under_way > 0 || one.full_until > now || one.line_until > now);
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

    const fn rate(period: Duration, burst: u32, at_once: u32) -> Rate {
        Rate { period, burst, at_once }
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let mut pace = Pace::new(rate(SECOND, 2, 100));
        let begun: Vec<_> = (0..5_u8).map(|n| pace.begin("example.jp", &[n], START)).collect();
        assert_eq!(begun, [Ok(()), Ok(()), Err(START + SECOND), Err(START + SECOND * 2), Err(START + SECOND * 3)]);
        assert_eq!(pace.begin("example.com", &[9], START), Ok(()), "another domain is not concerned");
        assert_eq!(pace.begin("example.jp", &[3], START + SECOND), Err(START + SECOND * 2), "it keeps its turn");
        assert_eq!(pace.begin("example.jp", &[6], START + SECOND), Err(START + SECOND * 4), "nobody overtakes");
        assert_eq!(pace.begin("example.jp", &[2], START + SECOND), Ok(()));
        assert_eq!(pace.begin("example.jp", &[7], START + SECOND * 60), Ok(()), "after a rest there is no wait");
    }

    #[test]
    fn the_share_is_that_of_the_most_daemons_seen_lately() {
        let mut pace = Pace::new(rate(SECOND, 4, 4));
        assert!(!pace.seen(1, START));
        assert!(pace.seen(3, START + SECOND), "one that comes has its share at once");
        assert!(!pace.seen(2, START + SECOND * 2), "one that is not seen may be back in a moment");
        assert!(pace.seen(2, START + SECOND * 11));
        assert_eq!(pace.daemons(), 2);
        assert!(pace.seen(0, START + SECOND * 22));
        assert_eq!(pace.daemons(), 1);
        assert!(pace.seen(2, START + SECOND * 23));
        assert!(pace.seen(1, START), "seen in a future that was not");
    }

    #[test]
    fn each_keeps_to_its_share() {
        let mut two = [Pace::new(rate(SECOND, 4, 4)), Pace::new(rate(SECOND, 4, 4))];
        let mut gone = 0;
        for one in &mut two {
            one.seen(2, START);
            gone += (0..9_u8).filter(|n| one.begin("example.jp", &[*n], START).is_ok()).count();
        }
        assert_eq!(gone, 4, "the burst");
        let at_least = &mut two[0];
        at_least.seen(9, START);
        assert_eq!(at_least.begin("example.com", &[11], START), Ok(()), "one at once is each one's");
        assert!(at_least.begin("example.com", &[12], START).is_err());
    }

    /// Daemons that take what is due from one queue, as chance has it: how long until all of it went.
    fn emptied(daemons: u32, mails: u32, rate: Rate) -> (Duration, u32) {
        let mut paces: Vec<Pace> = (0..daemons).map(|_| Pace::new(rate)).collect();
        let mut queue: Vec<(Timestamp, u32)> = (0..mails).map(|n| (START, n)).collect();
        let (mut now, mut chance, mut looks) = (START, 88_172_645_463_325_252_u64, 0);
        while !queue.is_empty() {
            for pace in &mut paces {
                pace.seen(daemons, now);
            }
            let due: Vec<usize> = (0..queue.len()).filter(|at| queue[*at].0 <= now).collect();
            let mut gone = Vec::new();
            for at in due {
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                let pace = &mut paces[usize::try_from(chance % u64::from(daemons)).unwrap()];
                looks += 1;
                match pace.begin("example.jp", &queue[at].1.to_be_bytes(), now) {
                    Ok(()) => {
                        pace.end("example.jp");
                        gone.push(at);
                    }
                    Err(back) => queue[at].0 = back,
                }
            }
            for at in gone.into_iter().rev() {
                queue.swap_remove(at);
            }
            now = now + Duration::from_millis(100);
        }
        (now.since(START), looks)
    }

    #[test]
    fn daemons_together_reach_the_rate() {
        for burst in [1, 8, 60] {
            for daemons in [1, 2, 3, 4, 8] {
                let (took, looks) = emptied(daemons, 600, rate(SECOND / 2, burst, 1000));
                let told = format!("{daemons} daemons, burst {burst}: {took:?}, {looks} looks");
                // At the rate alone it takes 300 s.
                assert!(took < Duration::from_secs(360), "{told}");
                assert!(took > Duration::from_millis(500) * (600 - burst.max(daemons) - 8), "{told}");
                assert!(looks < 600 * (daemons + 2), "{told}");
            }
        }
    }

    #[test]
    fn turns_by_a_rate_of_before_are_forgotten() {
        let hourly = rate(SECOND * 3600, 2, 100);
        let mut pace = Pace::new(hourly);
        let begun: Vec<_> = (0..4_u8).map(|n| pace.begin("example.jp", &[n], START).is_ok()).collect();
        assert_eq!(begun, [true, true, false, false]);
        pace.set(hourly);
        assert!(pace.begin("example.jp", &[2], START).is_err(), "nothing changed");
        pace.set(rate(SECOND, 2, 100));
        assert_eq!(pace.begin("example.jp", &[2], START), Err(START + SECOND), "the burst was used up");
        assert_eq!(pace.begin("example.jp", &[2], START + SECOND), Ok(()));
        assert_eq!(pace.begin("example.jp", &[3], START + SECOND * 2), Ok(()), "and no hour is waited for");
    }

    #[test]
    fn only_so_many_are_under_way() {
        let mut pace = Pace::new(rate(Duration::from_millis(1), 100, 1));
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
        let mut pace = Pace::new(rate(SECOND, 1, 1));
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
        fn no_more_than_the_rate_and_the_burst_ever_go(
            period in 1_u64..50,
            burst in 1_u32..9,
            tries in proptest::collection::vec((0_u8..40, 0_u64..30, 1_u32..4), 1..200),
        ) {
            let mut pace = Pace::new(rate(Duration::from_millis(period), burst, 1000));
            let (mut now, mut gone) = (START, Vec::new());
            for (effect, wait, daemons) in tries {
                now = now + Duration::from_millis(wait);
                pace.seen(daemons, now);
                if pace.begin("example.jp", &[effect], now).is_ok() {
                    gone.push(now);
                }
            }
            for (at, last) in gone.iter().enumerate() {
                for (earlier, first) in gone[..at].iter().enumerate() {
                    let late = LATE.as_millis();
                    let most = u128::from(burst) + (last.since(*first).as_millis() + late) / u128::from(period) + 1;
                    prop_assert!((at - earlier + 1) as u128 <= most);
                }
            }
        }
    }
}
