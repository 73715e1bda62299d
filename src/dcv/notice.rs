//! Notices: mail without a link. They tell what became of an order; nothing is decided by them.

use super::order::ValidationState;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// What a notice tells.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum NoticeKind { $($(#[$doc])* $name),* }

        impl NoticeKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The kind as stored, and as its template is called.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// Reads the stored form.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// To the ordering side, at the order's creation: who is being asked, to forward to the domain's owner.
    HeadsUp = "heads-up",
    /// To an approver who has not answered: that a mail was sent.
    Reminder = "reminder",
    /// To everyone who was asked: what was answered, by whose link. The alarm for a wrong approval.
    Receipt = "receipt",
    /// To the ordering side: what was answered.
    Result = "result",
    /// To the ordering side and the operators: somebody objects to an approval.
    Disputed = "disputed",
    /// To the ordering side: nobody answered in time.
    Expired = "expired",
    /// To the ordering side: a certificate that was issued on the order draws near its end.
    Renewal = "renewal",
    /// To the ordering side: the order was withdrawn.
    Cancelled = "cancelled",
    /// To the ordering side and the operators: an approval mail came back for good.
    Bounced = "bounced",
    /// To the ordering side, when somebody asks for it: the code that shows the order's state once.
    StatusCode = "status-code",
    /// To the operators: what a person wrote to our return path.
    Reply = "reply",
    /// To the operators: the day in figures.
    Digest = "digest",
    /// To our own return path, and back: that mail goes out and comes in.
    Canary = "canary",
}

/// What was answered, as a receipt tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answered {
    /// Approved.
    Approved,
    /// Refused.
    Rejected,
    /// "I don't recognise this."
    Reported,
}

impl Answered {
    /// What a decision's state and kind come to.
    #[must_use]
    pub const fn new(state: ValidationState, reported: bool) -> Self {
        match (state, reported) {
            (ValidationState::Approved, _) => Self::Approved,
            (_, true) => Self::Reported,
            (_, false) => Self::Rejected,
        }
    }

    /// The word as templates know it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Reported => "reported",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back() {
        for kind in NoticeKind::ALL {
            assert_eq!(NoticeKind::from_text(kind.as_str()), Some(*kind));
        }
        assert_eq!(NoticeKind::from_text("advertisement"), None);
    }

    #[test]
    fn a_report_is_told_apart_from_a_refusal() {
        assert_eq!(Answered::new(ValidationState::Approved, false), Answered::Approved);
        assert_eq!(Answered::new(ValidationState::Rejected, true), Answered::Reported);
        assert_eq!(Answered::new(ValidationState::Rejected, false), Answered::Rejected);
    }
}
