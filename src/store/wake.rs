//! Tells workers that something became due: those of this process at once, those of other daemons by PostgreSQL's NOTIFY. Polling is the
//! safety net: what is lost here costs the time of a poll. A daemon that cannot listen is not counted by the others, which then take more than
//! their share of the pace of mail.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{EffectKind, Pools, Store, StoreError};

/// The channel that daemons on one database listen to.
const CHANNEL: &str = "dcvd_due";

/// Others are told together what became due within so long: each NOTIFY takes a lock of the whole cluster at its commit.
const GATHERED_FOR: Duration = Duration::from_millis(10);

/// The pause before listening again where that failed.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// What the session of a daemon that listens is named; the daemon's own number follows.
const LISTENER: &str = "dcvd listening ";

/// PostgreSQL ends a listener's session half a minute after its host vanished, and not after hours: whether it said something to it meanwhile,
/// which waits to be acknowledged, or not.
const NOTICED_SOON: &str =
    "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = 30000";

/// Every kind with its mark in what others are told.
const KINDS: [(EffectKind, u8); 3] = [(EffectKind::Mail, 1), (EffectKind::Notice, 2), (EffectKind::Webhook, 4)];

/// Wakes the workers when there is something to do.
#[derive(Debug)]
pub(super) struct Wake {
    mail: Notify,
    notice: Notify,
    webhook: Notify,
    /// What others are still to be told.
    untold: AtomicU8,
    telling: Notify,
    /// Tells this process from others; its own words come back to it.
    own: u64,
}

impl Default for Wake {
    fn default() -> Self {
        let own = RandomState::new().hash_one(std::process::id());
        Self {
            mail: Notify::new(),
            notice: Notify::new(),
            webhook: Notify::new(),
            untold: AtomicU8::new(0),
            telling: Notify::new(),
            own,
        }
    }
}

impl Wake {
    const fn of(&self, kind: EffectKind) -> &Notify {
        match kind {
            EffectKind::Mail => &self.mail,
            EffectKind::Notice => &self.notice,
            EffectKind::Webhook => &self.webhook,
        }
    }

    /// Something of a kind is due since a commit.
    pub(super) fn tell(&self, kind: EffectKind) {
        self.of(kind).notify_one();
        let mark = KINDS.iter().filter(|(one, _)| *one == kind).fold(0, |all, (_, mark)| all | mark);
        self.untold.fetch_or(mark, Ordering::SeqCst);
        self.telling.notify_one();
    }

    /// Wakes for what another daemon says.
    fn heard(&self, said: &str) {
        let Some((own, marks)) = said.split_once(' ') else { return };
        let (Ok(own), Ok(marks)) = (own.parse::<u64>(), marks.parse::<u8>()) else { return };
        for (kind, mark) in KINDS {
            if own != self.own && marks & mark != 0 {
                self.of(kind).notify_one();
            }
        }
    }

    fn all(&self) {
        for (kind, _) in KINDS {
            self.of(kind).notify_one();
        }
    }
}

impl Store {
    /// Waits until something of a kind became due, as far as is known; it may be that another took it already.
    pub async fn woken(&self, kind: EffectKind) {
        self.wake.of(kind).notified().await;
    }

    /// Tells other daemons on the same database what became due, until `stop`. On SQLite there are none.
    pub async fn announce(&self, stop: CancellationToken) {
        let Pools::Postgres(pool, _) = &self.pools else { return };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.telling.notified() => {}
            }
            let said = format!("{} {}", self.wake.own, self.wake.untold.swap(0, Ordering::SeqCst));
            if let Err(error) = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(said).execute(pool).await {
                tracing::debug!(%error, "other daemons were not told what is due; they poll");
            }
            sleep(GATHERED_FOR).await;
        }
    }

    /// Wakes the workers for what other daemons on the same database say is due, until `stop`.
    pub async fn listen(&self, stop: CancellationToken) {
        let Pools::Postgres(pool, _) = &self.pools else { return };
        let pool = listening(pool, format!("{LISTENER}{:016x}", self.wake.own));
        let failing = AtomicBool::new(false);
        loop {
            let listening = async {
                let mut listener = PgListener::connect_with(&pool).await?;
                listener.listen(CHANNEL).await?;
                if failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("other daemons are listened to again");
                }
                // What was said before is not known.
                self.wake.all();
                loop {
                    match listener.try_recv().await? {
                        Some(said) => self.wake.heard(said.payload()),
                        // The connection was lost and made anew; what was said meanwhile is not known.
                        None => self.wake.all(),
                    }
                }
            };
            let failed: Result<(), sqlx::Error> = tokio::select! {
                () = stop.cancelled() => break,
                failed = listening => failed,
            };
            if !failing.swap(true, Ordering::Relaxed) {
                tracing::warn!(error = ?failed, "other daemons on the database cannot be listened to; polling, and trying again");
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(LISTEN_AGAIN) => {}
            }
        }
        pool.close().await;
    }

    /// How many daemons listen on the database, this one among them: each that works is one. A daemon that reads its configuration again
    /// listens twice for a moment, and is one. `None`: this one does not listen yet, so that what can be seen may be wrong.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn listeners(&self) -> Result<Option<u32>, StoreError> {
        const SQL: &str = "SELECT COUNT(DISTINCT application_name), COUNT(*) FILTER (WHERE application_name = $2)
            FROM pg_stat_activity WHERE datname = current_database() AND starts_with(application_name, $1)";
        let Pools::Postgres(pool, _) = &self.pools else { return Ok(Some(1)) };
        let own = format!("{LISTENER}{:016x}", self.wake.own);
        let (all, own): (i64, i64) = sqlx::query_as(SQL).bind(LISTENER).bind(own).fetch_one(pool).await?;
        Ok((own > 0).then(|| u32::try_from(all).unwrap_or(u32::MAX)))
    }
}

/// One connection of its own, which bears a name that others on the database can see.
fn listening(pool: &PgPool, name: String) -> PgPool {
    let options = PgPoolOptions::new().max_connections(1).after_connect(move |conn, _| {
        let name = name.clone();
        Box::pin(async move {
            // Settings of this session, not of the start: what stands between may refuse those.
            sqlx::raw_sql(NOTICED_SOON).execute(&mut *conn).await?;
            sqlx::query("SELECT set_config('application_name', $1, false)").bind(name).execute(&mut *conn).await?;
            Ok(())
        })
    });
    options.connect_lazy_with(pool.connect_options().as_ref().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn others_wake_only_whom_it_concerns() {
        let wake = Wake::default();
        let is_woken = |kind: EffectKind| wake.of(kind).notified().now_or_never().is_some();
        let other = wake.own.wrapping_add(1);
        wake.heard(&format!("{other} 5"));
        assert_eq!(KINDS.map(|(kind, _)| is_woken(kind)), [true, false, true]);
        for nothing in [format!("{} 7", wake.own), format!("{other} 300"), "7".to_owned(), String::new()] {
            wake.heard(&nothing);
            assert_eq!(KINDS.map(|(kind, _)| is_woken(kind)), [false; 3], "{nothing}");
        }
        wake.tell(EffectKind::Notice);
        assert_eq!((is_woken(EffectKind::Notice), wake.untold.load(Ordering::SeqCst)), (true, 2));
    }
}
