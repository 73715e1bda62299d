//! `dcvd generate`: manual pages and completions for packages, made of the command line itself.

use std::path::Path;

use anyhow::Context as _;
use clap::{Command, ValueEnum as _};
use clap_complete::Shell;

/// Writes `man1/*.1` and `completions/*` below a folder.
pub(super) fn run(command: &Command, dir: &Path) -> anyhow::Result<()> {
    let (man, completions) = (dir.join("man1"), dir.join("completions"));
    for dir in [&man, &completions] {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    clap_mangen::generate_to(command.clone(), &man)?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut command.clone(), "dcvd", &completions)?;
    }
    Ok(())
}
