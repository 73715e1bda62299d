//! Asks somebody else, or asks at last where an order awaits an approver: new mails with Random Values of their own. What was mailed for
//! these names before is superseded.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::ask::{self, AskError, Chosen, Question, choose};
use super::show_order::{OrderRecord, read};
use super::{App, Cause, notify};
use crate::dcv::email::EmailAddress;
use crate::dcv::event::{Event, EventType};
use crate::dcv::evidence::Lookup;
use crate::dcv::id::MailId;
use crate::dcv::name::CertificateName;
use crate::dcv::order::{Choice, ChoiceError, LinkState, MAILS_MAX, OrderState, ValidationState};
use crate::dcv::profile::Resends;
use crate::dcv::resend::ResendRefusal;
use crate::dcv::timestamp::Timestamp;
use crate::store::{MailRow, StoreError, ValidationRow};

/// Most mails of one order over its life, those superseded included.
const MAILS_EVER_MAX: usize = 4 * MAILS_MAX;

/// Why nobody else was asked.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such order of this ordering system.
    #[error("there is no such order")]
    Missing,
    /// The order has ended, or this name of it has, or it has no such name.
    #[error("{0}")]
    Ended(String),
    /// A mail that was sent asks for these names too; it says so, and cannot be made to ask for less.
    #[error("the mail to {recipient} also asks for {}; change them together", names.join(", "))]
    Shared {
        /// To whom it went.
        recipient: String,
        /// What it also asks for.
        names: Vec<String>,
    },
    /// Somebody of the chosen was mailed a moment ago, or as often as the profile allows.
    #[error(transparent)]
    TooSoon(ResendRefusal),
    /// Nothing could be asked.
    #[error(transparent)]
    Ask(#[from] AskError),
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        Self::Ask(error.into())
    }
}

/// Whether a name can still be asked for.
fn is_open(one: &ValidationRow) -> bool {
    matches!(ValidationState::from_text(&one.state), Some(ValidationState::AwaitingApprover | ValidationState::Pending))
}

/// Whether somebody may be mailed anew: as often, and as soon, as a mail may be sent once more.
pub(super) fn may_mail(mails: &[MailRow], new: &MailRow, rules: &Resends, now: Timestamp) -> Result<(), ResendRefusal> {
    let before: Vec<i64> = mails.iter().filter(|mail| mail.recipient == new.recipient).map(|mail| mail.created_at).collect();
    if before.len() > rules.max as usize {
        return Err(ResendRefusal::Spent(Timestamp::from_unix_micros(new.expires_at)));
    }
    let allowed_from = before.iter().max().map(|last| Timestamp::from_unix_micros(*last) + rules.min_interval);
    allowed_from.filter(|from| now < *from).map_or(Ok(()), |from| Err(ResendRefusal::TooSoon(from)))
}

/// Reads the open names of an order; of `wanted` alone where it names any.
///
/// # Errors
/// [`ChangeError::Ended`] where a wanted one is not open, or none is.
pub fn open_names(record: &OrderRecord, wanted: &[String]) -> Result<Vec<String>, ChangeError> {
    if record.order.state != OrderState::Pending.as_str() {
        return Err(ChangeError::Ended("the order has ended".to_owned()));
    }
    let open: Vec<String> = record.validations.iter().filter(|one| is_open(one)).map(|one| one.name.clone()).collect();
    if let Some(other) = wanted.iter().find(|name| !open.contains(name)) {
        return Err(ChangeError::Ended(format!("{other} is no open name of this order")));
    }
    Ok(if wanted.is_empty() { open } else { wanted.to_vec() })
}

/// Asks the chosen approvers for some names of an order on somebody's word.
///
/// # Errors
/// [`ChangeError`]; then everything stays as it was.
pub async fn change_approver(
    app: &App,
    record: &OrderRecord,
    names: Vec<CertificateName>,
    choice: Choice,
    cause: &Cause,
) -> Result<OrderRecord, ChangeError> {
    change_to(app, record, names, choice, With::default(), cause).await
}

/// What an operator's change has that an ordering system's has not.
#[derive(Debug, Default)]
pub(super) struct With {
    /// A registration contact that the operator vouches for.
    pub vouched: Option<(EmailAddress, Box<Lookup>)>,
    /// The one mail that the new one replaces: whoever else is asked for its names is asked still.
    pub replaces: Option<MailId>,
}

/// As [`change_approver`], on an operator's word.
///
/// # Errors
/// As [`change_approver`].
pub(super) async fn change_to(
    app: &App,
    record: &OrderRecord,
    names: Vec<CertificateName>,
    choice: Choice,
    with: With,
    cause: &Cause,
) -> Result<OrderRecord, ChangeError> {
    let order_id = record.order.id()?;
    let facts = record.order.facts()?;
    let question = Question {
        previous: ask::previous(app, &record.order.client, &facts).await?,
        profile: app.profile_of(&record.order).await?,
        names,
        choice,
        locale: notify::locale(&record.order),
        facts,
        lists: app.lists(),
        vouched: with.vouched,
    };
    let Chosen { assignment, lookups, .. } = choose(app, &question, &BTreeSet::new()).await?;
    if let Some(name) = assignment.awaiting.first() {
        return Err(AskError::Choice(vec![ChoiceError::NoApprover { name: *name, allowed: Vec::new() }]).into());
    }
    let now = app.now();
    let place = |name: &CertificateName| record.validations.iter().find(|one| one.name == name.to_string());
    let validations: Vec<ValidationRow> = question.names.iter().filter_map(place).cloned().collect();
    let written = ask::write(app, &question, &record.order, &assignment, &validations, now)?;
    let (mut ids, routes, cause) = (app.id_source(), app.routes(&record.order.client), cause.clone());
    let changed: Arc<[Vec<u8>]> = validations.iter().map(|one| one.id.clone()).collect();
    let done: Result<(), ChangeError> = app
        .store
        .write("change_approver", move |tx| {
            Box::pin(async move {
                let order = tx.lock_order(order_id).await?.ok_or(ChangeError::Missing)?;
                tx.remember(cause.request.as_ref(), order_id, now).await?;
                // The daemon by itself asks for names that still await somebody, and takes nobody's choice away.
                let by_itself = cause.actor == Cause::SYSTEM;
                let may_change = |one: &ValidationRow| is_open(one) && !(by_itself && one.state == "pending");
                let now_open: Vec<ValidationRow> = tx.validations(order_id).await?.into_iter().filter(may_change).collect();
                if let Some(gone) = changed.iter().find(|id| !now_open.iter().any(|one| one.id == **id)) {
                    let name = validations.iter().find(|one| one.id == *gone).map_or("a name", |one| &one.name);
                    return Err(ChangeError::Ended(format!("{name} was decided meanwhile")));
                }
                let mails = tx.mails(order_id).await?;
                if mails.len() + written.mails.len() > MAILS_EVER_MAX {
                    return Err(AskError::Choice(vec![ChoiceError::TooManyMails]).into());
                }
                let rules = &question.profile.profile.resend;
                for new in &written.mails {
                    may_mail(&mails, new, rules, now).map_err(ChangeError::TooSoon)?;
                }
                let pairs = tx.mail_validations(order_id).await?;
                let asks = |mail: &MailRow, validation: &[u8]| pairs.asks(&mail.id, validation);
                let mut superseded = Vec::new();
                let goes = |mail: &&MailRow| with.replaces.is_none_or(|one| mail.id[..] == one.as_bytes()[..]);
                for mail in mails.iter().filter(|mail| changed.iter().any(|id| asks(mail, id))).filter(goes) {
                    if !mail.link()?.is_open() {
                        continue;
                    }
                    let others = now_open.iter().filter(|one| !changed.contains(&one.id) && asks(mail, &one.id));
                    let names: Vec<String> = others.map(|one| one.name.clone()).collect();
                    if !names.is_empty() {
                        return Err(ChangeError::Shared { recipient: mail.recipient.clone(), names });
                    }
                    tx.end_link(mail, LinkState::Superseded, now).await?;
                    superseded.push(mail.id()?);
                }
                if let Some(replaced) = with.replaces {
                    // Or two links of one recipient would be open.
                    if superseded.is_empty() {
                        return Err(ChangeError::Ended("the mail's link has ended, or was replaced meanwhile".to_owned()));
                    }
                    tx.asked_anew(replaced).await?;
                } else {
                    for id in changed.iter() {
                        tx.asked(id).await?;
                    }
                }
                for lookup in lookups {
                    tx.tie_lookup(order_id, lookup).await?;
                }
                ask::commit(tx, &order, &written, now, &mut ids).await?;
                // Whoever ordered is told once whom the order asks, at its first mails.
                if mails.is_empty() && question.profile.profile.mail.applicant_heads_up && !order.is_held() {
                    let notices = notify::of_order(&order, &question.facts, &validations, &written.mails)?;
                    notify::enqueue(tx, notices, now, &mut ids).await?;
                }
                let mails: Vec<MailId> = written.mails.iter().map(MailRow::id).collect::<Result<_, _>>()?;
                let names: Vec<&str> = validations.iter().map(|one| one.name.as_str()).collect();
                let data = json!({"names": names, "superseded": superseded, "mails": mails, "reason": cause.reason});
                let event = Event::new(EventType::ApproverChanged, now, &cause.actor, data);
                tx.record_events(order_id, &order.order_ref, &[event], &routes, &mut ids).await?;
                Ok(())
            })
        })
        .await;
    done?;
    let order = app.store.order(order_id).await?.ok_or(ChangeError::Missing)?;
    Ok(read(app, order).await?)
}
