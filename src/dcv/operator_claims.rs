//! Who is let in to the status page by an OpenID Connect provider's word: a rule must know one of the claims. What comes from the provider is
//! believed as far as its administrators keep it: the subject alone is promised never to be given to somebody else.

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::field::is_one_line;
use super::operator::Role;

/// Longest subject, in characters. Spec: OpenID Connect Core 1.0 section 2 (`sub`).
const NAME_MAX_CHARS: usize = 255;

/// The claim that is promised to name one person for ever. Spec: OpenID Connect Core 1.0 section 5.7.
pub const SUBJECT: &str = "sub";

/// Whom a provider says somebody is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The provider's issuer identifier.
    pub issuer: String,
    /// Every claim of the ID token, and of the user-info endpoint where the token does not have it.
    pub claims: Map<String, Value>,
}

/// Whom to let in: a claim with this value, or with a list that holds it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRule {
    /// The claim's name, such as `groups`.
    pub claim: String,
    /// The value, exactly.
    pub value: String,
    /// What they may do.
    pub role: Role,
}

impl ClaimRule {
    fn fits(&self, claims: &Map<String, Value>) -> bool {
        // What people say of themselves counts once the provider verified it. Spec: OpenID Connect Core 1.0 section 5.1.
        if let Some(verified) = verified_by(&self.claim)
            && claims.get(verified) != Some(&Value::Bool(true))
        {
            return false;
        }
        match claims.get(&self.claim) {
            Some(Value::String(is)) => *is == self.value,
            Some(Value::Array(list)) => list.iter().any(|is| is.as_str() == Some(&self.value)),
            _ => false,
        }
    }
}

fn verified_by(claim: &str) -> Option<&'static str> {
    match claim {
        "email" => Some("email_verified"),
        "phone_number" => Some("phone_number_verified"),
        _ => None,
    }
}

/// The claims that the rules look at, and by which somebody is known.
#[must_use]
pub fn wanted(rules: &[ClaimRule]) -> Vec<&str> {
    let of_rules = rules.iter().flat_map(|rule| [Some(rule.claim.as_str()), verified_by(&rule.claim)]).flatten();
    of_rules.chain([SUBJECT]).collect()
}

/// Why nobody is let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAdmitted {
    /// The provider cannot be asked now.
    ProviderUnavailable,
    /// The provider did not let them in, or they turned back there.
    ProviderRefused,
    /// The answer belongs to no sign-in that this browser began.
    NotBegunHere,
    /// It came too late.
    TookTooLong,
    /// The provider's answer cannot be verified.
    Unverified,
    /// No rule knows their claims.
    NoRule,
    /// The operator of that name is disabled, or has a password.
    Disabled,
}

impl NotAdmitted {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::ProviderUnavailable,
        Self::ProviderRefused,
        Self::NotBegunHere,
        Self::TookTooLong,
        Self::Unverified,
        Self::NoRule,
        Self::Disabled,
    ];

    /// The reason as it is logged and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProviderUnavailable => "provider-unavailable",
            Self::ProviderRefused => "provider-refused",
            Self::NotBegunHere => "not-begun-here",
            Self::TookTooLong => "took-too-long",
            Self::Unverified => "unverified",
            Self::NoRule => "no-rule",
            Self::Disabled => "disabled",
        }
    }
}

/// Lets somebody in, or says why not. The first rule that fits says what they may do. They are known by their subject, which is promised never
/// to change and never to name another.
///
/// # Errors
/// [`NotAdmitted::Unverified`] where there is no usable subject, [`NotAdmitted::NoRule`] where no rule fits.
pub fn admit(identity: &Identity, rules: &[ClaimRule]) -> Result<(String, Role), NotAdmitted> {
    let subject = identity.claims.get(SUBJECT).and_then(Value::as_str).ok_or(NotAdmitted::Unverified)?;
    if subject.is_empty() || subject.chars().count() > NAME_MAX_CHARS || !is_one_line(subject) {
        return Err(NotAdmitted::Unverified);
    }
    let rule = rules.iter().find(|rule| rule.fits(&identity.claims)).ok_or(NotAdmitted::NoRule)?;
    // Another provider may give the same subject to somebody else.
    let mark = data_encoding::HEXLOWER.encode(&Sha256::digest(&identity.issuer)[..4]);
    Ok((format!("oidc:{subject}@{mark}"), rule.role))
}

/// What the provider calls somebody, for people to read; they can change it.
#[must_use]
pub fn called(identity: &Identity) -> Option<String> {
    let text = |claim| identity.claims.get(claim).and_then(Value::as_str).filter(|text| is_one_line(text));
    let name = ["preferred_username", "email", "name"].into_iter().find_map(text)?;
    Some(name.chars().take(NAME_MAX_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity(claims: Value) -> Identity {
        let Value::Object(claims) = claims else { unreachable!("an object") };
        Identity { issuer: "https://id.example".to_owned(), claims }
    }

    fn rules() -> Vec<ClaimRule> {
        let rule = |claim: &str, value: &str, role| ClaimRule { claim: claim.to_owned(), value: value.to_owned(), role };
        vec![
            rule("groups", "dcvd-admins", Role::Admin),
            rule("groups", "dcvd", Role::Operator),
            rule("hd", "a.example", Role::Viewer),
        ]
    }

    #[test]
    fn the_first_rule_that_fits_lets_in() {
        let told = |claims| admit(&identity(claims), &rules()).map(|(_, role)| role);
        assert_eq!(told(json!({"sub": "a", "groups": ["x", "dcvd", "dcvd-admins"]})), Ok(Role::Admin));
        assert_eq!(told(json!({"sub": "a", "groups": "dcvd"})), Ok(Role::Operator));
        assert_eq!(told(json!({"sub": "a", "hd": "a.example", "groups": []})), Ok(Role::Viewer));
        for nobody in [
            json!({"sub": "a"}),
            json!({"sub": "a", "groups": ["dcvd2", "DCVD", ["dcvd"], {"dcvd": true}]}),
            json!({"sub": "a", "groups": {"dcvd": "dcvd"}, "hd": true}),
        ] {
            assert_eq!(told(nobody), Err(NotAdmitted::NoRule));
        }
        assert_eq!(admit(&identity(json!({"sub": "a", "groups": "dcvd"})), &[]), Err(NotAdmitted::NoRule));
    }

    #[test]
    fn an_operator_is_known_by_the_subject_of_one_issuer() {
        let of = |claims: Value| admit(&identity(claims), &rules()).map(|(name, _)| name);
        let named = of(json!({"sub": "248289761001", "groups": "dcvd"})).unwrap();
        assert!(named.starts_with("oidc:248289761001@"), "{named}");
        let elsewhere =
            Identity { issuer: "https://other.example".to_owned(), ..identity(json!({"sub": "248289761001", "groups": "dcvd"})) };
        assert_ne!(admit(&elsewhere, &rules()).unwrap().0, named);
        for bad in [json!(null), json!(""), json!("a\nb"), json!(7), json!("x".repeat(256))] {
            assert_eq!(of(json!({"sub": bad, "groups": "dcvd"})), Err(NotAdmitted::Unverified), "{bad}");
        }
        let called = called(&identity(json!({"sub": "a", "email": "h@a.example", "preferred_username": "花子"})));
        assert_eq!(called.as_deref(), Some("花子"));
    }

    #[test]
    fn what_people_say_of_themselves_counts_once_it_is_verified() {
        let boss = ClaimRule { claim: "email".to_owned(), value: "boss@a.example".to_owned(), role: Role::Admin };
        let told = |verified: Value| {
            admit(
                &identity(json!({"sub": "a", "email": "boss@a.example", "email_verified": verified})),
                std::slice::from_ref(&boss),
            )
        };
        assert!(told(json!(true)).is_ok());
        for unsure in [json!(false), json!("true"), json!(null)] {
            assert_eq!(told(unsure), Err(NotAdmitted::NoRule));
        }
        assert_eq!(wanted(std::slice::from_ref(&boss)), ["email", "email_verified", "sub"]);
    }
}
