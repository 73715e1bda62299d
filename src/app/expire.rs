//! Ends what was not answered in time: links past their deadline, names nobody chose an approver for.

use serde_json::json;

use super::answer::{as_they_are, completion, end_veto};
use super::{App, notify};
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::OrderId;
use crate::dcv::order::{LinkState, ValidationState};
use crate::dcv::timestamp::Timestamp;
use crate::store::{MailRow, MailValidations, StoreError, ValidationRow, Whole};

/// Orders looked at in one round.
const ROUND_MAX: u32 = 100;

/// Expires what is past its deadline; how many orders were touched. Running it twice changes nothing the second time.
///
/// # Errors
/// [`StoreError`] when the database fails; orders already done stay done.
pub async fn expire_due(app: &App) -> Result<usize, StoreError> {
    let now = app.now();
    let mut due = app.store.orders_past_deadline(now, ROUND_MAX).await?;
    due.extend(app.store.orders_past_selection(now, ROUND_MAX).await?);
    due.extend(app.store.orders_past_veto(now, ROUND_MAX).await?);
    due.sort_unstable();
    due.dedup();
    for id in &due {
        let id: [u8; 16] = id.as_slice().try_into().map_err(|_| StoreError::inconsistent("mails", "order_id", id))?;
        // One order that cannot be read must not keep the others open.
        if let Err(error) = expire_order(app, OrderId::from_bytes(id), now).await {
            tracing::error!(order = %OrderId::from_bytes(id), %error, "an order's deadline could not be applied; trying again");
        }
    }
    Ok(due.len())
}

async fn expire_order(app: &App, id: OrderId, now: Timestamp) -> Result<(), StoreError> {
    let Some(order) = app.store.order(id).await? else { return Ok(()) };
    let profile = app.profile_of(&order).await?;
    let notices = profile.profile.mail.expiry_notice;
    let (mut ids, routes) = (app.id_source(), app.routes(&order.client));
    app.store
        .write("expire", move |tx| {
            Box::pin(async move {
                let Some(Whole { order, validations, mails, pairs }) = tx.lock_whole(id).await? else { return Ok(()) };
                let late = |mail: &MailRow| mail.expires_at <= now.unix_micros();
                let mut open = Vec::new();
                for mail in &mails {
                    if late(mail) {
                        tx.end_link(mail, LinkState::Expired, now).await?;
                    } else if mail.link()?.is_open() {
                        open.push(&mail.id);
                    }
                }
                let (mut events, mut names) = (Vec::new(), Vec::new());
                // An approval that waited for a refusal counts once the time is over, or nobody is left who could refuse.
                let (mut counted, mut ended) = (Vec::new(), Vec::new());
                for one in validations.iter().filter(|one| one.veto_ends_at.is_some()) {
                    let waits = one.veto_ends_at.is_some_and(|ends| ends > now.unix_micros())
                        && open.iter().any(|mail| pairs.asks(mail, &one.id));
                    if !waits {
                        if let Some((row, event)) = end_veto(tx, &profile, &mails, one, now).await? {
                            if row.state == ValidationState::Expired.as_str() {
                                names.push(one.name.as_str());
                            }
                            ended.push(row);
                            events.push(event);
                        }
                        counted.push(&one.id);
                    }
                }
                for mail in mails.iter().filter(|mail| open.contains(&&mail.id)) {
                    let asked = |one: &&ValidationRow| pairs.asks(&mail.id, &one.id);
                    let mut asked = validations.iter().filter(asked).peekable();
                    if asked.peek().is_some() && asked.all(|one| one.state != "pending" || counted.contains(&&one.id)) {
                        tx.end_link(mail, LinkState::Answered, now).await?;
                    }
                }
                for one in validations.iter().filter(|one| one.veto_ends_at.is_none()) {
                    if over(one, &open, &pairs, now)?
                        && let Some(row) = tx.end_validation(&one.id, one.state()?, ValidationState::Expired, now).await?
                    {
                        ended.push(row);
                        names.push(one.name.as_str());
                        events.push(Event::new(
                            EventType::ValidationExpired,
                            now,
                            "system",
                            json!({"name": one.name, "state": "expired"}),
                        ));
                    }
                }
                // What policy holds is not announced.
                if notices && !order.is_held() {
                    let mailed = mails.iter().any(|mail| mail.sent_at.is_some());
                    notify::enqueue(tx, notify::of_expiry(&order, &names, mailed, now)?, now, &mut ids).await?;
                }
                events.extend(completion(&order, &as_they_are(validations, ended), now)?);
                tx.record_events(id, &order.order_ref, &events, &routes, &mut ids).await
            })
        })
        .await
}

/// Whether a name has nobody left who could answer for it.
fn over(one: &ValidationRow, open: &[&Vec<u8>], pairs: &MailValidations, now: Timestamp) -> Result<bool, StoreError> {
    Ok(match one.state()? {
        ValidationState::AwaitingApprover => one.selection_ends_at.is_some_and(|ends| ends <= now.unix_micros()),
        ValidationState::Pending => !open.iter().any(|mail| pairs.asks(mail, &one.id)),
        _ => false,
    })
}
