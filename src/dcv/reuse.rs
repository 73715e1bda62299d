//! Whether a name may rest on an earlier order's approval, so that nobody is asked again.

use super::contact::Source;
use super::coverage::proven;
use super::decision::Scope;
use super::method::{self, RuleStatus};
use super::profile::{Compliance, Profile, ReuseMode};
use super::timestamp::Timestamp;

/// An earlier approval, in A-labels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Approval<'a> {
    /// The name that was approved, with `*.` where it is a wildcard.
    pub name: &'a str,
    /// The ADN of the mail that was answered.
    pub adn: &'a str,
    /// How far the approval reaches.
    pub scope: Scope,
    /// Where the approver's address was found.
    pub source: Source,
    /// Who applied for the certificate then.
    pub applicant: Option<&'a str>,
    /// When the reuse clock started.
    pub initiated_at: Timestamp,
}

/// Whether an order under `profile`, for `applicant`, may take `name` as approved by an earlier approval. Spec: BR v2.2.6 §4.2.1, and
/// §3.2.2.4.2, .4, .13, .14 for the methods' ends, prior validations included.
#[must_use]
pub fn may_reuse(earlier: &Approval<'_>, name: &str, applicant: Option<&str>, profile: &Profile, now: Timestamp) -> bool {
    let method = earlier.source.method();
    let in_time = method::reusable_until(method, earlier.initiated_at).is_some_and(|until| now < until)
        && profile.reuse.max_days.is_none_or(|days| now < earlier.initiated_at.plus_days(days));
    // Whoever is not told cannot be known to be the same.
    let same_applicant = applicant.is_some() && applicant == earlier.applicant;
    let covers = || {
        let proven = proven(earlier.scope, earlier.adn, &[earlier.name]);
        !proven.this_order_only && proven.covers(name)
    };
    profile.reuse.mode == ReuseMode::PerDomain
        && profile.addresses.sources.contains(&earlier.source)
        && !(profile.compliance == Compliance::Enforce && method::rule(method, now).status == RuleStatus::MustNot)
        && in_time
        && same_applicant
        && covers()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const START: Timestamp = Timestamp::from_unix_secs(1_795_305_600);

    fn profile() -> Profile {
        let text = include_str!("../../config/profiles/standard.toml");
        let mut table: toml::Table = text.parse().unwrap();
        table.insert("id".to_owned(), "test".into());
        let mut profile: Profile = table.try_into().unwrap();
        profile.reuse.mode = ReuseMode::PerDomain;
        profile
    }

    fn by_admin(scope: Scope) -> Approval<'static> {
        Approval {
            name: "www.example.jp",
            adn: "example.jp",
            scope,
            source: Source::Constructed,
            applicant: Some("株式会社サンプル"),
            initiated_at: START,
        }
    }

    #[test]
    fn an_approval_is_reused_for_what_it_covers_and_for_the_same_applicant() {
        let same = Some("株式会社サンプル");
        let may = |scope, name, applicant| may_reuse(&by_admin(scope), name, applicant, &profile(), START);
        assert!(may(Scope::Fqdn, "www.example.jp", same));
        assert!(!may(Scope::Fqdn, "shop.example.jp", same));
        assert!(may(Scope::Base, "shop.example.jp", same) && may(Scope::Subtree, "*.example.jp", same));
        assert!(!may(Scope::Order, "www.example.jp", same), "for that order alone");
        assert!(!may(Scope::Base, "shop.example.jp", Some("他社")) && !may(Scope::Base, "shop.example.jp", None));
        let nobody = Approval { applicant: None, ..by_admin(Scope::Base) };
        assert!(!may_reuse(&nobody, "www.example.jp", None, &profile(), START), "two that are not told are not the same");
    }

    #[test]
    fn an_approval_is_reused_within_its_time_and_under_rules_that_allow_it() {
        let same = Some("株式会社サンプル");
        let may = |profile: &Profile, now| may_reuse(&by_admin(Scope::Base), "www.example.jp", same, profile, now);
        let until = method::reusable_until(super::super::method::Method::Constructed, START).unwrap();
        assert!(may(&profile(), until - Duration::from_micros(1)) && !may(&profile(), until));
        let mut short = profile();
        short.reuse.max_days = Some(30);
        assert!(may(&short, START.plus_days(30) - Duration::from_micros(1)) && !may(&short, START.plus_days(30)));
        let mut never = profile();
        never.reuse.mode = ReuseMode::PerApplication;
        let mut other_sources = profile();
        other_sources.addresses.sources = vec![Source::DnsTxt];
        assert!(!may(&never, START) && !may(&other_sources, START));
    }
}
