//! `dcvd migrate`

use anyhow::Context as _;
use secrecy::ExposeSecret as _;

use crate::config::Config;
use crate::store::{Migrate, Store};

pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let store = Store::open(config.database.url.expose_secret(), Migrate::Yes).await.context("database")?;
    eprintln!("the {} schema is up to date", store.kind());
    store.close().await;
    Ok(())
}
