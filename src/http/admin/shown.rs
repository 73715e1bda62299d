//! Which personal data was shown to whom lately: once in a while is on record, not each time a page looks again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::dcv::timestamp::Timestamp;

/// How long one look stands for those that follow.
const STANDS: Duration = Duration::from_secs(15 * 60);

/// Looks remembered.
const REMEMBERED: usize = 10_000;

/// What was shown lately, by operator and path.
#[derive(Default)]
pub(in crate::http) struct Shown(Mutex<HashMap<(String, String), Timestamp>>);

impl Shown {
    /// Whether a look is to be put on record.
    pub(super) fn is_new(&self, who: &str, what: &str, now: Timestamp) -> bool {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.get(&(who.to_owned(), what.to_owned())).is_none_or(|at| now.since(*at) >= STANDS)
    }

    /// Remembers a look that is on record.
    pub(super) fn note(&self, who: &str, what: &str, now: Timestamp) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() >= REMEMBERED {
            shown.retain(|_, at| now.since(*at) < STANDS);
            if shown.len() >= REMEMBERED {
                shown.clear();
            }
        }
        shown.insert((who.to_owned(), what.to_owned()), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_stands_for_a_quarter_of_an_hour() {
        let (shown, start) = (Shown::default(), Timestamp::from_unix_secs(1_795_305_600));
        assert!(shown.is_new("花子", "/admin/orders/a", start));
        shown.note("花子", "/admin/orders/a", start);
        assert!(!shown.is_new("花子", "/admin/orders/a", start + Duration::from_secs(899)));
        assert!(shown.is_new("太郎", "/admin/orders/a", start) && shown.is_new("花子", "/admin/orders/b", start));
        assert!(shown.is_new("花子", "/admin/orders/a", start + STANDS));
    }
}
