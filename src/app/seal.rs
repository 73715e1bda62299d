//! Seals what was written: each seal holds the one before it and the digests of the rows since, so that nothing sealed can change unseen.

use super::App;
use crate::dcv::seal::{BEGINNING, hash};
use crate::store::{SealRow, StoreError};

/// Transactions in one seal.
const SEALED_AT_ONCE: u32 = 2_000;

/// Seals what waits; how many transactions that were.
///
/// # Errors
/// [`StoreError`] when the database fails; then it waits on.
pub async fn seal_due(app: &App) -> Result<usize, StoreError> {
    // A look before the write: an idle daemon must not cost a durable commit each time.
    if !app.store.any_unsealed().await? {
        return Ok(0);
    }
    let now = app.now();
    app.store
        .write("seal", move |tx| {
            Box::pin(async move {
                let last = tx.last_seal().await?;
                let waiting = tx.unsealed(SEALED_AT_ONCE).await?;
                if waiting.is_empty() {
                    return Ok(0);
                }
                let (number, previous) = last.map_or((1, BEGINNING.to_vec()), |(number, hash)| (number + 1, hash));
                let (taken, entries): (Vec<Vec<u8>>, Vec<Vec<u8>>) = waiting.into_iter().unzip();
                let entries = entries.concat();
                let hash = hash(number, now, &previous, &entries).to_vec();
                let seal = SealRow { number, at: now.unix_micros(), previous, entries, hash };
                tx.insert_seal(&seal, &taken).await?;
                Ok::<usize, StoreError>(taken.len())
            })
        })
        .await
}
