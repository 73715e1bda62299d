//! Seals what was written: each seal holds the one before it and the digests of the rows since, so that nothing sealed can change unseen.

use data_encoding::HEXLOWER;

use super::App;
use crate::dcv::id::EventId;
use crate::dcv::seal::{BEGINNING, Sealed, hash};
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

/// The mark that says before which id rows may be an older daemon's.
const SEALS_FROM: &str = "seals-from";

/// Notes one round of the rows that a daemon wrote which sealed nothing, to be sealed like all others; whether there may be more.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn adopt_round(app: &App) -> Result<bool, StoreError> {
    let Some(until) = app.store.tally_mark(SEALS_FROM).await? else {
        let first = EventId::new(app.now(), [0; 10]).as_bytes().to_vec();
        let begun: Result<bool, StoreError> = app
            .store
            .write("seal_from", move |tx| Box::pin(async move { tx.move_tally_mark(SEALS_FROM, None, &first).await }))
            .await;
        return begun.map(|_| true);
    };
    for kind in Sealed::ALL {
        let mark: &'static str = match kind {
            Sealed::Event => "sealed-events",
            Sealed::Answer => "sealed-answers",
            Sealed::Lookup => "sealed-lookups",
            Sealed::Access => "sealed-access",
        };
        let from = app.store.tally_mark(mark).await?;
        let rows = app.store.rows_to_seal(kind, from.as_deref().unwrap_or_default(), &until, ADOPTED_AT_ONCE).await?;
        let Some(last) = rows.last().map(|one| one.id.to_vec()) else { continue };
        let adopted: Result<(), StoreError> = app
            .store
            .write("adopt", move |tx| {
                Box::pin(async move {
                    if tx.move_tally_mark(mark, from.as_deref(), &last).await? {
                        tx.seal_these(&rows);
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
