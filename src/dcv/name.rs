//! Names a certificate may hold, and the Authorization Domain Names under which they may be validated.

use core::net::IpAddr;
use std::fmt;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use psl::Psl as _;
use publicsuffix::IcannList;
use serde::Serialize;
use time::Date;
use time::macros::date;

use super::field::is_invisible;
use super::timestamp::Timestamp;

/// Longest name in octets as text, without the trailing dot. Spec: RFC 1035 §2.3.4 (255 on the wire).
pub const NAME_MAX_OCTETS: usize = 253;

/// Longest label in octets. Spec: RFC 1035 §2.3.4.
pub const LABEL_MAX_OCTETS: usize = 63;

/// Why a name was refused; [`NameError::code`] is the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("the name is empty")]
    Empty,
    /// A label over 63 octets or a name over 253.
    #[error("the name or one of its labels is too long: a label holds 63 octets, a name 253")]
    TooLong,
    /// A label that is empty, or holds a character or hyphen where none may stand.
    #[error("a label is empty or holds a character that a host name cannot have")]
    BadLabel,
    /// A label that UTS 46 refuses.
    #[error("an internationalized label is not valid (UTS 46)")]
    BadIdn,
    /// An asterisk anywhere but as the whole leftmost label.
    #[error("a wildcard is one leading \"*.\" and nothing else")]
    BadWildcard,
    /// No dot.
    #[error("the name has a single label; no certificate authority may certify it")]
    SingleLabel,
    /// The name itself is a public suffix; nobody but the registry holds it.
    #[error("the name is a public suffix; name a domain below it")]
    PublicSuffix,
    /// The top level is not in the Public Suffix List's ICANN section.
    #[error("the top-level domain is not delegated")]
    UnknownTld,
    /// An IP address.
    #[error("an IP address is not a domain name")]
    IpAddress,
    /// A name of the reverse tree. Spec: BR v2.2.6 §4.2.2.
    #[error("names under in-addr.arpa and ip6.arpa are refused since 2026-03-15")]
    ReverseZone,
    /// A Tor onion name; e-mail cannot validate it.
    #[error("onion names cannot be validated by e-mail")]
    Onion,
}

impl NameError {
    /// The stable code of the outer contract.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too-long",
            Self::BadLabel => "bad-label",
            Self::BadIdn => "bad-idn",
            Self::BadWildcard => "bad-wildcard",
            Self::SingleLabel => "single-label",
            Self::PublicSuffix => "public-suffix",
            Self::UnknownTld => "unknown-tld",
            Self::IpAddress => "ip-address",
            Self::ReverseZone => "reverse-zone",
            Self::Onion => "onion",
        }
    }
}

/// The ICANN section of the Public Suffix List. Spec: BR v2.2.6 §3.2.2.6 (only that section counts).
pub enum SuffixList {
    /// The list compiled in.
    BuiltIn,
    /// A newer list read at run time, with the instant it says it was made.
    Loaded(Box<IcannList>, Option<Timestamp>),
}

/// When the compiled list was made: the day its crate was published. Changes with the crate's version in `Cargo.lock`.
const BUILT_IN_AS_OF: Date = date!(2026 - 11 - 05);

impl fmt::Debug for SuffixList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuiltIn => "SuffixList::BuiltIn",
            Self::Loaded(..) => "SuffixList::Loaded",
        })
    }
}

impl SuffixList {
    /// Reads a list in the format of publicsuffix.org.
    ///
    /// # Errors
    /// The text is no such list or lacks the ICANN section's markers.
    pub fn parse(text: &str) -> Result<Self, publicsuffix::Error> {
        Ok(Self::Loaded(Box::new(text.parse()?), made_at(text)))
    }

    /// When the list was made, where it says so.
    #[must_use]
    pub fn as_of(&self) -> Option<Timestamp> {
        match self {
            Self::BuiltIn => Some(Timestamp::start_of(BUILT_IN_AS_OF)),
            Self::Loaded(_, made_at) => *made_at,
        }
    }

    /// The longest registry suffix of `ascii`, which must be lower-case A-labels; `None` when its top level is unknown.
    #[must_use]
    pub fn suffix_of<'n>(&self, ascii: &'n str) -> Option<&'n str> {
        let length = match self {
            Self::BuiltIn => built_in_suffix_octets(ascii)?,
            Self::Loaded(list, _) => list.suffix(ascii.as_bytes()).filter(publicsuffix::Suffix::is_known)?.as_bytes().len(),
        };
        ascii.get(ascii.len().checked_sub(length)?..)
    }
}

/// Lines at the top of a list among which its version stands.
const VERSION_LINES: usize = 20;

/// The list's own word: `// VERSION: 2026-11-05_05-58-23_UTC`.
fn made_at(text: &str) -> Option<Timestamp> {
    let version = text.lines().take(VERSION_LINES).find_map(|line| line.strip_prefix("// VERSION:"))?;
    let (day, time) = version.trim().strip_suffix("_UTC")?.split_once('_')?;
    Timestamp::parse_rfc3339(&format!("{day}T{}Z", time.replace('-', ":"))).ok()
}

/// Length of the ICANN suffix by the compiled list, which mixes both sections: a private rule is stepped over to the
/// longest rule above it.
fn built_in_suffix_octets(ascii: &str) -> Option<usize> {
    let mut name = ascii;
    loop {
        let suffix = psl::List.suffix(name.as_bytes())?;
        match suffix.typ() {
            Some(psl::Type::Icann) => return Some(suffix.as_bytes().len()),
            Some(psl::Type::Private) => {
                let whole = name.get(name.len().checked_sub(suffix.as_bytes().len())?..)?;
                name = whole.split_once('.')?.1;
            }
            None => return None,
        }
    }
}

/// A fully-qualified domain name with a Base Domain Name: lower-case A-labels, no trailing dot, below a public suffix.
///
/// Spec: BR v2.2.6 §1.6.1 "Fully-Qualified Domain Name", "Base Domain Name".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fqdn {
    ascii: String,
    /// Where the Base Domain Name begins within `ascii`.
    base_at: usize,
}

impl Fqdn {
    /// Reads a name: drops one trailing dot, maps by UTS 46, refuses what no certificate may hold.
    ///
    /// # Errors
    /// A [`NameError`] for each way of being no such name.
    pub fn parse(input: &str, suffixes: &SuffixList) -> Result<Self, NameError> {
        let ascii = to_ascii(input)?;
        refuse_special(&ascii)?;
        let suffix = suffixes.suffix_of(&ascii).ok_or(NameError::UnknownTld)?;
        if suffix.len() == ascii.len() {
            return Err(NameError::PublicSuffix);
        }
        let before = &ascii[..ascii.len() - suffix.len() - 1];
        let base_at = before.rfind('.').map_or(0, |dot| dot + 1);
        Ok(Self { ascii, base_at })
    }

    /// The name as A-labels.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.ascii
    }

    /// The name as people read it.
    #[must_use]
    pub fn to_unicode(&self) -> String {
        idna::domain_to_unicode(&self.ascii).0
    }

    /// The Base Domain Name: one label left of the public suffix. Spec: BR v2.2.6 §1.6.1.
    #[must_use]
    pub fn base_domain(&self) -> Self {
        Self { ascii: self.ascii[self.base_at..].to_owned(), base_at: 0 }
    }

    /// The public suffix the name lies under.
    #[must_use]
    pub fn public_suffix(&self) -> &str {
        let base = &self.ascii[self.base_at..];
        base.split_once('.').map_or(base, |(_, suffix)| suffix)
    }

    /// The Authorization Domain Names under which this name may be validated, nearest first.
    ///
    /// Prunes labels from the left down to the Base Domain Name; a public suffix is never returned.
    /// Spec: BR v2.2.6 §1.6.1 "Authorization Domain Name".
    #[must_use]
    pub fn authorization_domains(&self) -> Vec<Adn> {
        let mut at = 0;
        let mut all = vec![Adn(self.clone())];
        while at < self.base_at {
            at += self.ascii[at..].find('.').map_or(self.base_at - at, |dot| dot + 1);
            all.push(Adn(Self { ascii: self.ascii[at..].to_owned(), base_at: self.base_at - at }));
        }
        all
    }

    /// What kind of registration the name lies under.
    #[must_use]
    pub fn class(&self) -> DomainClass {
        DomainClass::of(self)
    }
}

impl fmt::Display for Fqdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ascii)
    }
}

impl fmt::Debug for Fqdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fqdn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.ascii)
    }
}

/// An Authorization Domain Name: the FQDN whose control is proven for a name. Spec: BR v2.2.6 §1.6.1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Adn(Fqdn);

impl Adn {
    /// Reads an ADN as stored or as given by a caller.
    ///
    /// # Errors
    /// As [`Fqdn::parse`].
    pub fn parse(input: &str, suffixes: &SuffixList) -> Result<Self, NameError> {
        Fqdn::parse(input, suffixes).map(Self)
    }

    /// The Base Domain Name of `name`, which is always one of its ADNs.
    #[must_use]
    pub fn base_of(name: &Fqdn) -> Self {
        Self(name.base_domain())
    }

    /// The name itself.
    #[must_use]
    pub const fn fqdn(&self) -> &Fqdn {
        &self.0
    }

    /// The name as A-labels.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the name is its own Base Domain Name.
    #[must_use]
    pub const fn is_base_domain(&self) -> bool {
        self.0.base_at == 0
    }
}

impl fmt::Display for Adn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Adn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A wildcard name: `*.` before an [`Fqdn`]. Spec: BR v2.2.6 §1.6.1 "Wildcard Domain Name".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WildcardName(Fqdn);

impl WildcardName {
    /// The name with the `*.` removed.
    #[must_use]
    pub const fn parent(&self) -> &Fqdn {
        &self.0
    }
}

/// A name as an order asks for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CertificateName {
    /// One name.
    Fqdn(Fqdn),
    /// Every name one label below another.
    Wildcard(WildcardName),
}

impl CertificateName {
    /// Reads a name or a wildcard name.
    ///
    /// # Errors
    /// As [`Fqdn::parse`]; [`NameError::BadWildcard`] for an asterisk elsewhere than in one leading `*.`.
    pub fn parse(input: &str, suffixes: &SuffixList) -> Result<Self, NameError> {
        let Some(rest) = input.strip_prefix("*.") else {
            return Fqdn::parse(input, suffixes).map(Self::Fqdn);
        };
        let parent = Fqdn::parse(rest, suffixes)?;
        if parent.as_str().len() + 2 > NAME_MAX_OCTETS {
            return Err(NameError::TooLong);
        }
        Ok(Self::Wildcard(WildcardName(parent)))
    }

    /// The name to prune ADNs from: a wildcard's `*.` is removed first.
    #[must_use]
    pub const fn fqdn(&self) -> &Fqdn {
        match self {
            Self::Fqdn(name) => name,
            Self::Wildcard(name) => name.parent(),
        }
    }

    /// Whether the name is a wildcard.
    #[must_use]
    pub const fn is_wildcard(&self) -> bool {
        matches!(self, Self::Wildcard(_))
    }

    /// The name as people read it.
    #[must_use]
    pub fn to_unicode(&self) -> String {
        let prefix = if self.is_wildcard() { "*." } else { "" };
        format!("{prefix}{}", self.fqdn().to_unicode())
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fqdn(name) => write!(f, "{name}"),
            Self::Wildcard(name) => write!(f, "*.{}", name.parent()),
        }
    }
}

/// What kind of registration a name lies under; decides whose WHOIS contacts count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DomainClass {
    /// 属性型: `co.jp`, `ac.jp` and their like.
    JpOrganizational,
    /// 地域型: below a city, or a local government's own name.
    JpGeographic,
    /// 都道府県型: directly below a prefecture.
    JpPrefecture,
    /// 汎用: directly below `jp`.
    JpGeneral,
    /// A generic top-level domain.
    Gtld,
    /// A country-code top-level domain other than `jp`.
    Cctld,
}

/// 属性型 second levels. Spec: JPRS, types of JP domain names.
const JP_ORGANIZATIONAL: [&str; 9] = ["ac.jp", "ad.jp", "co.jp", "ed.jp", "go.jp", "gr.jp", "lg.jp", "ne.jp", "or.jp"];

/// Second levels that are a prefecture. Spec: JPRS, 都道府県型JPドメイン名.
#[rustfmt::skip]
const JP_PREFECTURES: [&str; 47] = [
    "aichi", "akita", "aomori", "chiba", "ehime", "fukui", "fukuoka", "fukushima", "gifu", "gunma", "hiroshima", "hokkaido",
    "hyogo", "ibaraki", "ishikawa", "iwate", "kagawa", "kagoshima", "kanagawa", "kochi", "kumamoto", "kyoto", "mie", "miyagi",
    "miyazaki", "nagano", "nagasaki", "nara", "niigata", "oita", "okayama", "okinawa", "osaka", "saga", "saitama", "shiga",
    "shimane", "shizuoka", "tochigi", "tokushima", "tokyo", "tottori", "toyama", "wakayama", "yamagata", "yamaguchi",
    "yamanashi",
];

/// Second levels that are a designated city: everything below is 地域型. Spec: the Public Suffix List's `*.kawasaki.jp` rules.
const JP_DESIGNATED_CITIES: [&str; 7] = ["kawasaki", "kitakyushu", "kobe", "nagoya", "sapporo", "sendai", "yokohama"];

/// Internationalized country codes. Spec: IANA root zone database, type country-code.
#[rustfmt::skip]
const IDN_CCTLDS: [&str; 63] = [
    "xn--2scrj9c", "xn--3e0b707e", "xn--3hcrj9c", "xn--45br5cyl", "xn--45brj9c", "xn--4dbrk0ce", "xn--54b7fta0cc",
    "xn--80ao21a", "xn--90a3ac", "xn--90ae", "xn--90ais", "xn--clchc0ea0b2g2a9gcd", "xn--d1alf", "xn--e1a4c", "xn--fiqs8s",
    "xn--fiqz9s", "xn--fpcrj9c3d", "xn--fzc2c9e2c", "xn--gecrj9c", "xn--h2breg3eve", "xn--h2brj9c", "xn--h2brj9c8c",
    "xn--j1amh", "xn--j6w193g", "xn--kprw13d", "xn--kpry57d", "xn--l1acc", "xn--lgbbat1ad8j", "xn--mgb2ddes", "xn--mgb9awbf",
    "xn--mgba3a4f16a", "xn--mgbaam7a8h", "xn--mgbah1a3hjkrd", "xn--mgbai9azgqp6j", "xn--mgbayh7gpa", "xn--mgbbh1a",
    "xn--mgbbh1a71e", "xn--mgbc0a9azcg", "xn--mgbcpq6gpa1a", "xn--mgberp4a5d4ar", "xn--mgbgu82a", "xn--mgbpl2fh",
    "xn--mgbtx2b", "xn--mgbx4cd0ab", "xn--mix891f", "xn--node", "xn--o3cw4h", "xn--ogbpf8fl", "xn--p1ai", "xn--pgbs0dh",
    "xn--q7ce6a", "xn--qxa6a", "xn--qxam", "xn--rvc1e0am3e", "xn--s9brj9c", "xn--wgbh1c", "xn--wgbl6a", "xn--xkc2al3hye2a",
    "xn--xkc2dl3a5ee0h", "xn--y9a3aq", "xn--yfro4i67o", "xn--ygbi2ammx", "xn--mix082f",
];

impl DomainClass {
    fn of(name: &Fqdn) -> Self {
        let suffix = name.public_suffix();
        let tld = suffix.rsplit('.').next().unwrap_or(suffix);
        if tld != "jp" {
            let country = tld.len() == 2 || IDN_CCTLDS.contains(&tld);
            return if country { Self::Cctld } else { Self::Gtld };
        }
        if JP_ORGANIZATIONAL.contains(&suffix) {
            return Self::JpOrganizational;
        }
        let second_level = suffix.strip_suffix(".jp").map_or("", |rest| rest.rsplit('.').next().unwrap_or(rest));
        if JP_DESIGNATED_CITIES.contains(&second_level) {
            return Self::JpGeographic;
        }
        if !JP_PREFECTURES.contains(&second_level) {
            return Self::JpGeneral;
        }
        let base = name.base_domain();
        let own_label = base.as_str().split('.').next().unwrap_or("");
        let government = own_label == "pref" || (second_level == "tokyo" && own_label == "metro");
        if suffix.matches('.').count() > 1 || government { Self::JpGeographic } else { Self::JpPrefecture }
    }

    /// The class as the outer contract spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JpOrganizational => "jp-organizational",
            Self::JpGeographic => "jp-geographic",
            Self::JpPrefecture => "jp-prefecture",
            Self::JpGeneral => "jp-general",
            Self::Gtld => "gtld",
            Self::Cctld => "cctld",
        }
    }
}

/// Brings a host name to lower-case A-labels, or says why it is none. The rules on lengths and labels are all here, for certificates'
/// names and mailboxes' domains alike.
fn to_ascii(input: &str) -> Result<String, NameError> {
    if input.is_empty() || input == "." {
        return Err(NameError::Empty);
    }
    // Four octets in, one out is the most UTS 46 shrinks; beyond that no mapping can bring a name under the limit.
    if input.len() > 4 * NAME_MAX_OCTETS {
        return Err(NameError::TooLong);
    }
    let name = input.strip_suffix('.').unwrap_or(input);
    // UTS 46 maps these to nothing; a name that looks like another one must not become it.
    if name.chars().any(|c| is_invisible(c) && !matches!(c, '\u{200c}' | '\u{200d}')) {
        return Err(NameError::BadIdn);
    }
    if name.contains('*') {
        return Err(NameError::BadWildcard);
    }
    if name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok() {
        return Err(NameError::IpAddress);
    }
    let idn = !name.is_ascii() || name.split('.').any(|label| label.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("xn--")));
    let refused = if idn { NameError::BadIdn } else { NameError::BadLabel };
    if !idn {
        if name.split('.').any(|label| label.len() > LABEL_MAX_OCTETS) || name.len() > NAME_MAX_OCTETS {
            return Err(NameError::TooLong);
        }
        if name.split('.').any(str::is_empty) {
            return Err(NameError::BadLabel);
        }
    }
    let ascii = Uts46::new()
        .to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Ignore)
        .map_err(|_| refused)?
        .into_owned();
    if ascii.split('.').any(str::is_empty) {
        return Err(NameError::BadLabel);
    }
    if ascii.len() > NAME_MAX_OCTETS || ascii.split('.').any(|label| label.len() > LABEL_MAX_OCTETS) {
        return Err(NameError::TooLong);
    }
    if ascii.parse::<IpAddr>().is_ok() { Err(NameError::IpAddress) } else { Ok(ascii) }
}

/// Refuses names that no certificate may hold by what they are, whatever the suffix list says.
fn refuse_special(ascii: &str) -> Result<(), NameError> {
    let last = ascii.rsplit('.').next().unwrap_or("");
    // A numeric last label is read as an IPv4 address by resolvers (RFC 3696 §2, WHATWG URL).
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NameError::IpAddress);
    }
    let under = |zone: &str| ascii == zone || ascii.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'));
    if under("onion") {
        return Err(NameError::Onion);
    }
    if under("in-addr.arpa") || under("ip6.arpa") {
        return Err(NameError::ReverseZone);
    }
    // `jp` is a public suffix as well; that it has one label says more to whoever typed it.
    if ascii.contains('.') { Ok(()) } else { Err(NameError::SingleLabel) }
}

/// Brings the domain of a mailbox to lower-case A-labels: at least two labels, nothing repaired, top level not checked.
///
/// # Errors
/// A [`NameError`] as for names, without the rules on suffixes and special names: whether mail gets there is for DNS to say.
pub(super) fn mail_domain_to_ascii(input: &str) -> Result<String, NameError> {
    if input.ends_with('.') {
        return Err(NameError::BadLabel);
    }
    let ascii = to_ascii(input)?;
    if !ascii.contains('.') {
        return Err(NameError::SingleLabel);
    }
    let unchanged =
        if input.is_ascii() { input.eq_ignore_ascii_case(&ascii) } else { idna::domain_to_unicode(&ascii).0 == input };
    if unchanged { Ok(ascii) } else { Err(NameError::BadIdn) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<CertificateName, NameError> {
        CertificateName::parse(text, &SuffixList::BuiltIn)
    }

    fn fqdn(text: &str) -> Fqdn {
        Fqdn::parse(text, &SuffixList::BuiltIn).expect("a good name")
    }

    fn adns(text: &str) -> Vec<String> {
        fqdn(text).authorization_domains().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn prunes_from_the_fqdn_down_to_the_base_domain() {
        assert_eq!(adns("a.www.example.co.jp"), ["a.www.example.co.jp", "www.example.co.jp", "example.co.jp"]);
        assert_eq!(adns("example.co.jp"), ["example.co.jp"]);
    }

    #[test]
    fn a_wildcard_is_pruned_without_its_asterisk() {
        let name = parse("*.www.example.co.jp").unwrap();
        assert!(name.is_wildcard());
        assert_eq!(name.to_string(), "*.www.example.co.jp");
        assert_eq!(name.fqdn().authorization_domains()[0].as_str(), "www.example.co.jp");
    }

    #[test]
    fn only_the_icann_section_makes_a_suffix() {
        assert_eq!(fqdn("foo.blogspot.com").base_domain().as_str(), "blogspot.com");
        assert_eq!(fqdn("a.b.github.io").base_domain().as_str(), "github.io");
        assert_eq!(fqdn("x.compute.amazonaws.com").base_domain().as_str(), "amazonaws.com");
    }

    #[test]
    fn exceptions_and_wildcard_rules_are_followed() {
        assert_eq!(fqdn("www.city.kawasaki.jp").base_domain().as_str(), "city.kawasaki.jp");
        assert_eq!(fqdn("www.x.foo.kawasaki.jp").base_domain().as_str(), "x.foo.kawasaki.jp");
        assert_eq!(parse("foo.kawasaki.jp"), Err(NameError::PublicSuffix));
    }

    #[test]
    fn japanese_classes_follow_the_registry_not_the_number_of_labels() {
        for (name, class) in [
            ("example.co.jp", DomainClass::JpOrganizational),
            ("www.example.ac.jp", DomainClass::JpOrganizational),
            ("example.jp", DomainClass::JpGeneral),
            ("deep.www.example.jp", DomainClass::JpGeneral),
            ("example.tokyo.jp", DomainClass::JpPrefecture),
            ("example.chuo.tokyo.jp", DomainClass::JpGeographic),
            ("metro.tokyo.jp", DomainClass::JpGeographic),
            ("www.pref.osaka.jp", DomainClass::JpGeographic),
            ("city.kawasaki.jp", DomainClass::JpGeographic),
            ("example.com", DomainClass::Gtld),
            ("example.tokyo", DomainClass::Gtld),
            ("example.co.uk", DomainClass::Cctld),
            ("例え.中国", DomainClass::Cctld),
        ] {
            assert_eq!(fqdn(name).class(), class, "{name}");
        }
    }

    #[test]
    fn every_refusal_has_its_code() {
        let label = "a".repeat(64);
        let long = format!("{}example.jp", "abcdefgh.".repeat(28));
        for (name, code) in [
            ("", "empty"),
            (".", "empty"),
            (&format!("{label}.example.jp"), "too-long"),
            (&long, "too-long"),
            ("a..example.jp", "bad-label"),
            ("example.jp..", "bad-label"),
            ("-a.example.jp", "bad-label"),
            ("a_b.example.jp", "bad-label"),
            ("ab--cd.example.jp", "bad-label"),
            ("a b.example.jp", "bad-label"),
            ("a\r\n.example.jp", "bad-label"),
            ("xn--abcd.example.com", "bad-idn"),
            ("xn--.example.jp", "bad-idn"),
            ("a\u{200f}b.example.jp", "bad-idn"),
            ("\u{feff}www.example.jp", "bad-idn"),
            ("*.*.example.jp", "bad-wildcard"),
            ("www*.example.jp", "bad-wildcard"),
            ("*", "bad-wildcard"),
            ("localhost", "single-label"),
            ("co.jp", "public-suffix"),
            ("*.co.jp", "public-suffix"),
            ("example.internal", "unknown-tld"),
            ("192.0.2.1", "ip-address"),
            ("256.0.0.1", "ip-address"),
            ("2001:db8::1", "ip-address"),
            ("[2001:db8::1]", "ip-address"),
            ("1.2.0.192.in-addr.arpa", "reverse-zone"),
            ("abcdef.onion", "onion"),
        ] {
            assert_eq!(parse(name).map_err(|e| e.code()), Err(code), "{name:?}");
        }
    }

    #[test]
    fn one_trailing_dot_is_dropped_and_case_is_folded() {
        assert_eq!(parse("WWW.Example.CO.JP.").unwrap().to_string(), "www.example.co.jp");
        assert_eq!(parse("日本語.jp").unwrap().to_string(), "xn--wgv71a119e.jp");
        assert_eq!(parse("xn--wgv71a119e.jp").unwrap().to_unicode(), "日本語.jp");
    }

    #[test]
    fn a_lists_own_version_is_its_age() {
        let list = "// ===BEGIN ICANN DOMAINS===\njp\n// ===END ICANN DOMAINS===\n";
        let dated = format!("// Please pull this list from the site.\n// VERSION: 2026-08-15_08-12-03_UTC\n{list}");
        assert_eq!(SuffixList::parse(&dated).unwrap().as_of().unwrap().to_string(), "2026-08-15T08:12:03Z");
        assert_eq!(SuffixList::parse(list).unwrap().as_of(), None);
        let lock = include_str!("../../Cargo.lock");
        assert!(lock.contains("name = \"psl\"\nversion = \"2.1.247\""), "BUILT_IN_AS_OF goes with the crate's version");
    }

    #[test]
    fn a_list_read_at_run_time_is_followed() {
        let list = SuffixList::parse(
            "// ===BEGIN ICANN DOMAINS===\njp\nexample.jp\n// ===END ICANN DOMAINS===\n\
             // ===BEGIN PRIVATE DOMAINS===\nhost.jp\n// ===END PRIVATE DOMAINS===\n",
        )
        .unwrap();
        assert_eq!(Fqdn::parse("example.jp", &list), Err(NameError::PublicSuffix));
        assert_eq!(Fqdn::parse("a.host.jp", &list).unwrap().base_domain().as_str(), "host.jp");
        assert_eq!(Fqdn::parse("example.com", &list), Err(NameError::UnknownTld));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn parse_and_print_agree_and_pruning_yields_suffixes_only(labels in proptest::collection::vec("[a-z0-9]{1,12}", 1..6)) {
            let text = format!("{}.co.jp", labels.join("."));
            let name = fqdn(&text);
            prop_assert_eq!(name.as_str(), &text);
            let adns = name.authorization_domains();
            prop_assert_eq!(adns.len(), labels.len());
            for adn in &adns {
                prop_assert!(text.ends_with(adn.as_str()));
                prop_assert_eq!(&Adn::parse(adn.as_str(), &SuffixList::BuiltIn).unwrap(), adn);
                prop_assert_eq!(adn.fqdn().base_domain(), name.base_domain());
            }
            prop_assert!(adns.last().unwrap().is_base_domain());
        }
    }
}
