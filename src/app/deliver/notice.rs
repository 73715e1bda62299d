//! Hands one notice to a relay. It is rendered from what was committed; it holds no link, so that rendering it again harms nobody.

use serde_json::Value;

use super::{ATTEMPTS_MAX, Lease, NEVER_ENDED, again, lease_was_lost, subject, tell, without_link};
use crate::app::{App, english_time, japanese_time, kind_words};
use crate::dcv::email::EmailAddress;
use crate::dcv::id::{NoticeId, OrderId};
use crate::dcv::link;
use crate::dcv::notice::NoticeKind;
use crate::dcv::order::Delivery;
use crate::dcv::return_path;
use crate::dcv::timestamp::Timestamp;
use crate::ports::{Letter, Outgoing, SendFailure};
use crate::render::{CountView, NameView, NoticeView};
use crate::store::{ClaimedEffect, NoticeRow, OrderRow, Outcome, Said, StoreError};

/// What came of an attempt.
struct Attempt {
    outcome: Outcome,
    detail: String,
    dialogue: Vec<String>,
    delivery: Option<Delivery>,
}

pub(super) async fn deliver(app: &App, effect: ClaimedEffect, lease: Lease) -> Result<(), StoreError> {
    let id = NoticeId::from_bytes(subject(&effect)?);
    let notice = app.store.notice(id).await?.ok_or_else(|| StoreError::inconsistent("effects", "subject_id", &effect.id))?;
    let Attempt { outcome, detail, dialogue, delivery } = attempt(app, &effect, &notice, id).await?;
    tell(&effect, &outcome);
    let detail = without_link(app, &detail);
    let dialogue: Vec<String> = dialogue.iter().map(|line| without_link(app, line)).collect();
    let (now, order) = (app.now(), notice.order_id()?);
    app.store
        .write("send_notice", move |tx| {
            Box::pin(async move {
                if let Some(order) = order {
                    tx.lock(order).await?;
                }
                if !tx.finish(&effect, lease, &outcome, &Said { detail: &detail, dialogue: &dialogue }, now).await? {
                    lease_was_lost(&effect);
                    return Ok(());
                }
                if let Some(delivery) = delivery {
                    let failure = (delivery != Delivery::Accepted).then_some(detail.as_str());
                    tx.set_notice_delivery(id, delivery, failure, now).await?;
                }
                Ok(())
            })
        })
        .await
}

async fn attempt(app: &App, effect: &ClaimedEffect, notice: &NoticeRow, id: NoticeId) -> Result<Attempt, StoreError> {
    let failed =
        |detail: String| Attempt { outcome: Outcome::Dead, detail, dialogue: Vec::new(), delivery: Some(Delivery::Failed) };
    if effect.tried > ATTEMPTS_MAX {
        return Ok(failed(NEVER_ENDED.to_owned()));
    }
    let reference = return_path::reference(&app.keys, id.as_bytes());
    let return_path = return_path::address(&app.settings.bounce_address, app.settings.bounce_delimiter, &reference);
    let kind = notice.kind()?;
    let recipient = if kind == NoticeKind::Canary { &return_path } else { &notice.recipient };
    let Ok(to) = EmailAddress::parse(recipient) else { return Ok(failed("its recipient is no address".to_owned())) };
    let order = match notice.order_id()? {
        None => None,
        Some(id) => app.store.order(id).await?,
    };
    if order.as_ref().is_some_and(|order| order.test == 1) {
        let detail = "kept: the client is under test, its mails go nowhere".to_owned();
        return Ok(Attempt { outcome: Outcome::Done, detail, dialogue: Vec::new(), delivery: Some(Delivery::Accepted) });
    }
    let body = match compose(app, notice, kind, id, &to, order.as_ref())? {
        Ok(body) => body,
        Err(problem) => {
            tracing::error!(problem, kind = kind.as_str(), "a notice cannot be made");
            return Ok(failed(problem));
        }
    };
    let _turn = match app.turn(to.ascii_domain(), &effect.id) {
        Ok(turn) => turn,
        Err(at) => {
            return Ok(Attempt { outcome: Outcome::Postponed(at), detail: String::new(), dialogue: Vec::new(), delivery: None });
        }
    };
    let outgoing = Outgoing { return_path: &return_path, to: &to, envelope_id: &reference, all_reports: false };
    Ok(match app.ports.mail_out.send(&outgoing, &body).await {
        Ok(handover) => Attempt {
            outcome: Outcome::Done,
            detail: handover.reply,
            dialogue: handover.dialogue,
            delivery: Some(Delivery::Accepted),
        },
        Err(SendFailure::Permanent(trouble)) => Attempt { dialogue: trouble.dialogue, ..failed(trouble.detail) },
        Err(SendFailure::Transient(trouble)) => match again(app, effect, None) {
            Outcome::Dead => Attempt { dialogue: trouble.dialogue, ..failed(trouble.detail) },
            outcome => Attempt { outcome, detail: trouble.detail, dialogue: trouble.dialogue, delivery: Some(Delivery::Sending) },
        },
    })
}

/// The notice's bytes, or why there are none.
fn compose(
    app: &App,
    notice: &NoticeRow,
    kind: NoticeKind,
    id: NoticeId,
    to: &EmailAddress,
    order: Option<&OrderRow>,
) -> Result<Result<Vec<u8>, String>, StoreError> {
    let data: Value = serde_json::from_str(&notice.data).map_err(|_| StoreError::inconsistent("notices", "data", &notice.id))?;
    let view = view(app, notice, id, &data, order)?;
    let japanese = notice.locale == "ja";
    let parts = match app.renderer.notice(kind, &view) {
        Ok(parts) => parts,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let letter = Letter {
        from_name: None,
        // The canary comes back by itself.
        reply_to: app.reply_address(id.as_bytes()).filter(|_| kind != NoticeKind::Canary),
        to: to.clone(),
        subject: parts.subject,
        text: parts.text,
        html: None,
        message_id: format!("<{}@{}>", id.to_string().trim_start_matches(NoticeId::PREFIX), app.settings.message_id_host),
        mail_id: None,
        kind: kind.as_str(),
        date: Timestamp::from_unix_micros(notice.created_at),
        languages: if japanese { "ja, en" } else { "en, ja" },
    };
    Ok(app.ports.mail_out.compose(&letter).map_err(|error| error.to_string()))
}

/// What templates know: the order's facts and the notice's own, each empty where there is none.
fn view<'a>(
    app: &'a App,
    notice: &'a NoticeRow,
    id: NoticeId,
    data: &'a Value,
    order: Option<&'a OrderRow>,
) -> Result<NoticeView<'a>, StoreError> {
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    let list = |name: &str| -> Vec<&str> { data[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect() };
    let times = |name: &str| match data[name].as_str().and_then(|at| Timestamp::parse_rfc3339(at).ok()) {
        None => (String::new(), String::new()),
        Some(at) => (japanese_time(at), english_time(at)),
    };
    let facts = order.map(OrderRow::facts).transpose()?.unwrap_or_default();
    let (kind_ja, kind_en) = kind_words(facts.kind);
    let ((at_ja, at_en), (deadline_ja, deadline_en), (sent_ja, sent_en)) = (times("at"), times("deadline"), times("sent_at"));
    let ((from_ja, from_en), (to_ja, to_en)) = (times("from"), times("to"));
    let masked = |address: &str| EmailAddress::parse(address).map_or_else(|_| String::new(), |address| address.masked());
    let counts = data["counts"].as_object().into_iter().flatten();
    Ok(NoticeView {
        locale: if notice.locale == "ja" { "ja" } else { "en" },
        service: &app.settings.service,
        sender: &app.settings.from,
        recipient: &notice.recipient,
        request_id: order.map(OrderRow::id).transpose()?.as_ref().map(OrderId::to_string).unwrap_or_default(),
        order_ref: order.map(|order| order.order_ref.clone()).unwrap_or_default(),
        organization: facts.organization.unwrap_or_default(),
        requester: facts.requester.unwrap_or_default(),
        product: facts.product.unwrap_or_default(),
        kind_ja,
        kind_en,
        names: list("names").into_iter().map(NameView::new).collect(),
        adn: NameView::new(&text("adn")),
        recipients: list("recipients").into_iter().map(str::to_owned).collect(),
        answered: text("answered"),
        scope: text("scope"),
        signer: text("signer"),
        by: masked(&text("by")),
        to: text("to"),
        reason: text("reason"),
        from: text("reply_from"),
        subject: text("subject"),
        quoted: text("text").lines().map(str::to_owned).collect(),
        about: text("about"),
        at_ja,
        at_en,
        deadline_ja,
        deadline_en,
        sent_ja,
        sent_en,
        from_ja,
        from_en,
        to_ja,
        to_en,
        counts: counts.map(|(kind, count)| CountView { kind: kind.clone(), count: count.as_i64().unwrap_or(0) }).collect(),
        held: data["held"].as_i64().unwrap_or(0),
        awaiting: data["awaiting"].as_i64().unwrap_or(0),
        given_up: data["given_up"].as_i64().unwrap_or(0),
        strays: data["strays"].as_i64().unwrap_or(0),
        canary: text("canary"),
        code: if notice.kind()? == NoticeKind::StatusCode { link::status_code(&app.keys, id.as_bytes()) } else { String::new() },
        status_url: format!("{}/status", app.settings.public_base),
        mailed: data["mailed"].as_bool().unwrap_or(true),
        dispute_url: format!("{}/dispute/{}", app.settings.public_base, link::sign_dispute(&app.keys, id.as_bytes())),
    })
}
