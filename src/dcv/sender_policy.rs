//! What a domain says of the mail it sends: SPF and DMARC records, and whether a return path is aligned with the sender people see.
//! Read for advice alone; nobody's mail is judged by it.

use super::contact::dns_txt::DnsOutcome;
use super::name::{Fqdn, SuffixList};

/// What a domain's SPF record comes to. Spec: RFC 7208 sections 3.2, 4.5 and 5.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spf {
    /// One record that ends in `-all` or `~all`, or hands over to another.
    Good,
    /// One record that lets everybody send, or says nothing of the rest.
    Open,
    /// There is none.
    Missing,
    /// There is more than one, which is an error to whoever looks.
    Several,
    /// DNS did not tell.
    Unknown,
}

/// Reads a domain's TXT records for SPF.
#[must_use]
pub fn spf(answer: &DnsOutcome<Vec<u8>>) -> Spf {
    let Some(records) = records(answer) else { return Spf::Unknown };
    let is_spf = |text: &&String| text.eq_ignore_ascii_case("v=spf1") || text.to_ascii_lowercase().starts_with("v=spf1 ");
    let found: Vec<&String> = records.iter().filter(is_spf).collect();
    match found[..] {
        [] => Spf::Missing,
        [one] => {
            let terms: Vec<String> = one.split_whitespace().skip(1).map(str::to_ascii_lowercase).collect();
            let all = terms.iter().find(|term| term.trim_start_matches(['+', '-', '~', '?']) == "all").map(String::as_str);
            let hands_over = terms.iter().any(|term| term.starts_with("redirect="));
            match all {
                Some("-all" | "~all") => Spf::Good,
                None if hands_over => Spf::Good,
                _ => Spf::Open,
            }
        }
        _ => Spf::Several,
    }
}

/// What a domain asks receivers to do with mail that is not its own. Spec: RFC 7489 section 6.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dmarc {
    /// One record.
    Found {
        /// `p=quarantine` or `p=reject`.
        enforced: bool,
        /// `aspf=s`: the return path must be of the very domain.
        strict_spf: bool,
    },
    /// There is none, or none that can be read.
    Missing,
    /// There is more than one, which counts as none.
    Several,
    /// DNS did not tell.
    Unknown,
}

/// Reads the TXT records at `_dmarc.<domain>`.
#[must_use]
pub fn dmarc(answer: &DnsOutcome<Vec<u8>>) -> Dmarc {
    let Some(records) = records(answer) else { return Dmarc::Unknown };
    let tags = |text: &String| -> Vec<(String, String)> {
        let tag = |part: &str| {
            part.split_once('=').map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_ascii_lowercase()))
        };
        text.split(';').filter_map(tag).collect()
    };
    let found: Vec<Vec<(String, String)>> = records
        .iter()
        .map(tags)
        .filter(|tags| tags.first().is_some_and(|(name, value)| name == "v" && value == "dmarc1"))
        .collect();
    let [one] = &found[..] else { return if found.is_empty() { Dmarc::Missing } else { Dmarc::Several } };
    let value = |name: &str| one.iter().find(|(tag, _)| tag == name).map(|(_, value)| value.as_str());
    match value("p") {
        Some(policy @ ("none" | "quarantine" | "reject")) => {
            Dmarc::Found { enforced: policy != "none", strict_spf: value("aspf") == Some("s") }
        }
        _ => Dmarc::Missing,
    }
}

/// The records as text; `None` where DNS did not tell.
fn records(answer: &DnsOutcome<Vec<u8>>) -> Option<Vec<String>> {
    match answer {
        DnsOutcome::Records(records) => Some(records.iter().map(|record| String::from_utf8_lossy(record).into_owned()).collect()),
        DnsOutcome::NoData | DnsOutcome::NxDomain => Some(Vec::new()),
        DnsOutcome::ServFail | DnsOutcome::Timeout | DnsOutcome::Bogus | DnsOutcome::Other(_) => None,
    }
}

/// Whether mail of one domain may carry a return path of the other and still pass DMARC by SPF: the same domain, or unless
/// `strict`, the same registered domain. Spec: RFC 7489 section 3.1.2.
#[must_use]
pub fn is_aligned(from: &str, return_path: &str, strict: bool, suffixes: &SuffixList) -> bool {
    if from.eq_ignore_ascii_case(return_path) {
        return true;
    }
    let base = |domain: &str| Fqdn::parse(domain, suffixes).map(|name| name.base_domain().as_str().to_owned());
    !strict && matches!((base(from), base(return_path)), (Ok(from), Ok(path)) if from == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn txt(records: &[&str]) -> DnsOutcome<Vec<u8>> {
        DnsOutcome::Records(records.iter().map(|record| record.as_bytes().to_vec()).collect())
    }

    #[test]
    fn spf_records() {
        for (records, expected) in [
            (vec!["v=spf1 ip4:192.0.2.1 -all", "google-site-verification=x"], Spf::Good),
            (vec!["V=SPF1 mx ~ALL"], Spf::Good),
            (vec!["v=spf1 redirect=_spf.example.net"], Spf::Good),
            (vec!["v=spf1 mx +all"], Spf::Open),
            (vec!["v=spf1 mx all"], Spf::Open),
            (vec!["v=spf1 mx"], Spf::Open),
            (vec!["v=spf10 -all", "spf2.0/pra -all"], Spf::Missing),
            (vec!["v=spf1 -all", "v=spf1 mx -all"], Spf::Several),
        ] {
            assert_eq!(spf(&txt(&records)), expected, "{records:?}");
        }
        assert_eq!((spf(&DnsOutcome::NxDomain), spf(&DnsOutcome::Timeout)), (Spf::Missing, Spf::Unknown));
    }

    #[test]
    fn dmarc_records() {
        let found = |enforced, strict_spf| Dmarc::Found { enforced, strict_spf };
        for (records, expected) in [
            (vec!["v=DMARC1; p=reject; rua=mailto:a@example.net"], found(true, false)),
            (vec!["v=DMARC1;p=none;aspf=s"], found(false, true)),
            (vec!["v=DMARC1; rua=mailto:a@example.net"], Dmarc::Missing),
            (vec!["p=reject; v=DMARC1"], Dmarc::Missing),
            (vec!["v=DMARC1; p=none", "v=DMARC1; p=reject"], Dmarc::Several),
            (vec![], Dmarc::Missing),
        ] {
            assert_eq!(dmarc(&txt(&records)), expected, "{records:?}");
        }
        assert_eq!(dmarc(&DnsOutcome::ServFail), Dmarc::Unknown);
    }

    #[test]
    fn alignment() {
        let aligned = |from, path, strict| is_aligned(from, path, strict, &SuffixList::BuiltIn);
        assert!(aligned("dcv.example.net", "bounce.dcv.example.net", false));
        assert!(aligned("dcv.example.co.jp", "DCV.example.co.jp", true));
        assert!(!aligned("dcv.example.net", "bounce.dcv.example.net", true));
        assert!(!aligned("dcv.a.co.jp", "dcv.b.co.jp", false), "a public suffix is nobody's");
    }

    proptest! {
        #[test]
        fn no_record_panics(record: Vec<u8>) {
            let answer = DnsOutcome::Records(vec![record]);
            let _ = (spf(&answer), dmarc(&answer));
        }
    }
}
