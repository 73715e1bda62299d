//! Who is let in to the status page by a client certificate: its chain must be good, and a rule must know its issuer and its subject. One
//! authority issues certificates of several kinds, so that the issuer alone says nothing.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::operator::Role;

/// What became of a certificate's chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chain {
    /// It leads to a known authority, today, and none of it is revoked.
    Good,
    /// Its time is over.
    Expired,
    /// Its time has not begun.
    NotYetValid,
    /// The authority revoked it.
    Revoked,
    /// It leads to no known authority.
    UnknownIssuer,
    /// It is not for clients, or cannot be read.
    Unusable,
}

/// A certificate that was presented.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presented {
    /// What became of its chain.
    pub chain: Chain,
    /// The subject's attributes, such as `CN` and `L`.
    pub subject: Vec<(String, String)>,
    /// The issuer's.
    pub issuer: Vec<(String, String)>,
    /// The serial number, hexadecimal.
    pub serial: String,
    /// What tells the issuer from others: the beginning of its name's SHA-256, hexadecimal.
    pub issuer_mark: String,
}

/// Whom to let in: every attribute named must be there with exactly this value.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRule {
    /// The issuer's attributes.
    pub issuer: BTreeMap<String, String>,
    /// The subject's attributes.
    pub subject: BTreeMap<String, String>,
    /// What they may do.
    pub role: Role,
}

/// Why nobody is let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAdmitted {
    /// None was presented.
    NoCertificate,
    /// See [`Chain`].
    Expired,
    /// See [`Chain`].
    NotYetValid,
    /// See [`Chain`].
    Revoked,
    /// No known authority issued it, or none that a rule names.
    WrongIssuer,
    /// No rule knows its subject.
    NotAuthorised,
    /// See [`Chain`].
    Unusable,
}

impl NotAdmitted {
    /// The reason as it is logged and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Revoked => "revoked",
            Self::WrongIssuer => "wrong-issuer",
            Self::NotAuthorised => "not-authorised",
            Self::Unusable => "unusable",
        }
    }
}

/// Longest name made of a subject, in characters.
const NAME_MAX_CHARS: usize = 60;

impl Presented {
    /// What an operator who came by it is called: its common name, its serial number and its issuer's mark, since names repeat, and serial
    /// numbers are unique to their issuer alone.
    #[must_use]
    pub fn operator_name(&self) -> String {
        let common = self.subject.iter().find(|(key, _)| key == "CN").map_or("", |(_, value)| value);
        let common: String = common.chars().filter(|c| !c.is_control()).take(NAME_MAX_CHARS).collect();
        format!("cert:{common}#{}@{}", self.serial, self.issuer_mark)
    }
}

/// Lets somebody in, or says why not. The first rule that fits says what they may do.
///
/// # Errors
/// [`NotAdmitted`].
pub fn admit(presented: Option<&Presented>, rules: &[CertificateRule]) -> Result<(String, Role), NotAdmitted> {
    let presented = presented.ok_or(NotAdmitted::NoCertificate)?;
    match presented.chain {
        Chain::Good => {}
        Chain::Expired => return Err(NotAdmitted::Expired),
        Chain::NotYetValid => return Err(NotAdmitted::NotYetValid),
        Chain::Revoked => return Err(NotAdmitted::Revoked),
        Chain::UnknownIssuer => return Err(NotAdmitted::WrongIssuer),
        Chain::Unusable => return Err(NotAdmitted::Unusable),
    }
    let has = |named: &BTreeMap<String, String>, attributes: &[(String, String)]| {
        !named.is_empty() && named.iter().all(|(key, value)| attributes.iter().any(|(known, is)| known == key && is == value))
    };
    let mut of_issuer = rules.iter().filter(|rule| has(&rule.issuer, &presented.issuer)).peekable();
    if of_issuer.peek().is_none() {
        return Err(NotAdmitted::WrongIssuer);
    }
    let rule = of_issuer.find(|rule| has(&rule.subject, &presented.subject)).ok_or(NotAdmitted::NotAuthorised)?;
    Ok((presented.operator_name(), rule.role))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn presented(chain: Chain, subject: &[(&str, &str)]) -> Presented {
        Presented {
            chain,
            subject: attributes(subject),
            issuer: attributes(&[("O", "NII"), ("CN", "Operators CA")]),
            serial: "0a1b".to_owned(),
            issuer_mark: "00c0ffee".to_owned(),
        }
    }

    fn rules() -> Vec<CertificateRule> {
        let map = |pairs: &[(&str, &str)]| attributes(pairs).into_iter().collect();
        vec![CertificateRule { issuer: map(&[("O", "NII")]), subject: map(&[("L", "Academe-ops")]), role: Role::Operator }]
    }

    #[test]
    fn issuer_and_subject_together_let_in() {
        let rules = rules();
        let told = |chain, subject: &[(&str, &str)]| admit(Some(&presented(chain, subject)), &rules);
        assert_eq!(
            told(Chain::Good, &[("CN", "花子"), ("L", "Academe-ops")]),
            Ok(("cert:花子#0a1b@00c0ffee".to_owned(), Role::Operator))
        );
        assert_eq!(told(Chain::Good, &[("CN", "花子"), ("L", "Academe")]), Err(NotAdmitted::NotAuthorised));
        assert_eq!(told(Chain::Good, &[("CN", "花子"), ("L", "academe-ops")]), Err(NotAdmitted::NotAuthorised));
        assert_eq!(admit(None, &rules), Err(NotAdmitted::NoCertificate));
        for (chain, why) in [
            (Chain::Expired, NotAdmitted::Expired),
            (Chain::NotYetValid, NotAdmitted::NotYetValid),
            (Chain::Revoked, NotAdmitted::Revoked),
            (Chain::UnknownIssuer, NotAdmitted::WrongIssuer),
            (Chain::Unusable, NotAdmitted::Unusable),
        ] {
            assert_eq!(told(chain, &[("L", "Academe-ops")]), Err(why));
        }
        let mut other = presented(Chain::Good, &[("L", "Academe-ops")]);
        other.issuer = attributes(&[("O", "another")]);
        assert_eq!(admit(Some(&other), &rules), Err(NotAdmitted::WrongIssuer));
        // A rule that names nothing fits nobody.
        let nothing = CertificateRule { issuer: BTreeMap::new(), subject: BTreeMap::new(), role: Role::Admin };
        assert_eq!(admit(Some(&presented(Chain::Good, &[])), &[nothing]), Err(NotAdmitted::WrongIssuer));
    }
}
