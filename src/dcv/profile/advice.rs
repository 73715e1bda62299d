//! What about a profile works and should be known: advice of the loader, which refuses nothing.

use super::{Asked, Dispatch, Profile, SelectedBy};
use crate::dcv::contact::Source;
use crate::dcv::method::{self, Method, RuleStatus};
use crate::dcv::profile::{Compliance, Corroboration};
use crate::dcv::timestamp::Timestamp;

/// One thing to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advice {
    /// The key it is about.
    pub key: &'static str,
    /// What it means, and what to do.
    pub words: String,
}

/// What to know of a profile on a day.
#[must_use]
pub fn advice(profile: &Profile, now: Timestamp) -> Vec<Advice> {
    let mut all = Vec::new();
    let mut say = |key, words: &str| all.push(Advice { key, words: words.to_owned() });
    let enforces = profile.compliance == Compliance::Enforce;
    let sources = &profile.addresses.sources;
    let forbidden = |method| method::rule(method, now).status == RuleStatus::MustNot;
    if enforces && sources.iter().any(|source| matches!(source, Source::Whois | Source::Rdap)) && forbidden(Method::DomainContact)
    {
        say(
            "addresses.sources",
            "registration contacts must not be used since 2025-07-15 (BR v2.2.6 section 3.2.2.4.2): they are listed and never usable; leave whois and rdap out",
        );
    }
    if enforces && sources.iter().any(|source| source.is_dns()) && profile.corroboration == Corroboration::None {
        say(
            "corroboration",
            "addresses from DNS are listed and not usable until other perspectives corroborate them: say \"external\" where the authority does",
        );
    }
    if enforces && method::rule(Method::Constructed, now).status != RuleStatus::Allowed {
        say(
            "compliance",
            "e-mail methods should not be used since 2026-03-15 and end on 2028-03-15 (BR v2.2.6 section 3.2.2.4.4)",
        );
    }
    if !profile.is_in_force(now) {
        let then =
            if enforces { "new orders are refused" } else { "new orders are taken all the same (compliance = \"record\")" };
        say("valid_until", &format!("today lies outside valid_from and valid_until: {then}"));
    }
    if profile.page.signer == Asked::Required && profile.page.authority_check && profile.page.confirm.as_str() != "check" {
        say("page", "signer, authority box and confirmation together are three hurdles for somebody who does this once");
    }
    if profile.addresses.selected_by == SelectedBy::Applicant && profile.addresses.dispatch != Dispatch::Chosen {
        say("addresses.dispatch", "says who is asked where this service chooses; the applicant chooses (addresses.selected_by)");
    }
    if profile.evidence.is_empty() {
        say("evidence", "says nowhere what the values rest on");
    }
    all
}
