//! SQLite's writing connection with statements that wait: what nobody asks the outcome of goes to SQLite's thread with the next
//! statement that somebody waits for. sqlx hands each statement over and wakes twice for it, which costs more than most statements do.

use std::future;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteQueryResult, SqliteRow, SqliteStatement, SqliteTypeInfo};
use sqlx::{Arguments as _, AssertSqlSafe, Describe, Either, Error, Execute, Executor, SqlStr, Sqlite};

use super::waiting::{NotOne, Value, WAITING_MAX, Waiting, renumber};

/// A connection, and what waits to be done on it.
#[derive(Debug)]
pub(super) struct Pipeline<'c> {
    conn: &'c mut SqliteConnection,
    waiting: Vec<Waiting>,
    /// Which of what waits must change one row, by their places.
    changes: Vec<usize>,
    asked: bool,
}

impl<'c> Pipeline<'c> {
    /// `first` are done before anything else.
    pub(super) fn new(conn: &'c mut SqliteConnection, first: impl IntoIterator<Item = &'static str>) -> Self {
        let waiting = first.into_iter().map(|sql| (sql, Vec::new())).collect();
        Self { conn, waiting, changes: Vec::new(), asked: false }
    }

    /// Does this before the next statement at the latest. Its parameters are written `$1`, `$2`, …
    pub(super) async fn later(&mut self, sql: &'static str, values: Vec<Value>) -> Result<(), Error> {
        self.waiting.push((sql, values));
        if self.waiting.len() == WAITING_MAX { self.flush().await } else { Ok(()) }
    }

    /// As [`Pipeline::later`], for a statement that must change one row: whatever it is done with fails where it does not.
    pub(super) async fn later_one(&mut self, sql: &'static str, values: Vec<Value>) -> Result<(), Error> {
        self.changes.push(self.waiting.len());
        self.later(sql, values).await
    }

    /// Whether SQLite was asked anything.
    pub(super) const fn has_asked(&self) -> bool {
        self.asked
    }

    /// Does what waits.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        if self.waiting.is_empty() { Ok(()) } else { self.execute(sqlx::query("SELECT 1")).await.map(drop) }
    }

    /// What waits and then `sql`, as one text. Its own parameters keep their numbers, those of what waited follow them.
    fn joined(&mut self, sql: &SqlStr, arguments: &mut SqliteArguments) -> Result<String, Error> {
        let mut text = String::new();
        for (waited, values) in self.waiting.drain(..) {
            renumber(waited, arguments.len(), &mut text);
            text.push_str(";\n");
            for value in values {
                value.add_to(arguments)?;
            }
        }
        text.push_str(sql.as_str());
        Ok(text)
    }

    /// Runs what waits and `query`, as one; tells only what `query` brings.
    fn run<'e, 'q, E>(&'e mut self, mut query: E) -> BoxStream<'e, Result<Either<SqliteQueryResult, SqliteRow>, Error>>
    where
        'q: 'e,
        E: 'q + Execute<'q, Sqlite>,
    {
        self.asked = true;
        let before = self.waiting.len();
        if before == 0 {
            return self.conn.fetch_many(query);
        }
        let changes = std::mem::take(&mut self.changes);
        let joined = query.take_arguments().map_err(Error::Encode).and_then(|arguments| {
            let mut arguments = arguments.unwrap_or_default();
            Ok((self.joined(&query.sql(), &mut arguments)?, arguments))
        });
        let (sql, arguments) = match joined {
            Ok(joined) => joined,
            Err(error) => return stream::once(future::ready(Err(error))).boxed(),
        };
        let all = self.conn.fetch_many(sqlx::query_with(AssertSqlSafe(sql), arguments));
        // Each statement ends with how many rows it changed.
        let mut ended = 0;
        let own = all.try_filter_map(move |one| {
            let at = ended;
            let told = match &one {
                _ if at == before => Ok(Some(one)),
                Either::Left(done) if changes.contains(&at) && done.rows_affected() != 1 => Err(Error::Decode(Box::new(NotOne))),
                Either::Left(_) => {
                    ended += 1;
                    Ok(None)
                }
                Either::Right(_) => Ok(None),
            };
            future::ready(told)
        });
        own.boxed()
    }
}

impl<'c> Executor<'c> for &'c mut Pipeline<'_> {
    type Database = Sqlite;

    fn fetch_many<'e, 'q, E>(self, query: E) -> BoxStream<'e, Result<Either<SqliteQueryResult, SqliteRow>, Error>>
    where
        'c: 'e,
        'q: 'e,
        E: 'q + Execute<'q, Sqlite>,
    {
        self.run(query)
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> BoxFuture<'e, Result<Option<SqliteRow>, Error>>
    where
        'c: 'e,
        'q: 'e,
        E: 'q + Execute<'q, Sqlite>,
    {
        let mut rows = self.run(query).try_filter_map(|one| future::ready(Ok(one.right())));
        // To its end, so that what goes wrong there is this statement's.
        async move {
            let first = rows.try_next().await?;
            while rows.try_next().await?.is_some() {}
            Ok(first)
        }
        .boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [SqliteTypeInfo]) -> BoxFuture<'e, Result<SqliteStatement, Error>>
    where
        'c: 'e,
    {
        self.conn.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Sqlite>, Error>>
    where
        'c: 'e,
    {
        self.conn.describe(sql)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, SqliteConnection};

    use super::*;

    const INSERT: &str = "INSERT INTO t (id, word) VALUES ($1, $2)";

    async fn table() -> SqliteConnection {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        conn.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT)").await.unwrap();
        conn
    }

    #[tokio::test]
    async fn what_waits_is_done_first_and_only_the_querys_own_is_told() {
        let mut conn = table().await;
        let mut pipeline = Pipeline::new(&mut conn, []);
        for (id, word) in [(1, Some("one")), (2, None), (3, Some("three"))] {
            pipeline.later(INSERT, vec![Value::from(id), Value::from(word)]).await.unwrap();
        }
        pipeline.later("UPDATE t SET word = $2 WHERE id = $1 RETURNING word", vec![1.into(), "uno".into()]).await.unwrap();
        // By number and by place: the statement's own come first.
        let sql = "SELECT word FROM t WHERE id <> $1 AND id < $2 ORDER BY id";
        let words: Vec<Option<String>> = sqlx::query_scalar(sql).bind(9).bind(3).fetch_all(&mut pipeline).await.unwrap();
        assert_eq!(words, [Some("uno".to_owned()), None]);
        pipeline.later(INSERT, vec![4.into(), "four".into()]).await.unwrap();
        let changed = sqlx::query("UPDATE t SET word = ? WHERE id IN (?, ?)").bind("x").bind(2).bind(4);
        assert_eq!(changed.execute(&mut pipeline).await.unwrap().rows_affected(), 2);
        pipeline.later("DELETE FROM t WHERE id = $1", vec![1.into()]).await.unwrap();
        let first: Option<i64> = sqlx::query_scalar("SELECT id FROM t ORDER BY id").fetch_optional(&mut pipeline).await.unwrap();
        assert_eq!(first, Some(2));
        assert!(pipeline.waiting.is_empty());
    }

    #[tokio::test]
    async fn what_must_change_a_row_fails_what_it_goes_with() {
        let mut conn = table().await;
        let mut pipeline = Pipeline::new(&mut conn, ["SAVEPOINT job"]);
        pipeline.later(INSERT, vec![1.into(), "one".into()]).await.unwrap();
        pipeline.later_one("UPDATE t SET word = $2 WHERE id = $1", vec![1.into(), "uno".into()]).await.unwrap();
        pipeline.flush().await.unwrap();
        for (id, ends) in [(1, true), (2, false)] {
            pipeline.later("UPDATE t SET word = 'x' WHERE id < $1", vec![0.into()]).await.unwrap();
            pipeline.later_one("UPDATE t SET word = $2 WHERE id = $1", vec![id.into(), "two".into()]).await.unwrap();
            let done = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM t").fetch_one(&mut pipeline).await;
            assert_eq!(done.is_ok(), ends, "{done:?}");
            assert!(pipeline.waiting.is_empty() && pipeline.changes.is_empty());
        }
        pipeline.execute("ROLLBACK TO job").await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM t").fetch_one(&mut pipeline).await.unwrap();
        assert_eq!(count, 0, "all of it can be undone");
    }

    #[tokio::test]
    async fn many_go_in_texts_of_one_length() {
        let mut conn = table().await;
        let mut pipeline = Pipeline::new(&mut conn, []);
        for id in 0..100 {
            pipeline.later(INSERT, vec![id.into(), "x".into()]).await.unwrap();
            assert!(pipeline.waiting.len() < WAITING_MAX);
        }
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM t").fetch_one(&mut pipeline).await.unwrap();
        assert_eq!(count, 100);
    }

    #[tokio::test]
    async fn what_goes_wrong_with_what_waited_is_told_by_the_next() {
        let mut conn = table().await;
        let mut pipeline = Pipeline::new(&mut conn, []);
        for _ in 0..2 {
            pipeline.later(INSERT, vec![1.into(), "one".into()]).await.unwrap();
        }
        let error = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM t").fetch_one(&mut pipeline).await.unwrap_err();
        assert!(error.to_string().contains("UNIQUE"), "{error}");
        assert!(pipeline.waiting.is_empty());
    }
}
