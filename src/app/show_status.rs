//! Shows an order's state to whoever is told of it, by a code sent to their address: once, and nothing can be done there.

use std::time::Duration;

use serde_json::json;

use super::App;
use super::notify::{self, NewNotice};
use super::show_order::{OrderRecord, show_order};
use crate::dcv::email::EmailAddress;
use crate::dcv::id::OrderId;
use crate::dcv::link;
use crate::dcv::notice::NoticeKind;
use crate::dcv::timestamp::DAY_SECS;
use crate::store::StoreError;

/// How long a code works.
pub const WORKS: Duration = Duration::from_secs(15 * 60);

/// Codes for one order to one address within that time, and within a day.
const CODES_MAX: i64 = 3;
const CODES_A_DAY_MAX: i64 = 10;

/// Sends a code, where the address is one of those that the order's caller named for notices; else nothing. Whoever asks is not told which.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn send_status_code(app: &App, id: OrderId, email: &EmailAddress) -> Result<(), StoreError> {
    let Some(order) = app.store.order(id).await? else { return Ok(()) };
    let named = order.facts()?.notify.into_iter().find(|one| EmailAddress::parse(one).is_ok_and(|one| one.is_chosen_by(email)));
    let Some(recipient) = named else { return Ok(()) };
    let (now, mut ids) = (app.now(), app.id_source());
    let (day, to) = (Duration::from_secs(DAY_SECS), recipient.clone());
    let notice =
        NewNotice { kind: NoticeKind::StatusCode, order: Some(id), recipient, locale: notify::locale(&order), data: json!({}) };
    app.store
        .write("send_status_code", move |tx| {
            Box::pin(async move {
                tx.lock(id).await?;
                let few = tx.count_status_codes(id, &to, now - WORKS).await? < CODES_MAX
                    && tx.count_status_codes(id, &to, now - day).await? < CODES_A_DAY_MAX;
                if few {
                    notify::enqueue(tx, vec![notice], now, &mut ids).await?;
                }
                Ok::<(), StoreError>(())
            })
        })
        .await?;
    Ok(())
}

/// Shows the order once to whoever has a code; `None` where it is wrong, was used, or its time is over.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn show_status(app: &App, id: OrderId, email: &EmailAddress, code: &str) -> Result<Option<OrderRecord>, StoreError> {
    let now = app.now();
    let sent = app.store.status_codes(id, now - WORKS).await?;
    let fits = |(notice, recipient): &&(Vec<u8>, String)| {
        let notice = <[u8; 16]>::try_from(notice.as_slice());
        EmailAddress::parse(recipient).is_ok_and(|one| one.is_chosen_by(email))
            && notice.is_ok_and(|notice| link::status_code_fits(&app.keys, &notice, code))
    };
    let Some((notice, _)) = sent.iter().find(fits).cloned() else { return Ok(None) };
    let used =
        app.store.write("use_status_code", move |tx| Box::pin(async move { tx.use_status_code(&notice, now).await })).await?;
    if used { show_order(app, id, None).await } else { Ok(None) }
}
