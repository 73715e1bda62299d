//! Logs, metrics and traces. Logs go to standard error: standard output is data. No token, Random Value, address or path with a token is ever logged.

use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

use crate::dcv::method::BR_VERSION;

/// The commit that this program was built from, where the build was told it.
const COMMIT: &str = match option_env!("DCVD_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// For `dcvd --version`: the version, its commit, and the version of the Baseline Requirements whose dates it knows.
pub static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} (commit {COMMIT}, Baseline Requirements {BR_VERSION})", env!("CARGO_PKG_VERSION")));

tokio::task_local! {
    static REQUEST: String;
}

/// Does something in the name of a request: what is logged and written meanwhile, and what workers do for it later, bears its id.
pub async fn in_request<F: Future>(id: String, doing: F) -> F::Output {
    REQUEST.scope(id, doing).await
}

/// The id of the request in whose name something is done.
#[must_use]
pub fn request() -> Option<String> {
    REQUEST.try_with(Clone::clone).ok()
}

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Logging was started before.
    #[error(transparent)]
    Again(#[from] TryInitError),
    /// Traces cannot be sent.
    #[error("log.otlp_endpoint: {0}")]
    Traces(String),
}

fn parsed(filter: &str) -> EnvFilter {
    EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Starts logging by a filter such as `info` or `dcvd=debug,info`, as JSON objects where `json`; and tracing to an OpenTelemetry
/// collector's address where there is one.
///
/// # Errors
/// [`StartError`].
pub fn start(filter: &str, json: bool, collector: Option<&str>) -> Result<(), StartError> {
    let (filter, handle) = reload::Layer::new(parsed(filter));
    let to_stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let to_stderr = if json {
        to_stderr.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed()
    } else {
        to_stderr.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).with_filter(filter).boxed()
    };
    let traces = collector.map(traces::to).transpose()?;
    tracing_subscriber::registry().with(to_stderr).with(traces).try_init()?;
    let _ = FILTER.set(handle);
    Ok(())
}

/// Sends what traces are left. Blocks, some seconds at most.
pub fn stop() {
    traces::stop();
}

#[cfg(feature = "otlp")]
mod traces {
    use std::sync::OnceLock;
    use std::time::Duration;

    use opentelemetry::KeyValue;
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::Subscriber;
    use tracing_subscriber::registry::LookupSpan;
    use tracing_subscriber::{EnvFilter, Layer};

    use super::{StartError, VERSION};

    /// What is traced: requests, attempts, transactions and questions to others, whatever is logged.
    const TRACED: &str = "off,dcvd=debug";

    /// How long a collector is waited for.
    const TIMEOUT: Duration = Duration::from_secs(3);

    static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

    pub(super) fn to<S>(collector: &str) -> Result<impl Layer<S> + use<S>, StartError>
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        let exporter = SpanExporter::builder().with_http().with_endpoint(collector).with_timeout(TIMEOUT).build();
        let exporter = exporter.map_err(|error| StartError::Traces(error.to_string()))?;
        let version = KeyValue::new("service.version", VERSION.as_str());
        let resource = Resource::builder().with_service_name("dcvd").with_attribute(version).build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let tracer = provider.tracer("dcvd");
        let _ = PROVIDER.set(provider);
        Ok(tracing_opentelemetry::layer().with_tracer(tracer).with_filter(EnvFilter::new(TRACED)))
    }

    pub(super) fn stop() {
        if let Some(Err(error)) = PROVIDER.get().map(|provider| provider.shutdown_with_timeout(TIMEOUT)) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

#[cfg(not(feature = "otlp"))]
mod traces {
    use tracing_subscriber::layer::Identity;

    use super::StartError;

    pub(super) fn to(_: &str) -> Result<Identity, StartError> {
        Err(StartError::Traces("this program was built without the feature `otlp`".to_owned()))
    }

    pub(super) const fn stop() {}
}

/// Logs by another filter from now on.
pub fn filter(filter: &str) {
    if let Some(handle) = FILTER.get() {
        let _ = handle.reload(parsed(filter));
    }
}

/// Everything that is told as it stands: name, unit where there is one, meaning.
const GAUGES: [(&str, Option<Unit>, &str); 13] = [
    (
        "dcvd_public_suffix_list_age_seconds",
        Some(Unit::Seconds),
        "Age of the Public Suffix List in use; absent where the list does not say when it was made",
    ),
    (
        "dcvd_rules_age_seconds",
        Some(Unit::Seconds),
        "Age of the table of rules in force: since the version of the Baseline Requirements",
    ),
    ("dcvd_link_key_age_seconds", Some(Unit::Seconds), "Age of the key that signs links"),
    ("dcvd_orders_open", None, "Pending orders"),
    ("dcvd_orders_held", None, "Pending orders that wait for an operator's release"),
    ("dcvd_queue_length", None, "Effects in the outbox that are due or will be, by kind"),
    (
        "dcvd_queue_age_seconds",
        Some(Unit::Seconds),
        "Age of the oldest effect that is not done, failed attempts included, by kind",
    ),
    ("dcvd_queue_given_up", None, "Effects that were given up and can be replayed, by kind"),
    ("dcvd_unsealed", None, "Rows of the audit log's queue that are not sealed yet"),
    ("dcvd_canary_missed", None, "1 where the mail to ourselves did not come back in time; absent where none was sent"),
    ("dcvd_canary_round_trip_seconds", Some(Unit::Seconds), "Time of the last canary, out and back"),
    ("dcvd_policy_entries", None, "Entries of the operators' lists of names, by list"),
    ("dcvd_build_info", None, "1, with the version, its commit and the version of the Baseline Requirements it knows"),
];
const COUNTERS: [(&str, &str); 6] = [
    ("dcvd_returned_mails_total", "Messages that came back, by kind, and whether their return path was ours"),
    ("dcvd_lookups_total", "Look-ups for approver addresses, by source and outcome"),
    ("dcvd_events_total", "Entries of the orders' timelines, by type: what was decided, mailed, bounced, expired"),
    ("dcvd_attempts_total", "Attempts to hand over mails, notices and webhooks, by outcome"),
    ("dcvd_connections_refused_total", "Connections and handshakes refused, since their address had as many as one may"),
    ("dcvd_reloads_total", "Times the configuration was read again, by outcome"),
];
const HISTOGRAMS: [(&str, &str); 4] = [
    ("dcvd_http_request_duration_seconds", "Requests, by route, method and status"),
    ("dcvd_lookup_duration_seconds", "Look-ups for approver addresses, by source"),
    ("dcvd_attempt_duration_seconds", "Attempts to hand over mails, notices and webhooks, what is recorded of them included"),
    ("dcvd_commit_duration_seconds", "Transactions, from their place in the queue to their commit"),
];

/// The histograms' bounds, in seconds.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// How often [`gather`] had better be called.
pub const GATHER_EVERY: Duration = Duration::from_secs(5);

/// Sums up what histograms were told since the last time. Without it, or a reader of [`metrics()`], each value told is kept in memory.
pub fn gather() {
    if let Some(handle) = HANDLE.get() {
        handle.run_upkeep();
    }
}

/// What was counted so far, as Prometheus reads it (text format 0.0.4). The first call starts the counting.
///
/// # Panics
/// Another recorder was installed in the process.
pub fn metrics() -> String {
    let handle = HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).expect("there are bounds");
        let handle = builder.install_recorder().expect("no other recorder is installed");
        for (name, unit, meaning) in GAUGES {
            match unit {
                Some(unit) => describe_gauge!(name, unit, meaning),
                None => describe_gauge!(name, meaning),
            }
        }
        for (name, meaning) in COUNTERS {
            describe_counter!(name, meaning);
        }
        for (name, meaning) in HISTOGRAMS {
            describe_histogram!(name, Unit::Seconds, meaning);
        }
        let version = [("version", env!("CARGO_PKG_VERSION")), ("commit", COMMIT), ("br", BR_VERSION)];
        gauge!("dcvd_build_info", &version).set(1.0);
        handle
    });
    handle.run_upkeep();
    handle.render()
}
