//! Puts notices into the outbox, in the transaction of what they tell.

use serde_json::{Value, json};

use super::answer::EndedName;
use super::{App, OrderFacts};
use crate::dcv::id::{EffectId, NoticeId, OrderId};
use crate::dcv::notice::{Answered, NoticeKind};
use crate::dcv::order::{Delivery, Locale};
use crate::dcv::timestamp::Timestamp;
use crate::store::{EffectKind, MailRow, NewEffect, NoticeRow, OrderRow, StoreError, Tx, ValidationRow};

/// A notice to be made.
#[derive(Debug, Clone)]
pub(super) struct NewNotice {
    /// What it tells.
    pub kind: NoticeKind,
    /// The order it tells of, if any.
    pub order: Option<OrderId>,
    /// To whom it goes.
    pub recipient: String,
    /// Which language stands first.
    pub locale: Locale,
    /// What it tells besides the order.
    pub data: Value,
}

/// Adds notices to a transaction.
pub(super) async fn enqueue(
    tx: &mut Tx<'_>,
    notices: Vec<NewNotice>,
    now: Timestamp,
    ids: &mut (dyn FnMut() -> [u8; 10] + Send),
) -> Result<(), StoreError> {
    for notice in notices {
        let id = NoticeId::new(now, ids());
        let row = NoticeRow {
            id: id.as_bytes().to_vec(),
            order_id: notice.order.map(|order| order.as_bytes().to_vec()),
            kind: notice.kind.as_str().to_owned(),
            recipient: notice.recipient.clone(),
            locale: notice.locale.as_str().to_owned(),
            data: notice.data.to_string(),
            delivery: Delivery::Queued.as_str().to_owned(),
            failure: None,
            created_at: now.unix_micros(),
            sent_at: None,
            returned_at: None,
            disputed_at: None,
        };
        tx.insert_notice(&row).await?;
        let effect = NewEffect {
            id: EffectId::new(now, ids()),
            kind: EffectKind::Notice,
            order: notice.order,
            subject: *id.as_bytes(),
            endpoint: id.to_string(),
            seq: 0,
            recipient: Some(notice.recipient),
            body: None,
            at: now,
            held: false,
        };
        tx.enqueue(&effect).await?;
    }
    Ok(())
}

/// An order's language.
pub(super) fn locale(order: &OrderRow) -> Locale {
    Locale::from_text(&order.locale).unwrap_or(Locale::Ja)
}

/// The same notice to each of several recipients, each once.
fn to_each<'r>(
    kind: NoticeKind,
    order: &OrderRow,
    recipients: impl IntoIterator<Item = &'r String>,
    data: &Value,
) -> Result<Vec<NewNotice>, StoreError> {
    let (id, mut told) = (order.id()?, Vec::new());
    let mut notices = Vec::new();
    for recipient in recipients {
        if !told.contains(&recipient) {
            told.push(recipient);
            notices.push(NewNotice {
                kind,
                order: Some(id),
                recipient: recipient.clone(),
                locale: locale(order),
                data: data.clone(),
            });
        }
    }
    Ok(notices)
}

/// What the ordering side is told when an order was placed.
pub(super) fn of_order(
    order: &OrderRow,
    facts: &OrderFacts,
    validations: &[ValidationRow],
    mails: &[MailRow],
) -> Result<Vec<NewNotice>, StoreError> {
    let to: Vec<&String> = mails.iter().map(|mail| &mail.recipient).collect();
    if to.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = validations.iter().map(|one| one.name.as_str()).collect();
    to_each(NoticeKind::HeadsUp, order, &facts.notify, &json!({"recipients": to, "names": names}))
}

/// What those who were asked, and the ordering side, are told of an answer. `asked` are the mails that asked for any of the names, each
/// with those that it asked for: nobody is told of names that they do not speak for.
pub(super) fn of_answer(
    order: &OrderRow,
    receipts: bool,
    answered: Answered,
    by: &MailRow,
    names: &[EndedName<'_>],
    asked: &[(&MailRow, Vec<&str>)],
    now: Timestamp,
) -> Result<Vec<NewNotice>, StoreError> {
    let first = names.first();
    let told = |names: &[&str]| {
        Ok::<_, StoreError>(json!({
            "answered": answered.as_str(),
            "names": names,
            "adn": by.adn,
            "scope": first.and_then(|one| one.scope),
            "signer": first.and_then(|one| one.signer),
            "by": by.recipient,
            "mail": by.id()?,
            "at": now,
        }))
    };
    let mut notices = Vec::new();
    for (mail, names) in asked.iter().filter(|_| receipts) {
        notices.extend(to_each(NoticeKind::Receipt, order, [&mail.recipient], &told(names)?)?);
    }
    let all: Vec<&str> = names.iter().map(|one| one.name).collect();
    notices.extend(to_each(NoticeKind::Result, order, &order.facts()?.notify, &told(&all)?)?);
    Ok(notices)
}

/// What the ordering side and the operators are told of an objection to an approval.
pub(super) fn of_dispute(
    order: &OrderRow,
    operators: &[String],
    names: &[&str],
    adn: &str,
    by: &str,
    now: Timestamp,
) -> Result<Vec<NewNotice>, StoreError> {
    let facts = order.facts()?;
    let data = json!({"names": names, "adn": adn, "by": by, "at": now});
    to_each(NoticeKind::Disputed, order, facts.notify.iter().chain(operators), &data)
}

/// What the ordering side is told of names that nobody answered for in time.
pub(super) fn of_expiry(order: &OrderRow, names: &[&str], mailed: bool, now: Timestamp) -> Result<Vec<NewNotice>, StoreError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    to_each(NoticeKind::Expired, order, &order.facts()?.notify, &json!({"names": names, "mailed": mailed, "at": now}))
}

/// What the ordering side is told of an order that was withdrawn.
pub(super) fn of_cancellation(
    order: &OrderRow,
    names: &[&str],
    mailed: bool,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<Vec<NewNotice>, StoreError> {
    let data = json!({"names": names, "mailed": mailed, "reason": reason, "at": now});
    to_each(NoticeKind::Cancelled, order, &order.facts()?.notify, &data)
}

/// What the ordering side and the operators are told of a mail that came back for good.
pub(super) fn of_bounce(
    app: &App,
    order: &OrderRow,
    mail: &MailRow,
    why: &str,
    now: Timestamp,
) -> Result<Vec<NewNotice>, StoreError> {
    let facts = order.facts()?;
    let data = json!({"to": mail.recipient, "adn": mail.adn, "reason": why, "at": now});
    to_each(NoticeKind::Bounced, order, facts.notify.iter().chain(&app.settings.operators), &data)
}

/// What is told of a certificate that draws near its end; `opens` is when this service asks again by itself, `why` why it could not.
pub(super) fn of_renewal(
    order: &OrderRow,
    to: &[String],
    names: &[&str],
    not_after: Timestamp,
    opens: Option<Timestamp>,
    why: Option<&str>,
) -> Result<Vec<NewNotice>, StoreError> {
    let data = json!({"names": names, "at": not_after, "deadline": opens, "reason": why});
    to_each(NoticeKind::Renewal, order, to, &data)
}

/// The reminder without a link.
pub(super) fn of_reminder(order: &OrderRow, mail: &MailRow) -> Result<Vec<NewNotice>, StoreError> {
    let data = json!({"adn": mail.adn, "sent_at": Timestamp::from_unix_micros(mail.created_at), "deadline": Timestamp::from_unix_micros(mail.expires_at)});
    to_each(NoticeKind::Reminder, order, [&mail.recipient], &data)
}
