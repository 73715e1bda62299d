//! What an auditor must be able to read back: every look-up with its answer, server, time and DNSSEC proof.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::contact::{Contact, Source, SourceStatus};
use super::id::LookupId;
use super::timestamp::Timestamp;

/// Longest raw answer kept as evidence, in octets; the hash always covers the whole answer.
pub const RAW_ANSWER_MAX_OCTETS: usize = 64 * 1024;

/// The Network Perspective that this daemon itself looks from. Spec: BR v2.2.6 §3.2.2.9.
pub const PRIMARY_PERSPECTIVE: &str = "primary";

/// What DNSSEC validation said of an answer. Spec: RFC 4035 §4.3.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dnssec {
    /// Proven false or unprovable in a signed zone; never yields an address.
    Bogus,
    /// Validation was switched off.
    Off,
    /// No anchor could be reached to tell.
    Indeterminate,
    /// The zone is proven to be unsigned.
    Insecure,
    /// Proven from the trust anchor down.
    Secure,
}

impl Dnssec {
    /// The verdict as the outer contract spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bogus => "bogus",
            Self::Off => "off",
            Self::Indeterminate => "indeterminate",
            Self::Insecure => "insecure",
            Self::Secure => "secure",
        }
    }
}

/// One question put to one server and what came back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exchange {
    /// The server by name.
    pub server: String,
    /// The address and port that was spoken to, where known.
    pub address: Option<String>,
    /// The question as sent, without the line end.
    pub query: String,
    /// When it was asked.
    pub at: Timestamp,
    /// The answer as text, cut at [`RAW_ANSWER_MAX_OCTETS`]; empty when none came.
    pub answer: String,
    /// SHA-256 of the whole answer as received, in hex.
    pub sha256: String,
    /// What went wrong, where something did; an answer that came all the same counts for nothing.
    pub error: Option<String>,
    /// How the answer was validated, for DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<DnssecValidation>,
}

/// How one DNS answer was validated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DnssecValidation {
    /// What counts.
    pub verdict: Dnssec,
    /// The key tags of the trust anchor that it began from. Spec: RFC 4034 appendix B.
    pub anchor_key_tags: Vec<u16>,
    /// The first validator's verdict, where a second one was asked and overruled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overruled: Option<Dnssec>,
}

impl Exchange {
    /// Records an answer with its hash.
    #[must_use]
    pub fn answered(server: &str, address: Option<String>, query: &str, at: Timestamp, raw: &[u8]) -> Self {
        let kept = &raw[..raw.len().min(RAW_ANSWER_MAX_OCTETS)];
        Self {
            server: server.to_owned(),
            address,
            query: query.to_owned(),
            at,
            answer: String::from_utf8_lossy(kept).into_owned(),
            sha256: data_encoding::HEXLOWER.encode(&Sha256::digest(raw)),
            error: None,
            validation: None,
        }
    }

    /// Whether the answer is kept as it came: not cut, and text.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        data_encoding::HEXLOWER.encode(&Sha256::digest(self.answer.as_bytes())) == self.sha256
    }

    /// Records that no answer came.
    #[must_use]
    pub fn failed(server: &str, address: Option<String>, query: &str, at: Timestamp, error: String) -> Self {
        Self { error: Some(error), ..Self::answered(server, address, query, at, b"") }
    }
}

/// One source asked for one ADN: the outcome and the evidence for it, also when it failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lookup {
    /// Its own id.
    pub id: LookupId,
    /// The source asked.
    pub source: Source,
    /// The ADN it was asked for, as A-labels.
    pub adn: String,
    /// How it ended.
    pub status: SourceStatus,
    /// The server whose answer counted.
    pub server: Option<String>,
    /// The DNSSEC verdict, for DNS sources.
    pub dnssec: Option<Dnssec>,
    /// When it was asked.
    pub at: Timestamp,
    /// Until when its source lets the answer be believed (a DNS TTL); `None` where it does not say.
    pub valid_until: Option<Timestamp>,
    /// Every contact address read, usable or not.
    pub contacts: Vec<Contact>,
    /// Stable codes that say why addresses are missing.
    pub reasons: Vec<String>,
    /// The questions and answers in order.
    pub exchanges: Vec<Exchange>,
    /// The Network Perspective it was asked from.
    pub perspective: String,
}

impl Lookup {
    /// The name that DNS was asked for when it gave the addresses: the owner of the TXT record, or where the climb for CAA records ended.
    /// `None` where there is none, as for registration data. Another perspective that is to corroborate them asks for the same.
    #[must_use]
    pub fn asked_name(&self) -> Option<&str> {
        let exchange = match self.source {
            // Behind it stands the question for the doubled name, which yields none.
            Source::DnsTxt => self.exchanges.first(),
            Source::DnsCaa => self.exchanges.last(),
            Source::Constructed | Source::Whois | Source::Rdap => None,
        }?;
        // The record's type is written behind the name.
        exchange.query.split(' ').next().filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_asked_is_the_one_whose_record_was_read() {
        let at = Timestamp::from_unix_secs(1_795_305_600);
        let lookup = |source, queries: &[&str]| Lookup {
            id: LookupId::new(at, [1; 10]),
            source,
            adn: "www.example.jp".to_owned(),
            status: SourceStatus::Ok,
            server: None,
            dnssec: None,
            at,
            valid_until: None,
            contacts: Vec::new(),
            reasons: Vec::new(),
            exchanges: queries.iter().map(|query| Exchange::answered("ns", None, query, at, b"")).collect(),
            perspective: PRIMARY_PERSPECTIVE.to_owned(),
        };
        let climbed = lookup(Source::DnsCaa, &["www.example.jp CAA", "example.jp CAA"]);
        assert_eq!(climbed.asked_name(), Some("example.jp"));
        let doubled = ["_validation-contactemail.www.example.jp TXT", "_validation-contactemail.www.example.jp.example.jp TXT"];
        assert_eq!(lookup(Source::DnsTxt, &doubled).asked_name(), Some("_validation-contactemail.www.example.jp"));
        assert_eq!(lookup(Source::Whois, &["example.jp/e"]).asked_name(), None);
        assert_eq!(lookup(Source::DnsCaa, &[]).asked_name(), None);
    }
}
