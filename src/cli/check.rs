//! `dcvd check`: looks at everything the daemon needs, without serving and without sending.

use std::path::Path;
use std::process::ExitCode;

use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::wire;
use crate::adapters::clock::SystemClock;
use crate::adapters::dns::HickoryDns;
use crate::adapters::maildir::Maildir;
use crate::app::health::CLOCK_SLACK;
use crate::config::{Config, load_profiles};
use crate::dcv::contact::dns_txt::DnsOutcome;
use crate::dcv::email::EmailAddress;
use crate::dcv::mail_host::{MailHost, mail_host};
use crate::dcv::method::{BR_AS_OF, BR_VERSION};
use crate::dcv::name::{Fqdn, SuffixList};
use crate::dcv::profile::advised;
use crate::dcv::sender_policy::{Dmarc, Spf, dmarc, is_aligned, spf};
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::http::Routes;
use crate::ports::Clock as _;
use crate::ports::Dns as _;
use crate::render::Renderer;
use crate::store::{Migrate, Store, StoreError};

/// How a part fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// It is well.
    Ok,
    /// It works, and could be better.
    Advice,
    /// The daemon would not start, or could not do its work.
    Failed,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Advice => "advice",
            Self::Failed => "FAILED",
        }
    }
}

/// One part.
#[derive(Debug, Serialize)]
struct Row {
    part: &'static str,
    status: Status,
    detail: String,
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn add(&mut self, part: &'static str, status: Status, detail: impl Into<String>) {
        self.0.push(Row { part, status, detail: detail.into() });
    }

    fn add_result(&mut self, part: &'static str, result: Result<String, String>) {
        match result {
            Ok(detail) => self.add(part, Status::Ok, detail),
            Err(problem) => self.add(part, Status::Failed, problem),
        }
    }
}

/// Looks, tells, and fails where a part failed; advice fails nothing.
pub(super) async fn run(config: Config, json: bool) -> anyhow::Result<ExitCode> {
    let mut rows = Rows::default();
    let words = |error: &anyhow::Error| format!("{error:#}");
    rows.add("configuration", Status::Ok, "every key is known");
    let profiles = load_profiles(&config.profile_dir, &config.default_profile).map_err(anyhow::Error::from);
    for (advice, of) in profiles.iter().flat_map(|catalog| advised(catalog, SystemClock.now())) {
        rows.add("rules", Status::Advice, format!("{}: {}: {}", of.join(", "), advice.key, advice.words));
    }
    rows.add_result(
        "profiles",
        profiles
            .map(|catalog| catalog.iter().map(|one| one.profile.id.as_str()).collect::<Vec<_>>().join(", "))
            .map_err(|error| words(&error)),
    );
    let over = Some(config.template_dir.as_path()).filter(|path| !path.as_os_str().is_empty());
    let renderer = Renderer::new(over).map(|_| "every mail and page renders".to_owned());
    rows.add_result("templates", renderer.map_err(|error| error.to_string()));
    let lists = wire::lists(&config);
    rows.add_result("lists", lists.as_ref().map(|_| "the Public Suffix List and the policy are read".to_owned()).map_err(words));
    let suffixes = lists.map_or(SuffixList::BuiltIn, |lists| lists.suffixes);
    ages(&config, &suffixes, &mut rows);
    let (status, detail) = database(&config, &mut rows).await;
    rows.add("database", status, detail);
    secrets(&config, &mut rows);
    match wire::smtp(&config) {
        Err(error) => rows.add("smtp", Status::Failed, words(&error)),
        Ok(smtp) => {
            for told in smtp.probe().await {
                rows.add_result("smtp", told);
            }
        }
    }
    inbound(&config, &mut rows);
    match wire::dns(&config) {
        Err(error) => rows.add("dns", Status::Failed, words(&error)),
        Ok(dns) => sender(&config, &dns, &suffixes, &mut rows).await,
    }
    if json {
        println!("{}", serde_json::to_string(&rows.0)?);
    } else {
        for row in &rows.0 {
            println!("{:<14} {:<7} {}", row.part, row.status.as_str(), row.detail);
        }
    }
    let failed = rows.0.iter().any(|row| row.status == Status::Failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Every file that holds a key, a secret or a certificate.
fn secrets(config: &Config, rows: &mut Rows) {
    let words = |error: anyhow::Error| format!("{error:#}");
    let keys = config.link.keys().map(|keys| match keys.len() {
        0 => "the database holds the link key".to_owned(),
        keys => format!("{keys} link keys are read"),
    });
    rows.add_result("link keys", keys.map_err(|error| error.to_string()));
    rows.add_result("webhooks", wire::webhooks(config).map(|_| "every secret is read".to_owned()).map_err(words));
    let tls = [Routes::All, Routes::Admin].into_iter().map(|routes| super::serve::tls(config, routes));
    let tls = tls.collect::<anyhow::Result<Vec<_>>>().map(|all| match all.iter().flatten().count() {
        0 => "no address speaks TLS: a proxy in front must".to_owned(),
        some => format!("{some} certificates with their keys are read"),
    });
    rows.add_result("tls", tls.map_err(words));
    if !config.admin.openid.issuer.is_empty() {
        rows.add_result("openid", wire::open_id(&config.admin.openid).map(|_| config.admin.openid.issuer.clone()).map_err(words));
    }
}

/// What grows old: the Public Suffix List, the rules, the keys.
fn ages(config: &Config, suffixes: &SuffixList, rows: &mut Rows) {
    let now = SystemClock.now();
    let days = |at: Timestamp| now.since(at).as_secs() / DAY_SECS;
    match suffixes.as_of() {
        None => rows.add("suffix list", Status::Advice, "it does not say when it was made"),
        Some(at) if now.since(at) > config.psl_max_age => {
            rows.add("suffix list", Status::Advice, format!("{} days old; name a newer one in psl_file", days(at)));
        }
        Some(at) => rows.add("suffix list", Status::Ok, format!("{} days old", days(at))),
    }
    let rules = Timestamp::start_of(BR_AS_OF);
    rows.add("rules", Status::Ok, format!("Baseline Requirements {BR_VERSION}, {} days old", days(rules)));
    if now < rules {
        rows.add("clock", Status::Failed, format!("it says {now}, before this program was made"));
    }
}

/// The clock beside what is stored: a clock that went back cannot tell deadlines.
async fn clock(store: &Store) -> (Status, String) {
    let now = SystemClock.now();
    match store.latest_event().await {
        Ok(Some(at)) if at > now + CLOCK_SLACK => {
            (Status::Failed, format!("it says {now}, and an entry of {at} is stored: it is behind, or was ahead"))
        }
        Ok(_) => (Status::Ok, format!("{now}, after all that is stored")),
        Err(error) => (Status::Failed, error.to_string()),
    }
}

async fn database(config: &Config, rows: &mut Rows) -> (Status, String) {
    let url = config.database.url.expose_secret();
    if let Some(path) = url.strip_prefix("sqlite://").and_then(|rest| rest.split('?').next())
        && !Path::new(path).exists()
    {
        return (Status::Advice, format!("{path} is made at the first start"));
    }
    match Store::open(url, Migrate::No).await {
        Ok(store) => {
            let (status, detail) = clock(&store).await;
            rows.add("clock", status, detail);
            store.close().await;
            (Status::Ok, format!("{}, its schema is this version's", store.kind()))
        }
        Err(StoreError::Schema(found)) if config.database.migrate && !found.contains("newer") => {
            (Status::Advice, format!("{found}; the next start brings it up to date"))
        }
        Err(StoreError::Schema(found)) if found.contains("newer") => (Status::Failed, format!("{found}; install that version")),
        Err(StoreError::Schema(found)) => (Status::Failed, format!("{found}; run `dcvd migrate`")),
        Err(error) => (Status::Failed, error.to_string()),
    }
}

fn inbound(config: &Config, rows: &mut Rows) {
    let path = &config.inbound.maildir;
    if path.as_os_str().is_empty() {
        let advice =
            "inbound.maildir is empty: unless the mail server pipes returned mail to `dcvd ingest`, a bounce is not noticed";
        return rows.add("inbound", Status::Advice, advice);
    }
    let opened = Maildir::open(path.clone()).map(|_| path.display().to_string());
    rows.add_result("inbound", opened.map_err(|error| format!("{}: {error}", path.display())));
}

/// What receivers look up of us.
async fn sender(config: &Config, dns: &HickoryDns, suffixes: &SuffixList, rows: &mut Rows) {
    let from = match wire::from_address(config) {
        Ok(from) => from,
        Err(error) => return rows.add("smtp.from", Status::Failed, format!("{error:#}")),
    };
    let Ok(bounce) = EmailAddress::parse(&config.smtp.bounce_address) else {
        return rows.add("return path", Status::Failed, "smtp.bounce_address is no address");
    };
    let (from, bounce) = (from.ascii_domain(), bounce.ascii_domain());
    let answer = dns.txt(bounce).await.outcome;
    let (status, detail) = match spf(&answer) {
        Spf::Good => (Status::Ok, format!("{bounce} has an SPF record")),
        Spf::Open => {
            (Status::Advice, format!("{bounce}: its SPF record does not end in -all or ~all, so that anybody may send for it"))
        }
        Spf::Missing => (Status::Advice, format!("{bounce} has no SPF record; publish one that names the relay's addresses")),
        Spf::Several => {
            (Status::Advice, format!("{bounce} has several SPF records, which receivers count as an error; keep one"))
        }
        Spf::Unknown => (Status::Advice, format!("{bounce}: DNS did not tell ({})", outcome(&answer))),
    };
    rows.add("SPF", status, detail);
    let mut at = format!("_dmarc.{from}");
    let mut answer = dns.txt(&at).await.outcome;
    // Without one of its own a domain has that of its registered domain (RFC 7489 section 6.6.3).
    if let (Dmarc::Missing, Ok(name)) = (dmarc(&answer), Fqdn::parse(from, suffixes)) {
        let base = format!("_dmarc.{}", name.base_domain().as_str());
        if base != at {
            let above = dns.txt(&base).await.outcome;
            if dmarc(&above) != Dmarc::Missing {
                (at, answer) = (base, above);
            }
        }
    }
    let found = dmarc(&answer);
    let (status, detail) = match found {
        Dmarc::Found { enforced: true, .. } => (Status::Ok, format!("{at} asks receivers to refuse forged mail")),
        Dmarc::Found { enforced: false, .. } => {
            (Status::Ok, format!("{at} is there with p=none; make it reject once the reports show nothing of yours failing"))
        }
        Dmarc::Missing => (Status::Advice, format!("{at}: there is no DMARC record; large providers want one of bulk senders")),
        Dmarc::Several => (Status::Advice, format!("{at}: there are several DMARC records, which counts as none; keep one")),
        Dmarc::Unknown => (Status::Advice, format!("{at}: DNS did not tell ({})", outcome(&answer))),
    };
    rows.add("DMARC", status, detail);
    let strict = matches!(found, Dmarc::Found { strict_spf: true, .. });
    if is_aligned(from, bounce, strict, suffixes) {
        rows.add("alignment", Status::Ok, format!("{bounce} is aligned with {from}"));
    } else {
        let advice = format!(
            "{bounce} is not aligned with {from}: DMARC then rests on DKIM alone; use {from} or a domain below it in smtp.bounce_address"
        );
        rows.add("alignment", Status::Advice, advice);
    }
    let mx = dns.mx(bounce).await;
    let address = if matches!(mx, DnsOutcome::NoData) { Some(dns.addresses(bounce).await) } else { None };
    let (status, detail) = match mail_host(&mx, address.as_ref()) {
        MailHost::Mx | MailHost::Address => (Status::Ok, format!("{bounce} takes mail")),
        MailHost::NullMx => (Status::Advice, format!("{bounce} says that it takes no mail (null MX): no bounce can come back")),
        MailHost::Missing => (Status::Advice, format!("{bounce} has no mail server: no bounce can come back")),
        MailHost::Unknown => (Status::Advice, format!("{bounce}: DNS did not tell ({})", outcome(&mx))),
    };
    rows.add("return path", status, detail);
    if let Some(host) = config.server.public_url.host_str()
        && Fqdn::parse(host, suffixes).is_ok()
        && !is_aligned(from, host, false, suffixes)
    {
        let advice = format!(
            "the links lead to {host}, the mails come from {from}: owners and filters trust the link more when both are of one domain"
        );
        rows.add("links", Status::Advice, advice);
    }
}

/// How a question ended, in a word.
fn outcome<T>(answer: &DnsOutcome<T>) -> String {
    match answer {
        DnsOutcome::Records(_) => "answered".to_owned(),
        DnsOutcome::NoData => "no data".to_owned(),
        DnsOutcome::NxDomain => "NXDOMAIN".to_owned(),
        DnsOutcome::ServFail => "SERVFAIL".to_owned(),
        DnsOutcome::Timeout => "no answer in time".to_owned(),
        DnsOutcome::Bogus => "bogus".to_owned(),
        DnsOutcome::Other(words) => words.clone(),
    }
}
