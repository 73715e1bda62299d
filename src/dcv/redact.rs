//! Takes link tokens out of what came back. A bounce or a reply encloses our mail, and whoever may read the returned message must
//! not get the link with it.

use data_encoding::BASE64;

use super::link::{KeyRing, TOKEN_CHARS};

/// What stands where a token stood.
pub const PLACEHOLDER: &str = "[link]";

/// What stands where encoded text stood that holds a token.
const ENCODED: &str = "[encoded text with a link]";

/// Shortest line taken for base64, in characters; shorter ones are words.
const BASE64_LINE_MIN: usize = 16;

/// Encodings within encodings that are looked into.
const DEPTH_MAX: usize = 3;

/// The message without the tokens that any of the keys signed: bare, cut short, wrapped by a mailer, quoted, in
/// quoted-printable or in base64. What holds none comes back as it is.
#[must_use]
pub fn without_tokens(keys: &KeyRing, message: &[u8]) -> Vec<u8> {
    redact(keys, message, DEPTH_MAX)
}

fn redact(keys: &KeyRing, message: &[u8], depth: usize) -> Vec<u8> {
    let bare = without_bare_tokens(keys, message);
    if depth == 0 { bare } else { without_encoded_tokens(keys, &bare, depth) }
}

/// A character of a message and where it stood; `None` where no token can go on.
type Squeezed = Option<(u8, usize)>;

/// The message as one line: a line break with the marks of quoting and of quoted-printable around it separates nothing.
fn squeeze(message: &[u8]) -> Vec<Squeezed> {
    let mut squeezed = Vec::with_capacity(message.len());
    let mut at = 0;
    while let Some(&byte) = message.get(at) {
        let rest = &message[at..];
        let ends = if rest.starts_with(b"=\r\n") {
            3
        } else if rest.starts_with(b"=\n") || rest.starts_with(b"\r\n") {
            2
        } else {
            usize::from(byte == b'\n' || byte == b'\r')
        };
        if ends > 0 {
            at += ends;
            while message.get(at).is_some_and(|next| matches!(next, b' ' | b'\t' | b'>' | b'|')) {
                at += 1;
            }
            continue;
        }
        squeezed.push((byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')).then_some((byte, at)));
        at += 1;
    }
    squeezed
}

fn without_bare_tokens(keys: &KeyRing, message: &[u8]) -> Vec<u8> {
    let squeezed = squeeze(message);
    let mut tokens: Vec<Vec<usize>> = Vec::new();
    let mut from = 0;
    while from < squeezed.len() {
        let run = || squeezed[from..].iter().take(TOKEN_CHARS).map_while(|one| *one);
        let mut head = [0; KeyRing::HEAD_CHARS];
        let read = run().zip(&mut head).map(|((byte, _), place)| *place = byte).count();
        if read == head.len() && keys.begins_token(head) {
            let token: Vec<usize> = run().map(|(_, at)| at).collect();
            from += token.len();
            tokens.push(token);
        } else {
            from += 1;
        }
    }
    let mut kept = Vec::with_capacity(message.len());
    let mut taken = tokens.iter().flat_map(|token| token.iter().enumerate()).peekable();
    for (at, byte) in message.iter().enumerate() {
        match taken.next_if(|(_, taken)| **taken == at) {
            Some((0, _)) => kept.extend(PLACEHOLDER.bytes()),
            Some(_) => {}
            None => kept.push(*byte),
        }
    }
    kept
}

/// Leaves out each block of base64 lines whose text holds a token.
fn without_encoded_tokens(keys: &KeyRing, message: &[u8], depth: usize) -> Vec<u8> {
    let mut kept = Vec::with_capacity(message.len());
    let mut block: Vec<&[u8]> = Vec::new();
    let flush = |block: &mut Vec<&[u8]>, kept: &mut Vec<u8>| {
        if holds_token(keys, block, depth) {
            kept.extend(ENCODED.bytes());
            kept.push(b'\n');
        } else {
            kept.extend(block.concat());
        }
        block.clear();
    };
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        let text = bare(line);
        let is_base64 = text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        // The last line of a block may be short.
        if is_base64 && (text.len() >= BASE64_LINE_MIN || (!block.is_empty() && !text.is_empty())) {
            block.push(line);
        } else {
            flush(&mut block, &mut kept);
            kept.extend(line);
        }
    }
    flush(&mut block, &mut kept);
    kept
}

/// A line without its end and what quotes it.
fn bare(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii();
    let quoted = line.iter().take_while(|byte| matches!(byte, b'>' | b' ' | b'|')).count();
    &line[quoted..]
}

fn holds_token(keys: &KeyRing, block: &[&[u8]], depth: usize) -> bool {
    let text: Vec<u8> = block.iter().flat_map(|line| bare(line)).copied().filter(|byte| *byte != b'=').collect();
    // A block may begin or end within a group, where a line before it was taken for base64 or the message was cut.
    (0..4).any(|skip| {
        let shifted = text.get(skip..).unwrap_or_default();
        let groups = &shifted[..shifted.len() / 4 * 4];
        BASE64.decode(groups).is_ok_and(|decoded| redact(keys, &decoded, depth - 1) != decoded)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::link::{self, LinkKey, RandomValue};
    use crate::dcv::timestamp::Timestamp;
    use proptest::prelude::*;

    fn keys() -> KeyRing {
        KeyRing::new(vec![LinkKey::new([1; 32]), LinkKey::new([2; 32])]).unwrap()
    }

    fn token(random: [u8; 16]) -> String {
        link::sign(&keys(), &RandomValue::new(random), Timestamp::from_unix_secs(1_795_000_000))
    }

    fn redacted(text: &str) -> String {
        String::from_utf8(without_tokens(&keys(), text.as_bytes())).unwrap()
    }

    #[test]
    fn a_link_is_taken_out_wherever_it_stands() {
        let token = token([7; 16]);
        let link = format!("https://dcv.example.net/approve/{token}");
        assert_eq!(redacted(&format!("Open\n\n{link}\n\nthanks")), "Open\n\nhttps://dcv.example.net/approve/[link]\n\nthanks");
        let rewritten = format!("https://safe.example/?url=https%3A%2F%2Fdcv%2Fapprove%2F{token}&data=x");
        assert_eq!(redacted(&rewritten), "https://safe.example/?url=https%3A%2F%2Fdcv%2Fapprove%2F[link]&data=x");
        assert_eq!(redacted(&format!("> {}\n> > {} and on", &link[..50], &link[50..])).matches("[link]").count(), 1);
        assert_eq!(redacted(&format!("cut {}", &token[..30])), "cut [link]", "one that a server cut short");
        let twice = redacted(&format!("{link} {link}"));
        assert!(!twice.contains(&token[..12]) && twice.matches("[link]").count() == 2);
    }

    #[test]
    fn encoded_text_with_a_link_is_left_out_whole() {
        let body = format!("承認は次のページで\r\nhttps://dcv.example.net/approve/{}\r\n", token([7; 16]));
        let lines = |text: &str| {
            text.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned() + "\r\n").collect::<String>()
        };
        let part = lines(&BASE64.encode(body.as_bytes()));
        let message = format!("Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n{part}\r\n--b--\r\n");
        assert_eq!(
            redacted(&message),
            "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n[encoded text with a link]\n\r\n--b--\r\n"
        );
        let again = lines(&BASE64.encode(message.as_bytes()));
        assert!(redacted(&again).starts_with("[encoded text"), "a message within a message");
        let other = lines(&BASE64.encode("何も書かれていない本文です。".repeat(9).as_bytes()));
        assert_eq!(redacted(&other), other);
    }

    proptest! {
        #[test]
        fn no_layout_keeps_a_token(random: [u8; 16], before in "[ -~]{0,40}", width in 20_usize..76, quote in "(> ){0,2}", soft: bool, base64: bool) {
            let token = token(random);
            let text = format!("{before} /approve/{token}\n");
            let encoded = if base64 { BASE64.encode(text.as_bytes()) } else { text };
            let end = if soft && !base64 { "=\r\n" } else { "\r\n" };
            let lines = encoded.as_bytes().chunks(width).fold(String::new(), |all, line| all + &quote + &String::from_utf8_lossy(line) + end);
            let left = redacted(&lines);
            prop_assert!(left.contains("link]"), "{left}");
            prop_assert!(!squeeze(left.as_bytes()).iter().flatten().map(|(byte, _)| char::from(*byte)).collect::<String>().contains(&token[12..34]));
        }

        #[test]
        fn what_holds_no_token_stays(text in "\\PC{0,200}(\r?\n\\PC{0,80}){0,9}") {
            prop_assert_eq!(redacted(&text), text);
        }
    }
}
