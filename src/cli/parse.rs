//! `dcvd parse`: pure; one JSON object on standard output.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::dcv::contact::rdap;
use crate::dcv::contact::whois::{Reading, WhoisStatus, read_saved};
use crate::dcv::email::{EmailAddress, EmailError, txt_from_presentation};
use crate::dcv::name::{Adn, CertificateName, Fqdn, SuffixList};
use crate::dcv::returned_mail;

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// A name as an order gives it.
    Name {
        /// The name; "--" before one that begins with a hyphen.
        name: String,
    },
    /// A mailbox address.
    Email {
        /// The address.
        address: String,
    },
    /// Saved WHOIS answers: the domain's, and those of the handles it names.
    Whois {
        /// The domain.
        #[arg(long)]
        name: String,
        /// The files; "-" reads standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// A saved RDAP answer.
    Rdap {
        /// The domain.
        #[arg(long)]
        name: String,
        /// The file; "-" reads standard input.
        file: PathBuf,
    },
    /// A returned message: a bounce, a delay, an answer.
    Mail {
        /// The file; "-" reads standard input.
        file: PathBuf,
    },
    /// The record data of a TXT contact, in presentation form.
    Txt {
        /// The record data, quotes and all.
        rdata: String,
    },
}

pub(super) fn run(what: What) -> ExitCode {
    let (answer, good) = match what {
        What::Name { name } => parse_name(&name),
        What::Email { address } => parse_email(&address, EmailAddress::parse(&address)),
        What::Whois { name, files } => {
            let answers: anyhow::Result<Vec<_>> = files.iter().map(|file| read(file)).collect();
            match answers.map(|answers| parse_contacts(&name, |base| read_saved(&answers, base))) {
                Ok(answer) => answer,
                Err(error) => return unreadable(&error),
            }
        }
        What::Rdap { name, file } => match read(&file) {
            Ok(raw) => parse_contacts(&name, |base| rdap::read(&raw, base)),
            Err(error) => return unreadable(&error),
        },
        What::Mail { file } => match read_up_to(&file, MAIL_MAX_BYTES) {
            Ok(raw) => (json!(returned_mail::read(&raw)), true),
            Err(error) => return unreadable(&error),
        },
        What::Txt { rdata } => {
            let parsed = txt_from_presentation(&rdata).and_then(|value| EmailAddress::from_record(&value));
            parse_email(&rdata, parsed)
        }
    };
    println!("{answer}");
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Longest saved answer read, in bytes.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// Longest saved message read, in bytes; only its beginning is looked at.
const MAIL_MAX_BYTES: u64 = 64 * 1024 * 1024;

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    read_up_to(file, FILE_MAX_BYTES)
}

fn read_up_to(file: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let taken = if file == Path::new("-") {
        std::io::stdin().lock().take(limit + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(limit + 1).read_to_end(&mut bytes))
    };
    let taken = taken.with_context(|| file.display().to_string())?;
    anyhow::ensure!(taken as u64 <= limit, "{}: larger than {limit} bytes", file.display());
    Ok(bytes)
}

/// Saved answers may be about a top level that is not delegated, `example` for one: its second level then counts as registered.
fn under_own_top_level(name: &str) -> Option<Fqdn> {
    let ascii = idna::domain_to_ascii(name.trim_end_matches('.')).ok()?;
    let top = ascii.rsplit('.').next()?;
    let list = format!(
        "// ===BEGIN ICANN DOMAINS===\n{top}\n// ===END ICANN DOMAINS===\n// ===BEGIN PRIVATE DOMAINS===\n// ===END PRIVATE DOMAINS===\n"
    );
    Fqdn::parse(name, &SuffixList::parse(&list).ok()?).ok()
}

fn unreadable(error: &anyhow::Error) -> ExitCode {
    eprintln!("dcvd: {error:#}");
    ExitCode::FAILURE
}

/// Reads saved answers for the registered domain of `name` and tells what they hold.
fn parse_contacts(name: &str, read: impl Fn(&Adn) -> Reading) -> (Value, bool) {
    let base = match Fqdn::parse(name, &SuffixList::BuiltIn).or_else(|error| under_own_top_level(name).ok_or(error)) {
        Ok(name) => Adn::base_of(&name),
        Err(error) => {
            return (json!({"name": name, "error": {"code": error.code(), "detail": error.to_string()}, "contacts": []}), false);
        }
    };
    let reading = read(&base);
    let mut handles: Vec<&str> = Vec::new();
    for handle in &reading.handles {
        if !handles.contains(&handle.handle.as_str()) {
            handles.push(&handle.handle);
        }
    }
    let answer = json!({
        "name": base,
        "status": reading.status.as_str(),
        "contacts": reading.contacts,
        "handles_to_query": handles,
        "referral": reading.referral,
        "reasons": reading.reasons,
    });
    (answer, reading.status != WhoisStatus::Error)
}

fn parse_name(input: &str) -> (Value, bool) {
    match CertificateName::parse(input, &SuffixList::BuiltIn) {
        Ok(name) => {
            let answer = json!({
                "input": input,
                "ascii": name.to_string(),
                "unicode": name.to_unicode(),
                "wildcard": name.is_wildcard(),
                "base_domain": name.fqdn().base_domain(),
                "authorization_domains": name.fqdn().authorization_domains(),
                "class": name.fqdn().class(),
            });
            (answer, true)
        }
        Err(error) => (json!({"input": input, "error": {"code": error.code(), "detail": error.to_string()}}), false),
    }
}

fn parse_email(input: &str, parsed: Result<EmailAddress, EmailError>) -> (Value, bool) {
    match parsed {
        Ok(address) => (json!({"input": input, "ok": true, "ascii_domain": address.ascii_domain()}), true),
        Err(error) => (json!({"input": input, "ok": false, "error": {"code": error.code(), "detail": error.to_string()}}), false),
    }
}
