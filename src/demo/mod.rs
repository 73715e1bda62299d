//! Loopback stand-ins for the outside world, speaking the real protocols, for `dcvd demo` and the tests: an authoritative DNS
//! server with signed zones, a WHOIS and an RDAP server, an SMTP inbox, a webhook receiver. Feature `demo`; packages build without.

pub mod desk;
pub mod dns;
pub mod rdap;
pub mod script;
pub mod smtp;
pub mod webhooks;
pub mod whois;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

use crate::adapters::entropy::SystemEntropy;
use crate::config::Config;
use crate::ports::Entropy as _;

/// The stand-ins, running.
pub struct World {
    /// The DNS server.
    pub dns: dns::DnsServer,
    /// The WHOIS servers, by the names they answer for.
    pub whois: Vec<(&'static str, SocketAddr)>,
    /// The RDAP server.
    pub rdap: SocketAddr,
    /// The inbox.
    pub inbox: smtp::Inbox,
    /// The webhook receiver.
    pub webhooks: webhooks::Receiver,
    /// The bearer token of the sample ordering system.
    pub token: String,
    /// The webhook's signing secret, with its prefix.
    pub secret: String,
}

/// The name the sample order is for.
pub const SAMPLE_NAME: &str = "www.sample-shop.co.jp";

/// The shipped profile, so that the demo runs from any folder.
const STANDARD_PROFILE: &str = include_str!("../../config/profiles/standard.toml");

impl World {
    /// Starts every stand-in on a free port.
    ///
    /// # Errors
    /// A port cannot be taken, or a zone not be signed.
    pub async fn start() -> anyhow::Result<Self> {
        let mut random = [0; 48];
        SystemEntropy.fill(&mut random);
        let secret = format!("whsec_{}", BASE64.encode(&random[24..]));
        Ok(Self {
            dns: dns::DnsServer::start().await?,
            whois: whois::start().await?,
            rdap: rdap::start().await?,
            inbox: smtp::Inbox::start().await?,
            webhooks: webhooks::Receiver::start(&secret).await?,
            token: HEXLOWER.encode(&random[..24]),
            secret,
        })
    }

    /// Writes a configuration for the daemon into `dir` and reads it back. `listen` is where the daemon will listen.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn configure(&self, dir: &Path, listen: SocketAddr) -> anyhow::Result<Config> {
        let profiles = dir.join("profiles");
        std::fs::create_dir_all(&profiles).with_context(|| profiles.display().to_string())?;
        std::fs::write(profiles.join("standard.toml"), STANDARD_PROFILE)?;
        let anchor = dir.join("trust-anchor.key");
        std::fs::write(&anchor, self.dns.trust_anchor())?;
        std::fs::write(dir.join("rdap.json"), rdap::bootstrap(self.rdap))?;
        let path = dir.join("dcvd.toml");
        std::fs::write(&path, self.configuration(dir, &profiles, &anchor, listen))?;
        Ok(Config::load(Some(&path), [])?)
    }

    fn configuration(&self, dir: &Path, profiles: &Path, anchor: &Path, listen: SocketAddr) -> String {
        let whois: Vec<String> = self.whois.iter().map(|(host, address)| format!("\"{host}\" = \"{address}\"\n")).collect();
        // A path may hold what TOML must escape.
        let quoted = |path: &Path| toml::Value::from(path.to_string_lossy().into_owned()).to_string();
        let token_sha256 = HEXLOWER.encode(&Sha256::digest(self.token.as_bytes()));
        format!(
            r#"profile_dir = {profiles}
[server]
listen = "{listen}"
public_url = "http://{listen}"
[database]
url = "sqlite://{database}"
[dns]
nameservers = ["{dns}"]
dnssec = "validate"
trust_anchor_file = {anchor}
[rdap]
bootstrap = {bootstrap}
allow_http = true
[whois]
rate = "10/1s"
[whois.connect_to]
{whois}[smtp]
url = "smtp://{smtp}"
from = "dcvd demo <dcv@dcv.example.net>"
bounce_address = "bounce@dcv.example.net"
[service]
contact_email = "dcv-support@dcv.example.net"
[log]
filter = "warn,hickory_server=error"
[[clients]]
name = "sample-shop"
token_sha256 = "{token_sha256}"
[[webhooks]]
name = "sample-shop"
url = "{hook}"
secret = "{secret}"
allow_private_address = true
"#,
            profiles = quoted(profiles),
            anchor = quoted(anchor),
            bootstrap = quoted(&dir.join("rdap.json")),
            whois = whois.concat(),
            database = dir.join("dcvd.db").display(),
            dns = self.dns.address,
            smtp = self.inbox.address,
            hook = self.webhooks.url,
            secret = self.secret,
        )
    }
}
