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
        match claims.get(&self.claim) {
            Some(Value::String(is)) => *is == self.value,
            Some(Value::Array(list)) => list.iter().any(|is| is.as_str() == Some(&self.value)),
            _ => false,
        }
    }
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

/// Lets somebody in, or says why not. The first rule that fits says what they may do. `named_by` is the claim that operators are called by;
/// an address must be one that the provider verified.
///
/// # Errors
/// [`NotAdmitted::Unverified`] where the name is missing or unusable, [`NotAdmitted::NoRule`] where no rule fits.
pub fn admit(identity: &Identity, named_by: &str, rules: &[ClaimRule]) -> Result<(String, Role), NotAdmitted> {
    let claims = &identity.claims;
    let name = claims.get(named_by).and_then(Value::as_str).ok_or(NotAdmitted::Unverified)?;
    let verified = named_by != "email" || claims.get("email_verified") == Some(&Value::Bool(true));
    if name.is_empty() || name.chars().count() > NAME_MAX_CHARS || !is_one_line(name) || !verified {
        return Err(NotAdmitted::Unverified);
    }
    let rule = rules.iter().find(|rule| rule.fits(claims)).ok_or(NotAdmitted::NoRule)?;
    // Another provider may give the same name to somebody else.
    let mark = data_encoding::HEXLOWER.encode(&Sha256::digest(&identity.issuer)[..4]);
    Ok((format!("oidc:{name}@{mark}"), rule.role))
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
        let told = |claims| admit(&identity(claims), SUBJECT, &rules()).map(|(_, role)| role);
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
        assert_eq!(admit(&identity(json!({"sub": "a", "groups": "dcvd"})), SUBJECT, &[]), Err(NotAdmitted::NoRule));
    }

    #[test]
    fn an_operator_is_called_by_one_claim_of_one_issuer() {
        let of = |claims: Value, by| admit(&identity(claims), by, &rules()).map(|(name, _)| name);
        let named = of(json!({"sub": "248289761001", "groups": "dcvd"}), SUBJECT).unwrap();
        assert!(named.starts_with("oidc:248289761001@"), "{named}");
        let elsewhere =
            Identity { issuer: "https://other.example".to_owned(), ..identity(json!({"sub": "248289761001", "groups": "dcvd"})) };
        assert_ne!(admit(&elsewhere, SUBJECT, &rules()).unwrap().0, named);
        for bad in [json!(null), json!(""), json!("a\nb"), json!(7), json!("x".repeat(256))] {
            assert_eq!(of(json!({"sub": bad, "groups": "dcvd"}), SUBJECT), Err(NotAdmitted::Unverified), "{bad}");
        }
        let mail = |verified: Value| {
            of(json!({"sub": "a", "email": "h@a.example", "email_verified": verified, "groups": "dcvd"}), "email")
        };
        assert!(mail(json!(true)).unwrap().starts_with("oidc:h@a.example@"));
        for unsure in [json!(false), json!("true"), json!(null)] {
            assert_eq!(mail(unsure), Err(NotAdmitted::Unverified));
        }
    }
}
