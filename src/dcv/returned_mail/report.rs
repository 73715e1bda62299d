//! The fields of a delivery report. Spec: RFC 3464 §2, RFC 6533 §3 (`utf-8` addresses).

use super::{Action, RECIPIENTS_MAX, Recipient, text};

/// Most groups of fields looked at.
const GROUPS_MAX: usize = 500;

/// Splits header-like lines into names and values; folded lines belong to the one before.
pub(super) fn fields(text: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    fields
}

/// The recipients of a report: one for each group of fields that names one.
pub(super) fn recipients(report: &str) -> Vec<Recipient> {
    let mut recipients: Vec<Recipient> = Vec::new();
    let report = report.replace("\r\n", "\n");
    for group in report.split("\n\n").take(GROUPS_MAX) {
        if recipients.len() >= RECIPIENTS_MAX {
            break;
        }
        let fields = fields(group);
        let of = |name: &str| fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
        let Some(action) = action(of("Action"), of("Status")) else { continue };
        let status = of("Status").and_then(text::enhanced_code);
        let diagnostic =
            of("Diagnostic-Code").map(|value| value.split_once(';').map_or(value, |(_, words)| words).trim().to_owned());
        // The address that was written to stands before the one it was forwarded to.
        let mut named = Vec::new();
        for address in
            ["Original-Recipient", "Final-Recipient", "X-Actual-Recipient"].iter().filter_map(|name| of(name).and_then(address))
        {
            if !named.iter().any(|known: &String| known.eq_ignore_ascii_case(&address)) {
                named.push(address);
            }
        }
        for address in named {
            // A second word on the same recipient replaces the first.
            recipients.retain(|known| !known.address.eq_ignore_ascii_case(&address));
            recipients.push(Recipient { address, action, status: status.clone(), diagnostic: diagnostic.clone() });
        }
    }
    recipients
}

/// The first status of a report, whomever it is about.
pub(super) fn status(report: &str) -> Option<String> {
    report.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("Status").then(|| text::enhanced_code(value))?
    })
}

/// The address after its type: `rfc822; a@example.jp`.
fn address(value: &str) -> Option<String> {
    let (kind, value) = value.split_once(';').unwrap_or(("rfc822", value));
    let value = without_comment(value).trim().trim_matches(['<', '>', '"']).to_owned();
    let value = if kind.trim().eq_ignore_ascii_case("utf-8") { unescaped(&value) } else { value };
    let value = value.strip_prefix("mailto:").map_or(value.clone(), str::to_owned);
    let plain = value.contains('@') && value.len() <= 500 && !value.contains(' ') && !value.starts_with(['/', '|']);
    if plain {
        return Some(value);
    }
    // A pipe or an X.400 address, with the mailbox somewhere within.
    text::addresses(&value).first().filter(|_| !value.starts_with('/')).map(|found| found.address.to_owned())
}

/// Undoes `\x{3042}`. Spec: RFC 6533 §3 (`utf-8-addr-unitext`).
fn unescaped(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("\\x{") {
        out.push_str(before);
        let character = |hex: &str| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
        if let Some((c, tail)) = after.split_once('}').and_then(|(hex, tail)| Some((character(hex)?, tail))) {
            out.push(c);
            rest = tail;
        } else {
            out.push_str("\\x{");
            rest = after;
        }
    }
    out + rest
}

/// The action, which some servers spell in their own way, or the status class where there is none.
fn action(action: Option<&str>, status: Option<&str>) -> Option<Action> {
    let word = action.map(|value| without_comment(value).trim().to_ascii_lowercase());
    Some(match word.as_deref() {
        Some("failed" | "failure" | "error" | "expired" | "fail") => Action::Failed,
        Some("delayed" | "delay" | "deferred") => Action::Delayed,
        Some("delivered" | "deliverable") => Action::Delivered,
        Some("relayed") => Action::Relayed,
        Some("expanded") => Action::Expanded,
        Some(other) if other.contains("fail") => Action::Failed,
        _ => match status?.trim().chars().next()? {
            '2' => Action::Delivered,
            '4' => Action::Delayed,
            '5' => Action::Failed,
            _ => return None,
        },
    })
}

/// A value without its `(comment)`.
fn without_comment(value: &str) -> &str {
    value.split(" (").next().unwrap_or(value)
}
