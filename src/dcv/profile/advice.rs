//! What about a profile works and should be known on a day: the loader says it and refuses nothing, so that no date stops a daemon
//! that ran yesterday.

use super::{Asked, Dispatch, ManualEntry, Profile, ReuseMode, SelectedBy};
use crate::dcv::contact::Source;
use crate::dcv::method::{self, Method, RuleStatus};
use crate::dcv::profile::{AccessPin, AdnChoice, Catalog, Compliance, Confirm, Corroboration};
use crate::dcv::timestamp::Timestamp;

/// How much it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Good to know.
    Info,
    /// Works, and perhaps not as meant.
    Warn,
    /// On this day nothing comes of it; `dcvd profile lint` fails.
    Error,
}

impl Level {
    /// The level in a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advice {
    /// The rule's number.
    pub rule: &'static str,
    /// How much it matters.
    pub level: Level,
    /// The key it is about.
    pub key: &'static str,
    /// What it means, and what to do.
    pub words: String,
}

/// What to know of a profile on a day.
#[must_use]
pub fn advice(profile: &Profile, now: Timestamp) -> Vec<Advice> {
    let mut all = Vec::new();
    rules_of_the_day(profile, now, &mut all);
    of_people(profile, &mut all);
    if profile.evidence.is_empty() {
        say(&mut all, "L20", Level::Warn, "evidence", "says nowhere what the values rest on");
    }
    all
}

/// What whoever starts the daemon should know: each thing once, with the profiles that it is about.
#[must_use]
pub fn advised(catalog: &Catalog, now: Timestamp) -> Vec<(Advice, Vec<String>)> {
    let mut all: Vec<(Advice, Vec<String>)> = Vec::new();
    for one in catalog.iter() {
        for advice in advice(&one.profile, now).into_iter().filter(|advice| advice.level >= Level::Warn) {
            match all.iter_mut().find(|(known, _)| *known == advice) {
                Some((_, profiles)) => profiles.push(one.profile.id.clone()),
                None => all.push((advice, vec![one.profile.id.clone()])),
            }
        }
    }
    all
}

fn say(all: &mut Vec<Advice>, rule: &'static str, level: Level, key: &'static str, words: &str) {
    all.push(Advice { rule, level, key, words: words.to_owned() });
}

/// What the dated table makes of it.
fn rules_of_the_day(profile: &Profile, now: Timestamp, all: &mut Vec<Advice>) {
    let enforces = profile.compliance == Compliance::Enforce;
    let sources = &profile.addresses.sources;
    let status = |method| method::rule(method, now).status;
    let registration = sources.iter().any(|source| matches!(source, Source::Whois | Source::Rdap));
    if enforces && registration && status(Method::DomainContact) == RuleStatus::MustNot {
        let words = "registration contacts must not be used since 2025-07-15 (BR v2.2.6 section 3.2.2.4.2): they are listed and never usable; leave whois and rdap out";
        say(all, "L03", Level::Warn, "addresses.sources", words);
    }
    if !enforces && registration && status(Method::DomainContact) == RuleStatus::MustNot {
        let words = "not for publicly trusted TLS: registration contacts must not be used since 2025-07-15 (BR v2.2.6 section 3.2.2.4.2); each result says so";
        say(all, "L03", Level::Warn, "addresses.sources", words);
    }
    if enforces && sources.iter().any(|source| source.is_dns()) && profile.corroboration == Corroboration::None {
        let words = "addresses from DNS are listed and not usable until other perspectives corroborate them: say \"external\" where the authority does";
        say(all, "L30", Level::Warn, "corroboration", words);
    }
    match status(Method::Constructed) {
        RuleStatus::MustNot if enforces => {
            let words = "no e-mail method may be used since 2028-03-15 (BR v2.2.6 section 3.2.2.4.4): every order is refused";
            say(all, "L04", Level::Error, "compliance", words);
        }
        RuleStatus::ShouldNot if enforces => {
            let words = "e-mail methods should not be used since 2026-03-15 and end on 2028-03-15 (BR v2.2.6 section 3.2.2.4.4)";
            say(all, "L04", Level::Warn, "compliance", words);
        }
        _ => {}
    }
    let longest = method::reuse_days(now);
    if let Some(days) = profile.reuse.max_days.filter(|days| profile.reuse.mode == ReuseMode::PerDomain && *days > longest) {
        let words = format!(
            "{days} days are more than the {longest} that BR v2.2.6 section 4.2.1 allows on this day, which holds; say \"br\""
        );
        say(all, "L05", Level::Error, "reuse.max_days", &words);
    }
    if !profile.is_in_force(now) {
        let then =
            if enforces { "new orders are refused" } else { "new orders are taken all the same (compliance = \"record\")" };
        let words = format!("today lies outside valid_from and valid_until: {then}");
        say(all, "L17", Level::Info, "valid_until", &words);
    }
}

/// What it means for people.
fn of_people(profile: &Profile, all: &mut Vec<Advice>) {
    let (addresses, page) = (&profile.addresses, &profile.page);
    let asks = page.confirm != Confirm::Check || page.access_pin == AccessPin::Required;
    if page.signer == Asked::Required && page.authority_check && asks {
        let words = "signer, authority box and a code or PIN together are three hurdles for somebody who does this once";
        say(all, "L18", Level::Info, "page", words);
    }
    if addresses.selected_by == SelectedBy::Applicant && addresses.dispatch != Dispatch::Chosen {
        let words = "says who is asked where this service chooses; the applicant chooses (addresses.selected_by)";
        say(all, "L14", Level::Warn, "addresses.dispatch", words);
    }
    let fewest = fewest_recipients(profile);
    if profile.decision.quorum > fewest {
        let words = format!("as few as {fewest} may be asked for a name: such an order is refused, or waits for more approvers");
        say(all, "L10", Level::Warn, "decision.quorum", &words);
    }
    if addresses.manual_entry == ManualEntry::IfLookupEmpty && profile.compliance == Compliance::Enforce {
        let words = "registration contacts are never usable under `enforce`, entered or not";
        say(all, "L12", Level::Warn, "addresses.manual_entry", words);
    }
}

/// How few people a name may be left with where everybody is asked who can be.
fn fewest_recipients(profile: &Profile) -> u32 {
    let addresses = &profile.addresses;
    let roles = &addresses.whois_roles;
    let of_roles =
        [&roles.jp_organizational, &roles.jp_geographic, &roles.jp_prefecture, &roles.jp_general, &roles.gtld, &roles.cctld];
    let contacts = of_roles.iter().map(|roles| roles.len()).filter(|count| *count > 0).min().unwrap_or(0);
    let constructed = addresses.local_parts.len() * if addresses.adn == AdnChoice::Both { 2 } else { 1 };
    let fewest = match addresses.dispatch {
        Dispatch::AllOfRole => contacts,
        Dispatch::Chosen | Dispatch::AllCandidates if addresses.sources.contains(&Source::Constructed) => constructed,
        Dispatch::Chosen | Dispatch::AllCandidates => 1,
    };
    u32::try_from(fewest.max(1)).unwrap_or(u32::MAX)
}
