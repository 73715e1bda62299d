//! Moves the deadline of an order's open links. No link changes; the pages tell the new deadline.

use serde_json::json;

use super::{App, Cause};
use crate::dcv::event::{Event, EventType};
use crate::dcv::extend::{TooFar, extended};
use crate::dcv::id::OrderId;
use crate::dcv::resend::next_reminder;
use crate::dcv::timestamp::Timestamp;
use crate::store::StoreError;

/// Why a deadline was not moved.
#[derive(Debug, thiserror::Error)]
pub enum ExtendError {
    /// There is no such order.
    #[error("there is no such order")]
    Missing,
    /// None of its links is open.
    #[error("no link of this order is open")]
    Ended,
    /// It cannot be moved so far.
    #[error(transparent)]
    TooFar(#[from] TooFar),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Moves the deadlines by `days`, all or none.
///
/// # Errors
/// [`ExtendError`]; then everything stays as it was.
pub async fn extend(app: &App, id: OrderId, days: u32, reason: Option<&str>, cause: &Cause) -> Result<(), ExtendError> {
    let order = app.store.order(id).await?.ok_or(ExtendError::Missing)?;
    let profile = app.profile_of(&order).await?;
    let (now, mut ids, routes, cause) = (app.now(), app.id_source(), app.routes(&order.client), cause.clone());
    let reason = reason.map(str::to_owned);
    app.store
        .write("extend", move |tx| {
            Box::pin(async move {
                let order = tx.lock_order(id).await?.ok_or(ExtendError::Missing)?;
                tx.remember(cause.request.as_ref(), id, now).await?;
                let mut moved = Vec::new();
                for mail in tx.mails(id).await? {
                    // Past its deadline a link is over, whether or not that is written down yet.
                    if !mail.link()?.is_open() || now.unix_micros() >= mail.expires_at {
                        continue;
                    }
                    let created = Timestamp::from_unix_micros(mail.created_at);
                    let until = extended(created, Timestamp::from_unix_micros(mail.expires_at), days)?;
                    // The mail states the old deadline; reminders are notices from now on, which tell the new one.
                    let remind_at = next_reminder(&profile.profile.reminders, until, now);
                    tx.set_deadline(&mail.id, until, remind_at).await?;
                    moved.push(json!({"mail_id": mail.id()?, "expires_at": until}));
                }
                if moved.is_empty() {
                    return Err(ExtendError::Ended);
                }
                let data = json!({"days": days, "reason": reason, "mails": moved});
                let event = Event::new(EventType::OrderExtended, now, &cause.actor, data);
                tx.record_events(id, &order.order_ref, &[event], &routes, &mut ids).await?;
                Ok(())
            })
        })
        .await
}
