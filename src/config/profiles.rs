//! The profiles in `profile_dir`, one TOML file each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::{Table, Value};

use crate::dcv::profile::{Catalog, Profile, Versioned};

/// Why the profiles were refused.
#[derive(Debug, thiserror::Error)]
pub enum ProfilesError {
    /// A file or the folder cannot be read.
    #[error("{}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is no profile.
    #[error("{}: {problem}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// The key and what is wrong with it.
        problem: String,
    },
    /// `default_profile` names none of them.
    #[error("default_profile: there is no profile `{0}` in profile_dir")]
    NoDefault(String),
}

/// Reads every `*.toml` in `dir`; any bad one refuses them all.
///
/// # Errors
/// [`ProfilesError`] names the file and the key.
pub fn load_profiles(dir: &Path, default: &str) -> Result<Catalog, ProfilesError> {
    let texts = texts(dir)?;
    let mut all = Vec::new();
    for (id, (path, _)) in &texts {
        let bad = |problem: String| ProfilesError::Bad { path: path.clone(), problem };
        let mut table = inherited(id, &texts, 0).map_err(bad)?;
        table.insert("id".to_owned(), Value::String(id.clone()));
        all.push(version(table).map_err(bad)?);
    }
    Catalog::new(all, default).ok_or_else(|| ProfilesError::NoDefault(default.to_owned()))
}

/// Every profile's file and table, by name.
type Texts = BTreeMap<String, (PathBuf, Table)>;

fn texts(dir: &Path) -> Result<Texts, ProfilesError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| ProfilesError::Read { path, source }
    };
    let mut texts = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(read(dir))? {
        let path = entry.map_err(read(dir))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let table: Table = std::fs::read_to_string(&path)
                .map_err(read(&path))?
                .parse()
                .map_err(|error: toml::de::Error| ProfilesError::Bad { path: path.clone(), problem: error.to_string() })?;
            texts.insert(id, (path, table));
        }
    }
    Ok(texts)
}

/// Longest chain of `extends`.
const EXTENDS_MAX: usize = 8;

/// A profile's own values over those of the profile it extends: tables merge, everything else replaces.
fn inherited(id: &str, texts: &Texts, depth: usize) -> Result<Table, String> {
    if depth > EXTENDS_MAX {
        return Err("extends: the profiles extend each other in a circle".to_owned());
    }
    let mut own = texts.get(id).map(|(_, table)| table.clone()).ok_or_else(|| format!("extends: there is no profile `{id}`"))?;
    match own.remove("extends") {
        None => Ok(own),
        Some(Value::String(parent)) => {
            let mut table = inherited(&parent, texts, depth + 1)?;
            super::merge(&mut table, own);
            Ok(table)
        }
        Some(_) => Err("extends: must be the name of a profile".to_owned()),
    }
}

/// Where a value of a profile stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The key, with its tables.
    pub key: String,
    /// The effective value, as TOML.
    pub value: String,
    /// The file that says so; `None` for a default.
    pub file: Option<String>,
}

/// The effective values of a profile and where each comes from.
///
/// # Errors
/// [`ProfilesError`] names the file and the key.
pub fn explain_profile(dir: &Path, id: &str) -> Result<Vec<Explained>, ProfilesError> {
    let texts = texts(dir)?;
    let bad = |problem: String| ProfilesError::Bad { path: dir.join(format!("{id}.toml")), problem };
    let mut table = inherited(id, &texts, 0).map_err(bad)?;
    table.insert("id".to_owned(), Value::String(id.to_owned()));
    let profile = version(table).map_err(bad)?.profile;
    let Value::Table(effective) = Value::try_from(&profile).map_err(|error| bad(error.to_string()))? else {
        return Err(bad("is no table".to_owned()));
    };
    let mut chain = Vec::new();
    let mut next = Some(id.to_owned());
    while let Some((name, (_, own))) = next.and_then(|name| texts.get_key_value(&name)) {
        chain.push((name.clone(), own));
        next = own.get("extends").and_then(Value::as_str).map(str::to_owned);
    }
    let mut explained = Vec::new();
    for (key, value) in leaves("", &effective) {
        let file = chain.iter().find_map(|(name, own)| Some((name, at(own, &key)?))).map(|(name, written)| {
            let derived = key == "page.scope_options" && written != value;
            if derived { "derived from reuse.mode".to_owned() } else { format!("{name}.toml") }
        });
        explained.push(Explained { key, value: value.to_string(), file });
    }
    Ok(explained)
}

/// A value by its dotted key.
fn at<'t>(table: &'t Table, key: &str) -> Option<&'t Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((first, rest)) => table.get(first)?.as_table().and_then(|inner| at(inner, rest)),
    }
}

/// Every value that is no table, by its dotted key.
fn leaves<'t>(prefix: &str, table: &'t Table) -> Vec<(String, &'t Value)> {
    let mut all = Vec::new();
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => all.extend(leaves(&key, inner)),
            value => all.push((key, value)),
        }
    }
    all
}

/// A profile's file, and what was read of it or what is wrong with it.
pub type ReadProfile = (PathBuf, Result<Versioned, String>);

/// The profiles in a folder, each whole or with what is wrong with it.
///
/// # Errors
/// [`ProfilesError::Read`]; a bad profile is no error here.
pub fn read_profiles(dir: &Path) -> Result<Vec<ReadProfile>, ProfilesError> {
    let texts = texts(dir)?;
    let read = |(id, (path, _)): (&String, &(PathBuf, Table))| {
        let one = inherited(id, &texts, 0).and_then(|mut table| {
            table.insert("id".to_owned(), Value::String(id.clone()));
            version(table)
        });
        (path.clone(), one)
    };
    Ok(texts.iter().map(read).collect())
}

/// TOML's own dates as text, which is what profiles are stored with.
fn dates_as_text(value: &mut Value) {
    match value {
        Value::Datetime(date) => *value = Value::String(date.to_string()),
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| dates_as_text(value)),
        Value::Array(list) => list.iter_mut().for_each(dates_as_text),
        _ => {}
    }
}

fn version(table: Table) -> Result<Versioned, String> {
    let mut track = serde_path_to_error::Track::new();
    let mut value = Value::Table(table);
    dates_as_text(&mut value);
    let profile = Profile::deserialize(serde_path_to_error::Deserializer::new(value, &mut track))
        .map_err(|error| format!("{}: {}", track.path(), error.message()))?;
    let profile = profile.effective();
    profile.lint().map_err(|error| error.to_string())?;
    Versioned::new(profile).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::profile::Compliance;

    const STANDARD: &str = include_str!("../../config/profiles/standard.toml");

    fn load(files: &[(&str, &str)]) -> Result<Catalog, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(format!("{name}.toml")), text).unwrap();
        }
        load_profiles(dir.path(), "standard").map_err(|error| error.to_string())
    }

    #[test]
    fn each_value_tells_the_file_that_says_so() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("standard.toml"), STANDARD).unwrap();
        let own = "extends = \"standard\"\nvalid_until = 2025-07-06\nwindow.days = 30\n";
        std::fs::write(dir.path().join("own.toml"), own).unwrap();
        let explained = explain_profile(dir.path(), "own").unwrap();
        let of = |key: &str| {
            let one = explained.iter().find(|one| one.key == key).unwrap();
            (one.value.clone(), one.file.clone())
        };
        assert_eq!(of("window.days"), ("30".to_owned(), Some("own.toml".to_owned())));
        assert_eq!(of("valid_until"), ("\"2025-07-06\"".to_owned(), Some("own.toml".to_owned())));
        assert_eq!(of("page.confirm").1, Some("standard.toml".to_owned()));
        assert_eq!(of("page.reject_label_ja"), ("\"\"".to_owned(), None));
    }

    #[test]
    fn every_shipped_profile_loads() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/profiles");
        let profiles = load_profiles(&dir, "standard").unwrap();
        assert!(profiles.iter().count() >= 3);
        for (path, read) in read_profiles(&dir).unwrap() {
            assert!(read.is_ok(), "{}: {:?}", path.display(), read.err());
        }
    }

    #[test]
    fn the_shipped_profile_is_what_the_contract_says() {
        let profiles = load(&[("standard", STANDARD)]).unwrap();
        let profile = &profiles.get(None).unwrap().profile;
        assert_eq!((profile.id.as_str(), profile.window.days, profile.compliance), ("standard", 26, Compliance::Record));
        assert_eq!(profile.addresses.sources.len(), 5);
        let back: Profile = serde_json::from_str(&profiles.get(None).unwrap().body).unwrap();
        assert_eq!(&back, profile);
    }

    #[test]
    fn a_profile_extends_another_key_by_key() {
        let child = "extends = \"standard\"\ncompliance = \"enforce\"\naddresses.sources = [\"constructed\"]\nwindow.days = 30\n";
        let profiles = load(&[("standard", STANDARD), ("child", child)]).unwrap();
        let profile = &profiles.get(Some("child")).unwrap().profile;
        assert_eq!((profile.id.as_str(), profile.window.days, profile.addresses.sources.len()), ("child", 30, 1));
        assert_eq!(profile.addresses.local_parts.len(), 5);
        assert_ne!(profiles.get(Some("child")).unwrap().hash, profiles.get(None).unwrap().hash);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_file_and_key() {
        for (text, problem) in [
            ("extends = \"standard\"\nwindow.days = 31\n", "window.days"),
            ("extends = \"standard\"\nwindow.dayz = 31\n", "window"),
            ("extends = \"standard\"\naddresses.local_parts = [\"info\"]\n", "addresses.local_parts[0]"),
            ("extends = \"standard\"\npage.authority_check = false\n", "page.authority_check"),
            ("extends = \"standard\"\npage.scope_default = \"base\"\n", "page.scope_default"),
            ("extends = \"missing\"\n", "extends"),
            ("extends = \"child\"\n", "extends"),
            ("extends = \"standard\"\nconcurrency = \"none\"\n", "concurrency"),
        ] {
            let error = load(&[("standard", STANDARD), ("child", text)]).unwrap_err();
            assert!(error.contains("child.toml") && error.contains(problem), "{text}: {error}");
        }
        assert!(load(&[("other", STANDARD)]).unwrap_err().contains("default_profile"));
    }
}
