//! SQLite's one writer: a task that owns the only writing connection and commits many closures at once.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Executor as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{Conn, StoreError, Tx, Wake, tell};
use crate::lifecycle::point;

/// Closures in one commit, at most; beyond this latency grows faster than throughput.
const BATCH_MAX: usize = 64;

/// Closures that may wait; more make their callers wait for a place.
const QUEUE_MAX: usize = 1024;

/// Tells the caller how it ended: called with the commit's result, after it.
type Acknowledge = Box<dyn FnOnce(Result<(), String>) + Send>;

/// Runs the closure; `true` keeps its savepoint.
type Work = Box<dyn for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, (bool, Acknowledge)> + Send>;

/// A closure that waits, and what it is called.
type Job = (&'static str, Work);

#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
    stop: mpsc::Sender<()>,
}

impl Writer {
    /// Starts the task.
    pub(super) fn start(conn: SqliteConnection, wake: Arc<Wake>) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let (stop, stopped) = mpsc::channel(1);
        let task = tokio::spawn(work(conn, queue, stopped, wake));
        Self { jobs, task: Arc::new(Mutex::new(Some(task))), stop }
    }

    /// Queues a closure and waits for the commit that holds it.
    pub(super) async fn run<T, E, F>(&self, name: &'static str, request: Option<String>, closure: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel::<Result<T, E>>();
        let work: Work = Box::new(move |tx| {
            Box::pin(async move {
                tx.request = request;
                let ran = AssertUnwindSafe(closure(tx)).catch_unwind().await;
                let result =
                    ran.unwrap_or_else(|panic| Err(StoreError::Closed(format!("{name} panicked: {}", words(&panic))).into()));
                let keep = result.is_ok();
                let acknowledge: Acknowledge = Box::new(move |commit| {
                    let result = match commit {
                        Err(problem) if keep => Err(StoreError::Closed(problem).into()),
                        _ => result,
                    };
                    let _ = answer.send(result);
                });
                (keep, acknowledge)
            })
        });
        let closed = || E::from(StoreError::Closed(format!("{name}: the writer has stopped")));
        self.jobs.send((name, work)).await.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Lets the task commit what is queued and end.
    pub(super) async fn close(&self) {
        let _ = self.stop.try_send(());
        let task = self.task.lock().ok().and_then(|mut task| task.take());
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

fn words(panic: &Box<dyn Any + Send>) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

/// The task: takes what is queued, commits it together, answers, repeats.
async fn work(mut conn: SqliteConnection, mut queue: mpsc::Receiver<Job>, mut stop: mpsc::Receiver<()>, wake: Arc<Wake>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        tokio::select! {
            biased;
            taken = queue.recv_many(&mut batch, BATCH_MAX) => if taken == 0 { break },
            _ = stop.recv() => {
                queue.close();
                continue;
            }
        }
        let mut done = Vec::with_capacity(batch.len());
        let result = commit(&mut conn, batch.drain(..), &mut done, &wake).await.map_err(|error| error.to_string());
        if let Err(problem) = &result {
            tracing::error!(problem, "commit failed");
            let _ = conn.execute("ROLLBACK").await;
        }
        for acknowledge in done {
            acknowledge(result.clone());
        }
    }
    let _ = conn.close().await;
}

/// One transaction with a savepoint for each closure, so that one failing does not fail its neighbours.
async fn commit(
    conn: &mut SqliteConnection,
    jobs: impl Iterator<Item = Job>,
    done: &mut Vec<Acknowledge>,
    wake: &Wake,
) -> Result<(), sqlx::Error> {
    let (mut counted, mut names) = (Vec::new(), Vec::new());
    conn.execute("BEGIN IMMEDIATE").await?;
    for (name, work) in jobs {
        names.push(name);
        conn.execute("SAVEPOINT job").await?;
        let mut tx = Tx { conn: Conn::Sqlite(conn), unsealed: Vec::new(), request: None, counted: Vec::new() };
        let (keep, acknowledge) = work(&mut tx).await;
        let kept = if keep { tx.keep_unsealed().await } else { Ok(()) };
        let told = std::mem::take(&mut tx.counted);
        if !keep || kept.is_err() {
            conn.execute("ROLLBACK TO job").await?;
        }
        match kept {
            Ok(()) => {
                if keep {
                    counted.extend(told);
                }
                done.push(acknowledge);
            }
            // It fails alone, and is told at once.
            Err(error) => acknowledge(Err(error.to_string())),
        }
        conn.execute("RELEASE job").await?;
    }
    for name in &names {
        point("before", name);
    }
    conn.execute("COMMIT").await?;
    for name in &names {
        point("after", name);
    }
    tell(wake, counted);
    Ok(())
}
