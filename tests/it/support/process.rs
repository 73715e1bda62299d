//! The built program as a child process.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;

use crate::support::log_watch::complaint;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

static PORTS: AtomicU32 = AtomicU32::new(0);

/// An address that nothing else takes meanwhile: below the ports that the system hands out by itself.
pub fn address() -> SocketAddr {
    loop {
        // Test processes that run side by side begin ten ports apart.
        let step = std::process::id().wrapping_mul(10).wrapping_add(PORTS.fetch_add(1, Ordering::SeqCst));
        let port = 20_000 + u16::try_from(step % 12_000).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dcvd"));
    command.env_clear().env("RUST_BACKTRACE", "0");
    command
}

/// Runs it in a folder that goes away, so that a database made by default leaves nothing behind.
pub fn run(arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().expect("a folder is made");
    program().current_dir(dir.path()).args(arguments).stdin(Stdio::null()).output().expect("the program runs")
}

/// `dcvd serve`, killed when dropped.
pub struct Daemon {
    pub child: Child,
    pub log: PathBuf,
}

impl Daemon {
    /// Starts it with a configuration that listens on `base`'s port, and waits until it is ready.
    pub async fn start(config: &Path, base: &str, database: Option<&str>) -> Self {
        let log = config.with_extension("log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = program();
        command
            .current_dir(config.parent().unwrap())
            .args(["serve", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        command.envs(database.map(|url| ("DCVD__DATABASE__URL", url)));
        let mut daemon = Self { child: command.spawn().expect("the program runs"), log };
        let client = Client::builder().no_proxy().build().unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            let ready = client.get(format!("{base}/readyz")).send().await.is_ok_and(|answer| answer.status() == 200);
            if ready {
                return daemon;
            }
            let log = || std::fs::read_to_string(&daemon.log).unwrap_or_default();
            assert!(daemon.child.try_wait().unwrap().is_none(), "the daemon stopped: {}", log());
            assert!(Instant::now() < end, "the daemon is not ready: {}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal, named as `kill` takes it: `-CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits until it stands still where `DCVD_FREEZE_AT` has it do so; `-CONT` ends that.
    pub async fn stands_still(&self) {
        let status = format!("/proc/{}/status", self.child.id());
        wait("its standing still", async || {
            std::fs::read_to_string(&status).unwrap().lines().any(|line| line.starts_with("State:\tT")).then_some(())
        })
        .await;
    }

    /// Sends SIGTERM and waits for the end; whether it ended well.
    pub async fn terminate(&mut self) -> bool {
        self.signal("-TERM");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < end, "the daemon does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        if std::thread::panicking() {
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the daemon's log ended so:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        let wrong = log.lines().find_map(|line| Some((complaint(line)?, line)));
        assert!(std::thread::panicking() || wrong.is_none(), "the log holds what it must not: {wrong:?}");
    }
}

/// Looks again and again until there is something.
pub async fn wait<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
