//! `dcvd parse`: pure; one JSON object on standard output.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::dcv::contact::whois::{WhoisStatus, read_saved};
use crate::dcv::email::{EmailAddress, EmailError, txt_from_presentation};
use crate::dcv::name::{Adn, CertificateName, Fqdn, SuffixList};

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
        What::Whois { name, files } => match files.iter().map(|file| read(file)).collect::<anyhow::Result<Vec<_>>>() {
            Ok(answers) => parse_whois(&name, &answers),
            Err(error) => {
                eprintln!("dcvd: {error:#}");
                return ExitCode::FAILURE;
            }
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

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let taken = if file == Path::new("-") {
        std::io::stdin().lock().take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    let taken = taken.with_context(|| file.display().to_string())?;
    anyhow::ensure!(taken as u64 <= FILE_MAX_BYTES, "{}: larger than {FILE_MAX_BYTES} bytes", file.display());
    Ok(bytes)
}

fn parse_whois(name: &str, answers: &[Vec<u8>]) -> (Value, bool) {
    let base = match Fqdn::parse(name, &SuffixList::BuiltIn) {
        Ok(name) => Adn::base_of(&name),
        Err(error) => {
            return (json!({"name": name, "error": {"code": error.code(), "detail": error.to_string()}, "contacts": []}), false);
        }
    };
    let reading = read_saved(answers, &base);
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
