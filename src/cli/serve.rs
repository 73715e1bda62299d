//! `dcvd serve`: runs until SIGTERM, and begins anew with another configuration on SIGHUP without leaving an address.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware::from_fn;
use listenfd::ListenFd;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::wire::{given, http_settings, job_settings, mail_rate, wire, wire_again};
use super::{ConfigFile, Half};
use crate::app::App;
use crate::config::{Config, LogFormat};
use crate::http::connections::{self, Answering};
use crate::http::tls::{TlsListener, introduce, server_config};
use crate::http::{HttpSettings, HttpState, Routes, router};
use crate::lifecycle;
use crate::telemetry;
use crate::{http, jobs};

/// Runs the daemon as configured.
///
/// # Errors
/// Anything that keeps it from starting.
pub(super) async fn run(file: &ConfigFile, only: Option<Half>) -> anyhow::Result<()> {
    let config = file.load()?;
    let collector = config.log.otlp_endpoint.as_ref().map(Url::as_str);
    telemetry::start(&config.log.filter, config.log.format == LogFormat::Json, collector)?;
    telemetry::metrics();
    let app = Arc::new(wire(&config).await?);
    let mut listeners = Vec::new();
    if only != Some(Half::Jobs) {
        listeners = listen(&config).await?;
    }
    let stop = CancellationToken::new();
    let signal = stop.clone();
    tokio::spawn(async move {
        if let Err(error) = lifecycle::stop_requested().await {
            tracing::error!(%error, "signals cannot be listened for");
        }
        signal.cancel();
    });
    let reloads = lifecycle::Reloads::new().context("SIGHUP cannot be listened for")?;
    let ended = run_with(app, &config, listeners, only != Some(Half::Http), stop, Some((reloads, file))).await;
    tokio::task::spawn_blocking(telemetry::stop).await?;
    ended
}

/// The addresses to serve and what on each: a socket that systemd handed over for the address, else our own. Told apart by their addresses,
/// since a status page on the wrong one would be everybody's.
async fn listen(config: &Config) -> anyhow::Result<Vec<(TcpListener, Routes)>> {
    let (mut descriptors, mut handed) = (ListenFd::from_env(), Vec::new());
    for at in 0..descriptors.len() {
        let listener =
            descriptors.take_tcp_listener(at).context("a socket handed over")?.context("a socket handed over is gone")?;
        listener.set_nonblocking(true)?;
        handed.push(TcpListener::from_std(listener).context("a socket handed over")?);
    }
    let mut bind = async |key: &str, address: SocketAddr| {
        if let Some(at) = handed.iter().position(|one| one.local_addr().is_ok_and(|local| local == address)) {
            return Ok(handed.remove(at));
        }
        TcpListener::bind(address).await.with_context(|| format!("{key}: {address}"))
    };
    let main = bind("server.listen", config.server.listen).await?;
    let mut all = Vec::new();
    match config.server.admin_listen {
        None => all.push((main, Routes::All)),
        Some(admin) => {
            all.push((main, Routes::Public));
            all.push((bind("server.admin_listen", admin).await?, Routes::Admin));
        }
    }
    if let Some(other) = handed.first() {
        anyhow::bail!(
            "the socket unit hands over {}, which is neither server.listen nor server.admin_listen",
            other.local_addr()?
        );
    }
    Ok(all)
}

/// Serves and works until `stop`, then ends in good order within the grace.
///
/// # Errors
/// A listener fails.
pub async fn run_until(
    app: Arc<App>,
    config: &Config,
    listeners: Vec<(TcpListener, Routes)>,
    work: bool,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    run_with(app, config, listeners, work, stop, None).await
}

/// An address that is served.
struct Served {
    routes: Routes,
    answering: Arc<ArcSwap<Answering>>,
    tls: Option<Arc<ArcSwap<ServerConfig>>>,
}

/// What runs under one configuration.
struct Generation {
    app: Arc<App>,
    config: Config,
    /// What every handler gets, and what those of the status page's own address get.
    states: Option<(HttpState, HttpState)>,
    jobs: Option<JoinHandle<Result<(), JoinError>>>,
    stop: CancellationToken,
}

impl Generation {
    fn begin(app: Arc<App>, config: Config, serve: bool, work: bool, stop: CancellationToken, before: Option<&Self>) -> Self {
        let states = serve.then(|| {
            let settings = HttpSettings { stopping: stop.clone(), ..http_settings(&config) };
            // Without sign-in the page serves this host alone, and must not take it for a proxy.
            let trusted_proxies = if config.admin.sign_in { settings.trusted_proxies.clone() } else { Vec::new() };
            let own = HttpSettings { trusted_proxies, ..settings.clone() };
            match before.and_then(|before| before.states.as_ref()) {
                Some((main, admin)) => (main.anew(Arc::clone(&app), settings), admin.anew(Arc::clone(&app), own)),
                None => (HttpState::new(Arc::clone(&app), settings), HttpState::new(Arc::clone(&app), own)),
            }
        });
        // What is known of the domains, and of the daemons that share them, outlives a configuration.
        app.pace.lock().unwrap_or_else(PoisonError::into_inner).set(mail_rate(&config));
        let (announcing, until) = (Arc::clone(&app), stop.clone());
        tokio::spawn(async move { announcing.store.announce(until).await });
        let jobs = work.then(|| tokio::spawn(jobs::run(Arc::clone(&app), job_settings(&config), stop.clone())));
        Self { app, config, states, jobs, stop }
    }

    fn answering(&self, routes: Routes, tls: bool) -> Answering {
        let Some((main, admin)) = &self.states else { return Answering { router: Router::new(), proxies: Vec::new() } };
        let router = router(if routes == Routes::Admin { admin.clone() } else { main.clone() }, routes);
        let router = if tls { router.layer(from_fn(introduce)) } else { router };
        Answering { router, proxies: self.config.server.trusted_proxies.clone() }
    }
}

async fn run_with(
    app: Arc<App>,
    config: &Config,
    listeners: Vec<(TcpListener, Routes)>,
    work: bool,
    stop: CancellationToken,
    mut reload: Option<(lifecycle::Reloads, &ConfigFile)>,
) -> anyhow::Result<()> {
    let serve = !listeners.is_empty();
    let mut now = Generation::begin(app, config.clone(), serve, work, stop.child_token(), None);
    let (mut tasks, mut served) = (JoinSet::new(), Vec::new());
    for (listener, routes) in listeners {
        let tls = tls(config, routes)?.map(|tls| Arc::new(ArcSwap::new(tls)));
        tracing::info!(address = %listener.local_addr()?, ?routes, tls = tls.is_some(), "listening");
        let answering = Arc::new(ArcSwap::from_pointee(now.answering(routes, tls.is_some())));
        serve_on(&mut tasks, listener, Arc::clone(&answering), tls.clone(), &stop);
        served.push(Served { routes, answering, tls });
    }
    lifecycle::ready();
    let mut daily = tokio::time::interval(DAY);
    let mut forgetting = tokio::time::interval(FORGET_EVERY);
    let mut gathering = tokio::time::interval(telemetry::GATHER_EVERY);
    let mut alive = tokio::time::interval(lifecycle::watchdog().unwrap_or(DAY));
    // What an earlier configuration began ends by itself.
    let (mut ending, mut workers): (JoinSet<()>, Vec<AbortHandle>) = (JoinSet::new(), Vec::new());
    // A part that ends by itself takes the rest with it: half a daemon that looks healthy is worse than a restart.
    let early = loop {
        let working = async {
            match &mut now.jobs {
                Some(jobs) => jobs.await,
                None => std::future::pending().await,
            }
        };
        let asked = async {
            match &mut reload {
                Some((reloads, file)) => {
                    reloads.next().await;
                    *file
                }
                None => std::future::pending().await,
            }
        };
        let file = tokio::select! {
            () = stop.cancelled() => break Ok(()),
            Some(ended) = tasks.join_next() => break ended.context("a listener ended by itself"),
            ended = working => {
                now.jobs = None;
                break ended.context("the workers panicked").and_then(|ended| ended.context("a worker failed"));
            }
            _ = daily.tick() => {
                complain_of_suffix_list(&now.app, now.config.psl_max_age);
                continue;
            }
            _ = forgetting.tick() => {
                if let Some((main, admin)) = &now.states {
                    main.forget_quiet_callers();
                    admin.forget_quiet_callers();
                }
                continue;
            }
            _ = gathering.tick() => {
                telemetry::gather();
                continue;
            }
            _ = alive.tick() => {
                lifecycle::alive();
                continue;
            }
            file = asked => file,
        };
        lifecycle::reloading();
        // A stop does not wait for a database that does not answer. Boxed: it is large, and seldom.
        let Some(renewed) = Box::pin(stop.run_until_cancelled(renewed(&now, file, serve, work, &served, &stop))).await else {
            break Ok(());
        };
        match renewed {
            Ok(next) => {
                let before = std::mem::replace(&mut now, next);
                before.stop.cancel();
                if let Some(jobs) = before.jobs {
                    workers.retain(|one| !one.is_finished());
                    workers.push(jobs.abort_handle());
                    ending.spawn(async move {
                        let _ = jobs.await;
                    });
                }
                metrics::counter!("dcvd_reloads_total", "outcome" => "done").increment(1);
                tracing::info!("the configuration was read again and is in force");
                lifecycle::status("");
            }
            Err(error) => {
                metrics::counter!("dcvd_reloads_total", "outcome" => "refused").increment(1);
                tracing::error!(error = format!("{error:#}"), "the configuration in force stays as it was");
                lifecycle::status("the last reload was refused: see the log");
            }
        }
        lifecycle::ready();
    };
    stop.cancel();
    lifecycle::stopping();
    let jobs = now.jobs.take();
    workers.extend(jobs.as_ref().map(JoinHandle::abort_handle));
    let drained = async {
        if let Some(jobs) = jobs {
            let _ = jobs.await;
        }
        while ending.join_next().await.is_some() {}
        while tasks.join_next().await.is_some() {}
    };
    if tokio::time::timeout(now.config.server.shutdown_grace, drained).await.is_err() {
        tracing::warn!("work was still under way; its leases end by themselves and it is done again");
        tasks.abort_all();
        workers.iter().for_each(AbortHandle::abort);
    }
    now.app.store.close().await;
    tracing::info!("stopped");
    early
}

/// Reads the configuration again and puts it in force, all of it or nothing.
async fn renewed(
    now: &Generation,
    file: &ConfigFile,
    serve: bool,
    work: bool,
    served: &[Served],
    stop: &CancellationToken,
) -> anyhow::Result<Generation> {
    let config = file.load()?;
    let app = Arc::new(wire_again(&config, &now.config, &now.app).await?);
    let mut keys = Vec::new();
    for one in served {
        let tls = tls(&config, one.routes)?;
        anyhow::ensure!(
            tls.is_some() == one.tls.is_some(),
            "whether an address speaks TLS cannot change while it is open: restart the daemon"
        );
        keys.push(tls);
    }
    for key in restart_keys(&now.config, &config) {
        tracing::warn!(key, "this change takes effect at the next start");
    }
    telemetry::filter(&config.log.filter);
    let next = Generation::begin(app, config, serve, work, stop.child_token(), Some(now));
    for (one, tls) in served.iter().zip(keys) {
        if let (Some(current), Some(tls)) = (&one.tls, tls) {
            current.store(tls);
        }
        one.answering.store(Arc::new(next.answering(one.routes, one.tls.is_some())));
    }
    Ok(next)
}

/// What changed and cannot while the daemon runs.
fn restart_keys(before: &Config, after: &Config) -> Vec<&'static str> {
    use secrecy::ExposeSecret as _;
    [
        ("server.listen", before.server.listen != after.server.listen),
        ("server.admin_listen", before.server.admin_listen != after.server.admin_listen),
        ("database.url", before.database.url.expose_secret() != after.database.url.expose_secret()),
        ("limits.wrong_links_per_minute", before.limits.wrong_links_per_minute != after.limits.wrong_links_per_minute),
        ("log.format", before.log.format != after.log.format),
        ("log.otlp_endpoint", before.log.otlp_endpoint != after.log.otlp_endpoint),
    ]
    .into_iter()
    .filter_map(|(key, changed)| changed.then_some(key))
    .collect()
}

fn serve_on(
    tasks: &mut JoinSet<()>,
    listener: TcpListener,
    answering: Arc<ArcSwap<Answering>>,
    tls: Option<Arc<ArcSwap<ServerConfig>>>,
    stop: &CancellationToken,
) {
    let (stop, current) = (stop.clone(), move || answering.load_full());
    match tls {
        Some(tls) => tasks.spawn(connections::serve(TlsListener::new(listener, tls, current.clone()), current, stop)),
        None => tasks.spawn(connections::serve(listener, current, stop)),
    };
}

/// TLS on an address, where it is configured.
pub(super) fn tls(config: &Config, routes: Routes) -> anyhow::Result<Option<Arc<ServerConfig>>> {
    let (key, certificate, private, asks) = match routes {
        Routes::Admin => {
            let admin = &config.admin;
            ("admin.tls_cert_file", &admin.tls_cert_file, &admin.tls_key_file, !admin.client_ca_files.is_empty())
        }
        Routes::All | Routes::Public => {
            ("server.tls_cert_file", &config.server.tls_cert_file, &config.server.tls_key_file, false)
        }
    };
    let Some((certificate, private)) = given(certificate).zip(given(private)) else { return Ok(None) };
    server_config(certificate, private, asks, http::HTTP2).context(key).map(Some)
}

/// How often callers that have been quiet are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// How often the Public Suffix List's age is looked at.
const DAY: Duration = Duration::from_secs(86_400);

/// Complains of a Public Suffix List that is too old.
fn complain_of_suffix_list(app: &App, max_age: Duration) {
    match app.lists().suffixes.as_of() {
        None => tracing::warn!("the Public Suffix List does not say when it was made"),
        Some(as_of) if app.now().since(as_of) > max_age => {
            tracing::warn!(%as_of, "the Public Suffix List is old; name a newer one with psl_file");
        }
        Some(_) => {}
    }
}
