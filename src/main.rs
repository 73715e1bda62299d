//! The `dcvd` program: parses the command line, runs, and gives the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    dcvd::cli::main()
}
