//! The command line, one file per subcommand. Standard output is data, standard error is talk; exit 0 done, 1 refused or
//! failed, 2 wrong usage.

mod allowlist;
mod approvers;
mod audit;
mod backup;
mod check;
mod client;
#[cfg(feature = "demo")]
mod demo;
mod export;
mod generate;
mod ingest;
mod key;
mod migrate;
mod operator;
mod parse;
mod profile;
mod retention;
pub mod serve;
mod webhook;
pub mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::config::Config;
use crate::telemetry;

/// Domain control validation by e-mail: works out who may approve a name, asks them, reports the answer.
#[derive(Debug, Parser)]
#[command(name = "dcvd", version = telemetry::VERSION.as_str(), max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the daemon.
    Serve {
        #[command(flatten)]
        config: ConfigFile,
        /// Runs one half alone: the HTTP server, or the workers.
        #[arg(long, value_enum)]
        only: Option<Half>,
    },
    /// Runs the daemon with stand-ins for the outside world, all on this machine.
    #[cfg(feature = "demo")]
    Demo {
        /// Where the daemon listens.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
        listen: std::net::SocketAddr,
        /// Where database and configuration are kept; a folder that goes away when left out.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Drives one order through every step on free ports, prints each, and ends.
        #[arg(long)]
        script: bool,
    },
    /// Lists who may approve a name.
    Approvers {
        #[command(flatten)]
        look: approvers::Look,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Reads a name, an address or a record as the daemon would; no network, no configuration.
    Parse {
        #[command(subcommand)]
        what: parse::What,
    },
    /// Takes a returned message on standard input, for a mail server's pipe. Exit code 75: keep it and try again.
    Ingest {
        #[command(flatten)]
        config: ConfigFile,
        /// The address that the mail server delivers it for.
        #[arg(long, value_name = "ADDRESS")]
        recipient: Option<String>,
    },
    /// Looks at everything the daemon needs, and at what receivers look up of its mail. Exit code 1 where a part fails.
    Check {
        #[command(flatten)]
        config: ConfigFile,
        /// A JSON list instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Brings the database's schema up to date; with --from and --to moves a whole database, of either kind, into an empty one.
    Migrate {
        #[command(flatten)]
        config: ConfigFile,
        /// The database to move, as in `database.url`. Stop the daemon first, or what it writes meanwhile stays behind.
        #[arg(long, value_name = "URL", requires = "to")]
        from: Option<String>,
        /// The empty database that it moves to.
        #[arg(long, value_name = "URL", requires = "from")]
        to: Option<String>,
    },
    /// Writes one moment of the database, while the daemon runs, into a new file; its name is printed.
    Backup {
        #[command(flatten)]
        config: ConfigFile,
        /// The folder.
        dir: PathBuf,
        /// Removes all but so many of the newest backups there.
        #[arg(long, value_name = "NUMBER")]
        keep: Option<usize>,
    },
    /// Writes rows of orders, names, mails, domains, statistics or the access log to standard output, newest first.
    Export {
        #[command(flatten)]
        which: export::Which,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Removes what need not be kept any more, as the profiles' `[retention]` says; the daemon does so once a day.
    Retention {
        #[command(flatten)]
        config: ConfigFile,
        /// Counts only, by profile.
        #[arg(long)]
        dry_run: bool,
    },
    /// Writes a backup into the configured database, which must be empty, and proves that it is whole.
    Restore {
        #[command(flatten)]
        config: ConfigFile,
        /// The backup.
        file: PathBuf,
    },
    /// Shows the certificate services' rules, and what is wrong with them.
    Profile {
        #[command(subcommand)]
        what: profile::What,
    },
    /// Handles the lists of domains that ordering systems may order.
    Allowlist {
        #[command(subcommand)]
        what: allowlist::What,
    },
    /// Handles ordering systems and their tokens.
    Client {
        #[command(subcommand)]
        what: client::What,
    },
    /// Handles who may use the status page.
    Operator {
        #[command(subcommand)]
        what: operator::What,
    },
    /// Answers auditors: is the log whole, what did a fault touch, does today's code decide as then, a random sample.
    Audit {
        #[command(subcommand)]
        what: audit::What,
    },
    /// Tries receivers of webhooks.
    Webhook {
        #[command(subcommand)]
        what: webhook::What,
    },
    /// Writes manual pages and completions below a folder, for packages.
    #[command(hide = true)]
    Generate {
        /// The folder.
        dir: PathBuf,
    },
    /// Handles link keys.
    Key {
        #[command(subcommand)]
        what: key::What,
    },
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration; defaults and environment alone when left out.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Half of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Half {
    /// The HTTP server.
    Http,
    /// The workers.
    Jobs,
}

impl ConfigFile {
    fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(self.config.as_deref(), environment())?)
    }
}

/// The environment, for overrides.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment() -> Vec<(String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Parses the command line, runs, and gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    // Every TLS client needs it; an error only says that it was done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Serve { config, only } => runtime().and_then(|runtime| runtime.block_on(serve::run(&config, only))),
        #[cfg(feature = "demo")]
        Command::Demo { listen, dir, script } => runtime().and_then(|runtime| runtime.block_on(demo::run(listen, dir, script))),
        Command::Approvers { look, config } => {
            match config.load().and_then(|config| runtime()?.block_on(approvers::run(config, look))) {
                Ok(code) => return code,
                Err(error) => Err(error),
            }
        }
        Command::Ingest { config, recipient } => {
            match config.load().and_then(|config| runtime()?.block_on(ingest::run(config, recipient.as_deref()))) {
                Ok(code) => return code,
                Err(error) => {
                    eprintln!("dcvd: {error:#}");
                    return ExitCode::from(ingest::TRY_AGAIN);
                }
            }
        }
        Command::Check { config, json } => match config.load().and_then(|config| runtime()?.block_on(check::run(config, json))) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Parse { what } => return parse::run(what),
        Command::Migrate { from: Some(from), to: Some(to), .. } => {
            runtime().and_then(|runtime| runtime.block_on(backup::whole_copy(&from, &to)))
        }
        Command::Migrate { config, .. } => config.load().and_then(|config| runtime()?.block_on(migrate::run(config))),
        Command::Backup { config, dir, keep } => runtime().and_then(|runtime| runtime.block_on(backup::run(&config, &dir, keep))),
        Command::Export { which, config } => runtime().and_then(|runtime| runtime.block_on(export::run(&config, which))),
        Command::Retention { config, dry_run } => {
            runtime().and_then(|runtime| runtime.block_on(retention::run(&config, dry_run)))
        }
        Command::Restore { config, file } => runtime().and_then(|runtime| runtime.block_on(backup::restore(&config, &file))),
        Command::Profile { what } => match profile::run(what) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Allowlist { what } => runtime().and_then(|runtime| runtime.block_on(allowlist::run(what))),
        Command::Client { what } => runtime().and_then(|runtime| runtime.block_on(client::run(what))),
        Command::Operator { what } => runtime().and_then(|runtime| runtime.block_on(operator::run(what))),
        Command::Audit { what } => match runtime().and_then(|runtime| runtime.block_on(audit::run(what))) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Webhook { what } => runtime().and_then(|runtime| runtime.block_on(webhook::run(what))),
        Command::Generate { dir } => generate::run(&Arguments::command(), &dir),
        Command::Key { what } => {
            key::run(&what);
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dcvd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
