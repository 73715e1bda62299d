//! Text of a message as people would read it: line ends, character sets that lie, addresses and codes within it.

use std::borrow::Cow;

use super::RECIPIENTS_MAX;
use encoding_rs::{EUC_JP, ISO_2022_JP, SHIFT_JIS};
use mail_parser::{HeaderName, Message, MessagePart, PartType};

/// The message with line feeds, where it has none but carriage returns.
pub(super) fn with_line_feeds(raw: &[u8]) -> Cow<'_, [u8]> {
    if raw.contains(&b'\r') && !raw.contains(&b'\n') {
        return Cow::Owned(raw.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect());
    }
    if raw.contains(&b'\r') {
        // One kind of line end, so that a blank line is found by one pattern.
        let mut unix = Vec::with_capacity(raw.len());
        for (at, byte) in raw.iter().enumerate() {
            if *byte != b'\r' || raw.get(at + 1) != Some(&b'\n') {
                unix.push(*byte);
            }
        }
        return Cow::Owned(unix);
    }
    Cow::Borrowed(raw)
}

/// A header as text; empty where there is none.
pub(super) fn header(message: &Message<'_>, name: &'static str) -> String {
    let name = HeaderName::parse(name).unwrap_or(HeaderName::Other(name.into()));
    if let HeaderName::Subject = name {
        let read = message.subject().unwrap_or_default().to_owned();
        if !read.contains('\u{fffd}') {
            return read;
        }
    }
    let raw = message.header_raw(name).unwrap_or_default().trim();
    let joined = raw.split_whitespace().collect::<Vec<_>>().join(" ");
    decoded_words(&joined).unwrap_or(joined)
}

/// Decodes encoded words that hold one text between them: a Japanese mailer may cut ISO-2022-JP within a shift.
fn decoded_words(value: &str) -> Option<String> {
    let mut bytes = Vec::new();
    for word in value.split(' ') {
        let rest = word.strip_prefix("=?")?.strip_suffix("?=")?;
        let mut parts = rest.splitn(3, '?');
        let (charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
        if !charset.eq_ignore_ascii_case("iso-2022-jp") || !encoding.eq_ignore_ascii_case("b") {
            return None;
        }
        bytes.extend(data_encoding::BASE64.decode(text.as_bytes()).ok()?);
    }
    let (text, _, broken) = ISO_2022_JP.decode(&bytes);
    (!broken).then(|| text.into_owned())
}

/// A part's text; where its character set lies, whichever of the Japanese ones fits.
pub(super) fn of_part(part: &MessagePart<'_>) -> String {
    let text = match &part.body {
        PartType::Text(text) => text.to_string(),
        PartType::Html(html) => mail_parser::decoders::html::html_to_text(html),
        _ => return String::new(),
    };
    if !text.contains('\u{fffd}') && !text.contains('\u{1b}') {
        return text;
    }
    let raw = part.contents();
    if raw.contains(&0x1b) {
        let (text, _, broken) = ISO_2022_JP.decode(raw);
        if !broken {
            return text.into_owned();
        }
    }
    if let Ok(text) = std::str::from_utf8(raw) {
        return text.to_owned();
    }
    let strictly = |encoding: &&'static encoding_rs::Encoding| encoding.decode_without_bom_handling_and_without_replacement(raw);
    [EUC_JP, SHIFT_JIS].iter().find_map(strictly).map_or(text, Cow::into_owned)
}

/// The first enhanced status code in a text. Spec: RFC 3463 §2.
pub(super) fn enhanced_code(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    for (at, byte) in bytes.iter().enumerate() {
        let begins =
            matches!(byte, b'2' | b'4' | b'5') && (at == 0 || !(bytes[at - 1].is_ascii_digit() || bytes[at - 1] == b'.'));
        if !begins || bytes.get(at + 1) != Some(&b'.') {
            continue;
        }
        let subject = digits(at + 2);
        let dot = at + 2 + subject;
        if subject == 0 || bytes.get(dot) != Some(&b'.') {
            continue;
        }
        let detail = digits(dot + 1);
        let end = dot + 1 + detail;
        // An IPv4 address has a fourth part.
        if detail == 0
            || bytes.get(end).is_some_and(u8::is_ascii_digit)
            || (bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit))
        {
            continue;
        }
        return text.get(at..end).map(str::to_owned);
    }
    None
}

/// The first SMTP reply code of a failure in a line: `550`, `[450]`, `#552`.
pub(super) fn reply_code(line: &str) -> Option<u16> {
    let bytes = line.as_bytes();
    for at in 0..bytes.len().saturating_sub(2) {
        let code = bytes.get(at..at + 3)?;
        let alone = (at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'.' || bytes[at - 1] == b'-'))
            && bytes.get(at + 3).is_none_or(|next| matches!(next, b' ' | b'-' | b']' | b')' | b':' | b',' | b'\t'));
        if alone && matches!(code[0], b'4' | b'5') && code[1].is_ascii_digit() && code[1] <= b'7' && code[2].is_ascii_digit() {
            return std::str::from_utf8(code).ok()?.parse().ok();
        }
    }
    None
}

/// One address within a text, and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found<'t> {
    pub(super) address: &'t str,
    /// Where it begins.
    pub(super) at: usize,
    /// Whether it stands in angle brackets.
    pub(super) bracketed: bool,
}

/// Every address in a line, in its order.
pub(super) fn addresses(line: &str) -> Vec<Found<'_>> {
    let is_local = |c: char| !c.is_whitespace() && !"<>()[]{}:;,\"'`@\\|「」【】（）、。".contains(c) && !c.is_control();
    // Japanese goes on without a blank after an address: only a domain that begins outside ASCII goes on there.
    let is_domain =
        |c: char, ascii: bool| (if ascii { c.is_ascii_alphanumeric() } else { c.is_alphanumeric() }) || c == '-' || c == '.';
    let mut found = Vec::new();
    for (at, _) in line.match_indices('@').take(RECIPIENTS_MAX) {
        let before = &line[..at];
        let begin = before.char_indices().rev().take_while(|(_, c)| is_local(*c)).last().map_or(at, |(place, _)| place);
        let after = &line[at + 1..];
        let ascii = after.chars().next().is_some_and(|c| c.is_ascii());
        let end =
            after.char_indices().take_while(|(_, c)| is_domain(*c, ascii)).last().map_or(0, |(place, c)| place + c.len_utf8());
        let domain = after[..end].trim_end_matches(['.', '-']);
        let mut local = before[begin..].trim_start_matches(['=', '.', '*', '-', '+', '#', '/']).trim_start_matches("3D");
        for key in ["SMTP=", "smtp="] {
            local = local.strip_prefix(key).unwrap_or(local);
        }
        // A quoted local part reaches back to its other quotation mark.
        if let Some(quoted) = before.strip_suffix('"').and_then(|inner| inner.rfind('"')) {
            local = &before[quoted..];
        }
        let begin = at - local.len();
        if local.is_empty() || !domain.contains('.') || domain.starts_with('.') || domain.len() < 4 {
            continue;
        }
        let Some(address) = line.get(begin..at + 1 + domain.len()) else { continue };
        let bracketed = line[..begin].ends_with('<') && line[begin + address.len()..].starts_with('>');
        found.push(Found { address, at: begin, bracketed });
    }
    found
}
