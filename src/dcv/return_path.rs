//! The return path of our mails: each has its own, with the mail's id under a MAC, so that what comes back says whose it is and
//! nobody who has not seen the mail can make it say so (VERP).

use data_encoding::Encoding;

use super::email::LOCAL_PART_MAX_OCTETS;
use super::id::base32;
use super::link::KeyRing;

/// Octets of the MAC: 80 bits, guessed by mail one try at a time.
const MAC_OCTETS: usize = 10;

/// Characters of a reference.
pub const REFERENCE_CHARS: usize = 42;

/// Separates this use of the link keys from the others.
const LABEL: &[u8] = b"dcvd/return-path/v1\0";

fn encoding() -> Encoding {
    base32()
}

/// The reference of a mail or a notice, by its id: letters and digits in lower case, which every relay leaves as they are.
#[must_use]
pub fn reference(keys: &KeyRing, id: &[u8; 16]) -> String {
    let tag = keys.tag(LABEL, id);
    let mut text = encoding().encode(id);
    text.push_str(&encoding().encode(&tag[..MAC_OCTETS]));
    text
}

/// The return path for a reference: `bounce+<reference>@example.net`.
///
/// `delimiter` is what the receiving server splits local parts at.
#[must_use]
pub fn address(bounce_address: &str, delimiter: char, reference: &str) -> String {
    bounce_address
        .split_once('@')
        .map_or_else(|| bounce_address.to_owned(), |(local, domain)| format!("{local}{delimiter}{reference}@{domain}"))
}

/// Whether a bounce address leaves room for a reference within a local part. Spec: RFC 5321 §4.5.3.1.1.
#[must_use]
pub fn has_room(bounce_address: &str) -> bool {
    bounce_address.split('@').next().is_some_and(|local| local.len() + 1 + REFERENCE_CHARS <= LOCAL_PART_MAX_OCTETS)
}

/// The id of the mail or notice that an address is the return path of; `None` where the MAC is not ours. What stands before the reference, and the
/// delimiter, may have been changed on the way.
#[must_use]
pub fn subject_of(keys: &KeyRing, address: &str) -> Option<[u8; 16]> {
    let local = address.trim().trim_start_matches('<').split('@').next()?.to_ascii_lowercase();
    let reference = local.get(local.len().checked_sub(REFERENCE_CHARS)?..)?;
    let (id, tag) = reference.split_at_checked(REFERENCE_CHARS - MAC_OCTETS * 8 / 5)?;
    let id: [u8; 16] = encoding().decode(id.as_bytes()).ok()?.try_into().ok()?;
    let tag = encoding().decode(tag.as_bytes()).ok()?;
    keys.is_tag(LABEL, &id, &tag).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::link::LinkKey;
    use proptest::prelude::*;

    fn keys(secret: u8) -> KeyRing {
        KeyRing::new(vec![LinkKey::new([secret; 32])]).unwrap()
    }

    const ID: [u8; 16] = [7; 16];

    #[test]
    fn what_comes_back_names_its_mail() {
        let reference = reference(&keys(1), &ID);
        assert_eq!(reference.len(), REFERENCE_CHARS);
        let path = address("bounce@dcv.example.net", '+', &reference);
        assert!(path.split('@').next().unwrap().len() <= LOCAL_PART_MAX_OCTETS);
        assert_eq!(subject_of(&keys(1), &path), Some(ID));
        for changed in [path.to_uppercase(), path.replace('+', "-"), format!("<{path}>"), path.replace("bounce", "b")] {
            assert_eq!(subject_of(&keys(1), &changed), Some(ID), "{changed}");
        }
    }

    #[test]
    fn a_forged_reference_names_nothing() {
        let path = address("bounce@dcv.example.net", '+', &reference(&keys(1), &ID));
        assert_eq!(subject_of(&keys(2), &path), None);
        let other = address("bounce@dcv.example.net", '+', &reference(&keys(1), &[8; 16]));
        let (mine, theirs) = (path.split('@').next().unwrap(), other.split('@').next().unwrap());
        let mixed = format!("{}{}@dcv.example.net", &mine[..mine.len() - 16], &theirs[theirs.len() - 16..]);
        assert_eq!(subject_of(&keys(1), &mixed), None);
        let old = KeyRing::new(vec![LinkKey::new([2; 32]), LinkKey::new([1; 32])]).unwrap();
        assert_eq!(subject_of(&old, &path), Some(ID), "a key that no longer signs still verifies");
    }

    #[test]
    fn a_bounce_address_must_leave_room() {
        assert!(has_room("bounce@dcv.example.net"));
        assert!(!has_room("a-very-long-bounce-address@dcv.example.net"));
    }

    proptest! {
        #[test]
        fn no_address_panics(text in "\\PC{0,90}") {
            let _ = subject_of(&keys(1), &text);
        }
    }
}
