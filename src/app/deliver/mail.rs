//! Hands one approval mail to a relay: not before the rules of the day, the policy and the look-up behind it allow that.

use serde_json::{Value, json};

use super::{ATTEMPTS_MAX, Lease, NEVER_ENDED, again, lease_was_lost, subject, tell, without_link};
use crate::app::lookups::{self, Freshness};
use crate::app::{App, notify, preflight};
use crate::dcv::contact::constructed::ADN_REFUSED;
use crate::dcv::contact::entry::{Verdict, judge};
use crate::dcv::contact::{self, Approver, Source, SourceStatus, refusal};
use crate::dcv::email::EmailAddress;
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::{MailId, OrderId};
use crate::dcv::mail_host::MailHost;
use crate::dcv::method;
use crate::dcv::name::{Adn, CertificateName};
use crate::dcv::order::Delivery;
use crate::dcv::return_path;
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::ports::{Outgoing, SendFailure};
use crate::store::{ClaimedEffect, MailRow, ON_RELEASE, Outcome, Said, StoreError};

/// Said of a mail of a client under test.
const KEPT: &str = "kept: the client is under test, its mails go nowhere";

/// What came of an attempt.
struct Attempt {
    outcome: Outcome,
    detail: String,
    /// What was said over SMTP.
    dialogue: Vec<String>,
    /// What it did to the mail, and the event that tells it.
    news: Option<(Delivery, Event)>,
    /// Why the order waits for an operator from now on, as JSON.
    hold: Option<String>,
}

impl Attempt {
    /// One that changes nothing but when the next is made.
    const fn quiet(outcome: Outcome, detail: String) -> Self {
        Self { outcome, detail, dialogue: Vec::new(), news: None, hold: None }
    }
}

pub(super) async fn deliver(app: &App, effect: ClaimedEffect, lease: Lease) -> Result<(), StoreError> {
    let id = MailId::from_bytes(subject(&effect)?);
    let mail = app.store.mail(id).await?.ok_or_else(|| StoreError::inconsistent("effects", "subject_id", &effect.id))?;
    let attempt = attempt(app, &effect, &mail).await?;
    // What went somewhere, or was refused: a domain that takes no mail explains either.
    let offered = !attempt.dialogue.is_empty() && matches!(attempt.outcome, Outcome::Done | Outcome::Dead);
    record(app, effect, lease, attempt, &mail).await?;
    if offered && mail.mail_host.is_none() {
        advise(app, &mail).await?;
    }
    Ok(())
}

/// Looks whether the recipient's domain takes mail, once the mail's fate so far is written down, and notes where it does not.
async fn advise(app: &App, mail: &MailRow) -> Result<(), StoreError> {
    let Ok(to) = EmailAddress::parse(&mail.recipient) else { return Ok(()) };
    let found = preflight::mail_host(app, to.ascii_domain()).await;
    if !matches!(found, MailHost::NullMx | MailHost::Missing) {
        return Ok(());
    }
    let id = mail.id()?;
    app.store.write("advise", move |tx| Box::pin(async move { tx.set_mail_host(id, found.as_str()).await })).await
}

async fn attempt(app: &App, effect: &ClaimedEffect, mail: &MailRow) -> Result<Attempt, StoreError> {
    let failed = |reason: &str, detail: String| {
        let told = mail_data(mail, json!({"reason": reason, "detail": detail}));
        let event = Event::new(EventType::MailFailed, app.now(), "system", told);
        Attempt { news: Some((Delivery::Failed, event)), ..Attempt::quiet(Outcome::Dead, detail) }
    };
    // It may have waited for its turn while its order was cancelled or answered.
    if effect.body.is_none() || mail.link().is_ok_and(|link| !link.is_open()) {
        return Ok(Attempt::quiet(Outcome::Dead, "link-ended".to_owned()));
    }
    // Before anything that may fail each time.
    if effect.tried > ATTEMPTS_MAX {
        return Ok(failed("gave-up", NEVER_ENDED.to_owned()));
    }
    mail.link()?;
    let (Some(body), Ok(to)) = (&effect.body, EmailAddress::parse(&mail.recipient)) else {
        return Ok(Attempt::quiet(Outcome::Dead, "link-ended".to_owned()));
    };
    // A relay took it and its word was lost: the report came first. Once is enough.
    if effect.tried > 1 && mail.delivery == Delivery::Delivered.as_str() {
        let reply = "a report says that it was delivered";
        let told = json!({"reply": reply, "sending": effect.seq + 1});
        let event = Event::new(EventType::MailSent, app.now(), "system", mail_data(mail, told));
        return Ok(Attempt { news: Some((Delivery::Accepted, event)), ..Attempt::quiet(Outcome::Done, reply.to_owned()) });
    }
    if app.now().unix_micros() >= mail.expires_at {
        return Ok(failed("expired", "the deadline passed before the relay took the mail".to_owned()));
    }
    let order = app.store.order(mail.order_id()?).await?;
    if order.is_some_and(|order| order.test == 1) {
        let told = json!({"reply": KEPT, "sending": effect.seq + 1});
        let event = Event::new(EventType::MailSent, app.now(), "system", mail_data(mail, told));
        return Ok(Attempt { news: Some((Delivery::Accepted, event)), ..Attempt::quiet(Outcome::Done, KEPT.to_owned()) });
    }
    if let Some(at) = cap_ends(app, mail).await? {
        return Ok(Attempt::quiet(Outcome::Postponed(at), format!("recipient-daily-cap: not before {at}")));
    }
    let _turn = match app.turn(to.ascii_domain(), &effect.id) {
        Ok(turn) => turn,
        Err(at) => return Ok(Attempt::quiet(Outcome::Postponed(at), String::new())),
    };
    match confirm_approver(app, mail, &to).await? {
        Confirmed::Listed => {}
        Confirmed::Held(entries) => {
            let detail = "policy holds the order until an operator releases it".to_owned();
            return Ok(Attempt { hold: Some(entries), ..Attempt::quiet(Outcome::Later(ON_RELEASE), detail) });
        }
        Confirmed::Forbidden(reason) => return Ok(failed(reason, "the rules do not allow this address any more".to_owned())),
        Confirmed::Gone => return Ok(failed("approver-gone", "the address is no longer published for this name".to_owned())),
        Confirmed::Unknown(source) => {
            let detail = format!("{source} did not answer; the address could not be checked again");
            return Ok(match again(app, effect, None) {
                Outcome::Dead => failed("source-unavailable", detail),
                outcome => Attempt::quiet(outcome, detail),
            });
        }
    }
    let return_path = return_path::address(&app.settings.bounce_address, app.settings.bounce_delimiter, &mail.reference);
    let outgoing = Outgoing { return_path: &return_path, to: &to, envelope_id: &mail.reference, all_reports: true };
    Ok(match app.ports.mail_out.send(&outgoing, body).await {
        Ok(handover) => {
            let said = |text: &str| without_link(app, text);
            let (reply, dialogue) = (said(&handover.reply), handover.dialogue.iter().map(|line| said(line)).collect());
            let told = json!({
                "reply": reply,
                "relay": handover.relay,
                "queue_id": handover.queue_id.as_deref().map(said),
                "tls": handover.tls,
                "sending": effect.seq + 1,
            });
            let event = Event::new(EventType::MailSent, app.now(), "system", mail_data(mail, told));
            Attempt { dialogue, news: Some((Delivery::Accepted, event)), ..Attempt::quiet(Outcome::Done, reply) }
        }
        Err(failure) => {
            let (permanent, trouble) = match failure {
                SendFailure::Permanent(trouble) => (true, trouble),
                SendFailure::Transient(trouble) => (false, trouble),
            };
            let detail = without_link(app, &trouble.detail);
            let attempt = match if permanent { Outcome::Dead } else { again(app, effect, None) } {
                Outcome::Dead if permanent => failed("refused", detail),
                Outcome::Dead if trouble.may_be_taken => failed("unknown", detail),
                Outcome::Dead => failed("gave-up", detail),
                outcome => Attempt::quiet(outcome, detail),
            };
            Attempt { dialogue: trouble.dialogue.iter().map(|line| without_link(app, line)).collect(), ..attempt }
        }
    })
}

/// How far apart mails come back that wait for one recipient's cap.
const CAP_SPREAD_MILLIS: u64 = 15 * 60 * 1000;

/// When a recipient who was sent as many mails as one may be sent in a day may be sent another; `None` where now.
async fn cap_ends(app: &App, mail: &MailRow) -> Result<Option<Timestamp>, StoreError> {
    let day = std::time::Duration::from_secs(DAY_SECS);
    let cap = app.settings.recipient_daily_cap;
    if cap == 0 {
        return Ok(None);
    }
    let lately = app.store.handed_to(&mail.recipient, app.now() - day, cap).await?;
    let full = lately.len() >= cap as usize;
    // Not all that wait at one instant: each place that frees takes one.
    let spread = std::time::Duration::from_millis((u64::from(u16::from_be_bytes(app.random())) * CAP_SPREAD_MILLIS) >> 16);
    Ok(lately.last().filter(|_| full).map(|oldest| Timestamp::from_unix_micros(*oldest) + day + spread))
}

enum Confirmed {
    /// Policy holds the order, or came to hold it after it was placed.
    Held(String),
    Forbidden(&'static str),
    Listed,
    Gone,
    Unknown(&'static str),
}

/// Reads the rules of the day, and asks again for an address whose look-up may not be believed any more.
async fn confirm_approver(app: &App, mail: &MailRow, to: &EmailAddress) -> Result<Confirmed, StoreError> {
    let (now, source) = (app.now(), mail.source()?);
    let order_id = mail.order_id()?;
    let missing = || StoreError::inconsistent("mails", "order_id", &mail.id);
    let order = app.store.order(order_id).await?.ok_or_else(missing)?;
    let profile = app.profile_of(&order).await?;
    if let Some(reason) = refusal(source, method::rule(source.method(), now), &profile.profile) {
        return Ok(Confirmed::Forbidden(reason));
    }
    let lists = app.lists();
    if order.is_held() {
        return Ok(Confirmed::Held(order.held.unwrap_or_default()));
    }
    if order.held.is_none() && !lists.policy.hold.is_empty() {
        let parts = app.store.parts(std::slice::from_ref(&order)).await?;
        let names = parts.validations.iter().filter_map(|one| CertificateName::parse(&one.name, &lists.suffixes).ok());
        let entries: Vec<_> = names.flat_map(|name| lists.policy.holds(&name, &profile.profile)).collect();
        if !entries.is_empty() {
            return Ok(Confirmed::Held(json!(entries).to_string()));
        }
    }
    let Ok(adn) = Adn::parse(&mail.adn, &lists.suffixes) else { return Ok(Confirmed::Gone) };
    if source == Source::Constructed && lists.policy.refuse_adn.find(adn.fqdn()).is_some() {
        return Ok(Confirmed::Forbidden(ADN_REFUSED));
    }
    if mail.valid_until.is_none_or(|until| now.unix_micros() <= until) {
        return Ok(Confirmed::Listed);
    }
    let asked = if source.is_dns() {
        vec![lookups::ask(app, source, &adn).await]
    } else {
        // Registration data counts as a listing would count it: RDAP before WHOIS, and no address that only one of them names.
        let mut registration = profile.profile.clone();
        registration.addresses.sources.retain(|source| matches!(source, Source::Whois | Source::Rdap));
        lookups::gather(app, &[adn.fqdn()], &registration, Freshness::Mailing).await?
    };
    let listing = contact::list(adn.fqdn(), &profile.profile, &lists.policy, &asked, now);
    let speaks = |one: &&Approver| {
        one.adn == adn
            && one.email == *to
            && (one.source == source || one.also.iter().any(|also| also.source == source && also.usable))
    };
    let mut listed = listing.approvers.iter().filter(speaks);
    let confirmed = match listed.find(|one| one.usable) {
        // What could not be read then cannot be now: it must stand there still.
        _ if mail.vouched == 1 => match judge(to, &listing, &asked) {
            Verdict::Listed | Verdict::Seen(_) => Confirmed::Listed,
            Verdict::Refuted => Confirmed::Gone,
            Verdict::Unknown => Confirmed::Unknown(source.as_str()),
        },
        Some(_) => Confirmed::Listed,
        None if listing.sources.iter().any(|one| one.source == source && one.status == SourceStatus::Failed) => {
            Confirmed::Unknown(source.as_str())
        }
        None => Confirmed::Gone,
    };
    // What the mail rests on now, or why it was not sent, is part of the order's evidence.
    let mail_id = mail.id()?;
    let listed = matches!(confirmed, Confirmed::Listed);
    let ttl_ends = asked.first().and_then(|lookup| lookup.valid_until);
    // A look-up that was made earlier is believed no longer than one that was made now would be from then on.
    let oldest = asked.iter().map(|lookup| lookup.at).min().unwrap_or(now).min(now);
    let valid_until = if source.is_dns() { ttl_ends } else { Some(oldest + profile.profile.addresses.candidate_ttl) };
    app.store
        .write("confirm_approver", move |tx| {
            Box::pin(async move {
                tx.lock(order_id).await?;
                for lookup in &asked {
                    tx.insert_lookup(lookup).await?;
                    tx.tie_lookup(order_id, lookup.id).await?;
                }
                if listed {
                    tx.set_valid_until(mail_id, valid_until).await?;
                }
                Ok::<(), StoreError>(())
            })
        })
        .await?;
    Ok(confirmed)
}

/// Writes down what came of an attempt, fenced by the lease: a worker whose lease was taken writes nothing.
async fn record(app: &App, effect: ClaimedEffect, lease: Lease, attempt: Attempt, row: &MailRow) -> Result<(), StoreError> {
    let now = app.now();
    let (order_id, mail): (OrderId, MailId) = (row.order_id()?, row.id()?);
    let news = match attempt.news {
        None => None,
        Some((delivery, event)) => {
            let missing = || StoreError::inconsistent("effects", "order_id", &effect.id);
            let order = app.store.order(order_id).await?.ok_or_else(missing)?;
            // A recipient who cannot be reached is the ordering side's and the operators' affair, however that was learnt.
            let lost = delivery == Delivery::Failed && row.link()?.is_open();
            let told = if lost { notify::of_bounce(app, &order, row, &attempt.detail, now)? } else { Vec::new() };
            Some((delivery, event, told, order.order_ref, app.routes(&order.client)))
        }
    };
    let mut ids = app.id_source();
    let Attempt { outcome, detail, dialogue, hold, .. } = attempt;
    tell(&effect, &outcome);
    app.store
        .write("deliver", move |tx| {
            Box::pin(async move {
                let order = tx.lock_order(order_id).await?;
                // Released while the attempt was under way: the mail must not wait for a second release.
                let released = order.is_some_and(|order| order.released_at.is_some());
                let outcome = if hold.is_some() && released { Outcome::Later(now) } else { outcome };
                if !tx.finish(&effect, lease, &outcome, &Said { detail: &detail, dialogue: &dialogue }, now).await? {
                    lease_was_lost(&effect);
                    return Ok(());
                }
                if let Some(entries) = &hold {
                    if tx.hold(order_id, entries).await? {
                        let held = Event::new(EventType::OrderHeld, now, "system", json!({}));
                        tx.hold_mails(order_id).await?;
                        // The event stands in the timeline alone, so that there is nowhere to route it.
                        tx.record_events(order_id, "", &[held], &|_: &Event| Vec::new(), &mut ids).await?;
                    }
                    return Ok(());
                }
                let stands = match &news {
                    Some((Delivery::Accepted, ..)) => {
                        tx.mail_accepted(mail, now).await?;
                        true
                    }
                    Some((delivery, event, ..)) => {
                        let reason = event.data.get("reason").and_then(Value::as_str);
                        tx.set_delivery(mail, *delivery, reason, Some(&detail), now).await?
                    }
                    None if matches!(outcome, Outcome::Later(_)) => {
                        tx.set_delivery(mail, Delivery::Sending, Some(&detail), None, now).await?
                    }
                    // Why it waits, where there is more to tell than that others go first.
                    None if matches!(outcome, Outcome::Postponed(_)) && !detail.is_empty() => {
                        tx.set_delivery(mail, Delivery::Queued, Some(&detail), None, now).await?
                    }
                    None => false,
                };
                // A report that came meanwhile has told what became of it.
                if let (Some((_, event, told, order_ref, routes)), true) = (news, stands) {
                    notify::enqueue(tx, told, now, &mut ids).await?;
                    tx.record_events(order_id, &order_ref, &[event], &routes, &mut ids).await?;
                }
                Ok::<(), StoreError>(())
            })
        })
        .await?;
    Ok(())
}

pub(in crate::app) fn mail_data(mail: &MailRow, extra: Value) -> Value {
    let mut data = json!({
        "mail_id": mail.id().map(|id| id.to_string()).unwrap_or_default(),
        "to": mail.recipient,
        "adn": mail.adn,
        "source": mail.source,
        "expires_at": Timestamp::from_unix_micros(mail.expires_at),
    });
    if let (Some(data), Value::Object(extra)) = (data.as_object_mut(), extra) {
        data.extend(extra);
    }
    data
}
