//! Mails handed over a second beside Postfix's own sender, to the same sink in turns: `cargo bench --bench mails`.
//!
//! Needs Debian's `postfix` for `smtp-sink` and `smtp-source`; as root the sink runs as Postfix's user. Both send mails of one size to
//! loopback, each connection reused.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dcvd::adapters::mail_out::{Smtp, SmtpSettings};
use dcvd::dcv::email::EmailAddress;
use dcvd::ports::{MailOut as _, Outgoing};
use lettre::address::Envelope;
use lettre::transport::smtp::PoolConfig;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

/// As long as an approval mail in two languages, text and HTML.
const MAIL_OCTETS: usize = 16 * 1024;

struct Sink(Child);

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` only wants to know that it builds and runs.
    let mails = if std::env::args().any(|one| one == "--bench") { 20_000 } else { 20 };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let _sink = sink(address)?;
    for connections in [1, 4, 8] {
        let theirs = source(address, connections, mails)?;
        let ours = ours(address, connections, mails).await?;
        // It manages some twenty a second on each connection.
        let pool = pool(address, connections, (mails / 100).max(connections)).await?;
        println!(
            "{connections} connections: smtp-source {theirs:.0}/s, dcvd {ours:.0}/s, {:.2}; lettre's pool {pool:.0}/s, {:.0} times",
            ours / theirs,
            ours / pool
        );
    }
    Ok(())
}

fn sink(address: SocketAddr) -> anyhow::Result<Sink> {
    let mut command = Command::new("smtp-sink");
    // It refuses to run as root, and only root may become another user.
    if Command::new("id").arg("-u").output()?.stdout == b"0\n" {
        command.args(["-u", "postfix"]);
    }
    let sink = Sink(command.arg(address.to_string()).arg("100").stdout(Stdio::null()).spawn()?);
    let end = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(address).is_err() {
        anyhow::ensure!(Instant::now() < end, "smtp-sink does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(sink)
}

#[expect(clippy::cast_precision_loss, reason = "a count of mails is far below 2^52")]
fn source(address: SocketAddr, connections: usize, mails: usize) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let status = Command::new("smtp-source")
        .args(["-d", "-l", &MAIL_OCTETS.to_string(), "-s", &connections.to_string(), "-m", &mails.to_string()])
        .args(["-f", "bounce@dcv.example.net", "-t", "admin@example.jp", &address.to_string()])
        .status()?;
    anyhow::ensure!(status.success(), "smtp-source failed");
    Ok(mails as f64 / begin.elapsed().as_secs_f64())
}

/// Plain lettre with its pool, as many sends at once as connections.
#[expect(clippy::cast_precision_loss, reason = "a count of mails is far below 2^52")]
async fn pool(address: SocketAddr, connections: usize, mails: usize) -> anyhow::Result<f64> {
    let size = u32::try_from(connections)?;
    let pool = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
        .port(address.port())
        .pool_config(PoolConfig::new().max_size(size))
        .build();
    let envelope = Envelope::new(Some("bounce@dcv.example.net".parse()?), vec!["admin@example.jp".parse()?])?;
    let line = format!("{}\r\n", "x".repeat(76));
    let message = Arc::new(format!("Subject: x\r\n\r\n{}", line.repeat(MAIL_OCTETS / line.len())).into_bytes());
    let (begin, mut sending) = (Instant::now(), tokio::task::JoinSet::new());
    for _ in 0..connections {
        let (pool, envelope, message) = (pool.clone(), envelope.clone(), Arc::clone(&message));
        sending.spawn(async move {
            for _ in 0..mails / connections {
                pool.send_raw(&envelope, &message).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    Ok((mails / connections * connections) as f64 / begin.elapsed().as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "a count of mails is far below 2^52")]
async fn ours(address: SocketAddr, connections: usize, mails: usize) -> anyhow::Result<f64> {
    let smtp = Arc::new(Smtp::new(&SmtpSettings {
        mails_per_connection: u32::MAX,
        connection_age: Duration::from_secs(3600),
        ..SmtpSettings::new(&format!("smtp://{address}"), "dcv@dcv.example.net")
    })?);
    let line = format!("{}\r\n", "x".repeat(76));
    let message = Arc::new(format!("Subject: x\r\n\r\n{}", line.repeat(MAIL_OCTETS / line.len())).into_bytes());
    let (begin, mut sending) = (Instant::now(), tokio::task::JoinSet::new());
    for _ in 0..connections {
        let (smtp, message) = (Arc::clone(&smtp), Arc::clone(&message));
        sending.spawn(async move {
            let to = EmailAddress::parse("admin@example.jp")?;
            for _ in 0..mails / connections {
                let mail =
                    Outgoing { return_path: "bounce@dcv.example.net", to: &to, envelope_id: "0123456789", all_reports: true };
                smtp.send(&mail, &message).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    Ok(mails as f64 / begin.elapsed().as_secs_f64())
}
