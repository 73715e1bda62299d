//! Whether a recipient's domain takes mail, as DNS tells: advice for people, never a reason to send or not.

use super::contact::dns_txt::DnsOutcome;

/// Where mail for a domain goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailHost {
    /// It has mail exchangers.
    Mx,
    /// It has none, and an address that stands in for one. Spec: RFC 5321 section 5.1.
    Address,
    /// It says that it takes no mail. Spec: RFC 7505.
    NullMx,
    /// It has neither, or does not exist.
    Missing,
    /// DNS did not tell.
    Unknown,
}

impl MailHost {
    /// The word as the API tells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Address => "address",
            Self::NullMx => "null-mx",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }
}

/// Reads the answers to MX, given as the exchangers' names, and to the domain's addresses; the second is not looked at where the first
/// suffices.
#[must_use]
pub fn mail_host(mx: &DnsOutcome<String>, address: Option<&DnsOutcome<()>>) -> MailHost {
    match (mx, address) {
        (DnsOutcome::Records(hosts), _) if !hosts.is_empty() => {
            if hosts.iter().all(|host| matches!(host.as_str(), "." | "")) {
                MailHost::NullMx
            } else {
                MailHost::Mx
            }
        }
        (DnsOutcome::Records(_) | DnsOutcome::NoData, Some(DnsOutcome::Records(_))) => MailHost::Address,
        (DnsOutcome::NxDomain, _)
        | (DnsOutcome::Records(_) | DnsOutcome::NoData, Some(DnsOutcome::NoData | DnsOutcome::NxDomain)) => MailHost::Missing,
        _ => MailHost::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_told_apart() {
        let mx = |hosts: &[&str]| DnsOutcome::Records(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>());
        for (mx, address, host) in [
            (mx(&["mail.example.jp."]), None, MailHost::Mx),
            (mx(&["."]), None, MailHost::NullMx),
            (DnsOutcome::NoData, Some(DnsOutcome::Records(vec![()])), MailHost::Address),
            (DnsOutcome::NoData, Some(DnsOutcome::NoData), MailHost::Missing),
            (DnsOutcome::NoData, Some(DnsOutcome::Timeout), MailHost::Unknown),
            (DnsOutcome::NxDomain, None, MailHost::Missing),
            (DnsOutcome::ServFail, None, MailHost::Unknown),
            (DnsOutcome::Bogus, Some(DnsOutcome::Records(vec![()])), MailHost::Unknown),
        ] {
            assert_eq!(mail_host(&mx, address.as_ref()), host, "{mx:?}");
        }
    }
}
