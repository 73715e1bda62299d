//! Ten times as many requests as a daemon lets in at once, beside as many as it lets in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::client::Connection;
use super::served::{Served, order};

/// Requests of ordering systems that are let in at once.
const AT_ONCE: u16 = 16;

/// What was answered in a round, the quickest first.
#[derive(Default)]
struct Round {
    taken: Vec<Duration>,
    refused: Vec<Duration>,
}

/// Places orders over as many connections as are let in, and over ten times as many, in turns. Whoever is refused asks again at once, which
/// none should: there is no harder load of that many.
pub(super) async fn overload(database: Option<String>, rounds: usize, time: Duration) -> anyhow::Result<()> {
    let daemon = Served::letting_in(AT_ONCE, database).await?;
    let number = Arc::new(AtomicUsize::new(1));
    for round in 1..=rounds {
        for times in [1, 10] {
            let connections = usize::from(AT_ONCE) * times;
            let Round { taken, refused } = ask(daemon.address, connections, time, &number).await?;
            let all = taken.len() + refused.len();
            anyhow::ensure!(!taken.is_empty(), "nobody was let in");
            println!(
                "overload, round {round}: {connections} connections, {AT_ONCE} let in at once: {:.0} orders/s, p50 {:?}, p99 {:?}; \
                 {:.0} of 100 refused, p99 {:?}",
                share(taken.len(), time.as_secs_f64()),
                at(&taken, 50),
                at(&taken, 99),
                100.0 * share(refused.len(), share(all, 1.0)),
                at(&refused, 99)
            );
        }
    }
    daemon.end().await
}

async fn ask(server: SocketAddr, connections: usize, time: Duration, number: &Arc<AtomicUsize>) -> anyhow::Result<Round> {
    let (begun, mut asking) = (Instant::now(), JoinSet::new());
    for _ in 0..connections {
        let number = Arc::clone(number);
        asking.spawn(async move {
            let (mut connection, mut round) = (Connection::to(server).await?, Round::default());
            while begun.elapsed() < time {
                let request = order(number.fetch_add(1, Ordering::SeqCst));
                let sent = Instant::now();
                match connection.told(&request).await? {
                    201 => round.taken.push(sent.elapsed()),
                    503 => round.refused.push(sent.elapsed()),
                    status => anyhow::bail!("an order was answered {status}"),
                }
            }
            anyhow::Ok(round)
        });
    }
    let mut all = Round::default();
    while let Some(asked) = asking.join_next().await {
        let Round { taken, refused } = asked??;
        all.taken.extend(taken);
        all.refused.extend(refused);
    }
    all.taken.sort_unstable();
    all.refused.sort_unstable();
    Ok(all)
}

/// The time that so many of 100 stayed below.
fn at(times: &[Duration], percent: usize) -> Duration {
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
fn share(count: usize, of: f64) -> f64 {
    count as f64 / of
}
