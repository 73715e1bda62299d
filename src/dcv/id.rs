//! Identifiers: 16 bytes, ordered by time of creation, printed with a prefix that says of what.

use std::fmt;

use data_encoding::{Encoding, Specification};

use super::timestamp::Timestamp;

/// Random bytes that a new id takes.
pub const ID_RANDOM_BYTES: usize = 10;

pub(super) fn base32() -> Encoding {
    let mut spec = Specification::new();
    spec.symbols.push_str("0123456789abcdefghjkmnpqrstvwxyz");
    spec.encoding().expect("Crockford's alphabet has 32 distinct symbols")
}

/// Text that is not an id of the kind asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// What its printed form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id from the time (48 bits of milliseconds) and 80 random bits.
            #[must_use]
            pub fn new(now: Timestamp, random: [u8; ID_RANDOM_BYTES]) -> Self {
                let millis = u64::try_from(now.unix_micros() / 1000).unwrap_or(0).to_be_bytes();
                let mut bytes = [0; 16];
                bytes[..6].copy_from_slice(&millis[2..]);
                bytes[6..].copy_from_slice(&random);
                Self(bytes)
            }

            /// Takes the 16 bytes as stored.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// When it was made, to the millisecond.
            #[must_use]
            pub fn at(&self) -> Timestamp {
                let mut millis = [0; 8];
                millis[2..].copy_from_slice(&self.0[..6]);
                Timestamp::from_unix_micros(i64::from_be_bytes(millis).saturating_mul(1000))
            }

            /// The 16 bytes, as stored.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Reads the printed form.
            ///
            /// # Errors
            /// [`IdError`] when the prefix, the length or a character is another.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let body = text.strip_prefix($prefix).ok_or(IdError)?;
                let bytes = base32().decode(body.as_bytes()).map_err(|_| IdError)?;
                Ok(Self(bytes.try_into().map_err(|_| IdError)?))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, base32().encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

id!(
    /// An order.
    OrderId, "ord_"
);
id!(
    /// One name within an order.
    ValidationId, "val_"
);
id!(
    /// One message to one approver for one ADN.
    MailId, "mail_"
);
id!(
    /// A mail without a link.
    NoticeId, "note_"
);
id!(
    /// A message that came back.
    ReturnedId, "ret_"
);
id!(
    /// One entry of an order's timeline; a webhook's `webhook-id`.
    EventId, "evt_"
);
id!(
    /// One effect waiting in the outbox.
    EffectId, "eff_"
);
id!(
    /// One look-up with its evidence.
    LookupId, "look_"
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_printed_parses_back(bytes: [u8; 16]) {
            let id = OrderId::from_bytes(bytes);
            prop_assert_eq!(OrderId::parse(&id.to_string()), Ok(id));
            prop_assert!(MailId::parse(&id.to_string()).is_err());
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = OrderId::parse(&text);
        }
    }

    #[test]
    fn later_ids_sort_later() {
        let (a, b) = (Timestamp::from_unix_secs(1), Timestamp::from_unix_secs(2));
        assert!(OrderId::new(a, [255; 10]) < OrderId::new(b, [0; 10]));
    }
}
