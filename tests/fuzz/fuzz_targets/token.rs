//! What is pasted, typed and returned: no text but those that we signed is a token of ours, and what was redacted holds none.
//!
//! `{link}`, `{dispute}`, `{bounce}` and `{reply}` in an input stand for genuine ones; all the rest is as strangers write it.
#![no_main]

use std::sync::LazyLock;

use data_encoding::BASE64;
use dcvd::dcv::id::{EventId, MailId, OrderId};
use dcvd::dcv::link::{self, KeyRing, LinkKey, Pasted, RandomValue};
use dcvd::dcv::redact::{without_tokens, without_tokens_in_line};
use dcvd::dcv::return_path::{self, Way};
use dcvd::dcv::timestamp::Timestamp;
use libfuzzer_sys::fuzz_target;

/// Characters of a line as mailers encode text.
const LINE_CHARS: usize = 76;

/// Whose the return path and the reply address are.
const MAIL: [u8; 16] = [9; 16];

/// What we signed.
struct Ours {
    /// The second signs no more, and still counts.
    keys: KeyRing,
    random: RandomValue,
    link: String,
    dispute: String,
    bounce: String,
    reply: String,
}

static OURS: LazyLock<Ours> = LazyLock::new(|| {
    let keys = KeyRing::new(vec![LinkKey::new([1; 32]), LinkKey::new([2; 32])]).expect("there are two");
    let random = RandomValue::new([7; 16]);
    Ours {
        link: link::sign(&keys, &random, Timestamp::from_unix_secs(1_795_305_600)),
        dispute: link::sign_dispute(&keys, &MAIL),
        bounce: return_path::reference(&keys, &MAIL),
        reply: return_path::reply_reference(&keys, &MAIL),
        keys,
        random,
    }
});

/// Whether a text is a token; it may be one of ours alone.
fn is_token(text: &str) -> bool {
    let (link, dispute) = (link::verify(&OURS.keys, text).is_ok(), link::verify_dispute(&OURS.keys, text).is_ok());
    assert!(!link || text == OURS.link, "a link that nobody signed: {text}");
    assert!(!dispute || text == OURS.dispute, "an objection that nobody signed: {text}");
    link || dispute
}

/// Whether octets hold a token anywhere.
fn holds_token(octets: &[u8]) -> bool {
    [OURS.link.len(), OURS.dispute.len()]
        .into_iter()
        .flat_map(|length| octets.windows(length))
        .any(|part| std::str::from_utf8(part).is_ok_and(is_token))
}

fn without(octets: &[u8], blanks: &[u8]) -> Vec<u8> {
    octets.iter().copied().filter(|octet| !blanks.contains(octet)).collect()
}

/// Redacts a message: no token is left in it, nor where its lines are joined, and what was taken out is marked.
fn redacted(message: &[u8]) {
    let whole = without_tokens(&OURS.keys, message);
    assert!(!holds_token(&whole) && !holds_token(&without(&whole, b"\r\n")));
    let line = without_tokens_in_line(&OURS.keys, message);
    assert!(!holds_token(&line) && !holds_token(&without(&line, b"\r\n\t ")));
    for left in [whole, line] {
        assert!(left == message || left.windows(5).any(|part| part == b"link]"), "something is gone, and nothing says so");
    }
    // As a mailer would encode it.
    let encoded = BASE64.encode(message);
    let lines: Vec<u8> = encoded.as_bytes().chunks(LINE_CHARS).flat_map(|line| [line, &b"\r\n"[..]].concat()).collect();
    let left = without_tokens(&OURS.keys, &lines);
    assert!(!holds_token(message) || left.windows(5).any(|part| part == b"link]"), "an encoded token");
}

fuzz_target!(|raw: &[u8]| {
    let Ok(written) = std::str::from_utf8(raw) else { return redacted(raw) };
    let values = [("{link}", &OURS.link), ("{dispute}", &OURS.dispute), ("{bounce}", &OURS.bounce), ("{reply}", &OURS.reply)];
    let text = values.into_iter().fold(written.to_owned(), |text, (name, value)| text.replace(name, value));
    is_token(&text);
    if let Pasted::Token(token) = link::pasted(&text) {
        assert!(token.len() == OURS.link.len() || token.len() == OURS.dispute.len(), "{token}");
        is_token(&token);
    }
    if let Some((mail, way)) = return_path::subject_of(&OURS.keys, &text) {
        let reference = if way == Way::Reply { &OURS.reply } else { &OURS.bounce };
        assert!(mail == MAIL && text.to_ascii_lowercase().contains(reference.as_str()), "a reference that nobody signed: {text}");
    }
    let _ = link::confirmation_code_fits(&OURS.keys, &OURS.random, &text);
    let _ = (link::access_pin_fits(&OURS.keys, &MAIL, &text), link::status_code_fits(&OURS.keys, &MAIL, &text));
    // Ids and instants stand in addresses and queries. An id is written in one way alone.
    assert!(OrderId::parse(&text).map_or(true, |id| id.to_string() == text));
    assert!(MailId::parse(&text).map_or(true, |id| id.to_string() == text));
    assert!(EventId::parse(&text).map_or(true, |id| id.to_string() == text));
    if let Ok(at) = Timestamp::parse_rfc3339(&text) {
        let _ = (at.to_rfc5322(), at.to_jst(), at.end_of_day_jst(), at.start_of_day_jst(), at.plus_days(30));
    }
    redacted(text.as_bytes());
});
