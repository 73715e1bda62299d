//! Who may do what on the status page, and how long a sign-in lasts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::timestamp::Timestamp;

/// What an operator may do. Nobody may ever answer for a domain's owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Look, send again, release, have sources asked again.
    Operator,
    /// As an operator, and choose approvers.
    ApproverAdmin,
    /// Look, and read who did what.
    Auditor,
    /// Everything.
    Admin,
}

/// A kind of thing that is done on the status page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Look at orders and mails.
    Look,
    /// Change what is sent and when.
    Act,
    /// Choose who may approve.
    ChooseApprover,
    /// Read the access log and the audit log.
    ReadAccess,
    /// See whole addresses and what people wrote.
    SeePersonal,
    /// Take rows away as a file; without personal data where they may not be seen.
    Export,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Operator, Self::ApproverAdmin, Self::Auditor, Self::Admin];

    /// The role as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::ApproverAdmin => "approver-admin",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// Reads a role.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether the role may do something.
    #[must_use]
    pub const fn may(self, need: Need) -> bool {
        match need {
            Need::Look | Need::Export => true,
            Need::SeePersonal => !matches!(self, Self::Viewer),
            Need::Act => matches!(self, Self::Operator | Self::ApproverAdmin | Self::Admin),
            Need::ChooseApprover => matches!(self, Self::ApproverAdmin | Self::Admin),
            Need::ReadAccess => matches!(self, Self::Auditor | Self::Admin),
        }
    }
}

/// How long a sign-in lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionLimits {
    /// Without a request.
    pub idle: Duration,
    /// In all.
    pub longest: Duration,
}

impl SessionLimits {
    /// Whether a sign-in is over by time.
    #[must_use]
    pub fn over(&self, created_at: Timestamp, seen_at: Timestamp, now: Timestamp) -> bool {
        now.since(seen_at) >= self.idle || now.since(created_at) >= self.longest
    }
}

/// Why a sign-in ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndReason {
    /// By the operator's own word.
    Logout,
    /// Not used for too long, or as long as one may be.
    Timeout,
    /// The operator was disabled, or got another password.
    Revoked,
    /// The same browser signed in anew.
    Replaced,
}

impl EndReason {
    /// The reason as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Timeout => "timeout",
            Self::Revoked => "revoked",
            Self::Replaced => "replaced",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_may_what_they_are_for() {
        use Need::{Act, ChooseApprover, Look, ReadAccess};
        let may = |role: Role| [Look, Act, ChooseApprover, ReadAccess].map(|need| role.may(need));
        assert_eq!(may(Role::Viewer), [true, false, false, false]);
        assert_eq!(may(Role::Operator), [true, true, false, false]);
        assert_eq!(may(Role::ApproverAdmin), [true, true, true, false]);
        assert_eq!(may(Role::Auditor), [true, false, false, true]);
        assert_eq!(may(Role::Admin), [true, true, true, true]);
        assert!(Role::ALL.into_iter().all(|role| Role::from_text(role.as_str()) == Some(role)));
    }

    #[test]
    fn a_sign_in_ends_when_it_rests_or_lasts_too_long() {
        let limits = SessionLimits { idle: Duration::from_secs(60), longest: Duration::from_secs(600) };
        let start = Timestamp::from_unix_secs(1_795_305_600);
        let at = |secs: u64| start + Duration::from_secs(secs);
        assert!(!limits.over(start, at(50), at(109)));
        assert!(limits.over(start, at(50), at(110)));
        assert!(limits.over(start, at(599), at(600)));
    }
}
