//! The canary: a mail to our own return path, out through the relay and back through the mailbox. When one is missed, bounces are too.

use std::time::Duration;

use serde_json::json;

use super::App;
use super::notify::{self, NewNotice};
use crate::dcv::notice::NoticeKind;
use crate::dcv::order::Locale;
use crate::dcv::timestamp::Timestamp;
use crate::store::{NoticeRow, StoreError};

/// How the canary flies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanarySettings {
    /// How often.
    pub every: Duration,
    /// How long after it was sent one is missed.
    pub alarm_after: Duration,
}

/// Canaries kept: a week of hourly ones.
const KEPT: u32 = 168;

/// What guards the sending among several daemons.
const MARK: &str = "canary";

/// Sends a canary when one is due; `false` when none was.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn send_if_due(app: &App) -> Result<bool, StoreError> {
    let Some(settings) = app.settings.canary else { return Ok(false) };
    let now = app.now();
    // A look before the write: it is due once an hour and looked at every second.
    if app.store.mark(MARK, app.now()).await?.is_some_and(|last| now.since(last) < settings.every) {
        return Ok(false);
    }
    if let Canary::Missed { since } = state(app).await? {
        tracing::error!(%since, "the canary is missed: mail does not go out, or does not come back; bounces are not noticed");
    }
    let (mut ids, recipient) = (app.id_source(), app.settings.bounce_address.clone());
    let sent: Result<bool, StoreError> = app
        .store
        .write("canary", move |tx| {
            Box::pin(async move {
                if !tx.take_mark(MARK, now - settings.every + Duration::from_micros(1), now).await? {
                    return Ok(false);
                }
                let notice = NewNotice { kind: NoticeKind::Canary, order: None, recipient, locale: Locale::En, data: json!({}) };
                notify::enqueue(tx, vec![notice], now, &mut ids).await?;
                tx.drop_old_canaries(KEPT).await?;
                Ok(true)
            })
        })
        .await;
    if sent? {
        return Ok(true);
    }
    Ok(false)
}

/// How the loop of mail fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canary {
    /// There is none.
    Off,
    /// None has been sent long enough ago to tell.
    Waiting,
    /// The last one came back after so long.
    Well {
        /// From making it to its return.
        round_trip: Duration,
        /// When it came back.
        at: Timestamp,
    },
    /// One is missed.
    Missed {
        /// When it was made.
        since: Timestamp,
    },
}

impl Canary {
    /// Reads the canaries, latest first.
    #[must_use]
    pub fn read(canaries: &[NoticeRow], settings: CanarySettings, now: Timestamp) -> Self {
        for one in canaries {
            let made = Timestamp::from_unix_micros(one.created_at);
            if let Some(returned) = one.returned_at.map(Timestamp::from_unix_micros) {
                return Self::Well { round_trip: returned.since(made), at: returned };
            }
            if matches!(one.delivery.as_str(), "bounced" | "failed") || now.since(made) >= settings.alarm_after {
                return Self::Missed { since: made };
            }
        }
        Self::Waiting
    }
}

/// How the loop of mail fares now.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn state(app: &App) -> Result<Canary, StoreError> {
    let Some(settings) = app.settings.canary else { return Ok(Canary::Off) };
    let latest = app.store.latest_notices(NoticeKind::Canary, 20).await?;
    Ok(Canary::read(&latest, settings, app.now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_unix_secs(1_795_000_000);
    const MINUTE: Duration = Duration::from_secs(60);
    const SETTINGS: CanarySettings = CanarySettings { every: Duration::from_secs(3600), alarm_after: Duration::from_secs(900) };

    fn canary(minutes_ago: u32, delivery: &str, back_after: Option<u32>) -> NoticeRow {
        let made = START - MINUTE * minutes_ago;
        NoticeRow {
            id: vec![0; 16],
            order_id: None,
            kind: "canary".to_owned(),
            recipient: String::new(),
            locale: "en".to_owned(),
            data: "{}".to_owned(),
            delivery: delivery.to_owned(),
            failure: None,
            created_at: made.unix_micros(),
            sent_at: None,
            returned_at: back_after.map(|minutes| (made + MINUTE * minutes).unix_micros()),
            disputed_at: None,
        }
    }

    #[test]
    fn a_canary_that_is_out_says_nothing_and_the_one_before_counts() {
        let read = |canaries: &[NoticeRow]| Canary::read(canaries, SETTINGS, START);
        assert_eq!(read(&[]), Canary::Waiting);
        assert_eq!(read(&[canary(5, "accepted", None)]), Canary::Waiting);
        let well = Canary::Well { round_trip: MINUTE, at: START - MINUTE * 64 };
        assert_eq!(read(&[canary(5, "accepted", None), canary(65, "delivered", Some(1))]), well);
        assert_eq!(
            read(&[canary(20, "accepted", None), canary(80, "delivered", Some(1))]),
            Canary::Missed { since: START - MINUTE * 20 }
        );
        assert_eq!(read(&[canary(1, "bounced", None)]), Canary::Missed { since: START - MINUTE });
    }
}
