//! A daemon in a process of its own, and orders for it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dcvd::demo::smtp::{Arrived, Inbox};
use sha2::{Digest, Sha256};

use super::{client, process};

pub(super) const TOKEN: &str = "bench";
const PROFILE: &str = "extends = \"standard\"\naddresses.sources = [\"constructed\"]\n";

static NUMBER: AtomicUsize = AtomicUsize::new(1);

/// Kills its daemon when dropped.
pub(super) struct Daemon {
    pub(super) process: Child,
    pub(super) address: SocketAddr,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Daemon {
    /// Waits until it answers.
    pub(super) async fn ready(&self) -> anyhow::Result<()> {
        let end = Instant::now() + Duration::from_secs(20);
        while client::ask(self.address, b"GET /readyz HTTP/1.1\r\nhost: bench\r\n\r\n", 200).await.is_err() {
            anyhow::ensure!(Instant::now() < end, "a daemon is not ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// Starts a daemon of its own address; links lead to it.
pub(super) fn start(dir: &Path, database: &str, number: usize, [dns, inbox, hook]: [SocketAddr; 3]) -> anyhow::Result<Daemon> {
    let (profiles, address) = (dir.join("profiles"), process::address());
    std::fs::create_dir_all(&profiles)?;
    std::fs::write(profiles.join("standard.toml"), include_str!("../../config/profiles/standard.toml"))?;
    std::fs::write(profiles.join("quick.toml"), PROFILE)?;
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(TOKEN.as_bytes()));
    let path = dir.join(format!("dcvd-{number}.toml"));
    let text = format!(
        "profile_dir = \"{}\"\ndefault_profile = \"quick\"\n[server]\nlisten = \"{address}\"\npublic_url = \"http://bench.example\"\n\
         [database]\nurl = \"{database}\"\n[dns]\nnameservers = [\"{dns}\"]\n[limits]\nclient_rate = \"4000000/1s\"\n\
         [smtp]\nurl = \"smtp://{inbox}\"\nfrom = \"dcv@dcv.example.net\"\nbounce_address = \"bounce@dcv.example.net\"\n[log]\nfilter = \"error\"\n\
         [[clients]]\nname = \"bench\"\ntoken_sha256 = \"{hash}\"\n\
         [[webhooks]]\nname = \"bench\"\nurl = \"http://{hook}/\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\nallow_private_address = true\n",
        profiles.display()
    );
    std::fs::write(&path, text)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_dcvd"));
    command.current_dir(dir).args(["serve", "--config"]).arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
    Ok(Daemon { process: command.spawn()?, address })
}

pub(super) fn order() -> (String, Vec<u8>) {
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let recipient = format!("admin@n{number}.example.jp");
    let body =
        format!("{{\"order_ref\":\"B-{number}\",\"names\":[\"www.n{number}.example.jp\"],\"approvers\":[\"{recipient}\"]}}");
    let request = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    (recipient, request.into_bytes())
}

pub(super) fn requests(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|_| order().1).collect()
}

/// One order from its place to the click.
pub(super) async fn through(server: SocketAddr, inbox: &Inbox) -> anyhow::Result<()> {
    let (recipient, request) = order();
    client::ask(server, &request, 201).await?;
    let link = loop {
        if let Some(link) = inbox.arrived_for(&recipient).iter().find_map(Arrived::link) {
            break link;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let path = link.trim_start_matches("http://bench.example");
    let page = client::ask(server, format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").as_bytes(), 200).await?;
    let nonce = page.split("name=\"nonce\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let body = format!("decision=approve&authority=yes&signer=bench&nonce={nonce}");
    let kind = "content-type: application/x-www-form-urlencoded";
    let press = format!("POST {path} HTTP/1.1\r\nhost: bench\r\n{kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    client::ask(server, press.as_bytes(), 303).await?;
    Ok(())
}
