//! Puts the daemon together as its configuration says.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use axum::http::HeaderName;
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use crate::adapters::client_certificate::Authorities;
use crate::adapters::clock::SystemClock;
use crate::adapters::credentials::Argon;
use crate::adapters::dns::HickoryDns;
use crate::adapters::dns::anchor::Anchor;
use crate::adapters::entropy::SystemEntropy;
use crate::adapters::mail_out::{Smtp, SmtpSettings};
use crate::adapters::maildir::Maildir;
#[cfg(feature = "oidc")]
use crate::adapters::openid::{Provider, ProviderSettings};
use crate::adapters::rdap::HttpRdap;
use crate::adapters::webhook::{Endpoint, StandardWebhooks};
use crate::adapters::whois::PortFortyThree;
use crate::app::canary::CanarySettings;
use crate::app::pace::{Pace, Rate};
use crate::app::{App, Lists, Settings};
use crate::config::{CanaryMode, Config, DnssecMode, OpenIdConnect, load_profiles};
use crate::dcv::contact::refusal;
use crate::dcv::email::EmailAddress;
use crate::dcv::link::{KEY_OCTETS, KeyRing, LinkKey};
use crate::dcv::method::{self, RuleStatus};
use crate::dcv::name::SuffixList;
use crate::dcv::operator::SessionLimits;
use crate::dcv::policy::{NameList, Policy};
use crate::dcv::profile::{Compliance, MailBody, advised};
use crate::dcv::return_path;
use crate::dcv::timestamp::Timestamp;
use crate::http::HttpSettings;
use crate::jobs::JobSettings;
use crate::ports::{ClientCertificates, Clock as _, Entropy as _, MailIn, OpenId, Ports};
use crate::render::{Renderer, ServiceView};
use crate::store::{Migrate, SharedRate, Store};
use crate::telemetry;
/// Time for all sources of one request together; below `server.request_timeout`, and what callers wait for at most.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(25);

/// Builds the application with the real outside world.
///
/// # Errors
/// The first part that cannot be built, with its key.
pub async fn wire(config: &Config) -> anyhow::Result<App> {
    wire_with(config, LOOKUP_DEADLINE).await
}

/// As [`wire`], with another deadline for the sources of one request.
///
/// # Errors
/// As [`wire`].
pub(super) async fn wire_with(config: &Config, lookup_deadline: Duration) -> anyhow::Result<App> {
    put_together(config, lookup_deadline, None).await
}

/// The application under another configuration. What it knows of the world outside, and its database, stay.
///
/// # Errors
/// As [`wire`].
pub(super) async fn wire_again(config: &Config, before: &Config, running: &App) -> anyhow::Result<App> {
    let mut app = put_together(config, LOOKUP_DEADLINE, Some(&running.store)).await?;
    app.views = Arc::clone(&running.views);
    app.gone_endpoints = Arc::clone(&running.gone_endpoints);
    app.mail_hosts = Arc::clone(&running.mail_hosts);
    app.whois_servers = Arc::clone(&running.whois_servers);
    app.pace = Arc::clone(&running.pace);
    // Servers count our questions whatever we read again.
    if config.whois == before.whois {
        app.ports.whois = Arc::clone(&running.ports.whois);
    }
    Ok(app)
}

/// The pace of mail to each recipient domain.
pub(super) fn mail_rate(config: &Config) -> Rate {
    let smtp = &config.smtp;
    Rate { period: smtp.domain_rate.period, burst: smtp.domain_burst.get(), at_once: smtp.domain_concurrency.get() }
}

async fn put_together(config: &Config, lookup_deadline: Duration, store: Option<&Store>) -> anyhow::Result<App> {
    let anchor = trust_anchor(config)?;
    let foreign = anchor.as_ref().is_some_and(|anchor| !anchor.is_iana());
    let ports = ports(config, anchor)?;
    let settings = Settings { lookup_deadline, ..settings(config)? };
    let lists = lists(config)?;
    let profiles = load_profiles(&config.profile_dir, &config.default_profile).context("profile_dir")?;
    if foreign && !config.dns.asks_loopback_alone() {
        let enforcing = profiles.iter().find(|one| one.profile.compliance == Compliance::Enforce);
        anyhow::ensure!(
            enforcing.is_none(),
            "dns.trust_anchor_file: it is not the IANA root's, and the profile `{}` enforces the Baseline Requirements (v2.2.6 \
             section 3.2.2.4: validation to the IANA root); leave the key empty, or ask loopback name servers alone",
            enforcing.map_or("", |one| one.profile.id.as_str())
        );
    }
    let sender = from_address(config)?.to_string();
    if let Some(theirs) =
        profiles.iter().find(|one| one.profile.mail.documented_from.iter().any(|theirs| theirs.eq_ignore_ascii_case(&sender)))
    {
        anyhow::bail!(
            "smtp.from: {sender} is the address of the service that the profile `{}` is after; never send as somebody else",
            theirs.profile.id
        );
    }
    let renderer = Renderer::new(given(&config.template_dir)).context("template_dir")?;
    if profiles.iter().any(|one| one.profile.mail.body == MailBody::CodeEntry) {
        renderer.check_code_entry().context("template_dir")?;
    }
    for (advice, of) in advised(&profiles, ports.clock.now()) {
        tracing::warn!(profiles = of.join(", "), key = advice.key, rule = advice.rule, "{}", advice.words);
    }
    // Last, so that a configuration that is refused leaves no database behind.
    let migrate = if config.database.migrate { Migrate::Yes } else { Migrate::No };
    let store = match store {
        Some(store) => store.clone(),
        None => Store::open(config.database.url.expose_secret(), migrate).await.context("database")?,
    };
    let (keys, link_key_since) = dated_key_ring(config, &store).await?;
    let settings = Settings { link_key_since, ..settings };
    let app = App {
        keys,
        store,
        ports,
        settings,
        profiles,
        lists: ArcSwap::from_pointee(lists),
        renderer,
        pace: Arc::new(Mutex::new(Pace::new(mail_rate(config)))),
        gone_endpoints: Arc::default(),
        views: Arc::default(),
        mail_hosts: Arc::default(),
        whois_servers: Arc::default(),
        rdap_bootstrap: Mutex::new(None),
        past_profiles: Mutex::new(HashMap::new()),
    };
    app.keep_profiles().await?;
    warn(config, &app);
    if config.clients.is_empty() && app.store.client_tokens().await?.is_empty() {
        tracing::warn!("no ordering system is known, so that none can call: `dcvd client add NAME` makes one");
    }
    Ok(app)
}

/// What DNSSEC validation begins from; `None` where it is off.
fn trust_anchor(config: &Config) -> anyhow::Result<Option<Anchor>> {
    if config.dns.dnssec == DnssecMode::Off {
        return Ok(None);
    }
    let Some(path) = given(&config.dns.trust_anchor_file) else { return Ok(Some(Anchor::iana())) };
    Anchor::read(path).map(Some).with_context(|| format!("dns.trust_anchor_file: {}", path.display()))
}

/// The adapters.
///
/// # Errors
/// The first that cannot be built.
fn ports(config: &Config, anchor: Option<Anchor>) -> anyhow::Result<Ports> {
    let clock = Arc::new(SystemClock);
    let dns = HickoryDns::new(&config.dns.nameservers, anchor, config.dns.timeout, clock.clone())?;
    let whois = PortFortyThree::new(
        config.whois.connect_to.clone(),
        config.whois.timeout,
        config.whois.rate.period,
        config.whois.burst,
        clock.clone(),
    );
    let rdap =
        HttpRdap::new(&config.rdap.bootstrap, config.rdap.allow_http, config.whois.timeout, clock.clone()).context("rdap")?;
    let mail_out = smtp(config)?;
    let mail_in: Option<Arc<dyn MailIn>> = match given(&config.inbound.maildir) {
        None => None,
        Some(path) => {
            Some(Arc::new(Maildir::open(path.to_owned()).with_context(|| format!("inbound.maildir: {}", path.display()))?))
        }
    };
    let client_certificates: Option<Arc<dyn ClientCertificates>> = if config.admin.client_ca_files.is_empty() {
        None
    } else {
        let authorities = Authorities::read(&config.admin.client_ca_files, &config.admin.client_crl_files);
        Some(Arc::new(authorities.context("admin.client_ca_files")?))
    };
    Ok(Ports {
        clock,
        entropy: Arc::new(SystemEntropy),
        credentials: Arc::new(Argon::default()),
        client_certificates,
        open_id: open_id(&config.admin.openid).context("admin.openid")?,
        dns: Arc::new(dns),
        whois: Arc::new(whois),
        rdap: Arc::new(rdap),
        mail_out: Arc::new(mail_out),
        mail_in,
        webhook: Arc::new(webhooks(config)?),
    })
}

/// The OpenID Connect provider.
#[cfg(feature = "oidc")]
pub(super) fn open_id(config: &OpenIdConnect) -> anyhow::Result<Option<Arc<dyn OpenId>>> {
    if config.issuer.is_empty() {
        return Ok(None);
    }
    let settings = ProviderSettings {
        issuer: config.issuer.clone(),
        client_id: config.client_id.clone(),
        client_secret: config.client_secret().context("client_secret_file")?,
        redirect_url: config.redirect_url.clone(),
        scopes: config.scopes.clone(),
    };
    Ok(Some(Arc::new(Provider::new(settings, given(&config.ca_file))?)))
}

#[cfg(not(feature = "oidc"))]
pub(super) fn open_id(config: &OpenIdConnect) -> anyhow::Result<Option<Arc<dyn OpenId>>> {
    anyhow::ensure!(config.issuer.is_empty(), "this dcvd was built without the feature `oidc`");
    Ok(None)
}

/// The way out for webhooks.
pub(super) fn webhooks(config: &Config) -> anyhow::Result<StandardWebhooks> {
    let endpoints = config
        .webhooks
        .iter()
        .map(|one| {
            let keys = one.keys()?;
            Ok(Endpoint { name: one.name.clone(), url: one.url.clone(), keys, allow_private_address: one.allow_private_address })
        })
        .collect::<Result<Vec<_>, crate::config::SecretError>>()?;
    StandardWebhooks::new(endpoints, config.webhook.timeout).context("webhooks")
}

/// Said for `smtp.reply_to`: each mail has a reply address of its own.
const TRACKED: &str = "tracked";

/// The way out for mail.
pub(super) fn smtp(config: &Config) -> anyhow::Result<Smtp> {
    Ok(Smtp::new(&SmtpSettings {
        urls: std::iter::once(&config.smtp.url).chain(&config.smtp.fallback_urls).cloned().collect(),
        from: config.smtp.from.clone(),
        reply_to: if config.smtp.reply_to == TRACKED { String::new() } else { config.smtp.reply_to.clone() },
        password: config.smtp.password().context("smtp.password_file")?,
        ca_file: config.smtp.ca_file.clone(),
        timeout: config.smtp.timeout,
        data_timeout: config.smtp.data_timeout,
        mails_per_connection: config.smtp.mails_per_connection,
        connection_age: config.smtp.connection_age,
    })?)
}

/// DNS look-ups. Must be called within a runtime.
pub(super) fn dns(config: &Config) -> anyhow::Result<HickoryDns> {
    Ok(HickoryDns::new(&config.dns.nameservers, trust_anchor(config)?, config.dns.timeout, Arc::new(SystemClock))?)
}

/// The address that people see as the sender.
pub(super) fn from_address(config: &Config) -> anyhow::Result<EmailAddress> {
    let text = config.smtp.from.trim();
    let bare = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>'));
    EmailAddress::parse(bare).context("smtp.from")
}

/// The use cases' part of the configuration.
fn settings(config: &Config) -> anyhow::Result<Settings> {
    let bounce = EmailAddress::parse(&config.smtp.bounce_address).context("smtp.bounce_address")?;
    anyhow::ensure!(
        return_path::has_room(&bounce.to_string()),
        "smtp.bounce_address: its local part is too long; with the delimiter and a reference of 42 characters it may have 64"
    );
    anyhow::ensure!("+-=".contains(config.smtp.bounce_delimiter), "smtp.bounce_delimiter: must be one of + - =");
    let service = &config.service;
    let flies = match config.canary.mode {
        CanaryMode::Auto => given(&config.inbound.maildir).is_some(),
        CanaryMode::On => true,
        CanaryMode::Off => false,
    };
    Ok(Settings {
        public_base: config.server.public_base().to_owned(),
        bounce_address: bounce.to_string(),
        bounce_delimiter: config.smtp.bounce_delimiter,
        sign_in: config
            .admin
            .sign_in
            .then_some(SessionLimits { idle: config.admin.session_idle, longest: config.admin.session_max }),
        passwords: config.admin.passwords,
        certificate_rules: config.admin.certificates.clone(),
        claim_rules: config.admin.openid.rules.clone(),
        link_key_since: None,
        access_log_kept: config.admin.access_log_kept,
        reads_replies: config.smtp.reply_to == TRACKED
            || (config.smtp.reply_to.is_empty() && !config.inbound.maildir.as_os_str().is_empty()),
        message_id_host: bounce.ascii_domain().to_owned(),
        service: ServiceView {
            name_ja: service.name_ja.clone(),
            name_en: service.name_en.clone(),
            contact_email: service.contact_email.clone(),
            contact_phone: service.contact_phone.clone(),
            contact_hours_ja: service.contact_hours_ja.clone(),
            contact_hours_en: service.contact_hours_en.clone(),
        },
        from: config.smtp.from.clone(),
        operators: operators(config)?,
        digest: config.notices.digest,
        canary: flies.then_some(CanarySettings { every: config.canary.every, alarm_after: config.canary.alarm_after }),
        recipient_daily_cap: config.smtp.recipient_daily_cap,
        subscriptions: config.webhooks.iter().map(crate::config::WebhookEndpoint::subscription).collect(),
        whois_root: config.whois.root.to_ascii_lowercase(),
        whois_server_ttl: config.whois.server_ttl,
        whois_rate: SharedRate { period: config.whois.rate.period, burst: config.whois.burst },
        lookup_deadline: LOOKUP_DEADLINE,
        rdap_allow_http: config.rdap.allow_http,
    })
}

fn operators(config: &Config) -> anyhow::Result<Vec<String>> {
    let address = |text: &String| EmailAddress::parse(text).map(|address| address.to_string());
    config.notices.operators.iter().map(address).collect::<Result<_, _>>().context("notices.operators")
}

pub(super) fn http_settings(config: &Config) -> HttpSettings {
    HttpSettings {
        clients: config
            .clients
            .iter()
            .flat_map(|client| {
                let rights = Arc::new(client.rights());
                client.token_sha256.iter().map(move |hash| (client.name.clone(), *hash, Arc::clone(&rights)))
            })
            .collect(),
        client_rate: config.limits.client_rate,
        trusted_proxies: config.server.trusted_proxies.clone(),
        open_id_return: config.admin.openid.redirect_url.clone(),
        certificate_header: HeaderName::try_from(config.admin.client_cert_header.as_str()).ok(),
        certificate_proxies: config.server.trusted_proxies.clone(),
        max_body_bytes: config.server.max_body_bytes,
        request_timeout: config.server.request_timeout,
        wrong_links_per_minute: config.limits.wrong_links_per_minute,
        requests_at_once: config.limits.requests_at_once,
        readiness_kept: Duration::from_secs(5),
        stopping: CancellationToken::new(),
        metrics: Arc::new(telemetry::metrics),
    }
}

pub(super) const fn job_settings(config: &Config) -> JobSettings {
    JobSettings {
        mail_concurrency: config.jobs.mail_concurrency,
        webhook_concurrency: config.jobs.webhook_concurrency,
        poll: config.jobs.poll,
        lease: config.jobs.lease,
    }
}

/// The configured keys, or the one that is made at first start and kept.
pub(super) async fn key_ring(config: &Config, store: &Store) -> anyhow::Result<KeyRing> {
    Ok(dated_key_ring(config, store).await?.0)
}

/// The keys, and since when the one that signs is there.
async fn dated_key_ring(config: &Config, store: &Store) -> anyhow::Result<(KeyRing, Option<Timestamp>)> {
    let mut keys = config.link.keys().context("link.key_files")?;
    let written = config.link.key_files.first().and_then(|path| std::fs::metadata(path).ok()?.modified().ok());
    let mut since = written
        .and_then(|at| i64::try_from(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs()).ok())
        .map(Timestamp::from_unix_secs);
    if keys.is_empty() {
        let mut fresh = vec![0; KEY_OCTETS];
        SystemEntropy.fill(&mut fresh);
        let (kept, at) = store.secret("link-key", fresh, SystemClock.now()).await?;
        since = Some(at);
        let kept: [u8; KEY_OCTETS] = kept.try_into().map_err(|_| anyhow::anyhow!("the database's link key is damaged"))?;
        keys.push(LinkKey::new(kept));
    }
    Ok((KeyRing::new(keys)?, since))
}

/// The lists that can be read again while the daemon runs.
pub(super) fn lists(config: &Config) -> anyhow::Result<Lists> {
    let refuse_adn = match given(&config.policy.refuse_adn) {
        Some(path) => name_list("policy.refuse_adn", path)?,
        None => NameList::new(toml::from_str(REFUSE_ADN).context("the built-in policy.refuse_adn")?)?,
    };
    let hold = given(&config.policy.hold).map_or_else(|| Ok(NameList::default()), |path| name_list("policy.hold", path))?;
    Ok(Lists { suffixes: suffixes(&config.psl_file)?, policy: Policy { refuse_adn, hold } })
}

/// The names at which no constructed address is usable, unless configured otherwise.
const REFUSE_ADN: &str = include_str!("../../config/policy/refuse_adn.toml");

fn name_list(key: &str, path: &Path) -> anyhow::Result<NameList> {
    let place = || format!("{key}: {}", path.display());
    let text = std::fs::read_to_string(path).with_context(place)?;
    NameList::new(toml::from_str(&text).with_context(place)?).with_context(place)
}

fn suffixes(path: &Path) -> anyhow::Result<SuffixList> {
    match given(path) {
        None => Ok(SuffixList::BuiltIn),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("psl_file: {}", path.display()))?;
            SuffixList::parse(&text).map_err(|error| anyhow::anyhow!("psl_file: {}: {error}", path.display()))
        }
    }
}

/// A path that is not empty.
pub(super) fn given(path: &Path) -> Option<&Path> {
    Some(path).filter(|path| !path.as_os_str().is_empty())
}

/// Says at the start what an operator should know.
fn warn(config: &Config, app: &App) {
    if config.dns.dnssec == DnssecMode::Off {
        tracing::warn!(
            "dns.dnssec is off: answers are not validated, and profiles that enforce the Baseline Requirements get none"
        );
    }
    if config.inbound.maildir.as_os_str().is_empty() {
        tracing::info!(
            "inbound.maildir is empty: unless the mail server pipes returned mail to `dcvd ingest`, a bounce is not noticed"
        );
    }
    let now = app.now();
    for one in app.profiles.iter() {
        for &source in &one.profile.addresses.sources {
            let rule = method::rule(source.method(), now);
            let profile = one.profile.id.as_str();
            if let Some(reason) = refusal(source, rule, &one.profile) {
                tracing::warn!(
                    profile,
                    source = source.as_str(),
                    reason,
                    "the profile lists a source whose addresses it may not use"
                );
            } else if one.profile.compliance == Compliance::Record && rule.status == RuleStatus::MustNot {
                tracing::info!(
                    profile,
                    source = source.as_str(),
                    "the Baseline Requirements forbid this source for publicly trusted TLS; results are marked"
                );
            }
        }
    }
}
