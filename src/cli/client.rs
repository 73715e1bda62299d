//! `dcvd client`: ordering systems and their tokens, in the database. A running daemon knows of a change within seconds.

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use secrecy::ExposeSecret as _;
use sha2::{Digest, Sha256};

use super::ConfigFile;
use crate::adapters::clock::SystemClock;
use crate::adapters::entropy::SystemEntropy;
use crate::config::Config;
use crate::dcv::client::{ApiScope, RequestRate, Rights};
use crate::dcv::field::is_one_line;
use crate::dcv::timestamp::Timestamp;
use crate::ports::{Clock as _, Entropy as _};
use crate::store::{ClientRow, Migrate, Store};

/// Random octets of a token.
const TOKEN_OCTETS: usize = 32;

/// Longest name, in characters.
const NAME_MAX_CHARS: usize = 64;

/// Digits of a token's hash that are shown, and that name it.
const HASH_SHOWN: usize = 16;

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Adds an ordering system and prints its token, which is shown this once. A known name gets one token more, for rotation.
    Add {
        /// The ordering system's name, as timelines tell it.
        name: String,
        /// A part of the API it may use: orders:read, orders:write, events:read, allowlist:write. The first three, unless given.
        #[arg(long = "scope", value_parser = scope)]
        scopes: Vec<ApiScope>,
        /// A profile it may order under. All, unless given.
        #[arg(long = "profile")]
        profiles: Vec<String>,
        /// How fast it may ask, as "100/1s"; `limits.client_rate`, unless given.
        #[arg(long, value_parser = rate)]
        rate: Option<RequestRate>,
        /// Under test: its mails go nowhere, its results are marked and never reused.
        #[arg(long)]
        test: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Lists the ordering systems of the database with their tokens' hashes.
    List {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Ends a token.
    Revoke {
        /// The beginning of its hash, as `dcvd client list` shows it.
        hash: String,
        #[command(flatten)]
        config: ConfigFile,
    },
}

fn scope(text: &str) -> Result<ApiScope, String> {
    ApiScope::from_text(text).ok_or_else(|| "must be orders:read, orders:write, events:read or allowlist:write".to_owned())
}

fn rate(text: &str) -> Result<RequestRate, String> {
    RequestRate::parse(text).ok_or_else(|| "must be a rate such as 100/1s or 6000/1m".to_owned())
}

pub(super) async fn run(what: What) -> anyhow::Result<()> {
    match what {
        What::Add { name, scopes, profiles, rate, test, config } => {
            let said = !scopes.is_empty() || !profiles.is_empty() || rate.is_some() || test;
            let rights = Rights {
                scopes: if scopes.is_empty() { ApiScope::USUAL.to_vec() } else { scopes },
                profiles: (!profiles.is_empty()).then_some(profiles),
                rate,
                test,
            };
            add(&config.load()?, &name, &rights, said).await
        }
        What::List { config } => list(&config.load()?).await,
        What::Revoke { hash, config } => revoke(&config.load()?, &hash).await,
    }
}

pub(super) async fn open(config: &Config) -> anyhow::Result<Store> {
    let migrate = if config.database.migrate { Migrate::Yes } else { Migrate::No };
    Store::open(config.database.url.expose_secret(), migrate).await.context("database")
}

async fn add(config: &Config, name: &str, rights: &Rights, said: bool) -> anyhow::Result<()> {
    ensure!(
        is_one_line(name) && !name.trim().is_empty() && name.chars().count() <= NAME_MAX_CHARS,
        "the name must be one line of {NAME_MAX_CHARS} characters at most"
    );
    ensure!(
        config.clients.iter().all(|client| client.name != name),
        "`{name}` stands in the configuration; add the new token's hash to its token_sha256 there"
    );
    let store = open(config).await?;
    let known = store.client_tokens().await?.iter().any(|row| row.name == name);
    ensure!(!(known && said), "`{name}` is known already, and gets one token more with the rights it has: leave the options out");
    let mut octets = [0; TOKEN_OCTETS];
    SystemEntropy.fill(&mut octets);
    let token = format!("dcvd_{}", BASE64URL_NOPAD.encode(&octets));
    let rights = if known { None } else { Some(serde_json::to_string(rights)?) };
    store.add_client_token(name, rights, Sha256::digest(token.as_bytes()).into(), SystemClock.now()).await?;
    store.close().await;
    let what = if known { "one token more for" } else { "a token for" };
    eprintln!("{what} `{name}`, shown this once; it works within seconds");
    println!("{token}");
    Ok(())
}

fn hash(row: &ClientRow) -> String {
    HEXLOWER.encode(&row.token_sha256)
}

async fn list(config: &Config) -> anyhow::Result<()> {
    let store = open(config).await?;
    for row in store.client_tokens().await? {
        let rights: Rights = serde_json::from_str(&row.rights).with_context(|| format!("the rights of `{}`", row.name))?;
        let scopes: Vec<&str> = rights.scopes.iter().map(|scope| scope.as_str()).collect();
        let since = Timestamp::from_unix_micros(row.created_at);
        let state =
            row.revoked_at.map_or_else(|| "in use".to_owned(), |at| format!("revoked {}", Timestamp::from_unix_micros(at)));
        let test = if rights.test { " test" } else { "" };
        let profiles = rights.profiles.map_or_else(|| "all profiles".to_owned(), |profiles| profiles.join(","));
        println!("{}\t{}\t{since}\t{state}\t{}\t{profiles}{test}", row.name, &hash(&row)[..HASH_SHOWN], scopes.join(","));
    }
    store.close().await;
    Ok(())
}

async fn revoke(config: &Config, beginning: &str) -> anyhow::Result<()> {
    ensure!(beginning.len() >= 8, "give at least 8 digits of the hash, as `dcvd client list` shows it");
    let store = open(config).await?;
    let tokens = store.client_tokens().await?;
    let meant: Vec<&ClientRow> =
        tokens.iter().filter(|row| row.revoked_at.is_none() && hash(row).starts_with(&beginning.to_ascii_lowercase())).collect();
    let [row] = meant[..] else { bail!("{} tokens in use have a hash that begins so", meant.len()) };
    store.revoke_client_token(row.token_sha256.clone(), SystemClock.now()).await?;
    store.close().await;
    eprintln!("the token {} of `{}` is let in nowhere within seconds", &hash(row)[..HASH_SHOWN], row.name);
    Ok(())
}
