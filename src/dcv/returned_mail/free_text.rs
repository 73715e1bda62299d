//! Bounces and delays that come as words: qmail, Exim, Exchange, Notes, Japanese carriers and many more.
//!
//! No server's layout is known by heart here. What is looked for is what they have in common: a machine's sender, words of
//! failure, addresses above the copy of the mail.

use super::{Action, Kind, Material, Recipient, Returned, text};

/// Local parts of senders that are machines.
const MACHINES: &[&str] = &[
    "mailer-daemon",
    "mailerdaemon",
    "maildaemon",
    "mail-daemon",
    "mail.daemon",
    "mdaemon",
    "daemon",
    "mailer",
    "bounce",
    "mmsc",
    "microsoftexchange",
    "imss",
    "amavis",
    "mail-delivery",
    "mailsystem",
    "mail_system",
    "smtp_mail_service",
    "root",
];

/// Subjects that say that a mail came back or is late.
const SUBJECTS: &[&str] = &[
    "undeliver",
    "not deliver",
    "non-deliver",
    "nondeliver",
    "delivery fail",
    "delivery failure",
    "failure delivery",
    "failed delivery",
    "delivery problem",
    "delivery error",
    "delivery status",
    "delivery notification",
    "delivery report",
    "delivery delayed",
    "delayed mail",
    "mail delivery",
    "message delivery",
    "returned mail",
    "mail returned",
    "return mail",
    "returned to sender",
    "return to sender",
    "returned email",
    "returning message",
    "failure notice",
    "failure report",
    "mail failed",
    "mail failure",
    "mail error",
    "email error",
    "mail system error",
    "could not be deliver",
    "could not send",
    "cannot send",
    "can't send",
    "unable to deliver",
    "was not delivered",
    "not be delivered",
    "error sending your mail",
    "invalid recipient",
    "unknown user",
    "user unknown",
    "unknown address",
    "address error",
    "mailbox full",
    "over quota",
    "message status",
    "warning: could not send",
    "warning--could not send",
    "error in delivery",
    "error during delivery",
    "delivery has failed",
    "mail status report",
    "ndn:",
    "ndr:",
    "unzustellbar",
    "nicht zugestellt",
    "non remis",
    "échec de la remise",
    "no entregado",
    "imposible entregar",
    "não entregue",
    "mancato recapito",
    "недостав",
    "не доставлен",
    "配信",
    "送信エラー",
    "送信できません",
    "不達",
    "届け",
    "退信",
    "投递失败",
    "メール送信失敗",
    "エラーメール",
    "failed mail",
    "loop alert",
    "are not member",
    "delivery to",
    "mail could not",
    "message undeliverable",
    "mail not accepted",
    "rejected mail",
    "mail rejected",
    "rejected:",
    "failure (",
];

/// Words in the text that say that a mail was not delivered.
const FAILURES: &[&str] = &[
    "could not be deliver",
    "couldn't be deliver",
    "could not deliver",
    "couldn't deliver",
    "cannot be deliver",
    "can not be deliver",
    "can't be deliver",
    "cannot deliver",
    "can't deliver",
    "was not deliver",
    "wasn't deliver",
    "were not deliver",
    "not been deliver",
    "not be deliver",
    "not deliver",
    "unable to deliver",
    "undeliverable",
    "undelivered",
    "delivery fail",
    "delivery to the following",
    "delivery has failed",
    "did not receive",
    "did not exactly match",
    "not receive a copy",
    "failed delivery",
    "delivering your mail",
    "delivering your message",
    "deliver your message",
    "deliver the mail",
    "deliver your mail",
    "failed recipient",
    "failed address",
    "recipients failed",
    "did not reach",
    "didn't reach",
    "permanent fatal error",
    "permanent error",
    "fatal error",
    "returned to sender",
    "returned to the sender",
    "returning your",
    "returned mail",
    "is being returned",
    "has been returned",
    "being rejected",
    "was rejected",
    "been rejected",
    "rejected by",
    "rejected your message",
    "user unknown",
    "unknown user",
    "no such user",
    "unknown recipient",
    "invalid recipient",
    "recipient unknown",
    "unknown local",
    "mailbox unavailable",
    "mailbox not found",
    "mailbox is full",
    "mailbox full",
    "over quota",
    "quota exceeded",
    "exceeded its quota",
    "quota violation",
    "does not exist",
    "doesn't exist",
    "not exist",
    "doesn't have a",
    "does not have a",
    "no mailbox",
    "user not found",
    "not found",
    "account is disabled",
    "address unknown",
    "invalid final delivery",
    "delivery errors",
    "have delivery problem",
    "error occurred",
    "transcript of session",
    "no valid recipients",
    "not listed in",
    "not a member",
    "duplicated message-id",
    "permission to post",
    "may not exist",
    "recipient's mailbox",
    "problem delivering",
    "trouble delivering",
    "had an error",
    "bounced",
    "address not found",
    "blocked",
    "refused",
    "not accepting",
    "errors were detected",
    "unable to relay",
    "address rejected",
    "disabled",
    "host unknown",
    "too large",
    "size limit",
    "not be sent",
    "送信できません",
    "送信することができません",
    "配信できません",
    "配送できません",
    "届きません",
    "送れません",
    "お届けできません",
    "宛先が",
    "存在しません",
    "エラーにより",
    "送信に失敗",
    "无法",
    "退回",
    "konnte nicht",
    "nicht zugestellt",
    "nicht existieren",
    "n'a pas pu",
    "n’a pas pu",
    "no se pudo",
    "no se ha podido",
    "não foi possível",
    "non è stato possibile",
    "не удалось",
    "не доставлено",
    "не существует",
];

/// Words that say that the mail is late and still being tried.
const DELAYS: &[&str] = &[
    "will continue",
    "will be retried",
    "will retry",
    "will keep trying",
    "keep trying",
    "being retried",
    "still trying",
    "try again for",
    "delivery attempts will",
    "no action is required",
    "do not need to resend",
    "do not resend",
    "not yet been delivered",
    "not been delivered yet",
    "has been delayed",
    "have been delayed",
    "been delayed",
    "delivery delayed",
    "is delayed",
    "delayed delivery",
    "delayed mail",
    "delivery delay",
    "still undelivered",
    "still in the queue",
    "warning message only",
    "warning only",
    "this is a warning",
    "delivery status notification (delay)",
    "could not send message for past",
    "could not send mail for past",
    "temporarily deferred",
    "transient non-fatal",
    "temporary non-fatal",
    "had transient",
    "(delay)",
    "temporary delivery problem",
    "遅延",
    "再送を",
    "再送信を",
    "配信が遅れ",
    "verzögert",
    "retardé",
    "задерж",
];

/// Words that say that trying has ended.
const ENDED: &[&str] = &[
    "giving up",
    "gave up",
    "not going to try again",
    "will not be retried",
    "retry timeout exceeded",
    "retry time not reached",
    "too long in the queue",
    "in the queue too long",
    "on the queue too long",
    "has expired",
    "message expired",
    "envelope expired",
    "delivery time expired",
    "delivery expired",
    "maximum time",
    "could not be delivered after",
    "permanent",
    "delivery failed",
    "undeliverable",
    "returned to sender",
    "unable to deliver your message after",
    "queue time",
    "no further attempts",
    "expired",
    "timed out waiting",
];

/// Words for which a failure is a temporary one that was given up, where no code tells.
const TEMPORARY: &[&str] = &[
    "timed out",
    "timeout",
    "too long in the queue",
    "in the queue too long",
    "on the queue too long",
    "deferred",
    "connection refused",
    "temporarily",
    "temporary",
    "try again later",
    "retry timeout exceeded",
    "unable to connect",
    "wasn't able to establish",
    "not been collected",
    "greylist",
];

/// Lines that introduce the copy of the mail.
const COPIES: &[&str] = &[
    "original message",
    "copy of the message",
    "copy of your message",
    "message headers follow",
    "headers of the message",
    "message text follows",
    "unsent message",
    "returned message",
    "returned mail",
    "message header",
    "header of the original",
    "headers of your",
    "original mail",
    "message follows",
    "message removed",
    "undelivered message",
    "start of returned",
    "your message follows",
    "full message",
    "rejected message",
    "included below",
    "mail follows",
    "text of the message",
    "text of your message",
    "first part of the message",
    "original headers",
    "original-message",
    "the attachment contains",
    "原信件",
    "元のメール",
    "元のメッセージ",
    "以下は送信された",
    "content of the message",
    "contents of the message",
    "message contents",
    "body of the message",
    "received message",
];

/// Words beside addresses that belong to people who help.
const HELPERS: &[&str] = &[
    "contact",
    "please",
    "assistance",
    "question",
    "http",
    "help",
    "report this",
    "support@",
    "if you ",
    "message-id",
    "message id",
    "mime",
    "subject:",
    "sent by",
    "send mail with",
    "お問い合わせ",
    "reply-to",
    "x-",
    "administrator",
];

/// Local parts that are never a person's.
const STRANGERS: &[&str] = &["mailer-daemon", "mailerdaemon", "abuse", "noreply", "no-reply", "owner", "listmaster", "majordomo"];

fn says(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| text.contains(phrase))
}

/// Whether a subject says that a mail came back or is late.
pub(super) fn subject_says(subject: &str) -> bool {
    says(&subject.to_lowercase(), SUBJECTS)
}

/// Whether a report says that trying has ended.
pub(super) fn gave_up(text: &str, subject: &str) -> bool {
    let lower = text.to_lowercase();
    (says(&lower, ENDED) || says(&subject.to_lowercase(), &["failed", "failure", "undeliver", "returned"]))
        && !says(&lower, DELAYS)
}

/// Reads a bounce or a delay that comes as words; `None` where it is none.
pub(super) fn read(material: &Material<'_>) -> Option<Returned> {
    let (subject, lower) = (material.subject.to_lowercase(), material.text.to_lowercase());
    let (report, after) = split(&material.text);
    // Phrases go on over line ends.
    let report_lower = report.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let failed_header = material.header("X-Failed-Recipients");
    let by_machine = is_machine(material);
    let (subject_says, text_says) = (says(&subject, SUBJECTS), says(&report_lower, FAILURES) || says(&report_lower, DELAYS));
    let answers = material.is_reply() || material.is_automatic();
    let by_person = !by_machine && answers;
    // The mailboxes we write to are called like machines: postmaster who answers is a person until the subject says otherwise.
    let doubtful = !is_named_machine(material);
    let plain = !answers
        && (code(report).is_some()
            || says(
                &report_lower,
                &["be deliver", "undeliver", "did not reach", "delivery fail", "unable to deliver", "not deliver", "returned"],
            ));
    let bounced = !failed_header.is_empty()
        || (by_machine && if doubtful { text_says && (subject_says || plain) } else { subject_says || text_says })
        || (!by_person && subject_says && text_says)
        || (subject_says && says(&subject, &["(delivery failed)", "non remis", "undeliverable:"]) && text_says)
        || (!by_person
            && text_says
            && !material.originals.is_empty()
            && says(&report_lower, &["undeliver", "could not be deliver", "unable to deliver", "delivery fail"]));
    if !bounced || subject.starts_with("fwd:") || subject.starts_with("fw:") {
        return None;
    }
    // A machine that answers for somebody away is no bounce, whatever its sender is called.
    if material.is_automatic() && failed_header.is_empty() && !says(&report_lower, FAILURES) {
        return None;
    }
    let late = says(&report_lower, DELAYS)
        || (says(&subject, &["warning", "delay", "遅延"])
            && !says(&report_lower, &["user unknown", "no such user", "unknown user"]));
    let ended = says(&report_lower, ENDED) || says(&subject, &["fail", "undeliver", "returned", "giving up"]);
    let strong_late = says(
        &report_lower,
        &[
            "will continue",
            "will be retried",
            "will keep trying",
            "keep trying",
            "no action is required",
            "do not need to resend",
            "not yet been delivered",
            "still trying",
            "warning message only",
            "this is a warning",
            "will retry",
            "being retried",
            "warning only",
        ],
    );
    let kind = if late && (strong_late || !ended) { Kind::Delay } else { Kind::Bounce };
    // The text has the last word: the header may name where the mail was forwarded from.
    let mut addresses = named(material, report);
    let of_header = header_addresses(&failed_header);
    if addresses.is_empty() || of_header.iter().any(|address| addresses.iter().any(|known| known.eq_ignore_ascii_case(address))) {
        addresses = if of_header.is_empty() { addresses } else { of_header };
    }
    if addresses.is_empty() {
        addresses = of_copy(material, after);
    }
    let code = code(report).or_else(|| code(&after[..after.floor_char_boundary(2000)]).filter(|_| addresses.is_empty()));
    let permanent = match (kind, &code) {
        (Kind::Delay, _) => false,
        (_, Some(code)) => code.starts_with('5'),
        _ => !says(&lower, TEMPORARY),
    };
    let action = if kind == Kind::Delay { Action::Delayed } else { Action::Failed };
    let diagnostic = diagnostic(report);
    let recipients = addresses
        .into_iter()
        .map(|address| Recipient { address, action, status: code.clone(), diagnostic: diagnostic.clone() })
        .collect();
    Some(Returned { kind, permanent: Some(permanent), recipients, original_message_id: None, mail_id: None })
}

/// Whether the sender is a machine beyond doubt: by a name that no person has, or by having none.
fn is_named_machine(material: &Material<'_>) -> bool {
    let local = material.from.split('@').next().unwrap_or_default();
    let return_path = material.header("Return-Path").to_lowercase();
    material.from.is_empty()
        || return_path.trim() == "<>"
        || return_path.contains("mailer-daemon")
        || MACHINES.iter().any(|name| {
            local == *name
                || local.starts_with(&format!("{name}-"))
                || local.starts_with(&format!("{name}."))
                || (name.len() > 6 && local.contains(name))
        })
}

/// Whether the sender is a machine: by its name, or by having none.
pub(super) fn is_machine(material: &Material<'_>) -> bool {
    let raw_from = material.header("From").to_lowercase();
    is_named_machine(material)
        || material.from.starts_with("postmaster@")
        || says(
            &raw_from,
            &[
                "mailer-daemon",
                "mail delivery",
                "mail deliver system",
                "delivery subsystem",
                "mail administrator",
                "postmaster",
                "system administrator",
                "mail system",
                "mail router",
                "ndr administrator",
                "mail gateway",
            ],
        )
}

/// The text above the copy of the mail, and the rest.
fn split(text: &str) -> (&str, &str) {
    let mut at = 0;
    let mut seen = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start_matches(['>', ' ', '\t', '|', '-', '*', '#', '=', '_']).trim_end();
        let lower = bare.to_lowercase();
        let header = ["received:", "return-path:", "received-spf:", "x-originating-ip:", "dkim-signature:", "delivered-to:"]
            .iter()
            .any(|name| lower.starts_with(name));
        let set_off = bare.len() < line.trim().len()
            || lower.ends_with([':', '-', '*', '='])
            || ["follows.", "follow.", "removed"].iter().any(|end| lower.ends_with(end));
        let introduces = lower.len() < 90
            && !lower.contains("not receive")
            && set_off
            && COPIES.iter().any(|phrase| lower.contains(phrase))
            && text::addresses(line).is_empty();
        if seen > 0 && (header || (introduces && seen > 1)) {
            return text.split_at(at);
        }
        at += line.len();
        seen += usize::from(!bare.is_empty());
    }
    (text, "")
}

fn header_addresses(value: &str) -> Vec<String> {
    text::addresses(value).into_iter().map(|found| found.address.to_owned()).collect()
}

/// The addresses that the report names: those that stand out in their line, else any.
fn named(material: &Material<'_>, report: &str) -> Vec<String> {
    let ours = |address: &str| {
        let lower = address.to_lowercase();
        let local = lower.split('@').next().unwrap_or_default().to_owned();
        material.to.contains(&lower) || material.from == lower || STRANGERS.contains(&local.as_str())
    };
    let (mut strong, mut weak, mut own): (Vec<String>, Vec<String>, Vec<String>) = (Vec::new(), Vec::new(), Vec::new());
    for line in report.lines() {
        let lower = line.to_lowercase();
        let helps = says(&lower, HELPERS);
        for found in text::addresses(line) {
            let before = line
                .get(..found.at)
                .unwrap_or_default()
                .trim_start_matches([' ', '\t', '<', '>', '"', '\'', '*', '-', '+', '|', '[', '(', ':']);
            let stands_first = before.is_empty();
            let cued = [
                "rcpt to",
                "recipient",
                "to:",
                "user unknown",
                "unknown user",
                "mailbox",
                "deliver",
                "failed",
                "address",
                "addressed to",
                "account",
                "user:",
                "violation for",
                "expanded from",
                "generated from",
                "generated by",
                "message to",
                "mail to",
                "宛先",
                "メールアドレス",
            ]
            .iter()
            .any(|cue| lower.contains(cue));
            if ours(found.address) {
                if stands_first && own.is_empty() {
                    own.push(found.address.to_owned());
                }
                continue;
            }
            let list = if stands_first || (found.bracketed && !helps) || (cued && !helps) { &mut strong } else { &mut weak };
            if !list.iter().any(|known| known.eq_ignore_ascii_case(found.address)) {
                list.push(found.address.to_owned());
            }
        }
    }
    // A mail to oneself that came back names nobody else.
    [strong, own, weak].into_iter().find(|list| !list.is_empty()).unwrap_or_default()
}

/// The recipient in the copy of the mail, where the report names none.
fn of_copy(material: &Material<'_>, copy: &str) -> Vec<String> {
    let of_headers =
        material.originals.iter().flatten().find(|(name, _)| name.eq_ignore_ascii_case("To")).map(|(_, value)| value.as_str());
    let of_text = copy.lines().find_map(|line| {
        let bare = line.trim_start_matches(['>', ' ', '|', '\t']);
        bare.get(..3).is_some_and(|name| name.eq_ignore_ascii_case("to:")).then_some(bare)
    });
    of_headers.or(of_text).map(header_addresses).unwrap_or_default().into_iter().take(1).collect()
}

/// The status code: an enhanced one, else the SMTP reply's class.
fn code(report: &str) -> Option<String> {
    report.lines().find_map(text::enhanced_code).or_else(|| {
        report.lines().find_map(text::reply_code).map(|code| if code < 500 { "4.0.0".to_owned() } else { "5.0.0".to_owned() })
    })
}

/// The line that says why: the first with a code, else the first with a word of failure.
fn diagnostic(report: &str) -> Option<String> {
    let coded = report.lines().find(|line| text::enhanced_code(line).is_some() || text::reply_code(line).is_some());
    let worded = || report.lines().find(|line| says(&line.to_lowercase(), FAILURES));
    coded.or_else(worded).map(|line| line.trim().to_owned())
}
