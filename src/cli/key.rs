//! `dcvd key`

use clap::Subcommand;
use data_encoding::BASE64;

use crate::adapters::entropy::SystemEntropy;
use crate::dcv::link::KEY_OCTETS;
use crate::ports::Entropy as _;

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Prints a new link key in base64, for a file named in `link.key_files`.
    New,
}

pub(super) fn run(what: &What) {
    match what {
        What::New => {
            let mut key = [0; KEY_OCTETS];
            SystemEntropy.fill(&mut key);
            println!("{}", BASE64.encode(&key));
        }
    }
}
