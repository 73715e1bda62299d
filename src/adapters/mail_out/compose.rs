//! Letters into bytes, by lettre.

use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, MultiPartKind, SinglePart};

use crate::dcv::returned_mail::MAIL_ID_HEADER;
use crate::ports::{ComposeError, Letter};

/// Whose letters they are.
pub(super) struct Sender {
    pub(super) from: Mailbox,
    pub(super) reply_to: Option<Mailbox>,
    /// The last part of Feedback-ID: the sender, as providers count complaints.
    pub(super) feedback: String,
}

impl Sender {
    /// The final bytes; the same letter gives the same bytes.
    pub(super) fn compose(&self, letter: &Letter) -> Result<Vec<u8>, ComposeError> {
        let to: Address = letter.to.to_string().parse().map_err(|error| ComposeError(format!("{error}")))?;
        let seconds = u64::try_from(letter.date.unix_secs()).unwrap_or(0);
        let header = |name: &'static str, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
        // Near the top: some servers cut the headers that they return.
        let mut builder = Message::builder().message_id(Some(letter.message_id.clone()));
        if let Some(id) = letter.mail_id {
            builder = builder.raw_header(header(MAIL_ID_HEADER, &id.to_string()));
        }
        builder = builder
            .date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
            .from(match &letter.from_name {
                Some(name) => Mailbox::new(Some(name.clone()), self.from.email.clone()),
                None => self.from.clone(),
            })
            .to(Mailbox::new(None, to))
            .subject(&letter.subject)
            .raw_header(header("Auto-Submitted", "auto-generated"))
            // Not "All": that would suppress the reports of non-delivery too.
            .raw_header(header("X-Auto-Response-Suppress", "OOF, AutoReply"))
            .raw_header(header("Feedback-ID", &format!("{}:{}", letter.kind, self.feedback)))
            .raw_header(header("Content-Language", letter.languages));
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(reply_to.clone());
        } else if let Some(reply_to) = &letter.reply_to {
            let address: Address = reply_to.parse().map_err(|error| ComposeError(format!("{error}")))?;
            builder = builder.reply_to(Mailbox::new(None, address));
        }
        let message = match &letter.html {
            // The boundary comes from the Message-ID: the same letter gives the same bytes.
            Some(html) => {
                let token: String = letter.message_id.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
                let parts = MultiPart::builder().kind(MultiPartKind::Alternative).boundary(format!("=_{token}"));
                builder.multipart(
                    parts.singlepart(SinglePart::plain(letter.text.clone())).singlepart(SinglePart::html(html.clone())),
                )
            }
            None => builder.header(ContentType::TEXT_PLAIN).body(letter.text.clone()),
        };
        Ok(message.map_err(|error| ComposeError(error.to_string()))?.formatted())
    }
}
