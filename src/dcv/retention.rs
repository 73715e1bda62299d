//! How long evidence is kept. Spec: BR v2.2.6 §5.4.3 and §5.5.2 (two years after the certificate's end).

use std::time::Duration;

use super::profile::RetentionRules;
use super::timestamp::Timestamp;

/// The shortest time that the Baseline Requirements allow, in days. Spec: BR v2.2.6 §5.5.2.
pub const EVIDENCE_MIN_DAYS: u32 = 731;

/// What tells how long an order is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// When it ended; an open one is kept.
    pub ended_at: Option<Timestamp>,
    /// A name of it was approved.
    pub approved: bool,
    /// Until when an approval of it may be reused.
    pub reusable_until: Option<Timestamp>,
    /// When the last certificate that was reported for it ends.
    pub not_after: Option<Timestamp>,
    /// Something is still to be done before a certificate ends, or another order rests on it.
    pub needed: bool,
}

/// Until when an order is kept; `None` where that cannot be told yet.
#[must_use]
pub fn keep_until(kept: &Kept, rules: &RetentionRules) -> Option<Timestamp> {
    Some(last_use(kept, rules)? + day(rules.evidence_days))
}

const fn day(days: u32) -> Duration {
    Duration::from_secs(days as u64 * 86_400)
}

/// When nothing can rest on an order any more: the end of its last certificate, where there may be one.
fn last_use(kept: &Kept, rules: &RetentionRules) -> Option<Timestamp> {
    let ended = kept.ended_at.filter(|_| !kept.needed)?;
    let last = ended.max(kept.reusable_until.unwrap_or(ended));
    if !kept.approved {
        return Some(last);
    }
    // A certificate that nobody reported may have been issued on the last day on which it could, beside those that were.
    Some((last + day(rules.certificate_days)).max(kept.not_after.unwrap_or(last)))
}

/// From when an order's personal data is taken out; `None` where it stays as long as the order, or that cannot be told yet. While a
/// certificate may live, whoever approved may object, and must be known.
#[must_use]
pub fn masked_from(kept: &Kept, rules: &RetentionRules) -> Option<Timestamp> {
    let last = last_use(kept, rules).filter(|_| rules.personal_days > 0)?;
    Some(last + day(rules.personal_days))
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Timestamp = Timestamp::from_unix_secs(1_795_305_600);

    fn days(days: u32) -> Timestamp {
        END.plus_days(days)
    }

    #[test]
    fn evidence_outlives_the_certificate() {
        let rules = RetentionRules { evidence_days: 731, certificate_days: 398, personal_days: 0 };
        let refused = Kept { ended_at: Some(END), ..Kept::default() };
        assert_eq!(keep_until(&refused, &rules), Some(days(731)));
        let approved = Kept { approved: true, ..refused };
        assert_eq!(keep_until(&approved, &rules), Some(days(398 + 731)), "nobody told of a certificate");
        let reused = Kept { reusable_until: Some(days(100)), ..approved };
        assert_eq!(keep_until(&reused, &rules), Some(days(100 + 398 + 731)));
        let reported = Kept { not_after: Some(days(90)), ..approved };
        assert_eq!(keep_until(&reported, &rules), Some(days(398 + 731)), "another may not have been reported");
        let long = Kept { not_after: Some(days(800)), ..approved };
        assert_eq!(keep_until(&long, &rules), Some(days(800 + 731)));
        let short = Kept { not_after: Some(days(10)), reusable_until: Some(days(300)), ..approved };
        assert_eq!(keep_until(&short, &rules), Some(days(300 + 398 + 731)), "another certificate may rest on it");
        for kept in [Kept { ended_at: None, ..approved }, Kept { needed: true, ..approved }] {
            assert_eq!(keep_until(&kept, &rules), None);
        }
    }

    #[test]
    fn personal_data_goes_once_nothing_rests_on_it() {
        let kept = Kept { ended_at: Some(END), approved: true, reusable_until: Some(days(100)), ..Kept::default() };
        let rules = |personal_days| RetentionRules { personal_days, ..RetentionRules::default() };
        assert_eq!(masked_from(&kept, &rules(0)), None);
        assert_eq!(masked_from(&kept, &rules(30)), Some(days(100 + 398 + 30)), "a certificate may live so long");
        assert_eq!(masked_from(&Kept { approved: false, reusable_until: None, ..kept }, &rules(30)), Some(days(30)));
        assert_eq!(masked_from(&Kept { needed: true, ..kept }, &rules(30)), None);
        assert_eq!(masked_from(&Kept { ended_at: None, ..kept }, &rules(30)), None);
    }
}
