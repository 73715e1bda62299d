//! SQLite's writing connection with statements that wait: what nobody asks the outcome of goes to SQLite's thread with the next
//! statement that somebody waits for. sqlx hands each statement over and wakes twice for it, which costs more than most statements do.

use std::future;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteQueryResult, SqliteRow, SqliteStatement, SqliteTypeInfo};
use sqlx::{Arguments as _, AssertSqlSafe, Describe, Either, Error, Execute, Executor, SqlStr, Sqlite};

use super::waiting::{Value, WAITING_MAX, Waiting, renumber};

/// A connection, and what waits to be done on it.
#[derive(Debug)]
pub(super) struct Pipeline<'c> {
    conn: &'c mut SqliteConnection,
    waiting: Vec<Waiting>,
}

impl<'c> Pipeline<'c> {
    pub(super) const fn new(conn: &'c mut SqliteConnection) -> Self {
        Self { conn, waiting: Vec::new() }
    }

    /// Does this before the next statement at the latest. Its parameters are written `$1`, `$2`, …
    pub(super) async fn later(&mut self, sql: &'static str, values: Vec<Value>) -> Result<(), Error> {
        self.waiting.push((sql, values));
        if self.waiting.len() == WAITING_MAX {
            self.execute(sqlx::query("SELECT 1")).await?;
        }
        Ok(())
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
        let mut before = self.waiting.len();
        if before == 0 {
            return self.conn.fetch_many(query);
        }
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
        let own = all.try_filter_map(move |one| {
            let of_query = before == 0;
            if one.is_left() {
                before = before.saturating_sub(1);
            }
            future::ready(Ok(of_query.then_some(one)))
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
        if self.waiting.is_empty() {
            return self.conn.fetch_optional(query);
        }
        let mut rows = self.run(query).try_filter_map(|one| future::ready(Ok(one.right())));
        async move { rows.try_next().await }.boxed()
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
        let mut pipeline = Pipeline::new(&mut conn);
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
    async fn many_go_in_texts_of_one_length() {
        let mut conn = table().await;
        let mut pipeline = Pipeline::new(&mut conn);
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
        let mut pipeline = Pipeline::new(&mut conn);
        for _ in 0..2 {
            pipeline.later(INSERT, vec![1.into(), "one".into()]).await.unwrap();
        }
        let error = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM t").fetch_one(&mut pipeline).await.unwrap_err();
        assert!(error.to_string().contains("UNIQUE"), "{error}");
        assert!(pipeline.waiting.is_empty());
    }
}
