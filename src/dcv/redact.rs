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

/// The message without the tokens that any of the keys signed: bare, cut short, wrapped by a mailer, quoted, marked up, in
/// quoted-printable or in base64. What holds none comes back as it is.
#[must_use]
pub fn without_tokens(keys: &KeyRing, message: &[u8]) -> Vec<u8> {
    redact(keys, message, Breaks::Lines, DEPTH_MAX, &mut DECODED_MAX_OCTETS.clone())
}

/// The same for text whose lines were joined: a blank may stand where a line was broken.
#[must_use]
pub fn without_tokens_in_line(keys: &KeyRing, line: &[u8]) -> Vec<u8> {
    redact(keys, line, Breaks::Blanks, DEPTH_MAX, &mut DECODED_MAX_OCTETS.clone())
}

/// What may stand within a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    /// A line's end.
    Lines,
    /// A blank too.
    Blanks,
}

/// Octets decoded at most, over all blocks of a message and all encodings within each other.
const DECODED_MAX_OCTETS: usize = 1024 * 1024;

fn redact(keys: &KeyRing, message: &[u8], breaks: Breaks, depth: usize, budget: &mut usize) -> Vec<u8> {
    let bare = without_bare_tokens(keys, message, breaks);
    if depth == 0 { bare } else { without_encoded_tokens(keys, &bare, depth, budget) }
}

/// A token's character with where it begins and ends; `None` where no token can go on.
type Squeezed = Option<(u8, u32, u32)>;

/// Characters of a token that mailers write otherwise.
const WRITTEN_OTHERWISE: [(&[u8], u8); 10] = [
    (b"=5F", b'_'),
    (b"=5f", b'_'),
    (b"=2D", b'-'),
    (b"=2d", b'-'),
    (b"&#95;", b'_'),
    (b"&#x5F;", b'_'),
    (b"&#x5f;", b'_'),
    (b"&#45;", b'-'),
    (b"&#x2D;", b'-'),
    (b"&#x2d;", b'-'),
];

/// What shows nothing and may stand anywhere: soft hyphens and zero-width characters, in UTF-8 and as entities.
const INVISIBLE: [&[u8]; 8] =
    [b"\xc2\xad", b"\xe2\x80\x8b", b"\xe2\x80\x8c", b"\xe2\x80\x8d", b"\xe2\x81\xa0", b"&shy;", b"&#8203;", b"=E2=80=8B"];

/// Longest tag that is taken for one, in octets; what is longer may be a link in angle brackets.
const TAG_MAX_OCTETS: usize = 40;

/// The octets at the beginning of `rest` that separate nothing: a line's end with the marks of quoting and of quoted-printable around
/// it, a tag, an invisible character.
fn gap(rest: &[u8], breaks: Breaks) -> usize {
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let after = &rest[blanks..];
    let end = [&b"=\r\n"[..], b"=\n", b"\r\n", b"\n", b"\r"].into_iter().find(|end| after.starts_with(end));
    if let Some(end) = end {
        let marks = after[end.len()..].iter().take_while(|next| matches!(next, b' ' | b'\t' | b'>' | b'|')).count();
        return blanks + end.len() + marks;
    }
    if blanks > 0 {
        return if breaks == Breaks::Blanks { blanks } else { 0 };
    }
    if rest.first() == Some(&b'<') && rest.get(1).is_some_and(|next| next.is_ascii_alphabetic() || *next == b'/') {
        let length = rest.iter().take(TAG_MAX_OCTETS).position(|byte| matches!(byte, b'>' | b'\n'));
        return length.filter(|length| rest[*length] == b'>').map_or(0, |length| length + 1);
    }
    INVISIBLE.into_iter().find(|one| rest.starts_with(one)).map_or(0, <[u8]>::len)
}

/// The message as one line of what tokens are made of.
fn squeeze(message: &[u8], breaks: Breaks) -> Vec<Squeezed> {
    let mut squeezed = Vec::with_capacity(message.len());
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let mut at = 0;
    while let Some(&byte) = message.get(at) {
        let rest = &message[at..];
        let skipped = gap(rest, breaks);
        if skipped > 0 {
            at += skipped;
            continue;
        }
        // Blanks that break no line end a token, once for the whole run: looked at one by one they would be counted again at each.
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if blanks > 0 {
            squeezed.push(None);
            at += blanks;
            continue;
        }
        let (one, length) = match WRITTEN_OTHERWISE.into_iter().find(|(written, _)| rest.starts_with(written)) {
            Some((written, meant)) => (Some(meant), written.len()),
            None => ((byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')).then_some(byte), 1),
        };
        squeezed.push(one.map(|one| (one, place(at), place(at + length))));
        at += length;
    }
    squeezed
}

fn without_bare_tokens(keys: &KeyRing, message: &[u8], breaks: Breaks) -> Vec<u8> {
    let squeezed = squeeze(message, breaks);
    let mut kept = Vec::with_capacity(message.len());
    let (mut from, mut copied) = (0, 0);
    while from < squeezed.len() {
        let run = || squeezed[from..].iter().take(TOKEN_CHARS).map_while(|one| *one);
        let mut head = [0; KeyRing::HEAD_CHARS];
        let read = run().zip(&mut head).map(|((byte, ..), place)| *place = byte).count();
        if read < head.len() || !keys.begins_token(head) {
            from += 1;
            continue;
        }
        // What stood between its characters stays: the message keeps its lines.
        for (nth, (_, begin, end)) in run().enumerate() {
            kept.extend(&message[copied..begin as usize]);
            if nth == 0 {
                kept.extend(PLACEHOLDER.bytes());
            }
            copied = end as usize;
        }
        from += run().count();
    }
    kept.extend(&message[copied..]);
    kept
}

/// Leaves out each block of base64 lines whose text holds a token.
fn without_encoded_tokens(keys: &KeyRing, message: &[u8], depth: usize, budget: &mut usize) -> Vec<u8> {
    let mut kept = Vec::with_capacity(message.len());
    let mut block: Vec<&[u8]> = Vec::new();
    let mut flush = |block: &mut Vec<&[u8]>, kept: &mut Vec<u8>| {
        if holds_token(keys, block, depth, budget) {
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

/// Whether base64 lines hold a token, or more than may be looked at: then too they are left out.
fn holds_token(keys: &KeyRing, block: &[&[u8]], depth: usize, budget: &mut usize) -> bool {
    let text: Vec<u8> = block.iter().flat_map(|line| bare(line)).copied().filter(|byte| *byte != b'=').collect();
    // A block may begin or end within a group, where a line before it was taken for base64 or the message was cut.
    (0..4).any(|skip| {
        let shifted = text.get(skip..).unwrap_or_default();
        let groups = &shifted[..shifted.len() / 4 * 4];
        let Some(left) = budget.checked_sub(groups.len()) else { return true };
        *budget = left;
        BASE64.decode(groups).is_ok_and(|decoded| {
            // UTF-16 is every other octet.
            let narrow: Vec<u8> = decoded.iter().copied().filter(|byte| *byte != 0).collect();
            let wide = narrow.len() < decoded.len() && redact(keys, &narrow, Breaks::Lines, 0, budget) != narrow;
            wide || redact(keys, &decoded, Breaks::Lines, depth - 1, budget) != decoded
        })
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
        for broken in [
            format!("{}<wbr>{}", &link[..70], &link[70..]),
            format!("{} \r\n> {}", &link[..70], &link[70..]),
            format!("{}</b><span class=x>{}", &link[..70], &link[70..]),
            format!("{}\u{200b}{}", &link[..70], &link[70..]),
            link.replace('-', "=2D").replace('_', "=5F"),
            link.replace('-', "&#45;").replace('_', "&#95;"),
            format!("<{link}>"),
        ] {
            let left = redacted(&broken);
            assert!(left.contains("[link]") && !(34..54).any(|at| left.contains(&link[at..at + 6])), "{broken} -> {left}");
        }
        let joined = format!("550 blocked: {} {}", &link[..60], &link[60..]);
        let line = String::from_utf8(without_tokens_in_line(&keys(), joined.as_bytes())).unwrap();
        assert_eq!(line, "550 blocked: https://dcv.example.net/approve/[link] ");
        let twice = redacted(&format!("{link} {link}"));
        assert!(!twice.contains(&token[..12]) && twice.matches("[link]").count() == 2);
    }

    #[test]
    fn a_long_run_of_blanks_costs_no_more_than_its_length() {
        // Counted anew at each octet this would take days.
        let run = format!("y{}x{}z", " ".repeat(4_000_000), "\t ".repeat(1_000_000));
        assert_eq!(redacted(&run), run);
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
        let wide: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(redacted(&lines(&BASE64.encode(&wide))).starts_with("[encoded text"), "UTF-16");
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
            let squeezed = squeeze(left.as_bytes(), Breaks::Lines);
            prop_assert!(!squeezed.iter().flatten().map(|(byte, ..)| char::from(*byte)).collect::<String>().contains(&token[12..34]));
        }

        #[test]
        fn what_holds_no_token_stays(text in "\\PC{0,200}(\r?\n\\PC{0,80}){0,9}") {
            prop_assert_eq!(redacted(&text), text);
        }
    }
}
