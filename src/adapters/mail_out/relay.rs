//! One relay: how it is reached, its connections, and one mail over one of them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream, TlsParameters};
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter, RcptParameter};
use lettre::transport::smtp::response::Response;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::ports::{Handover, Outgoing, Trouble};

/// How a relay is spoken to.
#[derive(Clone)]
pub(super) enum Security {
    /// Loopback only, unless the URL says `tls=none`.
    Plain,
    /// TLS from the first byte.
    Implicit(Arc<ClientConfig>),
    /// STARTTLS, or nothing is sent.
    Required(TlsParameters),
    /// STARTTLS where it is offered.
    Opportunistic(TlsParameters),
}

/// What holds for every relay.
#[derive(Clone)]
pub(super) struct Limits {
    /// For connecting, and for each step of the dialogue but the last.
    pub(super) timeout: Duration,
    /// For the answer to the body: ending early means sending twice.
    pub(super) data_timeout: Duration,
    pub(super) mails_per_connection: u32,
    pub(super) connection_age: Duration,
}

/// How long a relay that could not be spoken to comes last.
const TROUBLED_FOR: Duration = Duration::from_secs(30);

/// Longest line of a dialogue that is kept, in characters.
const LINE_MAX_CHARS: usize = 400;

/// One relay.
pub(super) struct Relay {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) credentials: Option<Credentials>,
    /// On this host: what is said in clear leaves it not.
    pub(super) is_loopback: bool,
    pub(super) hello: ClientId,
    pub(super) limits: Limits,
    idle: Mutex<Vec<Connection>>,
    troubled: Mutex<Option<Instant>>,
}

struct Connection {
    smtp: AsyncSmtpConnection,
    since: Instant,
    mails: u32,
    /// The relay takes the parameters of RFC 3461.
    dsn: bool,
    tls: bool,
}

/// Why a mail was not handed to a relay.
pub(super) enum Refusal {
    /// The relay cannot be spoken to, or is not at work: another may be. It has not taken the mail.
    Elsewhere(Trouble),
    /// It may pass. The mail may have been taken all the same where the trouble says so.
    Transient(Trouble),
    /// The relay lacks what the mail needs; another may have it.
    Unable(Trouble),
    /// The relay refuses for good.
    Permanent(Trouble),
}

/// One mail on one connection, step by step.
struct Step<'t> {
    relay: &'t Relay,
    dialogue: Vec<String>,
}

/// What a step of the dialogue brought.
enum Answer {
    Yes(Response),
    /// A refusal, with its code.
    No(u16, String),
    /// No answer, a broken connection or nonsense: the connection cannot be used any more.
    Broken(String),
}

impl Relay {
    pub(super) fn new(
        host: String,
        port: u16,
        security: Security,
        (credentials, is_loopback): (Option<Credentials>, bool),
        hello: ClientId,
        limits: Limits,
    ) -> Self {
        Self { host, port, security, credentials, is_loopback, hello, limits, idle: Mutex::default(), troubled: Mutex::default() }
    }

    fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether it could not be spoken to a moment ago.
    pub(super) fn is_troubled(&self) -> bool {
        let since = *self.troubled.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() < TROUBLED_FOR)
    }

    pub(super) fn set_troubled(&self, troubled: bool) {
        *self.troubled.lock().unwrap_or_else(PoisonError::into_inner) = troubled.then(Instant::now);
    }

    /// A connection that is young enough and was last left in good order.
    fn reuse(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if connection.since.elapsed() < self.limits.connection_age {
                return Some(connection);
            }
            self.leave(connection);
        }
        None
    }

    fn keep(&self, mut connection: Connection) {
        connection.mails += 1;
        if connection.mails < self.limits.mails_per_connection {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        } else {
            self.leave(connection);
        }
    }

    /// Says good-bye, as relays like it; nobody waits for the answer.
    fn leave(&self, mut connection: Connection) {
        let limit = self.limits.timeout;
        tokio::spawn(async move { timeout(limit, connection.smtp.quit()).await });
    }

    async fn dial(&self) -> Result<Connection, String> {
        let connect = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
            // Without it the body and its end wait for each other: 40 ms a mail.
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            let transport: Box<dyn AsyncTokioStream> = match &self.security {
                Security::Implicit(config) => {
                    let name = ServerName::try_from(self.host.clone()).map_err(|error| format!("TLS: {error}"))?;
                    let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
                    Box::new(TlsStream(stream.map_err(|error| format!("TLS: {error}"))?))
                }
                Security::Plain => Box::new(stream),
                Security::Required(_) | Security::Opportunistic(_) => Box::new(InClear { stream, is_over: false }),
            };
            let connected = AsyncSmtpConnection::connect_with_transport(transport, &self.hello).await;
            let mut smtp = connected.map_err(|error| words(&error))?;
            let mut tls = matches!(self.security, Security::Implicit(_));
            if let Security::Required(parameters) | Security::Opportunistic(parameters) = &self.security {
                if smtp.can_starttls() {
                    smtp.starttls(parameters.clone(), &self.hello).await.map_err(|error| format!("TLS: {}", words(&error)))?;
                    tls = true;
                } else if matches!(self.security, Security::Required(_)) {
                    return Err("offers no STARTTLS and it is required".to_owned());
                }
            }
            // lettre does not tell whether DSN is offered.
            let offered = smtp.command(Ehlo::new(self.hello.clone())).await.map_err(|error| words(&error))?;
            let dsn = offered.message().any(|line| line.trim().eq_ignore_ascii_case("DSN"));
            if let Some(credentials) = &self.credentials {
                if !tls && !self.is_loopback {
                    return Err("AUTH: the connection has no TLS, and the password does not go in clear".to_owned());
                }
                // A refused log-in is trouble with our own account, not with the mail.
                smtp.auth(DEFAULT_MECHANISMS, credentials).await.map_err(|error| format!("AUTH: {}", words(&error)))?;
            }
            Ok(Connection { smtp, since: Instant::now(), mails: 0, dsn, tls })
        };
        match timeout(self.limits.timeout, connect).await {
            Ok(connected) => connected,
            Err(_) => Err("no connection in time".to_owned()),
        }
    }

    /// Speaks to the relay and leaves, without a mail: what it offers, in words.
    pub(super) async fn probe(&self) -> Result<String, String> {
        let mut connection = self.dial().await.map_err(|problem| format!("{}: {problem}", self.name()))?;
        let utf8 = connection.smtp.server_info().supports_feature(Extension::SmtpUtfEight);
        let offers = [(connection.tls, "TLS"), (connection.dsn, "DSN"), (utf8, "SMTPUTF8"), (self.credentials.is_some(), "AUTH")];
        let offered: Vec<&str> = offers.iter().filter(|(offered, _)| *offered).map(|(_, name)| *name).collect();
        let _ = timeout(self.limits.timeout, connection.smtp.quit()).await;
        Ok(format!("{} answers{}{}", self.name(), if offered.is_empty() { "" } else { ": " }, offered.join(", ")))
    }

    /// Hands a mail over, on a connection at rest where there is one.
    pub(super) async fn hand_over(&self, mail: &Outgoing<'_>, message: &[u8]) -> Result<Handover, Refusal> {
        let address = |text: &str| {
            let unfit = |error| Refusal::Permanent(self.trouble(&format!("{text}: {error}"), Vec::new()));
            text.parse::<Address>().map_err(unfit)
        };
        let (from, to) = (address(mail.return_path)?, address(&mail.to.to_string())?);
        loop {
            let reused = self.reuse();
            let second_hand = reused.is_some();
            let mut connection = match reused {
                Some(connection) => connection,
                None => self.dial().await.map_err(|problem| Refusal::Elsewhere(self.trouble(&problem, Vec::new())))?,
            };
            let mut step = Step { relay: self, dialogue: Vec::new() };
            match step.transaction(&mut connection, mail, &from, &to, message).await {
                Ok(reply) => {
                    let (tls, queue_id) = (connection.tls, queue_id(&reply).map(str::to_owned));
                    self.keep(connection);
                    return Ok(Handover { relay: self.name(), tls, queue_id, reply, dialogue: step.dialogue });
                }
                // A connection at rest that the relay has closed meanwhile says nothing about this mail.
                Err((Stop::Gone(_), _)) if second_hand => {}
                Err((Stop::Gone(problem), _)) => return Err(Refusal::Elsewhere(self.trouble(&problem, step.dialogue))),
                Err((Stop::Refusal(refusal), usable)) => {
                    if usable && matches!(timeout(self.limits.timeout, connection.smtp.command(Rset)).await, Ok(Ok(_))) {
                        self.keep(connection);
                    }
                    return Err(refusal);
                }
            }
        }
    }

    fn trouble(&self, problem: &str, dialogue: Vec<String>) -> Trouble {
        Trouble { detail: plain(&format!("{}: {problem}", self.name())), dialogue, may_be_taken: false }
    }
}

/// Why a transaction ended early.
enum Stop {
    /// The connection ended before the body was on its way.
    Gone(String),
    Refusal(Refusal),
}

/// What a refused step means.
fn refusal(code: u16, trouble: Trouble) -> Refusal {
    match code {
        // The relay closes, or wants another log-in or more security than we have: our affair, not the mail's.
        421 | 454 | 530 | 534 | 535 | 538 => Refusal::Elsewhere(trouble),
        500.. => Refusal::Permanent(trouble),
        _ => Refusal::Transient(trouble),
    }
}

impl Step<'_> {
    /// One mail; whether the connection can still be used comes with what stopped it.
    async fn transaction(
        &mut self,
        connection: &mut Connection,
        mail: &Outgoing<'_>,
        from: &Address,
        to: &Address,
        message: &[u8],
    ) -> Result<String, (Stop, bool)> {
        let limit = self.relay.limits.timeout;
        let parameters = self.mail_parameters(connection, mail, from, to, message)?;
        let answer = self.command(connection, Mail::new(Some(from.clone()), parameters)).await;
        self.expect(answer, true)?;
        let answer = self.command(connection, Rcpt::new(to.clone(), rcpt_parameters(connection, mail, to))).await;
        self.expect(answer, false)?;
        self.dialogue.push(line('>', "DATA"));
        let heard = timeout(limit, connection.smtp.command(Data)).await;
        let answer = self.heard(heard, 3);
        self.expect(answer, false)?;
        // From here on only the relay knows whether it has the mail.
        let sent = timeout(self.relay.limits.data_timeout.max(limit), connection.smtp.message(message)).await;
        self.dialogue.push(format!("> ({} octets)", message.len()));
        match self.heard(sent, 2) {
            Answer::Yes(response) => Ok(reply(&response)),
            Answer::No(code, words) => {
                let trouble = self.trouble(&format!("{code} {words}"));
                // Refused after the body: it has not taken it, and another relay would hear the same, save for a 421.
                Err((Stop::Refusal(refusal(code, trouble)), code != 421))
            }
            Answer::Broken(problem) => {
                let detail = format!("{problem}; whether it took the mail is not known");
                let trouble = Trouble { may_be_taken: true, ..self.trouble(&detail) };
                Err((Stop::Refusal(Refusal::Transient(trouble)), false))
            }
        }
    }

    fn mail_parameters(
        &self,
        connection: &Connection,
        mail: &Outgoing<'_>,
        from: &Address,
        to: &Address,
        message: &[u8],
    ) -> Result<Vec<MailParameter>, (Stop, bool)> {
        let mut parameters = Vec::new();
        let offers = |extension| connection.smtp.server_info().supports_feature(extension);
        let missing = |name: &str| {
            let trouble = self.trouble(&format!("the mail needs {name}, which the relay does not offer"));
            Err((Stop::Refusal(Refusal::Unable(trouble)), true))
        };
        let address_needs_utf8 = !(AsRef::<str>::as_ref(from).is_ascii() && AsRef::<str>::as_ref(to).is_ascii());
        if address_needs_utf8 {
            if !offers(Extension::SmtpUtfEight) {
                return missing("SMTPUTF8");
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !message.is_ascii() {
            if !offers(Extension::EightBitMime) {
                return missing("8BITMIME");
            }
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        if connection.dsn {
            // The headers alone: a report that encloses the whole mail would carry the link about.
            let other =
                |keyword: &str, value: &str| MailParameter::Other { keyword: keyword.to_owned(), value: Some(value.to_owned()) };
            parameters.extend([other("RET", "HDRS"), other("ENVID", mail.envelope_id)]);
        }
        Ok(parameters)
    }

    async fn command<C: std::fmt::Display>(&mut self, connection: &mut Connection, command: C) -> Answer {
        self.dialogue.push(line('>', command.to_string().trim_end()));
        let heard = timeout(self.relay.limits.timeout, connection.smtp.command(command)).await;
        self.heard(heard, 2)
    }

    /// Reads an answer; a yes has the `class` that the step asks for: lettre takes any 2xx and 3xx for one, and an answer that belongs
    /// to another step is none to this one.
    fn heard(
        &mut self,
        heard: Result<Result<Response, lettre::transport::smtp::Error>, tokio::time::error::Elapsed>,
        class: u16,
    ) -> Answer {
        let answer = match heard {
            Ok(Ok(response)) if u16::from(response.code()) / 100 == class => Answer::Yes(response),
            Ok(Ok(response)) => Answer::Broken(format!("an answer out of turn: {}", reply(&response))),
            Ok(Err(error)) => match error.status() {
                Some(code) => Answer::No(code.into(), said(&error)),
                None => Answer::Broken(words(&error)),
            },
            Err(_) => Answer::Broken("no answer in time".to_owned()),
        };
        self.dialogue.push(match &answer {
            Answer::Yes(response) => line('<', &reply(response)),
            Answer::No(code, words) => line('<', &format!("{code} {words}")),
            Answer::Broken(problem) => line('-', problem),
        });
        answer
    }

    /// What a step before the body must bring; `first` for the one that opens the transaction.
    fn expect(&mut self, answer: Answer, first: bool) -> Result<(), (Stop, bool)> {
        match answer {
            Answer::Yes(_) => Ok(()),
            Answer::Broken(problem) => Err((Stop::Gone(problem), false)),
            Answer::No(421, words) => Err((Stop::Gone(format!("421 {words}")), false)),
            Answer::No(code, words) => {
                let trouble = self.trouble(&format!("{code} {words}"));
                // A relay that will not even begin objects to us and not to the recipient, who has not been named yet.
                let refusal = if first { Refusal::Elsewhere(trouble) } else { refusal(code, trouble) };
                Err((Stop::Refusal(refusal), true))
            }
        }
    }

    fn trouble(&self, problem: &str) -> Trouble {
        self.relay.trouble(problem, self.dialogue.clone())
    }
}

/// Asks for reports. Spec: RFC 3461 section 4.1 and 4.2.
fn rcpt_parameters(connection: &Connection, mail: &Outgoing<'_>, to: &Address) -> Vec<RcptParameter> {
    if !connection.dsn {
        return Vec::new();
    }
    let other = |keyword: &str, value: String| RcptParameter::Other { keyword: keyword.to_owned(), value: Some(value) };
    let mut parameters = vec![other("NOTIFY", if mail.all_reports { "SUCCESS,FAILURE,DELAY" } else { "FAILURE" }.to_owned())];
    let address: &str = to.as_ref();
    if address.is_ascii() {
        parameters.push(other("ORCPT", format!("rfc822;{address}")));
    }
    parameters
}

fn reply(response: &Response) -> String {
    plain(&format!("{} {}", response.code(), response.message().collect::<Vec<_>>().join(" ")))
}

/// What a relay said: no more than a line, and not without end.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LINE_MAX_CHARS).collect()
}

/// One line of a dialogue.
fn line(mark: char, text: &str) -> String {
    format!("{mark} {}", plain(text))
}

/// The relay's words of a refusal, without lettre's.
fn said(error: &lettre::transport::smtp::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// An error with its causes.
fn words(error: &dyn std::error::Error) -> String {
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

/// The relay's name for the mail, as Postfix and others tell it: `250 2.0.0 Ok: queued as 4FxYz`.
fn queue_id(reply: &str) -> Option<&str> {
    let (_, rest) = reply.split_once("queued as ")?;
    rest.split_whitespace().next()
}

/// A connection on which TLS may begin. Until then it hands over one octet at a time: lettre reads ahead and keeps what it has read, so
/// that answers which somebody puts behind the relay's answer to STARTTLS would pass for answers within TLS. Here they are left to the
/// handshake, which then fails. Spec: RFC 3207 §4.2 ("The client MUST discard any knowledge obtained from the server").
#[derive(Debug)]
struct InClear {
    stream: TcpStream,
    is_over: bool,
}

/// The first octet of a client's first words in TLS, and of no command. Spec: RFC 8446 §5.1 (`handshake`).
const TLS_HANDSHAKE: u8 = 22;

impl AsyncTokioStream for InClear {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl AsyncRead for InClear {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_over || buf.remaining() == 0 {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let mut octet = [0];
        let mut one = ReadBuf::new(&mut octet);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut one))?;
        buf.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for InClear {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.is_over |= buf.first() == Some(&TLS_HANDSHAKE);
        Pin::new(&mut this.stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// TLS over a connection of our own making.
#[derive(Debug)]
struct TlsStream(tokio_rustls::client::TlsStream<TcpStream>);

impl AsyncTokioStream for TlsStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().0.peer_addr()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_id_is_read_from_the_relays_words() {
        assert_eq!(queue_id("250 2.0.0 Ok: queued as 4FxYz1"), Some("4FxYz1"));
        assert_eq!(queue_id("250 2.0.0 taken"), None);
        assert_eq!(queue_id("250 queued as "), None);
    }
}
