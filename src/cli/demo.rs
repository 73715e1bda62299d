//! `dcvd demo`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{serve, wire};
use crate::config::LogFormat;
use crate::demo::{World, desk, script};
use crate::http::Routes;
use crate::{lifecycle, telemetry};

pub(super) async fn run(listen: SocketAddr, dir: Option<PathBuf>, scripted: bool) -> anyhow::Result<()> {
    // A folder that goes away at the end, unless one was named.
    let temporary = if dir.is_none() { Some(tempfile::tempdir()?) } else { None };
    let dir = dir.or_else(|| temporary.as_ref().map(|dir| dir.path().to_owned())).context("no folder")?;
    let listen = if scripted { SocketAddr::from(([127, 0, 0, 1], 0)) } else { listen };
    let listener = TcpListener::bind(listen).await.with_context(|| format!("--listen {listen}"))?;
    let address = listener.local_addr()?;
    let world = Arc::new(World::start().await?);
    let config = world.configure(&dir, address)?;
    let collector = config.log.otlp_endpoint.as_ref().map(Url::as_str);
    telemetry::start(&config.log.filter, config.log.format == LogFormat::Json, collector)?;
    telemetry::metrics();
    let app = Arc::new(wire::wire(&config).await?);
    let daemon = format!("http://{address}");
    let stop = CancellationToken::new();
    let serving = {
        let stop = stop.clone();
        tokio::spawn(async move { serve::run_until(app, &config, vec![(listener, Routes::All)], true, stop).await })
    };
    let result = if scripted { script::run(&world, &daemon).await } else { show(&world, &daemon).await };
    stop.cancel();
    serving.await??;
    result
}

async fn show(world: &Arc<World>, daemon: &str) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let desk_url = format!("http://{}", listener.local_addr()?);
    desk::start(listener, Arc::clone(world), daemon.to_owned())?;
    println!("inbox, sample order and webhooks: {desk_url}/");
    println!("status page:                      {daemon}/admin");
    println!("API:                              {daemon}/v1/approvers?name={}", crate::demo::SAMPLE_NAME);
    println!("bearer token:                     {}", world.token);
    println!("Ctrl-C ends the demo.");
    lifecycle::stop_requested().await?;
    Ok(())
}
