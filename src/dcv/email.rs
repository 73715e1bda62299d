//! Mailbox addresses: accepted whole or refused whole, never repaired.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::field::is_invisible;
use super::name::{self, NameError};

/// Longest local part in octets. Spec: RFC 5321 §4.5.3.1.1.
pub const LOCAL_PART_MAX_OCTETS: usize = 64;

/// Longest address in octets. Spec: RFC 5321 §4.5.3.1.3 (a path holds 256, two of them the angle brackets).
pub const ADDRESS_MAX_OCTETS: usize = 254;

/// Longest TXT record data read as text, in octets; no address comes near it.
pub const TXT_MAX_OCTETS: usize = 4096;

/// Why an address was refused; [`EmailError::code`] is the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// Nothing was given.
    #[error("the address is empty")]
    Empty,
    /// Over 254 octets, or a local part over 64.
    #[error("the address holds more than 254 octets or its local part more than 64")]
    TooLong,
    /// White space or a control character anywhere.
    #[error("the address holds white space or a control character")]
    WhiteSpace,
    /// No at sign, or more than one.
    #[error("an address has exactly one at sign")]
    AtSign,
    /// The local part is no dot-atom.
    #[error("the part before the at sign holds a character or dot that may not stand there")]
    BadLocalPart,
    /// The local part is in quotes, which no mailbox of a domain contact needs.
    #[error("a quoted local part is not accepted")]
    QuotedLocalPart,
    /// The domain is an address literal.
    #[error("an address literal is not accepted as the domain")]
    AddressLiteral,
    /// The domain is no host name of two labels or more.
    #[error("the domain of the address: {0}")]
    BadDomain(NameError),
    /// The value is a `mailto:` URI.
    #[error("the value is a mailto: URI; it must be the bare address")]
    Mailto,
    /// The bytes are not UTF-8.
    #[error("the value is not UTF-8 text")]
    NotUtf8,
    /// TXT record data whose quoting cannot be read.
    #[error("the record data cannot be read: a quote is open or an escape is not complete")]
    BadPresentation,
}

impl EmailError {
    /// The stable code of the outer contract.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too-long",
            Self::WhiteSpace => "white-space",
            Self::AtSign => "at-sign",
            Self::BadLocalPart => "bad-local-part",
            Self::QuotedLocalPart => "quoted-local-part",
            Self::AddressLiteral => "address-literal",
            Self::BadDomain(_) => "bad-domain",
            Self::Mailto => "mailto",
            Self::NotUtf8 => "not-utf8",
            Self::BadPresentation => "bad-presentation",
        }
    }
}

/// One mailbox: `addr-spec` of RFC 6532 §3.2 with a dot-atom as local part and a host name of two labels or more.
///
/// Two addresses are equal when their local parts are equal to the letter and their domains name the same host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailAddress {
    /// The local part as given, `@`, and the domain in lower-case A-labels.
    text: String,
    /// Where the at sign stands.
    at: usize,
}

impl EmailAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// An [`EmailError`] for each way of being none; nothing is trimmed or mended.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        if text.is_empty() {
            return Err(EmailError::Empty);
        }
        if text.len() > ADDRESS_MAX_OCTETS {
            return Err(EmailError::TooLong);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || is_invisible(c)) {
            return Err(EmailError::WhiteSpace);
        }
        if text.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("mailto:")) {
            return Err(EmailError::Mailto);
        }
        if text.starts_with('"') {
            return Err(EmailError::QuotedLocalPart);
        }
        let (local, domain) = text.split_once('@').ok_or(EmailError::AtSign)?;
        if domain.contains('@') {
            return Err(EmailError::AtSign);
        }
        if local.len() > LOCAL_PART_MAX_OCTETS {
            return Err(EmailError::TooLong);
        }
        if !is_dot_atom(local) {
            return Err(EmailError::BadLocalPart);
        }
        if domain.starts_with('[') {
            return Err(EmailError::AddressLiteral);
        }
        let domain = name::mail_domain_to_ascii(domain).map_err(EmailError::BadDomain)?;
        Self::join(local, &domain).ok_or(EmailError::TooLong)
    }

    /// Reads the value of a TXT or CAA record: the whole of it must be one address.
    ///
    /// # Errors
    /// As [`EmailAddress::parse`], and [`EmailError::NotUtf8`]. Spec: BR v2.2.6 A.1.1, A.2.1 ("no additional padding or structure").
    pub fn from_record(value: &[u8]) -> Result<Self, EmailError> {
        Self::parse(std::str::from_utf8(value).map_err(|_| EmailError::NotUtf8)?)
    }

    /// Joins a local part fixed in code and a host name; `None` where no address that long can be written.
    pub(super) fn at(local: &'static str, adn: &name::Adn) -> Option<Self> {
        Self::join(local, adn.as_str())
    }

    /// The length is counted here, as A-labels may be longer than what was typed.
    fn join(local: &str, domain: &str) -> Option<Self> {
        if local.len() + 1 + domain.len() > ADDRESS_MAX_OCTETS {
            return None;
        }
        let mut text = String::with_capacity(local.len() + 1 + domain.len());
        text.push_str(local);
        text.push('@');
        text.push_str(domain);
        Some(Self { text, at: local.len() })
    }

    /// The part before the at sign, as given.
    #[must_use]
    pub fn local_part(&self) -> &str {
        &self.text[..self.at]
    }

    /// The domain as lower-case A-labels.
    #[must_use]
    pub fn ascii_domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// Whether a caller who typed `other` means this mailbox: local parts are compared without ASCII case, since a
    /// choice only ever picks from a list the server made.
    #[must_use]
    pub fn is_chosen_by(&self, other: &Self) -> bool {
        self.ascii_domain() == other.ascii_domain() && self.local_part().eq_ignore_ascii_case(other.local_part())
    }

    /// The address with all but the first letter of the local part hidden, for logs and third parties.
    #[must_use]
    pub fn masked(&self) -> String {
        format!("{}***@{}", self.text.chars().next().unwrap_or('*'), self.ascii_domain())
    }
}

/// Text with all but the first letter of each address' local part hidden, for whoever may not see addresses.
#[must_use]
pub fn masked_text(text: &str) -> String {
    let is_local = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c);
    // As addresses stand in URLs.
    let text = text.replace("%40", "@");
    let mut masked = String::with_capacity(text.len());
    for (place, part) in text.split('@').enumerate() {
        if place > 0 {
            // What was written of the part before, back to where its address begins.
            let begin = match masked.strip_suffix('"') {
                Some(quoted) => quoted.rfind('"').unwrap_or(quoted.len()),
                None => masked.len() - masked.chars().rev().take_while(|c| is_local(*c)).map(char::len_utf8).sum::<usize>(),
            };
            let first = masked[begin..].chars().find(|c| *c != '"');
            masked.truncate(begin);
            masked.extend(first);
            masked.push_str("***@");
        }
        masked.push_str(part);
    }
    masked
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for EmailAddress {
    /// Masked: addresses are personal data and debug output ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for EmailAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for EmailAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Spec: RFC 5322 §3.2.3 `dot-atom-text`, with the characters RFC 6532 §3.2 adds.
fn is_dot_atom(local: &str) -> bool {
    local.split('.').all(|atom| {
        !atom.is_empty() && atom.chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c))
    })
}

/// Reads TXT record data in presentation form: one or several character-strings, quoted or bare, and joins their bytes.
///
/// # Errors
/// [`EmailError::BadPresentation`] for an open quote or a broken escape; [`EmailError::TooLong`] beyond [`TXT_MAX_OCTETS`].
/// Spec: RFC 1035 §5.1.
pub fn txt_from_presentation(text: &str) -> Result<Vec<u8>, EmailError> {
    if text.len() > 4 * TXT_MAX_OCTETS {
        return Err(EmailError::TooLong);
    }
    let mut joined = Vec::new();
    let mut bytes = text.bytes().peekable();
    let mut quoted = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b' ' | b'\t' if !quoted => {}
            b'\\' => joined.push(escaped(&mut bytes)?),
            other => joined.push(other),
        }
    }
    if quoted {
        return Err(EmailError::BadPresentation);
    }
    if joined.len() > TXT_MAX_OCTETS { Err(EmailError::TooLong) } else { Ok(joined) }
}

/// The octet behind a backslash: `\DDD` in decimal, or the next character as it is.
fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, EmailError> {
    let first = bytes.next().ok_or(EmailError::BadPresentation)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes.next().filter(u8::is_ascii_digit).ok_or(EmailError::BadPresentation)?;
        value = value * 10 + u16::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| EmailError::BadPresentation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(text: &str) -> Result<String, &'static str> {
        EmailAddress::parse(text).map(|a| a.to_string()).map_err(|e| e.code())
    }

    #[test]
    fn accepts_what_rfc_6532_calls_a_dot_atom() {
        for text in ["a@b.example", "o'hara+x=y@sub.example.jp", "spe%cial@example.com", "spe{cial}@example.com", "山田@例え.jp"]
        {
            assert!(EmailAddress::parse(text).is_ok(), "{text}");
        }
        assert_eq!(EmailAddress::parse("A@例え.jp").unwrap().to_string(), "A@xn--r8jz45g.jp");
        assert_eq!(code("Admin@EXAMPLE.CO.JP"), Ok("Admin@example.co.jp".into()));
    }

    #[test]
    fn the_top_level_of_the_domain_is_not_checked() {
        for text in ["a@abcdef.onion", "a@1.2.0.192.in-addr.arpa", "a@host.123", "a@256.0.0.1", "a@b.internal"] {
            assert_eq!(code(text), Ok(text.to_owned()));
        }
        for text in ["a@192.0.2.1", "a@2001:db8::1", "a@onion", "a@123"] {
            assert_eq!(code(text), Err("bad-domain"), "{text}");
        }
    }

    #[test]
    fn the_length_is_that_of_the_address_as_written_with_a_labels() {
        let domain = format!("{}example", "aaa\u{225}a.".repeat(18));
        let typed = format!("{}@{domain}", "a".repeat(40));
        assert!(typed.len() <= ADDRESS_MAX_OCTETS && EmailAddress::parse(&format!("a@{domain}")).is_ok());
        assert_eq!(EmailAddress::parse(&typed), Err(EmailError::TooLong));
    }

    #[test]
    fn every_refusal_has_its_code() {
        let long = format!("{}@example.jp", "a".repeat(65));
        for (text, expected) in [
            ("", "empty"),
            (&long, "too-long"),
            (" a@example.jp", "white-space"),
            ("a@example.jp\r\nBcc: x@example.com", "white-space"),
            ("a\u{200b}b@example.jp", "white-space"),
            ("a.example.jp", "at-sign"),
            ("a@b@example.jp", "at-sign"),
            ("a..b@example.jp", "bad-local-part"),
            (".a@example.jp", "bad-local-part"),
            ("@example.jp", "bad-local-part"),
            ("a,b@example.jp", "bad-local-part"),
            ("<a@example.jp>", "bad-local-part"),
            ("\"a\"@example.jp", "quoted-local-part"),
            ("a@[192.0.2.1]", "address-literal"),
            ("a@192.0.2.1", "bad-domain"),
            ("a@example", "bad-domain"),
            ("a@-example.jp", "bad-domain"),
            ("a@example.jp.", "bad-domain"),
            ("a@exa\u{ff4d}ple.jp", "bad-domain"),
            ("mailto:a@example.jp", "mailto"),
        ] {
            assert_eq!(code(text), Err(expected), "{text:?}");
        }
        assert_eq!(EmailAddress::from_record(b"\xff@example.jp"), Err(EmailError::NotUtf8));
    }

    #[test]
    fn strings_of_one_txt_record_are_joined_without_a_separator() {
        assert_eq!(txt_from_presentation("\"joined@smoke-\" \"example.jp\"").unwrap(), b"joined@smoke-example.jp");
        assert_eq!(txt_from_presentation("a@b.example").unwrap(), b"a@b.example");
        assert_eq!(txt_from_presentation("\" a\\@b.exampl\\101\"").unwrap(), b" a@b.example");
        assert_eq!(txt_from_presentation("\"open"), Err(EmailError::BadPresentation));
        assert_eq!(txt_from_presentation("\"a\\25\""), Err(EmailError::BadPresentation));
        assert_eq!(txt_from_presentation("\"a\\256\""), Err(EmailError::BadPresentation));
    }

    #[test]
    fn debug_output_hides_the_mailbox() {
        assert_eq!(format!("{:?}", EmailAddress::parse("taro@example.jp").unwrap()), "t***@example.jp");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}", bytes: Vec<u8>) {
            let _ = EmailAddress::parse(&text);
            let _ = EmailAddress::from_record(&bytes);
            let _ = txt_from_presentation(&text);
        }

        #[test]
        fn what_is_accepted_prints_and_parses_back(local in "[a-z+=._-]{1,20}", domain in "[a-z]{1,10}\\.(jp|co\\.jp|example)") {
            if let Ok(address) = EmailAddress::parse(&format!("{local}@{domain}")) {
                prop_assert_eq!(EmailAddress::parse(&address.to_string()), Ok(address));
            }
        }
    }
}
