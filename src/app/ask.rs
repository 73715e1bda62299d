//! Asks for names: works out who may approve them and whom the ordering system chose, and writes the mails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::lookups::{self, Freshness};
use super::show_order::show_order;
use super::{App, Lists, OrderFacts, english_time, facts_view, japanese_time};
use crate::dcv::contact::entry::{Entry, Verdict, judge};
use crate::dcv::contact::{self, Approver, Listing, Source, SourceReport};
use crate::dcv::email::EmailAddress;
use crate::dcv::evidence::Lookup;
use crate::dcv::id::{EffectId, LookupId, MailId};
use crate::dcv::link::{self, RandomValue};
use crate::dcv::name::{CertificateName, Fqdn};
use crate::dcv::order::{self, Assignment, Choice, ChoiceError, Delivery, LinkState, Locale, OrderKind, PlannedMail, Wanted};
use crate::dcv::profile::{AccessPin, Confirm, MailBody, Profile, SubjectFields, Versioned};
use crate::dcv::resend::next_reminder;
use crate::dcv::return_path;
use crate::dcv::timestamp::Timestamp;
use crate::ports::Letter;
use crate::render::{ApprovalMail, ApprovalParts, Labels, NameView};
use crate::store::{EffectKind, MailRow, MailValidations, NewEffect, OrderRow, StoreError, Tx, ValidationRow};

/// What is asked of whom, under which rules.
#[derive(Debug, Clone)]
pub struct Question {
    /// The rules.
    pub profile: Arc<Versioned>,
    /// The names, each once.
    pub names: Vec<CertificateName>,
    /// Whom to ask.
    pub choice: Choice,
    /// Which language stands first.
    pub locale: Locale,
    /// What else was told.
    pub facts: OrderFacts,
    /// The lists that the names were read with.
    pub lists: Arc<Lists>,
    /// When what this order renews was approved, where it renews anything.
    pub previous: Option<Timestamp>,
    /// A registration contact that an operator found in a WHOIS answer which could not be read.
    pub vouched: Option<(EmailAddress, Box<Lookup>)>,
}

/// When the order that another renews was last approved; `None` where it renews none of the same ordering system.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub(super) async fn previous(app: &App, client: &str, facts: &OrderFacts) -> Result<Option<Timestamp>, StoreError> {
    let Some(earlier) = facts.renews() else { return Ok(None) };
    let record = show_order(app, earlier, Some(client)).await?;
    let approved = |one: &ValidationRow| (one.state == "approved").then_some(one.ended_at).flatten();
    let last = record.and_then(|record| record.validations.iter().filter_map(approved).max());
    Ok(last.map(Timestamp::from_unix_micros))
}

/// Why nothing was asked; nothing was stored but look-ups.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The choice of approvers cannot be followed.
    #[error("the choice of approvers cannot be followed")]
    Choice(Vec<ChoiceError>),
    /// Mail could not be rendered or composed: a template of the operator's, or an address the mail library refuses.
    #[error("the mail cannot be made: {0}")]
    Mail(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who is asked, and what that rests on.
pub(super) struct Chosen {
    pub(super) assignment: Assignment,
    pub(super) lookups: Vec<LookupId>,
    /// How the sources fared that yielded nobody for a name that awaits an approver.
    pub(super) missing: Vec<SourceReport>,
    /// Who may be chosen for the names whose choice comes later, by the names' places.
    pub(super) allowed: BTreeMap<usize, Vec<String>>,
    /// What became of an entered contact: by the names' places, the look-up in whose answer it stands unread.
    pub(super) seen: BTreeMap<usize, LookupId>,
}

/// Works out whom to ask, from constructed addresses alone where that is enough: they take no network and never wait.
/// Names that are `settled` already, by their place, are asked of nobody.
pub(super) async fn choose(app: &App, new: &Question, settled: &BTreeSet<usize>) -> Result<Chosen, AskError> {
    let by_itself = |assignment| Chosen {
        assignment,
        lookups: Vec::new(),
        missing: Vec::new(),
        allowed: BTreeMap::new(),
        seen: BTreeMap::new(),
    };
    if settled.len() == new.names.len() {
        return Ok(by_itself(Assignment::default()));
    }
    let profile = &new.profile.profile;
    let names: Vec<&Fqdn> = new.names.iter().map(CertificateName::fqdn).collect();
    let listings = |lookups: &[Lookup], now| -> Vec<Listing> {
        names.iter().map(|name| contact::list(name, profile, &new.lists.policy, lookups, now)).collect()
    };
    let quick = listings(&[], app.now());
    // Where some are left out who may not be asked, only the sources tell who may.
    let takes_more = new.choice.asks_whoever_is_found() || matches!(new.choice, Choice::Entered(_) | Choice::Partly(_));
    if !takes_more && new.vouched.is_none() {
        match order::assign(&quick, &new.choice, settled, profile.decision.quorum) {
            Ok(assignment) if assignment.awaiting.is_empty() => {
                return Ok(by_itself(assignment));
            }
            Err(errors) if new.choice == Choice::Unsaid => return Err(AskError::Choice(errors)),
            _ => {}
        }
    }
    let mut gathered = lookups::gather(app, &names, profile, Freshness::Mailing).await?;
    let mut full = listings(&gathered, app.now());
    let mut seen = BTreeMap::new();
    if let Choice::Entered(entry) = &new.choice {
        seen = held_against(entry, &full, &gathered, settled, profile.decision.quorum).map_err(AskError::Choice)?;
    }
    if let Some((email, lookup)) = &new.vouched {
        for listing in &mut full {
            listing.approvers.extend(contact::vouched(&listing.name, email, lookup, profile, app.now()));
        }
        gathered.push(Lookup::clone(lookup));
    }
    let assignment = order::assign(&full, &new.choice, settled, profile.decision.quorum).map_err(AskError::Choice)?;
    let awaiting = assignment.awaiting.iter().filter_map(|at| full.get(*at));
    let missing = awaiting.flat_map(Listing::missing).cloned().collect();
    let mut allowed = BTreeMap::new();
    for at in assignment.awaiting.iter().filter(|_| matches!(new.choice, Choice::Later | Choice::Partly(_))) {
        let addresses = full.get(*at).map(order::allowed).unwrap_or_default();
        if !addresses.is_empty() {
            allowed.insert(*at, addresses);
        }
    }
    Ok(Chosen { assignment, lookups: gathered.iter().map(|lookup| lookup.id).collect(), missing, allowed, seen })
}

/// Holds an entered contact against what was found for each name; where it stands unread.
fn held_against(
    entry: &Entry,
    listings: &[Listing],
    lookups: &[Lookup],
    settled: &BTreeSet<usize>,
    quorum: u32,
) -> Result<BTreeMap<usize, LookupId>, Vec<ChoiceError>> {
    let (mut seen, mut errors) = (BTreeMap::new(), Vec::new());
    for (name, listing) in listings.iter().enumerate().filter(|(name, _)| !settled.contains(name)) {
        match judge(&entry.email, listing, lookups) {
            Verdict::Listed => errors.push(ChoiceError::EntryListed { name }),
            Verdict::Refuted => errors.push(ChoiceError::EntryNotFound { name }),
            Verdict::Seen(lookup) => {
                seen.insert(name, lookup);
            }
            Verdict::Unknown => {}
        }
    }
    if let (Some(email), true) = (&entry.fallback, errors.is_empty()) {
        let fallback = Choice::These(vec![Wanted { email: email.clone(), adn: None, names: None }]);
        order::assign(listings, &fallback, settled, quorum)?;
    }
    if errors.is_empty() { Ok(seen) } else { Err(errors) }
}

/// The mails of a question, with the bytes of each and which names it asks for.
pub(super) struct Written {
    pub(super) mails: Vec<MailRow>,
    pub(super) pairs: MailValidations,
    pub(super) letters: Vec<Vec<u8>>,
}

/// Writes the mails of an assignment; `validations` stand in the order of the question's names.
pub(super) fn write(
    app: &App,
    question: &Question,
    order: &OrderRow,
    assignment: &Assignment,
    validations: &[ValidationRow],
    now: Timestamp,
) -> Result<Written, AskError> {
    let (mut mails, mut pairs, mut letters) = (Vec::new(), Vec::new(), Vec::new());
    for planned in &assignment.mails {
        let asked: Vec<&ValidationRow> = planned.names.iter().filter_map(|at| validations.get(*at)).collect();
        let (mut mail, letter) = draft_mail(app, question, order, planned, &asked, others(assignment, planned), now)?;
        let letter = app.ports.mail_out.compose(&letter).map_err(|error| AskError::Mail(error.to_string()))?;
        mail.content_hash = Sha256::digest(&letter).to_vec();
        pairs.extend(asked.iter().map(|validation| (mail.id.clone(), validation.id.clone())));
        mails.push(mail);
        letters.push(letter);
    }
    Ok(Written { mails, pairs: pairs.into_iter().collect(), letters })
}

/// Stores mails and puts them into the outbox.
pub(super) async fn commit(
    tx: &mut Tx<'_>,
    order: &OrderRow,
    written: &Written,
    now: Timestamp,
    ids: &mut (dyn FnMut() -> [u8; 10] + Send),
) -> Result<(), StoreError> {
    for (mail, letter) in written.mails.iter().zip(&written.letters) {
        let asked: Vec<_> = written.pairs.of(&mail.id).cloned().collect();
        tx.insert_mail(mail, &asked).await?;
        let effect = NewEffect {
            id: EffectId::new(now, ids()),
            kind: EffectKind::Mail,
            order: Some(order.id()?),
            subject: *mail.id()?.as_bytes(),
            endpoint: mail.reference.clone(),
            seq: 0,
            // What a client under test would send counts against no recipient's cap.
            recipient: (order.test == 0).then(|| mail.recipient.to_lowercase()),
            body: Some(letter.clone()),
            at: now,
            held: order.is_held(),
        };
        tx.enqueue(&effect).await?;
    }
    Ok(())
}

/// The other recipients that are asked for one of the same names, masked.
fn others(assignment: &Assignment, planned: &PlannedMail) -> Vec<String> {
    let shares = |mail: &&PlannedMail| mail.approver.email != planned.approver.email && !mail.names.is_disjoint(&planned.names);
    assignment.mails.iter().filter(shares).map(|mail| mail.approver.email.masked()).collect()
}

/// Makes one mail: its row, but for its bytes' hash, and its letter, which holds the only copy of its Random Value.
pub(super) fn draft_mail(
    app: &App,
    new: &Question,
    order: &OrderRow,
    planned: &PlannedMail,
    asked: &[&ValidationRow],
    others: Vec<String>,
    now: Timestamp,
) -> Result<(MailRow, Letter), AskError> {
    let mut ids = app.id_source();
    let id = MailId::new(now, ids());
    let random = RandomValue::new(app.random());
    let (approver, profile) = (&planned.approver, &new.profile.profile);
    // The reference stands in the return path; it tells nothing of the Random Value.
    let reference = return_path::reference(&app.keys, id.as_bytes());
    let row = MailRow {
        id: id.as_bytes().to_vec(),
        order_id: order.id.clone(),
        recipient: approver.email.to_string(),
        adn: approver.adn.to_string(),
        adn_is_base: i64::from(approver.adn.is_base_domain()),
        source: approver.source.as_str().to_owned(),
        role: approver.role.map(|role| role.as_str().to_owned()),
        lookup_id: approver.lookup.map(|lookup| lookup.as_bytes().to_vec()),
        looked_up_at: approver.looked_up_at.unix_micros(),
        valid_until: valid_until(new, approver.source, approver.looked_up_at, approver.valid_until).map(Timestamp::unix_micros),
        random_hash: random.hash().to_vec(),
        // Without the return path's MAC: Message-IDs travel far.
        message_id: format!("<{}@{}>", id.to_string().trim_start_matches(MailId::PREFIX), app.settings.message_id_host),
        reference,
        content_hash: Vec::new(),
        link: LinkState::Queued.as_str().to_owned(),
        delivery: Delivery::Queued.as_str().to_owned(),
        failure: None,
        failure_detail: None,
        delivery_at: None,
        created_at: now.unix_micros(),
        expires_at: profile.window.ends(now).unix_micros(),
        sent_at: None,
        answered_at: None,
        resends: 0,
        reminders: 0,
        resent_at: None,
        remind_at: next_reminder(&profile.reminders, profile.window.ends(now), now).map(Timestamp::unix_micros),
        mail_host: None,
        vouched: i64::from(new.vouched.as_ref().is_some_and(|(email, _)| *email == approver.email)),
        also_roles: also_roles(approver),
    };
    let names = asked.iter().map(|validation| NameView::new(&validation.name)).collect();
    let facts = facts_view(order, &new.facts, &row, names);
    let token = link::sign(&app.keys, &random, now);
    let url = format!("{}/approve/{token}", app.settings.public_base);
    let rules = &profile.mail;
    let first = rules.languages.pick(new.locale);
    let ja_first = first == Locale::Ja;
    let context = ApprovalMail {
        facts: &facts,
        service: &app.settings.service,
        ca: &profile.ca,
        seller: &profile.seller,
        locale: first.as_str(),
        both: rules.languages.are_several(),
        url: &url,
        // Where the mail holds no link, the code leads to the page.
        token: if rules.body == MailBody::CodeEntry { &token } else { "" },
        previous_ja: new.previous.map(japanese_time).unwrap_or_default(),
        previous_en: new.previous.map(english_time).unwrap_or_default(),
        pin: profile.page.access_pin == AccessPin::Required,
        quorum: profile.decision.quorum,
        enter_url: if profile.page.enter_code || rules.body == MailBody::CodeEntry {
            format!("{}/enter", app.settings.public_base)
        } else {
            String::new()
        },
        about_url: format!("{}/about-mail", app.settings.public_base),
        labels: labels(profile),
        code: if profile.page.confirm == Confirm::Code {
            spaced(&link::confirmation_code(&app.keys, &random))
        } else {
            String::new()
        },
        others,
    };
    let ApprovalParts { subject, text, html } =
        app.renderer.approval_mail(&context).map_err(|error| AskError::Mail(error.to_string()))?;
    let fields = SubjectFields { domain: &facts.adn.unicode, request_id: &facts.request_id, order_ref: &facts.order_ref };
    let renewal = new.facts.kind == Some(OrderKind::Renewal);
    let letter = Letter {
        to: approver.email.clone(),
        reply_to: app.reply_address(id.as_bytes()),
        from_name: rules.from_name(ja_first).map(str::to_owned),
        subject: rules.subject(ja_first, renewal, &fields).unwrap_or(subject),
        text,
        html: rules.html.then_some(html),
        message_id: row.message_id.clone(),
        mail_id: Some(id),
        kind: "approval",
        date: now,
        languages: match (rules.languages.are_several(), ja_first) {
            (true, true) => "ja, en",
            (true, false) => "en, ja",
            (false, true) => "ja",
            (false, false) => "en",
        },
    };
    Ok((row, letter))
}

/// The other roles that the registration names an approver in.
fn also_roles(approver: &Approver) -> Option<String> {
    let mut roles: Vec<&str> = Vec::new();
    for role in approver.also.iter().filter(|also| also.usable).filter_map(|also| also.role) {
        if Some(role) != approver.role && !roles.contains(&role.as_str()) {
            roles.push(role.as_str());
        }
    }
    (!roles.is_empty()).then(|| roles.join(","))
}

/// What the page's buttons say under a profile.
fn labels(rules: &Profile) -> Labels<'_> {
    let page = &rules.page;
    let standard = Labels::default();
    let hidden = !rules.decision.reject.is_offered();
    let reject_ja = if page.reject_label_ja.is_empty() { standard.reject_ja } else { &page.reject_label_ja };
    let reject_en = if page.reject_label_en.is_empty() { standard.reject_en } else { &page.reject_label_en };
    Labels {
        approve_ja: if page.approve_label_ja.is_empty() { standard.approve_ja } else { &page.approve_label_ja },
        approve_en: if page.approve_label_en.is_empty() { standard.approve_en } else { &page.approve_label_en },
        // Where the page does not offer one of the two, the mail points to the other.
        reject_ja: if hidden { standard.report_ja } else { reject_ja },
        reject_en: if hidden { standard.report_en } else { reject_en },
        report_ja: if rules.decision.report { standard.report_ja } else { reject_ja },
        report_en: if rules.decision.report { standard.report_en } else { reject_en },
    }
}

/// A code in groups of four digits, as people read it.
fn spaced(code: &str) -> String {
    let (first, last) = code.split_at(code.len() / 2);
    format!("{first} {last}")
}

/// Until when a chosen address may be mailed without asking again: a DNS answer's TTL, or the profile's age for registration
/// data; `None` for constructed addresses.
fn valid_until(new: &Question, source: Source, looked_up_at: Timestamp, ttl_ends: Option<Timestamp>) -> Option<Timestamp> {
    match source {
        Source::Constructed => None,
        Source::DnsTxt | Source::DnsCaa => ttl_ends,
        Source::Whois | Source::Rdap => Some(looked_up_at + new.profile.profile.addresses.candidate_ttl),
    }
}
