//! Logs and metrics. Logs go to standard error: standard output is data. No token, Random Value, address or path with a token is ever logged.

use std::sync::OnceLock;

use metrics::{Unit, describe_counter, describe_gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// Starts logging by a filter such as `info` or `dcvd=debug,info`; as JSON objects where `json`.
///
/// # Errors
/// Logging was started before.
pub fn start(filter: &str, json: bool) -> Result<(), TryInitError> {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let to_stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if json {
        registry.with(to_stderr.json()).try_init()
    } else {
        registry.with(to_stderr.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).try_init()
    }
}

/// Everything that is counted: name, unit where there is one, meaning.
const GAUGES: [(&str, Option<Unit>, &str); 5] = [
    (
        "dcvd_public_suffix_list_age_seconds",
        Some(Unit::Seconds),
        "Age of the Public Suffix List in use; absent where the list does not say when it was made",
    ),
    ("dcvd_orders_held", None, "Pending orders that wait for an operator's release"),
    ("dcvd_canary_missed", None, "1 where the mail to ourselves did not come back in time; absent where none was sent"),
    ("dcvd_canary_round_trip_seconds", Some(Unit::Seconds), "Time of the last canary, out and back"),
    ("dcvd_policy_entries", None, "Entries of the operators' lists of names, by list"),
];
const COUNTERS: [(&str, &str); 2] = [
    ("dcvd_returned_mails_total", "Messages that came back, by kind, and whether their return path was ours"),
    ("dcvd_lookups_total", "Look-ups for approver addresses, by source and outcome"),
];

/// What was counted so far, as Prometheus reads it (text format 0.0.4). The first call starts the counting.
///
/// # Panics
/// Another recorder was installed in the process.
pub fn metrics() -> String {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    let handle = HANDLE.get_or_init(|| {
        let handle = PrometheusBuilder::new().install_recorder().expect("no other recorder is installed");
        for (name, unit, meaning) in GAUGES {
            match unit {
                Some(unit) => describe_gauge!(name, unit, meaning),
                None => describe_gauge!(name, meaning),
            }
        }
        for (name, meaning) in COUNTERS {
            describe_counter!(name, meaning);
        }
        handle
    });
    handle.run_upkeep();
    handle.render()
}
