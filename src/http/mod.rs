//! The router. A handler parses, calls one use case, renders; it decides nothing.

mod access_log;
mod admin;
mod api;
mod approve;
mod caller;
pub(crate) mod connections;
mod docs;
mod ops;
mod problem;
mod static_files;
pub(crate) mod tls;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use futures_util::FutureExt as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::Instrument as _;

/// The conditions that rows for a file may be chosen by.
pub use admin::EXPORT_FILTERS;
pub(crate) use api::approvers::ApproversView;
pub use problem::{CODES, Code, Problem};

use crate::app::App;
use crate::app::health::{Readiness, can_write, readiness};
use crate::dcv::client::{RequestRate, Rights};
use crate::telemetry;

/// What the router needs to know of the configuration.
#[derive(Clone)]
pub struct HttpSettings {
    /// Ordering systems: name, SHA-256 of a token, and what they may do; one with several tokens stands there several times.
    pub clients: Vec<(String, [u8; 32], Arc<Rights>)>,
    /// How fast one may ask where its rights do not say.
    pub client_rate: RequestRate,
    /// Proxies whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where an OpenID Connect provider sends browsers back to; empty where there is none.
    pub open_id_return: String,
    /// In which header a proxy passes a client's certificate on, and which proxies are believed in that.
    pub certificate_header: Option<HeaderName>,
    /// See `certificate_header`.
    pub certificate_proxies: Vec<IpNet>,
    /// Longest request body, in bytes.
    pub max_body_bytes: usize,
    /// Time for one request.
    pub request_timeout: Duration,
    /// Wrong links per caller and minute.
    pub wrong_links_per_minute: std::num::NonZeroU32,
    /// Requests of ordering systems under way at once; more are told to come back.
    pub requests_at_once: std::num::NonZeroU16,
    /// How long what `/readyz` found is told again.
    pub readiness_kept: Duration,
    /// The daemon ends: what lasts, ends too.
    pub stopping: CancellationToken,
    /// What the daemon counts.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Tries to sign in, by address: so many at once, then one in so long.
const SIGN_INS: u32 = 10;
const SIGN_IN_EVERY: Duration = Duration::from_secs(30);

/// Ways to a provider, by address: an office of many may come at once.
const AWAY: u32 = 60;
const AWAY_EVERY: Duration = Duration::from_secs(5);

/// The same by name, whoever tries: more, so that no single stranger keeps an operator out.
const NAME_TRIES: u32 = 100;
const NAME_TRY_EVERY: Duration = Duration::from_secs(5);

/// What every handler gets.
pub struct Shared {
    /// The use cases.
    pub app: Arc<App>,
    /// The configuration's part.
    pub settings: HttpSettings,
    clients: api::Registry,
    /// Places of ordering systems' requests.
    under_way: Semaphore,
    /// The page for a wrong link, in Japanese and in English.
    unknown_link: [OnceLock<Bytes>; 2],
    limits: Arc<Limits>,
}

/// Who did what how often; kept when the configuration is read again.
pub struct Limits {
    wrong_links: DefaultKeyedRateLimiter<IpAddr>,
    readers: caller::Readers,
    confirmations: DefaultKeyedRateLimiter<([u8; 32], IpAddr)>,
    confirmed_links: DefaultKeyedRateLimiter<[u8; 32]>,
    confirming: DefaultKeyedRateLimiter<IpAddr>,
    sign_ins: DefaultKeyedRateLimiter<IpAddr>,
    away: DefaultKeyedRateLimiter<IpAddr>,
    names_tried: DefaultKeyedRateLimiter<[u8; 32]>,
    shown: admin::shown::Shown,
    /// When it was last looked how the daemon fares, and what was found; nothing where the database does not answer.
    probe: tokio::sync::Mutex<Option<(Instant, Option<Readiness>)>>,
}

/// One caller's tries at a link's confirmation code at once, and the time for one more: an owner who mistyped waits two minutes, and
/// nobody else's tries take theirs.
const CODE_TRIES: u32 = 5;
const CODE_TRY_EVERY: Duration = Duration::from_secs(120);

/// All callers' tries at one link at once, and the time for one more, 500 a day: 8 digits stand against that for centuries.
const LINK_TRIES: u32 = 100;
const LINK_TRY_EVERY: Duration = Duration::from_secs(172);

/// Tries at confirmation codes of any links, for one caller and minute.
const CODE_TRIES_PER_CALLER: u32 = 20;

/// The state of the router.
#[derive(Clone)]
pub struct HttpState(Arc<Shared>);

impl HttpState {
    /// Puts the state together.
    #[must_use]
    pub fn new(app: Arc<App>, settings: HttpSettings) -> Self {
        let limits = Arc::new(Limits::new(settings.wrong_links_per_minute));
        Self::with(app, settings, limits)
    }

    /// The state under another configuration; what callers did is remembered.
    #[must_use]
    pub fn anew(&self, app: Arc<App>, settings: HttpSettings) -> Self {
        Self::with(app, settings, Arc::clone(&self.limits))
    }

    fn with(app: Arc<App>, settings: HttpSettings, limits: Arc<Limits>) -> Self {
        Self(Arc::new(Shared {
            app,
            clients: api::Registry::new(&settings.clients, settings.client_rate),
            under_way: Semaphore::new(settings.requests_at_once.get().into()),
            settings,
            unknown_link: Default::default(),
            limits,
        }))
    }
}

/// How long the database may take to tell how it fares.
const READINESS_TIMEOUT: Duration = Duration::from_secs(5);

impl HttpState {
    /// How the daemon fares, looked at once in a while whoever asks; `None` where the database does not answer. In a task of its own, so that
    /// whoever asks and goes away has it looked at no more often.
    async fn readiness(&self) -> Option<Readiness> {
        let state = self.clone();
        let look = async move {
            let mut probe = state.probe.lock().await;
            if let Some((at, found)) = &*probe
                && at.elapsed() < state.settings.readiness_kept
            {
                return found.clone();
            }
            let writes = can_write(&state.app).await;
            let found = tokio::time::timeout(READINESS_TIMEOUT, readiness(&state.app, writes)).await;
            let found = found.inspect_err(|_| tracing::warn!("not ready: the database does not answer in time")).ok();
            let found = found.and_then(|found| found.inspect_err(|error| tracing::warn!(%error, "not ready")).ok());
            *probe = Some((Instant::now(), found.clone()));
            found
        };
        tokio::spawn(look).await.ok().flatten()
    }
}

impl std::ops::Deref for HttpState {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl std::ops::Deref for Shared {
    type Target = Limits;
    fn deref(&self) -> &Limits {
        &self.limits
    }
}

impl Limits {
    fn new(wrong_links_per_minute: std::num::NonZeroU32) -> Self {
        let wrong_links = RateLimiter::keyed(Quota::per_minute(wrong_links_per_minute));
        let tries = |count: u32| std::num::NonZeroU32::new(count).unwrap_or(std::num::NonZeroU32::MIN);
        let quota = |every: Duration, burst: u32| {
            Quota::with_period(every).unwrap_or_else(|| Quota::per_minute(tries(1))).allow_burst(tries(burst))
        };
        Self {
            wrong_links,
            readers: caller::Readers::default(),
            confirmations: RateLimiter::keyed(quota(CODE_TRY_EVERY, CODE_TRIES)),
            confirmed_links: RateLimiter::keyed(quota(LINK_TRY_EVERY, LINK_TRIES)),
            confirming: RateLimiter::keyed(Quota::per_minute(tries(CODE_TRIES_PER_CALLER))),
            sign_ins: RateLimiter::keyed(quota(SIGN_IN_EVERY, SIGN_INS)),
            away: RateLimiter::keyed(quota(AWAY_EVERY, AWAY)),
            names_tried: RateLimiter::keyed(quota(NAME_TRY_EVERY, NAME_TRIES)),
            shown: admin::shown::Shown::default(),
            probe: tokio::sync::Mutex::default(),
        }
    }
}

impl Shared {
    /// Forgets callers that have been quiet, so that the table does not grow for ever.
    pub fn forget_quiet_callers(&self) {
        self.wrong_links.retain_recent();
        self.wrong_links.shrink_to_fit();
        self.confirmations.retain_recent();
        self.confirmations.shrink_to_fit();
        self.confirmed_links.retain_recent();
        self.confirmed_links.shrink_to_fit();
        self.confirming.retain_recent();
        self.confirming.shrink_to_fit();
        self.sign_ins.retain_recent();
        self.sign_ins.shrink_to_fit();
        self.away.retain_recent();
        self.away.shrink_to_fit();
        self.names_tried.retain_recent();
        self.names_tried.shrink_to_fit();
    }

    /// Whether a caller may try to sign in under a name now; each try counts, the right one too. The name is known by its hash, so that
    /// none makes the table large.
    fn may_sign_in(&self, caller: IpAddr, name: &str) -> bool {
        let name: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        self.sign_ins.check_key(&caller).is_ok() && self.names_tried.check_key(&name).is_ok()
    }

    /// Whether browsers reach the status page by HTTPS, as far as the address says to which an OpenID Connect provider sends them back.
    fn open_id_is_https(&self) -> bool {
        self.settings.open_id_return.starts_with("https://")
    }

    /// Whether a caller may try a confirmation code at a link now.
    fn may_confirm(&self, peer: &caller::Peer, link: [u8; 32]) -> bool {
        let caller = peer.limited_as();
        self.confirming.check_key(&caller).is_ok()
            && self.confirmations.check_key(&(link, caller)).is_ok()
            && self.confirmed_links.check_key(&link).is_ok()
    }
}

/// Whether clients may speak HTTP/2, over TLS.
pub(crate) const HTTP2: bool = cfg!(feature = "tls");

/// Which routes a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routes {
    /// Everything.
    All,
    /// Everything but the status page.
    Public,
    /// The status page and the signs of life.
    Admin,
}

/// Builds the router.
pub fn router(state: HttpState, routes: Routes) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(ops::healthz))
        .route("/readyz", get(ops::readyz))
        .route("/static/{file}", get(static_files::serve));
    if routes != Routes::Admin {
        let api = Router::new()
            .route("/v1/approvers", get(api::approvers::get))
            .route("/v1/orders", get(api::list_orders::get).post(api::place_order::post))
            .route("/v1/orders/{id}", get(api::show_order::get))
            .route("/v1/orders/{id}/events", get(api::events::get))
            .route("/v1/orders/{id}/evidence", get(api::evidence::get))
            .route("/v1/orders/{id}/resend", post(api::resend::post))
            .route("/v1/orders/{id}/approvers", post(api::change_approver::post))
            .route("/v1/orders/{id}/cancel", post(api::cancel::post))
            .route("/v1/orders/{id}/extend", post(api::extend::post))
            .route("/v1/orders/{id}/certificates", post(api::certificates::post))
            .route("/v1/orders/{id}/mails/{mail}/message", get(api::message::get))
            .route("/v1/orders/{id}/mails/{mail}/pin", get(api::pin::get))
            .route("/v1/orders/bulk", post(api::bulk::post).layer(DefaultBodyLimit::max(api::bulk::BODY_MAX_BYTES)))
            .route("/v1/validations", get(api::validations::get))
            .route("/v1/allowlist", get(api::allowlist::get))
            .route("/v1/allowlist/{domain}", put(api::allowlist::put).delete(api::allowlist::delete))
            .route("/v1/webhooks/replay", post(api::replay::post))
            .route_layer(from_fn_with_state(state.clone(), api::authenticate));
        let docs = Router::new()
            .route("/openapi.json", get(docs::openapi))
            .route("/docs", get(docs::page))
            .route("/problems/{code}", get(docs::problems::get).layer(set(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)));
        // Only where the pages are reached by TLS: over plain HTTP the header means nothing.
        let over_tls = state.app.settings.public_base.starts_with("https://");
        let approve = Router::new()
            .route("/approve/{token}", get(approve::show::get).post(approve::answer::post))
            // A link that lost its token, or was broken by a slash.
            .route("/approve/", get(approve::show::nothing))
            .route("/approve/{token}/{*rest}", get(approve::show::nothing))
            .route("/dispute/", get(approve::show::nothing))
            .route("/dispute/{token}", get(approve::dispute::get).post(approve::dispute::post))
            .route("/enter", get(approve::enter::get).post(approve::enter::post))
            .route("/about-mail", get(approve::about_mail::get))
            .route("/status", get(approve::status::get).post(approve::status::post))
            .layer(
                ServiceBuilder::new()
                    .layer(set(header::CACHE_CONTROL, "no-store"))
                    .layer(set(header::CONTENT_SECURITY_POLICY, PAGE_POLICY))
                    .option_layer(over_tls.then(|| set(header::STRICT_TRANSPORT_SECURITY, HSTS))),
            );
        router = router.merge(api).merge(docs).merge(approve);
    }
    if routes != Routes::Public {
        // On an address of its own whoever reaches it may read what is counted; beside the approve pages only this host.
        let mut metrics = Router::new().route("/metrics", get(ops::metrics));
        if routes == Routes::All {
            metrics = metrics.route_layer(from_fn_with_state(state.clone(), admin::counts_for_this_host));
        }
        router = router.merge(admin::router(&state)).merge(metrics);
    }
    let (max_body_bytes, request_timeout) = (state.settings.max_body_bytes, state.settings.request_timeout);
    let around = Around { request_timeout, pages: Some(state.clone()) };
    layered(router, max_body_bytes, around).with_state(state)
}

/// Puts what every route needs around a router: limits, headers, problem documents, and a 500 where a handler panics.
fn layered<S: Clone + Send + Sync + 'static>(router: Router<S>, max_body_bytes: usize, settings: Around) -> Router<S> {
    router
        .fallback(|| async { Problem::new(Code::NotFound) })
        .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed) })
        // One layer: each further one would clone and box all those within it for every request.
        .layer(ServiceBuilder::new().layer(from_fn_with_state(settings, around)).layer(DefaultBodyLimit::max(max_body_bytes)))
}

/// What every answer says besides its own headers.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow")),
];

/// What is put around every handler.
#[derive(Clone)]
struct Around {
    request_timeout: Duration,
    /// Makes the pages of what went wrong, for those who use a browser.
    pages: Option<HttpState>,
}

/// Runs a handler: within its time, with a panic caught, its errors as problem documents or pages, and one line in the log.
async fn around(State(around): State<Around>, request: Request, next: Next) -> Response {
    let id = request_id();
    let span = tracing::info_span!("request", id);
    let named = HeaderValue::try_from(id.as_str());
    let mut response = telemetry::in_request(id, answer(around, request, next).instrument(span)).await;
    if let Ok(id) = named {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// An id that tells a request from all others of this daemon's life, and nearly surely from those of others: no secret.
fn request_id() -> String {
    static LIFE: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    format!("{:08x}-{:x}", *LIFE >> 32, NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Names a request in its answer, in the log, and in what workers do for it later.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

async fn answer(Around { request_timeout, pages }: Around, request: Request, next: Next) -> Response {
    let line = access_log::Line::begin(&request);
    let asked = approve::Asked::of(&request);
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    let mut response = match tokio::time::timeout(request_timeout, handled).await {
        Ok(Ok(response)) => problem::dress(response),
        Ok(Err(panic)) => panicked(&*panic),
        Err(_) => Problem::new(Code::Unavailable).retry_after(SLOW_FOR_SECS).into_response(),
    };
    if let (Some(state), Some(asked)) = (&pages, asked)
        && problem::is_problem(&response)
    {
        response = approve::as_page(state, &asked, &response);
    }
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    line.end(&response);
    response
}

/// When whoever was answered too slowly may come back, in seconds.
const SLOW_FOR_SECS: u64 = 5;

/// Over TLS alone for a year, said only over TLS.
const HSTS: &str = "max-age=31536000";

/// What a page may load and where its form may go.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn set(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Response {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = words.unwrap_or("no words"), "a handler panicked");
    Problem::new(Code::Internal).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use axum::routing::get as get_route;
    use tower::ServiceExt as _;

    async fn get(path: &str) -> (StatusCode, String) {
        let router: Router = Router::new()
            .route("/panic", get_route(panics))
            .route("/slow", get_route(|| async { std::future::pending::<()>().await }))
            .route("/fine", get_route(|| async { "fine" }));
        let answer = layered(router, 1024, Around { request_timeout: Duration::from_millis(50), pages: None })
            .oneshot(Request::get(path).body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = answer.status();
        (status, String::from_utf8(to_bytes(answer.into_body(), 4096).await.unwrap().to_vec()).unwrap())
    }

    async fn panics() -> &'static str {
        panic!("on purpose")
    }

    #[tokio::test]
    async fn a_panic_in_a_handler_is_a_500_that_tells_nothing() {
        let (status, body) = get("/panic").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body.contains("\"code\":\"internal\"") && !body.contains("on purpose"));
        assert_eq!(get("/fine").await, (StatusCode::OK, "fine".to_owned()));
    }

    #[tokio::test]
    async fn a_handler_that_hangs_is_a_503_problem() {
        let (status, body) = get("/slow").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("\"code\":\"unavailable\""));
    }
}
