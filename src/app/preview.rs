//! Shows what a profile's mail and pages look like, with a made-up request. Nothing of it is stored, and its link leads nowhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ask::{AskError, Question, draft_mail};
use super::open_link::Opened;
use super::{App, OrderFacts};
use crate::dcv::contact::{Approver, Source};
use crate::dcv::decision::Refusal;
use crate::dcv::email::EmailAddress;
use crate::dcv::id::{OrderId, ValidationId};
use crate::dcv::method;
use crate::dcv::name::{Adn, CertificateName};
use crate::dcv::order::{Choice, Locale, OrderKind, PlannedMail, ValidationState};
use crate::dcv::profile::Versioned;
use crate::ports::Letter;
use crate::store::{OrderRow, ValidationRow};

/// The states of a link that pages differ by.
pub const STATES: [&str; 7] = ["valid", "approved", "rejected", "reported", "expired", "superseded", "cancelled"];

/// A made-up request under a profile.
pub struct Preview {
    /// The mail that would go.
    pub letter: Letter,
    /// The link as its page would see it.
    pub opened: Opened,
}

/// Makes up a request under a profile, whose link is in one of [`STATES`].
///
/// # Errors
/// [`AskError`] where the templates cannot be rendered.
pub fn preview(app: &App, profile: &Arc<Versioned>, locale: Locale, state: &str) -> Result<Preview, AskError> {
    let (now, lists, mut ids) = (app.now(), app.lists(), app.id_source());
    let unknown = |error: &dyn std::fmt::Display| AskError::Mail(error.to_string());
    let name = CertificateName::parse("www.example.co.jp", &lists.suffixes).map_err(|error| unknown(&error))?;
    let facts = OrderFacts {
        organization: Some("株式会社サンプル".to_owned()),
        requester: Some("サンプルホスティング株式会社".to_owned()),
        product: Some("OV".to_owned()),
        kind: Some(OrderKind::New),
        ..OrderFacts::default()
    };
    let ended = state != "valid" && !matches!(state, "expired" | "superseded");
    let order = OrderRow {
        id: OrderId::new(now, ids()).as_bytes().to_vec(),
        client: "sample".to_owned(),
        order_ref: "SAMPLE-1".to_owned(),
        profile_id: profile.profile.id.clone(),
        profile_hash: profile.hash.to_vec(),
        state: if ended { "completed" } else { "pending" }.to_owned(),
        locale: locale.as_str().to_owned(),
        facts: serde_json::to_string(&facts).map_err(|error| unknown(&error))?,
        created_at: now.unix_micros(),
        ended_at: None,
        last_seq: 0,
        held: None,
        released_at: None,
        asks_all: 0,
        test: 0,
        assignee: None,
        paused_at: None,
    };
    let adn = Adn::base_of(name.fqdn());
    let approver = Approver {
        email: EmailAddress::parse(&format!("admin@{adn}")).map_err(|error| unknown(&error))?,
        rule: method::rule(Source::Constructed.method(), now),
        adn,
        source: Source::Constructed,
        role: None,
        usable: true,
        reason: None,
        lookup: None,
        looked_up_at: now,
        valid_until: None,
        also: Vec::new(),
    };
    let (decided, answer) = match state {
        "approved" => (ValidationState::Approved, Some("approve")),
        "rejected" => (ValidationState::Rejected, Some("reject")),
        "reported" => (ValidationState::Rejected, Some("report")),
        "expired" => (ValidationState::Expired, None),
        "cancelled" => (ValidationState::Cancelled, None),
        _ => (ValidationState::Pending, None),
    };
    let mut validation = ValidationRow {
        id: ValidationId::new(now, ids()).as_bytes().to_vec(),
        order_id: order.id.clone(),
        position: 0,
        name: name.to_string(),
        base_domain: None,
        state: decided.as_str().to_owned(),
        selection_ends_at: None,
        mail_id: None,
        answer: answer.map(str::to_owned),
        method: None,
        scope: answer.filter(|answer| *answer == "approve").map(|_| "fqdn".to_owned()),
        signer: None,
        reason: None,
        ended_at: decided.is_final().then_some(now.unix_micros()),
        reusable_until: None,
        veto_ends_at: None,
        adn: None,
        disputed_at: None,
        reused_from: None,
        reused_id: None,
        look_again_at: None,
        looks: 0,
        entry: None,
    };
    let question = Question {
        profile: Arc::clone(profile),
        names: vec![name],
        choice: Choice::Unsaid,
        locale,
        facts,
        lists,
        previous: None,
        vouched: None,
    };
    let planned = PlannedMail { approver, names: BTreeSet::from([0]) };
    let (mail, letter) = draft_mail(app, &question, &order, &planned, &[&validation], Vec::new(), now)?;
    validation.mail_id = answer.map(|_| mail.id.clone());
    let closed = match state {
        "approved" | "rejected" | "reported" => Some(Refusal::Decided),
        "expired" => Some(Refusal::Expired),
        "superseded" => Some(Refusal::Superseded),
        "cancelled" => Some(Refusal::Cancelled),
        _ => None,
    };
    let opened = Opened::made_up(app, order, mail, validation, Arc::clone(profile), closed, &question.facts);
    Ok(Preview { letter, opened })
}
