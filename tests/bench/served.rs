//! A daemon of this process with a database of its own, and an order placed with it, for what is asked over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use dcvd::app::App;
use dcvd::cli::serve::run_until;
use dcvd::cli::wire::wire;
use dcvd::config::Config;
use dcvd::dcv::id::MailId;
use dcvd::http::Routes;
use mail_parser::MessageParser;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client;

pub(super) const TOKEN: &str = "bench";
const PROFILE: &str = "extends = \"standard\"\naddresses.sources = [\"constructed\"]\n";

/// The daemon, as long as it is asked.
pub(super) struct Served {
    pub(super) app: Arc<App>,
    pub(super) address: SocketAddr,
    pub(super) dir: TempDir,
    /// The address of its database.
    pub(super) database: String,
    stop: CancellationToken,
    serving: JoinHandle<anyhow::Result<()>>,
}

impl Served {
    /// Starts one that sheds nobody, with this database or a file of SQLite's.
    pub(super) async fn start(database: Option<String>) -> anyhow::Result<Self> {
        Self::letting_in(u16::MAX, database).await
    }

    /// As [`Served::start`], with so many requests of ordering systems under way at once.
    pub(super) async fn letting_in(at_once: u16, database: Option<String>) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir()?;
        let database = database.unwrap_or_else(|| format!("sqlite://{}/bench.db", dir.path().display()));
        let profiles = dir.path().join("profiles");
        std::fs::create_dir(&profiles)?;
        std::fs::write(profiles.join("standard.toml"), include_str!("../../config/profiles/standard.toml"))?;
        std::fs::write(profiles.join("quick.toml"), PROFILE)?;
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(TOKEN.as_bytes()));
        let path = dir.path().join("dcvd.toml");
        let text = format!(
            "profile_dir = \"{}/profiles\"\ndefault_profile = \"quick\"\n[database]\nurl = \"{database}\"\n\
             [dns]\nnameservers = [\"127.0.0.1:9\"]\n[limits]\nwrong_links_per_minute = 4000000000\nclient_rate = \"4000000/1s\"\n\
             requests_at_once = {at_once}\n[[clients]]\nname = \"bench\"\ntoken_sha256 = \"{hash}\"\n",
            dir.path().display()
        );
        std::fs::write(&path, text)?;
        let config = Config::load(Some(&path), Vec::new())?;
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = Arc::new(wire(&config).await?);
        let serving = tokio::spawn({
            let (stop, app) = (stop.clone(), Arc::clone(&app));
            async move { run_until(app, &config, vec![(listener, Routes::All)], false, stop).await }
        });
        Ok(Self { app, address, dir, database, stop, serving })
    }

    /// Places an order over HTTP and reads its link's token from the sealed mail, as only this program may.
    pub(super) async fn place(&self, number: usize) -> anyhow::Result<String> {
        let answer: serde_json::Value = serde_json::from_str(&client::ask(self.address, &order(number), 201).await?)?;
        let id = MailId::parse(answer["mails"][0]["id"].as_str().unwrap_or_default())?;
        let sealed = self.app.store.mail_body(id).await?.unwrap_or_default();
        let text = MessageParser::new().parse(&sealed).and_then(|mail| mail.body_text(0).map(std::borrow::Cow::into_owned));
        let text = text.unwrap_or_default();
        let link = text.lines().find(|line| line.contains("/approve/")).unwrap_or_default();
        Ok(link.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// Stops it.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.serving.await?
    }
}

/// Places an order for a domain of its own.
pub(super) fn order(number: usize) -> Vec<u8> {
    let body = format!(
        "{{\"order_ref\":\"B-{number}\",\"names\":[\"www.n{number}.example.jp\"],\"approvers\":[\"admin@n{number}.example.jp\"]}}"
    );
    format!(
        "POST /v1/orders HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Asks for the page of a link.
pub(super) fn show(token: &str) -> Vec<u8> {
    format!("GET /approve/{token} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes()
}
