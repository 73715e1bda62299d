//! `dcvd backup`, `dcvd restore`, `dcvd migrate --from … --to …`: whole databases.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use secrecy::ExposeSecret as _;

use super::ConfigFile;
use crate::adapters::clock::SystemClock;
use crate::app::audit;
use crate::ports::Clock as _;
use crate::store::copy::{backup, copy, is_whole};
use crate::store::{Migrate, Store};

/// What every backup's name begins and ends with.
const PREFIX: &str = "dcvd-";
const SUFFIX: &str = ".backup.db";

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Writes the configured database into a new file of `dir`, and removes all but the newest `keep` there.
pub(super) async fn run(file: &ConfigFile, dir: &Path, keep: Option<usize>) -> anyhow::Result<()> {
    let config = file.load()?;
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let at = SystemClock.now().to_string().replace([':', '-'], "");
    let at = at.split('.').next().unwrap_or_default().trim_end_matches('Z').to_owned();
    let (part, whole) = (dir.join(format!("{PREFIX}{at}Z.part")), dir.join(format!("{PREFIX}{at}Z{SUFFIX}")));
    anyhow::ensure!(!whole.exists(), "{} is there already", whole.display());
    remove_parts(dir)?;
    // Links that are still open stand in it.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).with_context(|| part.display().to_string())?;
    let bar = bar();
    let done =
        backup(config.database.url.expose_secret(), &part, &mut |table, rows| bar.set_message(format!("{table}: {rows}"))).await;
    bar.finish_and_clear();
    done?;
    // Under its own name only once it is whole and on the disk.
    File::open(&part)?.sync_all()?;
    std::fs::rename(&part, &whole)?;
    File::open(dir)?.sync_all()?;
    println!("{}", whole.display());
    if let Some(keep) = keep {
        for old in backups(dir)?.into_iter().rev().skip(keep.max(1)) {
            std::fs::remove_file(&old).with_context(|| old.display().to_string())?;
            eprintln!("removed {}", old.display());
        }
    }
    Ok(())
}

/// How old what was not finished must be before it is taken for left behind by a run that was killed.
const LEFT_BEHIND: Duration = Duration::from_secs(6 * 3600);

/// Removes what earlier runs that were killed left behind: open links stand in it.
fn remove_parts(dir: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let old = entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > LEFT_BEHIND);
        if name.starts_with(PREFIX) && name.contains(".part") && old {
            std::fs::remove_file(entry.path()).with_context(|| entry.path().display().to_string())?;
        }
    }
    Ok(())
}

/// The backups in a folder, oldest first.
fn backups(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Writes a backup into the configured database, which must be empty.
pub(super) async fn restore(file: &ConfigFile, backup: &Path) -> anyhow::Result<()> {
    let config = file.load()?;
    anyhow::ensure!(backup.is_file(), "{}: there is no such file", backup.display());
    // A copy of it is brought up to date where an older version made it; the backup itself stays as it is.
    let dir = tempfile::tempdir()?;
    let copy = dir.path().join("backup.db");
    std::fs::copy(backup, &copy)?;
    let from = format!("sqlite://{}", copy.display());
    is_whole(&from).await.with_context(|| backup.display().to_string())?;
    Store::open(&from, Migrate::Yes).await.with_context(|| backup.display().to_string())?.close().await;
    whole_copy(&from, config.database.url.expose_secret()).await
}

/// Copies one database into another, which must be empty, and proves the copy's audit log.
pub(super) async fn whole_copy(from: &str, to: &str) -> anyhow::Result<()> {
    let bar = bar();
    let copied = copy(from, to, &mut |table, rows| bar.set_message(format!("{table}: {rows}"))).await;
    bar.finish_and_clear();
    let rows = copied?;
    let store = Store::open(to, Migrate::No).await?;
    let verified = audit::verify(&store, None, |_| ()).await?;
    store.close().await;
    anyhow::ensure!(
        verified.is_whole(),
        "every row is as in the source, but its audit log is not whole there either: see `dcvd audit verify`"
    );
    println!("{rows} rows copied and compared; the audit log is whole: {} seals", verified.seals);
    Ok(())
}
