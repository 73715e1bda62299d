//! The sections, one struct each; `config/default.toml` says what each key means.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use url::{Host, Url};

use super::secret::{self, SecretError};
use crate::dcv::client::{ApiScope, RequestRate, Rights};
use crate::dcv::event::{EventType, Subscription};
use crate::dcv::link::{KEY_OCTETS, LinkKey};
use crate::dcv::operator_certificate::CertificateRule;
use crate::dcv::operator_claims::ClaimRule;
use crate::dcv::profile::span;
use crate::dcv::retention::EVIDENCE_MIN_DAYS;
use crate::dcv::timestamp::DAY_SECS;

/// What a section's check returns: the key at fault and the problem.
type Lint = Result<(), (&'static str, String)>;

/// `[server]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Server {
    pub listen: SocketAddr,
    #[serde(deserialize_with = "empty_is_none")]
    pub admin_listen: Option<SocketAddr>,
    pub public_url: Url,
    pub tls_cert_file: PathBuf,
    pub tls_key_file: PathBuf,
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    pub max_body_bytes: usize,
    #[serde(with = "span")]
    pub request_timeout: Duration,
    #[serde(with = "span")]
    pub shutdown_grace: Duration,
}

impl Server {
    pub(super) fn lint(&self) -> Lint {
        let url = &self.public_url;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || url.query().is_some() || url.fragment().is_some()
        {
            return Err(("public_url", "must be http:// or https:// with a host and no query".to_owned()));
        }
        if self.tls_cert_file.as_os_str().is_empty() != self.tls_key_file.as_os_str().is_empty() {
            return Err(("tls_key_file", "goes together with tls_cert_file".to_owned()));
        }
        Ok(())
    }

    /// `public_url` without a slash at its end.
    #[must_use]
    pub fn public_base(&self) -> &str {
        self.public_url.as_str().trim_end_matches('/')
    }
}

/// `[database]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Database {
    pub url: SecretString,
    pub migrate: bool,
}

/// Whether DNS answers are validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnssecMode {
    /// They are not; the start warns.
    Off,
    /// They are.
    Validate,
}

/// `[dns]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Dns {
    pub nameservers: Vec<SocketAddr>,
    pub dnssec: DnssecMode,
    pub trust_anchor_file: PathBuf,
    #[serde(with = "span")]
    pub timeout: Duration,
}

impl Dns {
    /// Whether nothing but this machine is ever asked: tests and the demo.
    #[must_use]
    pub fn asks_loopback_alone(&self) -> bool {
        !self.nameservers.is_empty() && self.nameservers.iter().all(|server| server.ip().to_canonical().is_loopback())
    }
}

/// The operators' lists of names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key")]
pub struct PolicyFiles {
    pub refuse_adn: PathBuf,
    pub hold: PathBuf,
}

/// So many in so long, as "1/2s".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Time for one.
    pub period: Duration,
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parse = || {
            let (count, time) = text.split_once('/')?;
            let count: u32 = count.trim().parse().ok().filter(|count| *count > 0)?;
            let period = humantime::parse_duration(time.trim()).ok()? / count;
            (!period.is_zero()).then_some(Self { period })
        };
        parse().ok_or_else(|| serde::de::Error::custom("must be a rate such as \"1/2s\""))
    }
}

/// `[whois]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Whois {
    pub root: String,
    #[serde(with = "span")]
    pub timeout: Duration,
    pub rate: Rate,
    pub burst: u32,
    #[serde(with = "span")]
    pub server_ttl: Duration,
    pub connect_to: HashMap<String, SocketAddr>,
}

impl Whois {
    pub(super) fn lint(&self) -> Lint {
        if self.server_ttl > Duration::from_secs(48 * 3600) {
            return Err(("server_ttl", "must be 48h at most (BR v2.2.6 section 3.2.2.4.12)".to_owned()));
        }
        if self.burst == 0 {
            return Err(("burst", "must be 1 at least".to_owned()));
        }
        Ok(())
    }
}

/// `[rdap]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Rdap {
    pub bootstrap: String,
    pub allow_http: bool,
}

/// `[smtp]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Smtp {
    pub url: SecretString,
    pub fallback_urls: Vec<SecretString>,
    pub ca_file: PathBuf,
    pub from: String,
    pub reply_to: String,
    pub bounce_address: String,
    pub bounce_delimiter: char,
    pub password_file: PathBuf,
    #[serde(with = "span")]
    pub timeout: Duration,
    #[serde(with = "span")]
    pub data_timeout: Duration,
    pub mails_per_connection: u32,
    #[serde(with = "span")]
    pub connection_age: Duration,
    pub domain_concurrency: std::num::NonZeroU32,
    pub domain_rate: Rate,
    pub domain_burst: std::num::NonZeroU32,
    pub recipient_daily_cap: u32,
}

/// `[notices]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Notices {
    pub operators: Vec<String>,
    #[serde(deserialize_with = "time_of_day")]
    pub digest: Option<Duration>,
}

/// Whether the canary flies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CanaryMode {
    /// Where returned mail is read from a Maildir.
    Auto,
    /// It does: a pipe brings it back.
    On,
    /// It does not.
    Off,
}

/// `[canary]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Canary {
    pub mode: CanaryMode,
    #[serde(with = "span")]
    pub every: Duration,
    #[serde(with = "span")]
    pub alarm_after: Duration,
}

impl Canary {
    pub(super) fn lint(&self) -> Lint {
        if self.every < Duration::from_secs(60) {
            return Err(("every", "must be 1m at least".to_owned()));
        }
        if self.alarm_after > self.every * 10 {
            return Err(("alarm_after", "must be ten times canary.every at most".to_owned()));
        }
        Ok(())
    }
}

impl Smtp {
    /// The password from its file, where one is named.
    ///
    /// # Errors
    /// [`SecretError`] when the file cannot be used.
    pub fn password(&self) -> Result<Option<SecretString>, SecretError> {
        if self.password_file.as_os_str().is_empty() {
            return Ok(None);
        }
        secret::read_line(&self.password_file).map(|line| Some(line.into()))
    }
}

/// `[admin]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Admin {
    pub sign_in: bool,
    #[serde(with = "span")]
    pub session_idle: Duration,
    #[serde(with = "span")]
    pub session_max: Duration,
    pub passwords: bool,
    #[serde(with = "span")]
    pub access_log_kept: Duration,
    pub tls_cert_file: PathBuf,
    pub tls_key_file: PathBuf,
    pub client_ca_files: Vec<PathBuf>,
    pub client_crl_files: Vec<PathBuf>,
    pub client_cert_header: String,
    pub certificates: Vec<CertificateRule>,
    pub openid: OpenIdConnect,
}

/// `[admin.openid]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct OpenIdConnect {
    pub issuer: String,
    pub client_id: String,
    pub client_secret_file: PathBuf,
    pub redirect_url: String,
    pub scopes: Vec<String>,
    pub ca_file: PathBuf,
    pub rules: Vec<ClaimRule>,
}

/// Where a provider sends browsers back to.
const OPENID_RETURN: &str = "/admin/sign-in/openid/return";

impl OpenIdConnect {
    /// What shows to the provider that we are we; `None` for a public client.
    ///
    /// # Errors
    /// [`SecretError`] when the file cannot be read.
    pub fn client_secret(&self) -> Result<Option<SecretString>, SecretError> {
        if self.client_secret_file.as_os_str().is_empty() {
            return Ok(None);
        }
        secret::read_line(&self.client_secret_file).map(|line| Some(line.into()))
    }

    fn lint(&self) -> Result<(), String> {
        if self.issuer.is_empty() {
            return if self.rules.is_empty() { Ok(()) } else { Err("rules let nobody in without an issuer".to_owned()) };
        }
        for (key, text) in [("issuer", &self.issuer), ("redirect_url", &self.redirect_url)] {
            let url: Url = text.parse().map_err(|_| format!("{key} must be an address"))?;
            let loopback = match url.host() {
                Some(Host::Ipv4(ip)) => ip.is_loopback(),
                Some(Host::Ipv6(ip)) => ip.is_loopback(),
                Some(Host::Domain(_)) | None => false,
            };
            if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
                return Err(format!("{key} must begin with https://"));
            }
        }
        if !self.redirect_url.ends_with(OPENID_RETURN) {
            return Err(format!("redirect_url must end with {OPENID_RETURN}"));
        }
        if self.client_id.is_empty() {
            return Err("client_id is what the provider calls this service".to_owned());
        }
        if self.rules.is_empty() {
            return Err("rules must say whom to let in".to_owned());
        }
        if self.rules.iter().any(|rule| rule.claim.is_empty() || rule.value.is_empty()) {
            return Err("each rule must name a claim and its value".to_owned());
        }
        Ok(())
    }
}

impl Admin {
    pub(super) fn lint(&self) -> Lint {
        let given = |path: &PathBuf| !path.as_os_str().is_empty();
        if given(&self.tls_cert_file) != given(&self.tls_key_file) {
            return Err(("tls_key_file", "goes together with tls_cert_file".to_owned()));
        }
        if self.certificates.is_empty() != self.client_ca_files.is_empty() {
            return Err((
                "certificates",
                "go together with client_ca_files: whom to let in, and who says who they are".to_owned(),
            ));
        }
        if !self.certificates.is_empty() && !self.sign_in {
            return Err(("sign_in", "must be true where certificates let people in".to_owned()));
        }
        if !self.certificates.is_empty() && self.client_cert_header.is_empty() && !given(&self.tls_cert_file) {
            return Err(("tls_cert_file", "or client_cert_header must be given: else no certificate is ever seen".to_owned()));
        }
        if self.certificates.iter().any(|rule| rule.issuer.is_empty() || rule.subject.is_empty()) {
            return Err(("certificates", "each must name attributes of the issuer and of the subject".to_owned()));
        }
        self.openid.lint().map_err(|problem| ("openid", problem))?;
        if !self.openid.rules.is_empty() && !self.sign_in {
            return Err(("sign_in", "must be true where a provider lets people in".to_owned()));
        }
        if !self.passwords && self.certificates.is_empty() && self.openid.rules.is_empty() && self.sign_in {
            return Err(("passwords", "must be true where there is no other way in".to_owned()));
        }
        if self.access_log_kept < Duration::from_secs(u64::from(EVIDENCE_MIN_DAYS) * DAY_SECS) {
            return Err(("access_log_kept", "must be 731 days at least (BR v2.2.6 section 5.4.3)".to_owned()));
        }
        if self.session_idle.is_zero() || self.session_idle > self.session_max {
            return Err(("session_idle", "must be more than nothing, and no longer than session_max".to_owned()));
        }
        Ok(())
    }
}

/// `[inbound]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Inbound {
    pub maildir: PathBuf,
}

/// `[link]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Link {
    pub key_files: Vec<PathBuf>,
}

impl Link {
    /// Reads the keys: 32 bytes as they are, or base64 as `dcvd key new` prints them.
    ///
    /// # Errors
    /// [`SecretError`] for a file that cannot be read or does not hold a key.
    pub fn keys(&self) -> Result<Vec<LinkKey>, SecretError> {
        self.key_files
            .iter()
            .map(|path| {
                let bytes = secret::read(path)?;
                let text = std::str::from_utf8(&bytes).ok().map(str::trim);
                let decoded = text.and_then(|text| BASE64.decode(text.as_bytes()).ok()).unwrap_or(bytes);
                <[u8; KEY_OCTETS]>::try_from(decoded).map(LinkKey::new).map_err(|_| SecretError {
                    path: path.clone(),
                    problem: format!("must hold {KEY_OCTETS} bytes, bare or in base64"),
                })
            })
            .collect()
    }
}

/// `[jobs]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Jobs {
    pub mail_concurrency: u32,
    pub webhook_concurrency: u32,
    #[serde(with = "span")]
    pub poll: Duration,
    #[serde(with = "span")]
    pub lease: Duration,
}

impl Jobs {
    pub(super) fn lint(&self) -> Lint {
        for (key, value) in [("mail_concurrency", self.mail_concurrency), ("webhook_concurrency", self.webhook_concurrency)] {
            if !(1..=1000).contains(&value) {
                return Err((key, "must be 1 to 1000".to_owned()));
            }
        }
        if self.poll < Duration::from_millis(10) {
            return Err(("poll", "must be 10ms at least".to_owned()));
        }
        if self.lease < Duration::from_secs(2) {
            return Err(("lease", "must be 2s at least".to_owned()));
        }
        Ok(())
    }
}

/// `[webhook]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Webhook {
    #[serde(with = "span")]
    pub timeout: Duration,
}

/// `[limits]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Limits {
    pub wrong_links_per_minute: std::num::NonZeroU32,
    #[serde(deserialize_with = "request_rate")]
    pub client_rate: RequestRate,
    pub requests_at_once: std::num::NonZeroU16,
}

/// `[service]`
#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Service {
    pub name_ja: String,
    pub name_en: String,
    pub contact_email: String,
    pub contact_phone: String,
    pub contact_hours_ja: String,
    pub contact_hours_en: String,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Log {
    pub filter: String,
    pub format: LogFormat,
    #[serde(deserialize_with = "empty_is_none")]
    pub otlp_endpoint: Option<Url>,
}

/// `[[clients]]`: an ordering system.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Client {
    pub name: String,
    #[serde(deserialize_with = "sha256_hexes")]
    pub token_sha256: Vec<[u8; 32]>,
    #[serde(default = "all_scopes")]
    pub scopes: Vec<ApiScope>,
    #[serde(default)]
    pub profiles: Option<Vec<String>>,
    #[serde(default, deserialize_with = "request_rate_or_none")]
    pub rate: Option<RequestRate>,
    #[serde(default)]
    pub test: bool,
}

fn all_scopes() -> Vec<ApiScope> {
    ApiScope::USUAL.to_vec()
}

impl Client {
    /// What it may do.
    #[must_use]
    pub fn rights(&self) -> Rights {
        Rights { scopes: self.scopes.clone(), profiles: self.profiles.clone(), rate: self.rate, test: self.test }
    }
}

fn request_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RequestRate, D::Error> {
    let text = String::deserialize(deserializer)?;
    RequestRate::parse(&text).ok_or_else(|| serde::de::Error::custom("must be a rate such as \"100/1s\" or \"6000/1m\""))
}

fn request_rate_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RequestRate>, D::Error> {
    request_rate(deserializer).map(Some)
}

/// `[[webhooks]]`: where results are posted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct WebhookEndpoint {
    pub name: String,
    pub url: Url,
    #[serde(default)]
    pub secret: Option<SecretString>,
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    #[serde(default)]
    pub previous_secret: Option<SecretString>,
    #[serde(default)]
    pub previous_secret_file: Option<PathBuf>,
    #[serde(default = "all_events")]
    pub events: Vec<String>,
    #[serde(default)]
    pub clients: Option<Vec<String>>,
    #[serde(default)]
    pub allow_private_address: bool,
}

fn all_events() -> Vec<String> {
    vec!["*".to_owned()]
}

impl WebhookEndpoint {
    pub(super) fn lint(&self) -> Lint {
        if !matches!(self.url.scheme(), "http" | "https") || self.url.host().is_none() {
            return Err(("url", "must be http:// or https:// with a host".to_owned()));
        }
        if let Some(unknown) = self.events.iter().find(|event| *event != "*" && EventType::from_text(event).is_none()) {
            return Err(("events", format!("`{unknown}` is no event type; \"*\" is all")));
        }
        for (key, secret, file) in
            [("secret", &self.secret, &self.secret_file), ("previous_secret", &self.previous_secret, &self.previous_secret_file)]
        {
            match (secret, file) {
                (Some(secret), None) => drop(parse_secret(secret.expose_secret()).map_err(|problem| (key, problem))?),
                (None, Some(_)) => {}
                (None, None) if key == "previous_secret" => {}
                _ => return Err((key, format!("give one of {key} and {key}_file"))),
            }
        }
        Ok(())
    }

    /// The signing keys' bytes: the present one's, and the previous one's where receivers are still changing over. Spec: Standard
    /// Webhooks, "Signature scheme".
    ///
    /// # Errors
    /// [`SecretError`] when a file cannot be used.
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, SecretError> {
        let mut keys = Vec::new();
        for (secret, file) in [(&self.secret, &self.secret_file), (&self.previous_secret, &self.previous_secret_file)] {
            let bad = |path: &PathBuf| {
                let path = path.clone();
                move |problem| SecretError { path, problem }
            };
            if let Some(secret) = secret {
                keys.push(parse_secret(secret.expose_secret()).map_err(bad(&"webhooks.secret".into()))?);
            } else if let Some(path) = file {
                keys.push(parse_secret(&secret::read_line(path)?).map_err(bad(path))?);
            }
        }
        Ok(keys)
    }

    /// Which events of which ordering systems the endpoint wants.
    #[must_use]
    pub fn subscription(&self) -> Subscription {
        let all = self.events.iter().any(|event| event == "*");
        let kinds = (!all).then(|| self.events.iter().filter_map(|event| EventType::from_text(event)).collect());
        Subscription { endpoint: self.name.clone(), kinds, clients: self.clients.clone() }
    }
}

fn parse_secret(text: &str) -> Result<Vec<u8>, String> {
    let body = text.strip_prefix("whsec_").ok_or("must begin with whsec_")?;
    let key = BASE64.decode(body.as_bytes()).map_err(|_| "must be base64 after whsec_")?;
    if key.is_empty() { Err("holds no key".to_owned()) } else { Ok(key) }
}

/// One SHA-256 in hexadecimal, or a list of them.
fn sha256_hexes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<[u8; 32]>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Hashes {
        One(String),
        Several(Vec<String>),
    }
    let texts = match Hashes::deserialize(deserializer)? {
        Hashes::One(text) => vec![text],
        Hashes::Several(texts) => texts,
    };
    let hash = |text: &String| HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    let hashes: Option<Vec<[u8; 32]>> = texts.iter().map(hash).collect();
    hashes
        .filter(|hashes| !hashes.is_empty())
        .ok_or_else(|| serde::de::Error::custom("must be 64 hexadecimal digits, the SHA-256 of the token, or a list of such"))
}

/// "09:00" as the time since midnight; empty = never.
fn time_of_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (hours, minutes) = text.split_once(':')?;
        let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
        (hours < 24 && minutes < 60).then(|| Duration::from_secs(hours * 3600 + minutes * 60))
    };
    read().map(Some).ok_or_else(|| serde::de::Error::custom("must be a time of day such as \"09:00\""))
}

fn empty_is_none<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(serde::de::Error::custom) }
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| {
            text.parse::<IpNet>()
                .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
                .map_err(|_| serde::de::Error::custom(format!("`{text}` is no address or network")))
        })
        .collect()
}
