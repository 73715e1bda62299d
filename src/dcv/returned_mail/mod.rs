//! Returned mail: what came back for a mail of ours, by the report's own fields where there is a report, else by its words.
//!
//! The kind and the recipients are read here; whose mail it is follows from the reference in the return path, never from the
//! content, which anybody can write. Spec: RFC 3464 (delivery reports), RFC 6533 (internationalized ones), RFC 3834 (automatic
//! answers), RFC 5965 (complaints), RFC 8098 (disposition notifications).

mod free_text;
mod report;
mod text;

use mail_parser::{Address, HeaderName, HeaderValue, Message, MessageParser, MimeHeaders as _, PartType};
use serde::Serialize;

/// Longest message read, in octets; the rest is not looked at. Reports are a few KiB, what they enclose may be anything.
pub const MESSAGE_MAX_OCTETS: usize = 256 * 1024;

/// Most parts looked at, nested ones included.
const PARTS_MAX: usize = 200;

/// Deepest nesting looked at.
const DEPTH_MAX: usize = 8;

/// Most text looked at, in characters.
const TEXT_MAX_CHARS: usize = 16 * 1024;

/// Most recipients told.
pub(super) const RECIPIENTS_MAX: usize = 50;

/// Longest diagnostic told, in characters.
const DIAGNOSTIC_MAX_CHARS: usize = 500;

/// The header in our own mails that names the mail. It comes back within what a report encloses.
pub const MAIL_ID_HEADER: &str = "X-Approval-Id";

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The mail will not be delivered.
    Bounce,
    /// The mail is late; delivery goes on being tried.
    Delay,
    /// A machine answered: out of office, a ticket number, a challenge.
    AutoReply,
    /// A person answered.
    Reply,
    /// The recipient's provider reports the mail as unwanted.
    Complaint,
    /// Anything else: a success notice, a disposition notification, mail that has nothing to do with ours.
    Other,
}

impl Kind {
    /// The kind as the outer contract spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Delay => "delay",
            Self::AutoReply => "auto-reply",
            Self::Reply => "reply",
            Self::Complaint => "complaint",
            Self::Other => "other",
        }
    }
}

/// What became of a mail for one recipient. Spec: RFC 3464 §2.3.3 (`Action`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It will not be delivered.
    Failed,
    /// It is late.
    Delayed,
    /// It was delivered.
    Delivered,
    /// It was handed on to where no report comes from.
    Relayed,
    /// It was delivered and handed on.
    Expanded,
}

/// One recipient that a message names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Recipient {
    /// The address as the report has it, which after forwarding is not the one that was written to.
    pub address: String,
    /// What became of the mail.
    pub action: Action,
    /// The enhanced status code. Spec: RFC 3463.
    pub status: Option<String>,
    /// The receiving server's words.
    pub diagnostic: Option<String>,
}

/// A message, read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Returned {
    /// What it is.
    pub kind: Kind,
    /// For bounces and delays: whether the failure is a permanent one by its status class.
    pub permanent: Option<bool>,
    /// Whom it is about.
    pub recipients: Vec<Recipient>,
    /// The Message-ID of the mail it is about, where it tells.
    pub original_message_id: Option<String>,
    /// Our own id of that mail, where it tells. Anybody can write it.
    pub mail_id: Option<String>,
}

/// What the classifiers look at.
struct Material<'m> {
    message: &'m Message<'m>,
    subject: String,
    /// The sender's address in lower case; empty where there is none.
    from: String,
    /// The address the message came to, in lower case.
    to: Vec<String>,
    /// The readable parts of the message itself, one after the other.
    text: String,
    /// `message/delivery-status` parts.
    reports: Vec<Vec<u8>>,
    /// They stood within an enclosed message.
    reports_are_enclosed: bool,
    is_complaint: bool,
    is_disposition: bool,
    /// The headers of what is enclosed.
    originals: Vec<Vec<(String, String)>>,
}

/// Words of MIME structure after which a message is no mail that anybody's server sends.
const STRUCTURE_MAX: usize = 100;

/// Parses a message, or only its headers where its structure is a trap: parts within parts without end, or enclosed messages
/// that are encoded, cost the parser time, memory and stack out of proportion.
fn parse(unix: &[u8]) -> Option<Message<'_>> {
    let lower = String::from_utf8_lossy(unix).to_ascii_lowercase();
    let structure: usize = ["boundary", "message/", "multipart/", "rfc822"].iter().map(|word| lower.matches(word).count()).sum();
    // A report may be encoded; what is enclosed as a message may not (RFC 2046 section 5.2.1).
    let encoded = |block: &str| {
        (block.contains("message/rfc822") || (block.contains("message/global") && !block.contains("message/global-")))
            && block.contains("content-transfer-encoding")
            && (block.contains("base64") || block.contains("quoted-printable"))
    };
    if structure > STRUCTURE_MAX || lower.split("\n\n").any(encoded) {
        return MessageParser::default().parse_headers(unix);
    }
    MessageParser::default().parse(unix)
}

/// What is told of a message that could not be read at all.
#[must_use]
pub fn unreadable() -> Returned {
    Returned { kind: Kind::Other, permanent: None, recipients: Vec::new(), original_message_id: None, mail_id: None }
}

/// Reads a message.
#[must_use]
pub fn read(raw: &[u8]) -> Returned {
    let raw = &raw[..raw.len().min(MESSAGE_MAX_OCTETS)];
    let unix = text::with_line_feeds(raw);
    let Some(message) = parse(&unix) else { return unreadable() };
    let material = Material::of(&message);
    let (original_message_id, mail_id) = material.original();
    let mut returned = material.classify();
    // What goes on into a database and a log is one line of plain characters.
    returned.recipients.retain(|recipient| !recipient.address.chars().any(char::is_control));
    returned.recipients.truncate(RECIPIENTS_MAX);
    for recipient in &mut returned.recipients {
        if let Some(diagnostic) = &mut recipient.diagnostic {
            let line = diagnostic.split_whitespace().collect::<Vec<_>>().join(" ");
            *diagnostic = line.chars().filter(|c| !c.is_control()).take(DIAGNOSTIC_MAX_CHARS).collect();
        }
    }
    let plain = |id: Option<String>| id.filter(|id| !id.chars().any(char::is_control));
    let (original_message_id, mail_id) = (plain(original_message_id), plain(mail_id));
    Returned { original_message_id, mail_id, ..returned }
}

/// What a person wrote, to be passed on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Written {
    /// The sender's address; empty where there is none.
    pub from: String,
    /// The subject, one line.
    pub subject: String,
    /// The readable text.
    pub text: String,
}

/// Reads what a person wrote.
#[must_use]
pub fn written(raw: &[u8]) -> Written {
    let raw = &raw[..raw.len().min(MESSAGE_MAX_OCTETS)];
    let unix = text::with_line_feeds(raw);
    let Some(message) = parse(&unix) else { return Written::default() };
    let material = Material::of(&message);
    let line = |text: &str| {
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(LINE_MAX_CHARS).collect()
    };
    let text = material.text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).take(TEXT_MAX_CHARS).collect();
    Written { from: line(&material.from), subject: line(&material.subject), text }
}

/// Longest line of a header that is passed on, in characters.
const LINE_MAX_CHARS: usize = 300;

/// The addresses that a message was delivered for, by what mail servers put before it, and the ones it is addressed to.
#[must_use]
pub fn sent_to(raw: &[u8]) -> Vec<String> {
    let raw = &raw[..raw.len().min(MESSAGE_MAX_OCTETS)];
    let unix = text::with_line_feeds(raw);
    let Some(message) = MessageParser::default().parse_headers(&unix[..]) else { return Vec::new() };
    ["Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "To"]
        .into_iter()
        .flat_map(|name| message.headers_raw().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value))
        .flat_map(|value| text::addresses(value).into_iter().map(|found| found.address.to_owned()).collect::<Vec<_>>())
        .take(ADDRESSES_MAX)
        .collect()
}

/// Most addresses looked at for whose a message is.
const ADDRESSES_MAX: usize = 50;

/// Where reports repeat the envelope of what they are about. Spec: RFC 3464 §2.2.1, RFC 5965 §3.2, RFC 5321 §4.4.
const ENVELOPE_FIELDS: [&str; 3] = ["Original-Envelope-Id:", "Original-Mail-From:", "Return-Path:"];

/// The return paths and envelope ids that a report repeats of the mail that it is about, for one that was sent to another address than
/// its return path: a feedback loop's above all.
#[must_use]
pub fn envelopes(raw: &[u8]) -> Vec<String> {
    let raw = &raw[..raw.len().min(MESSAGE_MAX_OCTETS)];
    let field = |line: &[u8]| {
        let line = std::str::from_utf8(line.get(..line.len().min(LINE_MAX_CHARS))?).ok()?.trim();
        let name = ENVELOPE_FIELDS
            .into_iter()
            .find(|name| line.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name)))?;
        Some(line[name.len()..].trim().trim_matches(['<', '>']).to_owned())
    };
    raw.split(|byte| *byte == b'\n').filter_map(field).take(ADDRESSES_MAX).collect()
}

impl<'m> Material<'m> {
    fn of(message: &'m Message<'m>) -> Self {
        let mut material = Self {
            subject: text::header(message, "Subject"),
            from: first_address(message.from()).or_else(|| first_address(message.sender())).unwrap_or_default(),
            to: addresses(message.to()).into_iter().take(ADDRESSES_MAX).collect(),
            message,
            text: String::new(),
            reports: Vec::new(),
            reports_are_enclosed: false,
            is_complaint: false,
            is_disposition: false,
            originals: Vec::new(),
        };
        let mut budget = PARTS_MAX;
        material.take_parts(message, 0, &mut budget);
        material
    }

    fn take_parts(&mut self, message: &Message<'_>, depth: usize, budget: &mut usize) {
        for part in &message.parts {
            if *budget == 0 || depth > DEPTH_MAX {
                return;
            }
            *budget -= 1;
            let kind = part.content_type().map_or_else(
                || "text/plain".to_owned(),
                |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_ascii_lowercase(),
            );
            match kind.as_str() {
                "message/delivery-status" | "message/global-delivery-status" => {
                    self.reports_are_enclosed |= depth > 0;
                    self.reports.push(part.contents().to_vec());
                }
                "message/feedback-report" => self.is_complaint = true,
                "message/disposition-notification" | "message/global-disposition-notification" => self.is_disposition = true,
                "text/rfc822-headers" | "message/global-headers" => {
                    self.originals.push(report::fields(&String::from_utf8_lossy(part.contents())));
                }
                _ => match &part.body {
                    PartType::Text(_) | PartType::Html(_) if depth == 0 => {
                        self.text.push_str(&text::of_part(part));
                        self.text.push('\n');
                    }
                    PartType::Message(nested) => {
                        let raw = nested.raw_message();
                        let end = raw.windows(2).position(|two| two == b"\n\n").unwrap_or(raw.len());
                        self.originals.push(report::fields(&String::from_utf8_lossy(&raw[..end])));
                        // Some gateways enclose the report itself as a message.
                        let mut inner = nested.parts.iter();
                        if inner.any(|part| {
                            part.content_type()
                                .is_some_and(|kind| kind.subtype().is_some_and(|s| s.eq_ignore_ascii_case("delivery-status")))
                        }) {
                            self.take_parts(nested, depth + 1, budget);
                        }
                    }
                    _ => {}
                },
            }
        }
        if depth == 0 {
            self.text = self.text.chars().take(TEXT_MAX_CHARS).collect();
            let kind = message.content_type().and_then(|kind| kind.attribute("report-type")).unwrap_or_default();
            self.is_complaint |= kind.eq_ignore_ascii_case("feedback-report");
            self.is_disposition |= kind.eq_ignore_ascii_case("disposition-notification");
        }
    }

    fn classify(&self) -> Returned {
        let plain = |kind| Returned { kind, permanent: None, recipients: Vec::new(), original_message_id: None, mail_id: None };
        if self.is_complaint || self.reads_as_complaint() {
            return plain(Kind::Complaint);
        }
        // A report that a person encloses or quotes is somebody else's.
        let by_machine = free_text::is_machine(self) && (!self.is_reply() || free_text::subject_says(&self.subject));
        let groups = self.reports.iter().map(|report| report::recipients(&String::from_utf8_lossy(report)));
        let reported: Vec<Recipient> = groups.flatten().take(RECIPIENTS_MAX).collect();
        if !reported.is_empty() && (!self.reports_are_enclosed || by_machine) {
            return self.by_report(reported);
        }
        // A report whose recipients cannot be read: its text may name them.
        if let Some(mut returned) = free_text::read(self).filter(|_| !self.reports.is_empty() && !self.reports_are_enclosed) {
            let status = self.reports.iter().find_map(|one| report::status(&String::from_utf8_lossy(one)));
            if let (Kind::Bounce, Some(status)) = (returned.kind, status) {
                returned.permanent = Some(status.starts_with('5'));
            }
            return returned;
        }
        if self.is_disposition {
            return plain(Kind::Other);
        }
        // A report written into the text, as some services send it.
        if by_machine && self.text.contains("Final-Recipient:") && self.text.contains("Action:") {
            let reported = report::recipients(&self.text);
            if !reported.is_empty() {
                return self.by_report(reported);
            }
        }
        if let Some(returned) = free_text::read(self) {
            return returned;
        }
        if self.is_automatic() {
            return plain(Kind::AutoReply);
        }
        plain(if self.is_reply() { Kind::Reply } else { Kind::Other })
    }

    /// Judges by the fields of a delivery report.
    fn by_report(&self, mut recipients: Vec<Recipient>) -> Returned {
        for recipient in &mut recipients {
            // A report that says no more than "failed" often has the code in the server's words.
            let told = recipient.diagnostic.as_deref().and_then(text::enhanced_code);
            match (&recipient.status, told) {
                (None, Some(code)) => recipient.status = Some(code),
                (Some(status), Some(code)) if status.ends_with(".0.0") && !code.ends_with(".0.0") => {
                    recipient.status = Some(code);
                }
                _ => {}
            }
            // The server's reply decides where the two disagree: Postfix tells 4.5.0 of some refusals by 550.
            let replied = recipient.diagnostic.as_deref().and_then(text::reply_code);
            if recipient.action == Action::Failed
                && recipient.status.as_deref().is_some_and(|status| status.starts_with('4'))
                && replied.is_some_and(|code| (550..=559).contains(&code))
                && let Some(code) =
                    recipient.diagnostic.as_deref().and_then(text::enhanced_code).filter(|code| code.starts_with('5'))
            {
                recipient.status = Some(code);
            }
            // A last word that calls itself a delay: the time for trying is over.
            if recipient.action == Action::Delayed
                && recipient.status.as_deref() == Some("4.4.7")
                && free_text::gave_up(&self.text, &self.subject)
            {
                recipient.action = Action::Failed;
            }
        }
        let worst = recipients.iter().map(|recipient| recipient.action).min().unwrap_or(Action::Relayed);
        let kind = match worst {
            Action::Failed => Kind::Bounce,
            Action::Delayed => Kind::Delay,
            Action::Delivered | Action::Relayed | Action::Expanded => Kind::Other,
        };
        let classes: Vec<char> = recipients
            .iter()
            .filter(|recipient| recipient.action == worst)
            .filter_map(|recipient| recipient.status.as_deref()?.chars().next())
            .collect();
        let permanent = match kind {
            Kind::Bounce => Some(classes.contains(&'5') || !classes.contains(&'4')),
            Kind::Delay => Some(false),
            _ => None,
        };
        Returned { kind, permanent, recipients, original_message_id: None, mail_id: None }
    }

    /// The Message-ID of what is enclosed, and our own id of it.
    fn original(&self) -> (Option<String>, Option<String>) {
        let enclosed = |name: &str| {
            self.originals
                .iter()
                .flatten()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
        };
        let in_text = |name: &str| {
            self.text.lines().find_map(|line| {
                let (known, value) = line.trim_start_matches(['>', ' ', '|']).split_once(':')?;
                known.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let in_reply_to = match self.message.in_reply_to() {
            HeaderValue::Text(id) => Some(format!("<{id}>")),
            HeaderValue::TextList(ids) => ids.first().map(|id| format!("<{id}>")),
            _ => None,
        };
        let id = enclosed("Message-ID").or_else(|| in_text("Message-ID")).or(in_reply_to);
        let id = id.filter(|id| id.starts_with('<') && id.ends_with('>') && id.len() <= 998);
        let mail_id =
            enclosed(MAIL_ID_HEADER).or_else(|| in_text(MAIL_ID_HEADER)).filter(|id| id.starts_with("mail_") && id.len() <= 64);
        (id, mail_id)
    }

    fn header(&self, name: &'static str) -> String {
        text::header(self.message, name)
    }

    fn has(&self, name: &'static str) -> bool {
        self.message.header(HeaderName::Other(name.into())).is_some()
    }

    fn reads_as_complaint(&self) -> bool {
        let subject = self.subject.to_ascii_lowercase();
        subject.starts_with("abuse report")
            || subject.starts_with("email feedback report")
            || subject.starts_with("complaint about message from")
    }

    /// Whether a machine answered on somebody's behalf. Precedence and X-Auto-Response-Suppress alone do not say so.
    fn is_automatic(&self) -> bool {
        let submitted = self.header("Auto-Submitted").to_ascii_lowercase();
        let marked = submitted.starts_with("auto-replied") || submitted.starts_with("auto-generated");
        let own =
            self.has("X-Autoreply") || self.has("X-Autorespond") || self.has("X-AutoReply-From") || self.has("X-Autoresponder");
        let subject = self.subject.to_lowercase();
        let said = [
            "automatic reply",
            "auto reply",
            "auto-reply",
            "autoreply",
            "auto response",
            "auto-response",
            "out of office",
            "out-of-office",
            "away from",
            "on vacation",
            "vacation:",
            "自動応答",
            "自動返信",
            "不在",
            "abwesenheit",
            "absence du bureau",
            "réponse automatique",
            "respuesta automática",
            "risposta automatica",
            "confirm your message",
            "please confirm",
        ];
        marked
            || own
            || said.iter().any(|phrase| subject.contains(phrase))
            || self.header("Precedence").eq_ignore_ascii_case("auto_reply")
    }

    fn is_reply(&self) -> bool {
        let subject = self.subject.to_ascii_lowercase();
        let answers = ["re:", "aw:", "sv:", "antw:", "ref:", "r:"];
        self.message.in_reply_to().as_text().is_some()
            || matches!(self.message.references(), HeaderValue::Text(_) | HeaderValue::TextList(_))
            || answers.iter().any(|prefix| subject.trim_start().starts_with(prefix))
    }
}

fn addresses(header: Option<&Address<'_>>) -> Vec<String> {
    header.into_iter().flat_map(Address::iter).filter_map(|one| one.address()).map(str::to_lowercase).collect()
}

fn first_address(header: Option<&Address<'_>>) -> Option<String> {
    addresses(header).into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report(action: &str, status: &str, diagnostic: &str) -> String {
        format!(
            "From: Mail Delivery System <MAILER-DAEMON@mx.example.jp>\r\nTo: bounce+abc@dcv.example.net\r\nSubject: Undelivered Mail Returned to Sender\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nI'm sorry to have to inform you.\r\n\r\n\
             --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.jp\r\n\r\n\
             Final-Recipient: rfc822; admin@example.jp\r\nAction: {action}\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {diagnostic}\r\n\r\n\
             --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <01abc@dcv.example.net>\r\nX-Approval-Id: mail_01abc\r\nSubject: x\r\n\r\n--b--\r\n"
        )
    }

    fn told(raw: &str) -> (Kind, Option<bool>, Vec<String>) {
        let returned = read(raw.as_bytes());
        (returned.kind, returned.permanent, returned.recipients.into_iter().map(|one| one.address).collect())
    }

    fn admin() -> Vec<String> {
        vec!["admin@example.jp".to_owned()]
    }

    #[test]
    fn a_delivery_report_tells_its_recipient_its_code_and_our_ids() {
        let returned = read(report("failed", "5.1.1", "550 5.1.1 <admin@example.jp>: User unknown").as_bytes());
        assert_eq!((returned.kind, returned.permanent), (Kind::Bounce, Some(true)));
        assert_eq!(returned.recipients[0].status.as_deref(), Some("5.1.1"));
        assert_eq!(returned.recipients[0].diagnostic.as_deref(), Some("550 5.1.1 <admin@example.jp>: User unknown"));
        assert_eq!(returned.original_message_id.as_deref(), Some("<01abc@dcv.example.net>"));
        assert_eq!(returned.mail_id.as_deref(), Some("mail_01abc"));
    }

    /// Where mail-parser loses its way among messages within messages, the report before them is read all the same.
    #[test]
    fn messages_within_what_came_back_take_nothing_from_the_report() {
        let headers = "--b\r\nContent-Type: text/rfc822-headers\r\n\r\n";
        for depth in 1..12 {
            let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(depth);
            for after in ["", headers] {
                let raw = report("failed", "5.1.1", "550 5.1.1 no").replace(headers, &format!("--b\r\n{nested}{after}"));
                assert_eq!(told(&raw), (Kind::Bounce, Some(true), admin()), "{depth} {after}");
            }
        }
    }

    #[test]
    fn late_is_not_lost_and_a_poor_code_is_read_from_the_servers_words() {
        assert_eq!(told(&report("delayed", "4.4.1", "connection timed out")), (Kind::Delay, Some(false), admin()));
        assert_eq!(told(&report("delivered", "2.1.5", "250 ok")), (Kind::Other, None, admin()));
        assert_eq!(told(&report("relayed (to non-DSN-aware mailer)", "2.1.5", "250 ok")), (Kind::Other, None, admin()));
        // Exim tells 5.0.0 of everything.
        let poor = read(report("failed", "5.0.0", "452 4.2.2 mailbox full: retry timeout exceeded").as_bytes());
        assert_eq!((poor.kind, poor.permanent, poor.recipients[0].status.as_deref()), (Kind::Bounce, Some(false), Some("4.2.2")));
    }

    #[test]
    fn an_internationalized_report_is_read() {
        let raw = report("failed", "5.1.1", "550 no")
            .replace("message/delivery-status", "message/global-delivery-status")
            .replace("rfc822; admin@example.jp", "utf-8; \\x{7ba1}\\x{7406}@example.jp");
        assert_eq!(told(&raw).2, ["管理@example.jp"]);
    }

    #[test]
    fn words_alone_are_understood() {
        let mail = |from: &str, subject: &str, body: &str| {
            format!(
                "From: {from}\nTo: bounce+abc@dcv.example.net\nSubject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n{body}\n"
            )
        };
        let qmail = "Hi. This is the qmail-send program at mx.example.jp.\nI'm afraid I wasn't able to deliver your message to the following addresses.\n\
                     This is a permanent error; I've given up.\n\n<admin@example.jp>:\n192.0.2.1 does not like recipient.\n\
                     Remote host said: 550 5.1.1 no such user\n\n--- Below this line is a copy of the message.\n\nTo: other@example.net\n";
        assert_eq!(told(&mail("MAILER-DAEMON@mx.example.jp", "failure notice", qmail)), (Kind::Bounce, Some(true), admin()));
        let exchange = "Your message\n\n  To:      someone@example.net\n  Subject: x\n\ndid not reach the following recipient(s):\n\n\
                        admin@example.jp on Thu, 29 Apr 2010\n    The recipient name is not recognized\n";
        assert_eq!(told(&mail("System Administrator <postmaster@example.jp>", "Undeliverable: x", exchange)).0, Kind::Bounce);
        let carrier = "<admin@example.jp>\n\n次のあて先へのメッセージはエラーのため送信できませんでした。\n送信先メールアドレスが見つからないか、送信先メールサーバの事情により送信できませんでした。\n";
        assert_eq!(
            told(&mail("Postmaster@example.ne.jp", "Mail System Error - Returned Mail", carrier)),
            (Kind::Bounce, Some(true), admin())
        );
        let late = "Your message to <admin@example.jp> has been delayed.\nNo action is required. Delivery attempts will continue for 4 days.\n";
        assert_eq!(
            told(&mail("Mail Delivery System <Mailer-Daemon@mx.example.jp>", "Warning: message delayed 24 hours", late)),
            (Kind::Delay, Some(false), admin())
        );
    }

    #[test]
    fn people_and_their_machines_are_no_bounce() {
        for (headers, body, kind) in [
            ("From: a@example.jp\nSubject: Re: 使用権のご確認\nIn-Reply-To: <x@dcv.example.net>", "承認しました。", Kind::Reply),
            ("From: a@example.jp\nSubject: Re: your mail", "Your mail said: could not be delivered. Is that right?", Kind::Reply),
            (
                "From: a@example.jp\nSubject: Automatic reply: x\nAuto-Submitted: auto-replied",
                "I am out of office until Monday.",
                Kind::AutoReply,
            ),
            (
                "From: a@example.jp\nSubject: =?utf-8?B?5LiN5Zyo44Gu44GK55+l44KJ44Gb?=",
                "ただいま不在にしております。",
                Kind::AutoReply,
            ),
            ("From: shop@example.jp\nSubject: Sale", "Buy now", Kind::Other),
            // The mailboxes that we write to are called like machines.
            (
                "From: postmaster@example.jp\nSubject: Re: [Domain approval] example.jp\nIn-Reply-To: <x@dcv.example.net>",
                "We refused this: the company does not exist.",
                Kind::Reply,
            ),
            (
                "From: System Administrator <admin@example.jp>\nSubject: example.jp",
                "承認しません。この組織は存在しません。",
                Kind::Other,
            ),
            (
                "From: postmaster@example.jp\nSubject: Out of office\nAuto-Submitted: auto-replied",
                "Mail to disabled accounts is blocked.",
                Kind::AutoReply,
            ),
            (
                "From: a@example.jp\nSubject: Re: x\nIn-Reply-To: <x@dcv.example.net>",
                "They sent me:\nFinal-Recipient: rfc822; a@example.jp\nAction: failed\nStatus: 5.1.1",
                Kind::Reply,
            ),
            (
                "From: feedback@example.net\nSubject: x\nContent-Type: multipart/report; report-type=feedback-report; boundary=b",
                "--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n\n--b--",
                Kind::Complaint,
            ),
        ] {
            assert_eq!(read(format!("{headers}\n\n{body}\n").as_bytes()).kind, kind, "{headers}");
        }
    }

    #[test]
    fn line_ends_of_any_kind_and_nothing_at_all_are_read() {
        let raw = report("failed", "5.1.1", "550 no");
        assert_eq!(told(&raw.replace("\r\n", "\r")), told(&raw));
        assert_eq!(told(&raw.replace("\r\n", "\n")), told(&raw));
        assert_eq!(read(b"").kind, Kind::Other);
    }

    #[test]
    fn a_message_made_to_cost_is_cheap() {
        let nested = "Content-Type:message/rfc822\n\n".repeat(36_000);
        let encoded = format!(
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{}",
            data_encoding::BASE64.encode(nested.as_bytes())
        );
        let parts = format!(
            "Content-Type: multipart/mixed; boundary=b\n\n{}",
            "--b\nContent-Type:multipart/x;boundary=Z\n\n".repeat(23_000)
        );
        let addresses = format!("From: mailer-daemon@x.example\nSubject: failure notice\n\n{}", "a@b.cc ".repeat(9_000));
        let groups = format!(
            "From: mailer-daemon@x.example\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\
             Content-Type: message/delivery-status\n\n{}\n--b--\n",
            "\n\nStatus:5\nFinal-Recipient:00001@a".repeat(30_000)
        );
        for raw in [nested, encoded, parts, addresses, groups] {
            assert!(read(raw.as_bytes()).recipients.len() <= RECIPIENTS_MAX);
            let _ = sent_to(raw.as_bytes());
        }
    }

    #[test]
    fn what_goes_into_the_database_is_one_line_of_plain_characters() {
        let returned = read(report("failed", "5.1.1", "550 x\0y\u{7}").as_bytes());
        assert_eq!(returned.recipients[0].diagnostic.as_deref(), Some("550 xy"));
    }

    proptest! {
        #[test]
        fn no_message_panics(raw: Vec<u8>, cut in 0_usize..900, at in 0_usize..900, byte: u8) {
            let _ = read(&raw);
            let mut mutated = report("failed", "5.1.1", "550 no").into_bytes();
            let place = at % mutated.len();
            mutated[place] = byte;
            mutated.truncate(cut);
            let _ = read(&mutated);
        }
    }
}
