//! A bomb: a small gzip that unpacks to a very large one.

/// What it unpacks to, all zeros: a thousand times its size, and more than any limit.
pub const UNPACKED_OCTETS: usize = 258_001_033;

/// Zeros in its middle. With head and tail they stay below every limit for an answer that is read whole.
const ZEROS: usize = 250_000;

/// Gzip's head, the codes and one zero. A length of 258 and a distance of 1 have codes of one bit, 0, each: from here on an octet 0
/// says four times "258 octets as the one before". Spec: RFC 1952 §2.3, RFC 1951 §3.2.7.
const HEAD: [u8; 24] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xed, 0xc0, 0x81, 0x00, 0x00, 0x00, 0x00, 0x80, 0xa0, 0xfd, 0xa9,
    0x17, 0xa9, 0x00,
];

/// The end of the block, then CRC-32 and length of what was packed.
const TAIL: [u8; 9] = [0x06, 0xbd, 0x31, 0x36, 0xd9, 0x89, 0xc8, 0x60, 0x0f];

pub fn bomb() -> Vec<u8> {
    HEAD.into_iter().chain(std::iter::repeat_n(0, ZEROS)).chain(TAIL).collect()
}

#[test]
fn the_bomb_says_what_it_would_be() {
    let (bomb, length) = (bomb(), u32::try_from(UNPACKED_OCTETS).unwrap());
    assert!(bomb.ends_with(&length.to_le_bytes()) && bomb.len() * 1000 < UNPACKED_OCTETS);
}
