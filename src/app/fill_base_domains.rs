//! Writes down the registered domain of names that are older than its column, for the status page's search.

use super::App;
use crate::dcv::name::CertificateName;
use crate::store::StoreError;

/// Names filled in one transaction.
const ROUND_MAX: u32 = 500;

/// Fills one round; how many names that were.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn fill_base_domains(app: &App) -> Result<usize, StoreError> {
    let rows = app.store.without_base(ROUND_MAX).await?;
    let (lists, filled) = (app.lists(), rows.len());
    if rows.is_empty() {
        return Ok(0);
    }
    app.store
        .write("fill_base_domains", move |tx| {
            Box::pin(async move {
                for (id, name) in &rows {
                    // What no list knows any more is found by its name alone.
                    let base = CertificateName::parse(name, &lists.suffixes)
                        .map_or_else(|_| name.clone(), |name| name.fqdn().base_domain().to_string());
                    tx.set_base_domain(id, &base).await?;
                }
                Ok::<_, StoreError>(())
            })
        })
        .await?;
    Ok(filled)
}
