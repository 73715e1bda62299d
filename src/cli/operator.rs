//! `dcvd operator`: who may use the status page.

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use data_encoding::BASE32_NOPAD;

use super::{ConfigFile, client, wire};
use crate::adapters::clock::SystemClock;
use crate::adapters::credentials;
use crate::adapters::entropy::SystemEntropy;
use crate::app::sign_in::{disable, set_operator};
use crate::config::Config;
use crate::dcv::field::is_one_line;
use crate::dcv::link;
use crate::dcv::operator::Role;
use crate::ports::{Clock as _, Entropy as _};
use crate::store::OperatorRow;

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Adds an operator; prints a password and the secret of one-time passwords, which are shown this once.
    Add {
        /// The name to sign in with, as timelines tell it.
        name: String,
        /// viewer, operator, approver-admin, auditor or admin. A viewer looks, and sees no whole address.
        #[arg(long, value_parser = role, default_value = "viewer")]
        role: Role,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Gives an operator a new password and secret, and the role given; ends their sign-ins.
    Reset {
        /// The operator.
        name: String,
        /// viewer, operator, approver-admin, auditor or admin.
        #[arg(long, value_parser = role)]
        role: Role,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Lets an operator in no more, and ends their sign-ins.
    Disable {
        /// The operator.
        name: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Lists the operators.
    List {
        #[command(flatten)]
        config: ConfigFile,
    },
}

fn role(text: &str) -> Result<Role, String> {
    Role::from_text(text).ok_or_else(|| "must be viewer, operator, approver-admin, auditor or admin".to_owned())
}

/// Longest name, in characters.
const NAME_MAX_CHARS: usize = 60;

pub(super) async fn run(what: What) -> anyhow::Result<()> {
    match what {
        What::Add { name, role, config } => set(&config.load()?, &name, role, true).await,
        What::Reset { name, role, config } => set(&config.load()?, &name, role, false).await,
        What::Disable { name, config } => {
            let store = client::open(&config.load()?).await?;
            let was = disable(&store, &name, SystemClock.now()).await?;
            store.close().await;
            ensure!(was, "there is no operator `{name}` who is let in");
            Ok(())
        }
        What::List { config } => {
            let store = client::open(&config.load()?).await?;
            for one in store.operators().await? {
                let state = if one.disabled_at.is_some() { "disabled" } else { "" };
                println!("{}\t{}\t{state}", one.name, one.role);
            }
            store.close().await;
            Ok(())
        }
    }
}

async fn set(config: &Config, name: &str, role: Role, new: bool) -> anyhow::Result<()> {
    ensure!(
        is_one_line(name) && !name.trim().is_empty() && name.trim() == name && name.chars().count() <= NAME_MAX_CHARS,
        "the name must be one line of {NAME_MAX_CHARS} characters at most"
    );
    let store = client::open(config).await?;
    let keys = wire::key_ring(config, &store).await?;
    let (mut password, mut nonce) = ([0; 15], [0; 16]);
    SystemEntropy.fill(&mut password);
    SystemEntropy.fill(&mut nonce);
    let password = BASE32_NOPAD.encode(&password).to_lowercase();
    let now = SystemClock.now();
    let row = OperatorRow {
        name: name.to_owned(),
        role: role.as_str().to_owned(),
        password: credentials::hash(&password).map_err(|error| anyhow::anyhow!("{error}"))?,
        nonce: nonce.to_vec(),
        last_step: 0,
        created_at: now.unix_micros(),
        disabled_at: None,
    };
    let done = set_operator(&store, row, new, now).await?;
    store.close().await;
    ensure!(done || !new, "there is an operator `{name}`; `dcvd operator reset` gives a new password");
    ensure!(done, "there is no operator `{name}`");
    let secrets = link::one_time_secrets(&keys, &nonce);
    let secret = BASE32_NOPAD.encode(secrets.first().context("there is no link key")?);
    println!("password: {password}");
    println!(
        "one-time passwords: otpauth://totp/dcvd:{}?secret={secret}&issuer=dcvd",
        url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
    );
    eprintln!(
        "Both are shown this once. The secret goes into an app for one-time passwords; it is made with the link key, so keep link.key_files."
    );
    Ok(())
}
