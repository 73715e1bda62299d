//! A whole database into another of either kind: to move, to back up, to restore. One snapshot of the source, one transaction on the copy,
//! then both are read again and compared row by row.

use std::str::FromStr as _;

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, QueryBuilder, Row as _};

use super::{Migrate, Store, StoreError};

/// Every table, those that others refer to first. What is sealed in `seals` and the rows that it is about are all here.
pub const TABLES: [&str; 37] = [
    "profile_versions",
    "orders",
    "validations",
    "mails",
    "mail_validations",
    "answers",
    "events",
    "effects",
    "attempts",
    "lookups",
    "order_lookups",
    "secrets",
    "notices",
    "returned_mails",
    "marks",
    "turns",
    "idempotency_keys",
    "certificates",
    "clients",
    "client_tokens",
    "gone_endpoints",
    "allowlist",
    "renewals",
    "operators",
    "sessions",
    "access_log",
    "views",
    "tallies",
    "tally_marks",
    "unsealed",
    "seals",
    "audit_samples",
    "retirements",
    "retired",
    "masked",
    "exports",
    "export_parts",
];

/// Rows in one statement; PostgreSQL takes 65,535 values, SQLite 32,766, and the widest table has fewer than 40 columns.
const ROWS_AT_ONCE: usize = 500;

/// Why a copy was not made; the target is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source or the target failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are rows already.
    #[error("the target is not empty: `{0}` has rows; name an empty database")]
    NotEmpty(&'static str),
    /// A table is not the same in both.
    #[error("`{0}` is another table there than here")]
    Schema(&'static str),
    /// After copying, a table differs.
    #[error("`{0}` differs after copying, from row {1} on; nothing was kept")]
    Differs(&'static str, u64),
    /// A row cannot stand in the target.
    #[error("`{table}`: {error}")]
    Row {
        /// The table.
        table: &'static str,
        /// What the database says.
        error: sqlx::Error,
    },
}

impl From<sqlx::Error> for CopyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A value of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Cell {
    Integer(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Integer,
    Text,
    Bytes,
}

impl Kind {
    fn of(declared: &str) -> Option<Self> {
        match declared.to_ascii_lowercase().as_str() {
            "bigint" => Some(Self::Integer),
            "text" => Some(Self::Text),
            "bytea" => Some(Self::Bytes),
            _ => None,
        }
    }
}

/// A table as it is declared: its columns in alphabetical order, since upgrades may have added them in another.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Shape {
    columns: Vec<(String, Kind)>,
    /// The primary key, by which rows are read in the same order on both sides.
    key: Vec<String>,
}

impl Shape {
    fn select(&self, table: &str) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        // Keys are ids, numbers and words in ASCII; where they are not, their bytes tell the order, whatever the locale.
        let order: Vec<String> = self
            .key
            .iter()
            .map(|key| match self.columns.iter().find(|(name, _)| name == key) {
                Some((_, Kind::Text)) => format!("{key} COLLATE \"C\""),
                _ => key.clone(),
            })
            .collect();
        format!("SELECT {} FROM {table} ORDER BY {}", columns.join(", "), order.join(", "))
    }
}

enum Db {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

macro_rules! cells {
    ($row:expr, $shape:expr) => {
        $shape
            .columns
            .iter()
            .enumerate()
            .map(|(at, (_, kind))| {
                Ok::<Cell, sqlx::Error>(match kind {
                    Kind::Integer => Cell::Integer($row.try_get(at)?),
                    Kind::Text => Cell::Text($row.try_get(at)?),
                    Kind::Bytes => Cell::Bytes($row.try_get(at)?),
                })
            })
            .collect::<Result<Vec<Cell>, sqlx::Error>>()
    };
}

impl Db {
    async fn open(url: &str) -> Result<Self, CopyError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url)?.log_statements(tracing::log::LevelFilter::Trace);
            return Ok(Self::Postgres(options.connect().await?));
        }
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(false)
            .foreign_keys(true)
            // PostgreSQL's name for the order of bytes.
            .collation("C", Ord::cmp)
            .log_statements(tracing::log::LevelFilter::Trace);
        Ok(Self::Sqlite(options.connect().await?))
    }

    async fn execute(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(conn) => conn.execute(sql).await.map(drop),
            Self::Postgres(conn) => conn.execute(sql).await.map(drop),
        }
    }

    /// Begins to read one moment of it.
    async fn snapshot(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => self.execute("BEGIN").await,
            Self::Postgres(_) => self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await,
        }
    }

    async fn shape(&mut self, table: &'static str) -> Result<Shape, CopyError> {
        let (columns, key): (Vec<(String, String)>, Vec<String>) = match self {
            Self::Sqlite(conn) => (
                sqlx::query_as("SELECT name, type FROM pragma_table_info($1) ORDER BY name")
                    .bind(table)
                    .fetch_all(&mut *conn)
                    .await?,
                sqlx::query_scalar("SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk")
                    .bind(table)
                    .fetch_all(conn)
                    .await?,
            ),
            Self::Postgres(conn) => (
                sqlx::query_as(
                    "SELECT column_name::text, data_type::text FROM information_schema.columns
                    WHERE table_schema = current_schema() AND table_name = $1 ORDER BY column_name COLLATE \"C\"",
                )
                .bind(table)
                .fetch_all(&mut *conn)
                .await?,
                sqlx::query_scalar(
                    "SELECT a.attname::text FROM pg_index i JOIN unnest(i.indkey) WITH ORDINALITY k (attnum, at) ON true
                    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                    WHERE i.indrelid = $1::regclass AND i.indisprimary ORDER BY k.at",
                )
                .bind(table)
                .fetch_all(conn)
                .await?,
            ),
        };
        let columns = columns.into_iter().map(|(name, declared)| Some((name, Kind::of(&declared)?))).collect::<Option<Vec<_>>>();
        columns
            .filter(|columns| !columns.is_empty() && !key.is_empty())
            .map(|columns| Shape { columns, key })
            .ok_or(CopyError::Schema(table))
    }

    async fn count(&mut self, table: &str) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let rows: i64 = match self {
            Self::Sqlite(conn) => sqlx::query_scalar(sql).fetch_one(conn).await?,
            Self::Postgres(conn) => sqlx::query_scalar(sql).fetch_one(conn).await?,
        };
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    async fn insert(&mut self, table: &str, shape: &Shape, rows: Vec<Vec<Cell>>) -> Result<(), sqlx::Error> {
        let columns: Vec<&str> = shape.columns.iter().map(|(name, _)| name.as_str()).collect();
        let begin = format!("INSERT INTO {table} ({}) ", columns.join(", "));
        macro_rules! build {
            ($conn:expr) => {{
                let mut query = QueryBuilder::new(begin);
                query.push_values(rows, |mut row, cells| {
                    for cell in cells {
                        match cell {
                            Cell::Integer(value) => row.push_bind(value),
                            Cell::Text(value) => row.push_bind(value),
                            Cell::Bytes(value) => row.push_bind(value),
                        };
                    }
                });
                query.build().execute($conn).await.map(drop)
            }};
        }
        match self {
            Self::Sqlite(conn) => build!(conn),
            Self::Postgres(conn) => build!(conn),
        }
    }
}

/// Copies a table; how many rows.
async fn table(
    from: &mut Db,
    to: &mut Db,
    table: &'static str,
    shape: &Shape,
    step: &mut (dyn FnMut(&'static str, u64) + Send),
) -> Result<u64, CopyError> {
    let row = |error| CopyError::Row { table, error };
    let (sql, mut waiting, mut copied) = (AssertSqlSafe(shape.select(table)), Vec::new(), 0);
    macro_rules! pump {
        ($conn:expr, $row:ty) => {{
            let mut rows = sqlx::query(sql).fetch($conn);
            while let Some(one) = rows.try_next().await.map_err(row)? {
                let one: $row = one;
                waiting.push(cells!(one, shape).map_err(row)?);
                if waiting.len() == ROWS_AT_ONCE {
                    to.insert(table, shape, std::mem::take(&mut waiting)).await.map_err(row)?;
                    copied += ROWS_AT_ONCE as u64;
                    step(table, copied);
                }
            }
        }};
    }
    match from {
        Db::Sqlite(conn) => pump!(conn, SqliteRow),
        Db::Postgres(conn) => pump!(conn, PgRow),
    }
    if !waiting.is_empty() {
        copied += waiting.len() as u64;
        to.insert(table, shape, waiting).await.map_err(row)?;
        step(table, copied);
    }
    Ok(copied)
}

/// Reads both sides of a table again and compares them; the number of rows.
async fn compare(from: &mut Db, to: &mut Db, table: &'static str, shape: &Shape) -> Result<u64, CopyError> {
    let sql = shape.select(table);
    let mut at = 0;
    macro_rules! walk {
        ($from:expr, $to:expr) => {{
            let (mut theirs, mut ours) =
                (sqlx::query(AssertSqlSafe(sql.clone())).fetch($from), sqlx::query(AssertSqlSafe(sql)).fetch($to));
            loop {
                let (one, other) = (theirs.try_next().await?, ours.try_next().await?);
                match (one, other) {
                    (None, None) => return Ok(at),
                    (Some(one), Some(other)) if cells!(one, shape)? == cells!(other, shape)? => at += 1,
                    _ => return Err(CopyError::Differs(table, at + 1)),
                }
            }
        }};
    }
    match (from, to) {
        (Db::Sqlite(from), Db::Sqlite(to)) => walk!(from, to),
        (Db::Sqlite(from), Db::Postgres(to)) => walk!(from, to),
        (Db::Postgres(from), Db::Sqlite(to)) => walk!(from, to),
        (Db::Postgres(from), Db::Postgres(to)) => walk!(from, to),
    }
}

/// Copies a database of this build's schema into an empty one; how many rows. `step` is told each table and how far it came. A SQLite file is
/// made where there is none.
///
/// # Errors
/// [`CopyError`]; then the target has no rows.
pub async fn copy(from: &str, to: &str, step: &mut (dyn FnMut(&'static str, u64) + Send)) -> Result<u64, CopyError> {
    Store::open(from, Migrate::No).await?.close().await;
    Store::open(to, Migrate::Yes).await?.close().await;
    let (mut from, mut to) = (Db::open(from).await?, Db::open(to).await?);
    from.snapshot().await?;
    to.execute(if matches!(to, Db::Sqlite(_)) { "BEGIN IMMEDIATE" } else { "BEGIN" }).await?;
    let mut shapes = Vec::new();
    for one in TABLES {
        let shape = from.shape(one).await?;
        if shape != to.shape(one).await? {
            return Err(CopyError::Schema(one));
        }
        if to.count(one).await? > 0 {
            return Err(CopyError::NotEmpty(one));
        }
        shapes.push((one, shape));
    }
    let mut rows = 0;
    for (one, shape) in &shapes {
        rows += table(&mut from, &mut to, one, shape, step).await?;
    }
    for (one, shape) in &shapes {
        compare(&mut from, &mut to, one, shape).await?;
    }
    to.execute("COMMIT").await?;
    from.execute("ROLLBACK").await?;
    match to {
        Db::Sqlite(conn) => conn.close().await?,
        Db::Postgres(conn) => conn.close().await?,
    }
    Ok(rows)
}

/// Every table that a database has, but for the list of migrations.
///
/// # Errors
/// [`CopyError`] when it cannot be read.
pub async fn tables(url: &str) -> Result<Vec<String>, CopyError> {
    let names: Vec<String> = match Db::open(url).await? {
        Db::Sqlite(mut conn) => {
            sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
                .fetch_all(&mut conn)
                .await?
        }
        Db::Postgres(mut conn) => {
            sqlx::query_scalar("SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()")
                .fetch_all(&mut conn)
                .await?
        }
    };
    Ok(names.into_iter().filter(|name| name != "_sqlx_migrations").collect())
}

/// Writes one moment of a database into a new SQLite file, and looks whether the file is whole.
///
/// # Errors
/// [`CopyError`]; then there is no file.
pub async fn backup(
    from: &str,
    file: &std::path::Path,
    step: &mut (dyn FnMut(&'static str, u64) + Send),
) -> Result<(), CopyError> {
    let url = format!("sqlite://{}", file.display());
    let outcome = async {
        if from.starts_with("postgres") {
            copy(from, &url, step).await?;
        } else {
            Store::open(from, Migrate::No).await?.close().await;
            let mut source = Db::open(from).await?;
            let into = file.display().to_string().replace('\'', "''");
            source.execute(&format!("VACUUM INTO '{into}'")).await?;
        }
        is_whole(&url).await
    };
    let outcome = outcome.await;
    if outcome.is_err() {
        for end in ["", "-wal", "-shm", "-journal"] {
            let _ = std::fs::remove_file(format!("{}{end}", file.display()));
        }
    }
    outcome
}

/// Looks whether a SQLite file is whole, and of this build's schema.
///
/// # Errors
/// [`CopyError`] where it is not.
pub async fn is_whole(url: &str) -> Result<(), CopyError> {
    let Db::Sqlite(mut conn) = Db::open(url).await? else { return Ok(()) };
    let told: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut conn).await?;
    if told != ["ok"] {
        let told = told.first().cloned().unwrap_or_default();
        return Err(StoreError::Closed(format!("the file is damaged: {told}")).into());
    }
    // It is read only: a backup lies beside no write-ahead log.
    conn.execute("PRAGMA journal_mode = DELETE").await?;
    conn.close().await?;
    Ok(())
}
