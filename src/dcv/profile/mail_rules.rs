//! How mails are worded, and which notices go.

use serde::{Deserialize, Serialize};

use super::{Languages, LintError};

/// How the approval mail leads to the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailBody {
    /// By a link.
    #[default]
    Standard,
    /// By a page's address and a code to be pasted there: nothing in the mail can be followed by a machine.
    CodeEntry,
}

/// The mails' wording, and which notices go.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct MailRules {
    /// What the sender is called where Japanese stands first; empty = as `smtp.from` says. The address is always ours.
    pub from_name_ja: String,
    /// The same where English stands first.
    pub from_name_en: String,
    /// The languages of the approval mail; the order says which stands first where it is among them.
    pub languages: Languages,
    /// Whether the approval mail has an HTML part beside the text.
    pub html: bool,
    /// How the approval mail leads to the page.
    pub body: MailBody,
    /// The approval mail's subject where Japanese stands first; empty = the template's.
    pub subject_ja: String,
    /// The same where English stands first.
    pub subject_en: String,
    /// The Japanese subject for a renewal; empty = as any other.
    pub subject_renewal_ja: String,
    /// Senders that the real service uses. Documentation: nobody sends as them.
    pub documented_from: Vec<String>,
    /// The ordering side is told at the order's creation who is asked.
    pub applicant_heads_up: bool,
    /// Everyone who was asked is told what was answered.
    pub decision_receipt: bool,
    /// The ordering side is told when nobody answered in time.
    pub expiry_notice: bool,
}

impl Default for MailRules {
    /// The template's subject, and every notice: a receipt is the alarm for a wrong approval.
    fn default() -> Self {
        let subject = String::new;
        Self {
            from_name_ja: String::new(),
            from_name_en: String::new(),
            languages: Languages::default(),
            html: true,
            body: MailBody::Standard,
            subject_ja: subject(),
            subject_en: subject(),
            subject_renewal_ja: subject(),
            documented_from: Vec::new(),
            applicant_heads_up: true,
            decision_receipt: true,
            expiry_notice: true,
        }
    }
}

/// Longest subject, in characters, before its placeholders are filled.
const SUBJECT_MAX_CHARS: usize = 120;

impl MailRules {
    /// The approval mail's subject as the profile words it; `None` where it leaves that to the template.
    #[must_use]
    pub fn subject(&self, japanese: bool, renewal: bool, fields: &SubjectFields<'_>) -> Option<String> {
        let wording = match (japanese, renewal && !self.subject_renewal_ja.is_empty()) {
            (true, true) => &self.subject_renewal_ja,
            (true, false) => &self.subject_ja,
            (false, _) => &self.subject_en,
        };
        (!wording.is_empty()).then(|| fields.fill(wording))
    }

    /// The sender's name as the profile words it; `None` where it leaves that to the configuration.
    #[must_use]
    pub fn from_name(&self, japanese: bool) -> Option<&str> {
        let name = if japanese { &self.from_name_ja } else { &self.from_name_en };
        (!name.is_empty()).then_some(name)
    }

    pub(super) fn lint(&self) -> Result<(), LintError> {
        let subjects = [
            ("mail.subject_ja", &self.subject_ja),
            ("mail.subject_en", &self.subject_en),
            ("mail.subject_renewal_ja", &self.subject_renewal_ja),
        ];
        for (key, wording) in subjects.into_iter().filter(|(_, wording)| !wording.is_empty()) {
            let err = |problem| Err(LintError { rule: "L07", key, problem });
            if !wording.contains("{domain}") {
                return err("must hold {domain}, so that the owner sees what is asked");
            }
            if SubjectFields::default().fill(wording).contains(['{', '}']) {
                return err("may hold {domain}, {request_id} and {order_ref} alone");
            }
            if ["あと", "残り", "days left"].iter().any(|word| wording.contains(word)) {
                return err("must not count time: a mail is read when it is read");
            }
            if !crate::dcv::field::is_one_line(wording) || wording.chars().count() > SUBJECT_MAX_CHARS {
                return err("must be one line of 120 characters at most");
            }
        }
        for (key, name) in [("mail.from_name_ja", &self.from_name_ja), ("mail.from_name_en", &self.from_name_en)] {
            if !crate::dcv::field::is_one_line(name) || name.contains(['<', '>', '@']) || name.chars().count() > NAME_MAX_CHARS {
                let problem = "must be a name of 60 characters at most, on one line and without an address";
                return Err(LintError { rule: "L09", key, problem });
            }
        }
        Ok(())
    }
}

/// Longest name of a sender, in characters.
const NAME_MAX_CHARS: usize = 60;

/// What a subject may tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubjectFields<'f> {
    /// The ADN in Unicode.
    pub domain: &'f str,
    /// The order's id.
    pub request_id: &'f str,
    /// The ordering system's reference.
    pub order_ref: &'f str,
}

impl SubjectFields<'_> {
    /// Fills the placeholders of a wording; what is filled in is not looked at again.
    fn fill(&self, wording: &str) -> String {
        let known = [("{domain}", self.domain), ("{request_id}", self.request_id), ("{order_ref}", self.order_ref)];
        let (mut filled, mut rest) = (String::new(), wording);
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let (value, skip) = known
                .iter()
                .find(|(name, _)| rest.starts_with(name))
                .map_or((&rest[..1], 1), |(name, value)| (*value, name.len()));
            filled.push_str(value);
            rest = &rest[skip..];
        }
        filled.push_str(rest);
        filled
    }
}
