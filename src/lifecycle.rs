//! Start and stop: signals, readiness, and the points at which tests have the daemon die.

use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

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
/// for the third time it is passed), the process ends here at once, as `kill -9` ends it; by `DCVD_FREEZE_AT`, it stands still here
/// until `kill -CONT`. Only debug builds look.
pub fn point(when: &str, what: &str) {
    static DIE: LazyLock<Option<Point>> = LazyLock::new(|| Point::asked("DCVD_DIE_AT"));
    static FREEZE: LazyLock<Option<Point>> = LazyLock::new(|| Point::asked("DCVD_FREEZE_AT"));
    if !cfg!(debug_assertions) {
        return;
    }
    let passed = |one: &Option<Point>| one.as_ref().is_some_and(|one| one.is_passed(when, what));
    if passed(&DIE) {
        std::process::abort();
    }
    if passed(&FREEZE) {
        let until = Instant::now() + Duration::from_secs(1);
        let _ = Command::new("kill").args(["-STOP", &std::process::id().to_string()]).status();
        // The signal may come to another thread first, and to this one a moment later.
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }
}

/// A point that a test asked for, and how often it is passed before it counts.
struct Point {
    label: String,
    times: u32,
    passed: AtomicU32,
}

impl Point {
    #[expect(clippy::disallowed_methods, reason = "no configuration: a test's, and not looked at in what is shipped")]
    fn asked(variable: &str) -> Option<Self> {
        let text = std::env::var(variable).ok()?;
        let counted = text.rsplit_once(' ').and_then(|(label, times)| Some((label.to_owned(), times.parse().ok()?)));
        let (label, times) = counted.unwrap_or((text, 1));
        Some(Self { label, times, passed: AtomicU32::new(0) })
    }

    fn is_passed(&self, when: &str, what: &str) -> bool {
        self.label.split_once(' ') == Some((when, what)) && self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.times
    }
}
