//! Certificates as ordering systems report them.

use super::timestamp::Timestamp;

/// Longest serial number, in octets. Spec: RFC 5280 §4.1.2.2.
const SERIAL_OCTETS_MAX: usize = 20;

/// Reads a serial number in hexadecimal, as people and tools write it (colons, upper case, leading zeros), into its one form: lower case
/// without leading zeros. `None` where it is none: BR v2.2.6 §7.1 and RFC 5280 §4.1.2.2 want a positive one of 20 octets at most.
#[must_use]
pub fn serial(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let plain = digits.trim_start_matches('0').to_ascii_lowercase();
    let fits = !plain.is_empty() && plain.len() <= 2 * SERIAL_OCTETS_MAX && digits.len() <= 4 * SERIAL_OCTETS_MAX;
    (fits && plain.bytes().all(|b| b.is_ascii_hexdigit())).then_some(plain)
}

/// When a certificate ends, as an order's metadata tells it where nobody reported the certificate: `not_after`, RFC 3339.
#[must_use]
pub fn not_after_of(metadata: &serde_json::Map<String, serde_json::Value>) -> Option<Timestamp> {
    metadata.get("not_after")?.as_str().and_then(|text| Timestamp::parse_rfc3339(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_serial_number_has_one_form() {
        for (text, read) in [
            ("0A:1b:2C", Some("a1b2c")),
            ("00ff", Some("ff")),
            ("0", None),
            ("", None),
            ("xyz", None),
            ("-1", None),
            (&"f".repeat(40), Some("f".repeat(40).as_str())),
            (&"f".repeat(41), None),
        ] {
            assert_eq!(serial(text).as_deref(), read, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_again_changes_nothing(text in "\\PC{0,60}") {
            if let Some(read) = serial(&text) {
                prop_assert_eq!(serial(&read), Some(read));
            }
        }
    }
}
