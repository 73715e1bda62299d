//! All SQL. One text serves SQLite and PostgreSQL; one file per table.
//!
//! Writes go through [`Store::write`]: a closure over a [`Tx`], committed before the caller is answered. On SQLite one thread
//! owns the only writing connection and commits many closures together, each in a savepoint of its own; on PostgreSQL each
//! closure has its own transaction. Reads go to a pool and see committed state.

mod allowlist;
mod answers;
mod certificates;
mod clients;
pub mod copy;
mod effects;
mod endpoints;
mod events;
mod exports;
mod health;
mod idempotency;
mod lookups;
mod mails;
mod marks;
mod masking;
mod notices;
mod operators;
mod orders;
mod postgres_batch;
mod postgres_writer;
mod profiles;
mod renewals;
mod retention;
mod returned_mails;
mod seals;
mod secrets;
mod sqlite_pipeline;
mod sqlite_writer;
mod taken;
mod tallies;
mod turns;
mod validations;
mod views;
mod waiting;
mod wake;
mod whole;

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use metrics::{counter, histogram};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgPool, SqlitePool};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

pub use allowlist::AllowRow;
pub use answers::{AnswerRow, ApprovalRow};
pub use certificates::CertificateRow;
pub use clients::ClientRow;
pub use effects::{AttemptRow, ClaimedEffect, DeadEffect, EffectKind, NewEffect, ON_RELEASE, Outcome, Said, WebhookRow};
pub use events::EventRow;
pub use exports::ExportRow;
pub use health::QueueRow;
pub use idempotency::{RepeatRow, Repeatable};
pub use mails::{MailRow, MailValidations};
pub use notices::NoticeRow;
pub use operators::{AccessRow, OperatorRow, SessionRow};
pub use orders::{OrderFilter, OrderHas, OrderIs, OrderRow, Search, SearchEdge};
pub use renewals::RenewalRow;
pub use retention::{OldOrderRow, RetirementRow};
pub use returned_mails::ReturnedRow;
pub use seals::{AffectedRow, ApprovalFilter, SampleRow, SealRow};
pub use tallies::{TallyRow, ToCount, tally_marks};
pub use turns::SharedRate;
pub use validations::{LiveRow, StandingApproval, ValidationRow};
pub use views::ViewRow;
pub use whole::{Asked, Whole};

use crate::dcv::id::OrderId;
use crate::telemetry;
use postgres_batch::Batch;
use postgres_writer::begin;
use sqlite_pipeline::Pipeline;
use sqlite_writer::Writer;
use wake::Wake;

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Connections to SQLite that read, at most, and those to PostgreSQL that are left to readers while writes wait.
const READ_CONNECTIONS: u32 = 4;

/// Transactions that write to PostgreSQL at once, at most.
const WRITES_AT_ONCE: u16 = 16;

/// Texts that a connection keeps prepared. Those of statements that went together are one text for each way they come together.
const STATEMENTS: usize = 256;

/// How long a connection that rests is taken to be alive.
const TRUSTED: Duration = Duration::from_secs(1);

/// So long PostgreSQL works at one question, migrations aside; an auditor's may be long ones.
const TIME_LIMIT: &str = "SET statement_timeout = '5min'";

/// How long a stop waits for readers.
const READERS_PATIENCE: Duration = Duration::from_secs(2);

/// How long a connection is waited for before the request fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row that does not fit the model.
    #[error("{table}.{column} of {id} holds what the model does not know")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row.
        id: String,
    },
    /// The schema is not the one this build knows.
    #[error("the database's schema is not this build's: {0}; run `dcvd migrate`, or the build that made it")]
    Schema(String),
    /// The Idempotency-Key was used by another request meanwhile, whose answer is this one's.
    #[error("the Idempotency-Key was used meanwhile")]
    Repeated,
    /// What would end an order cannot. Whoever called was wrong: it is done again by nobody.
    #[error("order {order} cannot end: {why}")]
    CannotEnd {
        /// The order.
        order: OrderId,
        /// What is in the way.
        why: &'static str,
    },
    /// A write panicked; what it did is undone. It would again.
    #[error("{0}")]
    Panicked(String),
    /// The writer stopped, or a commit failed.
    #[error("the store is closed or the commit failed: {0}")]
    Closed(String),
}

impl StoreError {
    /// Whether the database may do it later: it was not the question that was wrong.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        use sqlx::Error;
        match self {
            Self::Closed(_) => true,
            Self::Database(error) => {
                is_cut(error)
                    || matches!(error, Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed)
                    || has_code(error, &PASSING)
                    || is_passing_on_sqlite(error)
            }
            _ => false,
        }
    }

    /// Whether it would end the same however often it is tried: the question was wrong, or a row, or the schema. What is neither passing
    /// nor known to recur may be tried again.
    #[must_use]
    pub fn would_recur(&self) -> bool {
        use sqlx::Error;
        match self {
            Self::Database(Error::Database(_) | Error::ColumnDecode { .. } | Error::Decode(_)) => !self.is_passing(),
            Self::Database(_) | Self::Closed(_) | Self::Repeated => false,
            Self::Inconsistent { .. } | Self::CannotEnd { .. } | Self::Schema(_) | Self::Migration(_) | Self::Panicked(_) => true,
        }
    }

    pub(crate) fn inconsistent(table: &'static str, column: &'static str, id: &[u8]) -> Self {
        Self::Inconsistent { table, column, id: data_encoding::HEXLOWER.encode(id) }
    }
}

/// PostgreSQL's codes of what is over soon: another transaction was in the way (class 40), the server is short of something (53), its
/// disk fails (58), or it only reads, as one does that is not the first any more; a lock took too long. Not a question that did (57014): it
/// would again.
const PASSING: [&str; 5] = ["40", "53", "58", "25006", "55P03"];

/// SQLite's primary codes of the same: busy, locked, read-only, input or output failed, full, cannot be opened, a lock that kept changing.
const PASSING_SQLITE: [i32; 7] = [5, 6, 8, 10, 13, 14, 15];

/// PostgreSQL's codes of a connection that is lost (class 08), or ended by an operator, a crash or a limit of its own for transactions.
const CUT: [&str; 4] = ["08", "57P0", "25P03", "25P04"];

fn has_code(error: &sqlx::Error, beginnings: &[&str]) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // SQLite's are numbers and none of these.
    code.is_some_and(|code| code.len() == 5 && beginnings.iter().any(|beginning| code.starts_with(beginning)))
}

fn is_passing_on_sqlite(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // The extended code holds the primary one in its lowest octet, and has four digits at most.
    code.filter(|code| code.len() < 5)
        .and_then(|code| code.parse::<i32>().ok())
        .is_some_and(|code| PASSING_SQLITE.contains(&(code & 0xff)))
}

/// Whether the connection is gone.
fn is_cut(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_)) || has_code(error, &CUT)
}

/// The database.
#[derive(Clone)]
pub struct Store {
    pools: Pools,
    wake: Arc<Wake>,
    taken: Arc<taken::Waiting>,
}

#[derive(Clone)]
enum Pools {
    Sqlite { read: SqlitePool, writer: Writer },
    Postgres(PgPool, Writing),
}

/// What writes to PostgreSQL share.
#[derive(Clone)]
struct Writing {
    cut: Cut,
    /// A permit for each transaction that may be under way beside the others.
    at_once: Arc<Semaphore>,
}

/// When a connection was last found cut: those that rest since before then may be as well.
#[derive(Clone, Default)]
struct Cut(Arc<Mutex<Option<Instant>>>);

impl Cut {
    fn found(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How long ago that was.
    fn ago(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map_or(Duration::MAX, |at| at.elapsed())
    }
}

/// A transaction, or one closure's share of one.
pub struct Tx<'c> {
    conn: Conn<'c>,
    /// Rows that it wrote and that are sealed soon.
    unsealed: Vec<u8>,
    /// The request in whose name it is done.
    request: Option<String>,
    /// What is told once it is committed.
    counted: Vec<Counted>,
}

/// Something that is told after a commit, to metrics or to workers.
enum Counted {
    /// An entry of a timeline, by its type.
    Event(&'static str),
    /// An attempt at an effect, by its kind and outcome.
    Attempt(String, &'static str),
    /// An effect of a kind that is due now.
    Due(EffectKind),
}

/// Tells what a transaction did, once it is committed.
fn tell(wake: &Wake, counted: Vec<Counted>) {
    for one in counted {
        match one {
            Counted::Due(kind) => wake.tell(kind),
            Counted::Event(kind) => counter!("dcvd_events_total", "type" => kind).increment(1),
            Counted::Attempt(kind, outcome) => counter!("dcvd_attempts_total", "kind" => kind, "outcome" => outcome).increment(1),
        }
    }
}

enum Conn<'c> {
    Sqlite(Pipeline<'c>),
    Postgres(Batch<'c>),
}

/// Runs one body on a transaction's connection, whichever database it is.
macro_rules! in_tx {
    ($tx:expr, |$db:ident| $body:expr) => {
        match &mut $tx.conn {
            $crate::store::Conn::Sqlite(conn) => {
                let $db = &mut *conn;
                $body
            }
            $crate::store::Conn::Postgres(conn) => {
                let $db = &mut *conn;
                $body
            }
        }
    };
}

/// Runs one body on the reading pool, whichever database it is.
macro_rules! on_pool {
    ($store:expr, |$db:ident| $body:expr) => {
        match &$store.pools {
            $crate::store::Pools::Sqlite { read: $db, .. } => $body,
            $crate::store::Pools::Postgres($db, _) => $body,
        }
    };
}

/// Runs one statement in a transaction; how many rows it changed.
macro_rules! exec {
    ($tx:expr, $query:expr) => {
        in_tx!($tx, |db| $query.execute(db).await?.rows_affected())
    };
}

/// Runs one statement in a transaction whose outcome nobody waits for: with the next one that somebody waits for, or before it where that
/// names the table.
macro_rules! later {
    ($tx:expr, $sql:expr, $($value:expr),+ $(,)?) => {{
        let values = vec![$($crate::store::waiting::Value::from($value)),+];
        match &mut $tx.conn {
            $crate::store::Conn::Sqlite(conn) => conn.later($sql, values).await?,
            $crate::store::Conn::Postgres(conn) => conn.later($sql, values).await?,
        }
    }};
}

/// Runs a statement in a transaction that must change one row, as that was read under the order's lock; the transaction fails where it does
/// not. SQLite is asked with the next statement that somebody waits for.
macro_rules! change_one {
    ($tx:expr, $sql:expr, $($value:expr),+ $(,)?) => {{
        let values = vec![$($crate::store::waiting::Value::from($value)),+];
        match &mut $tx.conn {
            $crate::store::Conn::Sqlite(conn) => conn.later_one($sql, values).await?,
            $crate::store::Conn::Postgres(conn) => conn.one($sql, values).await?,
        }
    }};
}

use {change_one, exec, in_tx, later, on_pool};

impl Tx<'_> {
    /// Whether this is PostgreSQL, for the few statements that differ.
    const fn is_postgres(&self) -> bool {
        matches!(self.conn, Conn::Postgres(_))
    }
}

/// The names and mails of some orders.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Their names, each order's in its order.
    pub validations: Vec<ValidationRow>,
    /// Their mails, oldest first.
    pub mails: Vec<MailRow>,
    /// Which mail asks for which name.
    pub pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Whether the schema may be changed when opening.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Migrate {
    /// Bring it up to date, one daemon at a time.
    Yes,
    /// Refuse a schema that is not this build's.
    No,
}

impl Store {
    /// Opens `sqlite://FILE` (made when missing) or `postgres://…`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be reached, migrated, or has another schema.
    pub async fn open(url: &str, migrate: Migrate) -> Result<Self, StoreError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url)?
                .statement_cache_capacity(STATEMENTS)
                .log_statements(tracing::log::LevelFilter::Trace);
            let cut = Cut::default();
            let told = cut.clone();
            let writing = Writing { cut, at_once: Arc::new(Semaphore::new(WRITES_AT_ONCE.into())) };
            let pool = PgPoolOptions::new()
                .max_connections(u32::from(WRITES_AT_ONCE) + READ_CONNECTIONS)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // A connection that was at work a moment ago is taken as it is: a sign of life before each use would double what a
                // question costs. Of one that was cut meanwhile a write begins anew, and a read is said to fail for now.
                .test_before_acquire(false)
                .before_acquire(move |conn, about| {
                    let trusted = about.idle_for < TRUSTED.min(told.ago());
                    Box::pin(async move { Ok(trusted || conn.ping().await.is_ok()) })
                })
                // Whatever the database's own default is: rows are locked where it matters, and each statement sees what is committed.
                .after_connect(|conn, _| {
                    Box::pin(async move {
                        conn.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
                        conn.execute(TIME_LIMIT).await.map(drop)
                    })
                })
                .connect_with(options)
                .await?;
            let mut conn = pool.acquire().await?;
            conn.execute("SET statement_timeout = 0").await?;
            schema(&mut *conn, migrate).await?;
            conn.execute(TIME_LIMIT).await?;
            drop(conn);
            return Ok(Self { pools: Pools::Postgres(pool, writing), wake: Arc::default(), taken: Arc::default() });
        }
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true)
            .statement_cache_capacity(STATEMENTS)
            .log_statements(tracing::log::LevelFilter::Trace);
        let mut conn = options.connect().await?;
        schema(&mut conn, migrate).await?;
        // Each write is in a savepoint: the pages that it would put back are kept in memory, and not in a file. Not for the migrations,
        // which sort whole indexes: those belong in a file.
        conn.execute("PRAGMA temp_store = MEMORY").await?;
        let read = SqlitePoolOptions::new()
            .max_connections(READ_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A file does not hang up: asking it for a sign of life before each read would double what a read costs.
            .test_before_acquire(false)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await?;
        let wake = Arc::<Wake>::default();
        Ok(Self {
            pools: Pools::Sqlite { read, writer: Writer::start(conn, Arc::clone(&wake)).map_err(sqlx::Error::from)? },
            wake,
            taken: Arc::default(),
        })
    }

    /// Runs `work` in a transaction called `name` and answers after its commit. `Err` from `work` rolls it back, alone.
    ///
    /// Once it is queued for SQLite's writer, or has a connection to PostgreSQL, `work` runs to its end even when the caller is dropped.
    /// It returns each error of its [`Tx`]: what comes after one that it keeps to itself may be lost or, on SQLite, stay by itself.
    ///
    /// # Errors
    /// Those of `work`, and [`StoreError`] when the commit fails. A connection lost during the commit leaves open whether it was
    /// written: what is done again is guarded by states, ids and leases.
    pub async fn write<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        let (request, begun) = (telemetry::request(), Instant::now());
        let span = tracing::debug_span!("write", name);
        let written = match &self.pools {
            Pools::Sqlite { writer, .. } => writer.run(name, request, work).instrument(span).await,
            Pools::Postgres(pool, writing) => {
                let with = (pool.clone(), writing.clone(), Arc::clone(&self.wake));
                postgres_writer::run(with, name, request, work).instrument(span).await
            }
        };
        histogram!("dcvd_commit_duration_seconds").record(begun.elapsed());
        written
    }

    /// Reads the names and mails of several orders, and which mail asks for which name: three questions however many orders.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn parts(&self, orders: &[OrderRow]) -> Result<Parts, StoreError> {
        if orders.is_empty() {
            return Ok(Parts::default());
        }
        Ok(on_pool!(self, |db| {
            let mut tx = begin(db, self.snapshot()).await?;
            let mut read = Parts::default();
            for (part, sql) in [(0, validations::OF_ORDERS), (1, mails::OF_ORDERS), (2, mails::PAIRS_OF_ORDERS)] {
                let mut query = sqlx::QueryBuilder::new(sql);
                let mut ids = query.separated(", ");
                for order in orders {
                    ids.push_bind(&order.id[..]);
                }
                match part {
                    0 => read.validations = query.push(") ORDER BY position").build_query_as().fetch_all(&mut *tx).await?,
                    1 => read.mails = query.push(") ORDER BY id").build_query_as().fetch_all(&mut *tx).await?,
                    _ => read.pairs = query.push(")").build_query_as().fetch_all(&mut *tx).await?,
                }
            }
            read
        }))
    }

    /// Begins a transaction that reads all of one moment; SQLite's are that by themselves.
    const fn snapshot(&self) -> &'static str {
        match self.pools {
            Pools::Sqlite { .. } => "BEGIN",
            Pools::Postgres(..) => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        }
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// [`StoreError`] when it gives none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on_pool!(self, |db| sqlx::query("SELECT 1").execute(db).await.map(|_| ()))?;
        Ok(())
    }

    /// Which database this is, in a word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.pools {
            Pools::Sqlite { .. } => "sqlite",
            Pools::Postgres(..) => "postgres",
        }
    }

    /// Whether other daemons may be at work on the same database.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.pools, Pools::Postgres(..))
    }

    /// Finishes the writes under way and closes every connection.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { read, writer } => {
                // Whoever closes last moves the log into the database, which those who only read may not.
                let _ = tokio::time::timeout(READERS_PATIENCE, read.close()).await;
                writer.close().await;
            }
            Pools::Postgres(pool, writing) => {
                writing.at_once.close();
                pool.close().await;
            }
        }
    }
}

/// Migrates, or compares what was applied with what this build knows.
async fn schema<C: sqlx::migrate::Migrate>(conn: &mut C, migrate: Migrate) -> Result<(), StoreError> {
    if migrate == Migrate::Yes {
        return match MIGRATOR.run_direct(None, conn, false).await {
            Err(MigrateError::VersionMissing(version)) => {
                Err(StoreError::Schema(format!("migration {version} is of a newer version of this program")))
            }
            migrated => Ok(migrated?),
        };
    }
    let applied = conn.list_applied_migrations("_sqlx_migrations").await.unwrap_or_default();
    let newer = applied.iter().find(|one| MIGRATOR.iter().all(|known| known.version != one.version));
    if let Some(newer) = newer {
        return Err(StoreError::Schema(format!("migration {} is of a newer version of this program", newer.version)));
    }
    let same = applied.len() == MIGRATOR.iter().count()
        && MIGRATOR
            .iter()
            .zip(&applied)
            .all(|(known, applied)| known.version == applied.version && known.checksum == applied.checksum);
    if same {
        Ok(())
    } else {
        Err(StoreError::Schema(format!("{} of {} migrations applied", applied.len(), MIGRATOR.iter().count())))
    }
}

/// Reads 16 bytes as an id.
fn id_bytes(bytes: &[u8], table: &'static str, column: &'static str) -> Result<[u8; 16], StoreError> {
    bytes.try_into().map_err(|_| StoreError::inconsistent(table, column, bytes))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::error::Error as StdError;
    use std::fmt;

    use sqlx::SqliteConnection;
    use sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    /// An error of a database's own, as far as its code tells.
    #[derive(Debug)]
    struct Coded(String);

    impl fmt::Display for Coded {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl StdError for Coded {}

    impl DatabaseError for Coded {
        fn message(&self) -> &str {
            &self.0
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(Cow::Borrowed(&self.0))
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }

        fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
            self
        }
    }

    fn coded(code: &str) -> sqlx::Error {
        sqlx::Error::Database(Box::new(Coded(code.to_owned())))
    }

    fn passes(code: &str) -> bool {
        let error = StoreError::from(coded(code));
        assert_ne!(error.is_passing(), error.would_recur(), "{error}: one or the other");
        error.is_passing()
    }

    #[test]
    fn what_postgres_fails_with_for_now_is_told_from_what_would_recur() {
        // In the way: serialization, deadlock, a lock. Short of: disk, memory, connections. Its disk. Only reading.
        for code in ["40001", "40P01", "55P03", "53100", "53200", "53300", "58030", "25006"] {
            assert!(passes(code) && !is_cut(&coded(code)), "{code}");
        }
        // Lost, refused; ended by an operator, by a crash, or not there yet.
        for code in ["08006", "08001", "57P01", "57P02", "57P03", "25P03", "25P04"] {
            assert!(passes(code) && is_cut(&coded(code)), "{code}");
        }
        // A row, a value, somebody's own, a name, a right, a damaged file, a time limit, a transaction that failed.
        for code in ["23505", "23514", "22P02", "P0001", "42P01", "42501", "XX001", "57014", "25P02"] {
            assert!(!passes(code) && !is_cut(&coded(code)), "{code}");
        }
    }

    #[test]
    fn what_sqlite_fails_with_for_now_is_told_from_what_would_recur() {
        // Busy, locked, read-only, input or output, full, cannot open; and what is said more closely of some.
        for code in [5, 6, 8, 10, 13, 14, 15, 5 + 256 * 2, 8 + 256 * 4, 10 + 256 * 3, 10 + 256 * 34, 14 + 256 * 4] {
            let code = code.to_string();
            assert!(is_passing_on_sqlite(&coded(&code)) && passes(&code), "{code}");
        }
        // An error of the question, a damaged file, a constraint, no database.
        for code in [1, 11, 19, 26, 11 + 256, 19 + 256 * 8] {
            let code = code.to_string();
            assert!(!is_passing_on_sqlite(&coded(&code)) && !passes(&code), "{code}");
        }
        assert!(!is_passing_on_sqlite(&sqlx::Error::RowNotFound));
    }

    async fn refused(conn: &mut SqliteConnection, sql: &'static str) -> (String, bool) {
        let error = conn.execute(sql).await.map(drop).unwrap_err();
        let code = error.as_database_error().and_then(DatabaseError::code).unwrap().into_owned();
        (code, StoreError::from(error).is_passing())
    }

    #[tokio::test]
    async fn an_sqlite_that_only_reads_is_busy_or_was_moved_says_so_by_these_codes() {
        const ANOTHER: &str = "INSERT INTO t DEFAULT VALUES";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let options = SqliteConnectOptions::new().filename(&path).busy_timeout(Duration::ZERO);
        let mut conn = options.clone().create_if_missing(true).connect().await.unwrap();
        conn.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)").await.unwrap();
        let mut reader = options.clone().read_only(true).connect().await.unwrap();
        assert_eq!(refused(&mut reader, ANOTHER).await, ("8".to_owned(), true));
        let mut other = options.connect().await.unwrap();
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        assert_eq!(refused(&mut conn, ANOTHER).await, ("5".to_owned(), true));
        other.execute("INSERT INTO t VALUES (1); COMMIT").await.unwrap();
        assert_eq!(refused(&mut conn, "INSERT INTO t VALUES (1)").await, ("1555".to_owned(), false), "a row that is there");
        std::fs::rename(&path, dir.path().join("moved.db")).unwrap();
        assert_eq!(refused(&mut conn, ANOTHER).await, ("1032".to_owned(), true));
        let nowhere = SqliteConnectOptions::new().filename(dir.path().join("none/t.db")).connect().await.unwrap_err();
        assert!(is_passing_on_sqlite(&nowhere), "{nowhere}");
    }
}
