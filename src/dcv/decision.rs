//! What an answer on the approve page does.

use serde::{Deserialize, Serialize};

use super::field::{FieldError, is_one_line};
use super::method::{self, Method, RuleStatus};
use super::order::{LinkState, ValidationState};
use super::profile::{Asked, Compliance, Page};
use super::timestamp::Timestamp;

/// Longest signer's name, in characters.
pub const SIGNER_MAX_CHARS: usize = 100;

/// Longest reason, in characters.
pub const REASON_MAX_CHARS: usize = 1000;

/// How far an approval reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Only the exact names listed.
    Fqdn,
    /// The ADN and everything under it.
    Subtree,
    /// The Base Domain Name and everything under it.
    Base,
    /// This order only.
    Order,
}

impl Scope {
    /// The scope as the outer contract spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fqdn => "fqdn",
            Self::Subtree => "subtree",
            Self::Base => "base",
            Self::Order => "order",
        }
    }

    /// Reads the contract's spelling.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Fqdn, Self::Subtree, Self::Base, Self::Order].into_iter().find(|scope| scope.as_str() == text)
    }
}

/// The scopes a page offers for an ADN: none wider than the ADN itself, and one where two would mean the same.
#[must_use]
pub fn offered_scopes(page: &Page, adn_is_base_domain: bool) -> Vec<Scope> {
    let both = page.scope_options.contains(&Scope::Subtree) && page.scope_options.contains(&Scope::Base);
    page.scope_options
        .iter()
        .copied()
        .filter(|scope| match scope {
            Scope::Base => adn_is_base_domain,
            Scope::Subtree => !(adn_is_base_domain && both),
            Scope::Fqdn | Scope::Order => true,
        })
        .collect()
}

/// What a person did on the page, as sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// "I agree."
    Approve {
        /// The scope chosen, where one was.
        scope: Option<Scope>,
        /// The name given, trimmed; empty where none was.
        signer: String,
        /// The authority box.
        authority: bool,
    },
    /// "I do not agree."
    Reject {
        /// Why, trimmed; may be empty.
        reason: String,
    },
    /// "I don't recognise this."
    Report {
        /// Anything to add, trimmed; may be empty.
        reason: String,
    },
}

impl Answer {
    /// The answer as the outer contract spells it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve",
            Self::Reject { .. } => "reject",
            Self::Report { .. } => "report",
        }
    }
}

/// The mail being answered, as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AskedMail {
    /// The link's life.
    pub link: LinkState,
    /// The deadline that counts.
    pub expires_at: Timestamp,
    /// The method an approval would count as.
    pub method: Method,
    /// When the reuse clock started: the earlier of the Random Value's creation and the look-up.
    pub initiated_at: Timestamp,
    /// Whether the ADN is its own Base Domain Name.
    pub adn_is_base_domain: bool,
    /// The state of each name the mail asks for.
    pub validations: Vec<ValidationState>,
}

/// What becomes of every name of the mail that is still pending.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Approved or rejected.
    pub state: ValidationState,
    /// "I don't recognise this", told apart from a refusal.
    pub reported: bool,
    /// How far an approval reaches.
    pub scope: Option<Scope>,
    /// The name given.
    pub signer: Option<String>,
    /// The reason given.
    pub reason: Option<String>,
    /// The last instant at which an approval may be reused; `None` for refusals and forbidden methods.
    pub reusable_until: Option<Timestamp>,
}

/// Why an answer changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Every name was decided already. Wins over the deadline.
    Decided,
    /// The order was withdrawn.
    Cancelled,
    /// A newer mail replaces this one.
    Superseded,
    /// The deadline passed.
    Expired,
    /// The method must not be used on this day.
    Forbidden,
    /// An input is missing or wrong; pointers name form fields.
    Incomplete(Vec<FieldError>),
}

/// What state a link is in at `now`; `None` while it can be answered.
#[must_use]
pub fn closed(mail: &AskedMail, now: Timestamp) -> Option<Refusal> {
    use ValidationState::{Approved, Rejected};
    let open = mail.validations.contains(&ValidationState::Pending);
    if !open && mail.validations.iter().any(|state| matches!(state, Approved | Rejected)) {
        return Some(Refusal::Decided);
    }
    match mail.link {
        LinkState::Answered => Some(Refusal::Decided),
        LinkState::Cancelled => Some(Refusal::Cancelled),
        LinkState::Superseded => Some(Refusal::Superseded),
        LinkState::Expired => Some(Refusal::Expired),
        LinkState::Queued | LinkState::Sent if now >= mail.expires_at => Some(Refusal::Expired),
        LinkState::Queued | LinkState::Sent if !open => Some(Refusal::Cancelled),
        LinkState::Queued | LinkState::Sent => None,
    }
}

/// Decides an answer. Total and pure: the same inputs, the same decision.
///
/// # Errors
/// A [`Refusal`] where the answer changes nothing.
pub fn decide(
    mail: &AskedMail,
    page: &Page,
    compliance: Compliance,
    answer: &Answer,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    if let Some(refusal) = closed(mail, now) {
        return Err(refusal);
    }
    let refused = |reported, reason: &str| {
        if let Some(error) = check_text("reason", reason, REASON_MAX_CHARS) {
            return Err(Refusal::Incomplete(vec![error]));
        }
        let reason = (!reason.is_empty()).then(|| reason.to_owned());
        Ok(Decision { state: ValidationState::Rejected, reported, scope: None, signer: None, reason, reusable_until: None })
    };
    match answer {
        Answer::Reject { reason } => refused(false, reason),
        Answer::Report { reason } => refused(true, reason),
        Answer::Approve { scope, signer, authority } => {
            if compliance == Compliance::Enforce && method::rule(mail.method, now).status == RuleStatus::MustNot {
                return Err(Refusal::Forbidden);
            }
            let scope = approval_inputs(mail, page, *scope, signer, *authority).map_err(Refusal::Incomplete)?;
            Ok(Decision {
                state: ValidationState::Approved,
                reported: false,
                scope: Some(scope),
                signer: (!signer.is_empty()).then(|| signer.clone()),
                reason: None,
                reusable_until: method::reusable_until(mail.method, mail.initiated_at).filter(|until| *until > now),
            })
        }
    }
}

/// Checks what approving takes; the scope that then holds.
fn approval_inputs(
    mail: &AskedMail,
    page: &Page,
    scope: Option<Scope>,
    signer: &str,
    authority: bool,
) -> Result<Scope, Vec<FieldError>> {
    let mut errors = Vec::new();
    let offered = offered_scopes(page, mail.adn_is_base_domain);
    let scope = match (scope, offered.as_slice()) {
        (Some(scope), offered) if offered.contains(&scope) => Some(scope),
        (None, [only]) => Some(*only),
        (None, []) => Some(Scope::Order),
        (Some(_), _) => {
            errors.push(FieldError::new("scope", "bad-value", "this scope is not offered"));
            None
        }
        (None, _) => {
            errors.push(FieldError::new("scope", "missing", "choose how far the approval reaches"));
            None
        }
    };
    if page.signer == Asked::Required && signer.is_empty() {
        errors.push(FieldError::new("signer", "missing", "give your name or your company's"));
    }
    errors.extend(check_text("signer", signer, SIGNER_MAX_CHARS));
    if page.authority_check && !authority {
        errors.push(FieldError::new("authority", "missing", "confirm that you have authority over this domain"));
    }
    match scope {
        Some(scope) if errors.is_empty() => Ok(scope),
        _ => Err(errors),
    }
}

fn check_text(field: &str, text: &str, max_chars: usize) -> Option<FieldError> {
    if text.chars().count() > max_chars {
        return Some(FieldError::new(field, "too-long", format!("at most {max_chars} characters")));
    }
    let lines_are_fine = field == "reason" && text.split(['\n', '\r']).all(is_one_line);
    (!is_one_line(text) && !lines_are_fine).then(|| FieldError::new(field, "bad-value", "control characters may not stand here"))
}
