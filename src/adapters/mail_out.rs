//! Mail out by lettre, over connections of our own: its pool would manage 22 mails a second a connection, and could read one
//! mail's answer as the next one's after a time-out. Here a connection belongs to one send at a time, every step has a
//! deadline, and a connection on which anything went wrong is dropped.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, MultiPartKind, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, address::Envelope};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::{Host, Url};

use crate::dcv::email::EmailAddress;
use crate::dcv::returned_mail::MAIL_ID_HEADER;
use crate::ports::{ComposeError, Letter, MailOut, SendFailure};

/// How a relay is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    /// Loopback only, unless the URL says `tls=none`.
    Plain,
    /// TLS from the first byte.
    Implicit,
    /// STARTTLS, or nothing is sent.
    Required,
    /// STARTTLS where it is offered.
    Opportunistic,
}

/// The relay and the sender's addresses.
pub struct SmtpSettings {
    /// `smtp://…` or `smtps://…`.
    pub url: SecretString,
    /// The From header.
    pub from: String,
    /// The Reply-To header; empty = none.
    pub reply_to: String,
    /// The password for the URL's user, where it comes from a file.
    pub password: Option<SecretString>,
    /// For each step.
    pub timeout: Duration,
    /// Mails on one connection.
    pub mails_per_connection: u32,
    /// Age of a connection.
    pub connection_age: Duration,
}

/// The SMTP settings make no sense.
#[derive(Debug, thiserror::Error)]
#[error("smtp.{key}: {problem}")]
pub struct SmtpSetupError {
    /// The key at fault.
    pub key: &'static str,
    /// What is wrong.
    pub problem: String,
}

/// Hands mails to one relay.
pub struct Smtp {
    host: String,
    port: u16,
    security: Security,
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    hello: ClientId,
    timeout: Duration,
    mails_per_connection: u32,
    connection_age: Duration,
    idle: Mutex<Vec<Connection>>,
}

struct Connection {
    smtp: AsyncSmtpConnection,
    since: Instant,
    mails: u32,
}

impl Smtp {
    /// Reads the settings; connects to nothing yet.
    ///
    /// # Errors
    /// [`SmtpSetupError`] names the key at fault.
    pub fn new(settings: &SmtpSettings) -> Result<Self, SmtpSetupError> {
        let bad = |key, problem: &str| SmtpSetupError { key, problem: problem.to_owned() };
        let url = Url::parse(settings.url.expose_secret()).map_err(|error| bad("url", &error.to_string()))?;
        let host = url.host().ok_or_else(|| bad("url", "names no host"))?;
        let loopback = match &host {
            Host::Domain(name) => *name == "localhost",
            Host::Ipv4(v4) => v4.is_loopback(),
            Host::Ipv6(v6) => v6.is_loopback(),
        };
        // A scheme that `url` does not know as special keeps an IPv4 host as text.
        let loopback = loopback || host.to_string().parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let wish = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
        let (security, default_port) = match (url.scheme(), wish.as_deref()) {
            ("smtps", None) => (Security::Implicit, 465),
            ("smtp", Some("opportunistic")) => (Security::Opportunistic, 25),
            ("smtp", Some("none")) => (Security::Plain, 25),
            ("smtp", None) if loopback => (Security::Plain, 25),
            ("smtp", None | Some("required")) => (Security::Required, 587),
            _ => return Err(bad("url", "must be smtp://HOST:PORT, smtps://HOST:PORT or smtp://HOST:PORT?tls=required")),
        };
        let host = host.to_string().trim_matches(['[', ']']).to_owned();
        let tls = match security {
            Security::Plain => None,
            _ => Some(TlsParameters::new(host.clone()).map_err(|error| bad("url", &error.to_string()))?),
        };
        let password = settings.password.as_ref().map(|password| password.expose_secret().to_owned());
        let password = password.or_else(|| url.password().map(percent_decode));
        let user = percent_decode(url.username());
        let credentials = password.map(|password| Credentials::new(user, password));
        let mailbox = |key, text: &str| text.parse::<Mailbox>().map_err(|error| bad(key, &error.to_string()));
        Ok(Self {
            port: url.port().unwrap_or(default_port),
            host,
            security,
            tls,
            credentials,
            from: mailbox("from", &settings.from)?,
            reply_to: if settings.reply_to.is_empty() { None } else { Some(mailbox("reply_to", &settings.reply_to)?) },
            hello: ClientId::default(),
            timeout: settings.timeout,
            mails_per_connection: settings.mails_per_connection.max(1),
            connection_age: settings.connection_age,
            idle: Mutex::new(Vec::new()),
        })
    }

    /// A connection that is young enough and was last left in good order.
    fn reuse(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if connection.since.elapsed() < self.connection_age && connection.mails < self.mails_per_connection {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, connection: Connection) {
        if connection.mails < self.mails_per_connection && !connection.smtp.has_broken() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }

    async fn dial(&self) -> Result<Connection, SendFailure> {
        let connect = async {
            let relay = format!("{}:{}", self.host, self.port);
            let words = |error: &dyn std::fmt::Display| SendFailure::Transient(format!("{relay}: {error}"));
            let mut smtp = if self.security == Security::Implicit {
                let server = (self.host.as_str(), self.port);
                AsyncSmtpConnection::connect_tokio1(server, Some(self.timeout), &self.hello, self.tls.clone(), None)
                    .await
                    .map_err(|error| words(&chain(&error)))?
            } else {
                let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| words(&error))?;
                // Without it the body and its end wait for each other: 40 ms a mail.
                stream.set_nodelay(true).map_err(|error| words(&error))?;
                AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello)
                    .await
                    .map_err(|error| words(&chain(&error)))?
            };
            if let (Some(tls), Security::Required | Security::Opportunistic) = (&self.tls, self.security) {
                if smtp.can_starttls() {
                    smtp.starttls(tls.clone(), &self.hello)
                        .await
                        .map_err(|error| SendFailure::Transient(format!("{relay}: TLS: {error}")))?;
                } else if self.security == Security::Required {
                    return Err(SendFailure::Transient(format!("{relay} offers no STARTTLS and it is required")));
                }
            }
            if let Some(credentials) = &self.credentials {
                // A refused log-in is trouble with our own account, not with the mail: keep trying.
                let refused = |error: lettre::transport::smtp::Error| SendFailure::Transient(format!("{relay}: AUTH: {error}"));
                smtp.auth(DEFAULT_MECHANISMS, credentials).await.map_err(refused)?;
            }
            Ok(smtp)
        };
        match timeout(self.timeout, connect).await {
            Ok(smtp) => Ok(Connection { smtp: smtp?, since: Instant::now(), mails: 0 }),
            Err(_) => Err(SendFailure::Transient(format!("{}:{}: no connection in time", self.host, self.port))),
        }
    }

    /// Whose fault it is, once a mail is being handed over: 5xx answers and mails the relay cannot carry are for good, everything
    /// else may pass. Before that all trouble is between the relay and us, and says nothing of the mail.
    fn failure(&self, error: &lettre::transport::smtp::Error) -> SendFailure {
        let words = format!("{}:{}: {}", self.host, self.port, chain(error));
        if error.is_permanent() || error.is_client() { SendFailure::Permanent(words) } else { SendFailure::Transient(words) }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_words = inner.to_string();
        if !words.contains(&inner_words) {
            words = format!("{words}: {inner_words}");
        }
        cause = inner.source();
    }
    words
}

fn percent_decode(text: &str) -> String {
    url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

#[async_trait]
impl MailOut for Smtp {
    fn compose(&self, letter: &Letter) -> Result<Vec<u8>, ComposeError> {
        let to: Address = letter.to.to_string().parse().map_err(|error| ComposeError(format!("{error}")))?;
        let seconds = u64::try_from(letter.date.unix_secs()).unwrap_or(0);
        let header = |name: &'static str, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
        // Near the top: some servers cut the headers that they return.
        let mut builder = Message::builder()
            .message_id(Some(letter.message_id.clone()))
            .raw_header(header(MAIL_ID_HEADER, &letter.mail_id.to_string()))
            .date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(&letter.subject)
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Auto-Response-Suppress", "OOF, AutoReply"))
            .raw_header(header("Content-Language", letter.languages));
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(reply_to.clone());
        }
        // The boundary comes from the id: the same letter gives the same bytes.
        let parts = MultiPart::builder()
            .kind(MultiPartKind::Alternative)
            .boundary(format!("=_{}", letter.mail_id))
            .singlepart(SinglePart::plain(letter.text.clone()))
            .singlepart(SinglePart::html(letter.html.clone()));
        let message = builder.multipart(parts).map_err(|error| ComposeError(error.to_string()))?;
        Ok(message.formatted())
    }

    async fn send(&self, return_path: &str, to: &EmailAddress, message: &[u8]) -> Result<String, SendFailure> {
        let address = |text: &str| text.parse::<Address>().map_err(|error| SendFailure::Permanent(format!("{error}")));
        let envelope = Envelope::new(Some(address(return_path)?), vec![address(&to.to_string())?])
            .map_err(|error| SendFailure::Permanent(error.to_string()))?;
        let mut reused = self.reuse();
        loop {
            let second_hand = reused.is_some();
            let mut connection = match reused.take() {
                Some(connection) => connection,
                None => self.dial().await?,
            };
            // MAIL, RCPT, DATA and the body: a deadline for each of the four steps, over all of them.
            match timeout(self.timeout * 4, connection.smtp.send(&envelope, message)).await {
                Ok(Ok(response)) => {
                    connection.mails += 1;
                    let words = format!("{} {}", response.code(), response.message().collect::<Vec<_>>().join(" "));
                    self.keep(connection);
                    return Ok(words);
                }
                // A parked connection that the relay has closed meanwhile says nothing about this mail.
                Ok(Err(error)) if second_hand && error.status().is_none_or(|code| u16::from(code) == 421) => {}
                Ok(Err(error)) => return Err(self.failure(&error)),
                Err(_) => return Err(SendFailure::Transient(format!("{}:{}: no answer in time", self.host, self.port))),
            }
        }
    }
}
