//! Seals what was written: each seal holds the one before it and the digests of the rows since, so that nothing sealed can change unseen.

use data_encoding::HEXLOWER;

use super::App;
use crate::dcv::seal::{BEGINNING, Sealed, hash};
use crate::store::{SealRow, StoreError};

/// Transactions in one seal.
const SEALED_AT_ONCE: u32 = 2_000;

/// Entries of one seal, in octets.
const SEAL_OCTETS_MAX: usize = 1024 * 1024;

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
                // A seal is read whole by whoever verifies it.
                let mut octets = 0;
                let fits = |(_, entries): &(Vec<u8>, Vec<u8>)| {
                    let first = octets == 0;
                    octets += entries.len();
                    first || octets <= SEAL_OCTETS_MAX
                };
                let waiting: Vec<_> = waiting.into_iter().take_while(fits).collect();
                let (number, previous) = last.map_or((1, BEGINNING.to_vec()), |(number, hash)| (number + 1, hash));
                let (taken, entries): (Vec<Vec<u8>>, Vec<Vec<u8>>) = waiting.into_iter().unzip();
                let entries = entries.concat();
                let hash = hash(number, now, &previous, &entries).to_vec();
                // The log goes elsewhere, so that a chain that was made anew can be told from this one.
                tracing::info!(number, hash = HEXLOWER.encode(&hash), "sealed");
                let seal = SealRow { number, at: now.unix_micros(), previous, entries, hash };
                tx.insert_seal(&seal, &taken).await?;
                Ok::<usize, StoreError>(taken.len())
            })
        })
        .await
}

/// Rows of an older daemon that are noted at once.
const ADOPTED_AT_ONCE: u32 = 1_000;

/// Notes one round of the rows that an older daemon wrote, which sealed nothing, to be sealed like all others; whether there may be more.
/// Up to where they go was written down when the schema was changed, before this daemon wrote any.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn adopt_round(app: &App) -> Result<bool, StoreError> {
    for kind in Sealed::ALL {
        let (until, from) = app.store.adoption(kind).await?;
        let Some(until) = until.filter(|until| from.as_ref() != Some(until)) else { continue };
        let rows = app.store.rows_to_seal(kind, from.as_deref().unwrap_or_default(), &until, ADOPTED_AT_ONCE).await?;
        // Where the last is gone, nothing is left to do all the same.
        let last = rows.last().map_or(until, |one| one.id.to_vec());
        let adopted: Result<(), StoreError> = app
            .store
            .write("adopt", move |tx| {
                Box::pin(async move {
                    if tx.move_adoption(kind, from.as_deref(), &last).await? {
                        tx.adopt(kind, &rows).await?;
                    }
                    Ok(())
                })
            })
            .await;
        adopted?;
        return Ok(true);
    }
    Ok(false)
}
