//! `dcvd approvers NAME`, and `--file` for many names.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use super::wire::wire_with;
use crate::app::App;
use crate::app::list_approvers::{Listed, list_approvers};
use crate::config::Config;
use crate::dcv::contact::reason::explain;
use crate::dcv::contact::{self, Approver};
use crate::dcv::method::{self, RuleStatus};
use crate::dcv::name::{CertificateName, NameError};
use crate::dcv::profile::Versioned;
use crate::dcv::timestamp::Timestamp;
use crate::http::ApproversView;

/// Names looked up at once; each server's own rate holds whatever this is.
const CONCURRENT: usize = 16;

/// Longest line read of a file of names, in bytes.
const LINE_MAX_BYTES: u64 = 4096;

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// One JSON object a line, as the API answers.
    Jsonl,
    /// One address a line.
    Csv,
}

/// Whom to look for.
#[derive(Debug, Args)]
pub(super) struct Look {
    /// The name.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    name: Option<String>,
    /// A file of names, one a line; blank lines and what follows "#" are passed over. "-" reads standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Under which profile.
    #[arg(long)]
    profile: Option<String>,
    /// Tells what changes by that day, YYYY-MM-DD: which methods end, how long approvals last.
    #[arg(long, value_name = "DATE", value_parser = day)]
    on: Option<Timestamp>,
    /// One JSON object, as the API answers.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// How to write; a table for one name, JSON lines for a file.
    #[arg(long, value_enum)]
    format: Option<Format>,
}

fn day(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")).map_err(|_| "must be a day such as 2028-03-15".to_owned())
}

/// What one name brought.
struct Looked {
    input: String,
    outcome: Result<(CertificateName, Listed), NameError>,
    on: Option<OnDay>,
}

/// What changes by a day.
#[derive(Serialize)]
struct OnDay {
    date: String,
    /// Days after it was initiated that a validation may be used for issuance on that day.
    reuse_days: u32,
    /// The same today.
    reuse_days_now: u32,
    changes: Vec<Change>,
}

/// One address whose standing changes.
#[derive(Serialize)]
struct Change {
    email: String,
    adn: String,
    source: &'static str,
    method: &'static str,
    ballot: &'static str,
    from: RuleStatus,
    to: RuleStatus,
    usable: bool,
    /// The last instant at which an approval asked for now may be used; none where the method is forbidden.
    reusable_until: Option<Timestamp>,
}

pub(super) async fn run(mut config: Config, look: Look) -> anyhow::Result<ExitCode> {
    // Looking is not keeping: the evidence of a look goes into a database of its own, which goes away.
    let dir = tempfile::tempdir()?;
    config.database.url = format!("sqlite://{}", dir.path().join("look.db").display()).into();
    // With many names, waiting for a server's rate is the plan and no failure.
    let deadline = if look.file.is_some() { Duration::from_secs(86_400) } else { Duration::from_secs(25) };
    let app = wire_with(&config, deadline).await?;
    let wanted = look.profile.as_deref();
    let profile = app.profiles.get(wanted).cloned();
    let profile = profile.with_context(|| format!("there is no profile `{}`", wanted.unwrap_or_default()))?;
    let format = look.format.unwrap_or(match (look.json, &look.file) {
        (false, None) => Format::Table,
        _ => Format::Jsonl,
    });
    let names = match (&look.file, look.name) {
        (Some(file), _) => read_names(file)?,
        (None, name) => name.into_iter().collect(),
    };
    let progress = progress(names.len(), look.file.is_some());
    let mut writer = Writer::new(format);
    let (mut refused, mut looked) =
        (0_usize, stream::iter(names).map(|name| look_at(&app, Arc::clone(&profile), name, look.on)).buffered(CONCURRENT));
    while let Some(one) = looked.next().await {
        let one = one?;
        refused += usize::from(one.outcome.is_err());
        writer.write(&one)?;
        progress.inc(1);
    }
    drop(looked);
    writer.finish()?;
    progress.finish_and_clear();
    app.store.close().await;
    if refused > 0 && look.file.is_some() {
        eprintln!("dcvd: {refused} of the names were refused");
    }
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads a file of names.
fn read_names(file: &Path) -> anyhow::Result<Vec<String>> {
    let place = || file.display().to_string();
    let mut input: Box<dyn std::io::BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::io::BufReader::new(std::fs::File::open(file).with_context(place)?))
    };
    let (mut names, mut line) = (Vec::new(), String::new());
    for number in 1.. {
        line.clear();
        let taken = input.by_ref().take(LINE_MAX_BYTES).read_line(&mut line).with_context(|| format!("{}:{number}", place()))?;
        if taken == 0 {
            break;
        }
        anyhow::ensure!((taken as u64) < LINE_MAX_BYTES, "{}:{number}: the line is longer than {LINE_MAX_BYTES} bytes", place());
        let name = line.split('#').next().unwrap_or_default().trim();
        if !name.is_empty() {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// A bar on standard error where a person watches a file being worked through.
pub(super) fn progress(names: usize, many: bool) -> ProgressBar {
    let bar = ProgressBar::new(names as u64);
    let watched = many && std::io::stderr().is_terminal();
    bar.set_draw_target(if watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() });
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} names · {elapsed} · {eta} left") {
        bar.set_style(style);
    }
    bar
}

async fn look_at(app: &App, profile: Arc<Versioned>, input: String, on: Option<Timestamp>) -> anyhow::Result<Looked> {
    let name = match CertificateName::parse(&input, &app.lists().suffixes) {
        Ok(name) => name,
        Err(error) => return Ok(Looked { input, outcome: Err(error), on: None }),
    };
    let listed = list_approvers(app, &name, profile, true).await?;
    let on = on.map(|day| on_day(app, &name, &listed, day));
    Ok(Looked { input, outcome: Ok((name, listed)), on })
}

/// Lists again as on another day and tells what is different.
fn on_day(app: &App, name: &CertificateName, listed: &Listed, day: Timestamp) -> OnDay {
    let now = app.now();
    let then = contact::list(name.fqdn(), &listed.profile.profile, &app.lists().policy, &listed.lookups, day);
    let same = |a: &Approver, b: &Approver| a.email == b.email && a.adn == b.adn;
    let changes = listed.listing.approvers.iter().filter_map(|one| {
        let later = then.approvers.iter().find(|later| same(one, later))?;
        (one.rule.status != later.rule.status || one.usable != later.usable).then(|| Change {
            email: one.email.to_string(),
            adn: one.adn.to_string(),
            source: one.source.as_str(),
            method: one.method().section(),
            ballot: one.method().ballot(),
            from: one.rule.status,
            to: later.rule.status,
            usable: later.usable,
            reusable_until: method::reusable_until(one.method(), now),
        })
    });
    let date = day.to_string();
    OnDay {
        date: date.get(..10).unwrap_or(&date).to_owned(),
        reuse_days: method::reuse_days(day),
        reuse_days_now: method::reuse_days(now),
        changes: changes.collect(),
    }
}

/// Writes answers to standard output as they come.
enum Writer {
    Table,
    Jsonl,
    Csv(Box<csv::Writer<std::io::Stdout>>),
}

/// One line of the JSON form: the API's answer, and what changes by a day where one was given.
#[derive(Serialize)]
struct JsonLine<'a> {
    #[serde(flatten)]
    view: ApproversView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<&'a OnDay>,
}

/// One line of the CSV form.
#[derive(Serialize, Default)]
struct CsvLine<'a> {
    name: &'a str,
    base_domain: String,
    class: &'a str,
    email: String,
    adn: &'a str,
    source: &'a str,
    role: &'a str,
    method: &'a str,
    status: String,
    usable: Option<bool>,
    reason: &'a str,
    /// Sources that brought nothing, with their reasons.
    missing: String,
    on: &'a str,
    on_status: String,
}

impl Writer {
    fn new(format: Format) -> Self {
        match format {
            Format::Table => Self::Table,
            Format::Jsonl => Self::Jsonl,
            Format::Csv => Self::Csv(Box::new(csv::Writer::from_writer(std::io::stdout()))),
        }
    }

    fn write(&mut self, looked: &Looked) -> anyhow::Result<()> {
        match (self, &looked.outcome) {
            (Self::Table, Ok((name, listed))) => table(name, listed, looked.on.as_ref())?,
            (Self::Table, Err(error)) => eprintln!("dcvd: {}: {error} ({})", looked.input, error.code()),
            (Self::Jsonl, Ok((name, listed))) => {
                let line = JsonLine { view: ApproversView::new(name, listed), on: looked.on.as_ref() };
                writeln!(std::io::stdout(), "{}", serde_json::to_string(&line)?)?;
            }
            (Self::Jsonl, Err(error)) => {
                let object = json!({"name": looked.input, "error": {"code": error.code(), "detail": error.to_string()}});
                writeln!(std::io::stdout(), "{object}")?;
            }
            (Self::Csv(csv), Ok((name, listed))) => csv_lines(csv, looked, name, listed)?,
            (Self::Csv(csv), Err(error)) => {
                csv.serialize(CsvLine { name: &looked.input, reason: error.code(), ..CsvLine::default() })?;
            }
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        if let Self::Csv(mut csv) = self {
            csv.flush()?;
        }
        Ok(())
    }
}

fn word(status: RuleStatus) -> String {
    serde_json::to_value(status).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn csv_lines(
    csv: &mut csv::Writer<std::io::Stdout>,
    looked: &Looked,
    name: &CertificateName,
    listed: &Listed,
) -> anyhow::Result<()> {
    let missing = listed
        .listing
        .missing()
        .map(|report| format!("{}={}({})", report.source.as_str(), report.status.as_str(), report.reasons.join(" ")))
        .collect::<Vec<_>>()
        .join("; ");
    let base_domain = name.fqdn().base_domain().to_string();
    if listed.listing.approvers.is_empty() {
        let class = name.fqdn().class().as_str();
        csv.serialize(CsvLine { name: &looked.input, base_domain, class, missing, ..CsvLine::default() })?;
        return Ok(());
    }
    for one in &listed.listing.approvers {
        let change = looked.on.as_ref().and_then(|on| {
            let email = one.email.to_string();
            on.changes.iter().find(|change| change.email == email && change.adn == one.adn.as_str())
        });
        csv.serialize(CsvLine {
            name: &looked.input,
            base_domain: base_domain.clone(),
            class: name.fqdn().class().as_str(),
            email: one.email.to_string(),
            adn: one.adn.as_str(),
            source: one.source.as_str(),
            role: one.role.map_or("", |role| role.as_str()),
            method: one.method().section(),
            status: word(one.rule.status),
            usable: Some(one.usable),
            reason: one.reason.as_deref().unwrap_or_default(),
            missing: missing.clone(),
            on: looked.on.as_ref().map_or("", |on| on.date.as_str()),
            on_status: looked.on.as_ref().map_or_else(String::new, |_| word(change.map_or(one.rule.status, |change| change.to))),
        })?;
    }
    Ok(())
}

/// The reason in words, with its code for looking it up.
fn told(code: &str) -> String {
    explain(code).map_or_else(|| code.to_owned(), |reason| format!("{} ({code})", reason.en))
}

fn table(name: &CertificateName, listed: &Listed, on: Option<&OnDay>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let class = name.fqdn().class().as_str();
    writeln!(out, "{name} · {class} · base domain {} · profile {}", name.fqdn().base_domain(), listed.profile.profile.id)?;
    let approvers = &listed.listing.approvers;
    let wide = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let emails = wide(&mut approvers.iter().map(|one| one.email.to_string().chars().count()));
    let adns = wide(&mut approvers.iter().map(|one| one.adn.as_str().len()));
    writeln!(out, "  {:emails$}  {:adns$}  {:11}  {:14}  {:10}  standing", "address", "for", "source", "role", "method")?;
    for one in approvers {
        let role = one.role.map_or("", |role| role.as_str());
        let standing = match (&one.reason, one.usable) {
            (Some(reason), _) => format!("not usable: {}", told(reason)),
            (None, false) => "not usable".to_owned(),
            (None, true) => word(one.rule.status),
        };
        let (email, adn, source) = (one.email.to_string(), one.adn.as_str(), one.source.as_str());
        writeln!(out, "  {email:emails$}  {adn:adns$}  {source:11}  {role:14}  {:10}  {standing}", one.method().section())?;
        for also in &one.also {
            let role = also.role.map_or("", |role| role.as_str());
            writeln!(
                out,
                "  {:emails$}  {:adns$}  {:11}  {role:14}  {:10}  also",
                "",
                "",
                also.source.as_str(),
                also.method.section()
            )?;
        }
    }
    for source in listed.listing.sources.iter().filter(|source| !source.reasons.is_empty()) {
        let reasons: Vec<String> = source.reasons.iter().map(|reason| told(reason)).collect();
        writeln!(out, "  {}: {}: {}", source.source.as_str(), source.status.as_str(), reasons.join("; "))?;
    }
    let Some(on) = on else { return Ok(()) };
    writeln!(
        out,
        "on {}: validations may be used for {} days after they were initiated (today: {})",
        on.date, on.reuse_days, on.reuse_days_now
    )?;
    if on.changes.is_empty() {
        writeln!(out, "  no address here changes its standing by then")?;
    }
    for change in &on.changes {
        let until = change.reusable_until.map_or_else(|| "never".to_owned(), |until| format!("until {until}"));
        writeln!(
            out,
            "  {:emails$}  {:adns$}  {:11}  {} → {} ({}, {}); an approval asked for now may be used {until}",
            change.email,
            change.adn,
            change.source,
            word(change.from),
            word(change.to),
            change.method,
            change.ballot
        )?;
    }
    Ok(())
}
