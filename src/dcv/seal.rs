//! The audit log's chain: what was written once is known by its SHA-256, and each seal holds such digests and the seal before it, so that
//! nothing sealed can be changed, taken out or put in without every later seal telling.

use sha2::{Digest, Sha256};

use super::timestamp::Timestamp;

/// What a sealed row is. Such rows never change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sealed {
    /// An entry of an order's timeline.
    Event,
    /// What a person pressed.
    Answer,
    /// A look-up with its raw answers.
    Lookup,
    /// An entry of the access log.
    Access,
    /// A removal of what need not be kept any more.
    Retirement,
}

impl Sealed {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Event, Self::Answer, Self::Lookup, Self::Access, Self::Retirement];

    /// The kind as it is stored.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Event => b'e',
            Self::Answer => b'a',
            Self::Lookup => b'l',
            Self::Access => b'x',
            Self::Retirement => b'r',
        }
    }

    /// The kind in a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Answer => "answer",
            Self::Lookup => "look-up",
            Self::Access => "access",
            Self::Retirement => "retirement",
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.code() == code)
    }
}

/// One row by its digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// What it is.
    pub kind: Sealed,
    /// Its id.
    pub id: [u8; 16],
    /// The SHA-256 of its columns.
    pub digest: [u8; 32],
}

/// Octets of an entry as it is stored.
pub const ENTRY_OCTETS: usize = 1 + 16 + 32;

impl Entry {
    /// The entry as it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ENTRY_OCTETS] {
        let mut bytes = [0; ENTRY_OCTETS];
        bytes[0] = self.kind.code();
        bytes[1..17].copy_from_slice(&self.id);
        bytes[17..].copy_from_slice(&self.digest);
        bytes
    }

    /// Reads entries back; `None` where the bytes are none.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Vec<Self>> {
        let (entries, rest) = bytes.as_chunks::<ENTRY_OCTETS>();
        if !rest.is_empty() {
            return None;
        }
        let read = |bytes: &[u8; ENTRY_OCTETS]| {
            let kind = Sealed::from_code(bytes[0])?;
            Some(Self { kind, id: bytes[1..17].try_into().ok()?, digest: bytes[17..].try_into().ok()? })
        };
        entries.iter().map(read).collect()
    }
}

/// One column of a row.
#[derive(Debug, Clone, Copy)]
pub enum Field<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// A number.
    Number(i64),
    /// NULL.
    Nothing,
}

impl<'a> From<&'a str> for Field<'a> {
    fn from(text: &'a str) -> Self {
        Self::Bytes(text.as_bytes())
    }
}

impl<'a> From<&'a Vec<u8>> for Field<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<i64> for Field<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl<'a> From<&'a Option<String>> for Field<'a> {
    fn from(text: &'a Option<String>) -> Self {
        text.as_deref().map_or(Self::Nothing, Self::from)
    }
}

impl From<Option<i64>> for Field<'_> {
    fn from(number: Option<i64>) -> Self {
        number.map_or(Self::Nothing, Self::Number)
    }
}

/// The SHA-256 of a row's columns, each with its kind and length, so that no two rows are written alike.
#[must_use]
pub fn digest(kind: Sealed, fields: &[Field<'_>]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"dcvd/audit-row/v1\0");
    hash.update([kind.code()]);
    for field in fields {
        match field {
            Field::Nothing => hash.update([0]),
            Field::Number(number) => {
                hash.update([1]);
                hash.update(number.to_be_bytes());
            }
            Field::Bytes(bytes) => {
                hash.update([2]);
                hash.update((bytes.len() as u64).to_be_bytes());
                hash.update(bytes);
            }
        }
    }
    hash.finalize().into()
}

/// A seal's own hash: over its number, its time, the seal before it and the entries.
#[must_use]
pub fn hash(number: i64, at: Timestamp, previous: &[u8], entries: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"dcvd/audit-seal/v1\0");
    hash.update(number.to_be_bytes());
    hash.update(at.unix_micros().to_be_bytes());
    hash.update((previous.len() as u64).to_be_bytes());
    hash.update(previous);
    hash.update(entries);
    hash.finalize().into()
}

/// What the first seal holds as the one before it.
pub const BEGINNING: [u8; 32] = [0; 32];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_read_back(ids: Vec<[u8; 16]>, digest: [u8; 32]) {
            let entries: Vec<Entry> = ids.into_iter().map(|id| Entry { kind: Sealed::Lookup, id, digest }).collect();
            let bytes: Vec<u8> = entries.iter().flat_map(Entry::to_bytes).collect();
            prop_assert_eq!(Entry::read(&bytes), Some(entries));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Entry::read(&bytes);
        }
    }

    #[test]
    fn columns_cannot_be_shifted() {
        let of = |fields: &[Field<'_>]| digest(Sealed::Event, fields);
        assert_ne!(of(&["ab".into(), "c".into()]), of(&["a".into(), "bc".into()]));
        assert_ne!(of(&[Field::Nothing]), of(&["".into()]));
        assert_ne!(of(&[1_i64.into()]), of(&["\u{1}".into()]));
        assert_ne!(digest(Sealed::Answer, &["a".into()]), digest(Sealed::Event, &["a".into()]));
    }

    #[test]
    fn a_seal_is_another_with_anything_changed() {
        let at = Timestamp::from_unix_secs(1);
        let one = hash(1, at, &BEGINNING, b"entries");
        assert_ne!(one, hash(2, at, &BEGINNING, b"entries"));
        assert_ne!(one, hash(1, Timestamp::from_unix_secs(2), &BEGINNING, b"entries"));
        assert_ne!(one, hash(1, at, &one, b"entries"));
        assert_ne!(one, hash(1, at, &BEGINNING, b"entrie"));
    }
}
