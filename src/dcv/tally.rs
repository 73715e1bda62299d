//! What an entry of a timeline adds to the statistics.

use serde_json::Value;

use super::event::EventType;
use super::mail_cause::MailCause;
use super::name::{CertificateName, SuffixList};
use super::timestamp::Timestamp;

/// A property of an order by which things are counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dimension {
    /// None: everything together.
    All,
    /// The profile's name.
    Profile,
    /// The ordering system.
    Client,
    /// The class of the name's domain.
    Class,
    /// The method's section.
    Method,
    /// Where the address was found.
    Source,
    /// The constructed address' local part.
    LocalPart,
    /// Why mail came back.
    Cause,
    /// How long an approval took, by [`TOOK`].
    Took,
    /// How often the approver was reminded before.
    Reminders,
    /// Who sent the request, by month.
    Requester,
    /// The registered domain, by month.
    Domain,
    /// How far orders came, by the hour of their creation.
    Funnel,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 13] = [
        Self::All,
        Self::Profile,
        Self::Client,
        Self::Class,
        Self::Method,
        Self::Source,
        Self::LocalPart,
        Self::Cause,
        Self::Took,
        Self::Reminders,
        Self::Requester,
        Self::Domain,
        Self::Funnel,
    ];

    /// The dimension as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Profile => "profile",
            Self::Client => "client",
            Self::Class => "class",
            Self::Method => "method",
            Self::Source => "source",
            Self::LocalPart => "local-part",
            Self::Cause => "cause",
            Self::Took => "took",
            Self::Reminders => "reminders",
            Self::Requester => "requester",
            Self::Domain => "domain",
            Self::Funnel => "funnel",
        }
    }

    /// Reads what is stored.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }

    /// Whether it is counted by the month, since it has many values.
    #[must_use]
    pub const fn is_monthly(self) -> bool {
        matches!(self, Self::Requester | Self::Domain)
    }
}

/// The ends of the spans that [`Dimension::Took`] tells apart, in seconds, with their names; what is longer is the last one.
pub const TOOK: [(u64, &str); 9] = [
    (600, "10m"),
    (3600, "1h"),
    (4 * 3600, "4h"),
    (12 * 3600, "12h"),
    (86_400, "24h"),
    (3 * 86_400, "3d"),
    (7 * 86_400, "7d"),
    (14 * 86_400, "14d"),
    (u64::MAX, "longer"),
];

/// What is counted: of orders, mails and names.
pub mod measure {
    /// Orders placed.
    pub const ORDERS: &str = "orders";
    /// Names in them.
    pub const NAMES: &str = "names";
    /// Mails that the relay took, resends included.
    pub const SENT: &str = "sent";
    /// Mails that reached the recipient's server, as it reported.
    pub const DELIVERED: &str = "delivered";
    /// Mails that came back or were given up.
    pub const BOUNCED: &str = "bounced";
    /// Names approved by a person.
    pub const APPROVED: &str = "approved";
    /// Names that rest on an earlier approval.
    pub const REUSED: &str = "reused";
    /// Names refused.
    pub const REJECTED: &str = "rejected";
    /// Names whose approver did not recognise the request.
    pub const REPORTED: &str = "reported";
    /// Approvals that somebody objected to.
    pub const DISPUTED: &str = "disputed";
    /// Names that nobody answered for in time.
    pub const EXPIRED: &str = "expired";
    /// Orders withdrawn.
    pub const CANCELLED: &str = "cancelled";
    /// Changes of approver.
    pub const SUPERSEDED: &str = "superseded";

    /// Every measure, in the order in which tables show them.
    pub const ALL: [&str; 13] =
        [ORDERS, NAMES, SENT, DELIVERED, BOUNCED, APPROVED, REUSED, REJECTED, REPORTED, DISPUTED, EXPIRED, CANCELLED, SUPERSEDED];
}

/// How far an order came.
pub mod step {
    /// It was placed.
    pub const CREATED: &str = "1-created";
    /// Somebody was found to ask.
    pub const ADDRESSED: &str = "2-addressed";
    /// The relay took a mail.
    pub const ACCEPTED: &str = "3-accepted";
    /// A mail came back: to be taken from those before.
    pub const BOUNCED: &str = "4-bounced";
    /// A person opened the page.
    pub const VIEWED: &str = "5-viewed";
    /// A name was decided by a person.
    pub const DECIDED: &str = "6-decided";
    /// The ordering system took the news.
    pub const TOLD: &str = "7-told";
    /// It reported a certificate.
    pub const ISSUED: &str = "8-issued";
}

/// An entry of a timeline with what is known of its order.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// What happened.
    pub kind: EventType,
    /// When.
    pub at: Timestamp,
    /// What it says.
    pub data: &'a Value,
    /// When its order was placed.
    pub ordered_at: Timestamp,
    /// The order's profile.
    pub profile: &'a str,
    /// The ordering system.
    pub client: &'a str,
    /// Who sent the request; empty where it was not told.
    pub requester: &'a str,
    /// It is the order's first of its kind.
    pub is_first: bool,
    /// The order had mails from its beginning.
    pub was_addressed: bool,
    /// How often the approver was reminded, where a name was approved.
    pub reminders: Option<i64>,
}

/// One count to be raised by `by`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// The beginning of the hour or month, Unix microseconds.
    pub at: i64,
    /// By what.
    pub dimension: &'static str,
    /// Its value.
    pub value: String,
    /// What is counted.
    pub measure: &'static str,
    /// How many.
    pub by: i64,
}

/// Longest value kept, in characters: who sends requests writes what they like.
const VALUE_MAX_CHARS: usize = 100;

const HOUR_MICROS: i64 = 3_600_000_000;

/// The hour's beginning.
#[must_use]
pub const fn hour_of(at: Timestamp) -> i64 {
    at.unix_micros().div_euclid(HOUR_MICROS) * HOUR_MICROS
}

/// The beginning of the month, in Japan.
#[must_use]
pub fn month_of(at: Timestamp) -> i64 {
    let day = at.to_jst();
    let first = time::Date::from_calendar_date(day.year(), day.month(), 1).unwrap_or(day.date());
    let midnight = first.midnight().assume_offset(day.offset());
    midnight.unix_timestamp() * 1_000_000
}

/// What an entry adds.
#[must_use]
pub fn counts(entry: &Entry<'_>, suffixes: &SuffixList) -> Vec<Count> {
    let mut all = Vec::new();
    let mut add = |dimension: Dimension, value: &str, measure: &'static str, by: i64| {
        let at = match dimension {
            Dimension::Funnel => hour_of(entry.ordered_at),
            monthly if monthly.is_monthly() => month_of(entry.at),
            _ => hour_of(entry.at),
        };
        let value = value.chars().take(VALUE_MAX_CHARS).collect();
        all.push(Count { at, dimension: dimension.as_str(), value, measure, by });
    };
    let text = |name: &str| entry.data[name].as_str().unwrap_or_default();
    let mut names: Vec<&str> = Vec::new();
    let mut of_mail = false;
    let measured = match entry.kind {
        EventType::OrderCreated => {
            names = entry.data["names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            Some(measure::ORDERS)
        }
        EventType::MailSent => Some(measure::SENT),
        EventType::MailDelivered => Some(measure::DELIVERED),
        EventType::MailBounced | EventType::MailFailed => Some(measure::BOUNCED),
        EventType::ValidationApproved if entry.data["reused_from"].is_null() => Some(measure::APPROVED),
        EventType::ValidationApproved => Some(measure::REUSED),
        EventType::ValidationRejected => Some(measure::REJECTED),
        EventType::ValidationReported => Some(measure::REPORTED),
        EventType::ValidationDisputed => Some(measure::DISPUTED),
        EventType::ValidationExpired => Some(measure::EXPIRED),
        EventType::OrderCancelled => Some(measure::CANCELLED),
        EventType::ApproverChanged => Some(measure::SUPERSEDED),
        _ => None,
    };
    if let Some(measure) = measured {
        of_mail = matches!(measure, measure::SENT | measure::DELIVERED | measure::BOUNCED);
        add(Dimension::All, "", measure, 1);
        add(Dimension::Profile, entry.profile, measure, 1);
        add(Dimension::Client, entry.client, measure, 1);
        if !entry.requester.is_empty() {
            add(Dimension::Requester, entry.requester, measure, 1);
        }
        let source = text("source");
        if !source.is_empty() {
            add(Dimension::Source, source, measure, 1);
        }
        let address = if of_mail { text("to") } else { text("approver") };
        if let (true, Some((local, _))) = (source == "constructed", address.split_once('@')) {
            add(Dimension::LocalPart, local, measure, 1);
        }
    }
    if let (Some(measure), false, false) = (measured, of_mail, entry.data["method"].is_null()) {
        add(Dimension::Method, text("method"), measure, 1);
    }
    if entry.kind == EventType::OrderCreated {
        let count = i64::try_from(names.len()).unwrap_or(i64::MAX);
        for (dimension, value) in [(Dimension::All, ""), (Dimension::Profile, entry.profile), (Dimension::Client, entry.client)] {
            add(dimension, value, measure::NAMES, count);
        }
    } else if !text("name").is_empty() {
        names.push(text("name"));
    }
    let by_name = match measured {
        Some(measure::ORDERS) => Some(measure::NAMES),
        other => other,
    };
    for name in names.iter().filter_map(|name| CertificateName::parse(name, suffixes).ok()) {
        if let Some(measure) = by_name {
            add(Dimension::Class, name.fqdn().class().as_str(), measure, 1);
            add(Dimension::Domain, name.fqdn().base_domain().as_str(), measure, 1);
        }
    }
    match measured {
        Some(measure::BOUNCED) => {
            let said = [text("reason"), text("detail"), text("failure")].join(" ");
            add(Dimension::Cause, MailCause::of(&said).map_or("other", MailCause::as_str), measure::BOUNCED, 1);
        }
        Some(measure::APPROVED) => {
            let took = entry.at.since(entry.ordered_at).as_secs();
            let span = TOOK.into_iter().find(|(end, _)| took < *end).map_or("longer", |(_, name)| name);
            add(Dimension::Took, span, measure::APPROVED, 1);
            if let Some(reminders) = entry.reminders {
                add(Dimension::Reminders, &reminders.to_string(), measure::APPROVED, 1);
            }
        }
        _ => {}
    }
    let step = match entry.kind {
        EventType::OrderCreated => Some(step::CREATED),
        EventType::MailSent if entry.is_first => Some(step::ACCEPTED),
        EventType::MailBounced | EventType::MailFailed if entry.is_first => Some(step::BOUNCED),
        EventType::ValidationApproved | EventType::ValidationRejected | EventType::ValidationReported if entry.is_first => {
            Some(step::DECIDED)
        }
        EventType::CertificateRecorded if entry.is_first => Some(step::ISSUED),
        _ => None,
    };
    if let Some(step) = step {
        add(Dimension::Funnel, "", step, 1);
    }
    let addressed = match entry.kind {
        EventType::OrderCreated => entry.was_addressed,
        EventType::ApproverChanged => entry.is_first && !entry.was_addressed,
        _ => false,
    };
    if addressed {
        add(Dimension::Funnel, "", step::ADDRESSED, 1);
    }
    all
}

/// Within which time a share of approvals was given, as far as the spans of [`TOOK`] tell: the span's name, and whether there are any.
#[must_use]
pub fn within(took: &[(String, i64)], percent: i64) -> Option<&'static str> {
    let count = |name: &str| took.iter().filter(|(value, _)| value == name).map(|(_, count)| count).sum::<i64>();
    let total: i64 = TOOK.iter().map(|(_, name)| count(name)).sum();
    let mut so_far = 0;
    (total > 0).then_some(())?;
    TOOK.into_iter().find_map(|(_, name)| {
        so_far += count(name);
        (so_far * 100 >= total * percent).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(kind: EventType, data: &Value) -> Entry<'_> {
        Entry {
            kind,
            at: Timestamp::from_unix_secs(1_795_305_600 + 5000),
            data,
            ordered_at: Timestamp::from_unix_secs(1_795_305_600),
            profile: "standard",
            client: "orders",
            requester: "窓口",
            is_first: true,
            was_addressed: true,
            reminders: Some(1),
        }
    }

    fn told(entry: &Entry<'_>) -> Vec<String> {
        let mut told: Vec<String> = counts(entry, &SuffixList::BuiltIn)
            .into_iter()
            .map(|one| format!("{} {} {} +{}", one.dimension, one.value, one.measure, one.by))
            .collect();
        told.sort();
        told
    }

    #[test]
    fn an_order_counts_itself_and_its_names() {
        let data = json!({"names": ["www.example.co.jp", "*.example.co.jp", "example.com"]});
        let wanted = [
            "all  names +3",
            "all  orders +1",
            "class gtld names +1",
            "class jp-organizational names +1",
            "class jp-organizational names +1",
            "client orders names +3",
            "client orders orders +1",
            "domain example.co.jp names +1",
            "domain example.co.jp names +1",
            "domain example.com names +1",
            "funnel  1-created +1",
            "funnel  2-addressed +1",
            "profile standard names +3",
            "profile standard orders +1",
            "requester 窓口 orders +1",
        ];
        assert_eq!(told(&entry(EventType::OrderCreated, &data)), wanted);
    }

    #[test]
    fn an_approval_tells_how_long_it_took_and_by_what() {
        let data =
            json!({"name": "www.example.jp", "source": "constructed", "method": "3.2.2.4.4", "approver": "admin@example.jp"});
        let told = told(&entry(EventType::ValidationApproved, &data));
        for wanted in [
            "took 4h approved +1",
            "reminders 1 approved +1",
            "local-part admin approved +1",
            "method 3.2.2.4.4 approved +1",
            "domain example.jp approved +1",
            "funnel  6-decided +1",
        ] {
            assert!(told.iter().any(|one| one == wanted), "{wanted}: {told:?}");
        }
        let reused = json!({"name": "www.example.jp", "reused_from": {"order_id": "ord_x"}});
        let counted = counts(&entry(EventType::ValidationApproved, &reused), &SuffixList::BuiltIn);
        assert!(counted.iter().all(|one| one.measure != measure::APPROVED), "{counted:?}");
    }

    #[test]
    fn a_bounce_tells_its_cause() {
        let data = json!({"to": "admin@example.jp", "source": "constructed", "reason": "550 5.1.1 no such user"});
        let told = told(&entry(EventType::MailBounced, &data));
        assert!(told.contains(&"cause no-mailbox bounced +1".to_owned()), "{told:?}");
    }

    #[test]
    fn months_begin_in_japan_and_hours_everywhere() {
        // 2026-11-30T15:00Z is the first of December in Japan.
        let at = Timestamp::parse_rfc3339("2026-11-30T15:59:59Z").unwrap();
        assert_eq!(Timestamp::from_unix_micros(month_of(at)).to_string(), "2026-11-30T15:00:00Z");
        assert_eq!(Timestamp::from_unix_micros(hour_of(at)).to_string(), "2026-11-30T15:00:00Z");
        let before = Timestamp::parse_rfc3339("2026-11-30T14:59:59Z").unwrap();
        assert_eq!(Timestamp::from_unix_micros(month_of(before)).to_string(), "2026-10-31T15:00:00Z");
    }

    #[test]
    fn shares_are_read_from_the_spans() {
        let took = [("10m", 4), ("1h", 1), ("3d", 4), ("longer", 1)].map(|(name, count)| (name.to_owned(), count));
        assert_eq!((within(&took, 50), within(&took, 90), within(&[], 50)), (Some("1h"), Some("3d"), None));
    }
}
