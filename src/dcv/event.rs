//! What happened to an order: the timeline's entries, which are the webhooks' events.

use serde_json::{Map, Value, json};

use super::contact::Source;
use super::method::{self, BR_VERSION, Method};
use super::order::{OrderState, ValidationState};
use super::profile::Compliance;
use super::timestamp::Timestamp;

macro_rules! event_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// A kind of event.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum EventType { $($(#[$doc])* $name),* }

        impl EventType {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The kind as the outer contract spells it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

event_types! {
    /// An order was accepted.
    OrderCreated = "order.created",
    /// A name waits for an approver to be chosen.
    ApproverNeeded = "approver.needed",
    /// The relay took a mail.
    MailSent = "mail.sent",
    /// A relay reports that a mail is late.
    MailDelayed = "mail.delayed",
    /// A relay reports that a mail reached the recipient's server.
    MailDelivered = "mail.delivered",
    /// A mail came back.
    MailBounced = "mail.bounced",
    /// A mail could not be handed over.
    MailFailed = "mail.failed",
    /// A name was approved.
    ValidationApproved = "validation.approved",
    /// A name was refused.
    ValidationRejected = "validation.rejected",
    /// The recipient does not recognise the request.
    ValidationReported = "validation.reported",
    /// Somebody who was asked objects to an approval: by a refusal that came after it, or by a receipt's link.
    ValidationDisputed = "validation.disputed",
    /// Nobody answered in time.
    ValidationExpired = "validation.expired",
    /// Every name has ended.
    OrderCompleted = "order.completed",
    /// The order was withdrawn.
    OrderCancelled = "order.cancelled",
    /// The deadline of its mails was moved.
    OrderExtended = "order.extended",
    /// The ordering side was told that a certificate draws near its end.
    RenewalNoticed = "renewal.noticed",
    /// This service placed the order that renews.
    RenewalPlaced = "renewal.placed",
    /// It could not, and tries again.
    RenewalFailed = "renewal.failed",
    /// The ordering system reported a certificate.
    CertificateRecorded = "certificate.recorded",
    /// The sources were asked again for a name that awaits an approver, in vain.
    LookedAgain = "approver.looked_again",
    /// Policy keeps the order from mailing until an operator releases it.
    OrderHeld = "order.held",
    /// An operator released the order.
    OrderReleased = "order.released",
    /// Somebody else is asked, or somebody at last; `mail.sent` follows.
    ApproverChanged = "approver.changed",
    /// An approval waits for a refusal by somebody else who was asked.
    ApprovalWaits = "approval.waits",
    /// A person approved a name that takes more than one.
    ApprovalCounted = "approval.counted",
    /// Something about an answer that a person should look at; it counts all the same.
    AnswerMarked = "answer.marked",
    /// A mail was put into the outbox once more; `mail.sent` follows.
    MailResent = "mail.resent",
    /// An operator wrote something to the order, or marked a check that is made elsewhere.
    OrderNoted = "order.noted",
    /// The order was given to an operator, or to nobody.
    OrderAssigned = "order.assigned",
    /// Its reminders rest; its deadlines do not.
    OrderPaused = "order.paused",
    /// Its reminders go on.
    OrderResumed = "order.resumed",
    /// An operator had the sources asked at once.
    LookAsked = "approver.look_asked",
    /// An effect was put back into the outbox: one that was given up, or an event's webhooks once more.
    EffectReplayed = "effect.replayed",
}

impl EventType {
    /// What an order is once this has happened, where it ends it.
    #[must_use]
    pub const fn ends(self) -> Option<OrderState> {
        match self {
            Self::OrderCompleted => Some(OrderState::Completed),
            Self::OrderCancelled => Some(OrderState::Cancelled),
            _ => None,
        }
    }
}

impl EventType {
    /// Whether ordering systems are told; the rest stands in the timeline alone, since it is the operators' business; the reason stands on the status page.
    #[must_use]
    pub const fn is_told(self) -> bool {
        !matches!(
            self,
            Self::OrderHeld
                | Self::MailDelivered
                | Self::LookAsked
                | Self::OrderNoted
                | Self::OrderAssigned
                | Self::OrderPaused
                | Self::OrderResumed
                | Self::OrderExtended
                | Self::CertificateRecorded
                | Self::RenewalNoticed
                | Self::RenewalPlaced
                | Self::RenewalFailed
                | Self::LookedAgain
                | Self::OrderReleased
                | Self::ApproverChanged
                | Self::ApprovalWaits
                | Self::ApprovalCounted
                | Self::AnswerMarked
                | Self::MailResent
                | Self::EffectReplayed
        )
    }

    /// Whether operators alone see it: what they write to each other.
    #[must_use]
    pub const fn is_operators_own(self) -> bool {
        matches!(self, Self::OrderNoted | Self::OrderAssigned | Self::OrderPaused | Self::OrderResumed)
    }

    /// Reads the contract's spelling.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }
}

/// An event before the store gives it its place in the order's timeline.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Its kind.
    pub kind: EventType,
    /// When it happened.
    pub at: Timestamp,
    /// Who caused it: `client:<name>`, `approver`, `system`.
    pub actor: String,
    /// What it says, without `order_id`, `order_ref` and `seq`, which the store adds.
    pub data: Map<String, Value>,
}

impl Event {
    /// Puts an event together; `data` is a JSON object.
    #[must_use]
    pub fn new(kind: EventType, at: Timestamp, actor: &str, data: Value) -> Self {
        let data = match data {
            Value::Object(map) => map,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        Self { kind, at, actor: actor.to_owned(), data }
    }
}

/// Which events an endpoint wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// The endpoint's name.
    pub endpoint: String,
    /// The kinds wanted; `None` for all.
    pub kinds: Option<Vec<EventType>>,
    /// The ordering systems whose orders are wanted; `None` for all.
    pub clients: Option<Vec<String>>,
}

impl Subscription {
    /// Whether an event of an order of `client` is wanted.
    #[must_use]
    pub fn wants(&self, kind: EventType, client: &str) -> bool {
        kind.is_told()
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
            && self.clients.as_ref().is_none_or(|clients| clients.iter().any(|name| name == client))
    }
}

/// What `mpic` says where the certificate authority's own perspectives corroborate the address before issuance. Spec: BR v2.2.6 §3.2.2.9.
pub const EXTERNAL_MPIC: &str = "external";

/// What an order's result rests on, told with each `validation.*` event that a mail's answer caused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Basis {
    /// The ADN of the mail that was answered.
    pub adn: String,
    /// The address it went to.
    pub approver: String,
    /// Where the address was found.
    pub source: Source,
    /// When the reuse clock started.
    pub initiated_at: Timestamp,
    /// When the address was looked up; told of those alone that are not constructed.
    pub looked_up_at: Timestamp,
    /// What the dated table does under the order's profile.
    pub compliance: Compliance,
    /// The profile says that other perspectives corroborate the address.
    pub external_mpic: bool,
    /// The name that DNS was asked for the address, where others are to corroborate that.
    pub asked_name: Option<String>,
}

impl Basis {
    /// The method that the answer counts as.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.source.method()
    }

    /// The basis as the members of an event's data.
    #[must_use]
    pub fn members(&self, now: Timestamp) -> Map<String, Value> {
        let mut members = Map::from_iter([
            ("adn".to_owned(), json!(self.adn)),
            ("approver".to_owned(), json!(self.approver)),
            ("source".to_owned(), json!(self.source)),
            ("method".to_owned(), json!(self.method())),
            ("br_version".to_owned(), json!(BR_VERSION)),
            ("initiated_at".to_owned(), json!(self.initiated_at)),
            ("compliance".to_owned(), json!(self.compliance)),
            ("rule".to_owned(), json!(method::rule(self.method(), now))),
        ]);
        if self.source != Source::Constructed {
            members.insert("looked_up_at".to_owned(), json!(self.looked_up_at));
        }
        if self.external_mpic && self.source.is_dns() {
            members.insert("mpic".to_owned(), json!(EXTERNAL_MPIC));
            if let Some(name) = &self.asked_name {
                members.insert("asked_name".to_owned(), json!(name));
            }
        }
        members
    }
}

/// The event type for a validation that ended in `state`, `reported` telling "I don't recognise this" from a refusal.
#[must_use]
pub const fn validation_ended(state: ValidationState, reported: bool) -> Option<EventType> {
    match state {
        ValidationState::Approved => Some(EventType::ValidationApproved),
        ValidationState::Rejected if reported => Some(EventType::ValidationReported),
        ValidationState::Rejected => Some(EventType::ValidationRejected),
        ValidationState::Expired => Some(EventType::ValidationExpired),
        ValidationState::AwaitingApprover | ValidationState::Pending | ValidationState::Cancelled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back() {
        for kind in EventType::ALL {
            assert_eq!(EventType::from_text(kind.as_str()), Some(*kind));
        }
        assert_eq!(EventType::from_text("order.lost"), None);
    }

    #[test]
    fn what_others_are_to_corroborate_is_told_whole() {
        let now = Timestamp::from_unix_secs(1_795_305_600);
        let told = |source, external_mpic| {
            let basis = Basis {
                adn: "www.example.jp".to_owned(),
                approver: "a@example.jp".to_owned(),
                source,
                initiated_at: now,
                looked_up_at: now,
                compliance: Compliance::Enforce,
                external_mpic,
                asked_name: Some("example.jp".to_owned()),
            };
            let members = basis.members(now);
            ["mpic", "asked_name", "looked_up_at"].map(|name| members.get(name).and_then(Value::as_str).map(str::to_owned))
        };
        let at = Some("2026-11-22T00:00:00Z".to_owned());
        assert_eq!(told(Source::DnsCaa, true), [Some("external".to_owned()), Some("example.jp".to_owned()), at.clone()]);
        assert_eq!(told(Source::DnsCaa, false), [None, None, at.clone()]);
        assert_eq!(told(Source::Whois, true), [None, None, at]);
        assert_eq!(told(Source::Constructed, true), [None, None, None]);
    }
}
