//! Counts what the timelines say, a little behind them, for the status page.

use std::time::Duration;

use serde_json::Value;

use super::{App, OrderFacts};
use crate::dcv::event::EventType;
use crate::dcv::tally::{self, Count, Entry, step};
use crate::dcv::timestamp::Timestamp;
use crate::store::{StoreError, ToCount, tally_marks};

/// How far the counting stays behind: whatever was begun earlier has been committed, or will never be. Longer than any request may take.
pub const BEHIND: Duration = Duration::from_secs(90);

/// When it is looked whether an order's end was told: webhooks that are taken at all are mostly taken at once.
const TOLD_BY: Duration = Duration::from_secs(3600);

/// Entries counted in one transaction.
const ROUND_MAX: u32 = 500;

const DECIDED: [&str; 3] =
    [EventType::ValidationApproved.as_str(), EventType::ValidationRejected.as_str(), EventType::ValidationReported.as_str()];

const LOST: [&str; 2] = [EventType::MailBounced.as_str(), EventType::MailFailed.as_str()];

/// Counts one round; how many entries that were. Each is counted once, whoever counts and whenever it stops.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn count_round(app: &App) -> Result<usize, StoreError> {
    let counted = round(app, tally_marks::COUNTED, app.now() - BEHIND).await?;
    let told = round(app, tally_marks::TOLD, app.now() - TOLD_BY).await?;
    Ok(counted + told)
}

async fn round(app: &App, mark: &'static str, until: Timestamp) -> Result<usize, StoreError> {
    let from = app.store.tally_mark(mark).await?;
    let rows = app.store.to_count(from.as_deref().unwrap_or_default(), until, ROUND_MAX).await?;
    let (Some(last), counted) = (rows.last().map(|row| row.id.clone()), rows.len()) else { return Ok(0) };
    let lists = app.lists();
    app.store
        .write("count", move |tx| {
            Box::pin(async move {
                if !tx.move_tally_mark(mark, from.as_deref(), &last).await? {
                    return Ok(0);
                }
                let mut counts = Vec::new();
                for row in rows.iter().filter(|row| row.test == 0) {
                    let Some(kind) = EventType::from_text(&row.kind) else { continue };
                    if mark == tally_marks::TOLD {
                        if kind == EventType::OrderCompleted && tx.was_taken(&row.id).await? {
                            counts.push(step_of(row, step::TOLD));
                        }
                        continue;
                    }
                    let data: Value = serde_json::from_str(&row.data).unwrap_or_default();
                    let facts: OrderFacts = serde_json::from_str(&row.facts).unwrap_or_default();
                    let alike: &[&str] = match kind {
                        EventType::MailBounced | EventType::MailFailed => &LOST,
                        EventType::ValidationApproved | EventType::ValidationRejected | EventType::ValidationReported => &DECIDED,
                        EventType::MailSent | EventType::CertificateRecorded | EventType::ApproverChanged => &[kind.as_str()],
                        _ => &[],
                    };
                    let looks_back = matches!(kind, EventType::OrderCreated | EventType::ApproverChanged);
                    let approved = kind == EventType::ValidationApproved;
                    let entry = Entry {
                        kind,
                        at: Timestamp::from_unix_micros(row.at),
                        data: &data,
                        ordered_at: Timestamp::from_unix_micros(row.created_at),
                        profile: &row.profile_id,
                        client: &row.client,
                        requester: facts.requester.as_deref().unwrap_or_default(),
                        is_first: alike.is_empty() || !tx.had_before(&row.order_id, row.seq, alike).await?,
                        was_addressed: looks_back && tx.was_addressed(&row.order_id, row.created_at).await?,
                        reminders: if approved {
                            tx.reminders_of(&row.order_id, data["name"].as_str().unwrap_or_default()).await?
                        } else {
                            None
                        },
                    };
                    counts.extend(tally::counts(&entry, &lists.suffixes));
                }
                tx.count_up(&together(counts)).await?;
                Ok::<usize, StoreError>(counted)
            })
        })
        .await
}

/// An order's having come so far.
fn step_of(row: &ToCount, step: &'static str) -> Count {
    let at = tally::hour_of(Timestamp::from_unix_micros(row.created_at));
    Count { at, dimension: tally::Dimension::Funnel.as_str(), value: String::new(), measure: step, by: 1 }
}

/// Alike counts as one, in an order that all daemons keep: each is one row.
pub(super) fn together(mut counts: Vec<Count>) -> Vec<Count> {
    counts.sort();
    counts.dedup_by(|next, kept| {
        let alike = (next.at, next.dimension, &next.value, next.measure) == (kept.at, kept.dimension, &kept.value, kept.measure);
        if alike {
            kept.by += next.by;
        }
        alike
    });
    counts
}
