//! Sends the same mail once more: on somebody's word, or as a reminder. The deadline stays, and every byte but two header lines.

use serde_json::json;

use super::{App, Cause, notify};
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::{EffectId, MailId, OrderId};
use crate::dcv::profile::Window;
use crate::dcv::resend::{self, Reminding, ResendRefusal};
use crate::dcv::timestamp::Timestamp;
use crate::store::{EffectKind, MailRow, NewEffect, OrderRow, StoreError, Tx};

/// Why a mail was not sent once more.
#[derive(Debug, thiserror::Error)]
pub enum ResendError {
    /// There is no such mail of this order.
    #[error("there is no such mail")]
    Missing,
    /// The rules forbid it.
    #[error(transparent)]
    Refused(#[from] ResendRefusal),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Sends a mail of an order once more on somebody's word.
///
/// # Errors
/// [`ResendError`]; then nothing goes.
pub async fn resend(app: &App, order_id: OrderId, mail_id: MailId, cause: &Cause) -> Result<(), ResendError> {
    let Some(order) = app.store.order(order_id).await? else { return Err(ResendError::Missing) };
    let profile = app.profile_of(&order).await?;
    let Some(sealed) = app.store.mail_body(mail_id).await? else { return Err(refused(app, order_id, mail_id).await?) };
    let (now, mut ids, routes, cause) = (app.now(), app.id_source(), app.routes(&order.client), cause.clone());
    let host = app.settings.message_id_host.clone();
    let sent: Result<(), ResendError> = app
        .store
        .write("resend", move |tx| {
            Box::pin(async move {
                let order = tx.lock_order(order_id).await?.ok_or(ResendError::Missing)?;
                tx.remember(cause.request.as_ref(), order_id, now).await?;
                let mails = tx.mails(order_id).await?;
                let mail = mails.iter().find(|mail| mail.id[..] == mail_id.as_bytes()[..]).ok_or(ResendError::Missing)?;
                let rules = &profile.profile;
                resend::may_resend(&mail.sent(stated(mail, &rules.window))?, &rules.resend, now)?;
                let event = Event::new(
                    EventType::MailResent,
                    now,
                    &cause.actor,
                    super::deliver::mail_data(mail, json!({"reason": cause.reason})),
                );
                if enqueue(tx, &order, mail, &sealed, &host, false, now, &mut ids).await? {
                    tx.record_events(order_id, &order.order_ref, &[event], &routes, &mut ids).await?;
                    return Ok(());
                }
                Err(ResendRefusal::Waiting.into())
            })
        })
        .await;
    sent?;
    Ok(())
}

/// Why a mail whose bytes are gone is not sent.
async fn refused(app: &App, order: OrderId, mail: MailId) -> Result<ResendError, StoreError> {
    let found = app.store.mail(mail).await?.filter(|mail| mail.order_id[..] == order.as_bytes()[..]);
    Ok(found.map_or(ResendError::Missing, |_| ResendRefusal::Ended.into()))
}

/// The deadline that a mail's text states: that of its creation.
fn stated(mail: &MailRow, window: &Window) -> Timestamp {
    window.ends(Timestamp::from_unix_micros(mail.created_at))
}

/// Puts a mail into the outbox once more; `false` where it may not go, or its bytes are not of our making.
#[expect(clippy::too_many_arguments, reason = "one row, one sealed message and how to make the next")]
async fn enqueue(
    tx: &mut Tx<'_>,
    order: &OrderRow,
    mail: &MailRow,
    sealed: &[u8],
    host: &str,
    reminder: bool,
    now: Timestamp,
    ids: &mut (dyn FnMut() -> [u8; 10] + Send),
) -> Result<bool, StoreError> {
    let Some(seq) = tx.resend(mail.id()?, reminder, now).await? else { return Ok(false) };
    let name = mail.id()?.to_string();
    let message_id = format!("<{}.{seq}@{host}>", name.trim_start_matches(MailId::PREFIX));
    let inconsistent = || StoreError::inconsistent("effects", "body", &mail.id);
    let body = resend::sealed_again(sealed, &message_id, now).ok_or_else(inconsistent)?;
    let effect = NewEffect {
        id: EffectId::new(now, ids()),
        kind: EffectKind::Mail,
        order: Some(order.id()?),
        subject: *mail.id()?.as_bytes(),
        endpoint: mail.reference.clone(),
        seq,
        recipient: (order.test == 0).then(|| mail.recipient.to_lowercase()),
        body: Some(body),
        at: now,
        held: order.is_held(),
    };
    tx.enqueue(&effect).await?;
    Ok(true)
}

/// Mails looked at in one round.
const ROUND_MAX: u32 = 100;

/// Reminds whoever is due; how many mails were looked at. Running it twice reminds nobody twice.
///
/// # Errors
/// [`StoreError`] when the database fails; who was reminded stays reminded.
pub async fn remind_due(app: &App) -> Result<usize, StoreError> {
    let due = app.store.mails_to_remind(app.now(), ROUND_MAX).await?;
    for mail in &due {
        // One mail that cannot be read must not keep the others from being reminded.
        if let Err(error) = remind(app, mail).await {
            tracing::error!(mail = ?mail.id(), %error, "a reminder could not be made; trying again");
        }
    }
    Ok(due.len())
}

async fn remind(app: &App, due: &MailRow) -> Result<(), StoreError> {
    let (order_id, mail_id, now) = (due.order_id()?, due.id()?, app.now());
    let Some(order) = app.store.order(order_id).await? else { return Ok(()) };
    let profile = app.profile_of(&order).await?;
    let sealed = app.store.mail_body(mail_id).await?;
    let (mut ids, routes) = (app.id_source(), app.routes(&order.client));
    let host = app.settings.message_id_host.clone();
    app.store
        .write("remind", move |tx| {
            Box::pin(async move {
                let Some(order) = tx.lock_order(order_id).await? else { return Ok(()) };
                let mails = tx.mails(order_id).await?;
                let Some(mail) = mails.iter().find(|mail| mail.id[..] == mail_id.as_bytes()[..]) else { return Ok(()) };
                let (rules, Some(at)) = (&profile.profile, mail.remind_at) else { return Ok(()) };
                if at > now.unix_micros() {
                    return Ok(());
                }
                let next = resend::next_reminder(&rules.reminders, Timestamp::from_unix_micros(mail.expires_at), now);
                if !tx.move_reminder(mail_id, at, next).await? {
                    return Ok(());
                }
                let event = |kind| Event::new(kind, now, "system", super::deliver::mail_data(mail, json!({"reminder": true})));
                if order.paused_at.is_some() {
                    return Ok(());
                }
                match resend::reminding(&mail.sent(stated(mail, &rules.window))?, &rules.reminders, now) {
                    Reminding::Resend => {
                        let Some(sealed) = &sealed else { return Ok(()) };
                        if enqueue(tx, &order, mail, sealed, &host, true, now, &mut ids).await? {
                            let events = [event(EventType::MailResent)];
                            tx.record_events(order_id, &order.order_ref, &events, &routes, &mut ids).await?;
                        }
                        Ok(())
                    }
                    Reminding::Notice => notify::enqueue(tx, notify::of_reminder(&order, mail)?, now, &mut ids).await,
                    Reminding::Nothing => Ok(()),
                }
            })
        })
        .await
}
