//! `dcvd export`: rows for other programs and for spreadsheets.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context as _, ensure};

use super::ConfigFile;
use super::wire::wire;
use crate::app::export::{Format, MadeOf, Rows, export_to};

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// orders, names, mails, allow-list, statistics or access-log.
    #[arg(long, value_name = "KIND", value_parser = rows)]
    rows: Rows,
    /// csv, tsv, tsv-shift-jis or json-lines.
    #[arg(long, default_value = "json-lines", value_parser = format)]
    format: Format,
    /// A condition of the status page's list, such as state=completed, from=2026-01-01 or profile=standard; several together.
    #[arg(long = "where", value_name = "KEY=VALUE", value_parser = condition)]
    conditions: Vec<(String, String)>,
    /// For a spreadsheet: no cell that it would take for a formula.
    #[arg(long)]
    spreadsheet: bool,
    /// Addresses and what people typed are not told.
    #[arg(long)]
    masked: bool,
}

fn rows(text: &str) -> Result<Rows, String> {
    let known = || Rows::ALL.map(|one| one.in_words().0).join(", ");
    Rows::from_text(text).ok_or_else(|| format!("one of {}", known()))
}

fn format(text: &str) -> Result<Format, String> {
    let known = || Format::ALL.map(|one| one.in_words().0).join(", ");
    Format::from_text(text).ok_or_else(|| format!("one of {}", known()))
}

fn condition(text: &str) -> Result<(String, String), String> {
    text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "KEY=VALUE".to_owned())
}

pub(super) async fn run(file: &ConfigFile, which: Which) -> anyhow::Result<()> {
    let known = crate::http::EXPORT_FILTERS;
    for (key, _) in &which.conditions {
        ensure!(known.contains(&key.as_str()), "--where {key}: there is no such condition; one of {}", known.join(", "));
    }
    let filter: BTreeMap<String, String> = which.conditions.into_iter().collect();
    let made = MadeOf { rows: which.rows, format: which.format, for_spreadsheets: which.spreadsheet, filter };
    let app = wire(&file.load()?).await?;
    let mut out = std::io::stdout().lock();
    let written = export_to(&app, &made, which.masked, |bytes| out.write_all(bytes).map_err(anyhow::Error::from)).await;
    app.store.close().await;
    let count = written.context("standard output")?;
    out.flush()?;
    eprintln!("{count} rows");
    Ok(())
}
