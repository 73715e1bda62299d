//! Hands one effect of the outbox to the world and records what came of it. At least once, always with the same id.

mod mail;
mod notice;
mod webhook;

use std::time::{Duration, Instant};

use tracing::{Instrument as _, Span, field};

use super::App;
use crate::dcv::id::OrderId;
use crate::dcv::timestamp::Timestamp;
use crate::dcv::{redact, retry};
use crate::lifecycle::point;
use crate::store::{ClaimedEffect, EffectKind, Outcome, Said, StoreError};
use crate::telemetry;

pub(super) use mail::mail_data;

/// A worker's hold on an effect; what it records under another's is refused.
pub type Lease = [u8; 16];

/// Attempts after which an effect is given up whatever happens; the schedule itself ends with the 43rd. Only one that kills its
/// worker each time gets here.
const ATTEMPTS_MAX: i64 = 60;
const NEVER_ENDED: &str = "given up: no attempt came to an end";

/// Makes one attempt at an effect and records it. `turn` is what it holds that others wait for: a webhook's ends with its answer, since
/// the receiver is asked nothing more while that is recorded.
///
/// # Errors
/// [`StoreError`] when the database fails; the lease then ends and the attempt is made again.
pub async fn deliver(
    app: &App,
    kind: EffectKind,
    effect: ClaimedEffect,
    lease: Lease,
    turn: impl Send,
) -> Result<(), StoreError> {
    let request = effect.request_id.clone().unwrap_or_default();
    let order = effect.order_id.as_deref().and_then(|id| id.try_into().ok()).map(OrderId::from_bytes);
    let span = tracing::info_span!(
        "effect",
        kind = kind.as_str(),
        request,
        order = order.map(|id| id.to_string()),
        outcome = field::Empty
    );
    let begun = Instant::now();
    let attempt = effect.attempts;
    let delivery = async {
        // Each by itself: what is handed on until it runs would otherwise be as large as the largest of them.
        let delivered = match kind {
            EffectKind::Mail => Box::pin(mail::deliver(app, effect, lease)).await,
            EffectKind::Notice => Box::pin(notice::deliver(app, effect, lease)).await,
            EffectKind::Webhook => Box::pin(webhook::deliver(app, effect, lease, turn)).await,
        };
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(attempt, duration_ms = millis, "attempt");
        delivered
    };
    let delivered = telemetry::in_request(request, delivery.instrument(span)).await;
    metrics::histogram!("dcvd_attempt_duration_seconds", "kind" => kind.as_str()).record(begun.elapsed());
    delivered
}

/// Gives an effect back that was leased and not tried, so that whoever comes next need not wait for the lease's end.
///
/// # Errors
/// [`StoreError`] when the database fails; the lease then ends by itself.
pub async fn give_back(app: &App, effect: ClaimedEffect, lease: Lease) -> Result<(), StoreError> {
    let now = app.now();
    app.store
        .write("give_back", move |tx| {
            Box::pin(async move {
                let order = effect.order_id.as_deref().and_then(|id| id.try_into().ok()).map(OrderId::from_bytes);
                if let Some(order) = order {
                    tx.lock(order).await?;
                }
                tx.finish(&effect, lease, &Outcome::Postponed(now), &Said::default(), now).await.map(drop)
            })
        })
        .await
}

/// The next attempt, or the end of trying.
fn again(app: &App, effect: &ClaimedEffect, after: Option<Duration>) -> Outcome {
    let first_tried = Timestamp::from_unix_micros(effect.first_tried_at);
    let attempts = u32::try_from(effect.tried).unwrap_or(u32::MAX);
    let jitter = u16::from_be_bytes(app.random());
    retry::next_attempt(first_tried, attempts, app.now(), jitter, after).map_or(Outcome::Dead, Outcome::Later)
}

/// Puts what came of the attempt to the line that tells of it; it is not recorded yet.
fn tell(effect: &ClaimedEffect, outcome: &Outcome) {
    point("taken", &effect.kind);
    Span::current().record("outcome", outcome.as_str());
}

fn subject(effect: &ClaimedEffect) -> Result<[u8; 16], StoreError> {
    effect.subject_id.as_slice().try_into().map_err(|_| StoreError::inconsistent("effects", "subject_id", &effect.id))
}

/// Said of an attempt whose lease was taken: a late worker writes nothing.
fn lease_was_lost(effect: &ClaimedEffect) {
    tracing::warn!(?effect, "the lease was lost; what came of the attempt is not recorded");
}

/// What a relay said, without a link that it may have quoted from the message.
fn without_link(app: &App, text: &str) -> String {
    String::from_utf8_lossy(&redact::without_tokens_in_line(&app.keys, text.as_bytes())).into_owned()
}
