//! `dcvd parse`: pure; one JSON object on standard output.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::dcv::email::{EmailAddress, EmailError, txt_from_presentation};
use crate::dcv::name::{CertificateName, SuffixList};

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
        What::Txt { rdata } => {
            let parsed = txt_from_presentation(&rdata).and_then(|value| EmailAddress::from_record(&value));
            parse_email(&rdata, parsed)
        }
    };
    println!("{answer}");
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
