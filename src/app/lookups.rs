//! Asks the sources that a profile uses, all at once under one deadline, and keeps every answer as evidence.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::App;
use crate::dcv::contact::dns_caa::Climb;
use crate::dcv::contact::dns_txt::DnsOutcome;
use crate::dcv::contact::whois::{HopError, Walk};
use crate::dcv::contact::{Contact, Role, Source, SourceStatus, asks_whois, dns_txt, offered_adns, rdap};
use crate::dcv::evidence::{Exchange, Lookup, PRIMARY_PERSPECTIVE};
use crate::dcv::id::LookupId;
use crate::dcv::name::{Adn, DomainClass, Fqdn};
use crate::dcv::profile::Profile;
use crate::dcv::timestamp::Timestamp;
use crate::ports::WhoisAnswer;
use crate::store::StoreError;

/// Questions under way at once for one request.
const CONCURRENT_MAX: usize = 16;

/// How long a stored answer without an address serves listings: whoever just published a record should not wait for long.
const EMPTY_TTL: Duration = Duration::from_secs(60);

/// How fresh the answers must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Stored look-ups serve.
    Listing,
    /// An address is about to be mailed: DNS is asked again, registration data where it is older than the profile allows.
    Mailing,
    /// Everything is asked again.
    Asked,
}

/// Asks what `names` need, or reads it back where that is fresh enough. Failures are look-ups too.
///
/// # Errors
/// [`StoreError`] when the database fails; the sources never make it fail.
pub async fn gather(app: &App, names: &[&Fqdn], profile: &Profile, freshness: Freshness) -> Result<Vec<Lookup>, StoreError> {
    let mut wanted = BTreeSet::new();
    for name in names {
        if profile.addresses.sources.contains(&Source::DnsTxt) {
            wanted.extend(offered_adns(name, &profile.addresses).into_iter().map(|adn| (Source::DnsTxt, adn)));
        }
        if profile.addresses.sources.contains(&Source::DnsCaa) {
            wanted.extend(offered_adns(name, &profile.addresses).into_iter().map(|adn| (Source::DnsCaa, adn)));
        }
        let (base, sources) = (Adn::base_of(name), &profile.addresses.sources);
        if sources.contains(&Source::Rdap) {
            wanted.insert((Source::Rdap, base));
        } else if sources.contains(&Source::Whois) {
            wanted.insert((Source::Whois, base));
        }
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    // What follows holds every source's future; on the heap, a listing that needs none of it does not carry it around.
    Box::pin(gather_wanted(app, wanted, profile, freshness)).await
}

async fn gather_wanted(
    app: &App,
    wanted: BTreeSet<(Source, Adn)>,
    profile: &Profile,
    freshness: Freshness,
) -> Result<Vec<Lookup>, StoreError> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for (source, adn) in wanted {
        let kept = kept(app, source, &adn, profile, freshness).await?;
        // WHOIS goes with RDAP, since the one may stand in for the other.
        let whois = match (&kept, source) {
            (Some(rdap), Source::Rdap) if asks_whois(&adn, profile, Some(rdap)) => {
                let whois = self::kept(app, Source::Whois, &adn, profile, freshness).await?;
                if whois.is_none() {
                    missing.push((Source::Whois, adn.clone()));
                }
                whois
            }
            _ => None,
        };
        if kept.is_none() {
            missing.push((source, adn));
        }
        found.extend(kept.into_iter().chain(whois));
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let deadline = Instant::now() + app.settings.lookup_deadline;
    let asked: Vec<Lookup> = stream::iter(missing)
        .map(|(source, adn)| async move {
            if source == Source::Rdap {
                return ask_registration_data(app, &adn, profile, freshness, deadline).await;
            }
            vec![ask_until(app, source, &adn, deadline).await]
        })
        .buffer_unordered(CONCURRENT_MAX)
        .flat_map(stream::iter)
        .collect()
        .await;
    let kept = asked.clone();
    app.store
        .write("keep_lookups", move |tx| {
            Box::pin(async move {
                for lookup in &kept {
                    tx.insert_lookup(lookup).await?;
                }
                Ok::<(), StoreError>(())
            })
        })
        .await?;
    found.extend(asked);
    Ok(found)
}

/// The stored look-up that is fresh enough, where there is one.
async fn kept(
    app: &App,
    source: Source,
    adn: &Adn,
    profile: &Profile,
    freshness: Freshness,
) -> Result<Option<Lookup>, StoreError> {
    let stored = match freshness {
        Freshness::Asked => None,
        Freshness::Mailing if source.is_dns() => None,
        Freshness::Listing | Freshness::Mailing => app.store.latest_lookup(source, adn.as_str()).await?,
    };
    let now = app.now();
    Ok(stored.filter(|stored| serves(stored, profile, now)))
}

/// Asks RDAP, and WHOIS beside it or, for a gTLD, in its place where no service answers.
async fn ask_registration_data(app: &App, adn: &Adn, profile: &Profile, freshness: Freshness, deadline: Instant) -> Vec<Lookup> {
    let whois = async {
        match kept(app, Source::Whois, adn, profile, freshness).await {
            Ok(Some(kept)) => kept,
            _ => ask_until(app, Source::Whois, adn, deadline).await,
        }
    };
    if adn.fqdn().class() == DomainClass::Gtld {
        // A service that hangs must leave WHOIS its time.
        let half = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        let rdap = ask_until(app, Source::Rdap, adn, half).await;
        if !asks_whois(adn, profile, Some(&rdap)) {
            return vec![rdap];
        }
        return vec![rdap, whois.await];
    }
    if !profile.addresses.sources.contains(&Source::Whois) {
        return vec![ask_until(app, Source::Rdap, adn, deadline).await];
    }
    let (rdap, whois) = tokio::join!(ask_until(app, Source::Rdap, adn, deadline), whois);
    vec![rdap, whois]
}

/// Whether a stored look-up may stand for asking again.
fn serves(stored: &Lookup, profile: &Profile, now: Timestamp) -> bool {
    let age = now.since(stored.at);
    match stored.status {
        SourceStatus::Ok => age <= profile.addresses.candidate_ttl,
        SourceStatus::Empty => age <= profile.addresses.candidate_ttl.min(EMPTY_TTL),
        SourceStatus::Failed | SourceStatus::Off => false,
    }
}

fn blank(app: &App, source: Source, adn: &Adn) -> Lookup {
    let now = app.now();
    Lookup {
        id: LookupId::new(now, app.random()),
        source,
        adn: adn.to_string(),
        status: SourceStatus::Failed,
        server: None,
        dnssec: None,
        at: now,
        valid_until: None,
        contacts: Vec::new(),
        reasons: Vec::new(),
        exchanges: Vec::new(),
        perspective: PRIMARY_PERSPECTIVE.to_owned(),
    }
}

/// Asks one source for one ADN, whatever is stored.
pub(super) async fn ask(app: &App, source: Source, adn: &Adn) -> Lookup {
    ask_until(app, source, adn, Instant::now() + app.settings.lookup_deadline).await
}

/// Asks one source until the deadline; what was learnt by then is kept as evidence.
async fn ask_until(app: &App, source: Source, adn: &Adn, deadline: Instant) -> Lookup {
    let (mut lookup, begun) = (blank(app, source, adn), Instant::now());
    let asking = async {
        match source {
            Source::DnsTxt => ask_txt(app, adn, &mut lookup).await,
            Source::DnsCaa => ask_caa(app, adn, &mut lookup).await,
            Source::Rdap => ask_rdap(app, adn, &mut lookup).await,
            Source::Constructed | Source::Whois => Box::pin(ask_whois(app, adn, &mut lookup, deadline)).await,
        }
    };
    // One source that hangs must not take the others with it.
    let asking = asking.instrument(tracing::debug_span!("look-up", source = source.as_str()));
    if tokio::time::timeout_at(deadline, asking).await.is_err() {
        lookup.status = SourceStatus::Failed;
        lookup.reasons.push("deadline".to_owned());
        let words = "the time was over before an answer came".to_owned();
        lookup.exchanges.push(Exchange::failed(source.as_str(), None, adn.as_str(), app.now(), words));
    }
    metrics::histogram!("dcvd_lookup_duration_seconds", "source" => source.as_str()).record(begun.elapsed());
    metrics::counter!("dcvd_lookups_total", "source" => source.as_str(), "status" => lookup.status.as_str()).increment(1);
    lookup
}

async fn ask_txt(app: &App, adn: &Adn, lookup: &mut Lookup) {
    let answer = app.ports.dns.txt(&dns_txt::question(adn)).await;
    (lookup.status, lookup.contacts, lookup.reasons) = dns_txt::read(&answer.outcome, answer.dnssec);
    lookup.dnssec = Some(answer.dnssec);
    lookup.valid_until = Some(lookup.at + answer.ttl);
    lookup.exchanges = vec![answer.exchange];
    if matches!(answer.outcome, DnsOutcome::NoData | DnsOutcome::NxDomain) {
        let doubled = app.ports.dns.txt(&dns_txt::doubled_question(adn)).await;
        lookup.reasons.extend(dns_txt::doubled(&doubled.outcome).map(str::to_owned));
        lookup.exchanges.push(doubled.exchange);
    }
}

async fn ask_caa(app: &App, adn: &Adn, lookup: &mut Lookup) {
    let mut climb = Climb::new(adn);
    let mut ttl = Duration::MAX;
    while let Some(question) = climb.question().map(str::to_owned) {
        let answer = app.ports.dns.caa(&question).await;
        climb.answer(&answer.outcome, answer.dnssec);
        ttl = ttl.min(answer.ttl);
        lookup.exchanges.push(answer.exchange);
    }
    let (status, contacts, reasons, dnssec) = climb.finish();
    (lookup.status, lookup.contacts, lookup.reasons, lookup.dnssec) = (status, contacts, reasons, Some(dnssec));
    lookup.valid_until = Some(lookup.at + ttl);
}

/// Waits for the turn to ask a WHOIS server, which all daemons on the database take in one line.
async fn whois_turn(app: &App, server: &str, deadline: Instant) -> Result<(), HopError> {
    let (name, now, rate) = (turn_of(server), app.now(), app.settings.whois_rate);
    let until = now + deadline.saturating_duration_since(Instant::now());
    let turn: Result<_, StoreError> =
        app.store.write("take_turn", move |tx| Box::pin(async move { tx.take_turn(&name, rate, now, until).await })).await;
    match turn {
        Ok(None) => Err(HopError::BackingOff),
        Ok(Some(from)) => {
            tokio::time::sleep(from.since(now)).await;
            Ok(())
        }
        // The server must not suffer, and whoever waits for its answer neither: this daemon's own limit holds.
        Err(error) => {
            tracing::warn!(%error, "no turn can be taken; this daemon asks at its own rate");
            Ok(())
        }
    }
}

/// Leaves a server alone that refused, on all daemons.
async fn leave_alone(app: &App, server: &str) {
    let until = app.now() + app.ports.whois.back_off(server);
    let (name, rate) = (turn_of(server), app.settings.whois_rate);
    let told: Result<(), StoreError> =
        app.store.write("no_turn", move |tx| Box::pin(async move { tx.no_turn_until(&name, rate, until).await })).await;
    if let Err(error) = told {
        tracing::warn!(%error, "other daemons were not told that a WHOIS server refuses");
    }
}

fn turn_of(server: &str) -> String {
    format!("whois {}", server.to_ascii_lowercase())
}

async fn ask_whois(app: &App, adn: &Adn, lookup: &mut Lookup, deadline: Instant) {
    let mut walk = Walk::new(adn, &app.settings.whois_root, known_server(app, adn));
    while let Some(question) = walk.question() {
        let answer = match whois_turn(app, &question.server, deadline).await {
            Ok(()) => app.ports.whois.ask(&question).await,
            Err(error) => {
                let exchange = Exchange::failed(&question.server, None, &question.query, app.now(), error.to_string());
                WhoisAnswer { result: Err(error), exchange }
            }
        };
        lookup.exchanges.push(answer.exchange);
        walk.answer(answer.result.as_deref().map_err(Clone::clone));
        if walk.was_refused() {
            leave_alone(app, &question.server).await;
        }
    }
    if let Some(server) = walk.registry() {
        let mut known = app.whois_servers.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(walk.tld().to_owned()).or_insert_with(|| (server.to_owned(), lookup.at));
    }
    let outcome = walk.finish();
    lookup.status = outcome.status;
    lookup.server = outcome.server;
    lookup.contacts = outcome.contacts;
    lookup.reasons = outcome.reasons;
}

async fn ask_rdap(app: &App, adn: &Adn, lookup: &mut Lookup) {
    let tld = adn.as_str().rsplit('.').next().unwrap_or_default();
    let service = match bootstrap(app).await {
        Ok(registry) => rdap::service(&registry, tld, app.settings.rdap_allow_http),
        Err(error) => {
            tracing::warn!(error, "the RDAP bootstrap registry cannot be read");
            Err("no-bootstrap")
        }
    };
    let mut url = match service {
        Ok(Some(service)) => rdap::question(&service, adn),
        Ok(None) => {
            (lookup.status, lookup.reasons) = (SourceStatus::Empty, vec![rdap::NO_SERVICE.to_owned()]);
            return;
        }
        Err(reason) => {
            lookup.reasons = vec![reason.to_owned()];
            return;
        }
    };
    // The registry, and where it shows no administrative contact the registrar it names: no further.
    let mut registrys: Vec<Contact> = Vec::new();
    for last in [false, true] {
        let answer = app.ports.rdap.ask(&url).await;
        lookup.server = Some(answer.exchange.server.clone());
        lookup.exchanges.push(answer.exchange);
        let (status, body) = match answer.result {
            Ok(answer) => answer,
            Err(error) => {
                lookup.contacts = registrys;
                lookup.status = SourceStatus::Failed;
                lookup.reasons.push(error.code().to_owned());
                return;
            }
        };
        let reading = rdap::read_answer(status, &body, adn);
        lookup.status = if reading.contacts.is_empty() { reading.status.as_source() } else { SourceStatus::Ok };
        (lookup.contacts, lookup.reasons) = (reading.contacts, reading.reasons);
        // Where the registrar shows nobody, what the registry showed stays.
        if lookup.contacts.is_empty() && !registrys.is_empty() {
            (lookup.status, lookup.contacts) = (SourceStatus::Ok, registrys);
            return;
        }
        let has_administrative = lookup.contacts.iter().any(|one| one.role == Some(Role::Administrative));
        match reading.referral {
            Some(next) if !last && !has_administrative && next != url => {
                registrys.clone_from(&lookup.contacts);
                url = next;
            }
            _ => return,
        }
    }
}

/// IANA's bootstrap registry, asked again when it is older than may be. Spec: BR v2.2.6 §3.2.2.4.12 (48 hours at most).
async fn bootstrap(app: &App) -> Result<Arc<Vec<u8>>, String> {
    let now = app.now();
    let known = app.rdap_bootstrap.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((registry, _)) = known.filter(|(_, at)| now.since(*at) < app.settings.whois_server_ttl) {
        return Ok(registry);
    }
    let registry = Arc::new(app.ports.rdap.bootstrap().await?);
    *app.rdap_bootstrap.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(&registry), now));
    Ok(registry)
}

/// The registry's WHOIS server as IANA named it, while that may be believed. Spec: BR v2.2.6 §3.2.2.4.12 (48 hours at most).
fn known_server(app: &App, adn: &Adn) -> Option<String> {
    let now = app.now();
    let tld = adn.as_str().rsplit('.').next()?;
    let mut known = app.whois_servers.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|_, (_, at)| now.since(*at) < app.settings.whois_server_ttl);
    known.get(tld).map(|(server, _)| server.clone())
}
