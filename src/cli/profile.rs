//! `dcvd profile`: the certificate services' rules, as the daemon reads them.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::ConfigFile;
use crate::adapters::clock::SystemClock;
use crate::config::{Config, explain_profile, read_profiles};
use crate::dcv::profile::{Level, advice};
use crate::ports::Clock as _;

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Lists the profiles: name, title, compliance, dates, and the hash of the values that an order freezes.
    List {
        #[command(flatten)]
        config: ConfigFile,
        /// A JSON list instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Prints a profile's effective values and the file that each comes from.
    Show {
        /// The profile's name.
        id: String,
        #[command(flatten)]
        config: ConfigFile,
        /// The effective values as JSON, as orders freeze them.
        #[arg(long)]
        json: bool,
    },
    /// Says what is wrong with the profiles, and what to know of them. Exit code 1 where one would stop the start.
    Lint {
        #[command(flatten)]
        config: ConfigFile,
    },
}

pub(super) fn run(what: What) -> anyhow::Result<ExitCode> {
    match what {
        What::List { config, json } => list(&config.load()?, json),
        What::Show { id, config, json } => show(&config.load()?, &id, json),
        What::Lint { config } => lint(&config.load()?),
    }
}

fn list(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let (mut lines, mut code) = (Vec::new(), ExitCode::SUCCESS);
    let now = SystemClock.now();
    for (path, read) in read_profiles(&config.profile_dir)? {
        match read {
            Err(problem) => {
                eprintln!("{}: {problem}", path.display());
                code = ExitCode::FAILURE;
            }
            Ok(one) => {
                let profile = &one.profile;
                let day = |date: Option<time::Date>| date.map(|date| date.to_string());
                let hash = data_encoding::HEXLOWER.encode(&one.hash);
                let default = profile.id == config.default_profile;
                if as_json {
                    lines.push(json!({
                        "id": profile.id, "title_ja": profile.title_ja, "title_en": profile.title_en, "compliance": profile.compliance,
                        "valid_from": day(profile.valid_from), "valid_until": day(profile.valid_until), "in_force": profile.is_in_force(now),
                        "default": default, "sha256": hash,
                    }));
                } else {
                    let dates = match (profile.valid_from, profile.valid_until) {
                        (None, None) => "-".to_owned(),
                        (from, until) => format!("{}..{}", day(from).unwrap_or_default(), day(until).unwrap_or_default()),
                    };
                    let mark = if default { "*" } else { "" };
                    println!(
                        "{}{mark}\t{}\t{}\t{dates}\t{}",
                        profile.id,
                        profile.title_ja,
                        profile.compliance.as_str(),
                        &hash[..12]
                    );
                }
            }
        }
    }
    if as_json {
        println!("{}", json!(lines));
    }
    Ok(code)
}

fn show(config: &Config, id: &str, as_json: bool) -> anyhow::Result<ExitCode> {
    let known = read_profiles(&config.profile_dir)?;
    let found = known.iter().find(|(path, _)| path.file_stem().is_some_and(|stem| stem == id));
    anyhow::ensure!(found.is_some(), "there is no profile `{id}` in {}", config.profile_dir.display());
    if let (true, Some((_, Ok(one)))) = (as_json, found) {
        println!("{}", one.body);
        return Ok(ExitCode::SUCCESS);
    }
    for one in explain_profile(&config.profile_dir, id)? {
        let from = one.file.unwrap_or_else(|| "default".to_owned());
        println!("{} = {}  # {from}", one.key, one.value);
    }
    Ok(ExitCode::SUCCESS)
}

fn lint(config: &Config) -> anyhow::Result<ExitCode> {
    let (now, mut code) = (SystemClock.now(), ExitCode::SUCCESS);
    let sender = super::wire::from_address(config).map(|address| address.to_string()).unwrap_or_default();
    for (path, read) in read_profiles(&config.profile_dir)? {
        match read {
            Err(problem) => {
                println!("{}: error: {problem}", path.display());
                code = ExitCode::FAILURE;
            }
            Ok(one) => {
                if one.profile.mail.documented_from.iter().any(|theirs| theirs.eq_ignore_ascii_case(&sender)) {
                    println!(
                        "{}: error: mail.documented_from: smtp.from is that service's own address; never send as somebody else",
                        path.display()
                    );
                    code = ExitCode::FAILURE;
                }
                for one in advice(&one.profile, now) {
                    println!("{}: {}: {}: {} [{}]", path.display(), one.level.as_str(), one.key, one.words, one.rule);
                    if one.level == Level::Error {
                        code = ExitCode::FAILURE;
                    }
                }
            }
        }
    }
    Ok(code)
}
