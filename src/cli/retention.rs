//! `dcvd retention`: removes what need not be kept any more, or says what that would be.

use std::time::Duration;

use super::ConfigFile;
use super::wire::wire;
use crate::app::retain::retain;

pub(super) async fn run(file: &ConfigFile, dry: bool) -> anyhow::Result<()> {
    let app = wire(&file.load()?).await?;
    let removed = retain(&app, dry, Duration::ZERO, || false).await;
    app.store.close().await;
    let removed = removed?;
    let (word, taken) = if dry { ("would be removed", "would be taken") } else { ("removed", "was taken") };
    for (profile, orders) in &removed.orders {
        println!("orders\t{profile}\t{orders}");
    }
    for (profile, orders) in &removed.masked {
        println!("personal data\t{profile}\t{orders}");
    }
    println!("access log\t-\t{}", removed.access);
    eprintln!(
        "{} orders and {} entries of the access log {word}; personal data {taken} out of {} orders",
        removed.orders.values().sum::<u64>(),
        removed.access,
        removed.masked.values().sum::<u64>()
    );
    Ok(())
}
