//! What a bare database does for a decision: the guarded UPDATE alone, and every row that a decision writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use dcvd::store::{Migrate, Store};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _};

use super::client::CONNECTIONS;

const AT: i64 = 1_795_305_600_000_000;

/// An order that waits for an answer: what a decision reads and changes of it. `$1` is an id, `$2` an instant, `$3` a text of its own.
const STORED: [&str; 4] = [
    "INSERT INTO orders (id, client, order_ref, profile_id, profile_hash, state, locale, facts, created_at, last_seq)
    VALUES ($1, 'bench', $3, 'quick', $1, 'pending', 'ja', '{}', $2, 1)",
    "INSERT INTO validations (id, order_id, position, name, state) VALUES ($1, $1, 0, 'www.example.jp', 'pending')",
    "INSERT INTO mails (id, order_id, recipient, adn, adn_is_base, source, looked_up_at, random_hash, ref, message_id, content_hash, link,
    delivery, created_at, expires_at) VALUES ($1, $1, 'admin@example.jp', 'example.jp', 1, 'constructed', $2, $1, $3, $3, $1, 'queued',
    'queued', $2, $2)",
    "INSERT INTO effects (id, kind, order_id, subject_id, endpoint, seq, body, state, attempts, tried, created_at, due_at)
    VALUES ($1, 'mail', $1, $1, $3, 1, $1, 'due', 0, 0, $2, $2)",
];

/// The one that decides.
const GUARDED: &str =
    "UPDATE validations SET state = 'approved', answer = 'approve', ended_at = $2 WHERE id = $1 AND state = 'pending'";

/// All that a decision writes: the answer, what it says of the name, a receipt with its place in the outbox, the link's end, the order's,
/// the events and their places in the audit log. `$4` to `$7` are further ids.
const ALL: [&str; 11] = [
    GUARDED,
    "INSERT INTO answers (id, mail_id, at, answer, signer, peer, user_agent, won) VALUES ($4, $1, $2, 'approve', 'bench', '127.0.0.1', '', 1)",
    "INSERT INTO notices (id, order_id, kind, recipient, locale, data, delivery, created_at)
    VALUES ($4, $1, 'receipt', 'admin@example.jp', 'ja', '{}', 'queued', $2)",
    "INSERT INTO effects (id, kind, order_id, subject_id, endpoint, seq, state, attempts, tried, created_at, due_at)
    VALUES ($4, 'notice', $1, $4, $3, 1, 'due', 0, 0, $2, $2)",
    "UPDATE mails SET link = 'answered', remind_at = NULL, answered_at = $2 WHERE id = $1 AND link IN ('queued', 'sent')",
    "UPDATE effects SET body = NULL, state = 'dead', ended_at = $2, last_error = 'link-ended' WHERE subject_id = $1 AND kind = 'mail'",
    "UPDATE orders SET last_seq = last_seq + 3, state = 'completed', ended_at = $2 WHERE id = $1 AND state = 'pending'",
    "INSERT INTO events (id, order_id, seq, kind, at, actor, data) VALUES ($5, $1, 2, 'validation.approved', $2, 'approver', '{}')",
    "INSERT INTO events (id, order_id, seq, kind, at, actor, data) VALUES ($6, $1, 3, 'answer.marked', $2, 'system', '{}')",
    "INSERT INTO events (id, order_id, seq, kind, at, actor, data) VALUES ($7, $1, 4, 'order.completed', $2, 'system', '{}')",
    "INSERT INTO unsealed (id, entries) VALUES ($4, $1)",
];

macro_rules! run {
    ($conn:expr, $statements:expr, $number:expr) => {{
        let id = |kind: u64| [$number as u64, kind].map(u64::to_be_bytes).concat();
        for sql in &$statements {
            let query = sqlx::query(*sql).bind(id(0)).bind(AT).bind(format!("B-{}", $number));
            let done = query.bind(id(1)).bind(id(2)).bind(id(3)).bind(id(4)).execute(&mut *$conn).await?;
            anyhow::ensure!(done.rows_affected() == 1, "{sql}");
        }
    }};
}

macro_rules! decide {
    ($conn:expr, $number:expr) => {{
        let id = [$number as u64, 0].map(u64::to_be_bytes).concat();
        let done = sqlx::query(GUARDED).bind(id).bind(AT).execute(&mut $conn).await?;
        anyhow::ensure!(done.rows_affected() == 1, "it was pending");
    }};
}

/// What a client reaches a second that does nothing but ask the database, one statement after the other.
pub(super) struct Bare {
    /// The guarded UPDATE, each committed by itself.
    pub(super) guarded: f64,
    /// Every row of a decision; on SQLite with as many in one commit as are asked at once.
    pub(super) all: f64,
}

/// Measures both on two databases of their own.
pub(super) async fn bare(databases: [String; 2], count: usize) -> anyhow::Result<Bare> {
    let [guarded, all] = databases;
    Ok(if guarded.starts_with("postgres:") {
        Bare { guarded: postgres(&guarded, false, count).await?, all: postgres(&all, true, count).await? }
    } else {
        Bare { guarded: sqlite(&guarded, false, count).await?, all: sqlite(&all, true, count).await? }
    })
}

async fn sqlite(database: &str, all: bool, count: usize) -> anyhow::Result<f64> {
    Store::open(database, Migrate::Yes).await?.close().await;
    let options: SqliteConnectOptions = database.parse()?;
    // What rows refer to is not all there.
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full).foreign_keys(false);
    let mut conn = SqliteConnection::connect_with(&options).await?;
    let mut tx = conn.begin().await?;
    for number in 0..count {
        run!(tx, STORED, number);
    }
    tx.commit().await?;
    let begin = Instant::now();
    for from in (0..count).step_by(CONNECTIONS).filter(|_| all) {
        let mut tx = conn.begin().await?;
        for number in from..count.min(from + CONNECTIONS) {
            run!(tx, ALL, number);
        }
        tx.commit().await?;
    }
    for number in (0..count).filter(|_| !all) {
        decide!(conn, number);
    }
    Ok(rate(count, begin))
}

/// PostgreSQL's connections share their commits: as many as the daemon is asked over.
async fn postgres(database: &str, all: bool, count: usize) -> anyhow::Result<f64> {
    Store::open(database, Migrate::Yes).await?.close().await;
    let mut conn = PgConnection::connect(database).await?;
    // What rows refer to is not all there.
    conn.execute("SET session_replication_role = replica").await?;
    let mut tx = conn.begin().await?;
    for number in 0..count {
        run!(tx, STORED, number);
    }
    tx.commit().await?;
    conn.execute("VACUUM ANALYZE").await?;
    let mut conns = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut conn = PgConnection::connect(database).await?;
        conn.execute("SET session_replication_role = replica").await?;
        conns.push(conn);
    }
    let (begin, next, mut deciding) = (Instant::now(), Arc::new(AtomicUsize::new(0)), tokio::task::JoinSet::new());
    for mut conn in conns {
        let next = Arc::clone(&next);
        deciding.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= count {
                    return anyhow::Ok(());
                }
                if all {
                    let mut tx = conn.begin().await?;
                    run!(tx, ALL, number);
                    tx.commit().await?;
                } else {
                    decide!(conn, number);
                }
            }
        });
    }
    while let Some(ended) = deciding.join_next().await {
        ended??;
    }
    Ok(rate(count, begin))
}

#[expect(clippy::cast_precision_loss, reason = "a count of rows is far below 2^52")]
fn rate(count: usize, begin: Instant) -> f64 {
    count as f64 / begin.elapsed().as_secs_f64()
}
