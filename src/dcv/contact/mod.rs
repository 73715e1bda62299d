//! Evidence → approver addresses, one file per source.
//!
//! Each source reads its evidence into a [`Lookup`]; [`list`] turns the look-ups for a name into the
//! addresses that may approve it. An approver is always picked from that list.

pub mod constructed;
pub mod dns_caa;
pub mod dns_txt;
pub mod entry;
pub mod rdap;
pub mod reason;
pub mod whois;
pub mod whois_cctld;
mod whois_field;
pub mod whois_gtld;
pub mod whois_iana;
pub mod whois_jprs;

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::{Deserialize, Serialize};

use super::email::EmailAddress;
use super::evidence::{Dnssec, Lookup};
use super::id::LookupId;
use super::method::{self, Method, Rule, RuleStatus};
use super::name::{Adn, DomainClass, Fqdn};
use super::policy::Policy;
use super::profile::{Addresses, Compliance, Corroboration, PrivacyProxy, Profile};
use super::timestamp::Timestamp;

/// Where approver addresses come from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The five addresses put together from an ADN.
    Constructed,
    /// The `_validation-contactemail` TXT record.
    DnsTxt,
    /// The CAA property `contactemail`.
    DnsCaa,
    /// WHOIS on port 43.
    Whois,
    /// The Registration Data Access Protocol.
    Rdap,
}

impl Source {
    /// Every source, in the order of the outer contract.
    pub const ALL: [Self; 5] = [Self::Constructed, Self::DnsTxt, Self::DnsCaa, Self::Whois, Self::Rdap];

    /// The source as the outer contract spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Constructed => "constructed",
            Self::DnsTxt => "dns_txt",
            Self::DnsCaa => "dns_caa",
            Self::Whois => "whois",
            Self::Rdap => "rdap",
        }
    }

    /// Reads the contract's spelling.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }

    /// The method that an answer from such an address counts as.
    #[must_use]
    pub const fn method(self) -> Method {
        match self {
            Self::Constructed => Method::Constructed,
            Self::DnsTxt => Method::DnsTxtContact,
            Self::DnsCaa => Method::DnsCaaContact,
            Self::Whois | Self::Rdap => Method::DomainContact,
        }
    }

    /// Whether the source is read from DNS, so that DNSSEC and perspectives matter.
    #[must_use]
    pub const fn is_dns(self) -> bool {
        matches!(self, Self::DnsTxt | Self::DnsCaa)
    }
}

/// A registration contact's role, in every registry's spelling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Registrant.
    Registrant,
    /// Administrative Contact; JPRS: 登録担当者.
    Administrative,
    /// Technical Contact; JPRS: 技術連絡担当者.
    Technical,
    /// JPRS: 公開連絡窓口.
    Public,
}

impl Role {
    /// The role as the outer contract spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registrant => "registrant",
            Self::Administrative => "administrative",
            Self::Technical => "technical",
            Self::Public => "public",
        }
    }

    /// Reads the contract's spelling.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Registrant, Self::Administrative, Self::Technical, Self::Public].into_iter().find(|role| role.as_str() == text)
    }
}

/// How asking a source ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceStatus {
    /// Not asked: the profile does not use it, or RDAP answered in its place.
    Off,
    /// It answered, and no address came of it.
    Empty,
    /// It answered with an address. Whether that may be chosen is another matter: each listed one says so.
    Ok,
    /// It did not answer, or not believably.
    Failed,
}

impl SourceStatus {
    /// The status as the outer contract spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Empty => "empty",
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
    }

    /// Reads the contract's spelling.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Off, Self::Empty, Self::Ok, Self::Failed].into_iter().find(|status| status.as_str() == text)
    }
}

/// One contact address as a source holds it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Contact {
    /// The contact's role, for registration data.
    pub role: Option<Role>,
    /// The label that the role stood under.
    pub label: Option<String>,
    /// The registry's handle for the contact.
    pub handle: Option<String>,
    /// The address.
    pub email: EmailAddress,
    /// Whether the address may be mailed as it is.
    pub usable: bool,
    /// Why not, as a stable code.
    pub reason: Option<String>,
}

/// An address that may approve a name, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approver {
    /// The mailbox.
    pub email: EmailAddress,
    /// The ADN whose control an answer from it proves.
    pub adn: Adn,
    /// Where the address was found.
    pub source: Source,
    /// The contact's role, for registration data.
    pub role: Option<Role>,
    /// Whether it may be chosen.
    pub usable: bool,
    /// Why not, as a stable code.
    pub reason: Option<String>,
    /// The method's standing on the day of listing.
    pub rule: Rule,
    /// The look-up it came from; `None` for constructed addresses, which need none.
    pub lookup: Option<LookupId>,
    /// When that look-up was made; the time of listing for constructed addresses.
    pub looked_up_at: Timestamp,
    /// Until when its source lets it be believed without asking again.
    pub valid_until: Option<Timestamp>,
    /// What else speaks for the same mailbox at the same ADN: other sources and roles.
    pub also: Vec<Standing>,
}

/// What speaks for a mailbox besides the source it is listed under.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Standing {
    /// Where the address was found too.
    pub source: Source,
    /// The contact's role there.
    pub role: Option<Role>,
    /// The method that an answer would have counted as.
    pub method: Method,
    /// Whether the address could have been chosen by this source alone.
    pub usable: bool,
    /// Why not, as a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The method's standing on the day of listing.
    pub rule: Rule,
}

impl Approver {
    /// The method that an answer from this approver counts as.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.source.method()
    }
}

/// How one source fared over all ADNs of a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SourceReport {
    /// The source.
    pub source: Source,
    /// A failure on any ADN; else whether an address was found on one.
    pub status: SourceStatus,
    /// The server whose answer counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The weakest DNSSEC verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dnssec: Option<Dnssec>,
    /// Why addresses are missing, as stable codes; where nobody whom it names may be chosen, why not.
    pub reasons: Vec<String>,
    /// The ADNs, as A-labels, at which it did not answer and could have named somebody who may be chosen; not told.
    #[serde(skip)]
    pub unanswered: Vec<String>,
}

impl SourceReport {
    /// Whether another one, for another name, tells the same.
    #[must_use]
    pub fn tells_the_same(&self, other: &Self) -> bool {
        let told = |one: &Self| Self { unanswered: Vec::new(), ..one.clone() };
        told(self) == told(other)
    }
}

/// All that may approve a name, and how each source fared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// The name listed for, without a wildcard's asterisk.
    pub name: Fqdn,
    /// The addresses, those the profile offers first in front.
    pub approvers: Vec<Approver>,
    /// One entry for each source.
    pub sources: Vec<SourceReport>,
}

impl Listing {
    /// Whether a source names somebody who may be chosen.
    #[must_use]
    pub fn yields(&self, source: Source) -> bool {
        let speaks = |one: &Approver| {
            (one.usable && one.source == source) || one.also.iter().any(|also| also.usable && also.source == source)
        };
        self.approvers.iter().any(speaks)
    }

    /// How those sources fared that were asked and did not answer, or name nobody who may be chosen.
    pub fn missing(&self) -> impl Iterator<Item = &SourceReport> {
        self.sources.iter().filter(move |report| match report.status {
            SourceStatus::Off => false,
            SourceStatus::Failed => true,
            SourceStatus::Empty | SourceStatus::Ok => !self.yields(report.source),
        })
    }
}

/// The ADNs of `name` that a profile offers addresses at, nearest first.
#[must_use]
pub fn offered_adns(name: &Fqdn, addresses: &Addresses) -> Vec<Adn> {
    use super::profile::AdnChoice;
    let mut all = name.authorization_domains();
    let strips = |adn: &Adn| adn.as_str().split('.').next().is_some_and(|label| addresses.strip.iter().any(|one| one == label));
    while all.len() > 1 && all.first().is_some_and(strips) {
        all.remove(0);
    }
    let last = all.len() - 1;
    match addresses.adn {
        AdnChoice::Ancestors => all,
        AdnChoice::Fqdn => all.into_iter().take(1).collect(),
        AdnChoice::Registrable => all.into_iter().skip(last).collect(),
        AdnChoice::Both => {
            if last > 0 {
                all.drain(1..last);
            }
            all
        }
    }
}

/// Lists who may approve `name` under `profile` and `policy`, from what the look-ups found.
///
/// Look-ups for other ADNs than the name's own count for nothing.
#[must_use]
pub fn list(name: &Fqdn, profile: &Profile, policy: &Policy, lookups: &[Lookup], now: Timestamp) -> Listing {
    let adns = offered_adns(name, &profile.addresses);
    let base = Adn::base_of(name);
    let mut ours: Vec<Cow<'_, Lookup>> = lookups
        .iter()
        .filter(|lookup| profile.addresses.sources.contains(&lookup.source))
        .filter(|lookup| {
            if lookup.source.is_dns() { adns.iter().any(|adn| adn.as_str() == lookup.adn) } else { lookup.adn == base.as_str() }
        })
        .map(|lookup| believed(lookup, profile))
        .collect();
    let rdap = lookups.iter().find(|lookup| lookup.source == Source::Rdap && lookup.adn == base.as_str());
    if !asks_whois(&base, profile, rdap) {
        ours.retain(|lookup| lookup.source != Source::Whois);
    }
    let mut approvers = Vec::new();
    for &source in &profile.addresses.sources {
        if source == Source::Constructed {
            approvers.extend(constructed::approvers(&adns, profile, policy, now));
        }
        // Registration data is for the Base Domain Name, whether or not addresses are offered at it.
        let asked = if source.is_dns() { &adns[..] } else { std::slice::from_ref(&base) };
        for adn in asked {
            for lookup in ours.iter().filter(|lookup| lookup.source == source && lookup.adn == adn.as_str()) {
                approvers.extend(from_lookup(adn, lookup, profile, now));
            }
        }
    }
    refuse_disagreeing(&mut approvers);
    let told = |source| report(source, profile, &base, &adns, &ours, &approvers, now);
    let sources = Source::ALL.into_iter().map(told).collect();
    Listing { name: name.clone(), approvers: if ours.is_empty() { approvers } else { merged(approvers) }, sources }
}

/// Whether WHOIS is asked for a Base Domain Name: a gTLD's registration data comes by RDAP wherever a service answers.
///
/// gTLD registries may have switched port 43 off since 2025-01-28, and what still runs there may be anybody's.
#[must_use]
pub fn asks_whois(base: &Adn, profile: &Profile, rdap: Option<&Lookup>) -> bool {
    profile.addresses.sources.contains(&Source::Whois)
        && (base.fqdn().class() != DomainClass::Gtld || !rdap.is_some_and(answered_by_rdap))
}

/// Whether an RDAP service answered, with contacts or without.
fn answered_by_rdap(lookup: &Lookup) -> bool {
    lookup.status == SourceStatus::Ok
        || (lookup.status == SourceStatus::Empty && !lookup.reasons.iter().any(|reason| reason == rdap::NO_SERVICE))
}

/// Where WHOIS and RDAP both name addresses for a role, only those that both name can be chosen: one of them is out of date.
fn refuse_disagreeing(approvers: &mut [Approver]) {
    let named: Vec<(Source, Option<Role>, EmailAddress)> = approvers
        .iter()
        .filter(|one| matches!(one.source, Source::Whois | Source::Rdap))
        .map(|one| (one.source, one.role, one.email.clone()))
        .collect();
    for one in approvers.iter_mut().filter(|one| matches!(one.source, Source::Whois | Source::Rdap)) {
        let mut other = named.iter().filter(|(source, role, _)| *source != one.source && *role == one.role).peekable();
        if other.peek().is_some() && !other.any(|(.., email)| *email == one.email) {
            one.usable = false;
            one.reason.get_or_insert_with(|| "whois-rdap-disagree".to_owned());
        }
    }
}

/// Makes one approver of each mailbox and ADN, listed under the usable source whose method the rules like most, with what else
/// speaks for it.
fn merged(all: Vec<Approver>) -> Vec<Approver> {
    let mut places: HashMap<(EmailAddress, Adn), usize> = HashMap::new();
    let mut merged: Vec<Approver> = Vec::new();
    for mut one in all {
        match places.entry((one.email.clone(), one.adn.clone())) {
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(one);
            }
            Entry::Occupied(place) => {
                let Some(known) = merged.get_mut(*place.get()) else { continue };
                let rank = |approver: &Approver| (!approver.usable, approver.rule.status);
                if rank(&one) < rank(known) {
                    std::mem::swap(&mut one, known);
                    known.also = std::mem::take(&mut one.also);
                }
                known.also.push(Standing {
                    source: one.source,
                    role: one.role,
                    method: one.method(),
                    usable: one.usable,
                    reason: one.reason,
                    rule: one.rule,
                });
            }
        }
    }
    merged
}

/// A look-up as a profile may believe it: under `enforce` an answer that was not validated to the trust anchor is a failure.
///
/// Spec: BR v2.2.6 §3.2.2.4 (DNSSEC validation must not be switched off).
fn believed<'l>(lookup: &'l Lookup, profile: &Profile) -> Cow<'l, Lookup> {
    let reason = match lookup.dnssec {
        _ if profile.compliance == Compliance::Record => None,
        Some(Dnssec::Off) => Some(DNSSEC_REQUIRED),
        Some(Dnssec::Indeterminate) if lookup.status != SourceStatus::Failed => Some("dnssec-indeterminate"),
        _ => None,
    };
    let Some(reason) = reason else { return Cow::Borrowed(lookup) };
    Cow::Owned(Lookup { status: SourceStatus::Failed, contacts: Vec::new(), reasons: vec![reason.to_owned()], ..lookup.clone() })
}

/// The reason that says that validation is switched off where the profile demands it: whoever looks again finds it so.
const DNSSEC_REQUIRED: &str = "dnssec-required";

/// The reason that says that an address belongs to a known privacy service.
pub const PRIVACY_PROXY: &str = "privacy-proxy";

/// The approvers one look-up yields under a profile's roles and rules.
fn from_lookup(adn: &Adn, lookup: &Lookup, profile: &Profile, now: Timestamp) -> Vec<Approver> {
    let roles = profile.addresses.whois_roles.of(adn.fqdn().class());
    let mut found: Vec<Approver> = Vec::new();
    for contact in &lookup.contacts {
        let excluded = |label: &String| profile.addresses.whois_exclude_fields.contains(label);
        if contact.role.is_some_and(|role| !roles.contains(&role)) || contact.label.as_ref().is_some_and(excluded) {
            continue;
        }
        let (usable, reason) = match (contact.reason.as_deref(), profile.addresses.privacy_proxy) {
            (Some(PRIVACY_PROXY), PrivacyProxy::Allow) => (true, None),
            (Some(PRIVACY_PROXY), PrivacyProxy::Warn) => (true, contact.reason.clone()),
            _ => (contact.usable, contact.reason.clone()),
        };
        if found.iter().any(|one| one.email == contact.email && one.role == contact.role) {
            continue;
        }
        let rule = method::rule(lookup.source.method(), now);
        let refusal = refusal(lookup.source, rule, profile).map(str::to_owned);
        found.push(Approver {
            email: contact.email.clone(),
            adn: adn.clone(),
            source: lookup.source,
            role: contact.role,
            usable: usable && refusal.is_none(),
            reason: if usable { refusal.or(reason) } else { reason.or(refusal) },
            rule,
            lookup: Some(lookup.id),
            looked_up_at: lookup.at,
            valid_until: lookup.valid_until,
            also: Vec::new(),
        });
    }
    found
}

/// A contact that an operator found in a WHOIS answer for `name` which could not be read: the answer is the evidence.
#[must_use]
pub fn vouched(name: &Fqdn, email: &EmailAddress, lookup: &Lookup, profile: &Profile, now: Timestamp) -> Option<Approver> {
    let adn = Adn::base_of(name);
    let rule = method::rule(lookup.source.method(), now);
    let reason = refusal(lookup.source, rule, profile).map(str::to_owned);
    (adn.as_str() == lookup.adn).then(|| Approver {
        email: email.clone(),
        adn,
        source: lookup.source,
        role: None,
        usable: reason.is_none(),
        reason,
        rule,
        lookup: Some(lookup.id),
        looked_up_at: lookup.at,
        valid_until: lookup.valid_until,
        also: Vec::new(),
    })
}

/// What a profile's compliance forbids of a source on a day, as a stable code.
#[must_use]
pub fn refusal(source: Source, rule: Rule, profile: &Profile) -> Option<&'static str> {
    if profile.compliance == Compliance::Record {
        return None;
    }
    if rule.status == RuleStatus::MustNot {
        return Some("method-must-not");
    }
    (source.is_dns() && profile.corroboration == Corroboration::None).then_some("mpic-not-available")
}

/// Whether a source could name anybody who may be chosen under a profile on a day, whatever it answers.
fn could_yield(source: Source, profile: &Profile, base: &Adn, now: Timestamp) -> bool {
    let has_roles = source.is_dns() || !profile.addresses.whois_roles.of(base.fqdn().class()).is_empty();
    has_roles && refusal(source, method::rule(source.method(), now), profile).is_none()
}

/// Folds the look-ups of one source into one entry: a failure anywhere hides nothing but is told. `approvers` are those that came of all.
fn report(
    source: Source,
    profile: &Profile,
    base: &Adn,
    adns: &[Adn],
    lookups: &[Cow<'_, Lookup>],
    approvers: &[Approver],
    now: Timestamp,
) -> SourceReport {
    let mut report = SourceReport {
        source,
        status: SourceStatus::Off,
        server: None,
        dnssec: None,
        reasons: Vec::new(),
        unanswered: Vec::new(),
    };
    if !profile.addresses.sources.contains(&source) {
        return report;
    }
    let rdap = lookups.iter().find(|lookup| lookup.source == Source::Rdap).map(Cow::as_ref);
    if source == Source::Whois && !asks_whois(base, profile, rdap) {
        report.note("rdap-answered");
        return report;
    }
    if source == Source::Constructed {
        report.status = SourceStatus::Ok;
        if constructed::some_too_long(adns, profile) {
            report.note("too-long");
        }
    }
    let could_yield = could_yield(source, profile, base, now);
    for lookup in lookups.iter().filter(|lookup| lookup.source == source) {
        report.status = report.status.max(lookup.status);
        report.dnssec = match (report.dnssec, lookup.dnssec) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        report.server = report.server.or_else(|| lookup.server.clone());
        for reason in &lookup.reasons {
            report.note(reason);
        }
        let is_off = lookup.reasons.iter().any(|reason| reason == DNSSEC_REQUIRED);
        if lookup.status == SourceStatus::Failed && could_yield && !is_off {
            report.unanswered.push(lookup.adn.clone());
        }
    }
    report.say_why(approvers);
    report
}

impl SourceReport {
    fn note(&mut self, reason: &str) {
        if !self.reasons.iter().any(|known| known == reason) {
            self.reasons.push(reason.to_owned());
        }
    }

    /// Says why nobody whom the source names may be chosen. One that named addresses, and none in a role that counts, is as good as empty.
    fn say_why(&mut self, approvers: &[Approver]) {
        let named: Vec<&Approver> = approvers.iter().filter(|one| one.source == self.source).collect();
        if named.iter().all(|one| !one.usable) {
            for reason in named.iter().filter_map(|one| one.reason.as_deref()) {
                self.note(reason);
            }
        }
        if named.is_empty() && self.source != Source::Constructed && self.status == SourceStatus::Ok {
            self.status = SourceStatus::Empty;
            if !self.reasons.iter().any(|known| reason::HIDING.contains(&known.as_str())) {
                self.note("no-email");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::name::SuffixList;
    use crate::dcv::policy::NameList;
    use crate::dcv::remedy::remedies;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_795_305_600);

    /// The shipped standard profile with one source.
    fn profile(source: Source) -> Profile {
        let text = format!("id = \"x\"\n{}", include_str!("../../../config/profiles/standard.toml"));
        let mut profile: Profile = toml::from_str(&text).unwrap();
        profile.addresses.sources = vec![source];
        profile
    }

    fn lookup(source: Source, status: SourceStatus, dnssec: Option<Dnssec>) -> Lookup {
        Lookup {
            id: LookupId::new(NOW, [1; 10]),
            source,
            adn: "example.org".to_owned(),
            status,
            server: None,
            dnssec,
            at: NOW,
            valid_until: None,
            contacts: Vec::new(),
            reasons: Vec::new(),
            exchanges: Vec::new(),
            perspective: "primary".to_owned(),
        }
    }

    fn listed(profile: &Profile, lookup: Lookup) -> Listing {
        let name = Fqdn::parse("example.org", &SuffixList::BuiltIn).unwrap();
        list(&name, profile, &Policy::default(), &[lookup], NOW)
    }

    /// What the registry's WHOIS answer comes to.
    fn whois(profile: &Profile, lines: &str) -> Listing {
        let base = Adn::parse("example.org", &SuffixList::BuiltIn).unwrap();
        let mut walk = whois::Walk::new(&base, whois::IANA_SERVER, Some("whois.registry.example".to_owned()));
        walk.answer(Ok(format!("Domain Name: EXAMPLE.ORG\n{lines}").as_bytes()));
        let outcome = walk.finish();
        let blank = lookup(Source::Whois, outcome.status, None);
        listed(profile, Lookup { contacts: outcome.contacts, reasons: outcome.reasons, ..blank })
    }

    fn told(listing: &Listing, source: Source) -> &SourceReport {
        listing.sources.iter().find(|report| report.source == source).unwrap()
    }

    #[test]
    fn a_source_that_names_nobody_who_may_be_chosen_says_why_and_what_to_do() {
        let profile = profile(Source::Whois);
        for (lines, status, reason) in [
            ("Admin Email: x@domainsbyproxy.com\n", SourceStatus::Ok, "privacy-proxy"),
            ("Admin Email: info@domain-contact.org\n", SourceStatus::Ok, "shared-redaction"),
            ("Registrant Email: r@owner.example\nTech Email: t@owner.example\n", SourceStatus::Empty, "no-email"),
            ("Admin Email: REDACTED FOR PRIVACY\nTech Email: t@owner.example\n", SourceStatus::Empty, "redacted"),
        ] {
            let listing = whois(&profile, lines);
            let report = told(&listing, Source::Whois);
            assert_eq!((report.status, &report.reasons[..]), (status, &[reason.to_owned()][..]), "{lines}");
            let missing: Vec<SourceReport> = listing.missing().cloned().collect();
            assert_eq!(missing, std::slice::from_ref(report), "{lines}");
            let of_another_name = SourceReport { unanswered: vec!["other.example".to_owned()], ..report.clone() };
            assert!(report.tells_the_same(&of_another_name) && *report != of_another_name, "{lines}");
            let ways = remedies(&listing.name, &profile.addresses, &missing);
            assert_eq!(ways.iter().map(|way| way.code).collect::<Vec<_>>(), ["lift-whois-protection"], "{lines}");
        }
    }

    #[test]
    fn where_one_may_be_chosen_nothing_is_missing() {
        let mut profile = profile(Source::Whois);
        profile.addresses.whois_roles.gtld = vec![Role::Administrative, Role::Technical];
        let listing = whois(&profile, "Admin Email: x@domainsbyproxy.com\nTech Email: t@owner.example\n");
        assert_eq!((listing.approvers.len(), listing.missing().count()), (2, 0));
        assert_eq!((told(&listing, Source::Whois).status, told(&listing, Source::Whois).reasons.len()), (SourceStatus::Ok, 0));
    }

    #[test]
    fn what_policy_refuses_is_told_of_the_constructed_ones_too() {
        let refuse_adn = NameList::new([("example.org".to_owned(), "mailboxes".to_owned())].into()).unwrap();
        let policy = Policy { refuse_adn, ..Policy::default() };
        let name = Fqdn::parse("example.org", &SuffixList::BuiltIn).unwrap();
        let listing = list(&name, &profile(Source::Constructed), &policy, &[], NOW);
        let report = told(&listing, Source::Constructed);
        assert_eq!((report.status, &report.reasons[..]), (SourceStatus::Ok, &[constructed::ADN_REFUSED.to_owned()][..]));
        assert_eq!(listing.missing().count(), 1);
    }

    #[test]
    fn a_source_that_could_name_nobody_leaves_nothing_unanswered() {
        let enforced = |source| Profile { compliance: Compliance::Enforce, ..profile(source) };
        let external = || Profile { corroboration: Corroboration::External, ..enforced(Source::DnsTxt) };
        let mut no_role = profile(Source::Whois);
        no_role.addresses.whois_roles.gtld.clear();
        for (profile, source, dnssec, counts) in [
            (profile(Source::DnsTxt), Source::DnsTxt, Some(Dnssec::Off), true),
            (enforced(Source::DnsTxt), Source::DnsTxt, Some(Dnssec::Bogus), false),
            (external(), Source::DnsTxt, Some(Dnssec::Bogus), true),
            (external(), Source::DnsTxt, Some(Dnssec::Off), false),
            (profile(Source::Whois), Source::Whois, None, true),
            (enforced(Source::Whois), Source::Whois, None, false),
            (no_role, Source::Whois, None, false),
        ] {
            let listing = listed(&profile, lookup(source, SourceStatus::Failed, dnssec));
            let report = told(&listing, source);
            assert_eq!(report.status, SourceStatus::Failed);
            assert_eq!(report.unanswered.iter().any(|adn| adn == "example.org"), counts, "{source:?} {dnssec:?}");
        }
    }
}
