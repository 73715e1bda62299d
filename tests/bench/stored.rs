//! Fills a database with orders as they are stored: spread over a year, one in twenty of the last weeks' pending, one in a hundred with a mail that came back.

use std::time::Duration;

use dcvd::dcv::id::{EffectId, EventId, MailId, OrderId, ValidationId};
use dcvd::dcv::timestamp::Timestamp;
use sqlx::{Database, Executor, PgConnection, QueryBuilder, SqliteConnection};

/// Orders written at once.
const CHUNK: u64 = 500;

/// Fills a database, by its URL.
pub(super) async fn fill(url: &str, orders: u64, hash: &[u8], now: Timestamp) -> anyhow::Result<()> {
    use sqlx::Connection as _;
    if url.starts_with("sqlite") {
        return fill_all(&mut SqliteConnection::connect(url).await?, orders, hash, now).await;
    }
    fill_all(&mut PgConnection::connect(url).await?, orders, hash, now).await
}

/// Says of a database that all its orders are counted for the statistics, as they are by the time; PostgreSQL has tidied up by then, too,
/// and would do so while it is measured.
pub(super) async fn counted(url: &str) -> anyhow::Result<()> {
    use sqlx::Connection as _;
    for sql in [
        "INSERT INTO tally_marks (name, event) SELECT 'counted', id FROM events ORDER BY id DESC LIMIT 1",
        "INSERT INTO tally_marks (name, event) SELECT 'told', id FROM events ORDER BY id DESC LIMIT 1",
    ] {
        if url.starts_with("sqlite") {
            SqliteConnection::connect(url).await?.execute(sql).await?;
        } else {
            PgConnection::connect(url).await?.execute(sql).await?;
        }
    }
    if !url.starts_with("sqlite") {
        let mut conn = PgConnection::connect(url).await?;
        conn.execute("VACUUM (ANALYZE)").await?;
        conn.execute("CHECKPOINT").await?;
    }
    Ok(())
}

/// When an order was placed: over a year, evenly.
fn placed(number: u64, now: Timestamp, orders: u64) -> Timestamp {
    let year = 365 * 86_400_000_000_u64;
    now - Duration::from_micros(year / orders.max(1) * (orders - number))
}

pub(super) fn id(kind: u8, number: u64, now: Timestamp, orders: u64) -> [u8; 16] {
    let mut random = [kind; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    *OrderId::new(placed(number, now, orders), random).as_bytes()
}

async fn fill_all<C>(conn: &mut C, orders: u64, hash: &[u8], now: Timestamp) -> anyhow::Result<()>
where
    C: sqlx::Connection,
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
    C::Database: Database,
    for<'q> i64: sqlx::Encode<'q, C::Database> + sqlx::Type<C::Database>,
    for<'q> Option<i64>: sqlx::Encode<'q, C::Database>,
    for<'q> String: sqlx::Encode<'q, C::Database> + sqlx::Type<C::Database>,
    for<'q> Vec<u8>: sqlx::Encode<'q, C::Database> + sqlx::Type<C::Database>,
    for<'q> Option<Vec<u8>>: sqlx::Encode<'q, C::Database>,
    for<'q> Option<String>: sqlx::Encode<'q, C::Database>,
    for<'q> <C::Database as Database>::Arguments: sqlx::IntoArguments<C::Database>,
{
    let mut from = 0;
    while from < orders {
        let to = (from + CHUNK).min(orders);
        let numbers: Vec<u64> = (from..to).collect();
        let at = |number: u64| placed(number, now, orders).unix_micros();
        let pending = |number: u64| number.is_multiple_of(20) && number + orders / 14 > orders;
        let (order, mail) = (|number| id(7, number, now, orders).to_vec(), |number| id(3, number, now, orders).to_vec());
        let name = |number: u64| (format!("www.d{}.example.jp", number % 5000), format!("d{}.example.jp", number % 5000));
        conn.execute("BEGIN").await?;
        let mut rows = QueryBuilder::<C::Database>::new(
            "INSERT INTO orders (id, client, order_ref, profile_id, profile_hash, state, locale, facts, created_at, ended_at, last_seq) ",
        );
        rows.push_values(&numbers, |mut row, number| {
            let facts = format!(
                "{{\"organization\":\"株式会社 {number}\",\"requester\":\"窓口 {}\",\"kind\":\"new\",\"metadata\":{{}}}}",
                number % 30
            );
            row.push_bind(order(*number)).push_bind("orders".to_owned()).push_bind(format!("R-{number}"));
            row.push_bind("standard".to_owned()).push_bind(hash.to_vec());
            row.push_bind(if pending(*number) { "pending" } else { "completed" }.to_owned()).push_bind("ja".to_owned());
            row.push_bind(facts).push_bind(at(*number)).push_bind((!pending(*number)).then(|| at(*number) + 1)).push_bind(3_i64);
        });
        rows.build().execute(&mut *conn).await?;
        let mut rows = QueryBuilder::<C::Database>::new(
            "INSERT INTO validations (id, order_id, position, name, base_domain, state, mail_id, answer, method, scope, adn, ended_at, reusable_until) ",
        );
        rows.push_values(&numbers, |mut row, number| {
            let (name, base) = name(*number);
            let done = !pending(*number);
            row.push_bind(ValidationId::from_bytes(id(5, *number, now, orders)).as_bytes().to_vec());
            row.push_bind(order(*number)).push_bind(0_i64).push_bind(name).push_bind(base.clone());
            row.push_bind(if done { "approved" } else { "pending" }.to_owned()).push_bind(done.then(|| mail(*number)));
            row.push_bind(done.then(|| "approve".to_owned())).push_bind(done.then(|| "3.2.2.4.4".to_owned()));
            row.push_bind(done.then(|| "fqdn".to_owned())).push_bind(done.then_some(base));
            row.push_bind(done.then(|| at(*number) + 1)).push_bind(done.then(|| at(*number) + 200 * 86_400_000_000));
        });
        rows.build().execute(&mut *conn).await?;
        let mut rows = QueryBuilder::<C::Database>::new(
            "INSERT INTO mails (id, order_id, recipient, adn, adn_is_base, source, looked_up_at, random_hash, ref, message_id, content_hash, link, delivery, created_at, expires_at, sent_at) ",
        );
        rows.push_values(&numbers, |mut row, number| {
            let (_, base) = name(*number);
            let lost = number.is_multiple_of(100);
            row.push_bind(MailId::from_bytes(id(3, *number, now, orders)).as_bytes().to_vec()).push_bind(order(*number));
            row.push_bind(format!("admin@{base}")).push_bind(base).push_bind(1_i64).push_bind("constructed".to_owned());
            row.push_bind(at(*number))
                .push_bind(mail(*number))
                .push_bind(format!("ref{number}"))
                .push_bind(format!("<m{number}@bench>"));
            row.push_bind(vec![0_u8; 32]).push_bind(if pending(*number) { "sent" } else { "answered" }.to_owned());
            row.push_bind(if lost { "bounced" } else { "accepted" }.to_owned()).push_bind(at(*number));
            row.push_bind(at(*number) + 26 * 86_400_000_000).push_bind(at(*number));
        });
        rows.build().execute(&mut *conn).await?;
        let mut rows = QueryBuilder::<C::Database>::new("INSERT INTO mail_validations (mail_id, validation_id) ");
        rows.push_values(&numbers, |mut row, number| {
            row.push_bind(mail(*number)).push_bind(id(5, *number, now, orders).to_vec());
        });
        rows.build().execute(&mut *conn).await?;
        for (seq, kind) in [(1_i64, "order.created"), (2, "mail.sent"), (3, "validation.approved")] {
            let some: Vec<u64> = numbers.iter().copied().filter(|number| seq < 3 || !pending(*number)).collect();
            if some.is_empty() {
                continue;
            }
            let mut rows = QueryBuilder::<C::Database>::new("INSERT INTO events (id, order_id, seq, kind, at, actor, data) ");
            rows.push_values(&some, |mut row, number| {
                let (name, base) = name(*number);
                let data = match seq {
                    1 => format!("{{\"names\":[\"{name}\"],\"profile\":\"standard\"}}"),
                    2 => format!("{{\"to\":\"admin@{base}\",\"source\":\"constructed\"}}"),
                    _ => format!("{{\"name\":\"{name}\",\"source\":\"constructed\",\"method\":\"3.2.2.4.4\",\"approver\":\"admin@{base}\"}}"),
                };
                let kind_id = 10 + u8::try_from(seq).unwrap_or_default();
                row.push_bind(EventId::from_bytes(id(kind_id, *number, now, orders)).as_bytes().to_vec()).push_bind(order(*number));
                row.push_bind(seq).push_bind(kind.to_owned()).push_bind(at(*number)).push_bind("system".to_owned()).push_bind(data);
            });
            rows.build().execute(&mut *conn).await?;
        }
        let mut rows = QueryBuilder::<C::Database>::new(
            "INSERT INTO effects (id, kind, order_id, subject_id, endpoint, seq, recipient, state, attempts, tried, created_at, due_at, ended_at) ",
        );
        rows.push_values(&numbers, |mut row, number| {
            let (_, base) = name(*number);
            row.push_bind(EffectId::from_bytes(id(20, *number, now, orders)).as_bytes().to_vec()).push_bind("mail".to_owned());
            row.push_bind(order(*number)).push_bind(mail(*number)).push_bind(format!("ref{number}")).push_bind(0_i64);
            row.push_bind(format!("admin@{base}")).push_bind("done".to_owned()).push_bind(1_i64).push_bind(1_i64);
            row.push_bind(at(*number)).push_bind(at(*number)).push_bind(at(*number));
        });
        rows.build().execute(&mut *conn).await?;
        conn.execute("COMMIT").await?;
        from = to;
        if from.is_multiple_of(100_000) {
            eprintln!("{from} of {orders} orders written");
        }
    }
    conn.execute("ANALYZE").await?;
    Ok(())
}
