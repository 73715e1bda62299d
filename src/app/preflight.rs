//! Looks whether a recipient's domain takes mail: advice, shown beside the mail's fate.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::App;
use crate::dcv::contact::dns_txt::DnsOutcome;
use crate::dcv::mail_host::MailHost;
use crate::dcv::mail_host::mail_host as read;
use crate::dcv::timestamp::Timestamp;

/// Time for looking; the worker is free again after it.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer serves.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// Domains remembered at most.
const KEPT_MAX: usize = 10_000;

/// What was found lately.
#[derive(Debug, Default)]
pub struct Found(Mutex<HashMap<String, (MailHost, Timestamp)>>);

/// Where mail for `domain` goes.
pub async fn mail_host(app: &App, domain: &str) -> MailHost {
    let now = app.now();
    let known = app.mail_hosts.0.lock().unwrap_or_else(PoisonError::into_inner).get(domain).copied();
    if let Some((found, at)) = known
        && now.since(at) < KEPT_FOR
    {
        return found;
    }
    let asking = async {
        let mx = app.ports.dns.mx(domain).await;
        let nobody = matches!(&mx, DnsOutcome::NoData) || matches!(&mx, DnsOutcome::Records(hosts) if hosts.is_empty());
        let address = if nobody { Some(app.ports.dns.addresses(domain).await) } else { None };
        read(&mx, address.as_ref())
    };
    let found = tokio::time::timeout(TIMEOUT, asking).await.unwrap_or(MailHost::Unknown);
    let mut kept = app.mail_hosts.0.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
    kept.insert(domain.to_owned(), (found, now));
    found
}
