//! Packs an order's evidence into one archive: for a program as JSON, for a person as a page that opens in any browser, with the hashes of
//! both beside them.

use std::io::{Cursor, Write as _};

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::App;
use super::show_evidence::show_evidence;
use crate::dcv::id::OrderId;
use crate::dcv::timestamp::Timestamp;
use crate::store::StoreError;

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There is no such order.
    #[error("there is no such order")]
    Missing,
    /// It cannot be rendered or packed.
    #[error("the bundle cannot be made: {0}")]
    Made(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// `admin/evidence.html`
#[derive(Serialize)]
struct EvidencePage<'a> {
    evidence: &'a Value,
    made_at: Timestamp,
    version: &'static str,
    /// The audit log's latest seal, which covers what was written before it.
    seal: Option<(i64, String)>,
}

/// Packs an order's evidence; the archive's bytes.
///
/// # Errors
/// [`BundleError`] where there is none.
pub async fn bundle(app: &App, id: OrderId) -> Result<Vec<u8>, BundleError> {
    let made = |error: &dyn std::fmt::Display| BundleError::Made(error.to_string());
    let evidence = show_evidence(app, id, None).await?.ok_or(BundleError::Missing)?;
    let value = serde_json::to_value(&evidence).map_err(|error| made(&error))?;
    let json = serde_json::to_vec_pretty(&value).map_err(|error| made(&error))?;
    let seal = app.store.latest_seals(1).await?.pop().map(|(number, _, hash)| (number, HEXLOWER.encode(&hash)));
    let page = EvidencePage { evidence: &value, made_at: app.now(), version: env!("CARGO_PKG_VERSION"), seal };
    let html = app.renderer.render("admin/evidence.html", &page).map_err(|error| made(&error))?;
    let profile = evidence.profile.values.get().as_bytes().to_vec();
    let mut files = vec![("evidence.json", json), ("evidence.html", html.into_bytes()), ("profile.json", profile)];
    let mut sums = String::new();
    for (name, bytes) in &files {
        sums.extend([HEXLOWER.encode(&Sha256::digest(bytes)).as_str(), "  ", name, "\n"]);
    }
    files.push(("SHA256SUMS", sums.into_bytes()));
    let now = app.now().to_utc();
    let time = DateTime::from_date_and_time(
        u16::try_from(now.year()).unwrap_or(1980),
        now.month().into(),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
    );
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(time.unwrap_or_default())
        .unix_permissions(0o644);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        archive.start_file(format!("{id}/{name}"), options).map_err(|error| made(&error))?;
        archive.write_all(&bytes).map_err(|error| made(&error))?;
    }
    Ok(archive.finish().map_err(|error| made(&error))?.into_inner())
}
