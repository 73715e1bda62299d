//! SQLite's one writer: a thread that owns the only writing connection and commits many closures at once.
//!
//! sqlx answers from a thread of its own. Falling asleep and being woken for each statement took most of a decision's time, so that
//! the writer looks for the answer a moment longer before it sleeps ([`drive`]).

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Executor as _};
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument as _, Span};

use super::sqlite_pipeline::Pipeline;
use super::{Conn, StoreError, Tx, Wake, tell};
use crate::lifecycle::point;

/// Closures in one commit, at most; beyond this latency grows faster than throughput.
const BATCH_MAX: usize = 64;

/// Closures that may wait; more make their callers wait for a place.
const QUEUE_MAX: usize = 1024;

/// Tells the caller how it ended: called with the commit's result, after it, or with what went wrong with the closure's last statements.
type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Runs the closure; `true` keeps its savepoint.
type Work = Box<dyn for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, (bool, Acknowledge)> + Send>;

/// So long the writer looks for an answer before it sleeps; a commit takes longer.
const LOOK: Duration = Duration::from_micros(100);

/// A closure that waits, and what it is called.
type Job = (&'static str, Work);

/// What the writer is told.
enum Told {
    Job(Job),
    Stop,
}

#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Told>,
    ended: Arc<Mutex<Option<oneshot::Receiver<()>>>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(super) fn start(conn: SqliteConnection, wake: Arc<Wake>) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("sqlite-writer".to_owned()).spawn(move || {
            work(conn, queue, &wake);
            let _ = end.send(());
        })?;
        Ok(Self { jobs, ended: Arc::new(Mutex::new(Some(ended))) })
    }

    /// Queues a closure and waits for the commit that holds it.
    pub(super) async fn run<T, E, F>(&self, name: &'static str, request: Option<String>, closure: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel::<Result<T, E>>();
        let span = Span::current();
        let work: Work = Box::new(move |tx| {
            Box::pin(async move {
                tx.request = request;
                let ran = AssertUnwindSafe(async { closure(tx).await }.instrument(span)).catch_unwind().await;
                let result =
                    ran.unwrap_or_else(|panic| Err(StoreError::Panicked(format!("{name} panicked: {}", words(&panic))).into()));
                let keep = result.is_ok();
                let acknowledge: Acknowledge = Box::new(move |commit| {
                    let result = match commit {
                        Err(error) if keep => Err(error.into()),
                        _ => result,
                    };
                    let _ = answer.send(result);
                });
                (keep, acknowledge)
            })
        });
        let closed = |why| E::from(StoreError::Closed(format!("{name}: {why}")));
        self.jobs.send(Told::Job((name, work))).await.map_err(|_| closed("the writer has stopped"))?;
        answered.await.unwrap_or_else(|_| Err(closed("nothing of its commit was written, the log says why")))
    }

    /// Lets the thread commit what is queued and end.
    pub(super) async fn close(&self) {
        let _ = self.jobs.send(Told::Stop).await;
        let ended = self.ended.lock().ok().and_then(|mut ended| ended.take());
        if let Some(ended) = ended {
            let _ = ended.await;
        }
    }
}

fn words(panic: &Box<dyn Any + Send>) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

/// Does what a closure left to be done.
async fn end(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.keep_unsealed().await?;
    if let Conn::Sqlite(pipeline) = &mut tx.conn {
        pipeline.flush().await?;
    }
    Ok(())
}

/// How a closure's savepoint begins, and is undone. Two names by turns: a savepoint ends with the first statement of the next closure,
/// and where that cannot be, the next one's is not there to be undone, so that neither passes for written.
struct Savepoint {
    begin: &'static str,
    undo: &'static str,
    release: &'static str,
}

const SAVEPOINTS: [Savepoint; 2] = [
    Savepoint { begin: "SAVEPOINT this", undo: "ROLLBACK TO this", release: "RELEASE this" },
    Savepoint { begin: "SAVEPOINT next", undo: "ROLLBACK TO next", release: "RELEASE next" },
];

/// The thread: takes what is queued, commits it together, answers, repeats.
fn work(mut conn: SqliteConnection, mut queue: mpsc::Receiver<Told>, wake: &Wake) {
    let mut told = Vec::with_capacity(BATCH_MAX);
    while queue.blocking_recv_many(&mut told, BATCH_MAX) > 0 {
        let mut batch = Vec::with_capacity(told.len());
        for one in told.drain(..) {
            match one {
                Told::Job(job) => batch.push(job),
                // What is queued behind it is committed as well.
                Told::Stop => queue.close(),
            }
        }
        if batch.is_empty() {
            continue;
        }
        let mut done = Vec::with_capacity(batch.len());
        let result = drive(commit(&mut conn, batch.into_iter(), &mut done, wake)).map_err(|error| error.to_string());
        if let Err(problem) = &result {
            tracing::error!(problem, "commit failed");
            let _ = drive(conn.execute("ROLLBACK"));
        }
        for acknowledge in done {
            acknowledge(result.clone().map_err(StoreError::Closed));
        }
    }
    let _ = drive(conn.close());
}

/// Who waits for an answer, and whether it is there.
struct Answer {
    there: AtomicBool,
    waits: Thread,
}

impl std::task::Wake for Answer {
    fn wake(self: Arc<Self>) {
        self.there.store(true, Ordering::Release);
        self.waits.unpark();
    }
}

/// Runs a future on this thread; before it sleeps it looks around for [`LOOK`], while others may run.
fn drive<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let answer = Arc::new(Answer { there: AtomicBool::new(false), waits: thread::current() });
    let waker = Waker::from(Arc::clone(&answer));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let begun = Instant::now();
        while !answer.there.swap(false, Ordering::Acquire) {
            if begun.elapsed() < LOOK {
                thread::yield_now();
            } else {
                thread::park();
            }
        }
    }
}

/// One transaction with a savepoint for each closure, so that one failing does not fail its neighbours.
async fn commit(
    conn: &mut SqliteConnection,
    jobs: impl Iterator<Item = Job>,
    done: &mut Vec<Acknowledge>,
    wake: &Wake,
) -> Result<(), sqlx::Error> {
    let (mut counted, mut names) = (Vec::new(), Vec::new());
    conn.execute(sqlx::query("BEGIN IMMEDIATE")).await?;
    // Which savepoint is there, of a closure that has ended.
    let mut ended: Option<usize> = None;
    for (name, work) in jobs {
        names.push(name);
        point("begin", name);
        let at = ended.map_or(0, |ended| 1 - ended);
        let savepoint = &SAVEPOINTS[at];
        let first = ended.map(|ended| SAVEPOINTS[ended].release).into_iter().chain([savepoint.begin]);
        let pipeline = Pipeline::new(conn, first);
        let mut tx = Tx { conn: Conn::Sqlite(pipeline), unsealed: Vec::new(), request: None, counted: Vec::new() };
        let (keep, acknowledge) = work(&mut tx).await;
        let kept = if keep { end(&mut tx).await } else { Ok(()) };
        let told = std::mem::take(&mut tx.counted);
        let asked = matches!(&tx.conn, Conn::Sqlite(pipeline) if pipeline.has_asked());
        drop(tx);
        // There is no savepoint where SQLite undid everything by itself, as it does when the disk is full.
        let undone =
            if !asked || (keep && kept.is_ok()) { Ok(()) } else { conn.execute(sqlx::query(savepoint.undo)).await.map(drop) };
        if asked {
            ended = Some(at);
        }
        match kept {
            Ok(()) => {
                if keep {
                    counted.extend(told);
                }
                done.push(acknowledge);
            }
            // It fails alone, and is told at once.
            Err(error) => {
                tracing::warn!(name, %error, "a write failed at its end");
                acknowledge(Err(error));
            }
        }
        if let Err(error) = undone {
            tracing::error!(name, "SQLite undid the whole commit when this write failed, whose caller is told why");
            return Err(error);
        }
    }
    for name in &names {
        point("before", name);
    }
    conn.execute(sqlx::query("COMMIT")).await?;
    for name in &names {
        point("after", name);
    }
    tell(wake, counted);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{exec, in_tx};

    async fn keep(writer: &Writer, bytes: i64) -> Result<u64, StoreError> {
        let insert = "INSERT INTO t VALUES (zeroblob($1))";
        writer.run("test", None, move |tx| Box::pin(async move { Ok(exec!(tx, sqlx::query(insert).bind(bytes))) })).await
    }

    #[tokio::test]
    async fn a_disk_that_is_full_is_told_as_that_and_the_writer_goes_on() {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        conn.execute("CREATE TABLE t (bytes BLOB); PRAGMA max_page_count = 20").await.unwrap();
        let writer = Writer::start(conn, Arc::default()).unwrap();
        let error = keep(&writer, 1_000_000).await.unwrap_err();
        assert!(matches!(&error, StoreError::Database(error) if error.to_string().contains("full")), "{error}");
        assert!(error.is_passing() && !error.would_recur(), "{error}");
        assert_eq!(keep(&writer, 10).await.unwrap(), 1);
        writer.close().await;
        let error = keep(&writer, 10).await.unwrap_err();
        assert!(error.to_string().contains("has stopped"), "{error}");
    }

    #[tokio::test]
    async fn a_database_that_only_reads_is_told_as_over_soon_and_the_writer_lives() {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        conn.execute("CREATE TABLE t (bytes BLOB); PRAGMA query_only = ON").await.unwrap();
        let writer = Writer::start(conn, Arc::default()).unwrap();
        for _ in 0..2 {
            let error = keep(&writer, 10).await.unwrap_err();
            assert!(error.is_passing() && !error.would_recur(), "{error}");
        }
        writer.close().await;
    }
}
