//! Takes a message that came back: says whose it is, what became of the mail, and keeps it as evidence.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::App;
use super::notify::{self, NewNotice};
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::{MailId, NoticeId, ReturnedId};
use crate::dcv::notice::NoticeKind;
use crate::dcv::order::{Delivery, Locale};
use crate::dcv::return_path::Way;
use crate::dcv::returned_mail::{self, Action, Kind, Returned, Written};
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::dcv::{redact, return_path};
use crate::store::{MailRow, NoticeRow, OrderRow, ReturnedRow, StoreError, Tx};

/// Longest part of a message that is kept, in octets.
const KEPT_MAX_OCTETS: usize = 64 * 1024;

/// Longest part kept of a message that is nobody's, in octets.
const STRAY_MAX_OCTETS: usize = 4 * 1024;

/// Messages kept for one mail: whoever saw its return path may send any number there. Later ones still tell its fate.
const KEPT_PER_MAIL_MAX: i64 = 100;

/// Messages that are nobody's, kept at most; the oldest go.
const STRAYS_MAX: u32 = 1000;

/// Time for reading one message; none takes a hundredth of it.
const READING_TIMEOUT: Duration = Duration::from_secs(10);

/// What was done with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ingested {
    /// It came before; nothing was done.
    Again,
    /// It belongs to no mail of ours by its return path; it was kept and touched nothing.
    Stray(Kind),
    /// It belongs to this mail.
    Of(MailId, Kind),
    /// It belongs to this notice.
    OfNotice(NoticeId, Kind),
}

/// Takes a message. `recipient` is the address that the mail server delivered it for, where it tells.
///
/// # Errors
/// [`StoreError`] when the database fails; then nothing was kept, and the message must be offered again.
pub async fn ingest(app: &App, raw: &[u8], recipient: Option<&str>) -> Result<Ingested, StoreError> {
    let now = app.now();
    // The content says what happened, never to which mail: anybody can write that.
    let Read { addresses, returned, clean, written } = read(app, raw).await;
    let addressed: Vec<String> = recipient.map(str::to_owned).into_iter().chain(addresses).collect();
    let referred = addressed.into_iter().find_map(|address| return_path::subject_of(&app.keys, &address));
    let way = referred.map(|(_, way)| way);
    let (mut mail, mut notice) = (None, None);
    if let Some((id, _)) = referred {
        mail = app.store.mail(MailId::from_bytes(id)).await?;
        if mail.is_none() {
            notice = app.store.notice(NoticeId::from_bytes(id)).await?;
        }
    }
    // People answer to the reply address; what answers a return path by itself is a machine, whatever it says.
    let mut returned = returned;
    if way == Some(Way::Returned) && returned.kind == Kind::Reply {
        returned.kind = Kind::AutoReply;
    }
    let kept_octets = if mail.is_some() { KEPT_MAX_OCTETS } else { STRAY_MAX_OCTETS };
    let row = ReturnedRow {
        id: ReturnedId::new(now, app.random()).as_bytes().to_vec(),
        mail_id: mail.as_ref().map(|mail| mail.id.clone()),
        notice_id: notice.as_ref().map(|notice| notice.id.clone()),
        at: now.unix_micros(),
        kind: returned.kind.as_str().to_owned(),
        findings: json!(returned).to_string(),
        raw: clean[..clean.len().min(kept_octets)].to_vec(),
        digest: Sha256::new_with_prefix(raw).chain_update(mail.as_ref().map_or(&[][..], |mail| &mail.id)).finalize().to_vec(),
    };
    metrics::counter!("dcvd_returned_mails_total", "kind" => returned.kind.as_str(), "ours" => if mail.is_some() { "yes" } else { "no" })
        .increment(1);
    let Some(mail) = mail else { return without_mail(app, row, notice, &returned, &written, now).await };
    let (id, order_id) = (mail.id()?, mail.order_id()?);
    let missing = || StoreError::inconsistent("mails", "order_id", &mail.id);
    let order = app.store.order(order_id).await?.ok_or_else(missing)?;
    let (fate, kind) = (fate(&returned), returned.kind);
    let event = fate.and_then(|fate| event(fate, &mail, &returned, now));
    let why = why(&returned);
    let (mut ids, routes) = (app.id_source(), app.routes(&order.client));
    // Told once for each mail, since its fate changes to this once.
    // Nobody need act on a bounce once the link has ended.
    let lost = fate == Some(Delivery::Bounced) && returned.permanent == Some(true) && mail.link()?.is_open();
    let told = if lost { notify::of_bounce(app, &order, &mail, &why, now)? } else { Vec::new() };
    let replied = if kind == Kind::Reply { forwarded(app, &written, Some((&order, &mail)), now)? } else { Vec::new() };
    let kept: Result<bool, StoreError> = app
        .store
        .write("ingest", move |tx| {
            Box::pin(async move {
                tx.lock(order_id).await?;
                if tx.returned_of(id).await? >= KEPT_PER_MAIL_MAX {
                    tracing::warn!(mail = %id, "too much came back for this mail; its fate is read, the message is not kept");
                } else if tx.insert_returned(&row).await? {
                    forward(tx, replied, now, &mut ids).await?;
                } else {
                    return Ok(false);
                }
                if let Some(fate) = fate
                    && tx.returned_delivery(id, fate, &why, now).await?
                    && let Some(event) = event
                {
                    tx.record_events(order_id, &order.order_ref, &[event], &routes, &mut ids).await?;
                    notify::enqueue(tx, told, now, &mut ids).await?;
                }
                Ok(true)
            })
        })
        .await;
    if !kept? {
        return Ok(Ingested::Again);
    }
    tracing::info!(mail = %id, kind = kind.as_str(), "returned mail");
    Ok(Ingested::Of(id, kind))
}

/// Keeps a message that belongs to no approval mail: a canary that came back, what came back for a notice, or a stray.
async fn without_mail(
    app: &App,
    row: ReturnedRow,
    notice: Option<NoticeRow>,
    returned: &Returned,
    written: &Written,
    now: Timestamp,
) -> Result<Ingested, StoreError> {
    let kind = returned.kind;
    let mine = notice.as_ref().map(|notice| Ok::<_, StoreError>((notice.id()?, notice.kind()?))).transpose()?;
    let (fate, why) = (fate(returned), why(returned));
    // The canary itself; a report about it says what it says.
    let is_canary = matches!(mine, Some((_, NoticeKind::Canary))) && fate.is_none();
    // What answers the operators' own mail is not passed on to them again: a machine that answers everything would never stop.
    let theirs = |kind| matches!(kind, NoticeKind::Reply | NoticeKind::Digest | NoticeKind::Bounced | NoticeKind::Disputed);
    let passed_on = kind == Kind::Reply && !is_canary && !mine.is_some_and(|(_, kind)| theirs(kind));
    let replied = if passed_on { forwarded(app, written, None, now)? } else { Vec::new() };
    let mut ids = app.id_source();
    let kept: Result<bool, StoreError> = app
        .store
        .write("ingest_other", move |tx| {
            Box::pin(async move {
                if let (Some((id, _)), true) = (mine, is_canary) {
                    return tx.canary_returned(id, now).await;
                }
                if !tx.insert_returned(&row).await? {
                    return Ok(false);
                }
                tx.drop_old_strays(STRAYS_MAX).await?;
                if let (Some((id, _)), Some(fate)) = (mine, fate) {
                    let failure = (fate != Delivery::Delivered).then_some(why.as_str());
                    tx.set_notice_delivery(id, fate, failure, now).await?;
                }
                forward(tx, replied, now, &mut ids).await?;
                Ok(true)
            })
        })
        .await;
    if !kept? {
        return Ok(Ingested::Again);
    }
    Ok(match mine {
        None => Ingested::Stray(kind),
        Some((id, _)) => Ingested::OfNotice(id, kind),
    })
}

/// Notices of what people wrote, within a day.
const FORWARDED_PER_DAY_MAX: i64 = 100;

/// Passes on what a person wrote, so often a day: anybody can write there, and each message would reach the operators' mailbox.
async fn forward(
    tx: &mut Tx<'_>,
    replied: Vec<NewNotice>,
    now: Timestamp,
    ids: &mut (dyn FnMut() -> [u8; 10] + Send),
) -> Result<(), StoreError> {
    let day = Duration::from_secs(DAY_SECS);
    if !replied.is_empty() && tx.count_notices(NoticeKind::Reply, now - day).await? < FORWARDED_PER_DAY_MAX {
        notify::enqueue(tx, replied, now, ids).await?;
    }
    Ok(())
}

/// What a person wrote, for the operators.
fn forwarded(
    app: &App,
    written: &Written,
    about: Option<(&OrderRow, &MailRow)>,
    now: Timestamp,
) -> Result<Vec<NewNotice>, StoreError> {
    let data = json!({
        "reply_from": written.from,
        "subject": written.subject,
        "text": written.text,
        "about": about.map(|(_, mail)| &mail.recipient),
        "at": now,
    });
    let order = about.map(|(order, _)| order.id()).transpose()?;
    let notice = |recipient: &String| NewNotice {
        kind: NoticeKind::Reply,
        order,
        recipient: recipient.clone(),
        locale: Locale::Ja,
        data: data.clone(),
    };
    Ok(app.settings.operators.iter().map(notice).collect())
}

/// A message as far as it can be read. Nothing of it holds our link: whoever may see what came back must not get it with that.
struct Read {
    /// The addresses it was sent to.
    addresses: Vec<String>,
    returned: Returned,
    /// The message itself.
    clean: Vec<u8>,
    /// What a person wrote.
    written: Written,
}

/// Reads a message away from the workers: whatever is wrong with it, it is kept, and nothing else waits for it.
async fn read(app: &App, raw: &[u8]) -> Read {
    let (whole, keys) = (raw.to_vec(), app.keys.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let line = |text: &str| String::from_utf8_lossy(&redact::without_tokens_in_line(&keys, text.as_bytes())).into_owned();
        let mut returned = returned_mail::read(&whole);
        for recipient in &mut returned.recipients {
            recipient.address = line(&recipient.address);
            recipient.diagnostic = recipient.diagnostic.as_deref().map(line);
        }
        let mut written = Written::default();
        if returned.kind == Kind::Reply {
            written = returned_mail::written(&whole);
            (written.from, written.subject) = (line(&written.from), line(&written.subject));
            written.text = String::from_utf8_lossy(&redact::without_tokens(&keys, written.text.as_bytes())).into_owned();
        }
        let clean = redact::without_tokens(&keys, &whole[..whole.len().min(returned_mail::MESSAGE_MAX_OCTETS)]);
        let addresses = [returned_mail::sent_to(&whole), returned_mail::envelopes(&whole)].concat();
        Read { addresses, returned, clean, written }
    });
    let problem = match tokio::time::timeout(READING_TIMEOUT, reading).await {
        Ok(Ok(read)) => return read,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it takes too long".to_owned(),
    };
    tracing::error!(problem, "a returned message cannot be read; it is kept as it came");
    let (head, keys) = (raw[..raw.len().min(KEPT_MAX_OCTETS)].to_vec(), app.keys.clone());
    let redacting = tokio::task::spawn_blocking(move || redact::without_tokens(&keys, &head));
    let clean = match tokio::time::timeout(READING_TIMEOUT, redacting).await {
        Ok(Ok(clean)) => clean,
        _ => format!("({} octets that could not be read)", raw.len()).into_bytes(),
    };
    Read { addresses: Vec::new(), returned: returned_mail::unreadable(), clean, written: Written::default() }
}

/// What a message says of the mail's fate; `None` where it says nothing of it.
fn fate(returned: &Returned) -> Option<Delivery> {
    match returned.kind {
        Kind::Bounce => Some(Delivery::Bounced),
        Kind::Delay => Some(Delivery::Delayed),
        // A success notice; "relayed" only says that no report will come from there.
        Kind::Other if returned.recipients.iter().any(|one| one.action == Action::Delivered) => Some(Delivery::Delivered),
        Kind::Other | Kind::AutoReply | Kind::Reply | Kind::Complaint => None,
    }
}

/// Why, in a line: the code and the server's words.
fn why(returned: &Returned) -> String {
    // What failed says why; one that was delivered beside it does not.
    let first = returned.recipients.iter().min_by_key(|one| one.action);
    let code = first.and_then(|one| one.status.as_deref()).unwrap_or_default();
    let words = first.and_then(|one| one.diagnostic.as_deref()).unwrap_or_default();
    if words.contains(code) { words.to_owned() } else { format!("{code} {words}").trim().to_owned() }
}

fn event(fate: Delivery, mail: &MailRow, returned: &Returned, now: Timestamp) -> Option<Event> {
    let kind = match fate {
        Delivery::Bounced => EventType::MailBounced,
        Delivery::Delayed => EventType::MailDelayed,
        Delivery::Delivered => EventType::MailDelivered,
        _ => return None,
    };
    let data = super::deliver::mail_data(
        mail,
        json!({"permanent": returned.permanent, "reason": why(returned), "recipients": returned.recipients}),
    );
    Some(Event::new(kind, now, "system", data))
}
