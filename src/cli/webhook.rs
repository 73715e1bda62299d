//! `dcvd webhook`: tries a receiver, or lets one that was gone be posted to again.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{ConfigFile, wire};
use crate::adapters::clock::SystemClock;
use crate::adapters::entropy::SystemEntropy;
use crate::config::Config;
use crate::dcv::id::EventId;
use crate::ports::{Clock as _, Entropy as _, Webhook as _};
use crate::store::{Migrate, Store};

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Posts a signed `webhook.test` event and tells what was answered. Exit code 1 where it was not taken.
    Test {
        /// The receiver's name in the configuration.
        name: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Lets a receiver that answered 410 Gone be posted to again, what was kept for it first.
    Enable {
        /// The receiver's name in the configuration.
        name: String,
        #[command(flatten)]
        config: ConfigFile,
    },
}

pub(super) async fn run(what: What) -> anyhow::Result<()> {
    match what {
        What::Test { name, config } => test(&config.load()?, &name).await,
        What::Enable { name, config } => enable(&config.load()?, &name).await,
    }
}

fn known(config: &Config, name: &str) -> anyhow::Result<()> {
    let names: Vec<&str> = config.webhooks.iter().map(|one| one.name.as_str()).collect();
    ensure!(names.contains(&name), "no webhook `{name}` is configured; there are: {}", names.join(", "));
    Ok(())
}

async fn test(config: &Config, name: &str) -> anyhow::Result<()> {
    known(config, name)?;
    let webhooks = Arc::new(wire::webhooks(config)?);
    let mut random = [0; 10];
    SystemEntropy.fill(&mut random);
    let now = SystemClock.now();
    let id = EventId::new(now, random);
    let body = json!({"type": "webhook.test", "timestamp": now, "data": {"test": true}}).to_string();
    let said = webhooks.post(name, &id.to_string(), now, &body).await.with_context(|| format!("`{name}` did not take it"))?;
    println!("{name}\t{id}\t{said}");
    Ok(())
}

async fn enable(config: &Config, name: &str) -> anyhow::Result<()> {
    known(config, name)?;
    let migrate = if config.database.migrate { Migrate::Yes } else { Migrate::No };
    let store = Store::open(config.database.url.expose_secret(), migrate).await.context("database")?;
    let kept = store.endpoint_back(name, SystemClock.now()).await?;
    store.close().await;
    let kept = kept.with_context(|| format!("`{name}` was not gone"))?;
    eprintln!("`{name}` is posted to again within seconds; {kept} posts that were kept go first");
    Ok(())
}
