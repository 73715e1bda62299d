//! Puts an effect that was given up back into the outbox, with a full schedule of attempts before it.

use super::App;
use crate::dcv::id::EffectId;
use crate::store::StoreError;

/// Replays one effect; `false` when there is none that was given up under this id, or its bytes are gone with its link.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn replay(app: &App, id: EffectId) -> Result<bool, StoreError> {
    let now = app.now();
    let replayed: Result<bool, StoreError> =
        app.store.write("replay", move |tx| Box::pin(async move { tx.replay(id, now).await })).await;
    if replayed? {
        tracing::info!(effect = %id, "replayed by an operator");
        app.wake.mail.notify_one();
        app.wake.webhook.notify_one();
        return Ok(true);
    }
    Ok(false)
}
