//! Order → validation (one name) → mail (one recipient, one Random Value): their states, and who is asked for what.

mod assign;
mod hint;
pub mod reference;

use serde::{Deserialize, Serialize};

pub use self::assign::{Assignment, Choice, ChoiceError, Chooser, NotSelectable, PlannedMail, Wanted, allowed, assign};

/// Most names in one order.
pub const NAMES_MAX: usize = 250;

/// Most mails that one order sends: one for each of the most names.
pub const MAILS_MAX: usize = 250;

/// Most approvers named in one order.
pub const APPROVERS_MAX: usize = 50;

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),* }

        impl $name {
            /// Every value, in the order of a life.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The value as the outer contract spells it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// Reads the contract's spelling.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

states! {
    /// An order's life.
    OrderState {
        /// At least one name is open.
        Pending = "pending",
        /// Every name has ended.
        Completed = "completed",
        /// Withdrawn by the ordering system or an operator.
        Cancelled = "cancelled",
    }
}

states! {
    /// One name's life within an order.
    ValidationState {
        /// Accepted; no mail has gone, since no approver could be chosen yet.
        AwaitingApprover = "awaiting_approver",
        /// Asked and not answered.
        Pending = "pending",
        /// An approver agreed.
        Approved = "approved",
        /// An approver refused, or does not recognise the request.
        Rejected = "rejected",
        /// The deadline passed.
        Expired = "expired",
        /// The order was withdrawn.
        Cancelled = "cancelled",
    }
}

impl ValidationState {
    /// Whether nothing can follow.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::AwaitingApprover | Self::Pending)
    }
}

states! {
    /// The life of a mail's link.
    LinkState {
        /// Not handed to the relay yet.
        Queued = "queued",
        /// Handed to the relay.
        Sent = "sent",
        /// Somebody answered it, or answered all it asks by another mail.
        Answered = "answered",
        /// Its deadline passed.
        Expired = "expired",
        /// A newer mail replaces it.
        Superseded = "superseded",
        /// The order was withdrawn.
        Cancelled = "cancelled",
    }
}

impl LinkState {
    /// Whether the link can be answered, deadline aside.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Sent)
    }
}

states! {
    /// What became of a mail on its way.
    Delivery {
        /// Waiting in the outbox.
        Queued = "queued",
        /// A worker is handing it over, or will try again.
        Sending = "sending",
        /// The relay took it.
        Accepted = "accepted",
        /// A relay reports that it is late.
        Delayed = "delayed",
        /// A relay reports that it arrived.
        Delivered = "delivered",
        /// It came back.
        Bounced = "bounced",
        /// It could not be handed over.
        Failed = "failed",
    }
}

states! {
    /// What an order is for.
    OrderKind {
        /// A first certificate.
        New = "new",
        /// The successor of a certificate.
        Renewal = "renewal",
        /// One more for the same names.
        Additional = "additional",
        /// The same certificate again.
        Reissue = "reissue",
    }
}

states! {
    /// Which language stands first in mails and pages.
    Locale {
        /// Japanese.
        Ja = "ja",
        /// English.
        En = "en",
    }
}
