//! What an answer on the approve page does.

use serde::{Deserialize, Serialize};

use super::field::{FieldError, is_one_line};
use super::method::{self, Method, RuleStatus};
use super::order::{LinkState, ValidationState};
use super::profile::{AccessPin, Asked, AskedReason, Compliance, Confirm, Page};
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

/// What became of the confirmation that a profile may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confirmed {
    /// Nothing was entered.
    Missing,
    /// Something else was.
    Wrong,
    /// It is the mail's.
    Right,
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
        /// The confirmation code, or the address, where the profile asks for one.
        confirmed: Confirmed,
        /// The access PIN, where the profile asks for one.
        pin: Confirmed,
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
    let refused = |reported: bool, reason: &str| {
        if !reported && reason.is_empty() && page.reason == AskedReason::RequiredOnReject {
            return Err(Refusal::Incomplete(vec![FieldError::new("reason", "missing", "say why you do not approve")]));
        }
        if let Some(error) = check_text("reason", reason, REASON_MAX_CHARS) {
            return Err(Refusal::Incomplete(vec![error]));
        }
        let reason = (!reason.is_empty()).then(|| reason.to_owned());
        Ok(Decision { state: ValidationState::Rejected, reported, scope: None, signer: None, reason, reusable_until: None })
    };
    match answer {
        Answer::Reject { reason } => refused(false, reason),
        Answer::Report { reason } => refused(true, reason),
        Answer::Approve { scope, signer, authority, confirmed, pin } => {
            if compliance == Compliance::Enforce && method::rule(mail.method, now).status == RuleStatus::MustNot {
                return Err(Refusal::Forbidden);
            }
            let scope =
                approval_inputs(mail, page, *scope, signer, *authority, (*confirmed, *pin)).map_err(Refusal::Incomplete)?;
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
    (confirmed, pin): (Confirmed, Confirmed),
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
    if page.access_pin == AccessPin::Required {
        match pin {
            Confirmed::Right => {}
            Confirmed::Missing => errors.push(FieldError::new("pin", "missing", "enter the access PIN that the applicant has")),
            Confirmed::Wrong => errors.push(FieldError::new("pin", "wrong-pin", "this is not the mail's access PIN")),
        }
    }
    let wrong = match (page.confirm, confirmed) {
        (Confirm::Check, _) | (_, Confirmed::Right) => None,
        (Confirm::Code, Confirmed::Missing) => Some(("missing", "enter the confirmation code from the mail")),
        (Confirm::Code, Confirmed::Wrong) => Some(("wrong-code", "this is not the confirmation code of the mail")),
        (Confirm::Address, Confirmed::Missing) => Some(("missing-address", "enter the address that the mail went to")),
        (Confirm::Address, Confirmed::Wrong) => Some(("wrong-address", "this is not the address that the mail went to")),
    };
    errors.extend(wrong.map(|(code, detail)| FieldError::new("code", code, detail)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::profile::Confirm;
    use proptest::prelude::*;

    const SENT: Timestamp = Timestamp::from_unix_secs(1_795_305_600);

    fn page() -> Page {
        Page {
            confirm: Confirm::Check,
            authority_check: true,
            signer: Asked::Optional,
            scope_options: vec![Scope::Order],
            scope_default: None,
            scope_hint_ja: String::new(),
            approve_label_ja: String::new(),
            approve_label_en: String::new(),
            reject_label_ja: String::new(),
            reject_label_en: String::new(),
            signer_label_ja: String::new(),
            signer_label_en: String::new(),
            signer_hint_ja: String::new(),
            signer_hint_en: String::new(),
            reason: AskedReason::Optional,
            access_pin: AccessPin::Off,
            review_step: false,
            enter_code: true,
            languages: crate::dcv::profile::Languages::default(),
        }
    }

    fn mail() -> AskedMail {
        AskedMail {
            link: LinkState::Sent,
            expires_at: SENT.plus_days(26),
            method: Method::Constructed,
            initiated_at: SENT,
            adn_is_base_domain: true,
            validations: vec![ValidationState::Pending],
        }
    }

    fn approve() -> Answer {
        Answer::Approve {
            scope: None,
            signer: "太郎".to_owned(),
            authority: true,
            confirmed: Confirmed::Missing,
            pin: Confirmed::Missing,
        }
    }

    #[test]
    fn an_approval_carries_scope_signer_and_the_last_day_of_reuse() {
        let decision = decide(&mail(), &page(), Compliance::Record, &approve(), SENT.plus_days(20)).unwrap();
        assert_eq!(decision.state, ValidationState::Approved);
        assert_eq!((decision.scope, decision.signer.as_deref()), (Some(Scope::Order), Some("太郎")));
        assert_eq!(decision.reusable_until.unwrap().to_string(), "2027-03-15T00:00:00Z");
    }

    #[test]
    fn the_deadline_is_the_first_instant_at_which_an_answer_is_late() {
        let at = |now| decide(&mail(), &page(), Compliance::Record, &approve(), now);
        assert!(at(mail().expires_at - std::time::Duration::from_micros(1)).is_ok());
        assert_eq!(at(mail().expires_at), Err(Refusal::Expired));
    }

    #[test]
    fn decided_wins_over_expired_superseded_and_cancelled() {
        for link in LinkState::ALL {
            let decided = AskedMail { link: *link, validations: vec![ValidationState::Approved], ..mail() };
            assert_eq!(closed(&decided, SENT.plus_days(99)), Some(Refusal::Decided), "{link:?}");
        }
        let cancelled = AskedMail { validations: vec![ValidationState::Cancelled], ..mail() };
        assert_eq!(closed(&cancelled, SENT), Some(Refusal::Cancelled));
        let expired = AskedMail { link: LinkState::Expired, validations: vec![ValidationState::Expired], ..mail() };
        assert_eq!(closed(&expired, SENT), Some(Refusal::Expired));
    }

    #[test]
    fn under_enforce_a_forbidden_method_cannot_be_approved_and_can_be_refused() {
        let contact = AskedMail { method: Method::DomainContact, ..mail() };
        let decide = |compliance, answer: &Answer| decide(&contact, &page(), compliance, answer, SENT);
        assert_eq!(decide(Compliance::Enforce, &approve()), Err(Refusal::Forbidden));
        assert!(decide(Compliance::Enforce, &Answer::Reject { reason: String::new() }).is_ok());
        let recorded = decide(Compliance::Record, &approve()).unwrap();
        assert_eq!((recorded.state, recorded.reusable_until), (ValidationState::Approved, None));
    }

    #[test]
    fn where_a_confirmation_is_asked_for_nothing_else_will_do() {
        for (confirm, wrong) in [(Confirm::Code, "wrong-code"), (Confirm::Address, "wrong-address")] {
            let page = Page { confirm, ..page() };
            let with = |confirmed| {
                let answer =
                    Answer::Approve { scope: None, signer: String::new(), authority: true, confirmed, pin: Confirmed::Missing };
                decide(&mail(), &page, Compliance::Record, &answer, SENT)
            };
            assert!(with(Confirmed::Right).is_ok());
            assert!(matches!(with(Confirmed::Missing), Err(Refusal::Incomplete(errors)) if errors[0].pointer == "code"));
            assert!(matches!(with(Confirmed::Wrong), Err(Refusal::Incomplete(errors)) if errors[0].code == wrong));
            assert!(decide(&mail(), &page, Compliance::Record, &Answer::Reject { reason: String::new() }, SENT).is_ok());
        }
    }

    #[test]
    fn where_a_pin_is_asked_for_nothing_else_will_do() {
        let page = Page { access_pin: AccessPin::Required, ..page() };
        let with = |pin| {
            let answer =
                Answer::Approve { scope: None, signer: String::new(), authority: true, confirmed: Confirmed::Missing, pin };
            decide(&mail(), &page, Compliance::Record, &answer, SENT)
        };
        assert!(with(Confirmed::Right).is_ok());
        for pin in [Confirmed::Missing, Confirmed::Wrong] {
            assert!(matches!(with(pin), Err(Refusal::Incomplete(errors)) if errors[0].pointer == "pin"));
        }
    }

    #[test]
    fn a_refusal_takes_a_reason_where_the_profile_says_so_and_a_report_never() {
        let page = Page { reason: AskedReason::RequiredOnReject, ..page() };
        let decide = |answer: &Answer| decide(&mail(), &page, Compliance::Record, answer, SENT);
        let nothing = String::new;
        assert!(
            matches!(decide(&Answer::Reject { reason: nothing() }), Err(Refusal::Incomplete(errors)) if errors[0].pointer == "reason")
        );
        assert!(
            decide(&Answer::Reject { reason: "x".to_owned() }).is_ok() && decide(&Answer::Report { reason: nothing() }).is_ok()
        );
    }

    #[test]
    fn scopes_wider_than_the_adn_are_not_offered() {
        let page = Page { scope_options: vec![Scope::Fqdn, Scope::Subtree, Scope::Base, Scope::Order], ..page() };
        assert_eq!(offered_scopes(&page, false), [Scope::Fqdn, Scope::Subtree, Scope::Order]);
        assert_eq!(offered_scopes(&page, true), [Scope::Fqdn, Scope::Base, Scope::Order]);
    }

    fn any_state<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
        (0..all.len()).prop_map(move |at| all[at])
    }

    proptest! {
        #[test]
        fn nothing_is_approved_without_a_pending_name_an_open_link_time_and_the_box(
            link in any_state(LinkState::ALL),
            states in proptest::collection::vec(any_state(ValidationState::ALL), 1..4),
            authority: bool,
            days in 0_u32..40,
        ) {
            let mail = AskedMail { link, validations: states.clone(), ..mail() };
            let answer = Answer::Approve { scope: None, signer: String::new(), authority, confirmed: Confirmed::Wrong, pin: Confirmed::Wrong };
            if decide(&mail, &page(), Compliance::Record, &answer, SENT.plus_days(days)).is_ok() {
                prop_assert!(link.is_open() && authority && days < 26);
                prop_assert!(states.contains(&ValidationState::Pending));
            }
        }

        #[test]
        fn no_text_panics(signer in "\\PC{0,120}", reason: String) {
            let _ = decide(&mail(), &page(), Compliance::Record, &Answer::Approve { scope: None, signer, authority: true, confirmed: Confirmed::Right, pin: Confirmed::Right }, SENT);
            let _ = decide(&mail(), &page(), Compliance::Record, &Answer::Report { reason }, SENT);
        }
    }
}
