//! Reads a stored look-up's raw answers again, with today's parsers: what an auditor asks after a parser was mended.

use super::contact::whois::{HopError, Walk};
use super::contact::{Contact, Source, rdap};
use super::email::{EmailAddress, txt_from_presentation};
use super::evidence::{Exchange, Lookup};
use super::name::{Adn, CertificateName, SuffixList};

/// Why an answer cannot be read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotReread {
    /// It was longer than what is kept, or not text: its hash is another.
    NotKeptWhole,
    /// Its ADN is no name any more, by today's suffix list.
    NoName,
}

impl NotReread {
    /// The reason in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotKeptWhole => "the raw answer was not kept whole",
            Self::NoName => "the ADN is no valid name by today's lists",
        }
    }
}

/// The addresses that today's parsers read from what was answered then, in order, each once, usable ones alone.
///
/// # Errors
/// [`NotReread`] where the answers are not there to be read.
pub fn reread(lookup: &Lookup, whois_root: &str, suffixes: &SuffixList) -> Result<Vec<String>, NotReread> {
    let whole = |exchange: &Exchange| exchange.error.is_some() || exchange.is_whole();
    if !lookup.exchanges.iter().all(whole) {
        return Err(NotReread::NotKeptWhole);
    }
    let name = CertificateName::parse(&lookup.adn, suffixes).map_err(|_| NotReread::NoName)?;
    let contacts = match lookup.source {
        Source::Constructed => Vec::new(),
        Source::DnsTxt => dns(lookup.exchanges.first(), " IN TXT "),
        Source::DnsCaa => dns(lookup.exchanges.last(), " IN CAA "),
        Source::Whois => usable(&whois(lookup, whois_root, &Adn::base_of(name.fqdn()))),
        Source::Rdap => lookup
            .exchanges
            .iter()
            .rev()
            .filter(|exchange| exchange.error.is_none())
            .map(|exchange| usable(&rdap::read_answer(200, exchange.answer.as_bytes(), &Adn::base_of(name.fqdn())).contacts))
            .find(|found| !found.is_empty())
            .unwrap_or_default(),
    };
    Ok(contacts)
}

/// The addresses of a look-up as they were read then, likewise.
#[must_use]
pub fn read_then(lookup: &Lookup) -> Vec<String> {
    usable(&lookup.contacts)
}

fn usable(contacts: &[Contact]) -> Vec<String> {
    let mut all: Vec<String> = contacts.iter().filter(|one| one.usable).map(|one| one.email.to_string()).collect();
    all.sort();
    all.dedup();
    all
}

/// The addresses in the records of a DNS answer, in presentation form.
fn dns(exchange: Option<&Exchange>, kind: &str) -> Vec<String> {
    let lines = exchange.into_iter().flat_map(|exchange| exchange.answer.lines());
    let mut all: Vec<String> = lines
        .filter_map(|line| line.split_once(kind).map(|(_, data)| data))
        // Behind each record stands what became of its signature.
        .map(|data| data.rsplit_once(" ; ").map_or(data, |(data, _)| data))
        .filter_map(|data| match kind {
            " IN CAA " => {
                let (_, rest) = data.trim().split_once(' ')?;
                let (tag, value) = rest.trim().split_once(' ')?;
                tag.eq_ignore_ascii_case("contactemail").then(|| value.trim())
            }
            _ => Some(data.trim()),
        })
        // A text is written as it is, or in quotation marks.
        .filter_map(|data| {
            let plain = EmailAddress::from_record(data.as_bytes());
            plain.or_else(|_| EmailAddress::from_record(&txt_from_presentation(data).unwrap_or_default())).ok()
        })
        .map(|email| email.to_string())
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Walks through WHOIS as then, with the answers of then.
fn whois(lookup: &Lookup, root: &str, base: &Adn) -> Vec<Contact> {
    // Where the registry was known already the walk began there.
    let first = lookup.exchanges.first().map(|exchange| exchange.server.clone());
    let mut walk = Walk::new(base, root, first.filter(|server| server != root));
    for exchange in &lookup.exchanges {
        if walk.question().is_none() {
            break;
        }
        match &exchange.error {
            Some(words) => walk.answer(Err(HopError::Broken(words.clone()))),
            None => walk.answer(Ok(exchange.answer.as_bytes())),
        }
    }
    walk.finish().contacts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::contact::SourceStatus;
    use crate::dcv::id::LookupId;
    use crate::dcv::timestamp::Timestamp;

    fn lookup(source: Source, adn: &str, exchanges: Vec<Exchange>) -> Lookup {
        let at = Timestamp::from_unix_secs(1_795_305_600);
        Lookup {
            id: LookupId::new(at, [1; 10]),
            source,
            adn: adn.to_owned(),
            status: SourceStatus::Ok,
            server: None,
            dnssec: None,
            at,
            valid_until: None,
            contacts: Vec::new(),
            reasons: Vec::new(),
            exchanges,
            perspective: "primary".to_owned(),
        }
    }

    fn answered(server: &str, query: &str, raw: &str) -> Exchange {
        Exchange::answered(server, None, query, Timestamp::from_unix_secs(1_795_305_600), raw.as_bytes())
    }

    fn again(lookup: &Lookup) -> Result<Vec<String>, NotReread> {
        reread(lookup, "whois.iana.org", &SuffixList::BuiltIn)
    }

    #[test]
    fn records_are_read_in_presentation_form() {
        let raw = "_validation-contactemail.example.jp. 60 IN TXT a@example.jp ; secure\n\
                   _validation-contactemail.example.jp. 60 IN TXT \"b@example.jp\" ; secure\n\
                   _validation-contactemail.example.jp. 60 IN TXT \"not one\" ; secure\n\
                   _validation-contactemail.example.jp. 60 IN RRSIG TXT ECDSAP256SHA256 4 60 1795982514 1795377714 7607 . AA== ; secure";
        let txt = lookup(Source::DnsTxt, "example.jp", vec![answered("ns", "q TXT", raw)]);
        assert_eq!(again(&txt), Ok(vec!["a@example.jp".to_owned(), "b@example.jp".to_owned()]));
        let raw = "example.jp. 60 IN CAA 0 contactemail \"c@example.jp\"\nexample.jp. 60 IN CAA 0 issue \"ca.example\"";
        let caa = lookup(Source::DnsCaa, "example.jp", vec![answered("ns", "q CAA", "; NXDOMAIN"), answered("ns", "q CAA", raw)]);
        assert_eq!(again(&caa), Ok(vec!["c@example.jp".to_owned()]));
    }

    #[test]
    fn registration_data_is_read_by_todays_parsers() {
        let card = r#"{"objectClassName":"domain","ldhName":"example.com","entities":[{"roles":["administrative"],"vcardArray":["vcard",[["email",{},"text","r@example.com"]]]}]}"#;
        let one = lookup(Source::Rdap, "example.com", vec![answered("rdap", "https://rdap.example/domain/example.com", card)]);
        assert_eq!(again(&one), Ok(vec!["r@example.com".to_owned()]));
    }

    #[test]
    fn what_was_cut_or_is_no_name_is_told() {
        let mut cut = answered("ns", "q", "text");
        cut.sha256 = "00".repeat(32);
        assert_eq!(again(&lookup(Source::DnsTxt, "example.jp", vec![cut])), Err(NotReread::NotKeptWhole));
        assert_eq!(again(&lookup(Source::DnsTxt, "co.jp", Vec::new())), Err(NotReread::NoName));
        assert_eq!(NotReread::NoName.as_str().is_empty(), NotReread::NotKeptWhole.as_str().is_empty());
    }
}
