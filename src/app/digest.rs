//! The operators' digest: the last day in figures, and what waits for somebody.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::App;
use super::canary::{self, Canary};
use super::notify::{self, NewNotice};
use crate::dcv::notice::NoticeKind;
use crate::dcv::order::Locale;
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::store::StoreError;

/// What guards the sending among several daemons.
const MARK: &str = "digest";

/// Hours between midnight in UTC and in Japan.
const JAPAN: Duration = Duration::from_secs(9 * 3600);

/// The latest instant at which a digest was to go, for a time of day in Japan.
fn due_at(now: Timestamp, time_of_day: Duration) -> Timestamp {
    let day = i64::try_from(DAY_SECS).unwrap_or(i64::MAX);
    let shift = i64::try_from(JAPAN.as_secs()).unwrap_or(0) - i64::try_from(time_of_day.as_secs()).unwrap_or(0);
    Timestamp::from_unix_secs((now.unix_secs() + shift).div_euclid(day) * day - shift)
}

/// Sends the digest when it is due; `false` when it is not.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn send_if_due(app: &App) -> Result<bool, StoreError> {
    let Some(time_of_day) = app.settings.digest.filter(|_| !app.settings.operators.is_empty()) else { return Ok(false) };
    let (now, mark) = (app.now(), app.store.mark(MARK, app.now()).await?);
    let due = due_at(now, time_of_day);
    if mark.is_some_and(|last| last >= due) {
        return Ok(false);
    }
    let data = figures(app, due).await?;
    let (mut ids, operators) = (app.id_source(), app.settings.operators.clone());
    let sent: Result<bool, StoreError> = app
        .store
        .write("digest", move |tx| {
            Box::pin(async move {
                // The first daemon ever has no day to tell of.
                if !tx.take_mark(MARK, due, now).await? || mark.is_none() {
                    return Ok(false);
                }
                let notices = operators.into_iter().map(|recipient| NewNotice {
                    kind: NoticeKind::Digest,
                    order: None,
                    recipient,
                    locale: Locale::Ja,
                    data: data.clone(),
                });
                notify::enqueue(tx, notices.collect(), now, &mut ids).await?;
                Ok(true)
            })
        })
        .await;
    if sent? {
        return Ok(true);
    }
    Ok(false)
}

async fn figures(app: &App, to: Timestamp) -> Result<Value, StoreError> {
    let from = to - Duration::from_secs(DAY_SECS);
    let counts: Map<String, Value> =
        app.store.count_events(from, to).await?.into_iter().map(|(kind, count)| (kind, json!(count))).collect();
    let canary = match canary::state(app).await? {
        Canary::Off => "off",
        Canary::Waiting => "waiting",
        Canary::Well { .. } => "well",
        Canary::Missed { .. } => "missed",
    };
    Ok(json!({
        "from": from,
        "to": to,
        "counts": counts,
        "held": app.store.orders_held().await?,
        "awaiting": app.store.names_awaiting().await?,
        "given_up": app.store.given_up_since(from).await?,
        "strays": app.store.strays_since(from).await?,
        "canary": canary,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_in_the_morning_is_midnight_in_utc() {
        let nine = Duration::from_secs(9 * 3600);
        let day = |days: i64| Timestamp::from_unix_secs(days * 86_400);
        assert_eq!(due_at(day(20_000), nine), day(20_000));
        assert_eq!(due_at(day(20_000) - Duration::from_secs(1), nine), day(19_999));
        let half_past_eight = Duration::from_secs(8 * 3600 + 1800);
        assert_eq!(due_at(day(20_000), half_past_eight), day(20_000) - Duration::from_secs(1800));
    }
}
