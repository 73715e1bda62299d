//! Opens a link: finds the mail behind a token and what its page shows. Changes nothing.

use std::sync::Arc;

use super::{App, OrderFacts, facts_view};
use crate::dcv::decision::{self, Answer, AskedMail, Confirmed, Decision, Refusal, Scope};
use crate::dcv::email::EmailAddress;
use crate::dcv::link::{self, RandomValue};
use crate::dcv::method::{self, RuleStatus};
use crate::dcv::profile::{Compliance, Confirm, Versioned};
use crate::dcv::timestamp::Timestamp;
use crate::render::{FactsView, NameView};
use crate::store::{Asked, MailRow, OrderRow, StoreError, ValidationRow};

/// A link that is genuine and known.
pub struct Opened {
    /// The mail.
    pub mail: MailRow,
    /// Its order.
    pub order: OrderRow,
    /// The names it asks for.
    pub asked: Vec<ValidationRow>,
    /// The order's rules.
    pub profile: Arc<Versioned>,
    /// Why it cannot be answered, where it cannot.
    pub closed: Option<Refusal>,
    /// What the page shows.
    pub facts: FactsView,
    /// The form's nonce.
    pub nonce: String,
    random: RandomValue,
}

impl Opened {
    /// A link that was never sent, for a preview of its page.
    pub(super) fn made_up(
        app: &App,
        order: OrderRow,
        mail: MailRow,
        asked: ValidationRow,
        profile: Arc<Versioned>,
        closed: Option<Refusal>,
        facts: &OrderFacts,
    ) -> Self {
        let facts = facts_view(&order, facts, &mail, vec![name_view(&asked)]);
        let random = RandomValue::new(app.random());
        Self { mail, order, asked: vec![asked], profile, closed, facts, nonce: String::new(), random }
    }

    /// Whether a posted nonce belongs to this page.
    #[must_use]
    pub fn nonce_fits(&self, app: &App, nonce: &str) -> bool {
        link::page_nonce_fits(&app.keys, &self.random, &shown(&self.facts), nonce)
    }

    /// Whether the rules of the day forbid approving by this mail's method; it can be refused all the same.
    #[must_use]
    pub fn is_forbidden(&self, now: Timestamp) -> bool {
        let rule = self.mail.source().map(|source| method::rule(source.method(), now).status);
        self.profile.profile.compliance == Compliance::Enforce && rule.is_ok_and(|status| status == RuleStatus::MustNot)
    }

    /// Whether what was entered is the confirmation that the profile asks for.
    #[must_use]
    pub fn confirmed(&self, app: &App, entered: &str) -> Confirmed {
        let right = match self.profile.profile.page.confirm {
            _ if entered.is_empty() => return Confirmed::Missing,
            Confirm::Check => true,
            Confirm::Code => link::confirmation_code_fits(&app.keys, &self.random, entered),
            // However its letters are typed: what counts is that somebody typed it.
            Confirm::Address => {
                EmailAddress::parse(entered).is_ok_and(|address| address.to_string().eq_ignore_ascii_case(&self.mail.recipient))
            }
        };
        if right { Confirmed::Right } else { Confirmed::Wrong }
    }

    /// Whether what was entered is the mail's access PIN.
    #[must_use]
    pub fn pin_fits(&self, app: &App, entered: &str) -> Confirmed {
        match self.mail.id() {
            _ if entered.is_empty() => Confirmed::Missing,
            Ok(id) if link::access_pin_fits(&app.keys, id.as_bytes(), entered) => Confirmed::Right,
            _ => Confirmed::Wrong,
        }
    }

    /// What an answer would come to now. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] for a row that does not fit the model.
    pub fn would_be(&self, answer: &Answer, now: Timestamp) -> Result<Result<Decision, Refusal>, StoreError> {
        let rules = &self.profile.profile;
        let mail = asked_mail(&self.mail, &self.asked.iter().collect::<Vec<_>>())?;
        Ok(decision::decide(&mail, &rules.page, rules.compliance, answer, now))
    }

    /// What the receipt's address carries, so that only whoever was led there sees the signer's name.
    #[must_use]
    pub fn receipt_tag(&self, app: &App) -> String {
        link::page_nonce(&app.keys, &self.random, b"receipt")
    }

    /// Whether an address carries the receipt's tag.
    #[must_use]
    pub fn is_receipt(&self, app: &App, tag: &str) -> bool {
        link::page_nonce_fits(&app.keys, &self.random, b"receipt", tag)
    }

    /// What limits how often a confirmation may be tried: a hash of the Random Value.
    #[must_use]
    pub fn limited_as(&self) -> [u8; 32] {
        self.random.hash()
    }

    /// The scopes the page offers.
    #[must_use]
    pub fn scopes(&self) -> Vec<Scope> {
        decision::offered_scopes(&self.profile.profile.page, self.mail.adn_is_base == 1)
    }

    /// Whether some of its names are decided already.
    #[must_use]
    pub fn partly(&self) -> bool {
        self.asked.iter().any(|one| one.state != "pending")
    }
}

/// Opens a link; `None` when the token is forged, foreign or unknown. A forged token never reaches the database.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn open_link(app: &App, token: &str) -> Result<Option<Opened>, StoreError> {
    let Ok(random) = link::verify(&app.keys, token) else { return Ok(None) };
    let Some(Asked { mail, order, validations: asked }) = app.store.asked_by_hash(&random.hash()).await? else { return Ok(None) };
    let profile = app.profile_of(&order).await?;
    let closed = decision::closed(&asked_mail(&mail, &asked.iter().collect::<Vec<_>>())?, app.now());
    let names = asked.iter().map(name_view).collect();
    let facts = facts_view(&order, &order.facts()?, &mail, names);
    let nonce = link::page_nonce(&app.keys, &random, &shown(&facts));
    Ok(Some(Opened { mail, order, asked, profile, closed, facts, nonce, random }))
}

/// The mail as the decision sees it.
pub(super) fn asked_mail(mail: &MailRow, asked: &[&ValidationRow]) -> Result<AskedMail, StoreError> {
    Ok(AskedMail {
        link: mail.link()?,
        expires_at: Timestamp::from_unix_micros(mail.expires_at),
        method: mail.source()?.method(),
        initiated_at: mail.initiated_at(),
        adn_is_base_domain: mail.adn_is_base == 1,
        validations: asked.iter().map(|one| one.state()).collect::<Result<_, _>>()?,
    })
}

fn name_view(validation: &ValidationRow) -> NameView {
    let state = if validation.state == "pending" { String::new() } else { validation.state.clone() };
    NameView { state, ..NameView::new(&validation.name) }
}

/// What the nonce is bound to: everything about the request that the page states and an answer rests on.
fn shown(facts: &FactsView) -> Vec<u8> {
    let mut bytes = Vec::new();
    let names = facts.names.iter().map(|name| name.ascii.as_str());
    let fixed = [
        &facts.request_id,
        &facts.order_ref,
        &facts.organization,
        &facts.requester,
        &facts.product,
        &facts.recipient,
        &facts.adn.ascii,
    ];
    for part in fixed.into_iter().map(String::as_str).chain(names) {
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(0);
    }
    bytes
}
