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
    let mut all = Vec::new();
    for (id, (path, _)) in &texts {
        let bad = |problem: String| ProfilesError::Bad { path: path.clone(), problem };
        let mut table = inherited(id, &texts, 0).map_err(bad)?;
        table.insert("id".to_owned(), Value::String(id.clone()));
        all.push(version(table).map_err(bad)?);
    }
    Catalog::new(all, default).ok_or_else(|| ProfilesError::NoDefault(default.to_owned()))
}

/// Longest chain of `extends`.
const EXTENDS_MAX: usize = 8;

/// A profile's own values over those of the profile it extends: tables merge, everything else replaces.
fn inherited(id: &str, texts: &BTreeMap<String, (PathBuf, Table)>, depth: usize) -> Result<Table, String> {
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

fn version(table: Table) -> Result<Versioned, String> {
    let mut track = serde_path_to_error::Track::new();
    let value = Value::Table(table);
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
