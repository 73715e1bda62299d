//! Applies a person's answer. Of two answers one wins: the guarded UPDATE picks it, and the loser sees a calm page.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::cancel::{self, Cancellation};
use super::open_link::{Opened, asked_mail};
use super::{App, dispute, notify};
use crate::dcv::coverage;
use crate::dcv::decision::{self, Answer, Decision, REASON_MAX_CHARS, Refusal, SIGNER_MAX_CHARS, Scope};
use crate::dcv::event::{Basis, Event, EventType, validation_ended};
use crate::dcv::id::{EffectId, OrderId};
use crate::dcv::method::{self, RuleStatus};
use crate::dcv::notice::Answered;
use crate::dcv::order::{LinkState, OrderState, ValidationState};
use crate::dcv::profile::{Compliance, Corroboration, DecisionPolicy, RejectButton, Versioned};
use crate::dcv::quorum::{self, Given, Tally};
use crate::dcv::timestamp::Timestamp;
use crate::store::{AnswerRow, ApprovalRow, MailRow, OrderRow, StoreError, Tx, ValidationRow, Whole};

/// Who answered, as far as it can be told.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The caller's address.
    pub peer: String,
    /// The caller's User-Agent, cut.
    pub user_agent: String,
    /// The caller has opened dozens of links lately, as a scanner does.
    pub read_many: bool,
}

/// An answer sooner than this after the sending is looked at by a person: scanners are that fast.
const QUICK: Duration = Duration::from_secs(10);

/// What about an answer a person should look at.
fn marks(mail: &MailRow, caller: &Caller, now: Timestamp) -> Vec<&'static str> {
    let sent = mail.sent_at.map_or(now, Timestamp::from_unix_micros);
    let quick = (now.since(sent) < QUICK).then_some("seconds-after-sending");
    quick.into_iter().chain(caller.read_many.then_some("opened-many-links")).collect()
}

/// Applies an answer to the mail behind an opened link.
///
/// # Errors
/// [`StoreError`] when the database fails; then nothing was decided.
pub async fn answer(app: &App, opened: &Opened, answer: Answer, caller: Caller) -> Result<Result<Decision, Refusal>, StoreError> {
    let now = app.now();
    // A form that is not complete changes nothing, whatever has happened meanwhile: it is not written down at all.
    if let Err(refusal @ Refusal::Incomplete(_)) = opened.would_be(&answer, now)? {
        return Ok(Err(refusal));
    }
    let (mut ids, routes) = (app.id_source(), app.routes(&opened.order.client));
    let order_id = opened.order.id()?;
    let mail_id = opened.mail.id.clone();
    let (profile, operators) = (Arc::clone(&opened.profile), app.settings.operators.clone());
    let outcome = app
        .store
        .write("answer", move |tx| {
            Box::pin(async move {
                let missing = || StoreError::inconsistent("mails", "order_id", &mail_id);
                let Whole { order, validations, mails, pairs } = tx.lock_whole(order_id).await?.ok_or_else(missing)?;
                let mail = mails.iter().find(|one| one.id == mail_id).ok_or_else(missing)?;
                let asks = |mail: &MailRow, one: &ValidationRow| pairs.asks(&mail.id, &one.id);
                let asked: Vec<&ValidationRow> = validations.iter().filter(|one| asks(mail, one)).collect();
                let mut as_asked = asked_mail(mail, &asked)?;
                // Whoever approved, and waits for others to, may still refuse: that approval counts no more.
                let approvals = match profile.profile.decision.quorum {
                    quorum if quorum > 1 => tx.approvals(order_id).await?,
                    _ => Vec::new(),
                };
                let regrets = !matches!(answer, Answer::Approve { .. }) && approvals.iter().any(|one| one.mail_id == mail.id);
                if regrets && as_asked.link == LinkState::Answered {
                    as_asked.link = LinkState::Sent;
                }
                let decided = decision::decide(&as_asked, &profile.profile.page, profile.profile.compliance, &answer, now);
                // What comes too late is evidence once, not as often as somebody presses.
                let objects_first = decided.is_err() && !tx.has_refused(&mail.id).await?;
                if decided.is_ok() || objects_first {
                    tx.insert_answer(&answer_row(&answer, mail, &caller, decided.is_ok(), now, ids())).await?;
                }
                let decision = match decided {
                    // What a client under test brought about proves nothing.
                    Ok(decision) if order.test == 1 => Decision { reusable_until: None, ..decision },
                    Ok(decision) => decision,
                    Err(refusal) => {
                        // Too late to decide; whoever refuses what somebody else approved objects to it, which is told once.
                        if refusal == Refusal::Decided && !matches!(answer, Answer::Approve { .. }) && objects_first {
                            let theirs =
                                |one: &&&ValidationRow| one.state == "approved" && one.mail_id.as_ref() != Some(&mail.id);
                            let names: Vec<&ValidationRow> = asked.iter().filter(theirs).copied().collect();
                            if mail.link()? == LinkState::Answered && !names.is_empty() {
                                let by = (mail.recipient.as_str(), caller.clone());
                                dispute::record(tx, &profile, &order, &mails, &names, by, &operators, &routes, now, &mut ids)
                                    .await?;
                            }
                        }
                        return Ok(Err(refusal));
                    }
                };
                let open: Vec<&ValidationRow> = asked.into_iter().filter(|one| one.state == "pending").collect();
                let mut events = Vec::new();
                // With this one, which was written above.
                let approvals = if approvals_count(&profile, &decision) { tx.approvals(order_id).await? } else { Vec::new() };
                let mut ruled = Vec::new();
                for one in &open {
                    ruled.push((*one, rule(&profile, &mails, &approvals, mail, &decision, one, now)?));
                }
                // Whoever was asked hears of it, save where no mail goes or it came back.
                let heard = |one: &MailRow| {
                    one.id == mail.id
                        || !(one.delivery == "failed" || (one.delivery == "bounced" && one.resends + one.reminders == 0))
                };
                let answered = Answered::new(decision.state, decision.reported);
                let receipts = profile.profile.mail.decision_receipt;
                let mut bases = HashMap::new();
                // Told by whose approval counts, which where several must approve need not be this one.
                for by in &mails {
                    let names = names_by(&ruled, by);
                    if names.is_empty() {
                        continue;
                    }
                    bases.insert(&by.id, basis(tx, &profile, by).await?);
                    let told: HashSet<&str> = names.iter().map(|told| told.name).collect();
                    let names_of = |asked: &MailRow| -> Vec<&str> {
                        let of = |one: &&ValidationRow| asks(asked, one) && told.contains(one.name.as_str());
                        open.iter().copied().filter(of).map(|one| one.name.as_str()).collect()
                    };
                    let asked: Vec<(&MailRow, Vec<&str>)> = mails
                        .iter()
                        .filter(|one| heard(one))
                        .map(|one| (one, names_of(one)))
                        .filter(|(_, names)| !names.is_empty())
                        .collect();
                    let notices = notify::of_answer(&order, receipts, answered, by, &names, &asked, now)?;
                    notify::enqueue(tx, notices, now, &mut ids).await?;
                }
                let mut unreachable = Vec::new();
                let mut waiting = Vec::new();
                let mut ended = Vec::new();
                for (one, of_this) in &ruled {
                    let approves = decision.state == ValidationState::Approved;
                    let others_who_may = || may_answer(&mails, mail, now, |other| asks(other, one));
                    let others_may_answer = || others_who_may().map(|count| count > 0);
                    let (by, decision, people, held) = match of_this {
                        Ruled::Stands { by, decision, people, held } => (*by, decision, people, *held),
                        Ruled::Waits { have, need } => {
                            let data = json!({"name": one.name, "mail_id": mail.id()?, "have": have, "need": need});
                            events.push(Event::new(EventType::ApprovalCounted, now, "approver", data));
                            if others_who_may()? >= need.saturating_sub(*have) as usize {
                                waiting.push(one.id.clone());
                            } else if let Some(row) =
                                tx.end_validation(&one.id, ValidationState::Pending, ValidationState::Expired, now).await?
                            {
                                // So few of those who were asked can still answer that it cannot be enough.
                                ended.push(row);
                                let data = json!({"name": one.name, "state": ValidationState::Expired});
                                events.push(Event::new(EventType::ValidationExpired, now, "system", data));
                                unreachable.push(one.name.as_str());
                            }
                            continue;
                        }
                    };
                    // Whoever approved first and waited for this answer is whose approval counts.
                    if held {
                        if others_may_answer()? {
                            waiting.push(one.id.clone());
                        } else if let Some((row, event)) = end_veto(tx, &profile, &mails, one, now).await? {
                            ended.push(row);
                            events.push(event);
                        }
                        continue;
                    }
                    if approves && profile.profile.decision.policy == DecisionPolicy::RejectVetoes && others_may_answer()? {
                        let ends = now + profile.profile.decision.veto_for;
                        // In place of one that may count no more.
                        tx.drop_held_approval(&one.id).await?;
                        tx.hold_approval(&one.id, by.id()?, by.source()?.method(), decision, ends).await?;
                        waiting.push(one.id.clone());
                        let data = json!({"name": one.name, "mail_id": by.id()?, "veto_ends_at": ends});
                        events.push(Event::new(EventType::ApprovalWaits, now, "approver", data));
                        continue;
                    }
                    ended.push(tx.decide_validation(one, by, answer.as_str(), decision, now).await?);
                    let basis = bases.get(&by.id).ok_or_else(missing)?;
                    let mut event = decided_event(basis, by, one, &names_by(&ruled, by), decision, now);
                    if people.len() > 1 {
                        event.data.insert("approvers".to_owned(), json!(people));
                    }
                    events.push(event);
                }
                if profile.profile.mail.expiry_notice {
                    notify::enqueue(tx, notify::of_expiry(&order, &unreachable, true, now)?, now, &mut ids).await?;
                }
                let waiting: HashSet<&Vec<u8>> = waiting.iter().collect();
                let now_ended: HashSet<&Vec<u8>> = open.iter().map(|one| &one.id).filter(|id| !waiting.contains(id)).collect();
                let has_ended = |one: &ValidationRow| one.state != "pending" || now_ended.contains(&one.id);
                // A mail whose names have all been decided, by whichever answer, has nothing left to ask; nor has one that was answered.
                for other in &mails {
                    if other.id == mail.id || validations.iter().filter(|one| asks(other, one)).all(has_ended) {
                        tx.end_link(other, LinkState::Answered, now).await?;
                    }
                }
                let marks = marks(mail, &caller, now);
                if !marks.is_empty() {
                    let data =
                        json!({"mail_id": mail.id()?, "marks": marks, "peer": caller.peer, "user_agent": caller.user_agent});
                    events.push(Event::new(EventType::AnswerMarked, now, "system", data));
                }
                let refused = decision.state == ValidationState::Rejected;
                if refused && profile.profile.decision.reject == RejectButton::CancelOrder {
                    let told = Cancellation { reason: Some("refused by an approver".to_owned()), ..Cancellation::default() };
                    events.push(cancel::end(tx, &order, &told, "approver", now, &mut ids).await?);
                } else {
                    events.extend(completion(&order, &as_they_are(validations, ended), now)?);
                }
                tx.record_next_events(&order, &events, &routes, &mut ids).await?;
                Ok::<_, StoreError>(Ok(decision))
            })
        })
        .await?;
    Ok(outcome)
}

/// What an answer does to one name.
enum Ruled<'m> {
    /// It is decided so, by the answer to this mail; these people approved where several must. `held`: that approval waited for a refusal.
    Stands { by: &'m MailRow, decision: Decision, people: Vec<String>, held: bool },
    /// More people must approve it.
    Waits { have: u32, need: u32 },
}

/// Rules on one name: as the answer says or, where several people must approve, as all that was answered comes to.
fn rule<'m>(
    profile: &Versioned,
    mails: &'m [MailRow],
    approvals: &[ApprovalRow],
    answered: &'m MailRow,
    decision: &Decision,
    one: &ValidationRow,
    now: Timestamp,
) -> Result<Ruled<'m>, StoreError> {
    let quorum = profile.profile.decision.quorum;
    let held = mails.iter().find(|mail| one.veto_ends_at.is_some() && one.mail_id.as_ref() == Some(&mail.id));
    if let (Some(by), ValidationState::Approved) = (held, decision.state)
        && !is_forbidden(profile, by, now)?
    {
        return Ok(Ruled::Stands { by, decision: held_decision(one), people: Vec::new(), held: true });
    }
    if !approvals_count(profile, decision) {
        return Ok(Ruled::Stands { by: answered, decision: decision.clone(), people: Vec::new(), held: false });
    }
    let mut given = Vec::new();
    for row in approvals.iter().filter(|row| row.validation_id == one.id) {
        let Some(mail) = mails.iter().find(|mail| mail.id == row.mail_id) else { continue };
        if is_forbidden(profile, mail, now)? {
            continue;
        }
        let scope = row.scope.as_deref().and_then(Scope::from_text);
        // Where there was no choice it is the one that the page offered.
        let offered = || decision::offered_scopes(&profile.profile.page, mail.adn_is_base == 1).first().copied();
        let reusable_until = method::reusable_until(mail.source()?.method(), mail.initiated_at()).filter(|until| *until > now);
        // None where the order is a test's.
        let reusable_until = decision.reusable_until.and(reusable_until);
        let scope = scope.or_else(offered).unwrap_or(Scope::Order);
        given.push((mail, row, Given { by: &mail.recipient, adn: &mail.adn, scope, reusable_until }));
    }
    let tallied: Vec<Given<'_>> = given.iter().map(|(_, _, given)| *given).collect();
    Ok(match quorum::tally(&tallied, quorum) {
        Tally::Waits { have, need } => Ruled::Waits { have, need },
        Tally::Reached { by, reusable_until } => match given.get(by) {
            Some((mail, row, narrowest)) => Ruled::Stands {
                by: mail,
                decision: Decision {
                    scope: Some(narrowest.scope),
                    signer: row.signer.clone(),
                    reusable_until,
                    ..decision.clone()
                },
                people: people(given.iter().map(|(mail, ..)| *mail)),
                held: false,
            },
            None => Ruled::Stands { by: answered, decision: decision.clone(), people: Vec::new(), held: false },
        },
    })
}

/// The names that a mail's answer decides.
fn names_by<'r>(ruled: &'r [(&ValidationRow, Ruled<'_>)], mail: &MailRow) -> Vec<EndedName<'r>> {
    let of = |(one, ruled): &'r (&ValidationRow, Ruled<'_>)| match ruled {
        Ruled::Stands { by, decision, .. } if by.id == mail.id => Some(EndedName::new(&one.name, decision)),
        _ => None,
    };
    ruled.iter().filter_map(of).collect()
}

/// Whether an answer is one of several approvals that are counted.
fn approvals_count(profile: &Versioned, decision: &Decision) -> bool {
    profile.profile.decision.quorum > 1 && decision.state == ValidationState::Approved
}

/// Whose mails these are, each once.
fn people<'m>(mails: impl Iterator<Item = &'m MailRow>) -> Vec<String> {
    let mut people: Vec<String> = Vec::new();
    for mail in mails {
        if !people.iter().any(|known| known.eq_ignore_ascii_case(&mail.recipient)) {
            people.push(mail.recipient.clone());
        }
    }
    people
}

/// How many others who were asked may still answer, each mailbox once.
fn may_answer(
    mails: &[MailRow],
    answered: &MailRow,
    now: Timestamp,
    asks: impl Fn(&MailRow) -> bool,
) -> Result<usize, StoreError> {
    let mut open = Vec::new();
    for other in mails.iter().filter(|other| other.id != answered.id && asks(other)) {
        if other.link()?.is_open() && now.unix_micros() < other.expires_at {
            open.push(other);
        }
    }
    // Who answered already counts once, however often they were asked.
    Ok(people(open.into_iter()).iter().filter(|one| !one.eq_ignore_ascii_case(&answered.recipient)).count())
}

/// Whether an approval by this mail may count no more: its method had its last day since it was given.
fn is_forbidden(profile: &Versioned, mail: &MailRow, now: Timestamp) -> Result<bool, StoreError> {
    let must_not = method::rule(mail.source()?.method(), now).status == RuleStatus::MustNot;
    Ok(must_not && profile.profile.compliance == Compliance::Enforce)
}

/// Makes an approval count that waited for a refusal, and tells it. One that may not count any more by then ends without: nobody approved.
pub(super) async fn end_veto(
    tx: &mut Tx<'_>,
    profile: &Versioned,
    mails: &[MailRow],
    waited: &ValidationRow,
    now: Timestamp,
) -> Result<Option<(ValidationRow, Event)>, StoreError> {
    let by = mails.iter().find(|mail| waited.mail_id.as_ref() == Some(&mail.id));
    let missing = || StoreError::inconsistent("validations", "mail_id", &waited.id);
    let by = by.ok_or_else(missing)?;
    if is_forbidden(profile, by, now)? {
        let row = tx.end_validation(&waited.id, ValidationState::Pending, ValidationState::Expired, now).await?;
        let data = json!({"name": waited.name, "state": ValidationState::Expired});
        return Ok(row.map(|row| (row, Event::new(EventType::ValidationExpired, now, "system", data))));
    }
    let Some(row) = tx.end_veto(&waited.id, now).await? else { return Ok(None) };
    let held = held_decision(waited);
    let decision = Decision { reusable_until: held.reusable_until.filter(|until| *until > now), ..held };
    let basis = basis(tx, profile, by).await?;
    let mut event = decided_event(&basis, by, waited, &[EndedName::new(&waited.name, &decision)], &decision, now);
    if profile.profile.decision.quorum > 1 {
        let approvals = tx.approvals(OrderId::from_bytes(by.order_id.as_slice().try_into().map_err(|_| missing())?)).await?;
        let gave = |mail: &&MailRow| approvals.iter().any(|one| one.validation_id == waited.id && one.mail_id == mail.id);
        event.data.insert("approvers".to_owned(), json!(people(mails.iter().filter(gave))));
    }
    Ok(Some((row, event)))
}

/// The approval that waits for a refusal.
fn held_decision(waited: &ValidationRow) -> Decision {
    Decision {
        state: ValidationState::Approved,
        reported: false,
        scope: waited.scope.as_deref().and_then(decision::Scope::from_text),
        signer: waited.signer.clone(),
        reason: None,
        reusable_until: waited.reusable_until.map(Timestamp::from_unix_micros),
    }
}

/// A name that an answer ended, as notices tell it.
pub(super) struct EndedName<'n> {
    pub(super) name: &'n str,
    pub(super) scope: Option<&'static str>,
    pub(super) signer: Option<&'n str>,
}

impl<'n> EndedName<'n> {
    fn new(name: &'n str, decision: &'n Decision) -> Self {
        Self { name, scope: decision.scope.map(decision::Scope::as_str), signer: decision.signer.as_deref() }
    }
}

/// An order's names with what has become of some of them.
pub(super) fn as_they_are(mut validations: Vec<ValidationRow>, ended: Vec<ValidationRow>) -> Vec<ValidationRow> {
    for row in ended {
        if let Some(one) = validations.iter_mut().find(|one| one.id == row.id) {
            *one = row;
        }
    }
    validations
}

/// What ends a pending order whose names, which are these, have all ended.
pub(super) fn completion(order: &OrderRow, validations: &[ValidationRow], now: Timestamp) -> Result<Option<Event>, StoreError> {
    for one in validations {
        if !one.state()?.is_final() {
            return Ok(None);
        }
    }
    if order.state != OrderState::Pending.as_str() {
        return Ok(None);
    }
    let names: Vec<Value> = validations
        .iter()
        .map(|one| {
            json!({
                "name": one.name,
                "state": one.state,
                "answer": one.answer,
                "method": one.method,
                "scope": one.scope,
                "reusable_until": one.reusable_until.map(Timestamp::from_unix_micros),
            })
        })
        .collect();
    Ok(Some(Event::new(EventType::OrderCompleted, now, "system", json!({"state": "completed", "validations": names}))))
}

/// What the answer to a mail rests on.
pub(super) async fn basis(tx: &mut Tx<'_>, profile: &Versioned, mail: &MailRow) -> Result<Basis, StoreError> {
    let (source, external_mpic) = (mail.source()?, profile.profile.corroboration == Corroboration::External);
    let lookup = match &mail.lookup_id {
        Some(id) if external_mpic && source.is_dns() => tx.lookup(id).await?,
        _ => None,
    };
    Ok(Basis {
        adn: mail.adn.clone(),
        approver: mail.recipient.clone(),
        source,
        initiated_at: mail.initiated_at(),
        looked_up_at: Timestamp::from_unix_micros(mail.looked_up_at),
        compliance: profile.profile.compliance,
        external_mpic,
        asked_name: lookup.and_then(|lookup| lookup.asked_name().map(str::to_owned)),
    })
}

fn decided_event(
    basis: &Basis,
    mail: &MailRow,
    validation: &ValidationRow,
    names: &[EndedName<'_>],
    decision: &Decision,
    now: Timestamp,
) -> Event {
    let kind = validation_ended(decision.state, decision.reported).unwrap_or(EventType::ValidationRejected);
    let approved = decision.state == ValidationState::Approved;
    let mut data = basis.members(now);
    data.insert("name".to_owned(), json!(validation.name));
    data.insert("state".to_owned(), json!(decision.state));
    data.insert("scope".to_owned(), json!(decision.scope));
    data.insert("signer".to_owned(), json!(decision.signer));
    data.insert("reason".to_owned(), json!(decision.reason));
    data.insert("decided_at".to_owned(), json!(now));
    data.insert("approved_at".to_owned(), json!(approved.then_some(now)));
    data.insert("reusable_until".to_owned(), json!(decision.reusable_until));
    if let Some(scope) = decision.scope {
        let names: Vec<&str> = names.iter().map(|one| one.name).collect();
        data.insert("proves".to_owned(), json!(coverage::proven(scope, &mail.adn, &names)));
    }
    Event::new(kind, now, "approver", Value::Object(data))
}

fn answer_row(answer: &Answer, mail: &MailRow, caller: &Caller, won: bool, now: Timestamp, random: [u8; 10]) -> AnswerRow {
    let (scope, signer, reason) = match answer {
        Answer::Approve { scope, signer, .. } => (scope.map(|scope| scope.as_str().to_owned()), Some(signer.clone()), None),
        Answer::Reject { reason } | Answer::Report { reason } => (None, None, Some(reason.clone())),
    };
    AnswerRow {
        id: EffectId::new(now, random).as_bytes().to_vec(),
        mail_id: mail.id.clone(),
        at: now.unix_micros(),
        answer: answer.as_str().to_owned(),
        scope,
        signer: signer.map(|text| kept(&text, SIGNER_MAX_CHARS)).filter(|text| !text.is_empty()),
        reason: reason.map(|text| kept(&text, REASON_MAX_CHARS)).filter(|text| !text.is_empty()),
        peer: caller.peer.clone(),
        user_agent: caller.user_agent.clone(),
        won: i64::from(won),
    }
}

/// Text as evidence of an answer that came too late to be checked: cut, and without what a database cannot hold.
fn kept(text: &str, max_chars: usize) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n').take(max_chars).collect()
}
