//! Secrets that come from files.

use std::path::{Path, PathBuf};

/// A secret's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct SecretError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub problem: String,
}

/// Longest secret's file, in bytes.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// Reads a secret's file whole.
///
/// # Errors
/// [`SecretError`] when it cannot be read or is too large.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, SecretError> {
    let error = |problem: String| SecretError { path: path.to_owned(), problem };
    let size = std::fs::metadata(path).map_err(|e| error(e.to_string()))?.len();
    if size > FILE_MAX_BYTES {
        return Err(error(format!("larger than {FILE_MAX_BYTES} bytes")));
    }
    std::fs::read(path).map_err(|e| error(e.to_string()))
}

/// Reads the first line of a secret's file.
///
/// # Errors
/// [`SecretError`] when it cannot be read or is no text.
pub(super) fn read_line(path: &Path) -> Result<String, SecretError> {
    let bytes = read(path)?;
    let text =
        String::from_utf8(bytes).map_err(|_| SecretError { path: path.to_owned(), problem: "not UTF-8 text".to_owned() })?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
