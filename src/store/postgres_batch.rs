//! PostgreSQL's connection with statements that wait: those whose outcome nobody asks for are sent together, as one, before the next that
//! somebody waits for. Each exchange with the server costs more than most statements do.

use std::fmt::Write as _;

use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{Arguments as _, AssertSqlSafe, Error, Executor as _};

use super::waiting::{Value, WAITING_MAX, Waiting, renumber};

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

    /// Does this before the next statement at the latest. Its parameters are written `$1`, `$2`, …
    pub(super) async fn later(&mut self, sql: &'static str, values: Vec<Value>) -> Result<(), Error> {
        self.waiting.push((sql, values));
        if self.waiting.len() == WAITING_MAX {
            self.ready().await?;
        }
        Ok(())
    }

    /// The connection, with everything done that waited.
    pub(super) async fn ready(&mut self) -> Result<&mut PgConnection, Error> {
        let mut waiting = std::mem::take(&mut self.waiting);
        while !waiting.is_empty() {
            let (sql, arguments) = joined(waiting.drain(..together(&waiting)))?;
            self.conn.execute(sqlx::query_with(AssertSqlSafe(sql), arguments)).await?;
        }
        Ok(self.conn)
    }
}

/// How many of the first statements may be one: the parts of a `WITH` share one snapshot, so that none may see or touch what another
/// writes. Rows for one table may come together. That a statement touches no table but those it names is for the schema to hold to: it has
/// no triggers and no `ON DELETE CASCADE`.
fn together(waiting: &[Waiting]) -> usize {
    let mut written: Vec<&str> = Vec::new();
    let mut inserted: Vec<&str> = Vec::new();
    for (at, (sql, _)) in waiting.iter().enumerate() {
        let (table, plain) = (table(sql), is_plain_insert(sql));
        let words = || sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let meets = words().any(|word| written.contains(&word) || (inserted.contains(&word) && !(plain && table == Some(word))));
        match table {
            Some(table) if !meets => (if plain { &mut inserted } else { &mut written }).push(table),
            // What is not known goes alone.
            _ => return at.max(1),
        }
    }
    waiting.len()
}

/// The table that a statement writes.
fn table(sql: &str) -> Option<&str> {
    let rest = ["INSERT INTO ", "UPDATE ", "DELETE FROM "].iter().find_map(|verb| sql.trim_start().strip_prefix(verb))?;
    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()
}

fn is_plain_insert(sql: &str) -> bool {
    sql.trim_start().starts_with("INSERT INTO ") && !sql.contains("SELECT") && !sql.contains("ON CONFLICT")
}

/// Statements as one. PostgreSQL runs the main one first and then the parts of the `WITH` from the last to the first: written in that
/// order, rows are locked and stored in the statements' own. The rows that foreign keys name are locked after all of them.
fn joined(statements: impl DoubleEndedIterator<Item = Waiting>) -> Result<(String, PgArguments), Error> {
    let (mut text, mut arguments) = (String::new(), PgArguments::default());
    let mut backwards = statements.rev().enumerate().peekable();
    while let Some((at, (sql, values))) = backwards.next() {
        let is_part = backwards.peek().is_some();
        if is_part {
            let before = if at == 0 { "WITH" } else { "," };
            let _ = write!(text, "{before} w{at} AS (");
        }
        renumber(sql, arguments.len(), &mut text);
        if is_part {
            text.push_str(")\n");
        }
        for value in values {
            value.add_to(&mut arguments)?;
        }
    }
    Ok((text, arguments))
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
    fn the_first_is_the_main_one_and_the_rest_are_its_parts_from_the_last_on() {
        let waiting = vec![
            (EVENT, vec![Value::from(1_i64), Value::from(2_i64)]),
            (MAIL, vec![Value::from("m")]),
            (EVENT, vec![Value::from(2_i64), Value::from(None::<i64>)]),
        ];
        let (sql, arguments) = joined(waiting.clone().into_iter()).unwrap();
        assert_eq!(
            sql,
            "WITH w0 AS (INSERT INTO events (id, seq) VALUES ($1, $2))\n, w1 AS (INSERT INTO mails (id) VALUES ($3))\n\
             INSERT INTO events (id, seq) VALUES ($4, $5)"
        );
        assert_eq!(arguments.len(), 5);
        assert_eq!(joined(waiting.into_iter().take(1).collect::<Vec<_>>().into_iter()).unwrap().0, EVENT);
    }
}
