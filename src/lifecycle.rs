//! Start and stop: signals, readiness, and the points at which tests have the daemon die.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// The signals cannot be listened for.
pub async fn stop_requested() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    Ok(())
}

/// Waits for SIGHUP, each time it is asked.
pub struct Reloads(Signal);

impl Reloads {
    /// Begins to listen.
    ///
    /// # Errors
    /// The signal cannot be listened for.
    pub fn new() -> std::io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next.
    pub async fn next(&mut self) {
        self.0.recv().await;
        tracing::info!("SIGHUP: reading the configuration again");
    }
}

/// Tells systemd, where it waits for it, that the daemon reads its configuration again.
pub fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now().ok());
    let _ = sd_notify::notify(&states);
}

/// Tells systemd, where it waits for it, that the daemon serves.
pub fn ready() {
    let _ = sd_notify::notify(&[NotifyState::Ready]);
}

/// Tells systemd, where it asks, what `systemctl status` shows.
pub fn status(words: &str) {
    let _ = sd_notify::notify(&[NotifyState::Status(words)]);
}

/// How often systemd wants to hear that the daemon is alive, where it does: twice as often as it would end it.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|most| most / 2)
}

/// Tells systemd, where it waits for it, that the daemon is alive.
pub fn alive() {
    let _ = sd_notify::notify(&[NotifyState::Watchdog]);
}

/// Tells systemd, where it waits for it, that the daemon ends.
pub fn stopping() {
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
}

/// A point between a commit, an effect and its record. Where a test asked for it by `DCVD_DIE_AT` (`after place_order`, or `after claim 3`
/// for the third time it is passed), the process ends here at once, as `kill -9` ends it. Only debug builds look.
pub fn point(when: &str, what: &str) {
    #[expect(clippy::disallowed_methods, reason = "no configuration: a test's, and not looked at in what is shipped")]
    static DIE_AT: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let text = std::env::var("DCVD_DIE_AT").ok()?;
        let (label, times) = match text.rsplit_once(' ').and_then(|(label, times)| Some((label, times.parse().ok()?))) {
            Some((label, times)) => (label.to_owned(), times),
            None => (text, 1),
        };
        Some((label, times))
    });
    static PASSED: AtomicU32 = AtomicU32::new(0);
    if !cfg!(debug_assertions) {
        return;
    }
    if let Some((label, times)) = &*DIE_AT
        && label.split_once(' ') == Some((when, what))
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *times
    {
        std::process::abort();
    }
}
