//! Hands one effect of the outbox to the world and records what came of it. At least once, always with the same id.

use std::time::Duration;

use serde_json::{Value, json};

use super::App;
use super::lookups::{self, Freshness};
use crate::dcv::contact::constructed::ADN_REFUSED;
use crate::dcv::contact::{self, Approver, Source, SourceStatus, refusal};
use crate::dcv::email::EmailAddress;
use crate::dcv::event::{Event, EventType};
use crate::dcv::id::{EventId, MailId, OrderId};
use crate::dcv::method;
use crate::dcv::name::{Adn, CertificateName};
use crate::dcv::order::Delivery;
use crate::dcv::timestamp::Timestamp;
use crate::dcv::{retry, return_path};
use crate::ports::SendFailure;
use crate::store::{ClaimedEffect, EffectKind, MailRow, ON_RELEASE, Outcome, StoreError};

/// A worker's hold on an effect; what it records under another's is refused.
pub type Lease = [u8; 16];

/// Attempts after which an effect is given up whatever happens; the schedule itself ends with the 43rd. Only one that kills its
/// worker each time gets here.
const ATTEMPTS_MAX: i64 = 60;
const NEVER_ENDED: &str = "given up: no attempt came to an end";

/// What came of an attempt.
struct Attempt {
    outcome: Outcome,
    detail: String,
    /// What it did to the mail, and the event that tells it.
    news: Option<(Delivery, Event)>,
    /// Why the order waits for an operator from now on, as JSON.
    hold: Option<String>,
}

/// Makes one attempt at an effect and records it.
///
/// # Errors
/// [`StoreError`] when the database fails; the lease then ends and the attempt is made again.
pub async fn deliver(app: &App, kind: EffectKind, effect: ClaimedEffect, lease: Lease) -> Result<(), StoreError> {
    match kind {
        EffectKind::Mail => deliver_mail(app, effect, lease).await,
        EffectKind::Webhook => deliver_webhook(app, effect, lease).await,
    }
}

async fn deliver_webhook(app: &App, effect: ClaimedEffect, lease: Lease) -> Result<(), StoreError> {
    if effect.tried > ATTEMPTS_MAX {
        let attempt = Attempt { outcome: Outcome::Dead, detail: NEVER_ENDED.to_owned(), news: None, hold: None };
        return record(app, effect, lease, attempt, None).await;
    }
    let id = EventId::from_bytes(subject(&effect)?);
    let event = app.store.event(id).await?.ok_or_else(|| StoreError::inconsistent("effects", "subject_id", &effect.id))?;
    let at = Timestamp::from_unix_micros(event.at);
    // The data is JSON already, as committed; it is not read and written again.
    let body = format!("{{\"type\":{},\"timestamp\":\"{at}\",\"data\":{}}}", Value::String(event.kind), event.data);
    let posted = app.ports.webhook.post(&effect.endpoint, &id.to_string(), app.now(), &body).await;
    let attempt = match posted {
        Ok(status) => Attempt { outcome: Outcome::Done, detail: status, news: None, hold: None },
        Err(failure) => {
            Attempt { outcome: again(app, &effect, failure.retry_after), detail: failure.detail, news: None, hold: None }
        }
    };
    record(app, effect, lease, attempt, None).await
}

async fn deliver_mail(app: &App, effect: ClaimedEffect, lease: Lease) -> Result<(), StoreError> {
    let id = MailId::from_bytes(subject(&effect)?);
    let mail = app.store.mail(id).await?.ok_or_else(|| StoreError::inconsistent("effects", "subject_id", &effect.id))?;
    let attempt = attempt_mail(app, &effect, &mail).await?;
    record(app, effect, lease, attempt, Some(id)).await
}

async fn attempt_mail(app: &App, effect: &ClaimedEffect, mail: &MailRow) -> Result<Attempt, StoreError> {
    let data = |extra: Value| mail_data(mail, extra);
    let failed = |reason: &str, detail: String| Attempt {
        outcome: Outcome::Dead,
        news: Some((
            Delivery::Failed,
            Event::new(EventType::MailFailed, app.now(), "system", data(json!({"reason": reason, "detail": detail}))),
        )),
        detail,
        hold: None,
    };
    let (Some(body), Ok(to)) = (&effect.body, EmailAddress::parse(&mail.recipient)) else {
        return Ok(Attempt { outcome: Outcome::Dead, detail: "link-ended".to_owned(), news: None, hold: None });
    };
    if effect.tried > ATTEMPTS_MAX {
        return Ok(failed("gave-up", NEVER_ENDED.to_owned()));
    }
    if app.now().unix_micros() >= mail.expires_at {
        return Ok(failed("expired", "the deadline passed before the relay took the mail".to_owned()));
    }
    match confirm_approver(app, mail, &to).await? {
        Confirmed::Listed => {}
        Confirmed::Held(entries) => {
            let detail = "policy holds the order until an operator releases it".to_owned();
            return Ok(Attempt { outcome: Outcome::Later(ON_RELEASE), detail, news: None, hold: Some(entries) });
        }
        Confirmed::Forbidden(reason) => return Ok(failed(reason, "the rules do not allow this address any more".to_owned())),
        Confirmed::Gone => return Ok(failed("approver-gone", "the address is no longer published for this name".to_owned())),
        Confirmed::Unknown(source) => {
            let detail = format!("{source} did not answer; the address could not be checked again");
            return Ok(match again(app, effect, None) {
                Outcome::Dead => failed("source-unavailable", detail),
                outcome => Attempt { outcome, detail, news: None, hold: None },
            });
        }
    }
    Ok(
        match app
            .ports
            .mail_out
            .send(&return_path::address(&app.settings.bounce_address, app.settings.bounce_delimiter, &mail.reference), &to, body)
            .await
        {
            Ok(detail) => Attempt {
                outcome: Outcome::Done,
                news: Some((
                    Delivery::Accepted,
                    Event::new(EventType::MailSent, app.now(), "system", data(json!({"reply": detail}))),
                )),
                detail,
                hold: None,
            },
            Err(SendFailure::Permanent(detail)) => failed("refused", detail),
            Err(SendFailure::Transient(detail)) => match again(app, effect, None) {
                Outcome::Dead => failed("gave-up", detail),
                outcome => Attempt { outcome, detail, news: None, hold: None },
            },
        },
    )
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
    let valid_until = if source.is_dns() { ttl_ends } else { Some(now + profile.profile.addresses.candidate_ttl) };
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

/// The next attempt, or the end of trying.
fn again(app: &App, effect: &ClaimedEffect, after: Option<Duration>) -> Outcome {
    let first_tried = Timestamp::from_unix_micros(effect.first_tried_at);
    let attempts = u32::try_from(effect.tried).unwrap_or(u32::MAX);
    let jitter = u16::from_be_bytes(app.random());
    retry::next_attempt(first_tried, attempts, app.now(), jitter, after).map_or(Outcome::Dead, Outcome::Later)
}

/// Writes down what came of an attempt, fenced by the lease: a worker whose lease was taken writes nothing.
async fn record(
    app: &App,
    effect: ClaimedEffect,
    lease: Lease,
    attempt: Attempt,
    mail: Option<MailId>,
) -> Result<(), StoreError> {
    let now = app.now();
    let order_id = OrderId::from_bytes(
        effect.order_id.as_slice().try_into().map_err(|_| StoreError::inconsistent("effects", "order_id", &effect.id))?,
    );
    let news = match attempt.news {
        None => None,
        Some((delivery, event)) => {
            let missing = || StoreError::inconsistent("effects", "order_id", &effect.id);
            let order = app.store.order(order_id).await?.ok_or_else(missing)?;
            Some((delivery, event, order.order_ref, app.routes(&order.client)))
        }
    };
    let (wakes, mut ids) = (news.is_some(), app.id_source());
    let (outcome, detail, hold) = (attempt.outcome, attempt.detail, attempt.hold);
    app.store
        .write("deliver", move |tx| {
            Box::pin(async move {
                let order = tx.lock_order(order_id).await?;
                // Released while the attempt was under way: the mail must not wait for a second release.
                let released = order.is_some_and(|order| order.released_at.is_some());
                let outcome = if hold.is_some() && released { Outcome::Later(now) } else { outcome };
                if !tx.finish(&effect, lease, &outcome, &detail, now).await? {
                    tracing::warn!(?effect, "the lease was lost; what came of the attempt is not recorded");
                    return Ok(());
                }
                let Some(mail) = mail else { return Ok(()) };
                if let Some(entries) = &hold {
                    if tx.hold(order_id, entries).await? {
                        let held = Event::new(EventType::OrderHeld, now, "system", json!({}));
                        tx.hold_mails(order_id).await?;
                        // The event stands in the timeline alone, so that there is nowhere to route it.
                        tx.record_events(order_id, "", &[held], &|_: &Event| Vec::new(), &mut ids).await?;
                    }
                    return Ok(());
                }
                match &news {
                    Some((Delivery::Accepted, ..)) => tx.mail_accepted(mail, now).await?,
                    Some((delivery, event, ..)) => {
                        let reason = event.data.get("reason").and_then(Value::as_str);
                        tx.set_delivery(mail, *delivery, reason).await?;
                    }
                    None if matches!(outcome, Outcome::Later(_)) => {
                        tx.set_delivery(mail, Delivery::Sending, Some(&detail)).await?;
                    }
                    None => {}
                }
                if let Some((_, event, order_ref, routes)) = news {
                    tx.record_events(order_id, &order_ref, &[event], &routes, &mut ids).await?;
                }
                Ok::<(), StoreError>(())
            })
        })
        .await?;
    if wakes {
        app.wake.webhook.notify_one();
    }
    Ok(())
}

fn subject(effect: &ClaimedEffect) -> Result<[u8; 16], StoreError> {
    effect.subject_id.as_slice().try_into().map_err(|_| StoreError::inconsistent("effects", "subject_id", &effect.id))
}

pub(super) fn mail_data(mail: &MailRow, extra: Value) -> Value {
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
