//! Mail out by lettre, over connections of our own: its pool would manage 22 mails a second a connection, and could read one
//! mail's answer as the next one's after a time-out. Here a connection belongs to one send at a time, every step has a
//! deadline, and a connection on which a step had no clean answer is dropped.

mod compose;
mod relay;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

use crate::ports::{ComposeError, Handover, Letter, MailOut, Outgoing, SendFailure};
use compose::Sender;
use relay::{Limits, Refusal, Relay, Security};

/// The relays and the sender's addresses.
pub struct SmtpSettings {
    /// `smtp://…` or `smtps://…`, the first tried in front.
    pub urls: Vec<SecretString>,
    /// The From header.
    pub from: String,
    /// The Reply-To header; empty = none.
    pub reply_to: String,
    /// The password for the URLs' users, where it comes from a file.
    pub password: Option<SecretString>,
    /// Certificates, in PEM, that alone are believed; empty = the system's.
    pub ca_file: PathBuf,
    /// For each step.
    pub timeout: Duration,
    /// For the answer to the body.
    pub data_timeout: Duration,
    /// Mails on one connection.
    pub mails_per_connection: u32,
    /// Age of a connection.
    pub connection_age: Duration,
}

impl SmtpSettings {
    /// One relay, and for everything else the values of `config/default.toml`.
    #[must_use]
    pub fn new(url: &str, from: &str) -> Self {
        Self {
            urls: vec![url.into()],
            from: from.to_owned(),
            reply_to: String::new(),
            password: None,
            ca_file: PathBuf::new(),
            timeout: Duration::from_secs(30),
            data_timeout: Duration::from_secs(300),
            mails_per_connection: 100,
            connection_age: Duration::from_secs(60),
        }
    }
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

fn bad<P: std::fmt::Display>(key: &'static str, problem: P) -> SmtpSetupError {
    SmtpSetupError { key, problem: format!("{problem}") }
}

/// Hands mails to the first relay that takes them.
pub struct Smtp {
    sender: Sender,
    relays: Vec<Relay>,
}

impl Smtp {
    /// Reads the settings; connects to nothing yet.
    ///
    /// # Errors
    /// [`SmtpSetupError`] names the key at fault.
    pub fn new(settings: &SmtpSettings) -> Result<Self, SmtpSetupError> {
        let mailbox = |key, text: &str| text.parse::<Mailbox>().map_err(|error| bad(key, error));
        let from = mailbox("from", &settings.from)?;
        let roots = Roots::read(&settings.ca_file)?;
        let relays = settings.urls.iter().map(|url| relay(url, &roots, settings)).collect::<Result<Vec<_>, _>>()?;
        let feedback = format!("dcvd:{}", from.email.domain().replace('.', "-"));
        let reply_to = if settings.reply_to.is_empty() { None } else { Some(mailbox("reply_to", &settings.reply_to)?) };
        Ok(Self { sender: Sender { from, reply_to, feedback }, relays })
    }

    /// Speaks to every relay without sending: for each what it offers, or why it cannot be used.
    pub async fn probe(&self) -> Vec<Result<String, String>> {
        let mut told = Vec::new();
        for relay in &self.relays {
            told.push(relay.probe().await);
        }
        told
    }
}

/// Whose certificates are believed.
struct Roots(Vec<CertificateDer<'static>>);

impl Roots {
    fn read(path: &PathBuf) -> Result<Self, SmtpSetupError> {
        if path.as_os_str().is_empty() {
            return Ok(Self(Vec::new()));
        }
        let unreadable = |error: &dyn std::fmt::Display| bad("ca_file", format!("{}: {error}", path.display()));
        let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?.collect();
        let found = found.map_err(|error| unreadable(&error))?;
        if found.is_empty() { Err(unreadable(&"holds no certificate")) } else { Ok(Self(found)) }
    }

    fn starttls(&self, host: &str) -> Result<TlsParameters, SmtpSetupError> {
        let mut builder = TlsParameters::builder(host.to_owned());
        if !self.0.is_empty() {
            builder = builder.certificate_store(CertificateStore::None);
        }
        for root in &self.0 {
            builder = builder.add_root_certificate(Certificate::from_der(root.to_vec()).map_err(|error| bad("ca_file", error))?);
        }
        builder.build().map_err(|error| bad("url", error))
    }

    fn implicit(&self) -> Result<Arc<ClientConfig>, SmtpSetupError> {
        let builder = ClientConfig::builder();
        if self.0.is_empty() {
            let verifying = builder.with_platform_verifier().map_err(|error| bad("url", error))?;
            return Ok(Arc::new(verifying.with_no_client_auth()));
        }
        let mut roots = RootCertStore::empty();
        for root in &self.0 {
            roots.add(root.clone()).map_err(|error| bad("ca_file", error))?;
        }
        Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    }
}

fn relay(url: &SecretString, roots: &Roots, settings: &SmtpSettings) -> Result<Relay, SmtpSetupError> {
    let url = Url::parse(url.expose_secret()).map_err(|error| bad("url", error))?;
    let host = url.host().ok_or_else(|| bad("url", "names no host"))?;
    let loopback = match &host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(v4) => v4.is_loopback(),
        Host::Ipv6(v6) => v6.is_loopback(),
    };
    // A scheme that `url` does not know as special keeps an IPv4 host as text.
    let loopback = loopback || host.to_string().parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let wish = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
    let host = host.to_string().trim_matches(['[', ']']).to_owned();
    let (security, default_port) = match (url.scheme(), wish.as_deref()) {
        ("smtps", None) => (Security::Implicit(roots.implicit()?), 465),
        ("smtp", Some("opportunistic")) => (Security::Opportunistic(roots.starttls(&host)?), 25),
        ("smtp", Some("none")) => (Security::Plain, 25),
        ("smtp", None) if loopback => (Security::Plain, 25),
        ("smtp", None | Some("required")) => (Security::Required(roots.starttls(&host)?), 587),
        _ => return Err(bad("url", "must be smtp://HOST:PORT, smtps://HOST:PORT or smtp://HOST:PORT?tls=required")),
    };
    let user = percent_decode(url.username());
    let password = url.password().map(percent_decode);
    let password = password.or_else(|| {
        let given = settings.password.as_ref().filter(|_| !user.is_empty())?;
        Some(given.expose_secret().to_owned())
    });
    let credentials = password.map(|password| Credentials::new(user, password));
    if credentials.is_some() && !loopback && matches!(security, Security::Plain) {
        return Err(bad("url", "has a password, which would go in clear: leave out tls=none"));
    }
    let limits = Limits {
        timeout: settings.timeout,
        data_timeout: settings.data_timeout,
        mails_per_connection: settings.mails_per_connection.max(1),
        connection_age: settings.connection_age,
    };
    Ok(Relay::new(host, url.port().unwrap_or(default_port), security, (credentials, loopback), ClientId::default(), limits))
}

fn percent_decode(text: &str) -> String {
    url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

#[async_trait]
impl MailOut for Smtp {
    fn compose(&self, letter: &Letter) -> Result<Vec<u8>, ComposeError> {
        self.sender.compose(letter)
    }

    async fn send(&self, mail: &Outgoing<'_>, message: &[u8]) -> Result<Handover, SendFailure> {
        let (mut last, mut any_able) = (None, false);
        let (mut in_turn, troubled): (Vec<&Relay>, Vec<&Relay>) = self.relays.iter().partition(|relay| !relay.is_troubled());
        in_turn.extend(troubled);
        for relay in in_turn {
            match relay.hand_over(mail, message).await {
                Ok(handover) => {
                    relay.set_troubled(false);
                    return Ok(handover);
                }
                Err(Refusal::Elsewhere(trouble)) => {
                    relay.set_troubled(true);
                    any_able = true;
                    last = Some(trouble.after(last));
                }
                Err(Refusal::Unable(trouble)) => last = Some(trouble.after(last)),
                Err(Refusal::Transient(trouble)) => return Err(SendFailure::Transient(trouble.after(last))),
                Err(Refusal::Permanent(trouble)) => return Err(SendFailure::Permanent(trouble.after(last))),
            }
        }
        let trouble = last.unwrap_or_default();
        // Where no relay has what the mail needs, none will have it tomorrow.
        Err(if any_able { SendFailure::Transient(trouble) } else { SendFailure::Permanent(trouble) })
    }
}
