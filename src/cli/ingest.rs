//! `dcvd ingest`: takes a returned message on standard input, for a mail server's pipe.

use std::io::Read as _;
use std::process::ExitCode;

use super::wire::wire;
use crate::app::ingest::{Ingested, ingest};
use crate::config::Config;

/// Longest message read, in bytes; the rest of a longer one is left out.
const MESSAGE_MAX_BYTES: u64 = 10 * 1024 * 1024;

/// What tells a mail server to keep the message and try again. Spec: sysexits(3), `EX_TEMPFAIL`.
pub(super) const TRY_AGAIN: u8 = 75;

pub(super) async fn run(config: Config, recipient: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut raw = Vec::new();
    std::io::stdin().lock().take(MESSAGE_MAX_BYTES).read_to_end(&mut raw)?;
    let app = wire(&config).await?;
    let ingested = ingest(&app, &raw, recipient).await?;
    app.store.close().await;
    match ingested {
        Ingested::Of(mail, kind) => println!("{mail} {}", kind.as_str()),
        Ingested::OfNotice(notice, kind) => println!("{notice} {}", kind.as_str()),
        Ingested::Stray(kind) => println!("- {}", kind.as_str()),
        Ingested::Again => println!("- again"),
    }
    Ok(ExitCode::SUCCESS)
}
