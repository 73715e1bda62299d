//! Configuration: `config/default.toml`, a file over it, the environment over both; then typed, whole or refused.

mod profiles;
mod secret;
mod sections;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::{Table, Value};

pub use profiles::{Explained, ProfilesError, ReadProfile, explain_profile, load_profiles, read_profiles};
pub use secret::SecretError;
pub use sections::{
    Admin, Canary, CanaryMode, Client, Database, Dns, DnssecMode, Inbound, Jobs, Limits, Link, Log, LogFormat, Notices,
    OpenIdConnect, PolicyFiles, Rate, Rdap, Server, Service, Smtp, Webhook, WebhookEndpoint, Whois,
};

/// Every key with its default, embedded.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

/// What begins the name of an environment variable that overrides a key.
pub const ENVIRONMENT_PREFIX: &str = "DCVD__";

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the profiles are.
    pub profile_dir: PathBuf,
    /// The profile of an order that names none.
    pub default_profile: String,
    /// Templates that replace the built-in ones.
    pub template_dir: PathBuf,
    /// A Public Suffix List that replaces the built-in one.
    pub psl_file: PathBuf,
    /// The age at which the Public Suffix List in use is complained of.
    #[serde(with = "crate::dcv::profile::span")]
    pub psl_max_age: Duration,
    /// The operators' lists of names.
    pub policy: PolicyFiles,
    /// The HTTP server.
    pub server: Server,
    /// The status page.
    pub admin: Admin,
    /// The database.
    pub database: Database,
    /// DNS look-ups.
    pub dns: Dns,
    /// WHOIS look-ups.
    pub whois: Whois,
    /// RDAP look-ups.
    pub rdap: Rdap,
    /// Mail out.
    pub smtp: Smtp,
    /// Mail to the operators.
    pub notices: Notices,
    /// The mail to ourselves.
    pub canary: Canary,
    /// Returned mail.
    pub inbound: Inbound,
    /// Link keys.
    pub link: Link,
    /// Workers.
    pub jobs: Jobs,
    /// Posting of webhooks.
    pub webhook: Webhook,
    /// Limits on callers.
    pub limits: Limits,
    /// Whose mail this is.
    pub service: Service,
    /// Logs.
    pub log: Log,
    /// Ordering systems.
    #[serde(default)]
    pub clients: Vec<Client>,
    /// Where results are posted.
    #[serde(default)]
    pub webhooks: Vec<WebhookEndpoint>,
}

/// Why the configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key that is unknown or holds what it cannot.
    #[error("{key}: {problem}")]
    Key {
        /// The key's path.
        key: String,
        /// What is wrong.
        problem: String,
    },
}

impl ConfigError {
    fn key(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Key { key: key.into(), problem: problem.into() }
    }
}

impl Config {
    /// Reads `path` over the defaults and `environment` over both.
    ///
    /// # Errors
    /// [`ConfigError`] names the file or the key.
    pub fn load(path: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut table: Table = DEFAULT
            .parse()
            .map_err(|source| ConfigError::Syntax { path: "config/default.toml".into(), source: Box::new(source) })?;
        let defaults = table.clone();
        if let Some(path) = path {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
            let over: Table =
                text.parse().map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
            merge(&mut table, over);
        }
        for (name, value) in environment {
            if let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                override_key(&mut table, &defaults, &name, key, value)?;
            }
        }
        let config: Self = serde_path_to_error::deserialize(Value::Table(table))
            .map_err(|error| ConfigError::key(error.path().to_string(), error.inner().message().to_owned()))?;
        config.lint()?;
        Ok(config)
    }

    /// Checks what types alone cannot.
    fn lint(&self) -> Result<(), ConfigError> {
        let mut names = std::collections::HashSet::new();
        for (at, client) in self.clients.iter().enumerate() {
            if !names.insert(&client.name) {
                return Err(ConfigError::key(format!("clients[{at}].name"), "two clients have this name"));
            }
        }
        names.clear();
        for (at, endpoint) in self.webhooks.iter().enumerate() {
            if !names.insert(&endpoint.name) {
                return Err(ConfigError::key(format!("webhooks[{at}].name"), "two webhooks have this name"));
            }
            endpoint.lint().map_err(|(key, problem)| ConfigError::key(format!("webhooks[{at}].{key}"), problem))?;
        }
        self.canary.lint().map_err(|(key, problem)| ConfigError::key(format!("canary.{key}"), problem))?;
        self.whois.lint().map_err(|(key, problem)| ConfigError::key(format!("whois.{key}"), problem))?;
        self.admin.lint().map_err(|(key, problem)| ConfigError::key(format!("admin.{key}"), problem))?;
        self.server.lint().map_err(|(key, problem)| ConfigError::key(format!("server.{key}"), problem))?;
        self.jobs.lint().map_err(|(key, problem)| ConfigError::key(format!("jobs.{key}"), problem))
    }
}

/// Lays `over` on `table`: tables merge, everything else replaces.
fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => merge(inner, over),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

/// Sets one key from the environment. The default's type says how the text is read, so a number stays a number and a
/// telephone number stays text.
fn override_key(table: &mut Table, defaults: &Table, name: &str, key: &str, text: String) -> Result<(), ConfigError> {
    let path: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
    let (last, sections) = path.split_last().ok_or_else(|| ConfigError::key(name, "names no key"))?;
    let mut inner = table;
    let mut default = Some(defaults);
    for section in sections {
        default = default.and_then(|table| table.get(section)).and_then(Value::as_table);
        inner = inner
            .entry(section.clone())
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| ConfigError::key(name, "names a key below one that is no section"))?;
    }
    let value = match default.and_then(|table| table.get(last)) {
        Some(Value::String(_)) => Value::String(text),
        // Lists of tables have no default to tell their type by.
        None if !text.starts_with(['[', '{']) => Value::String(text),
        _ => format!("value = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| table.remove("value"))
            .ok_or_else(|| ConfigError::key(name, "must be written as TOML: a number, true, false or [\"a\", \"b\"]"))?,
    };
    inner.insert(last.clone(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(Some(file.path()), environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_stand_alone() {
        let config = Config::load(None, []).unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
        assert!(config.clients.is_empty());
    }

    #[test]
    fn an_unknown_key_is_named_by_its_path() {
        assert!(load("[server]\nlisten_on = \"x\"\n", &[]).unwrap_err().starts_with("server.listen_on"));
        assert!(load("[[webhooks]]\nname = \"a\"\nulr = \"x\"\n", &[]).unwrap_err().starts_with("webhooks[0]."));
        assert!(load("[server]\nlisten = 5\n", &[]).unwrap_err().starts_with("server.listen"));
        assert!(load("", &[("DCVD__SERVER__NO_SUCH", "1")]).unwrap_err().starts_with("server.no_such"));
    }

    #[test]
    fn the_environment_wins_and_keeps_the_keys_type() {
        let config = load(
            "[server]\nlisten = \"127.0.0.1:1\"\n",
            &[
                ("DCVD__SERVER__LISTEN", "127.0.0.1:2"),
                ("DCVD__JOBS__MAIL_CONCURRENCY", "3"),
                ("DCVD__SERVICE__CONTACT_PHONE", "0300000000"),
                ("DCVD__DNS__NAMESERVERS", "[\"127.0.0.1:53\"]"),
                (
                    "DCVD__CLIENTS",
                    "[{name = \"a\", token_sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"}]",
                ),
                ("PATH", "/bin"),
            ],
        )
        .unwrap();
        assert_eq!(config.server.listen.port(), 2);
        assert_eq!(config.jobs.mail_concurrency, 3);
        assert_eq!(config.service.contact_phone, "0300000000");
        assert_eq!(config.dns.nameservers.len(), 1);
        assert_eq!(config.clients[0].name, "a");
        assert!(load("", &[("DCVD__JOBS__MAIL_CONCURRENCY", "many")]).is_err());
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for (text, key) in [
            ("[whois]\nserver_ttl = \"72h\"", "whois.server_ttl"),
            ("[whois]\nrate = \"often\"", "whois.rate"),
            ("[server]\npublic_url = \"ftp://x\"", "server.public_url"),
            ("[jobs]\nmail_concurrency = 0", "jobs.mail_concurrency"),
            ("[dns]\ndnssec = \"sometimes\"", "dns.dnssec"),
            (
                "[[webhooks]]\nname = \"a\"\nurl = \"https://a.example/\"\nevents = [\"order.lost\"]\nsecret = \"whsec_AAAA\"",
                "webhooks[0].events",
            ),
            ("[[webhooks]]\nname = \"a\"\nurl = \"https://a.example/\"", "webhooks[0].secret"),
            ("[[clients]]\nname = \"a\"\ntoken_sha256 = \"zz\"", "clients[0].token_sha256"),
        ] {
            let error = load(text, &[]).unwrap_err();
            assert!(error.starts_with(key), "{text}: {error}");
        }
    }
}
