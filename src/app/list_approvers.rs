//! Lists who may approve a name.

use std::sync::Arc;

use super::App;
use super::lookups::{self, Freshness};
use crate::dcv::contact::{self, Listing};
use crate::dcv::evidence::Lookup;
use crate::dcv::name::CertificateName;
use crate::dcv::profile::Versioned;
use crate::dcv::timestamp::Timestamp;
use crate::store::StoreError;

/// A listing with what it was made under.
pub struct Listed {
    /// Who may approve.
    pub listing: Listing,
    /// Under which rules.
    pub profile: Arc<Versioned>,
    /// When the oldest look-up behind it was made; now where it took none.
    pub looked_up_at: Timestamp,
    /// What it rests on.
    pub lookups: Vec<Lookup>,
}

/// Lists who may approve `name` under `profile`.
///
/// # Errors
/// [`StoreError`] when the database fails; a source that fails is told in the listing.
pub async fn list_approvers(
    app: &App,
    name: &CertificateName,
    profile: Arc<Versioned>,
    refresh: bool,
) -> Result<Listed, StoreError> {
    let freshness = if refresh { Freshness::Asked } else { Freshness::Listing };
    let lookups = lookups::gather(app, &[name.fqdn()], &profile.profile, freshness).await?;
    let now = app.now();
    let looked_up_at = lookups.iter().map(|lookup| lookup.at).min().unwrap_or(now);
    let listing = contact::list(name.fqdn(), &profile.profile, &app.lists().policy, &lookups, now);
    Ok(Listed { listing, profile, looked_up_at, lookups })
}
