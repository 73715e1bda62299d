//! PostgreSQL's transactions, each in a task of its own: whoever goes away leaves nothing half-begun behind.
//!
//! sqlx forgets a transaction whose `BEGIN` nobody waits for any more; its connection goes back to the pool with it, and whoever
//! uses that next works in it, with what was committed then. Until there is a connection nothing is begun, and who goes away is gone.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::{Database, PgPool, Pool, SqlSafeStr as _, Transaction};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::postgres_batch::Batch;
use super::wake::Wake;
use super::{ACQUIRE_TIMEOUT, Conn, StoreError, Tx, Writing, is_cut, tell};
use crate::lifecycle::point;

/// Begins a transaction by `sql`. It is ended where the caller goes away meanwhile.
pub(super) async fn begin<DB: Database>(pool: &Pool<DB>, sql: &'static str) -> Result<Transaction<'static, DB>, sqlx::Error> {
    let conn = pool.acquire().await?;
    let begun = tokio::spawn(Transaction::begin(conn, Some(sql.into_sql_str())).in_current_span());
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// Runs a closure in a transaction and commits that. Once there is a connection it runs to its end where the caller goes away meanwhile.
pub(super) async fn run<T, E, F>(
    (pool, Writing { cut, at_once }, wake): (PgPool, Writing, Arc<Wake>),
    name: &'static str,
    request: Option<String>,
    closure: F,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
{
    // Both by one deadline, in the order of asking. Every caller's future would hold this one.
    let begun = timeout(
        ACQUIRE_TIMEOUT,
        Box::pin(async {
            let room = at_once.acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
            let conn = match pool.acquire().await {
                Err(error) if is_cut(&error) => {
                    cut.found();
                    pool.acquire().await?
                }
                acquired => acquired?,
            };
            Ok((room, conn))
        }),
    );
    let (room, conn) = begun.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(StoreError::from)?;
    let transaction = async move {
        let _room = room;
        point("begin", name);
        let mut transaction = match Transaction::begin(conn, None).await {
            // Nothing was done yet.
            Err(error) if is_cut(&error) => {
                cut.found();
                pool.begin().await.map_err(StoreError::from)?
            }
            begun => begun.map_err(StoreError::from)?,
        };
        let mut tx =
            Tx { conn: Conn::Postgres(Batch::new(&mut transaction)), unsealed: Vec::new(), request, counted: Vec::new() };
        let value = closure(&mut tx).await?;
        tx.keep_unsealed().await?;
        let Tx { conn, counted, .. } = tx;
        if let Conn::Postgres(mut batch) = conn {
            batch.flush().await.map_err(StoreError::from)?;
        }
        point("before", name);
        transaction.commit().await.map_err(|error| {
            tracing::warn!(name, %error, "commit failed");
            StoreError::from(error)
        })?;
        point("after", name);
        tell(&wake, counted);
        Ok(value)
    };
    let ended = tokio::spawn(transaction.in_current_span()).await;
    ended.unwrap_or_else(|error| {
        let (panicked, words) = (error.is_panic(), format!("{name}: {error}"));
        Err(if panicked { StoreError::Panicked(words) } else { StoreError::Closed(words) }.into())
    })
}
