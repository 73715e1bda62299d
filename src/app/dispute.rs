//! Takes a dispute: whoever got the receipt of an approval says that it was none of theirs. History stays as it is; the ordering system
//! is told, so that an authority's clock starts from here.

use serde_json::{Value, json};

use super::App;
use super::answer::Caller;
use crate::dcv::event::{Basis, Event, EventType};
use crate::dcv::id::{MailId, NoticeId};
use crate::dcv::link;
use crate::dcv::notice::{Answered, NoticeKind};
use crate::dcv::order::ValidationState;
use crate::dcv::profile::Corroboration;
use crate::dcv::timestamp::Timestamp;
use crate::store::{MailRow, NoticeRow, OrderRow, StoreError, ValidationRow};

/// A receipt that is genuine and tells an approval.
pub struct Disputable {
    /// The receipt.
    pub notice: NoticeRow,
    /// Its order.
    pub order: OrderRow,
    /// The names that the answer approved and that still stand so.
    pub names: Vec<ValidationRow>,
    /// The mail that was answered.
    pub mail: MailRow,
    /// When it was answered.
    pub at: Timestamp,
}

/// Opens a dispute link; `None` where it is forged, foreign, or tells no approval. A forged one never reaches the database.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn open(app: &App, token: &str) -> Result<Option<Disputable>, StoreError> {
    let Ok(id) = link::verify_dispute(&app.keys, token) else { return Ok(None) };
    let Some(notice) = app.store.notice(NoticeId::from_bytes(id)).await? else { return Ok(None) };
    let data: Value = serde_json::from_str(&notice.data).unwrap_or_default();
    if notice.kind()? != NoticeKind::Receipt || data["answered"] != Answered::Approved.as_str() {
        return Ok(None);
    }
    let mail = data["mail"].as_str().and_then(|id| MailId::parse(id).ok());
    let at = data["at"].as_str().and_then(|at| Timestamp::parse_rfc3339(at).ok());
    let (Some(order), Some(mail), Some(at)) = (notice.order_id()?, mail, at) else { return Ok(None) };
    let (Some(order), Some(mail)) = (app.store.order(order).await?, app.store.mail(mail).await?) else { return Ok(None) };
    let names = app.store.validations(order.id()?).await?.into_iter().filter(|one| is_by(one, &mail)).collect();
    Ok(Some(Disputable { notice, order, names, mail, at }))
}

/// Whether a name was approved by a mail.
fn is_by(one: &ValidationRow, mail: &MailRow) -> bool {
    one.mail_id.as_ref() == Some(&mail.id) && one.state == ValidationState::Approved.as_str()
}

/// Takes a dispute, once for each receipt.
///
/// # Errors
/// [`StoreError`] when the database fails; then nothing was taken.
pub async fn dispute(app: &App, opened: &Disputable, caller: Caller) -> Result<(), StoreError> {
    let (order_id, notice_id, now) = (opened.order.id()?, opened.notice.id()?, app.now());
    let profile = app.profile_of(&opened.order).await?;
    let (mut ids, routes) = (app.id_source(), app.routes(&opened.order.client));
    let basis = Basis {
        adn: opened.mail.adn.clone(),
        approver: opened.mail.recipient.clone(),
        source: opened.mail.source()?,
        initiated_at: opened.mail.initiated_at(),
        compliance: profile.profile.compliance,
        external_mpic: profile.profile.corroboration == Corroboration::External,
    };
    let (mail, by) = (opened.mail.clone(), opened.notice.recipient.clone());
    let taken: Result<(), StoreError> = app
        .store
        .write("dispute", move |tx| {
            Box::pin(async move {
                let missing = || StoreError::inconsistent("notices", "order_id", notice_id.as_bytes());
                let order = tx.lock_order(order_id).await?.ok_or_else(missing)?;
                if !tx.dispute(notice_id, now).await? {
                    return Ok(());
                }
                let mut events = Vec::new();
                for one in tx.validations(order_id).await?.iter().filter(|one| is_by(one, &mail)) {
                    let mut data = basis.members(now);
                    data.insert("name".to_owned(), json!(one.name));
                    data.insert("state".to_owned(), json!(one.state));
                    data.insert("scope".to_owned(), json!(one.scope));
                    data.insert("approved_at".to_owned(), json!(one.ended_at.map(Timestamp::from_unix_micros)));
                    data.insert("disputed_at".to_owned(), json!(now));
                    data.insert("disputed_by".to_owned(), json!(by));
                    data.insert("peer".to_owned(), json!(caller.peer));
                    events.push(Event::new(EventType::ValidationDisputed, now, "approver", Value::Object(data)));
                }
                tx.record_events(order_id, &order.order_ref, &events, &routes, &mut ids).await
            })
        })
        .await;
    taken?;
    app.wake.webhook.notify_one();
    Ok(())
}
