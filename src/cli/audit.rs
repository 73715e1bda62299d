//! `dcvd audit`: whether the log is whole, what a fault touched, whether today's code decides as then, and a random sample.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::io::{IsTerminal as _, Write as _};

use super::wire::wire;
use super::{ConfigFile, client};
use crate::app::audit::{Affected, affected, replay, sample, verify};
use crate::app::bundle::bundle;
use crate::dcv::contact::Source;
use crate::dcv::id::EventId;
use crate::dcv::method::Method;
use crate::dcv::timestamp::Timestamp;
use crate::store::ApprovalFilter;

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Reads every seal of the audit log and every row that it seals. Exit code 1 where anything was changed, taken out or put in.
    Verify {
        /// The hash of a seal that was noted elsewhere: it must be in the chain.
        #[arg(long, value_name = "HEX")]
        head: Option<String>,
        /// What was found as JSON instead of words.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Lists every approval that fits, with the certificates reported for its order: a line of tab-separated values each.
    Affected {
        #[command(flatten)]
        which: Which,
        /// A JSON object a line instead.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Reads and decides approvals again from the stored evidence, with this program's code. Exit code 1 where anything differs.
    Replay {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Draws a random sample of approvals and writes down that it was drawn (Baseline Requirements, section 8.7).
    Sample {
        /// How many of a hundred, at least.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
        percent: u32,
        #[command(flatten)]
        which: Which,
        /// Where each order's evidence bundle is written.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// Which approvals.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Only by this method, such as 3.2.2.4.4.
    #[arg(long, value_parser = method)]
    method: Option<Method>,
    /// Only of addresses from this source, as the API names it.
    #[arg(long, value_parser = source)]
    source: Option<Source>,
    /// Only under this profile.
    #[arg(long)]
    profile: Option<String>,
    /// Only under this version of it: the SHA-256 that `dcvd profile list --json` tells.
    #[arg(long, value_name = "SHA256", value_parser = version)]
    version: Option<Version>,
    /// Only given from the first instant on and before the second, RFC 3339 or days: 2026-01-01..2026-04-01.
    #[arg(long, value_name = "FROM..TO", value_parser = between, default_value = "..")]
    between: Between,
}

#[derive(Debug, Clone)]
struct Version(Vec<u8>);

#[derive(Debug, Clone, Copy)]
struct Between(i64, i64);

fn method(text: &str) -> Result<Method, String> {
    Method::from_section(text).ok_or_else(|| "must be 3.2.2.4.2, 3.2.2.4.4, 3.2.2.4.13 or 3.2.2.4.14".to_owned())
}

fn source(text: &str) -> Result<Source, String> {
    Source::from_text(text).ok_or_else(|| "must be constructed, dns_txt, dns_caa, whois or rdap".to_owned())
}

fn version(text: &str) -> Result<Version, String> {
    let read = HEXLOWER.decode(text.to_ascii_lowercase().as_bytes()).ok().filter(|hash| hash.len() == 32);
    read.map(Version).ok_or_else(|| "must be 64 hexadecimal digits".to_owned())
}

fn between(text: &str) -> Result<Between, String> {
    let (from, to) = text.split_once("..").ok_or("must be FROM..TO")?;
    let read = |text: &str, open: i64| match text {
        "" => Ok(open),
        day if day.len() == 10 => Timestamp::parse_rfc3339(&format!("{day}T00:00:00Z")).map(Timestamp::unix_micros),
        instant => Timestamp::parse_rfc3339(instant).map(Timestamp::unix_micros),
    };
    let told = |error: time::error::Parse| format!("no day and no instant: {error}");
    Ok(Between(read(from, 0).map_err(told)?, read(to, i64::MAX).map_err(told)?))
}

impl Which {
    fn filter(&self) -> ApprovalFilter {
        ApprovalFilter {
            method: self.method.map(|method| method.section().to_owned()),
            source: self.source.map(|source| source.as_str().to_owned()),
            profile: self.profile.clone(),
            version: self.version.as_ref().map(|version| version.0.clone()),
            between: (self.between.0, self.between.1),
        }
    }
}

pub(super) async fn run(what: What) -> anyhow::Result<ExitCode> {
    match what {
        What::Verify { head, json, config } => look(&config, head.as_deref(), json).await,
        What::Affected { which, json, config } => {
            let store = client::open(&config.load()?).await?;
            if !json {
                line(&HEADINGS.map(str::to_owned));
            }
            let count = affected(&store, &which.filter(), |one| {
                if json {
                    line(&[json!(one).to_string()]);
                } else {
                    line(&columns(&one));
                }
                Ok(())
            })
            .await?;
            store.close().await;
            eprintln!("{count} approvals");
            Ok(ExitCode::SUCCESS)
        }
        What::Replay { which, config } => {
            let app = wire(&config.load()?).await?;
            let mut differences = 0_u64;
            let (count, unreadable) = replay(&app, &which.filter(), |one| {
                differences += 1;
                line(&[json!(one).to_string()]);
                Ok(())
            })
            .await?;
            app.store.close().await;
            eprintln!("{count} approvals, {differences} differences, {unreadable} whose raw answers were not kept whole");
            Ok(if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        What::Sample { percent, which, out, config } => draw(&config, percent, &which.filter(), out).await,
    }
}

async fn look(config: &ConfigFile, head: Option<&str>, as_json: bool) -> anyhow::Result<ExitCode> {
    let store = client::open(&config.load()?).await?;
    let last = store.latest_seals(1).await?.first().map_or(0, |(number, ..)| *number);
    let bar = ProgressBar::new(u64::try_from(last).unwrap_or_default());
    bar.set_draw_target(if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    });
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} seals · {elapsed} · {eta} left") {
        bar.set_style(style);
    }
    let found = verify(&store, head, |done| bar.set_position(u64::try_from(done).unwrap_or_default())).await?;
    bar.finish_and_clear();
    store.close().await;
    if as_json {
        line(&[json!(found).to_string()]);
    } else {
        for fault in &found.faults {
            line(&[json!(fault).to_string()]);
        }
        let head = found.head.as_deref().unwrap_or("-");
        line(&[format!(
            "{} seals, {} rows, {} waiting for the next seal, {} removed and {} masked by retention; head {head}",
            found.seals, found.rows, found.waiting, found.retired, found.masked
        )]);
    }
    if found.adopting {
        eprintln!("dcvd: rows of an older version are not all sealed yet; the daemon does that after its first start");
    }
    let faults = found.faults.len() as u64 + found.more_faults;
    if faults > 0 {
        eprintln!("dcvd: {faults} faults");
    }
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn draw(config: &ConfigFile, percent: u32, filter: &ApprovalFilter, out: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let app = wire(&config.load()?).await?;
    if let Some(out) = &out {
        std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
        ensure!(out.read_dir()?.next().is_none(), "{} is not empty", out.display());
    }
    let (row, drawn) = sample(&app, filter, percent, "command-line").await?;
    let id = <[u8; 16]>::try_from(row.id.as_slice()).map(EventId::from_bytes).map(|id| id.to_string()).unwrap_or_default();
    line(&HEADINGS.map(str::to_owned));
    for one in &drawn {
        line(&columns(one));
        if let Some(out) = &out {
            let path = out.join(format!("{}.zip", one.order));
            if !path.exists() {
                std::fs::write(&path, bundle(&app, one.order).await?).with_context(|| path.display().to_string())?;
            }
        }
    }
    app.store.close().await;
    eprintln!("{} of {} approvals drawn as {id} with the seed {}", drawn.len(), row.total, HEXLOWER.encode(&row.seed));
    Ok(ExitCode::SUCCESS)
}

const HEADINGS: [&str; 13] = [
    "approved_at",
    "name",
    "approver",
    "source",
    "method",
    "scope",
    "reusable_until",
    "reused",
    "certificates",
    "client",
    "order_ref",
    "order",
    "profile",
];

fn columns(one: &Affected) -> [String; 13] {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    [
        time(one.approved_at),
        one.name.clone(),
        one.approver.clone(),
        one.source.clone(),
        one.method.clone(),
        one.scope.clone(),
        time(one.reusable_until),
        one.reused.to_string(),
        one.certificates.join(" "),
        one.client.clone(),
        one.order_ref.clone(),
        one.order.to_string(),
        one.profile.clone(),
    ]
}

/// A line of values with tabs between; a value has none.
fn line(values: &[String]) {
    let text = values.iter().map(|value| value.replace(['\t', '\n', '\r'], " ")).collect::<Vec<_>>().join("\t");
    // Whoever reads no further has what they wanted.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
