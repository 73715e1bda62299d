//! Keeps mail to one recipient domain to a rate and to so many at once. What is not its turn gets an instant of its own to come
//! back at, so that a thousand mails to one domain are looked at a thousand times and not a million.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use super::App;
use crate::dcv::timestamp::Timestamp;
use crate::store::StoreError;

/// A daemon is at work until it has not been heard of for so long.
const SILENT: Duration = Duration::from_secs(45);

/// Forgotten after a day.
const LONG_SILENT: Duration = Duration::from_secs(86_400);

/// Shares the pace with the other daemons on the database that send mail, and tells them of this one, whose name is its own: how many they are.
///
/// # Errors
/// [`StoreError`] when the database fails; the share stays as it is.
pub async fn share(app: &App, daemon: &str) -> Result<u32, StoreError> {
    let (name, now) = (daemon.to_owned(), app.now());
    let count: Result<i64, StoreError> = app
        .store
        .write("sign_of_life", move |tx| {
            Box::pin(async move { tx.sign_of_life(&name, now, now - SILENT, now - LONG_SILENT).await })
        })
        .await;
    let daemons = u32::try_from(count?).unwrap_or(u32::MAX).max(1);
    app.pace.lock().unwrap_or_else(PoisonError::into_inner).share(daemons);
    Ok(daemons)
}

/// Leaves a daemon's share to the others.
///
/// # Errors
/// [`StoreError`] when the database fails; the others have it once this one has been silent for a while.
pub async fn leave(app: &App, daemon: &str) -> Result<(), StoreError> {
    let name = daemon.to_owned();
    app.store.write("no_sign_of_life", move |tx| Box::pin(async move { tx.no_sign_of_life(&name).await })).await
}

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
    /// So many share it.
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
            daemons: 1,
            domains: HashMap::new(),
            booked: HashMap::new(),
            forgot_at: Timestamp::default(),
            latest: Timestamp::default(),
        }
    }

    /// Keeps to what is left to each of so many daemons, so that they keep the pace together. One mail at once is each one's at least.
    pub fn share(&mut self, daemons: u32) {
        self.daemons = daemons.max(1);
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
        let period = self.period * self.daemons;
        let (burst, at_once) = ((self.burst / self.daemons).max(1), (self.at_once / self.daemons).max(1));
        let one = self.domains.entry(domain.to_owned()).or_default();
        match self.booked.get(effect) {
            Some(at) if *at > now => return Err(*at),
            Some(_) => {}
            None => {
                let from = one.full_until - period * (burst - 1);
                one.full_until = one.full_until.max(now) + period;
                if from > now {
                    self.booked.insert(effect.to_vec(), from);
                    return Err(from);
                }
            }
        }
        if one.under_way >= at_once {
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
    fn those_who_share_it_keep_it_together() {
        let mut two = [Pace::new(SECOND, 4, 4), Pace::new(SECOND, 4, 4)];
        let mut gone = 0;
        for one in &mut two {
            one.share(2);
            gone += (0..9_u8).filter(|n| one.begin("example.jp", &[*n], START).is_ok()).count();
        }
        assert_eq!(gone, 4, "the burst");
        for one in &mut two {
            one.end("example.jp");
            assert_eq!(one.begin("example.jp", &[2], START + SECOND), Err(START + SECOND * 2));
            assert_eq!(one.begin("example.jp", &[2], START + SECOND * 2), Ok(()), "the rate");
            assert!(one.begin("example.jp", &[3], START + SECOND * 4).is_err(), "two under way");
            one.share(1);
            assert_eq!(one.begin("example.jp", &[10], START + SECOND * 40), Ok(()), "alone again");
        }
        two[0].share(9);
        two[0].end("example.com");
        assert_eq!(two[0].begin("example.com", &[11], START), Ok(()), "one at once is each one's");
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
