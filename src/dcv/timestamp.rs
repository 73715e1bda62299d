//! Instants as the database keeps them: whole microseconds since the Unix epoch, UTC.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::macros::datetime;
use time::{Date, OffsetDateTime, UtcOffset};

/// Seconds in a day; leap seconds do not count. Spec: BR v2.2.6 §4.2.1 counts days, DESIGN fixes one at 86,400 s.
pub const DAY_SECS: u64 = 86_400;

/// An instant, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Takes microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Takes whole seconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Midnight UTC at the start of `date`: the instant at which a dated rule begins.
    #[must_use]
    pub const fn start_of(date: Date) -> Self {
        Self::from_unix_secs(date.midnight().assume_utc().unix_timestamp())
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn unix_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This instant plus whole days of 86,400 s.
    #[must_use]
    pub fn plus_days(self, days: u32) -> Self {
        self + Duration::from_secs(u64::from(days) * DAY_SECS)
    }

    /// Time from `earlier` to this instant; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The instant as a calendar time in UTC; instants outside the years that RFC 3339 can write are clamped to their ends.
    #[must_use]
    pub fn to_utc(self) -> OffsetDateTime {
        let (first, last) = (datetime!(0001-01-01 00:00 UTC), datetime!(9999-12-30 00:00 UTC));
        let edge = if self.0 < 0 { first } else { last };
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000).unwrap_or(edge).clamp(first, last)
    }

    /// The end of this instant's day in Japan.
    #[must_use]
    pub fn end_of_day_jst(self) -> Self {
        let jst = self.to_jst();
        let into_the_day = i64::from(jst.hour()) * 3600 + i64::from(jst.minute()) * 60 + i64::from(jst.second());
        Self::from_unix_secs(self.unix_secs() - into_the_day).plus_days(1)
    }

    /// The beginning of its day in Japan.
    #[must_use]
    pub fn start_of_day_jst(self) -> Self {
        self.end_of_day_jst() - Duration::from_secs(DAY_SECS)
    }

    /// The instant as a calendar time in Japan (UTC+9, no summer time).
    #[must_use]
    pub fn to_jst(self) -> OffsetDateTime {
        const JST: UtcOffset = match UtcOffset::from_hms(9, 0, 0) {
            Ok(offset) => offset,
            Err(_) => UtcOffset::UTC,
        };
        self.to_utc().checked_to_offset(JST).unwrap_or_else(|| self.to_utc())
    }

    /// The instant as a mail's Date. Spec: RFC 5322 section 3.3.
    #[must_use]
    pub fn to_rfc5322(self) -> String {
        // The years that cannot be written so are not reached: to_utc clamps to years of four digits, and these begin in 1900.
        self.to_utc().replace_microsecond(0).unwrap_or_else(|_| self.to_utc()).format(&Rfc2822).unwrap_or_default()
    }

    /// Reads RFC 3339 text.
    ///
    /// # Errors
    /// The text is not an RFC 3339 time.
    pub fn parse_rfc3339(text: &str) -> Result<Self, time::error::Parse> {
        let nanos = OffsetDateTime::parse(text, &Rfc3339)?.unix_timestamp_nanos();
        Ok(Self(i64::try_from(nanos.div_euclid(1000)).unwrap_or(i64::MAX)))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with as many digits of a second as are not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_utc().format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    #[test]
    fn a_day_is_86_400_seconds() {
        let t = Timestamp::start_of(date!(2026 - 11 - 22));
        assert_eq!(t.plus_days(26).since(t).as_secs(), 26 * 86_400);
    }

    #[test]
    fn prints_and_parses_rfc_3339() {
        let t = Timestamp::from_unix_micros(1_795_000_000_123_456);
        assert_eq!(Timestamp::parse_rfc3339(&t.to_string()), Ok(t));
        assert_eq!(Timestamp::start_of(date!(2027 - 03 - 15)).to_string(), "2027-03-15T00:00:00Z");
    }

    #[test]
    fn japan_is_nine_hours_ahead() {
        assert_eq!(Timestamp::from_unix_secs(0).to_jst().hour(), 9);
        let noon = Timestamp::parse_rfc3339("2026-12-18T03:00:00Z").unwrap();
        assert_eq!(noon.end_of_day_jst().to_string(), "2026-12-18T15:00:00Z");
        let midnight = Timestamp::parse_rfc3339("2026-12-18T15:00:00Z").unwrap();
        assert_eq!(midnight.end_of_day_jst().to_string(), "2026-12-19T15:00:00Z", "the day that begins");
    }

    #[test]
    fn no_arithmetic_leaves_the_range() {
        let far = Timestamp::from_unix_micros(i64::MAX);
        assert_eq!((far + Duration::MAX).unix_micros(), i64::MAX);
        let _ = far.to_string();
        let _ = Timestamp::from_unix_micros(i64::MIN).to_string();
    }
}
