//! What the shell needs of the outside world. Few, small and ours: no library's type stands in a signature.
//!
//! A port returns evidence, not just an answer: what was asked of whom, when, and what came back, also on failure.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::dcv::authorization_request::Secrets;
use crate::dcv::contact::dns_caa::CaaRecord;
use crate::dcv::contact::dns_txt::DnsOutcome;
use crate::dcv::contact::rdap::AskError;
use crate::dcv::contact::whois::{HopError, Question};
use crate::dcv::email::EmailAddress;
use crate::dcv::evidence::{Dnssec, Exchange};
use crate::dcv::id::MailId;
use crate::dcv::operator_certificate::Presented;
use crate::dcv::operator_claims::Identity;
use crate::dcv::timestamp::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// Tells whether a person is who they say.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Whether a password fits its hash; `None` stands for nobody, and takes as long.
    async fn is_password(&self, password: &str, hash: Option<&str>) -> bool;

    /// The step of a one-time password that is right at an instant. Spec: RFC 6238.
    fn step(&self, secret: &[u8; 20], code: &str, at: Timestamp) -> Option<i64>;
}

/// Draws random bytes fit for keys and Random Values.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// What a DNS question brought.
#[derive(Debug, Clone)]
pub struct DnsAnswer<T> {
    /// How it ended.
    pub outcome: DnsOutcome<T>,
    /// The weakest DNSSEC verdict over every link of the answer.
    pub dnssec: Dnssec,
    /// How long it may be believed.
    pub ttl: Duration,
    /// What was asked of whom, and what came back.
    pub exchange: Exchange,
}

/// DNS look-ups. Bounded in time by the implementation.
#[async_trait]
pub trait Dns: Send + Sync {
    /// Asks for the TXT records at `name`, each record's strings joined. No search list is applied.
    async fn txt(&self, name: &str) -> DnsAnswer<Vec<u8>>;

    /// Asks for the CAA records at `name` itself, without climbing.
    async fn caa(&self, name: &str) -> DnsAnswer<CaaRecord>;

    /// Asks for the names of a domain's mail exchangers, for advice.
    async fn mx(&self, name: &str) -> DnsOutcome<String>;

    /// Asks whether a name has an address of either family, for advice.
    async fn addresses(&self, name: &str) -> DnsOutcome<()>;
}

/// One WHOIS answer.
#[derive(Debug, Clone)]
pub struct WhoisAnswer {
    /// The bytes, or why there are none.
    pub result: Result<Vec<u8>, HopError>,
    /// What was asked of whom, and what came back.
    pub exchange: Exchange,
}

/// WHOIS look-ups, one question to one server. Bounded in size and time, and in rate per server, by the implementation,
/// which never connects to a private address that was not configured.
#[async_trait]
pub trait Whois: Send + Sync {
    /// Asks.
    async fn ask(&self, question: &Question) -> WhoisAnswer;

    /// Takes note that a server refuses for now: it is left alone for the time told, longer each time.
    fn back_off(&self, server: &str) -> Duration;
}

/// One RDAP answer.
#[derive(Debug, Clone)]
pub struct RdapAnswer {
    /// The HTTP status and body, or why there are none that count.
    pub result: Result<(u16, Vec<u8>), AskError>,
    /// What was asked of whom, and what came back.
    pub exchange: Exchange,
}

/// RDAP look-ups. Bounded in size and time by the implementation, which never connects to a private address that was not
/// configured and follows no redirect.
#[async_trait]
pub trait Rdap: Send + Sync {
    /// Reads IANA's bootstrap registry. Spec: RFC 9224.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    async fn bootstrap(&self) -> Result<Vec<u8>, String>;

    /// Asks for one object.
    async fn ask(&self, url: &str) -> RdapAnswer;
}

/// A mail before it is bytes. Not for debug output: its text holds the link.
#[derive(Clone)]
pub struct Letter {
    /// The recipient.
    pub to: EmailAddress,
    /// What the sender is called, where it is not as configured; the address is.
    pub from_name: Option<String>,
    /// Where replies go, where the configuration does not say; else to the sender.
    pub reply_to: Option<String>,
    /// One line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The same in HTML, where it has that.
    pub html: Option<String>,
    /// With angle brackets.
    pub message_id: String,
    /// Our own id of an approval mail, which comes back with what encloses the mail's headers.
    pub mail_id: Option<MailId>,
    /// What kind of mail it is, in a word; providers tell complaints apart by it.
    pub kind: &'static str,
    /// The Date header.
    pub date: Timestamp,
    /// The languages of the text, as in Content-Language.
    pub languages: &'static str,
}

/// A letter that cannot be put into bytes.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the mail cannot be composed: {0}")]
pub struct ComposeError(pub String);

/// A message on its way out.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'m> {
    /// The envelope's sender.
    pub return_path: &'m str,
    /// The envelope's recipient.
    pub to: &'m EmailAddress,
    /// What reports name the mail by. Spec: RFC 3461 section 4.4 (ENVID).
    pub envelope_id: &'m str,
    /// Reports of delay and success are wanted too, not of failure alone.
    pub all_reports: bool,
}

/// How a message was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handover {
    /// Which relay took it, as host and port.
    pub relay: String,
    /// It went over TLS.
    pub tls: bool,
    /// The relay's name for it, where it tells.
    pub queue_id: Option<String>,
    /// The relay's words.
    pub reply: String,
    /// What was said, a step a line, without the message.
    pub dialogue: Vec<String>,
}

/// What went wrong with a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trouble {
    /// In a line.
    pub detail: String,
    /// What was said, a step a line, without the message.
    pub dialogue: Vec<String>,
    /// The relay may have taken the message all the same.
    pub may_be_taken: bool,
}

impl Trouble {
    /// This trouble after that of another relay.
    #[must_use]
    pub fn after(self, before: Option<Self>) -> Self {
        let Some(mut before) = before else { return self };
        before.dialogue.extend(self.dialogue);
        Self { detail: format!("{}; {}", before.detail, self.detail), dialogue: before.dialogue, may_be_taken: self.may_be_taken }
    }
}

/// Why a mail was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendFailure {
    /// Try again: a 4xx answer, a time-out, a broken connection, TLS trouble.
    #[error("{}", .0.detail)]
    Transient(Trouble),
    /// The relay refuses for good: a 5xx answer.
    #[error("{}", .0.detail)]
    Permanent(Trouble),
}

/// The way out for mail.
#[async_trait]
pub trait MailOut: Send + Sync {
    /// Puts a letter into its final bytes; the same letter gives the same bytes.
    ///
    /// # Errors
    /// [`ComposeError`] for an address the mail library refuses.
    fn compose(&self, letter: &Letter) -> Result<Vec<u8>, ComposeError>;

    /// Hands a message to the first relay that takes it.
    ///
    /// # Errors
    /// [`SendFailure`], which says whether to try again, and whether the mail may have been taken all the same.
    async fn send(&self, mail: &Outgoing<'_>, message: &[u8]) -> Result<Handover, SendFailure>;
}

/// Where returned mail arrives. A message stays until it is said to be done with.
#[async_trait]
pub trait MailIn: Send + Sync {
    /// The names of messages that wait, some at a time: oldest first, and those in `last` after all others.
    ///
    /// # Errors
    /// The place cannot be read.
    async fn waiting(&self, last: &HashSet<String>) -> std::io::Result<Vec<String>>;

    /// Reads one, up to the implementation's limit in size.
    ///
    /// # Errors
    /// It cannot be read.
    async fn read(&self, name: &str) -> std::io::Result<Vec<u8>>;

    /// Puts one away, so that it does not wait any more.
    ///
    /// # Errors
    /// It cannot be moved.
    async fn done(&self, name: &str) -> std::io::Result<()>;
}

/// Why a webhook was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct PostFailure {
    /// The receiver's status, or what went wrong.
    pub detail: String,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The receiver says that it is gone for good (410).
    pub gone: bool,
}

/// The way out for webhooks. Signs by the Standard Webhooks specification.
#[async_trait]
pub trait Webhook: Send + Sync {
    /// Posts `body` to the endpoint called `endpoint` and returns the receiver's status line.
    ///
    /// # Errors
    /// [`PostFailure`] for anything but a 2xx answer in time.
    async fn post(&self, endpoint: &str, id: &str, now: Timestamp, body: &str) -> Result<String, PostFailure>;

    /// What tells an endpoint's address without holding it, since it may hold credentials; `None` where none is configured under the name.
    fn address(&self, endpoint: &str) -> Option<String>;
}

/// Looks at certificates that clients present.
pub trait ClientCertificates: Send + Sync {
    /// What a chain says, DER, the client's own first, and what is known of it; `None` where there is none.
    fn look_at(&self, chain: &[Vec<u8>], now: Timestamp) -> Option<Presented>;
}

/// Why a provider's word is not had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenIdFailure {
    /// It does not answer, or what it says of itself cannot be used.
    #[error("the provider cannot be asked: {0}")]
    Unavailable(String),
    /// It does not know the code, or us.
    #[error("the provider refused: {0}")]
    Refused(String),
    /// What it says cannot be verified.
    #[error("the provider's answer cannot be verified: {0}")]
    Unverified(String),
}

/// An OpenID Connect provider.
#[async_trait]
pub trait OpenId: Send + Sync {
    /// Where a browser goes to sign in.
    ///
    /// # Errors
    /// [`OpenIdFailure::Unavailable`].
    async fn authorization_url(&self, secrets: &Secrets, english: bool, now: Timestamp) -> Result<String, OpenIdFailure>;

    /// Whom the provider let in, by the code that came back; `wanted` are the claims that it is asked for where its token lacks them.
    ///
    /// # Errors
    /// [`OpenIdFailure`].
    async fn identity(&self, code: &str, secrets: &Secrets, wanted: &[&str], now: Timestamp) -> Result<Identity, OpenIdFailure>;
}

/// Everything the shell needs of the outside world.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is the port of its name")]
pub struct Ports {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub credentials: Arc<dyn Credentials>,
    pub client_certificates: Option<Arc<dyn ClientCertificates>>,
    pub open_id: Option<Arc<dyn OpenId>>,
    pub dns: Arc<dyn Dns>,
    pub whois: Arc<dyn Whois>,
    pub rdap: Arc<dyn Rdap>,
    pub mail_out: Arc<dyn MailOut>,
    pub mail_in: Option<Arc<dyn MailIn>>,
    pub webhook: Arc<dyn Webhook>,
}
