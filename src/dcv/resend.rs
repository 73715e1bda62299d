//! Sending the same mail once more: when that may be, and how it stays the same.

use std::time::Duration;

use super::order::{Delivery, LinkState};
use super::profile::{Reminders, Resends};
use super::timestamp::Timestamp;

/// A mail that may be sent once more, as stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// The link's life.
    pub link: LinkState,
    /// The fate of its latest sending.
    pub delivery: Delivery,
    /// Times somebody asked to send it once more.
    pub resends: u32,
    /// When it was last put into the outbox.
    pub last_sent_at: Timestamp,
    /// The deadline that counts.
    pub expires_at: Timestamp,
    /// The deadline its text states.
    pub stated_expires_at: Timestamp,
}

/// Why a mail is not sent once more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ResendRefusal {
    /// Its link has ended.
    #[error("its link has ended")]
    Ended,
    /// It would state a deadline that no longer holds: only a mail with a new link can tell the new one.
    #[error("it would state the old deadline; ask for a new mail instead")]
    OldDeadline,
    /// An earlier sending is still on its way out.
    #[error("an earlier sending still waits for the relay")]
    Waiting,
    /// Not before this instant.
    #[error("not before {0}")]
    TooSoon(Timestamp),
    /// It was sent as often as the profile allows; the instant is its deadline.
    #[error("it was sent as often as the profile allows")]
    Spent(Timestamp),
}

/// Whether somebody who asks may have a mail sent once more.
///
/// # Errors
/// [`ResendRefusal`].
pub fn may_resend(mail: &Sent, rules: &Resends, now: Timestamp) -> Result<(), ResendRefusal> {
    if !mail.link.is_open() || now >= mail.expires_at {
        return Err(ResendRefusal::Ended);
    }
    if mail.expires_at != mail.stated_expires_at {
        return Err(ResendRefusal::OldDeadline);
    }
    if matches!(mail.delivery, Delivery::Queued | Delivery::Sending) {
        return Err(ResendRefusal::Waiting);
    }
    if mail.resends >= rules.max {
        return Err(ResendRefusal::Spent(mail.expires_at));
    }
    let allowed_from = mail.last_sent_at + rules.min_interval;
    if now < allowed_from { Err(ResendRefusal::TooSoon(allowed_from)) } else { Ok(()) }
}

/// When a mail's recipient is next reminded after `after`; `None` where no more reminder follows.
#[must_use]
pub fn next_reminder(rules: &Reminders, expires_at: Timestamp, after: Timestamp) -> Option<Timestamp> {
    rules.offsets().map(|offset| expires_at - offset).filter(|at| *at > after).min()
}

/// What a reminder that is due does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reminding {
    /// The same mail goes once more.
    Resend,
    /// A notice without a link goes.
    Notice,
    /// Nothing: the mail has not gone yet, or came back for good.
    Nothing,
}

/// Shortest time between a sending and a reminder: whoever was just sent the mail needs none.
const REMINDER_REST: Duration = Duration::from_secs(3600);

/// What to do for a mail whose reminder is due.
#[must_use]
pub fn reminding(mail: &Sent, rules: &Reminders, now: Timestamp) -> Reminding {
    let went = matches!(mail.delivery, Delivery::Accepted | Delivery::Delayed | Delivery::Delivered);
    if !mail.link.is_open() || !went || now >= mail.expires_at || now < mail.last_sent_at + REMINDER_REST {
        return Reminding::Nothing;
    }
    if rules.is_identical() && mail.expires_at == mail.stated_expires_at { Reminding::Resend } else { Reminding::Notice }
}

/// The sealed mail once more: every byte as it was but for the Message-ID and the Date, since some providers drop a Message-ID that
/// they have seen. `None` where these two do not stand once each, on a line each, in its header.
#[must_use]
pub fn sealed_again(sealed: &[u8], message_id: &str, date: Timestamp) -> Option<Vec<u8>> {
    let header_ends = sealed.windows(4).position(|four| four == b"\r\n\r\n")? + 2;
    let (header, rest) = sealed.split_at(header_ends);
    let mut again = Vec::with_capacity(sealed.len() + 16);
    let (mut ids, mut dates) = (0, 0);
    let mut lines = header.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is = |name: &[u8]| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name);
        let replaced = if is(b"Message-ID:") {
            ids += 1;
            format!("Message-ID: {message_id}\r\n")
        } else if is(b"Date:") {
            dates += 1;
            format!("Date: {}\r\n", date.to_rfc5322())
        } else {
            again.extend(line);
            continue;
        };
        if lines.peek().is_some_and(|next| next.starts_with(b" ") || next.starts_with(b"\t")) {
            return None;
        }
        again.extend(replaced.bytes());
    }
    again.extend(rest);
    (ids == 1 && dates == 1).then_some(again)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::profile::ReminderMode;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp::from_unix_secs(1_795_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn sent() -> Sent {
        Sent {
            link: LinkState::Sent,
            delivery: Delivery::Accepted,
            resends: 0,
            last_sent_at: START,
            expires_at: START.plus_days(26),
            stated_expires_at: START.plus_days(26),
        }
    }

    fn rules() -> Resends {
        Resends { min_interval: Duration::from_secs(600), max: 5 }
    }

    fn reminders(mode: ReminderMode) -> Reminders {
        Reminders { at: vec![DAY * 7, DAY * 2], mode }
    }

    #[test]
    fn a_mail_goes_once_more_while_its_link_is_open_and_its_words_are_true() {
        let later = START + DAY;
        assert_eq!(may_resend(&sent(), &rules(), later), Ok(()));
        let cases = [
            (Sent { link: LinkState::Answered, ..sent() }, ResendRefusal::Ended),
            (Sent { expires_at: later, ..sent() }, ResendRefusal::Ended),
            (Sent { expires_at: START.plus_days(28), ..sent() }, ResendRefusal::OldDeadline),
            (Sent { delivery: Delivery::Sending, ..sent() }, ResendRefusal::Waiting),
            (Sent { resends: 5, ..sent() }, ResendRefusal::Spent(START.plus_days(26))),
            (Sent { last_sent_at: later, ..sent() }, ResendRefusal::TooSoon(later + Duration::from_secs(600))),
        ];
        for (mail, refusal) in cases {
            assert_eq!(may_resend(&mail, &rules(), later), Err(refusal));
        }
        assert_eq!(
            may_resend(&Sent { delivery: Delivery::Bounced, ..sent() }, &rules(), later),
            Ok(()),
            "the mailbox may be back"
        );
    }

    #[test]
    fn reminders_come_at_their_offsets_and_missed_ones_do_not_pile_up() {
        let (rules, ends) = (reminders(ReminderMode::IdenticalResend), START.plus_days(26));
        assert_eq!(next_reminder(&rules, ends, START), Some(START.plus_days(19)));
        assert_eq!(next_reminder(&rules, ends, START.plus_days(19)), Some(START.plus_days(24)));
        assert_eq!(next_reminder(&rules, ends, START.plus_days(24)), None);
        assert_eq!(next_reminder(&reminders(ReminderMode::Off), ends, START), None);
    }

    #[test]
    fn who_is_reminded_of_what() {
        let now = START.plus_days(19);
        let (identical, notice) = (reminders(ReminderMode::IdenticalResend), reminders(ReminderMode::NoticeOnly));
        assert_eq!(reminding(&sent(), &identical, now), Reminding::Resend);
        assert_eq!(reminding(&sent(), &notice, now), Reminding::Notice);
        let extended = Sent { expires_at: START.plus_days(28), ..sent() };
        assert_eq!(reminding(&extended, &identical, now), Reminding::Notice, "the mail states another deadline");
        for nothing in [
            Sent { delivery: Delivery::Bounced, ..sent() },
            Sent { delivery: Delivery::Queued, ..sent() },
            Sent { link: LinkState::Answered, ..sent() },
            Sent { last_sent_at: now, ..sent() },
        ] {
            assert_eq!(reminding(&nothing, &identical, now), Reminding::Nothing);
        }
    }

    #[test]
    fn only_the_two_lines_change() {
        let sealed = b"Message-ID: <a@x>\r\nX-Approval-Id: mail_1\r\ndate: Sun, 22 Nov 2026 00:00:00 +0000\r\nSubject: =?utf-8?b?44GC?=\r\n =?utf-8?b?44GE?=\r\n\r\nDate: in the body\r\n";
        let again = sealed_again(sealed, "<b@x>", START).unwrap();
        assert_eq!(
            String::from_utf8(again).unwrap(),
            "Message-ID: <b@x>\r\nX-Approval-Id: mail_1\r\nDate: Wed, 18 Nov 2026 11:06:40 +0000\r\nSubject: =?utf-8?b?44GC?=\r\n =?utf-8?b?44GE?=\r\n\r\nDate: in the body\r\n"
        );
        for unfit in [
            &b"Date: x\r\n\r\n"[..],
            b"Message-ID: <a>\r\nDate: x\r\nDate: y\r\n\r\n",
            b"Message-ID:\r\n <a>\r\nDate: x\r\n\r\n",
            b"",
        ] {
            assert_eq!(sealed_again(unfit, "<b@x>", START), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_the_body_stays(header in "([A-Za-z-]{1,12}: [ -~]{0,30}\r\n){0,6}", body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut sealed = format!("Message-ID: <a@x>\r\nDate: x\r\n{header}\r\n").into_bytes();
            sealed.extend(&body);
            if let Some(again) = sealed_again(&sealed, "<b@x>", START) {
                prop_assert!(again.ends_with(&body));
            }
            let _ = sealed_again(&body, "<b@x>", START);
        }
    }
}
