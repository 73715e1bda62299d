//! Logs, on standard error: standard output is data. No token, Random Value, address or path with a token is ever logged.

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
