//! `dcvd demo`

use std::net::SocketAddr;
use std::path::PathBuf;

pub(super) async fn run(_listen: SocketAddr, _dir: Option<PathBuf>, _script: bool) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
