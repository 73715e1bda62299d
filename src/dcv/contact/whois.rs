//! The walk through WHOIS: IANA names the registry, the registry answers or names handles or the registrar.
//!
//! The walk opens no connection: it says what to ask next, is told the answer, and ends with contacts, status and reasons.
//! No table of servers is built in, since widely used ones name hosts that strangers now hold.

use std::borrow::Cow;

use super::whois_field::{add, contact, note};
use super::{Contact, Role, SourceStatus, whois_cctld, whois_gtld, whois_iana, whois_jprs};
use crate::dcv::name::{Adn, DomainClass};

/// Where every walk begins unless configured otherwise.
pub const IANA_SERVER: &str = "whois.iana.org";

/// Most handles asked for one domain; JPRS shows at most a handful.
pub const HANDLES_MAX: usize = 8;

/// Longest answer read, in octets; the longest recorded is under 20 KiB.
pub const ANSWER_MAX_OCTETS: usize = 64 * 1024;

/// How an answer reads as a whole; only `Found` yields contacts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhoisStatus {
    /// The record asked for.
    Found,
    /// The registry does not know the name.
    NotFound,
    /// The name is reserved.
    Reserved,
    /// The registration is suspended or deleted; its contacts do not count.
    Suspended,
    /// The server refuses for now.
    RateLimited,
    /// The service was shut down.
    Gone,
    /// Nothing but the next server's name.
    Referral,
    /// Not readable as an answer to the question.
    Error,
}

impl WhoisStatus {
    /// The status as a stable code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not-found",
            Self::Reserved => "reserved",
            Self::Suspended => "suspended",
            Self::RateLimited => "rate-limited",
            Self::Gone => "gone",
            Self::Referral => "referral",
            Self::Error => "error",
        }
    }

    /// The outcome for the source when the walk ends here without contacts.
    #[must_use]
    pub const fn as_source(self) -> SourceStatus {
        match self {
            Self::Found | Self::NotFound | Self::Reserved | Self::Suspended => SourceStatus::Empty,
            Self::RateLimited | Self::Gone | Self::Referral | Self::Error => SourceStatus::Failed,
        }
    }
}

/// A handle that a domain's answer names for a role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handle {
    /// The role the domain's answer gives it.
    pub role: super::Role,
    /// The label it stood under.
    pub label: String,
    /// The handle itself.
    pub handle: String,
}

/// One answer, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// How it reads as a whole.
    pub status: WhoisStatus,
    /// Every contact address in it.
    pub contacts: Vec<Contact>,
    /// Handles that need a query of their own.
    pub handles: Vec<Handle>,
    /// The next server it names.
    pub referral: Option<String>,
    /// Why addresses are missing, as stable codes.
    pub reasons: Vec<String>,
}

impl Reading {
    /// An answer of `status` that yields nothing.
    #[must_use]
    pub fn nothing(status: WhoisStatus) -> Self {
        let reasons = if status == WhoisStatus::Found { Vec::new() } else { vec![status.as_str().to_owned()] };
        Self { status, contacts: Vec::new(), handles: Vec::new(), referral: None, reasons }
    }

    /// An answer that is not believed, and why.
    #[must_use]
    pub fn error(reason: &str) -> Self {
        Self { reasons: vec![reason.to_owned()], ..Self::nothing(WhoisStatus::Error) }
    }
}

/// Why a server gave no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HopError {
    /// The server's name does not resolve.
    #[error("the server's name does not resolve: {0}")]
    Unresolved(String),
    /// The server's address is private, loopback or link-local and was not configured.
    #[error("the server's address is not a public one")]
    ForbiddenAddress,
    /// No complete answer in time.
    #[error("no complete answer in time")]
    Timeout,
    /// The server refused lately and is left alone for a while.
    #[error("the server refused lately and is left alone for a while")]
    BackingOff,
    /// The connection failed, was reset, or brought nothing or too much.
    #[error("{0}")]
    Broken(String),
}

impl HopError {
    /// The failure as a stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unresolved(_) => "server-unresolved",
            Self::ForbiddenAddress => "server-address-forbidden",
            Self::Timeout => "timeout",
            Self::BackingOff => "rate-limited",
            Self::Broken(_) => "connection-failed",
        }
    }
}

/// One line to send to one server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// The server's host name; port 43.
    pub server: String,
    /// The line, without its end.
    pub query: String,
}

#[derive(Clone, Debug)]
enum Stage {
    Iana,
    Registry,
    Handle(usize),
    Registrar,
    Done,
}

/// A walk in progress.
#[derive(Clone, Debug)]
pub struct Walk {
    base: Adn,
    class: DomainClass,
    root: String,
    registry: Option<String>,
    stage: Stage,
    asked: Vec<String>,
    handles: Vec<Handle>,
    /// The last answer was a refusal.
    refused: bool,
    outcome: Outcome,
}

/// Where a walk ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The outcome for the source.
    pub status: SourceStatus,
    /// The server whose answer counted.
    pub server: Option<String>,
    /// Every contact read, each with its role.
    pub contacts: Vec<Contact>,
    /// Why addresses are missing, as stable codes.
    pub reasons: Vec<String>,
}

impl Walk {
    /// Begins a walk for a Base Domain Name, at IANA (`root`) or at the registry's server where it is known from within 48 hours.
    #[must_use]
    pub fn new(base: &Adn, root: &str, registry: Option<String>) -> Self {
        Self {
            base: base.clone(),
            class: base.fqdn().class(),
            root: root.to_owned(),
            stage: if registry.is_some() { Stage::Registry } else { Stage::Iana },
            registry,
            asked: Vec::new(),
            handles: Vec::new(),
            refused: false,
            outcome: Outcome { status: SourceStatus::Empty, server: None, contacts: Vec::new(), reasons: Vec::new() },
        }
    }

    /// The top-level domain, which is what IANA is asked.
    #[must_use]
    pub fn tld(&self) -> &str {
        self.base.as_str().rsplit('.').next().unwrap_or_default()
    }

    /// The registry's server, once IANA has named it.
    #[must_use]
    pub fn registry(&self) -> Option<&str> {
        self.registry.as_deref()
    }

    /// What to ask next; `None` when the walk has ended.
    #[must_use]
    pub fn question(&self) -> Option<Question> {
        let ask = |server: &str, query: String| Some(Question { server: server.to_owned(), query });
        let name = self.base.as_str();
        match &self.stage {
            Stage::Iana => ask(&self.root, self.tld().to_owned()),
            // `/e` asks JPRS for English; under a gTLD the same server answers in English by itself.
            Stage::Registry if self.is_jp() => ask(self.registry.as_deref()?, format!("{name}/e")),
            Stage::Registry => ask(self.registry.as_deref()?, name.to_owned()),
            Stage::Handle(at) => ask(self.registry.as_deref()?, format!("CONTACT {}/e", self.handles.get(*at)?.handle)),
            Stage::Registrar => ask(self.asked.last()?, name.to_owned()),
            Stage::Done => None,
        }
    }

    /// Whether the answer taken last says that the server refuses for now.
    #[must_use]
    pub const fn was_refused(&self) -> bool {
        self.refused
    }

    /// Takes the answer to [`Walk::question`] and moves on.
    pub fn answer(&mut self, answer: Result<&[u8], HopError>) {
        self.refused = false;
        let raw = match answer {
            Ok(raw) => raw,
            Err(error) => return self.failed(error.code()),
        };
        match self.stage.clone() {
            Stage::Iana => match decode(raw, false).and_then(|text| whois_iana::referral(&text, self.tld())) {
                Some(server) => {
                    self.registry = Some(server);
                    self.stage = Stage::Registry;
                }
                // IANA's plain word that there is none is an answer, not a failure; any other text is one.
                None if decode(raw, false).is_some_and(|text| whois_iana::has_none(&text, self.tld())) => {
                    self.note("no-whois-server");
                    self.stage = Stage::Done;
                }
                None => self.failed("unreadable-answer"),
            },
            Stage::Registry => {
                self.outcome.server.clone_from(&self.registry);
                self.asked.extend(self.registry.clone());
                let reading = read_domain(raw, &self.base);
                self.refused = reading.status == WhoisStatus::RateLimited && self.is_refusal(raw);
                self.registry_answered(reading);
            }
            Stage::Handle(at) => match decode(raw, true) {
                Some(text) => self.handle_answered(at, &text),
                None => self.failed("undecodable"),
            },
            Stage::Registrar => {
                let reading = read_domain(raw, &self.base);
                self.refused = reading.status == WhoisStatus::RateLimited && self.is_refusal(raw);
                if reading.contacts.is_empty() && !self.outcome.contacts.is_empty() {
                    for reason in &reading.reasons {
                        self.note(reason);
                    }
                    self.stage = Stage::Done;
                } else {
                    self.outcome.server = self.asked.last().cloned();
                    self.settle(reading);
                }
            }
            Stage::Done => {}
        }
    }

    /// What the walk found. Asking before it ended tells what is known so far.
    #[must_use]
    pub fn finish(self) -> Outcome {
        self.outcome
    }

    fn is_refusal(&self, raw: &[u8]) -> bool {
        decode(raw, self.is_jp()).is_some_and(|text| is_refusal(&text, self.base.as_str()))
    }

    fn is_jp(&self) -> bool {
        !matches!(self.class, DomainClass::Gtld | DomainClass::Cctld)
    }

    fn failed(&mut self, reason: &str) {
        self.outcome.status = SourceStatus::Failed;
        self.note(reason);
        // One handle that cannot be asked must not hide the next.
        match self.stage {
            Stage::Handle(at) => self.after_handle(at),
            _ => self.stage = Stage::Done,
        }
    }

    fn note(&mut self, reason: &str) {
        note(&mut self.outcome.reasons, reason);
    }

    fn registry_answered(&mut self, reading: Reading) {
        if !reading.handles.is_empty() {
            self.handles.clone_from(&reading.handles);
            self.handles.truncate(HANDLES_MAX);
            self.settle(reading);
            self.stage = Stage::Handle(0);
            return;
        }
        let next = reading.referral.clone().filter(|server| !self.asked.contains(server) && *server != self.root);
        match next {
            // What the registry shows stays, should the registrar not answer.
            Some(server) if !self.is_jp() && !reading.contacts.iter().any(|one| one.role == Some(Role::Administrative)) => {
                self.settle(reading);
                self.outcome.reasons.clear();
                self.asked.push(server);
                self.stage = Stage::Registrar;
            }
            _ => self.settle(reading),
        }
    }

    fn handle_answered(&mut self, at: usize, text: &str) {
        let Some(asked) = self.handles.get(at).map(|handle| handle.handle.clone()) else { return };
        match whois_jprs::read_handle(text, &asked) {
            Ok(Some(email)) => {
                // A handle that holds two roles is asked once.
                for same in self.handles.iter().filter(|handle| handle.handle == asked) {
                    let one = contact(same.role, &same.label, Some(asked.clone()), email.clone());
                    add(&mut self.outcome.contacts, one);
                }
                if self.outcome.status != SourceStatus::Failed {
                    self.outcome.status = SourceStatus::Ok;
                }
            }
            Ok(None) => self.note("no-email"),
            Err(_) if is_refusal(text, &asked) => {
                self.refused = true;
                return self.failed("rate-limited");
            }
            Err(reason) => return self.failed(reason),
        }
        self.after_handle(at);
    }

    /// Moves to the next handle that was not asked yet.
    fn after_handle(&mut self, at: usize) {
        let next = (at + 1..self.handles.len())
            .find(|&next| self.handles[..next].iter().all(|earlier| earlier.handle != self.handles[next].handle));
        self.stage = next.map_or(Stage::Done, Stage::Handle);
    }

    fn settle(&mut self, reading: Reading) {
        self.outcome.status = if reading.contacts.is_empty() { reading.status.as_source() } else { SourceStatus::Ok };
        self.outcome.contacts = reading.contacts;
        for reason in reading.reasons {
            self.note(&reason);
        }
        self.stage = Stage::Done;
    }
}

/// Reads an answer's bytes as text: ISO-2022-JP where it escapes, UTF-8, then EUC-JP and `Shift_JIS` strictly. Outside `jp`
/// Latin-1 is the last resort, so that no answer is lost to its encoding; labels and addresses are ASCII in all of them. UTF-8 that was
/// cut within a character is nothing else: where a mailbox is not ASCII it would read as another one.
#[must_use]
pub fn decode(raw: &[u8], is_jp: bool) -> Option<String> {
    use encoding_rs::{EUC_JP, ISO_2022_JP, SHIFT_JIS, WINDOWS_1252};
    if raw.contains(&0x1b) {
        let (text, _, broken) = ISO_2022_JP.decode(raw);
        if !broken {
            return Some(text.into_owned());
        }
    }
    match std::str::from_utf8(raw) {
        Ok(text) => return Some(text.trim_start_matches('\u{feff}').to_owned()),
        // Where nothing else shows that it is UTF-8, the last octets are a Latin-1 text's own as likely.
        Err(error) if error.error_len().is_none() && !raw[..error.valid_up_to()].is_ascii() => return None,
        Err(_) => {}
    }
    if !is_jp {
        return Some(WINDOWS_1252.decode_without_bom_handling(raw).0.into_owned());
    }
    let strictly = |encoding: &&'static encoding_rs::Encoding| encoding.decode_without_bom_handling_and_without_replacement(raw);
    [EUC_JP, SHIFT_JIS].iter().find_map(strictly).map(Cow::into_owned)
}

/// What an answer without a record says.
pub(super) fn classify(text: &str) -> WhoisStatus {
    let start: String = text.chars().take(4000).collect::<String>().to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| start.contains(phrase));
    if says(&[
        "too many",
        "limit exceeded",
        "limit reached",
        "quota",
        "try again later",
        "queries exceeded",
        "blocked",
        "blacklisted",
    ]) {
        WhoisStatus::RateLimited
    } else if says(&["has been retired", "tld is not supported", "service is no longer available"]) {
        WhoisStatus::Gone
    } else if says(&[
        "no match",
        "not found",
        "no data found",
        "no entries found",
        "no object found",
        "status: free",
        "is available",
    ]) {
        WhoisStatus::NotFound
    } else {
        WhoisStatus::Error
    }
}

/// Whether an answer is a server's refusal rather than a record that speaks of refusals: a record holds what was asked for, and
/// whoever wrote its free text must not be able to silence the server for everybody.
fn is_refusal(text: &str, asked: &str) -> bool {
    classify(text) == WhoisStatus::RateLimited && !text.to_ascii_lowercase().contains(&asked.to_ascii_lowercase())
}

/// Reads an answer for a domain in whichever layout its registry uses. One that shows nobody says so.
#[must_use]
pub fn read_domain(raw: &[u8], base: &Adn) -> Reading {
    let is_jp = !matches!(base.fqdn().class(), DomainClass::Gtld | DomainClass::Cctld);
    let Some(text) = decode(raw, is_jp) else {
        return Reading::error("undecodable");
    };
    let tld = base.as_str().rsplit('.').next().unwrap_or_default();
    if let Some(server) = whois_iana::is_iana(&text, tld).then(|| whois_iana::referral(&text, tld)).flatten() {
        return Reading { referral: Some(server), reasons: Vec::new(), ..Reading::nothing(WhoisStatus::Referral) };
    }
    let mut reading = if is_jp {
        whois_jprs::read_domain(&text, base)
    } else {
        whois_cctld::read(&text, base).unwrap_or_else(|| whois_gtld::read(&text, base))
    };
    let is_silent = reading.contacts.is_empty() && reading.handles.is_empty() && reading.reasons.is_empty();
    if reading.status == WhoisStatus::Found && is_silent {
        note(&mut reading.reasons, "no-email");
    }
    reading
}

/// Reads saved answers for a domain: one for the domain, and any for the handles it names. A handle's answer counts only
/// beside the domain's, which gives its role. The handles left in the reading still need a query.
#[must_use]
pub fn read_saved(answers: &[Vec<u8>], base: &Adn) -> Reading {
    let is_handle = |raw: &&Vec<u8>| decode(raw, true).is_some_and(|text| whois_jprs::is_handle_answer(&text));
    let (handles, domains): (Vec<&Vec<u8>>, Vec<&Vec<u8>>) = answers.iter().partition(is_handle);
    let [domain] = domains[..] else {
        return Reading::error("one-domain-answer-needed");
    };
    let mut reading = read_domain(domain, base);
    let texts: Vec<String> = handles.iter().filter_map(|raw| decode(raw, true)).collect();
    for handle in std::mem::take(&mut reading.handles) {
        match texts.iter().map(|text| whois_jprs::read_handle(text, &handle.handle)).find(|read| *read != Err("handle-mismatch"))
        {
            None => reading.handles.push(handle),
            Some(Ok(Some(email))) => {
                add(&mut reading.contacts, contact(handle.role, &handle.label, Some(handle.handle), email));
            }
            Some(Ok(None)) => note(&mut reading.reasons, "no-email"),
            Some(Err(reason)) => note(&mut reading.reasons, reason),
        }
    }
    reading
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::name::SuffixList;

    fn base(name: &str) -> Adn {
        Adn::parse(name, &SuffixList::BuiltIn).unwrap()
    }

    #[test]
    fn a_walk_for_an_organizational_jp_name_asks_iana_the_registry_and_each_handle() {
        let mut walk = Walk::new(&base("example.co.jp"), IANA_SERVER, None);
        let mut asked = Vec::new();
        while let Some(question) = walk.question() {
            let answer = match question.query.as_str() {
                "jp" => "domain: JP\nrefer: whois.jprs.jp\n",
                "example.co.jp/e" => {
                    "Domain Information:\na. [Domain Name]                EXAMPLE.CO.JP\nm. [Administrative Contact]     AB1234JP\n\
                     n. [Technical Contact]          AB1234JP\nn. [Technical Contact]          CD5678JP\n"
                }
                "CONTACT AB1234JP/e" => "Contact Information:\na. [JPNIC Handle]   AB1234JP\nd. [E-Mail]   a@example.co.jp\n",
                _ => "Contact Information:\na. [JPNIC Handle]   CD5678JP\nd. [E-Mail]   c@example.co.jp\n",
            };
            asked.push(format!("{} {}", question.server, question.query));
            walk.answer(Ok(answer.as_bytes()));
        }
        assert_eq!(
            asked,
            [
                "whois.iana.org jp",
                "whois.jprs.jp example.co.jp/e",
                "whois.jprs.jp CONTACT AB1234JP/e",
                "whois.jprs.jp CONTACT CD5678JP/e"
            ]
        );
        let outcome = walk.finish();
        assert_eq!(outcome.status, SourceStatus::Ok);
        let roles: Vec<_> = outcome.contacts.iter().map(|c| (c.role.unwrap().as_str(), c.email.to_string())).collect();
        assert_eq!(
            roles,
            [
                ("administrative", "a@example.co.jp".into()),
                ("technical", "a@example.co.jp".into()),
                ("technical", "c@example.co.jp".into())
            ]
        );
    }

    #[test]
    fn a_role_and_address_stand_once_and_so_does_a_reason() {
        let domain = "Domain Information:\na. [Domain Name]  EXAMPLE.CO.JP\nm. [Administrative Contact]  AB1234JP\n\
            n. [Technical Contact]  AB1234JP\nn. [Technical Contact]  CD5678JP\nn. [Technical Contact]  CD5678JP\n\
            n. [Technical Contact]  EF9012JP\nn. [Technical Contact]  GH3456JP\n";
        let handle =
            |handle: &str, email: &str| format!("Contact Information:\na. [JPNIC Handle]  {handle}\nd. [E-Mail]  {email}\n");
        let answers = [
            handle("AB1234JP", "a@example.co.jp"),
            handle("CD5678JP", "a@example.co.jp"),
            handle("EF9012JP", ""),
            handle("GH3456JP", ""),
        ];
        let told = |contacts: &[Contact]| {
            let one = |contact: &Contact| (contact.role, contact.handle.clone(), contact.email.to_string());
            contacts.iter().map(one).collect::<Vec<_>>()
        };
        let expected = [Role::Administrative, Role::Technical]
            .map(|role| (Some(role), Some("AB1234JP".to_owned()), "a@example.co.jp".to_owned()));
        let texts = std::iter::once(domain).chain(answers.iter().map(String::as_str));
        let saved: Vec<Vec<u8>> = texts.map(|text| text.as_bytes().to_vec()).collect();
        let reading = read_saved(&saved, &base("example.co.jp"));
        assert_eq!((told(&reading.contacts), reading.reasons), (expected.to_vec(), vec!["no-email".to_owned()]));
        let mut walk = Walk::new(&base("example.co.jp"), IANA_SERVER, Some("whois.jprs.jp".into()));
        for answer in &saved {
            walk.answer(Ok(answer.as_slice()));
        }
        assert!(walk.question().is_none());
        let outcome = walk.finish();
        assert_eq!((told(&outcome.contacts), outcome.reasons), (expected.to_vec(), vec!["no-email".to_owned()]));
    }

    #[test]
    fn a_handle_that_cannot_be_asked_hides_no_other_and_is_told() {
        let mut walk = Walk::new(&base("example.co.jp"), IANA_SERVER, Some("whois.jprs.jp".into()));
        walk.answer(Ok(b"Domain Information:\na. [Domain Name]  EXAMPLE.CO.JP\nm. [Administrative Contact]  AB1234JP\nn. [Technical Contact]  CD5678JP\n"));
        walk.answer(Err(HopError::Timeout));
        walk.answer(Ok(b"Contact Information:\na. [JPNIC Handle]  CD5678JP\nd. [E-Mail]  c@example.co.jp\n"));
        assert!(walk.question().is_none());
        let outcome = walk.finish();
        assert_eq!((outcome.status, outcome.contacts.len()), (SourceStatus::Failed, 1));
        assert_eq!(outcome.reasons, ["timeout"]);
    }

    #[test]
    fn a_record_that_speaks_of_refusals_is_none() {
        let mut walk = Walk::new(&base("example.co.jp"), IANA_SERVER, Some("whois.jprs.jp".into()));
        walk.answer(Ok(b"Domain Information:\na. [Domain Name]  EXAMPLE.CO.JP\nm. [Administrative Contact]  AB1234JP\n"));
        let tricked =
            "Contact Information:\na. [JPNIC Handle]  AB1234JP\nd. [E-Mail]  none\nf. [Organization]  quota exceeded, blocked\n";
        walk.answer(Ok(tricked.as_bytes()));
        assert!(!walk.was_refused());
        let mut walk = Walk::new(&base("example.com"), IANA_SERVER, Some("whois.registry.example".into()));
        walk.answer(Ok(b"Query rate limit exceeded. Try again later.\n"));
        assert!(walk.was_refused());
    }

    #[test]
    fn a_gtld_walk_follows_the_registrar_once_and_never_loops() {
        let mut walk = Walk::new(&base("example.com"), IANA_SERVER, Some("whois.registry.example".into()));
        walk.answer(Ok(b"   Domain Name: EXAMPLE.COM\r\n   Registrar WHOIS Server: whois.registrar.example\r\n"));
        assert_eq!(walk.question().unwrap().server, "whois.registrar.example");
        walk.answer(Ok(
            b"Domain Name: example.com\r\nRegistrar WHOIS Server: whois.third.example\r\nAdmin Email: a@example.com\r\n",
        ));
        assert!(walk.question().is_none());
        assert_eq!(walk.finish().contacts[0].email.to_string(), "a@example.com");

        let mut walk = Walk::new(&base("example.com"), IANA_SERVER, Some("whois.registry.example".into()));
        walk.answer(Ok(b"Domain Name: EXAMPLE.COM\nRegistrar WHOIS Server: whois.iana.org\n"));
        assert!(walk.question().is_none());
    }

    #[test]
    fn a_record_that_shows_nobody_says_so() {
        let general = "Domain Information:\n[Domain Name]  EXAMPLE.JP\n[Status]  Active\n";
        for (name, text, reasons) in [
            ("example.jp", general, "no-email"),
            ("example.jp", &format!("{general}Contact Information:\n[Name]  Taro\n"), "no-email"),
            ("example.jp", &general.replace("Active", "Suspended"), "suspended"),
            (
                "example.co.jp",
                "Domain Information:\na. [Domain Name]  EXAMPLE.CO.JP\nm. [Administrative Contact]  AB1234JP\n",
                "",
            ),
            (
                "example.co.jp",
                "Domain Information:\na. [Domain Name]  EXAMPLE.CO.JP\nm. [Administrative Contact]  \n",
                "no-email",
            ),
            ("example.com", "Domain Name: EXAMPLE.COM\nRegistrar: R\n", "no-email"),
            ("example.com", "Domain Name: EXAMPLE.COM\nRegistrar WHOIS Server: whois.registrar.example\n", ""),
        ] {
            assert_eq!(read_saved(&[text.as_bytes().to_vec()], &base(name)).reasons.join(" "), reasons, "{text}");
        }
    }

    #[test]
    fn an_answer_cut_within_a_character_is_not_read_as_another_text() {
        let read = |text: &str, name: &str| read_domain(&text.as_bytes()[..text.len() - 1], &base(name));
        let whole = "Domain Name: EXAMPLE.COM\nAdmin Email: 山田@example.com\nTech Name: 太";
        let reading = read(whole, "example.com");
        assert_eq!(
            (reading.status, reading.contacts.len(), reading.reasons),
            (WhoisStatus::Error, 0, vec!["undecodable".into()])
        );
        let general = "Domain Information:\n[Domain Name]   EXAMPLE.JP\nContact Information: [公開連絡窓口]\n[Email]   a@example.jp\n[住所]  東";
        assert_eq!(read(general, "example.jp").reasons, ["undecodable"]);
        // The octets of the lines before are the same in every encoding.
        let reading = read(&whole.replace("山田", "taro"), "example.com");
        assert_eq!(reading.contacts[0].email.to_string(), "taro@example.com");
        // Within the address itself it is cut as any other.
        assert_eq!(read("Domain Name: EXAMPLE.COM\nAdmin Email: a@例", "example.com").reasons, ["truncated"]);
        assert_eq!(read("Domain Name: EXAMPLE.COM\nTech Name: 太\nAdmin Email: a@例", "example.com").reasons, ["undecodable"]);
    }

    #[test]
    fn a_registry_whose_name_was_cut_is_not_asked() {
        let mut walk = Walk::new(&base("example.com"), IANA_SERVER, None);
        walk.answer(Ok(b"% IANA\ndomain: COM\nrefer: whois.registry.co"));
        assert!(walk.question().is_none() && walk.registry().is_none());
        assert_eq!(walk.finish().reasons, ["unreadable-answer"]);
    }

    #[test]
    fn iso_2022_jp_is_decoded() {
        let (raw, _, _) = encoding_rs::ISO_2022_JP.encode("[ドメイン名]");
        assert_eq!(decode(&raw, true).as_deref(), Some("[ドメイン名]"));
        assert_eq!(decode("ドメイン".as_bytes(), true).as_deref(), Some("ドメイン"));
        assert_eq!(decode(b"\xff\xfe\xfd", true), None);
        assert_eq!(decode(b"caf\xe9", false).as_deref(), Some("café"));
    }
}
