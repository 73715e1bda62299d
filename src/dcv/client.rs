//! What an ordering system may do.

use serde::{Deserialize, Serialize};

/// A part of the API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ApiScope {
    /// Read orders, approvers and approvals.
    #[serde(rename = "orders:read")]
    OrdersRead,
    /// Place orders and change them.
    #[serde(rename = "orders:write")]
    OrdersWrite,
    /// Read timelines and evidence, and have webhooks sent again.
    #[serde(rename = "events:read")]
    EventsRead,
    /// Change the allow-list.
    #[serde(rename = "allowlist:write")]
    AllowlistWrite,
}

impl ApiScope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::OrdersRead, Self::OrdersWrite, Self::EventsRead, Self::AllowlistWrite];

    /// What a client may do unless it is said: not to widen the list that it is held to.
    pub const USUAL: [Self; 3] = [Self::OrdersRead, Self::OrdersWrite, Self::EventsRead];

    /// The scope as the contract spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrdersRead => "orders:read",
            Self::OrdersWrite => "orders:write",
            Self::EventsRead => "events:read",
            Self::AllowlistWrite => "allowlist:write",
        }
    }

    /// Reads the contract's spelling.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// Requests in a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct RequestRate {
    /// So many,
    pub requests: u32,
    /// in so many seconds.
    pub seconds: u32,
}

impl RequestRate {
    /// Reads "100/1s", or "6000/1m"; `None` where it is no rate.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (requests, time) = text.split_once('/')?;
        let (time, unit) = match time.trim() {
            time if time.ends_with('s') => (time.strip_suffix('s')?, 1),
            time if time.ends_with('m') => (time.strip_suffix('m')?, 60),
            _ => return None,
        };
        let rate = Self { requests: requests.trim().parse().ok()?, seconds: time.parse::<u32>().ok()?.checked_mul(unit)? };
        (rate.requests > 0 && rate.seconds > 0 && rate.seconds <= 3600).then_some(rate)
    }
}

/// What an ordering system may do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Rights {
    /// The parts of the API.
    pub scopes: Vec<ApiScope>,
    /// The profiles it may order under; `None` for all.
    pub profiles: Option<Vec<String>>,
    /// How fast it may ask; `None` for the daemon's default.
    pub rate: Option<RequestRate>,
    /// Its mails go nowhere and its approvals prove nothing.
    pub test: bool,
}

impl Default for Rights {
    /// Everything but changing its own allow-list, in earnest.
    fn default() -> Self {
        Self { scopes: ApiScope::USUAL.to_vec(), profiles: None, rate: None, test: false }
    }
}

impl Rights {
    /// Whether a part of the API is open to it.
    #[must_use]
    pub fn allows(&self, scope: ApiScope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it may order under a profile.
    #[must_use]
    pub fn allows_profile(&self, profile: &str) -> bool {
        self.profiles.as_ref().is_none_or(|profiles| profiles.iter().any(|one| one == profile))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_requests_in_a_time() {
        assert_eq!(RequestRate::parse("100/1s"), Some(RequestRate { requests: 100, seconds: 1 }));
        assert_eq!(RequestRate::parse("6000/2m"), Some(RequestRate { requests: 6000, seconds: 120 }));
        for bad in ["", "100", "0/1s", "1/0s", "1/1h", "1/61m", "x/1s", "1/99999999999999s"] {
            assert_eq!(RequestRate::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn rights_read_back_and_what_is_not_said_is_allowed() {
        let rights: Rights = serde_json::from_str("{}").unwrap();
        assert!(rights.allows(ApiScope::OrdersWrite) && rights.allows_profile("any") && !rights.test);
        let some = Rights { scopes: vec![ApiScope::OrdersRead], profiles: Some(vec!["a".to_owned()]), ..Rights::default() };
        let back: Rights = serde_json::from_str(&serde_json::to_string(&some).unwrap()).unwrap();
        assert!(back == some && !back.allows(ApiScope::EventsRead) && !back.allows_profile("b"));
    }
}
