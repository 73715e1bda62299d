//! Takes returned mail as it arrives. Kept first, put away after: a message that was kept twice counts once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::app::ingest::ingest;
use crate::ports::MailIn;
use crate::store::StoreError;

/// How often the mailbox is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(app: Arc<App>, mail_in: Arc<dyn MailIn>, stop: CancellationToken) {
    let mut stuck = HashSet::new();
    loop {
        let taken = match mail_in.waiting(&stuck).await {
            Ok(names) => take(&app, &*mail_in, names, &mut stuck).await,
            Err(error) => {
                tracing::error!(%error, "inbound.maildir cannot be read; trying again");
                0
            }
        };
        if taken > 0 && !stop.is_cancelled() {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

/// Takes what waits; how many messages were put away. What fails is told once, stays where it is, and is tried again after all
/// others, so that no message stands in another's way.
async fn take(app: &App, mail_in: &dyn MailIn, names: Vec<String>, stuck: &mut HashSet<String>) -> usize {
    let mut taken = 0;
    for name in names {
        match take_one(app, mail_in, &name).await {
            Ok(done) => {
                stuck.remove(&name);
                taken += usize::from(done);
            }
            Err(error) => {
                if stuck.insert(name.clone()) {
                    tracing::error!(name, %error, "a returned message is not taken; trying again");
                }
            }
        }
    }
    taken
}

/// Keeps one message and puts it away; `false` if another daemon took it first.
async fn take_one(app: &App, mail_in: &dyn MailIn, name: &str) -> Result<bool, TakeError> {
    let raw = match mail_in.read(name).await {
        Ok(raw) => raw,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(TakeError::Read(error)),
    };
    ingest(app, &raw, None).await.map_err(TakeError::Keep)?;
    match mail_in.done(name).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(TakeError::PutAway(error)),
    }
}

/// Why a returned message still waits.
#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error("it cannot be read: {0}")]
    Read(std::io::Error),
    #[error("it could not be kept: {0}")]
    Keep(StoreError),
    #[error("it was kept and cannot be put away: {0}")]
    PutAway(std::io::Error),
}
