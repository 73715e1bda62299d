//! `dcvd allowlist`: which domains ordering systems may order, to and from files of tab-separated values.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::ConfigFile;
use crate::adapters::clock::SystemClock;
use crate::config::{Config, load_profiles};
use crate::dcv::allowlist::Entry;
use crate::ports::Clock as _;
use crate::store::{AllowRow, Store};

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Reads domains from a file of tab-separated values: domain, approver, profiles (with commas between), note. All of it or nothing.
    Import {
        /// The ordering system that may order them.
        #[arg(long)]
        client: String,
        /// The file; "-" for standard input. A first line that names the columns is skipped.
        file: PathBuf,
        /// How it is written; UTF-8 where it is that, else Shift_JIS, unless given.
        #[arg(long)]
        encoding: Option<Encoding>,
        /// The ordering system's list becomes this file; otherwise what is not in it stays.
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Writes an ordering system's list as such a file to standard output.
    Export {
        /// The ordering system.
        #[arg(long)]
        client: String,
        /// How to write it.
        #[arg(long, default_value = "utf-8")]
        encoding: Encoding,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Shows the list.
    List {
        /// Of this ordering system alone.
        #[arg(long)]
        client: Option<String>,
        /// A JSON object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Encoding {
    /// UTF-8
    #[value(name = "utf-8")]
    Utf8,
    /// Shift_JIS, as WHATWG has it (Windows-31J)
    #[value(name = "shift_jis", alias = "shift-jis")]
    ShiftJis,
}

/// Largest file, in bytes.
const FILE_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Wrong lines that are told.
const TOLD_MAX: usize = 20;

/// Rows read or written at once.
const PAGE: u32 = 1000;

const HEAD: [&str; 4] = ["domain", "approver", "profiles", "note"];

pub(super) async fn run(what: What) -> anyhow::Result<()> {
    match what {
        What::Import { client, file, encoding, replace, config } => {
            let config = config.load()?;
            let entries = entries(&config, &read(&file, encoding)?)?;
            let read = entries.len();
            let rows: Vec<AllowRow> = {
                let now = SystemClock.now().unix_micros();
                entries.iter().map(|entry| AllowRow::new(&client, entry, now, "command-line")).collect()
            };
            let store = super::client::open(&config).await?;
            let (name, bar) = (client.clone(), super::approvers::progress(read, true));
            store
                .write("import_allowlist", move |tx| {
                    Box::pin(async move {
                        if replace {
                            tx.clear_allowlist(&name).await?;
                        }
                        for row in &rows {
                            tx.put_allowed(row).await?;
                            bar.inc(1);
                        }
                        bar.finish_and_clear();
                        Ok::<(), crate::store::StoreError>(())
                    })
                })
                .await?;
            store.close().await;
            eprintln!("{read} domains for {client}");
            Ok(())
        }
        What::Export { client, encoding, config } => {
            let config = config.load()?;
            let store = super::client::open(&config).await?;
            // No field holds a tab or a line's end; one that would be read as quoted is.
            let mut text = HEAD.join("\t") + "\n";
            each(&store, Some(&client), |row| {
                let profiles = row.profiles()?.join(",");
                let fields = [row.domain.as_str(), row.approver.as_deref().unwrap_or_default(), &profiles, &row.note];
                text.push_str(&fields.map(quoted).join("\t"));
                text.push('\n');
                Ok(())
            })
            .await?;
            store.close().await;
            let bytes = match encoding {
                Encoding::Utf8 => text.into_bytes(),
                Encoding::ShiftJis => {
                    let (bytes, _, lost) = encoding_rs::SHIFT_JIS.encode(&text);
                    ensure!(!lost, "a note or an address has characters that Shift_JIS lacks; export as UTF-8");
                    bytes.into_owned()
                }
            };
            std::io::stdout().write_all(&bytes).context("standard output")
        }
        What::List { client, json, config } => {
            let config = config.load()?;
            let store = super::client::open(&config).await?;
            let mut out = std::io::stdout().lock();
            each(&store, client.as_deref(), |row| {
                let profiles = row.profiles()?;
                if json {
                    let line = json!({"client": row.client, "domain": row.domain, "approver": row.approver, "profiles": profiles, "note": row.note});
                    writeln!(out, "{line}")?;
                } else {
                    let approver = row.approver.as_deref().unwrap_or("-");
                    let profiles = if profiles.is_empty() { "-".to_owned() } else { profiles.join(",") };
                    writeln!(out, "{}\t{}\t{approver}\t{profiles}\t{}", row.client, row.domain, row.note)?;
                }
                Ok(())
            })
            .await?;
            store.close().await;
            Ok(())
        }
    }
}

/// Reads the list page by page.
async fn each(store: &Store, client: Option<&str>, mut take: impl FnMut(&AllowRow) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut last: Option<(String, String)> = None;
    loop {
        let after = last.as_ref().map(|(client, domain)| (client.as_str(), domain.as_str()));
        let rows = store.allowlist(client, after, PAGE).await?;
        for row in &rows {
            take(row)?;
        }
        match rows.last() {
            Some(row) if rows.len() == PAGE as usize => last = Some((row.client.clone(), row.domain.clone())),
            _ => return Ok(()),
        }
    }
}

/// The file's text.
fn read(file: &PathBuf, encoding: Option<Encoding>) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let name = file.display().to_string();
    if name == "-" {
        std::io::stdin().take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    } else {
        let opened = std::fs::File::open(file).with_context(|| name.clone())?;
        opened.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).with_context(|| name.clone())?;
    }
    ensure!(bytes.len() as u64 <= FILE_MAX_BYTES, "{name}: larger than 8 MiB");
    decoded(&bytes, encoding).with_context(|| name)
}

/// Text as it is said to be written, or as it is found to be; a byte that does not fit refuses it whole.
fn decoded(bytes: &[u8], encoding: Option<Encoding>) -> anyhow::Result<String> {
    let plain = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if encoding != Some(Encoding::ShiftJis) {
        match std::str::from_utf8(plain) {
            Ok(text) => return Ok(text.to_owned()),
            Err(error) if encoding == Some(Encoding::Utf8) => bail!("is no UTF-8: {error}"),
            Err(_) => {}
        }
    }
    let (text, wrong) = encoding_rs::SHIFT_JIS.decode_without_bom_handling(bytes);
    ensure!(!wrong, "is neither UTF-8 nor Shift_JIS");
    Ok(text.into_owned())
}

/// A field as it is meant: a spreadsheet puts one with commas or quotation marks into such marks, each of its own twice.
fn unquoted(field: &str) -> Cow<'_, str> {
    match field.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => Cow::Owned(inner.replace("\"\"", "\"")),
        None => Cow::Borrowed(field),
    }
}

/// A field as [`unquoted`] reads it back.
fn quoted(field: &str) -> Cow<'_, str> {
    match unquoted(field) {
        Cow::Borrowed(field) => Cow::Borrowed(field),
        Cow::Owned(_) => Cow::Owned(format!("\"{}\"", field.replace('"', "\"\""))),
    }
}

/// Reads every line; all wrong ones are told.
fn entries(config: &Config, text: &str) -> anyhow::Result<Vec<Entry>> {
    let suffixes = super::wire::lists(config)?.suffixes;
    let catalog = load_profiles(&config.profile_dir, &config.default_profile).context("profile_dir")?;
    let (mut entries, mut wrong): (Vec<Entry>, Vec<String>) = (Vec::new(), Vec::new());
    let mut known = HashSet::new();
    for (line, fields) in text.lines().enumerate().map(|(at, text)| (at + 1, text.split('\t').map(unquoted).collect::<Vec<_>>()))
    {
        let field = |at: usize| fields.get(at).map(|field| field.trim()).unwrap_or_default();
        let heads = entries.is_empty() && wrong.is_empty() && ["domain", "ドメイン", "ドメイン名"].contains(&field(0));
        if heads || fields.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        if fields.len() > HEAD.len() {
            wrong.push(format!("line {line}: has more than {} columns", HEAD.len()));
            continue;
        }
        let unknown = |id: &&str| !id.is_empty() && catalog.get(Some(id)).is_none();
        if let Some(unknown) = field(2).split(',').map(str::trim).find(unknown) {
            wrong.push(format!("line {line}: profiles: there is no profile `{unknown}`"));
            continue;
        }
        let profiles = field(2).split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect();
        match Entry::parse(field(0), field(1), profiles, field(3), &suffixes) {
            Err(errors) => wrong.extend(errors.into_iter().map(|one| format!("line {line}: {}: {}", one.pointer, one.detail))),
            Ok(entry) if known.insert(entry.domain.clone()) => entries.push(entry),
            Ok(entry) => wrong.push(format!("line {line}: domain: {} stands in an earlier line", entry.domain)),
        }
    }
    if wrong.is_empty() {
        return Ok(entries);
    }
    let more = wrong.len().saturating_sub(TOLD_MAX);
    wrong.truncate(TOLD_MAX);
    let rest = if more > 0 { format!("\nand {more} more") } else { String::new() };
    bail!("nothing was imported:\n{}{rest}", wrong.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_as_a_spreadsheet_writes_it() {
        assert_eq!(unquoted("\"nii-upki,standard\""), "nii-upki,standard");
        for note in ["", "\"", "\"\"", "\"so said\"", "a \"b\"", "\"a b\"@example.jp", "\"x\"\"y\""] {
            assert_eq!(unquoted(&quoted(note)), note);
        }
    }

    #[test]
    fn shift_jis_is_read_where_it_is_no_utf_8() {
        let (sjis, ..) = encoding_rs::SHIFT_JIS.encode("example.jp\t\t\t情報基盤センター");
        assert!(decoded(&sjis, None).unwrap().ends_with("情報基盤センター"));
        assert!(decoded(&sjis, Some(Encoding::Utf8)).is_err());
        assert_eq!(decoded("\u{feff}a".as_bytes(), None).unwrap(), "a");
        assert!(decoded(b"\xff\xff\x81", None).is_err());
    }
}
