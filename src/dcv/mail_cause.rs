//! Why a mail did not arrive, in plain words: what an operator tells the customer, and what to do next.

/// Why a mail did not arrive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MailCause {
    /// There is no such mailbox, or it is closed.
    NoMailbox,
    /// The domain takes no mail, or has no server that could be found.
    NoHost,
    /// The mailbox is full.
    MailboxFull,
    /// The mail is larger than the server takes.
    TooLarge,
    /// The server does not want it: spam, block lists, authentication, policy.
    Policy,
    /// The server could not be reached, or not in time.
    Unreachable,
    /// It goes round in circles.
    Loop,
}

impl MailCause {
    /// Every cause.
    pub const ALL: [Self; 7] =
        [Self::NoMailbox, Self::NoHost, Self::MailboxFull, Self::TooLarge, Self::Policy, Self::Unreachable, Self::Loop];

    /// A stable code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoMailbox => "no-mailbox",
            Self::NoHost => "no-host",
            Self::MailboxFull => "mailbox-full",
            Self::TooLarge => "too-large",
            Self::Policy => "policy",
            Self::Unreachable => "unreachable",
            Self::Loop => "loop",
        }
    }

    /// Reads a server's words: the enhanced status code in them (RFC 3463), else what they say. `None` where they tell nothing.
    #[must_use]
    pub fn of(words: &str) -> Option<Self> {
        let lower = words.to_lowercase();
        enhanced(&lower).and_then(|(subject, detail)| Self::of_code(subject, detail)).or_else(|| Self::of_words(&lower))
    }

    const fn of_code(subject: u16, detail: u16) -> Option<Self> {
        Some(match (subject, detail) {
            (1, 2 | 10) | (4, 4) => Self::NoHost,
            (1, _) | (2, 1) => Self::NoMailbox,
            (2, 2) => Self::MailboxFull,
            (2 | 3, 3 | 4) => Self::TooLarge,
            (4, 6) => Self::Loop,
            (4, _) => Self::Unreachable,
            (7, _) => Self::Policy,
            _ => return None,
        })
    }

    fn of_words(lower: &str) -> Option<Self> {
        const SAID: [(MailCause, &[&str]); 6] = [
            (MailCause::MailboxFull, &["mailbox full", "mailbox is full", "over quota", "quota exceeded", "容量"]),
            (
                MailCause::NoMailbox,
                &["user unknown", "unknown user", "no such user", "does not exist", "mailbox unavailable", "no mailbox", "宛先"],
            ),
            (MailCause::NoHost, &["host not found", "no mx", "null mx", "domain not found", "name or service not known"]),
            (MailCause::TooLarge, &["too large", "size exceeds", "exceeds size"]),
            (MailCause::Policy, &["spam", "blocked", "blacklist", "block list", "policy", "rejected due", "dmarc", "spf"]),
            (MailCause::Unreachable, &["timed out", "timeout", "connection refused", "unreachable", "no connection"]),
        ];
        SAID.into_iter().find(|(_, said)| said.iter().any(|words| lower.contains(words))).map(|(cause, _)| cause)
    }

    /// What it means and what to do, in Japanese and in English.
    #[must_use]
    pub const fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::NoMailbox => (
                "宛先のメールボックスがありません。別の承認者を選ぶか、メールボックスを用意してから再送してください。",
                "There is no such mailbox. Choose another approver, or have the mailbox made and send again.",
            ),
            Self::NoHost => (
                "宛先のドメインにメールサーバーが見つかりません。DNS の MX を確認するか、別の承認者を選んでください。",
                "The domain has no mail server that could be found. Check its MX record, or choose another approver.",
            ),
            Self::MailboxFull => (
                "宛先のメールボックスがいっぱいです。空きができてから再送してください。",
                "The mailbox is full. Send again once there is room.",
            ),
            Self::TooLarge => (
                "相手先のサーバーがこの大きさのメールを受け取りません。別の承認者を選んでください。",
                "The server takes no mail of this size. Choose another approver.",
            ),
            Self::Policy => (
                "相手先のサーバーが方針により受け取りを拒否しました(迷惑メール対策など)。相手先に受信を許可してもらうか、送信側の SPF・DKIM・DMARC を確認してください。",
                "The server refused it by its policy (spam, block lists). Ask the recipient to allow our mail, and check our SPF, DKIM and DMARC.",
            ),
            Self::Unreachable => (
                "相手先のサーバーに接続できませんでした。時間をおいて再送するか、別の承認者を選んでください。",
                "The server could not be reached. Send again later, or choose another approver.",
            ),
            Self::Loop => (
                "相手先の転送設定が循環しています。相手先に確認してもらってください。",
                "The recipient's forwarding goes round in circles. Ask them to mend it.",
            ),
        }
    }
}

/// Subject and detail of the first enhanced status code of failure in a text. Spec: RFC 3463 §2.
fn enhanced(text: &str) -> Option<(u16, u16)> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.')).find_map(|word| {
        let mut parts = word.trim_matches('.').split('.');
        let class = parts.next()?;
        let (subject, detail) = (parts.next()?, parts.next()?);
        let fits = parts.next().is_none() && matches!(class, "4" | "5") && subject.len() <= 3 && detail.len() <= 3;
        // x.0.0 says nothing.
        fits.then(|| Some((subject.parse().ok()?, detail.parse().ok()?))).flatten().filter(|code| *code != (0, 0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_server_is_understood_by_its_code_and_else_by_its_words() {
        for (words, cause) in [
            ("550 5.1.1 no such user", Some(MailCause::NoMailbox)),
            ("552 5.2.2 over quota", Some(MailCause::MailboxFull)),
            ("550 5.7.26 DMARC", Some(MailCause::Policy)),
            ("5.1.2 bad host", Some(MailCause::NoHost)),
            ("5.4.4 unable to route", Some(MailCause::NoHost)),
            ("4.4.1 no answer from host", Some(MailCause::Unreachable)),
            ("5.4.6 too many hops", Some(MailCause::Loop)),
            ("5.3.4 message too big", Some(MailCause::TooLarge)),
            ("550 5.0.0 User unknown", Some(MailCause::NoMailbox)),
            ("relay.example.net:25: 554 blocked using a list", Some(MailCause::Policy)),
            ("mx 192.0.2.5 said: 550 mailbox full", Some(MailCause::MailboxFull)),
            ("550 no", None),
            ("", None),
        ] {
            assert_eq!(MailCause::of(words), cause, "{words}");
        }
    }

    proptest! {
        #[test]
        fn no_words_panic(words in "\\PC{0,120}") {
            let _ = MailCause::of(&words);
        }
    }
}
