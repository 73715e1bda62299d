//! Takes returned mail as it arrives. Kept first, put away after: a message that was kept twice counts once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::app::ingest::ingest;
use crate::ports::MailIn;

/// How often the mailbox is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(app: Arc<App>, mail_in: Arc<dyn MailIn>, stop: CancellationToken) {
    let mut unreadable = HashSet::new();
    loop {
        let taken = match mail_in.waiting().await {
            Ok(names) => take(&app, &*mail_in, names, &mut unreadable).await,
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

/// Takes what waits; how many messages were put away.
async fn take(app: &App, mail_in: &dyn MailIn, names: Vec<String>, unreadable: &mut HashSet<String>) -> usize {
    let mut taken = 0;
    for name in names {
        let raw = match mail_in.read(&name).await {
            Ok(raw) => raw,
            // Another daemon took it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                // Told once: it stays where it is for a person to look at.
                if unreadable.insert(name.clone()) {
                    tracing::error!(name, %error, "a returned message cannot be read");
                }
                continue;
            }
        };
        if let Err(error) = ingest(app, &raw, None).await {
            tracing::error!(name, %error, "a returned message could not be kept; trying again");
            continue;
        }
        match mail_in.done(&name).await {
            Ok(()) => taken += 1,
            Err(error) => tracing::error!(name, %error, "a returned message that was kept cannot be put away"),
        }
    }
    taken
}
