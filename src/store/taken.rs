//! Records webhooks that receivers took: those that end while another's commit is under way share the next one.
//!
//! Such an end touches no row of the order but the effect's own, so that the order's lock is not needed: nobody waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use sqlx::QueryBuilder;
use tokio::sync::oneshot;

use super::{ClaimedEffect, Counted, Store, StoreError, Tx, in_tx};
use crate::dcv::timestamp::Timestamp;

/// Ends in one transaction, at most: each binds a few of the 32,766 values that SQLite takes.
const AT_ONCE: usize = 256;

/// A webhook that was taken, and who waits to hear that it is recorded.
struct Taken {
    id: Vec<u8>,
    lease: [u8; 16],
    attempt: i64,
    detail: String,
    at: Timestamp,
    recorded: oneshot::Sender<Result<bool, String>>,
}

/// An effect and its lease.
type Held = (Vec<u8>, [u8; 16]);

/// Those that wait for the next commit.
#[derive(Default)]
pub(super) struct Waiting {
    taken: Mutex<Vec<Taken>>,
    /// Held by whoever writes.
    turn: tokio::sync::Mutex<()>,
}

impl Waiting {
    /// Adds one; whether it is the first, so that somebody must write. Whoever is told so takes all that wait when its turn comes, or names
    /// another for the rest: nothing on the way there may fail.
    fn add(&self, one: Taken) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.push(one);
        taken.len() == 1
    }

    /// Takes as many as are written at once; whether others are left.
    fn take(&self) -> (Vec<Taken>, bool) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.len().min(AT_ONCE);
        let rest = taken.split_off(count);
        let left = !rest.is_empty();
        (std::mem::replace(&mut *taken, rest), left)
    }
}

impl Store {
    /// Records that a receiver took a webhook, with what it said; `false`, and nothing is written, when the lease is held by another
    /// by now. What was begun is written even when the caller is dropped meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn finish_taken(
        &self,
        effect: &ClaimedEffect,
        lease: [u8; 16],
        detail: String,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (recorded, answer) = oneshot::channel();
        let one = Taken { id: effect.id.clone(), lease, attempt: effect.attempts, detail, at, recorded };
        if self.taken.add(one) {
            let store = self.clone();
            // A task of its own: whoever writes for all does not stop when one of them does.
            tokio::spawn(store.write_taken());
        }
        match answer.await {
            Ok(answer) => answer.map_err(StoreError::Closed),
            Err(_) => Err(StoreError::Closed("post_webhook: it was not written".to_owned())),
        }
    }

    /// Writes what waits by the time that it is our turn. What is too much for one transaction is another task's.
    fn write_taken(self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let taken = Arc::clone(&self.taken);
            let _turn = taken.turn.lock().await;
            let (batch, left) = taken.take();
            if left {
                tokio::spawn(self.clone().write_taken());
            }
            self.write_batch(batch).await;
        })
    }

    async fn write_batch(&self, batch: Vec<Taken>) {
        let mut by_lease: HashMap<[u8; 16], Vec<End>> = HashMap::new();
        let mut waiting = Vec::with_capacity(batch.len());
        for one in batch {
            waiting.push((one.id.clone(), one.lease, one.recorded));
            let end = End { id: one.id, attempt: one.attempt, detail: one.detail, at: one.at };
            by_lease.entry(one.lease).or_default().push(end);
        }
        let written: Result<Vec<Held>, StoreError> = self
            .write("post_webhook", move |tx| {
                Box::pin(async move {
                    let mut written = Vec::new();
                    for (lease, ends) in by_lease {
                        written.extend(tx.end_taken(lease, ends).await?.into_iter().map(|id| (id, lease)));
                    }
                    Ok(written)
                })
            })
            .await;
        match written {
            Ok(mut written) => {
                written.sort_unstable();
                for (id, lease, recorded) in waiting {
                    let _ = recorded.send(Ok(written.binary_search(&(id, lease)).is_ok()));
                }
            }
            Err(error) => {
                for (_, _, recorded) in waiting {
                    let _ = recorded.send(Err(error.to_string()));
                }
            }
        }
    }
}

/// The end of an attempt.
struct End {
    id: Vec<u8>,
    attempt: i64,
    detail: String,
    at: Timestamp,
}

impl Tx<'_> {
    /// Ends webhooks of one lease that were taken; those that it still held.
    async fn end_taken(&mut self, lease: [u8; 16], mut ends: Vec<End>) -> Result<Vec<Vec<u8>>, StoreError> {
        let last = ends.iter().map(|end| end.at.unix_micros()).max().unwrap_or_default();
        let held: Vec<Vec<u8>> = in_tx!(self, |db| {
            let mut update = QueryBuilder::new("UPDATE effects SET state = 'done', lease = NULL, last_error = NULL, due_at = ");
            update.push_bind(last).push(", ended_at = ").push_bind(last);
            update.push(" WHERE state = 'due' AND lease = ").push_bind(&lease[..]).push(" AND id IN (");
            let mut ids = update.separated(", ");
            for end in &ends {
                ids.push_bind(&end.id[..]);
            }
            update.push(") RETURNING id");
            update.build_query_scalar().persistent(false).fetch_all(db).await?
        });
        ends.retain(|end| held.contains(&end.id));
        if ends.is_empty() {
            return Ok(held);
        }
        in_tx!(self, |db| {
            let mut insert = QueryBuilder::new("INSERT INTO attempts (effect_id, number, ended_at, outcome, detail) ");
            insert.push_values(&ends, |mut row, end| {
                row.push_bind(&end.id[..]).push_bind(end.attempt).push_bind(end.at.unix_micros()).push("'done'");
                row.push_bind(super::effects::short(&end.detail));
            });
            insert.build().persistent(false).execute(db).await?.rows_affected()
        });
        self.counted.extend(ends.iter().map(|_| Counted::Attempt("webhook".to_owned(), "done")));
        Ok(held)
    }
}
