//! PostgreSQL's connection with statements that wait: those whose outcome nobody asks for are sent with the next that somebody waits for,
//! as one. Each exchange with the server costs more than most statements do.

use std::fmt::Write as _;

use futures_util::future::{BoxFuture, FutureExt as _, TryFutureExt as _};
use futures_util::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use sqlx::postgres::{PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Arguments as _, AssertSqlSafe, Describe, Either, Error, Execute, Executor, Postgres, SqlStr};

use super::waiting::{NotOne, Value, WAITING_MAX, Waiting, renumber};

/// A connection, and what waits to be done on it.
#[derive(Debug)]
pub(super) struct Batch<'c> {
    conn: &'c mut PgConnection,
    waiting: Vec<Waiting>,
}

impl<'c> Batch<'c> {
    pub(super) const fn new(conn: &'c mut PgConnection) -> Self {
        Self { conn, waiting: Vec::new() }
    }

    /// Does this with the next statement, or before it where that names the table. Its parameters are written `$1`, `$2`, …
    pub(super) async fn later(&mut self, sql: &'static str, values: Vec<Value>) -> Result<(), Error> {
        self.waiting.push((sql, values));
        if self.waiting.len() == WAITING_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    /// Does this, with what waits or after it. It must change one row.
    pub(super) async fn one(&mut self, sql: &'static str, values: Vec<Value>) -> Result<(), Error> {
        let mut arguments = PgArguments::default();
        for value in values {
            value.add_to(&mut arguments)?;
        }
        let done = self.execute(sqlx::query_with(sql, arguments)).await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(Error::Decode(Box::new(NotOne))) }
    }

    /// Does what waits.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        while !self.waiting.is_empty() {
            self.send(together(&self.waiting)).await?;
        }
        Ok(())
    }

    /// Does the first of what waits, as one.
    async fn send(&mut self, count: usize) -> Result<(), Error> {
        let mut first = self.waiting.drain(..count);
        let Some((main, values)) = first.next() else { return Ok(()) };
        let mut arguments = PgArguments::default();
        for value in values {
            value.add_to(&mut arguments)?;
        }
        let sql = joined(main, first, &mut arguments)?;
        self.conn.execute(sqlx::query_with(AssertSqlSafe(sql), arguments)).await.map(drop)
    }

    /// Does what waits, and `query` with the last of it where they may be one; tells what `query` brings.
    fn run<'e, 'q, E>(&'e mut self, mut query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'q: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.waiting.is_empty() {
            return self.conn.fetch_many(query);
        }
        let whole = async move {
            let Some(mut arguments) = query.take_arguments().map_err(Error::Encode)? else {
                self.flush().await?;
                return Ok(self.conn.fetch_many(query));
            };
            let (persistent, own) = (query.persistent(), query.sql());
            while !self.waiting.is_empty() && !goes_with(own.as_str(), &self.waiting) {
                self.send(together(&self.waiting)).await?;
            }
            let sql = joined(own.as_str(), self.waiting.drain(..), &mut arguments)?;
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(persistent);
            Ok::<_, Error>(self.conn.fetch_many(query))
        };
        whole.try_flatten_stream().boxed()
    }
}

impl<'c> Executor<'c> for &'c mut Batch<'_> {
    type Database = Postgres;

    fn fetch_many<'e, 'q, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        'q: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.run(query)
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        'q: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.waiting.is_empty() {
            return self.conn.fetch_optional(query);
        }
        let mut rows = self.run(query).try_filter_map(|one| std::future::ready(Ok(one.right())));
        // To its end, so that what goes wrong there is this statement's.
        async move {
            let first = rows.try_next().await?;
            while rows.try_next().await?.is_some() {}
            Ok(first)
        }
        .boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        self.conn.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        self.conn.describe(sql)
    }
}

/// How many of the first statements may be one: the parts of a `WITH` share one snapshot, so that none may see or touch what another
/// writes. Rows for one table may come together. That a statement touches no table but those it names is for the schema to hold to: it has
/// no triggers and no `ON DELETE CASCADE`.
fn together(waiting: &[Waiting]) -> usize {
    let mut written = Written::default();
    let fit = waiting.iter().take_while(|(sql, _)| table(sql).is_some() && written.add(sql)).count();
    // What is not known goes alone.
    fit.max(1)
}

/// Whether `sql`, whose outcome somebody waits for, may be one with all that waits.
fn goes_with(sql: &str, waiting: &[Waiting]) -> bool {
    let mut written = Written::default();
    waiting.iter().all(|(sql, _)| table(sql).is_some() && written.add(sql))
        && (table(sql).is_some() || sql.trim_start().starts_with("SELECT "))
        && written.add(sql)
}

/// The tables that statements of one snapshot write.
#[derive(Default)]
struct Written<'s> {
    /// Those that get nothing but plain rows.
    inserted: Vec<&'s str>,
    /// The others.
    changed: Vec<&'s str>,
}

impl<'s> Written<'s> {
    /// Adds a statement; `false` where it would have to see, or touches, what another one writes.
    fn add(&mut self, sql: &'s str) -> bool {
        let (table, plain) = (table(sql), is_plain_insert(sql));
        let mut words = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let meets =
            words.any(|word| self.changed.contains(&word) || (self.inserted.contains(&word) && !(plain && table == Some(word))));
        if let Some(table) = table {
            (if plain { &mut self.inserted } else { &mut self.changed }).push(table);
        }
        !meets
    }
}

/// The table that a statement writes.
fn table(sql: &str) -> Option<&str> {
    let rest = ["INSERT INTO ", "UPDATE ", "DELETE FROM "].iter().find_map(|verb| sql.trim_start().strip_prefix(verb))?;
    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()
}

fn is_plain_insert(sql: &str) -> bool {
    sql.trim_start().starts_with("INSERT INTO ") && !sql.contains("SELECT") && !sql.contains("ON CONFLICT")
}

/// A statement and those that go with it as one; their values are put behind its own. PostgreSQL runs the main one first and then the
/// parts of the `WITH` from the last to the first: so written, rows are locked and stored in the order of the statements, but for the
/// one that somebody waits for, which comes first. The rows that foreign keys name are locked after all of them.
fn joined(main: &str, others: impl DoubleEndedIterator<Item = Waiting>, arguments: &mut PgArguments) -> Result<String, Error> {
    let mut text = String::new();
    for (at, (sql, values)) in others.rev().enumerate() {
        let before = if at == 0 { "WITH" } else { "," };
        let _ = write!(text, "{before} w{at} AS (");
        renumber(sql, arguments.len(), &mut text);
        text.push_str(")\n");
        for value in values {
            value.add_to(arguments)?;
        }
    }
    text.push_str(main);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = "INSERT INTO events (id, seq) VALUES ($1, $2)";
    const MAIL: &str = "INSERT INTO mails (id) VALUES ($1)";
    const ONCE: &str = "INSERT INTO profiles (hash) VALUES ($1) ON CONFLICT DO NOTHING";
    const ANSWERED: &str = "UPDATE mails SET link = $2 WHERE id = $1";
    const EFFECT: &str = "INSERT INTO effects (id, due_at) VALUES ($1, (SELECT MAX(due_at) FROM effects))";
    const OF_MAILS: &str = "DELETE FROM attempts WHERE effect_id IN (SELECT subject_id FROM mails)";

    fn goes(statements: &[&'static str]) -> usize {
        let waiting: Vec<Waiting> = statements.iter().map(|sql| (*sql, Vec::new())).collect();
        together(&waiting)
    }

    #[test]
    fn rows_go_together_and_so_do_statements_on_other_tables() {
        assert_eq!(goes(&[EVENT, MAIL, EVENT, EVENT]), 4);
        assert_eq!(goes(&[EVENT, ANSWERED, EFFECT, ONCE]), 4);
        assert_eq!(goes(&[OF_MAILS, ANSWERED]), 2, "what it reads is what was there before");
    }

    #[test]
    fn nothing_goes_with_what_it_would_have_to_see() {
        assert_eq!(goes(&[MAIL, EVENT, ANSWERED]), 2, "a row that is written and changed");
        assert_eq!(goes(&[ANSWERED, MAIL]), 1);
        assert_eq!(goes(&[ANSWERED, ANSWERED]), 1, "a row changed twice");
        assert_eq!(goes(&[EVENT, EFFECT, EFFECT]), 2);
        assert_eq!(goes(&[MAIL, OF_MAILS]), 1);
        assert_eq!(goes(&[ONCE, ONCE]), 1, "one key twice");
    }

    #[test]
    fn what_is_not_known_goes_alone() {
        assert_eq!(goes(&["WITH x AS (SELECT 1) UPDATE mails SET link = $1", EVENT]), 1);
        assert_eq!(goes(&[EVENT, "LOCK TABLE mails", EVENT]), 1);
    }

    #[test]
    fn what_somebody_waits_for_goes_with_what_it_need_not_see() {
        let goes = |sql: &str, statements: &[&'static str]| {
            let waiting: Vec<Waiting> = statements.iter().map(|sql| (*sql, Vec::new())).collect();
            goes_with(sql, &waiting)
        };
        assert!(goes("UPDATE orders SET last_seq = $1 RETURNING test", &[EVENT, ANSWERED, ONCE]));
        assert!(goes("SELECT id FROM orders", &[EVENT, MAIL]) && goes("INSERT INTO events (id) VALUES ($1)", &[EVENT]));
        assert!(!goes("SELECT id FROM mails", &[EVENT, MAIL]), "a row that was written");
        assert!(!goes("UPDATE mails SET link = $1", &[ANSWERED]), "a row changed twice");
        assert!(!goes("UPDATE orders SET state = $1", &[EVENT, OF_MAILS, ANSWERED, EFFECT, EFFECT]), "what does not go together");
        assert!(!goes("WITH x AS (SELECT 1) SELECT 1", &[EVENT]) && !goes("LOCK TABLE orders", &[EVENT]), "what is not known");
        assert!(!goes("SELECT 1", &["LOCK TABLE orders"]));
    }

    #[test]
    fn the_rest_are_parts_of_the_main_one_from_the_last_on() {
        let waiting = vec![
            (EVENT, vec![Value::from(1_i64), Value::from(2_i64)]),
            (MAIL, vec![Value::from("m")]),
            (EVENT, vec![Value::from(2_i64), Value::from(None::<i64>)]),
        ];
        let mut arguments = PgArguments::default();
        arguments.add("of the main one").unwrap();
        let sql = joined("UPDATE orders SET state = $1", waiting.into_iter(), &mut arguments).unwrap();
        assert_eq!(
            sql,
            "WITH w0 AS (INSERT INTO events (id, seq) VALUES ($2, $3))\n, w1 AS (INSERT INTO mails (id) VALUES ($4))\n\
             , w2 AS (INSERT INTO events (id, seq) VALUES ($5, $6))\nUPDATE orders SET state = $1"
        );
        assert_eq!(arguments.len(), 6);
        assert_eq!(joined(EVENT, Vec::new().into_iter(), &mut arguments).unwrap(), EVENT);
    }
}
