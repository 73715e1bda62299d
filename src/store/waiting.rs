//! Statements whose outcome nobody waits for, and what they are given.

use std::fmt::Write as _;

use sqlx::{Arguments, Database, Encode, Error, Type};

/// So many statements wait at most: many rows are written by texts of one length, which are prepared once, and one for the rest.
pub(super) const WAITING_MAX: usize = 32;

/// A statement that waits; its parameters are written `$1`, `$2`, ….
pub(super) type Waiting = (&'static str, Vec<Value>);

/// A statement that changed another number of rows than the one that it was to change.
#[derive(Debug, thiserror::Error)]
#[error("a row is not as it was read")]
pub(super) struct NotOne;

/// A value of a statement that waits. PostgreSQL wants to know of which type it is where it is not there, too.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
}

/// What a value is made of, there or not.
macro_rules! value {
    ($($kind:ident: $of:ty, |$one:ident| $value:expr;)+) => {
        $(
            impl From<$of> for Value {
                fn from($one: $of) -> Self {
                    Self::$kind(Some($value))
                }
            }

            impl From<Option<$of>> for Value {
                fn from(one: Option<$of>) -> Self {
                    Self::$kind(one.map(|$one| $value))
                }
            }
        )+
    };
}

value! {
    Int: i64, |one| one;
    Text: &str, |one| one.to_owned();
    Text: String, |one| one;
    Text: &String, |one| one.clone();
    Blob: &[u8], |one| one.to_vec();
    Blob: &Vec<u8>, |one| one.clone();
}

impl From<&Option<String>> for Value {
    fn from(one: &Option<String>) -> Self {
        Self::Text(one.clone())
    }
}

impl From<&Option<Vec<u8>>> for Value {
    fn from(one: &Option<Vec<u8>>) -> Self {
        Self::Blob(one.clone())
    }
}

impl Value {
    /// Puts it behind a statement's other arguments.
    pub(super) fn add_to<A>(self, arguments: &mut A) -> Result<(), Error>
    where
        A: Arguments,
        for<'q> Option<i64>: Encode<'q, A::Database>,
        for<'q> Option<String>: Encode<'q, A::Database>,
        for<'q> Option<Vec<u8>>: Encode<'q, A::Database>,
        i64: Type<A::Database>,
        String: Type<A::Database>,
        Vec<u8>: Type<A::Database>,
        A::Database: Database,
    {
        match self {
            Self::Int(value) => arguments.add(value),
            Self::Text(value) => arguments.add(value),
            Self::Blob(value) => arguments.add(value),
        }
        .map_err(Error::Encode)
    }
}

/// Writes a statement with its parameters counted from behind `taken` others. A `$` stands in no text or name of ours.
pub(super) fn renumber(sql: &str, taken: usize, to: &mut String) {
    let mut parts = sql.split('$');
    to.extend(parts.next());
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = part.split_at(digits);
        let number: usize = number.parse().unwrap_or_default();
        let _ = write!(to, "${}{rest}", number + taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted_from_behind_others() {
        let mut text = String::new();
        renumber("UPDATE t SET a = $2, b = CASE WHEN $10 THEN $1 END WHERE c=$3", 7, &mut text);
        assert_eq!(text, "UPDATE t SET a = $9, b = CASE WHEN $17 THEN $8 END WHERE c=$10");
        text.clear();
        renumber("DELETE FROM t", 3, &mut text);
        assert_eq!(text, "DELETE FROM t");
    }
}
