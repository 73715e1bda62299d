//! Takes a dispute: whoever got the receipt of an approval says that it was none of theirs. History stays as it is; the ordering system
//! is told, so that an authority's clock starts from here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::answer::{Caller, basis};
use super::{App, notify};
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::{MailId, NoticeId, OrderId};
use crate::dcv::link;
use crate::dcv::notice::{Answered, NoticeKind};
use crate::dcv::order::ValidationState;
use crate::dcv::profile::Versioned;
use crate::dcv::timestamp::Timestamp;
use crate::store::{MailRow, NoticeRow, OrderRow, StoreError, Tx, ValidationRow};

/// A receipt that is genuine and tells an approval.
pub struct Disputable {
    /// The receipt.
    pub notice: NoticeRow,
    /// Its order.
    pub order: OrderRow,
    /// The names that the answer approved and whose approval stands, counted or waiting for a veto.
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
    // Those that the receipt names: its recipient speaks for no other.
    let told: Vec<&str> = data["names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let disputable = |one: &ValidationRow| is_by(one, &mail) && told.contains(&one.name.as_str());
    let names = app.store.validations(order.id()?).await?.into_iter().filter(disputable).collect();
    Ok(Some(Disputable { notice, order, names, mail, at }))
}

/// Whether a name was approved by a mail.
fn is_by(one: &ValidationRow, mail: &MailRow) -> bool {
    one.mail_id.as_ref() == Some(&mail.id) && stands(one)
}

/// Whether an approval stands: it counts, or it waits for a veto and will count.
fn stands(one: &ValidationRow) -> bool {
    one.state == ValidationState::Approved.as_str() || one.veto_ends_at.is_some()
}

/// Takes a dispute, once for each receipt.
///
/// # Errors
/// [`StoreError`] when the database fails; then nothing was taken.
pub async fn dispute(app: &App, opened: &Disputable, caller: Caller) -> Result<(), StoreError> {
    let (order_id, notice_id, now) = (opened.order.id()?, opened.notice.id()?, app.now());
    let profile = app.profile_of(&opened.order).await?;
    let (mut ids, routes, operators) = (app.id_source(), app.routes(&opened.order.client), app.settings.operators.clone());
    let by = opened.notice.recipient.clone();
    let disputed: Vec<Vec<u8>> = opened.names.iter().map(|one| one.id.clone()).collect();
    let taken: Result<(), StoreError> = app
        .store
        .write("dispute", move |tx| {
            Box::pin(async move {
                let missing = || StoreError::inconsistent("notices", "order_id", notice_id.as_bytes());
                let order = tx.lock_order(order_id).await?.ok_or_else(missing)?;
                let validations = tx.validations(order_id).await?;
                let names: Vec<&ValidationRow> =
                    validations.iter().filter(|one| disputed.contains(&one.id) && stands(one)).collect();
                // What stands no more is not objected to, nor said to have been.
                if names.is_empty() || !tx.dispute(notice_id, now).await? {
                    return Ok(());
                }
                let mails = tx.mails(order_id).await?;
                record(tx, &profile, &order, &mails, &names, (&by, caller), &operators, &routes, now, &mut ids).await
            })
        })
        .await;
    taken?;
    Ok(())
}

/// Writes down that somebody objects to the approval of some names, and tells it.
#[expect(clippy::too_many_arguments, reason = "an order whole, who objects, and where that is told")]
pub(super) async fn record(
    tx: &mut Tx<'_>,
    profile: &Versioned,
    order: &OrderRow,
    mails: &[MailRow],
    names: &[&ValidationRow],
    by: (&str, Caller),
    operators: &[String],
    routes: &(dyn Fn(&Event) -> Vec<String> + Send + Sync),
    now: Timestamp,
    ids: &mut (dyn FnMut() -> [u8; 10] + Send),
) -> Result<(), StoreError> {
    let (by, caller) = by;
    lock_those_that_rest(tx, names).await?;
    let (mut events, mut resting) = (Vec::new(), Vec::new());
    for one in names {
        tx.set_disputed(&one.id, now).await?;
        let mail = mails.iter().find(|mail| one.mail_id.as_ref() == Some(&mail.id));
        let mail = mail.ok_or_else(|| StoreError::inconsistent("validations", "mail_id", &one.id))?;
        let mut data = basis(tx, profile, mail).await?.members(now);
        data.insert("name".to_owned(), json!(one.name));
        data.insert("state".to_owned(), json!(one.state));
        data.insert("scope".to_owned(), json!(one.scope));
        data.insert("approved_at".to_owned(), json!(one.ended_at.map(Timestamp::from_unix_micros)));
        data.insert("disputed_at".to_owned(), json!(now));
        data.insert("disputed_by".to_owned(), json!(by));
        data.insert("peer".to_owned(), json!(caller.peer));
        data.insert("user_agent".to_owned(), json!(caller.user_agent));
        if caller.read_many {
            data.insert("marks".to_owned(), json!(["opened-many-links"]));
        }
        events.push(Event::new(EventType::ValidationDisputed, now, "approver", Value::Object(data.clone())));
        // Read after the approval is marked: what rests on it from now on was refused.
        resting.extend(tx.resting_on(&one.id).await?.into_iter().map(|one| (one, data.clone())));
    }
    let Some(adn) =
        mails.iter().find(|mail| names.iter().any(|one| one.mail_id.as_ref() == Some(&mail.id))).map(|mail| &mail.adn)
    else {
        return Ok(());
    };
    let told: Vec<&str> = names.iter().map(|one| one.name.as_str()).collect();
    notify::enqueue(tx, notify::of_dispute(order, operators, &told, adn, by, now)?, now, ids).await?;
    tx.record_events(order.id()?, &order.order_ref, &events, routes, ids).await?;
    tell_those_that_rest(tx, resting, by, operators, routes, now, ids).await
}

/// Locks the orders that rest on any of some approvals, each after those before it, so that no two transactions wait for each other.
async fn lock_those_that_rest(tx: &mut Tx<'_>, names: &[&ValidationRow]) -> Result<(), StoreError> {
    let mut orders = BTreeSet::new();
    for one in names {
        orders.extend(tx.resting_on(&one.id).await?.iter().map(order_of).collect::<Result<Vec<_>, _>>()?);
    }
    for order in orders {
        tx.lock(order).await?;
    }
    Ok(())
}

fn order_of(resting: &ValidationRow) -> Result<OrderId, StoreError> {
    let id = resting.order_id.as_slice().try_into();
    id.map(OrderId::from_bytes).map_err(|_| StoreError::inconsistent("validations", "order_id", &resting.id))
}

/// A name that rests on a disputed approval, and what its own order is told.
type Resting = (ValidationRow, Map<String, Value>);

/// Tells the orders that rest on disputed approvals, each once: what was issued on them is as doubtful.
async fn tell_those_that_rest(
    tx: &mut Tx<'_>,
    resting: Vec<Resting>,
    by: &str,
    operators: &[String],
    routes: &(dyn Fn(&Event) -> Vec<String> + Send + Sync),
    now: Timestamp,
    ids: &mut (dyn FnMut() -> [u8; 10] + Send),
) -> Result<(), StoreError> {
    let mut orders: BTreeMap<OrderId, Vec<Resting>> = BTreeMap::new();
    for one in resting {
        orders.entry(order_of(&one.0)?).or_default().push(one);
    }
    for (id, resting) in orders {
        let missing = || StoreError::inconsistent("validations", "order_id", id.as_bytes());
        let order = tx.lock_order(id).await?.ok_or_else(missing)?;
        let names: Vec<&str> = resting.iter().map(|(one, _)| one.name.as_str()).collect();
        let adn = resting.iter().find_map(|(one, _)| one.adn.as_deref()).unwrap_or_default();
        notify::enqueue(tx, notify::of_dispute(&order, operators, &names, adn, by, now)?, now, ids).await?;
        let mut events = Vec::new();
        for (one, mut data) in resting {
            tx.set_disputed(&one.id, now).await?;
            let reused_from: Value =
                one.reused_from.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            data.insert("name".to_owned(), json!(one.name));
            data.insert("state".to_owned(), json!(one.state));
            data.insert("reused_from".to_owned(), reused_from);
            events.push(Event::new(EventType::ValidationDisputed, now, "approver", Value::Object(data)));
        }
        tx.record_events(id, &order.order_ref, &events, routes, ids).await?;
    }
    Ok(())
}
