//! The use cases, one file each, named for what they do: gather, decide, commit.

pub mod allowlist;
pub mod amend;
pub mod annotate;
pub mod answer;
pub mod ask;
pub mod audit;
pub mod bundle;
pub mod canary;
pub mod cancel;
mod cause;
pub mod change_approver;
pub mod choose_approver;
pub mod deliver;
pub mod digest;
pub mod dispute;
mod entered;
pub mod expire;
pub mod export;
pub mod extend;
pub mod fill_base_domains;
pub mod health;
pub mod ingest;
pub mod list_approvers;
pub mod list_validations;
pub mod look_again;
pub mod lookups;
mod notify;
pub mod open_link;
pub mod overview;
pub mod pace;
pub mod place_order;
pub mod preflight;
pub mod preview;
pub mod record_certificate;
pub mod release;
pub mod renew;
pub mod replay;
pub mod resend;
pub mod retain;
mod reuse;
pub mod seal;
pub mod show_evidence;
pub mod show_order;
pub mod show_status;
pub mod sign_in;
pub mod sign_in_openid;
pub mod statistics;
pub mod tally;
pub mod view;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use utoipa::ToSchema;

pub use self::cause::Cause;

use self::pace::Pace;
use crate::dcv::event::{Event, Subscription};
use crate::dcv::id::{ID_RANDOM_BYTES, OrderId};
use crate::dcv::link::KeyRing;
use crate::dcv::name::SuffixList;
use crate::dcv::operator::SessionLimits;
use crate::dcv::operator_certificate::CertificateRule;
use crate::dcv::operator_claims::ClaimRule;
use crate::dcv::order::OrderKind;
use crate::dcv::policy::Policy;
use crate::dcv::profile::{Catalog, Versioned};
use crate::dcv::return_path;
use crate::dcv::timestamp::Timestamp;
use crate::ports::Ports;
use crate::render::{FactsView, NameView, Renderer, ServiceView};
use crate::store::{MailRow, OrderRow, SharedRate, Store, StoreError};

/// What the use cases need to know of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What links begin with, without a slash at the end.
    pub public_base: String,
    /// Return path; the mail's reference is added to its local part.
    pub bounce_address: String,
    /// What stands between the two.
    pub bounce_delimiter: char,
    /// Replies are read as returned mail is: each mail has a reply address of its own.
    pub reads_replies: bool,
    /// The sender of mails, as people see it.
    pub from: String,
    /// How long a sign-in to the status page lasts; `None` where the page has none and serves this host alone.
    pub sign_in: Option<SessionLimits>,
    /// Whether operators come in by password.
    pub passwords: bool,
    /// Whom client certificates let in to the status page.
    pub certificate_rules: Vec<CertificateRule>,
    /// Whom the OpenID Connect provider's claims let in to the status page.
    pub claim_rules: Vec<ClaimRule>,
    /// How long entries of the access log are kept.
    pub access_log_kept: Duration,
    /// Since when the key that signs links is there.
    pub link_key_since: Option<Timestamp>,
    /// Who gets notices of trouble, people's replies and the digest.
    pub operators: Vec<String>,
    /// When the digest goes, as time since midnight in Japan; `None` = never.
    pub digest: Option<Duration>,
    /// How the canary flies; `None` = not.
    pub canary: Option<canary::CanarySettings>,
    /// Approval mails to one address within 24 hours; 0 = no limit.
    pub recipient_daily_cap: u32,
    /// The host in Message-IDs: the sender's domain.
    pub message_id_host: String,
    /// Whose mail it is.
    pub service: ServiceView,
    /// Who wants which events.
    pub subscriptions: Vec<Subscription>,
    /// Asked for each top-level domain's WHOIS server.
    pub whois_root: String,
    /// How long the registry's server, and the RDAP bootstrap registry, are believed.
    pub whois_server_ttl: Duration,
    /// How often one WHOIS server is asked, by all daemons on the database together.
    pub whois_rate: SharedRate,
    /// Time for all sources of one request together, waiting for our own rate towards a server included.
    pub lookup_deadline: Duration,
    /// RDAP over `http://`, for loopback tests alone.
    pub rdap_allow_http: bool,
}

/// Which receivers of webhooks answered that they are gone.
#[derive(Debug, Default)]
pub struct GoneEndpoints {
    /// When the database was last asked.
    pub read_at: Option<Timestamp>,
    /// By name and what tells its address: since when.
    pub gone: HashMap<(String, String), Timestamp>,
}

/// Lists that operators keep up to date; replaced whole.
#[derive(Debug)]
pub struct Lists {
    /// The Public Suffix List.
    pub suffixes: SuffixList,
    /// Which names are refused constructed addresses, and which orders wait for a person.
    pub policy: Policy,
}

/// The application: everything a use case works with.
pub struct App {
    /// The database.
    pub store: Store,
    /// The outside world.
    pub ports: Ports,
    /// What the configuration says.
    pub settings: Settings,
    /// The profiles in force.
    pub profiles: Catalog,
    /// The lists that can be read again while the daemon runs.
    pub lists: ArcSwap<Lists>,
    /// The link keys.
    pub keys: KeyRing,
    /// The templates.
    pub renderer: Renderer,
    /// Who opened links lately, until it is written.
    pub views: Arc<view::Views>,
    /// Receivers of webhooks that are gone, as last read.
    pub gone_endpoints: Arc<Mutex<GoneEndpoints>>,
    /// The pace of mail to each recipient domain.
    pub pace: Arc<Mutex<Pace>>,
    /// Whether recipients' domains take mail, as found lately.
    pub mail_hosts: Arc<preflight::Found>,
    /// The registries' WHOIS servers as IANA named them.
    pub whois_servers: Arc<Mutex<HashMap<String, (String, Timestamp)>>>,
    /// IANA's RDAP bootstrap registry as last read.
    pub rdap_bootstrap: Mutex<Option<(Arc<Vec<u8>>, Timestamp)>>,
    /// Profiles of earlier orders that are no longer in force, by hash.
    pub past_profiles: Mutex<HashMap<Vec<u8>, Arc<Versioned>>>,
}

/// A mail under way to a recipient domain.
#[derive(Debug)]
pub struct Turn<'a> {
    pace: &'a Mutex<Pace>,
    domain: &'a str,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).end(self.domain);
    }
}

impl App {
    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// The lists in force now. A use case takes them once and works with those to its end.
    #[must_use]
    pub fn lists(&self) -> Arc<Lists> {
        self.lists.load_full()
    }

    /// A mail's turn to go to a recipient domain, until it is dropped.
    ///
    /// # Errors
    /// The instant at which it may come back.
    pub fn turn<'a>(&'a self, domain: &'a str, effect: &[u8]) -> Result<Turn<'a>, Timestamp> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).begin(domain, effect, self.now())?;
        Ok(Turn { pace: &self.pace, domain })
    }

    /// The reply address of a mail or notice, where replies are read: what a person answers is shown with the order.
    #[must_use]
    pub fn reply_address(&self, id: &[u8; 16]) -> Option<String> {
        let settings = &self.settings;
        let reference = return_path::reply_reference(&self.keys, id);
        settings.reads_replies.then(|| return_path::address(&settings.bounce_address, settings.bounce_delimiter, &reference))
    }

    /// Random bytes.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.ports.entropy.fill(&mut bytes);
        bytes
    }

    /// Draws the random parts of new ids.
    pub fn id_source(&self) -> impl FnMut() -> [u8; ID_RANDOM_BYTES] + Send + use<> {
        let entropy = Arc::clone(&self.ports.entropy);
        move || {
            let mut bytes = [0; ID_RANDOM_BYTES];
            entropy.fill(&mut bytes);
            bytes
        }
    }

    /// Says which endpoints want an event of an order of `client`.
    pub fn routes(&self, client: &str) -> impl Fn(&Event) -> Vec<String> + Send + Sync + use<> {
        let subscriptions = self.settings.subscriptions.clone();
        let client = client.to_owned();
        move |event| subscriptions.iter().filter(|one| one.wants(event.kind, &client)).map(|one| one.endpoint.clone()).collect()
    }

    /// The profile an order was placed under, by its frozen hash.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when the order's profile is not stored.
    pub async fn profile_of(&self, order: &OrderRow) -> Result<Arc<Versioned>, StoreError> {
        self.profile_by(&order.profile_id, &order.profile_hash).await
    }

    /// A profile by its name and the hash of its values.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when it is not stored.
    pub async fn profile_by(&self, id: &str, hash: &[u8]) -> Result<Arc<Versioned>, StoreError> {
        if let Some(current) = self.profiles.get(Some(id)).filter(|one| one.hash[..] == *hash) {
            return Ok(Arc::clone(current));
        }
        if let Some(past) = self.past_profiles.lock().unwrap_or_else(PoisonError::into_inner).get(hash) {
            return Ok(Arc::clone(past));
        }
        let missing = || StoreError::inconsistent("profile_versions", "hash", hash);
        let body = self.store.profile_body(hash).await?.ok_or_else(missing)?;
        let past = Arc::new(Versioned::from_body(&body).map_err(|_| missing())?);
        self.past_profiles.lock().unwrap_or_else(PoisonError::into_inner).insert(hash.to_vec(), Arc::clone(&past));
        Ok(past)
    }

    /// Keeps the profiles in force, so that every order's rules can be read back.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be written.
    pub async fn keep_profiles(&self) -> Result<(), StoreError> {
        let now = self.now();
        let profiles: Vec<_> = self.profiles.iter().cloned().collect();
        self.store
            .write("keep_profiles", move |tx| {
                Box::pin(async move {
                    for one in profiles {
                        tx.keep_profile(&one.hash, &one.profile.id, &one.body, now).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// What an ordering system tells of an order besides names and approvers; stored as JSON, never changed.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, ToSchema)]
#[serde(default)]
pub struct OrderFacts {
    /// The applicant's name.
    pub organization: Option<String>,
    /// The party that sent the request.
    pub requester: Option<String>,
    /// The certificate's product.
    pub product: Option<String>,
    /// What the order is for.
    #[schema(value_type = Option<String>)]
    pub kind: Option<OrderKind>,
    /// Who gets token-free notices.
    pub notify: Vec<String>,
    /// The contract.
    pub contract_code: Option<String>,
    /// The order this one follows.
    pub previous_order_id: Option<String>,
    /// The order in whose place an operator put this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amends: Option<String>,
    /// Whatever the ordering system wants back.
    #[schema(value_type = Object)]
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

impl OrderFacts {
    /// The order that this one renews, by its own word.
    #[must_use]
    pub fn renews(&self) -> Option<OrderId> {
        self.succeeds().filter(|_| self.kind == Some(OrderKind::Renewal))
    }

    /// The order in whose place this one comes: the earlier one it names, unless it reissues that one's certificate.
    #[must_use]
    pub fn succeeds(&self) -> Option<OrderId> {
        let earlier = self.previous_order_id.as_deref().filter(|_| self.kind != Some(OrderKind::Reissue))?;
        OrderId::parse(earlier).ok()
    }
}

impl OrderRow {
    /// What the caller told, read back.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when the column holds something else.
    pub fn facts(&self) -> Result<OrderFacts, StoreError> {
        serde_json::from_str(&self.facts).map_err(|_| StoreError::inconsistent("orders", "facts", &self.id))
    }
}

/// What an order is for, in Japanese and in English; empty where it was not told.
pub(crate) const fn kind_words(kind: Option<OrderKind>) -> (&'static str, &'static str) {
    match kind {
        None => ("", ""),
        Some(OrderKind::New) => ("新規", "new"),
        Some(OrderKind::Renewal) => ("更新", "renewal"),
        Some(OrderKind::Additional) => ("追加", "additional"),
        Some(OrderKind::Reissue) => ("再発行", "reissue"),
    }
}

/// What mail and page tell of an order and a mail.
fn facts_view(order: &OrderRow, facts: &OrderFacts, mail: &MailRow, names: Vec<NameView>) -> FactsView {
    let created = Timestamp::from_unix_micros(order.created_at);
    let deadline = Timestamp::from_unix_micros(mail.expires_at);
    let (kind_ja, kind_en) = kind_words(facts.kind);
    let words = |role: &str| match role {
        "registrant" => ("登録者", "registrant"),
        "administrative" => ("登録担当者", "administrative"),
        "technical" => ("技術連絡担当者", "technical"),
        "public" => ("公開連絡窓口", "public"),
        _ => ("", ""),
    };
    let also = mail.also_roles.as_deref().into_iter().flat_map(|roles| roles.split(','));
    let (roles_ja, roles_en): (Vec<&str>, Vec<&str>) = mail.role.as_deref().into_iter().chain(also).map(words).unzip();
    FactsView {
        test: order.test == 1,
        request_id: order.id().map(|id| id.to_string()).unwrap_or_default(),
        order_ref: order.order_ref.clone(),
        adn: NameView::new(&mail.adn),
        names,
        organization: facts.organization.clone().unwrap_or_default(),
        requester: facts.requester.clone().unwrap_or_default(),
        product: facts.product.clone().unwrap_or_default(),
        kind_ja,
        kind_en,
        recipient: mail.recipient.clone(),
        source: mail.source().map_or("", |source| source.as_str()),
        role_ja: roles_ja.join("・"),
        role_en: roles_en.join(" and "),
        requested_at: created.to_string(),
        requested_ja: japanese_time(created),
        requested_en: english_time(created),
        deadline_at: deadline.to_string(),
        deadline_ja: japanese_time(deadline),
        deadline_en: english_time(deadline),
    }
}

/// "2026年12月18日 10:00(日本時間)"
#[must_use]
pub fn japanese_time(at: Timestamp) -> String {
    let t = at.to_jst();
    format!("{}年{}月{}日 {:02}:{:02}(日本時間)", t.year(), u8::from(t.month()), t.day(), t.hour(), t.minute())
}

/// "18 December 2026 10:00 (Japan time, UTC+9)"
#[must_use]
pub fn english_time(at: Timestamp) -> String {
    let t = at.to_jst();
    format!("{} {} {} {:02}:{:02} (Japan time, UTC+9)", t.day(), t.month(), t.year(), t.hour(), t.minute())
}
