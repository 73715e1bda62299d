//! References of orders that this service places by itself: made of the ordering system's own, and unique.

use sha2::{Digest, Sha256};

/// Longest order reference, in characters.
pub const ORDER_REF_MAX_CHARS: usize = 128;

/// What stands between a reference and the number of the amendment.
const AMENDED: &str = "/amended/";

/// A reference with something after it. One that is as long as one may be gives way, and stays one of its own.
pub(in crate::dcv) fn followed_by(first: &str, tail: &str) -> String {
    let room = ORDER_REF_MAX_CHARS.saturating_sub(tail.chars().count());
    if first.chars().count() <= room {
        return format!("{first}{tail}");
    }
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(first.as_bytes())[..8]);
    first.chars().take(room - digest.len() - 1).chain("~".chars()).chain(digest.chars()).chain(tail.chars()).collect()
}

/// The reference of the order that comes in the place of the one called `order_ref`.
#[must_use]
pub fn amended(order_ref: &str) -> String {
    let earlier = order_ref.rsplit_once(AMENDED).and_then(|(first, number)| Some((first, number.parse::<u32>().ok()?)));
    let (first, number) = earlier.unwrap_or((order_ref, 0));
    followed_by(first, &format!("{AMENDED}{}", number.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amended_order_is_called_by_the_first() {
        assert_eq!(amended("A-1"), "A-1/amended/1");
        assert_eq!(amended("A-1/amended/9"), "A-1/amended/10");
        assert_eq!(amended("A/amended/x"), "A/amended/x/amended/1", "a caller's own words stay");
        let long = |last: &str| amended(&format!("{}{last}", "x".repeat(127)));
        assert!(long("a").chars().count() == 128 && long("a") != long("b"));
        assert!(amended(&long("a")).ends_with("/amended/2"));
    }
}
