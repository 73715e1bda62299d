//! Gathers the status page's statistics: sums of the tallies, and what lies ahead.

use std::collections::BTreeMap;
use std::time::Duration;

use super::App;
use super::overview::{Funnel, funnel};
use crate::dcv::tally::{Dimension, TOOK, measure, month_of, within};
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::store::StoreError;

/// Values of a dimension that has many.
pub const TOP: u32 = 50;

/// Days ahead that the forecast of deadlines looks.
pub const FORECAST_DAYS: u32 = 30;

/// Weeks ahead that the forecast of renewals looks.
pub const RENEWAL_WEEKS: u32 = 30;

/// What is counted for one value of a dimension, in the order of [`measure::ALL`].
pub type Counts = [i64; measure::ALL.len()];

/// The statistics of a period.
#[derive(Debug)]
pub struct Statistics {
    /// Each day in Japan, by its beginning: the counts.
    pub days: Vec<(Timestamp, Counts)>,
    /// The sums.
    pub total: Counts,
    /// How many approvals took how long, by [`TOOK`].
    pub took: Vec<(&'static str, i64)>,
    /// Within which span half of them came, and nine of ten.
    pub median: Option<&'static str>,
    /// See `median`.
    pub ninth: Option<&'static str>,
    /// Answers by weekday (Monday first) and hour in Japan.
    pub week: [[i64; 24]; 7],
    /// Why mail came back.
    pub causes: Vec<(String, i64)>,
    /// Approvals by how often the approver was reminded before.
    pub reminders: Vec<(String, i64)>,
    /// By profile.
    pub profiles: Vec<(String, Counts)>,
    /// How far orders came.
    pub funnel: Funnel,
    /// Open links by the day their deadline lies in.
    pub deadlines: Vec<(Timestamp, i64)>,
    /// Certificates by the week they end in.
    pub ending: Vec<(Timestamp, i64)>,
}

fn place(measure: &str) -> Option<usize> {
    measure::ALL.iter().position(|known| *known == measure)
}

/// One measure of some counts.
#[must_use]
pub fn count(counts: &Counts, measure: &str) -> i64 {
    place(measure).map_or(0, |at| counts[at])
}

/// The share of approvals among the answers and the silence, in percent; `None` where nothing has ended.
#[must_use]
pub fn approval_rate(counts: &Counts) -> Option<i64> {
    let approved = count(counts, measure::APPROVED);
    let others = [measure::REJECTED, measure::REPORTED, measure::EXPIRED].map(|measure| count(counts, measure));
    let all = approved + others.iter().sum::<i64>();
    (all > 0).then(|| approved * 100 / all)
}

/// Sums a dimension by its values.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn by_value(
    app: &App,
    dimension: Dimension,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<(String, Counts)>, StoreError> {
    let sums = if dimension.is_monthly() {
        // Many values: those with the most orders or names, of the month that the period ends in.
        let month = Timestamp::from_unix_micros(month_of(to - Duration::from_secs(1)));
        let most = if dimension == Dimension::Domain { measure::NAMES } else { measure::ORDERS };
        let top = app.store.tally_top(dimension, month, month, most, TOP).await?;
        app.store.tallies_of(dimension, month, &top).await?
    } else {
        app.store.tally_sums(dimension, from, to).await?
    };
    let mut values: BTreeMap<String, Counts> = BTreeMap::new();
    for (value, measure, sum) in sums {
        if let Some(at) = place(&measure) {
            values.entry(value).or_insert([0; measure::ALL.len()])[at] += sum;
        }
    }
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.iter().sum::<i64>()));
    Ok(values)
}

/// The statistics from the beginning of a day in Japan on, so many days.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn statistics(app: &App, from: Timestamp, days: u32) -> Result<Statistics, StoreError> {
    let (store, day, now) = (&app.store, Duration::from_secs(DAY_SECS), app.now());
    let to = from + day * days;
    let mut all: Vec<(Timestamp, Counts)> = (0..days).map(|number| (from + day * number, [0; measure::ALL.len()])).collect();
    let mut total: Counts = [0; measure::ALL.len()];
    let mut week = [[0; 24]; 7];
    for (number, measure, sum) in store.tally_days(from, to).await? {
        let Some(place) = place(&measure) else { continue };
        if let Some((_, counts)) = usize::try_from(number).ok().and_then(|number| all.get_mut(number)) {
            counts[place] += sum;
        }
        total[place] += sum;
    }
    for (hour, sum) in store.tally_week(from, to, [measure::APPROVED, measure::REJECTED, measure::REPORTED]).await? {
        // The week of the hour's number begins on a Thursday at midnight UTC, nine hours into the day in Japan.
        let here = usize::try_from(hour + 9 + 3 * 24).unwrap_or_default() % 168;
        week[here / 24][here % 24] += sum;
    }
    let sums = async |dimension| -> Result<Vec<(String, i64)>, StoreError> {
        let sums = store.tally_sums(dimension, from, to).await?;
        let mut sums: Vec<(String, i64)> = sums.into_iter().map(|(value, _, count)| (value, count)).collect();
        sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(sums)
    };
    let took = sums(Dimension::Took).await?;
    let mut reminders = sums(Dimension::Reminders).await?;
    reminders.sort();
    let spread = |name: &str| took.iter().find(|(value, _)| value == name).map_or(0, |(_, count)| *count);
    Ok(Statistics {
        days: all,
        total,
        median: within(&took, 50),
        ninth: within(&took, 90),
        took: TOOK.into_iter().map(|(_, name)| (name, spread(name))).collect(),
        week,
        causes: sums(Dimension::Cause).await?,
        reminders,
        profiles: by_value(app, Dimension::Profile, from, to).await?,
        funnel: funnel(app, from, to).await?,
        deadlines: ahead(&store.deadlines_ahead(now, now + day * FORECAST_DAYS).await?, now.start_of_day_jst(), 1, FORECAST_DAYS),
        ending: ahead(
            &store.certificates_ahead(now, now + day * 7 * RENEWAL_WEEKS).await?,
            now.start_of_day_jst(),
            7,
            RENEWAL_WEEKS,
        ),
    })
}

/// Sorts days' counts into spans of some days from a day on.
fn ahead(found: &[(i64, i64)], first: Timestamp, span: u32, spans: u32) -> Vec<(Timestamp, i64)> {
    let long = Duration::from_secs(DAY_SECS) * span;
    (0..spans)
        .map(|number| {
            let (from, to) = (first + long * number, first + long * (number + 1));
            let within =
                found.iter().filter(|(hour, _)| (from.unix_micros()..to.unix_micros()).contains(&(hour * 3_600_000_000)));
            (from, within.map(|(_, count)| count).sum())
        })
        .collect()
}
