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

/// Separates these uses of the link keys from the others.
const LABEL: &[u8] = b"dcvd/return-path/v1\0";
const REPLY_LABEL: &[u8] = b"dcvd/reply-path/v1\0";

/// By which of a mail's addresses something came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// The return path, to which machines write.
    Returned,
    /// The reply address, to which people do.
    Reply,
}

fn encoding() -> Encoding {
    base32()
}

/// The reference of a mail or a notice, by its id: letters and digits in lower case, which every relay leaves as they are.
#[must_use]
pub fn reference(keys: &KeyRing, id: &[u8; 16]) -> String {
    labelled(keys, LABEL, id)
}

/// The reference in the reply address of a mail or a notice: another than the return path's, so that the two are told apart.
#[must_use]
pub fn reply_reference(keys: &KeyRing, id: &[u8; 16]) -> String {
    labelled(keys, REPLY_LABEL, id)
}

fn labelled(keys: &KeyRing, label: &[u8], id: &[u8; 16]) -> String {
    let tag = keys.tag(label, id);
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

/// The id of the mail or notice that an address is the return path or the reply address of; `None` where the MAC is not ours. What
/// stands before the reference, and the delimiter, may have been changed on the way.
#[must_use]
pub fn subject_of(keys: &KeyRing, address: &str) -> Option<([u8; 16], Way)> {
    let local = address.trim().trim_start_matches('<').split('@').next()?.to_ascii_lowercase();
    let reference = local.get(local.len().checked_sub(REFERENCE_CHARS)?..)?;
    let (id, tag) = reference.split_at_checked(REFERENCE_CHARS - MAC_OCTETS * 8 / 5)?;
    let id: [u8; 16] = encoding().decode(id.as_bytes()).ok()?.try_into().ok()?;
    let tag = encoding().decode(tag.as_bytes()).ok()?;
    if keys.is_tag(LABEL, &id, &tag) {
        return Some((id, Way::Returned));
    }
    keys.is_tag(REPLY_LABEL, &id, &tag).then_some((id, Way::Reply))
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
        assert_eq!(subject_of(&keys(1), &path), Some((ID, Way::Returned)));
        for changed in [path.to_uppercase(), path.replace('+', "-"), format!("<{path}>"), path.replace("bounce", "b")] {
            assert_eq!(subject_of(&keys(1), &changed), Some((ID, Way::Returned)), "{changed}");
        }
    }

    #[test]
    fn a_reply_is_told_from_what_a_machine_returns() {
        let reply = address("bounce@dcv.example.net", '+', &reply_reference(&keys(1), &ID));
        assert_eq!(subject_of(&keys(1), &reply), Some((ID, Way::Reply)));
        assert_eq!(subject_of(&keys(2), &reply), None);
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
        assert_eq!(subject_of(&old, &path), Some((ID, Way::Returned)), "a key that no longer signs still verifies");
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
