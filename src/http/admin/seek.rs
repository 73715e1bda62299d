//! `GET /admin/domains`, `/admin/approvers`, `/admin/dns` and `/admin/webhooks`: what is known of a domain, of an address, of what DNS
//! says now, and of those who are told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::frame::Frame;
use super::list::OrderLine;
use super::order::Publish;
use super::{html, jst, utc};
use crate::app::list_approvers::list_approvers;
use crate::app::show_order::list_orders;
use crate::app::statistics::{Counts, approval_rate};
use crate::dcv::contact::{Source, SourceStatus};
use crate::dcv::email::EmailAddress;
use crate::dcv::evidence::{Exchange, Lookup};
use crate::dcv::id::{EffectId, EventId, OrderId};
use crate::dcv::name::CertificateName;
use crate::dcv::operator::Need;
use crate::dcv::profile::Versioned;
use crate::dcv::remedy::{Remedy, remedies};
use crate::dcv::tally::{Dimension, measure, month_of};
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::http::{Code, HttpState, Problem};
use crate::store::{OrderFilter, Search, WebhookRow};

/// Rows shown of each kind.
const SHOWN: u32 = 50;

/// Months shown of a domain.
const MONTHS: usize = 12;

fn at(micros: i64) -> String {
    jst(Timestamp::from_unix_micros(micros))
}

fn id_of(bytes: &[u8]) -> String {
    <[u8; 16]>::try_from(bytes).map(|id| OrderId::from_bytes(id).to_string()).unwrap_or_default()
}

/// `admin/domains.html`
#[derive(Serialize)]
struct DomainPage {
    #[serde(flatten)]
    frame: Frame,
    asked: String,
    /// Why the name cannot be read.
    error: String,
    domain: Option<Domain>,
}

#[derive(Serialize)]
struct Domain {
    name: String,
    unicode: String,
    class: &'static str,
    standing: Vec<Standing>,
    allowed: Vec<Allowed>,
    columns: Vec<&'static str>,
    months: Vec<Month>,
    orders: Vec<OrderLine>,
}

#[derive(Serialize)]
struct Standing {
    name: String,
    adn: String,
    scope: String,
    method: String,
    given: String,
    until: String,
    order: String,
    order_ref: String,
}

#[derive(Serialize)]
struct Allowed {
    domain: String,
    client: String,
    approver: String,
    profiles: String,
    note: String,
}

#[derive(Serialize)]
struct Month {
    name: String,
    counts: Vec<i64>,
    rate: Option<i64>,
}

/// `GET /admin/domains?name=…`
pub(super) async fn domains(State(state): State<HttpState>, frame: Frame) -> Result<Response, Problem> {
    let asked = frame.given("name").unwrap_or_default();
    let (mut domain, mut error) = (None, String::new());
    if !asked.is_empty() {
        match CertificateName::parse(&asked, &state.app.lists().suffixes) {
            Ok(name) => domain = Some(domain_of(&state, &name, &frame).await?),
            Err(problem) => error = problem.to_string(),
        }
    }
    html(&state, "admin/domains.html", &DomainPage { frame, asked, error, domain })
}

async fn domain_of(state: &HttpState, name: &CertificateName, frame: &Frame) -> Result<Domain, Problem> {
    let (base, store, now) = (name.fqdn().base_domain(), &state.app.store, state.app.now());
    let filter = OrderFilter { search: Some(Search::Exactly(base.to_string())), limit: SHOWN, ..OrderFilter::default() };
    let (orders, _) = list_orders(&state.app, &filter).await?;
    let standing = store.standing_approvals(base.as_str(), now, SHOWN).await?;
    let domains: Vec<String> = name.fqdn().authorization_domains().iter().map(ToString::to_string).collect();
    let mut months = vec![month_of(now)];
    while months.len() < MONTHS {
        let before = Timestamp::from_unix_micros(months[months.len() - 1]) - Duration::from_secs(DAY_SECS);
        months.push(month_of(before));
    }
    let rows = store.tallies_in(Dimension::Domain, &months, base.as_str()).await?;
    let counts = |month: i64| -> Counts {
        measure::ALL.map(|measure| rows.iter().filter(|row| row.at == month && row.measure == measure).map(|row| row.count).sum())
    };
    let of_month = |month: i64| {
        let (counts, day) = (counts(month), Timestamp::from_unix_micros(month).to_jst());
        Month {
            name: format!("{:04}-{:02}", day.year(), u8::from(day.month())),
            rate: approval_rate(&counts),
            counts: shown(&counts),
        }
    };
    Ok(Domain {
        name: base.to_string(),
        unicode: base.to_unicode(),
        class: base.class().as_str(),
        standing: standing
            .into_iter()
            .map(|one| Standing {
                name: one.name,
                adn: one.adn.unwrap_or_default(),
                scope: one.scope.unwrap_or_default(),
                method: one.method.unwrap_or_default(),
                given: one.ended_at.map(at).unwrap_or_default(),
                until: one.reusable_until.map(at).unwrap_or_default(),
                order: id_of(&one.order_id),
                order_ref: one.order_ref,
            })
            .collect(),
        allowed: store
            .allowed_anywhere(&domains)
            .await?
            .into_iter()
            .map(|row| Allowed {
                domain: row.domain,
                client: row.client,
                approver: row.approver.map(|address| frame.shown(&address)).unwrap_or_default(),
                profiles: row.profiles,
                note: row.note,
            })
            .collect(),
        columns: COLUMNS.iter().map(|(_, ja, en)| if frame.lang == "ja" { *ja } else { *en }).collect(),
        months: months.iter().map(|month| of_month(*month)).collect(),
        orders: orders.iter().map(|record| OrderLine::new(record, frame)).collect::<Result<_, _>>()?,
    })
}

/// What is counted of a domain.
const COLUMNS: [(&str, &str, &str); 6] = [
    (measure::NAMES, "名前", "names"),
    (measure::APPROVED, "承認", "approved"),
    (measure::REUSED, "再利用", "reused"),
    (measure::REJECTED, "拒否", "rejected"),
    (measure::REPORTED, "心当たりなし", "not recognised"),
    (measure::EXPIRED, "期限切れ", "expired"),
];

fn shown(counts: &Counts) -> Vec<i64> {
    COLUMNS.iter().map(|(measure, ..)| crate::app::statistics::count(counts, measure)).collect()
}

/// `admin/approvers.html`
#[derive(Serialize)]
struct ApproverPage {
    #[serde(flatten)]
    frame: Frame,
    asked: String,
    error: bool,
    mails: Vec<ApproverMail>,
    domains: Vec<String>,
    answered: usize,
    lost: usize,
    open: usize,
}

#[derive(Serialize)]
struct ApproverMail {
    order: String,
    adn: String,
    source: String,
    link: String,
    delivery: String,
    failure: String,
    sent: String,
    answered: String,
}

/// `GET /admin/approvers?address=…`: what was asked of an address.
pub(super) async fn approvers(State(state): State<HttpState>, frame: Frame) -> Result<Response, Problem> {
    let asked = frame.given("address").unwrap_or_default();
    let parsed = EmailAddress::parse(&asked).ok().filter(|_| frame.may(Need::SeePersonal));
    let rows = match &parsed {
        Some(address) => state.app.store.mails_to(&address.to_string(), 200).await?,
        None => Vec::new(),
    };
    let domains: BTreeSet<String> = rows.iter().map(|row| row.adn.clone()).collect();
    let page = ApproverPage {
        error: !asked.is_empty() && parsed.is_none(),
        domains: domains.into_iter().collect(),
        answered: rows.iter().filter(|row| row.link == "answered").count(),
        lost: rows.iter().filter(|row| matches!(row.delivery.as_str(), "bounced" | "failed")).count(),
        open: rows.iter().filter(|row| matches!(row.link.as_str(), "queued" | "sent")).count(),
        mails: rows
            .into_iter()
            .map(|row| ApproverMail {
                order: id_of(&row.order_id),
                adn: row.adn,
                source: row.source,
                link: row.link,
                delivery: row.delivery,
                failure: row.failure_detail.or(row.failure).unwrap_or_default(),
                sent: row.sent_at.map(at).unwrap_or_default(),
                answered: row.answered_at.map(at).unwrap_or_default(),
            })
            .collect(),
        asked,
        frame,
    };
    html(&state, "admin/approvers.html", &page)
}

/// `admin/dns.html`
#[derive(Serialize)]
struct DnsPage {
    #[serde(flatten)]
    frame: Frame,
    asked: String,
    error: String,
    /// What DNS answered, a question each.
    lookups: Vec<DnsLine>,
    found: Vec<String>,
    ways: Vec<Remedy>,
    publish: Option<Publish>,
}

#[derive(Serialize)]
struct DnsLine {
    source: &'static str,
    adn: String,
    status: &'static str,
    dnssec: String,
    at: String,
    reasons: Vec<String>,
    exchanges: Vec<Exchange>,
}

/// `GET /admin/dns?name=…`: asks DNS now for the contacts it names.
pub(super) async fn dns(State(state): State<HttpState>, frame: Frame) -> Result<Response, Problem> {
    let asked = frame.given("name").unwrap_or_default();
    let mut page =
        DnsPage { error: String::new(), lookups: Vec::new(), found: Vec::new(), ways: Vec::new(), publish: None, asked, frame };
    if !page.asked.is_empty() {
        match CertificateName::parse(&page.asked, &state.app.lists().suffixes) {
            Err(error) => page.error = error.to_string(),
            Ok(name) => {
                let profile = only_dns(&state)?;
                let addresses = profile.profile.addresses.clone();
                let listed = list_approvers(&state.app, &name, profile, true).await?;
                page.found = listed.listing.approvers.iter().map(|one| page.frame.shown(&one.email.to_string())).collect();
                if listed.listing.sources.iter().all(|report| report.status != SourceStatus::Ok) {
                    page.ways = remedies(name.fqdn(), &addresses, &listed.listing.sources);
                }
                page.publish = Some(Publish::new(name.fqdn().base_domain().as_str()));
                page.lookups = listed.lookups.into_iter().map(|lookup| dns_line(lookup, &page.frame)).collect();
            }
        }
    }
    html(&state, "admin/dns.html", &page)
}

/// The default profile, asking DNS alone.
fn only_dns(state: &HttpState) -> Result<Arc<Versioned>, Problem> {
    let default = state.app.profiles.get(None).ok_or_else(|| Problem::new(Code::Internal))?;
    let mut profile = default.profile.clone();
    profile.addresses.sources = vec![Source::DnsTxt, Source::DnsCaa];
    Versioned::new(profile).map(Arc::new).map_err(|_| Problem::new(Code::Internal))
}

fn dns_line(lookup: Lookup, frame: &Frame) -> DnsLine {
    let dnssec = lookup.dnssec.and_then(|dnssec| serde_json::to_value(dnssec).ok());
    DnsLine {
        source: lookup.source.as_str(),
        adn: lookup.adn,
        status: lookup.status.as_str(),
        dnssec: dnssec.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default(),
        at: utc(lookup.at),
        reasons: lookup.reasons,
        exchanges: lookup
            .exchanges
            .into_iter()
            .map(|exchange| Exchange { answer: frame.shown(&exchange.answer), ..exchange })
            .collect(),
    }
}

/// `admin/webhooks.html`
#[derive(Serialize)]
struct WebhooksPage {
    #[serde(flatten)]
    frame: Frame,
    endpoints: Vec<Endpoint>,
    waiting: Vec<WebhookLine>,
    given_up: Vec<WebhookLine>,
    latest: Vec<WebhookLine>,
}

#[derive(Serialize)]
struct Endpoint {
    name: String,
    events: String,
    clients: String,
    /// Since when it says that it is gone; empty while it is there.
    gone: String,
    /// What tells its secret's key from another, without telling the key.
    address: String,
}

#[derive(Serialize)]
struct WebhookLine {
    id: String,
    event_id: String,
    event: String,
    order: String,
    endpoint: String,
    state: String,
    attempts: i64,
    at: String,
    error: String,
}

/// `GET /admin/webhooks`
pub(super) async fn webhooks(State(state): State<HttpState>, frame: Frame) -> Result<Response, Problem> {
    let store = &state.app.store;
    let gone = store.gone_endpoints().await?;
    let endpoints = state.app.settings.subscriptions.iter().map(|one| {
        let address = state.app.ports.webhook.address(&one.endpoint).unwrap_or_default();
        let since = gone.iter().find(|(name, at, _)| *name == one.endpoint && *at == address).map(|(.., since)| at(*since));
        let all = if frame.lang == "ja" { "すべて" } else { "all" };
        Endpoint {
            name: one.endpoint.clone(),
            events: one
                .kinds
                .as_ref()
                .map_or_else(|| all.to_owned(), |kinds| kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")),
            clients: one.clients.as_ref().map_or_else(|| all.to_owned(), |clients| clients.join(", ")),
            gone: since.unwrap_or_default(),
            address: HEXLOWER.encode(&Sha256::digest(address.as_bytes())[..4]),
        }
    });
    let page = WebhooksPage {
        endpoints: endpoints.collect(),
        waiting: store.troubled_webhooks(false, SHOWN).await?.into_iter().map(|row| webhook_line(row, &frame)).collect(),
        given_up: store.troubled_webhooks(true, SHOWN).await?.into_iter().map(|row| webhook_line(row, &frame)).collect(),
        latest: store.latest_webhooks(SHOWN).await?.into_iter().map(|row| webhook_line(row, &frame)).collect(),
        frame,
    };
    html(&state, "admin/webhooks.html", &page)
}

fn webhook_line(row: WebhookRow, frame: &Frame) -> WebhookLine {
    let id = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).unwrap_or_default();
    WebhookLine {
        id: EffectId::from_bytes(id(&row.id)).to_string(),
        event_id: EventId::from_bytes(id(&row.event_id)).to_string(),
        event: row.event,
        order: id_of(&row.order_id),
        endpoint: row.endpoint,
        attempts: row.attempts,
        at: if row.state == "due" { at(row.due_at) } else { row.ended_at.map(at).unwrap_or_default() },
        state: row.state,
        error: frame.shown(&row.last_error.unwrap_or_default()),
    }
}
