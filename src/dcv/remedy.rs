//! What to do where nobody could be asked for a name, and when the sources are asked again.

use std::time::Duration;

use serde::Serialize;

use super::contact::reason::HIDING;
use super::contact::{SourceReport, SourceStatus};
use super::name::{Adn, Fqdn};
use super::profile::Addresses;
use super::timestamp::Timestamp;

/// One way out, in words for the domain's owner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Remedy {
    /// A stable code.
    pub code: &'static str,
    /// The record to publish, in zone file form, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// What to do, in Japanese.
    pub ja: String,
    /// What to do, in English.
    pub en: String,
}

/// The ways out for a name whose sources fared as `reports` say.
#[must_use]
pub fn remedies(name: &Fqdn, addresses: &Addresses, reports: &[SourceReport]) -> Vec<Remedy> {
    use super::contact::Source;
    // The widest that is asked: a record there serves most names.
    let base = super::contact::offered_adns(name, addresses).pop().unwrap_or_else(|| Adn::base_of(name));
    let mut ways = Vec::new();
    if addresses.sources.contains(&Source::DnsTxt) {
        ways.push(Remedy {
            code: "publish-txt",
            record: Some(format!("_validation-contactemail.{base}. IN TXT \"<address>\"")),
            ja: format!(
                "DNS の _validation-contactemail.{base} に、承認者のメールアドレスだけを書いた TXT レコードを登録してください。"
            ),
            en: format!("Publish a TXT record at _validation-contactemail.{base} that holds the approver's e-mail address and nothing else."),
        });
    }
    if addresses.sources.contains(&Source::DnsCaa) {
        ways.push(Remedy {
            code: "publish-caa",
            record: Some(format!("{base}. IN CAA 0 contactemail \"<address>\"")),
            ja: format!("DNS の {base} に、contactemail を書いた CAA レコードを登録してください。"),
            en: format!("Publish a CAA record with the property contactemail at {base}."),
        });
    }
    let registration = |report: &&SourceReport| matches!(report.source, Source::Whois | Source::Rdap);
    for report in reports.iter().filter(registration) {
        if report.reasons.iter().any(|reason| HIDING.contains(&reason.as_str())) {
            ways.push(Remedy {
                code: "lift-whois-protection",
                record: None,
                ja: "レジストラで WHOIS 情報公開代行(プロテクト)を一時的に解除し、登録者のメールアドレスを公開してください。".to_owned(),
                en: "Have the registrar lift the registration's privacy protection for a while, so that the contact's e-mail address is shown.".to_owned(),
            });
        } else if report.status == SourceStatus::Failed {
            ways.push(Remedy {
                code: "wait",
                record: None,
                ja: "登録情報のサーバーが応答しませんでした。自動的に再照会しますので、しばらくお待ちください。".to_owned(),
                en: "The registration data's server did not answer. It is asked again by itself; please wait.".to_owned(),
            });
        }
    }
    ways.dedup_by(|one, other| one.code == other.code);
    ways
}

/// Waits between look-ups, in hours; the last one goes on.
const WAITS_HOURS: [u64; 6] = [1, 2, 4, 8, 16, 24];

/// When the sources are asked again after they were asked again `looks` times in vain.
#[must_use]
pub fn look_again_at(looks: u32, now: Timestamp) -> Timestamp {
    let hours = WAITS_HOURS.get(looks as usize).or(WAITS_HOURS.last()).copied().unwrap_or(24);
    now + Duration::from_secs(hours * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::contact::Source;
    use crate::dcv::name::SuffixList;

    fn codes(sources: &str, reports: &[SourceReport]) -> Vec<&'static str> {
        let text = format!(
            "sources = {sources}\nlocal_parts = [\"admin\"]\nadn = \"ancestors\"\ncandidate_ttl = \"24h\"\n[whois_roles]\njp-organizational = []\n\
             jp-geographic = []\njp-prefecture = []\njp-general = []\ngtld = []\ncctld = []\n"
        );
        let addresses: Addresses = toml::from_str(&text).unwrap();
        let name = Fqdn::parse("www.example.co.jp", &SuffixList::BuiltIn).unwrap();
        let ways = remedies(&name, &addresses, reports);
        assert!(ways.iter().all(|way| !way.ja.is_empty() && !way.en.is_empty()));
        ways.iter().map(|way| way.code).collect()
    }

    fn whois(status: SourceStatus, reason: &str) -> SourceReport {
        let reasons = vec![reason.to_owned()];
        SourceReport { source: Source::Whois, status, server: None, dnssec: None, reasons, unanswered: Vec::new() }
    }

    #[test]
    fn a_record_is_published_where_it_is_asked_for() {
        let published = |adn: &str| {
            let text = format!(
                "sources = [\"dns_caa\"]\nlocal_parts = []\nadn = \"{adn}\"\ncandidate_ttl = \"24h\"\n[whois_roles]\njp-organizational = []\n\
                 jp-geographic = []\njp-prefecture = []\njp-general = []\ngtld = []\ncctld = []\n"
            );
            let addresses: Addresses = toml::from_str(&text).unwrap();
            let name = Fqdn::parse("www.example.co.jp", &SuffixList::BuiltIn).unwrap();
            remedies(&name, &addresses, &[]).remove(0).record.unwrap()
        };
        assert_eq!(published("ancestors"), "example.co.jp. IN CAA 0 contactemail \"<address>\"");
        assert_eq!(published("fqdn"), "www.example.co.jp. IN CAA 0 contactemail \"<address>\"");
    }

    #[test]
    fn the_way_out_fits_what_went_wrong_and_what_the_profile_takes() {
        // As listings tell of it: the proxy's address is listed, and may not be chosen.
        assert_eq!(codes("[\"whois\"]", &[whois(SourceStatus::Ok, "privacy-proxy")]), ["lift-whois-protection"]);
        assert_eq!(codes("[\"whois\"]", &[whois(SourceStatus::Ok, "replaced-address")]), ["lift-whois-protection"]);
        assert_eq!(codes("[\"whois\"]", &[whois(SourceStatus::Failed, "timeout")]), ["wait"]);
        let all = codes("[\"dns_txt\", \"dns_caa\", \"whois\"]", &[whois(SourceStatus::Empty, "redacted")]);
        assert_eq!(all, ["publish-txt", "publish-caa", "lift-whois-protection"]);
    }

    #[test]
    fn the_waits_grow_to_a_day() {
        let now = Timestamp::from_unix_secs(1_795_000_000);
        let hours: Vec<u64> = (0..8).map(|looks| look_again_at(looks, now).since(now).as_secs() / 3600).collect();
        assert_eq!(hours, [1, 2, 4, 8, 16, 24, 24, 24]);
    }
}
