//! Whether the time of an answer tells anything of a secret: `cargo bench --bench timing`.
//!
//! Two kinds of requests that are answered alike are sent in random order over one connection; Welch's t of their times says whether
//! they differ, as dudect does (Reparaz, Balasch, Verbauwhede, 2017): beyond 4.5 either way they do. The slowest tenth, which the
//! machine's other work makes, is left out. The same kind against itself shows what chance gives.

#[expect(dead_code, reason = "another measurement uses the rest")]
mod client;
#[expect(dead_code, reason = "another measurement uses the rest")]
mod served;

use std::time::Instant;

use dcvd::app::sign_in::{From, set_operator, sign_in};
use dcvd::store::OperatorRow;
use served::{Served, TOKEN, show};

const REQUESTS: usize = 60_000;
/// Each takes a password's hash.
const SIGN_INS: usize = 1_000;
const LIMIT: f64 = 4.5;
/// Where a link's Random Value begins, in characters: behind its version, its key's name and its time.
const RANDOM_VALUE: usize = 12;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` only wants to know that it builds and runs.
    let real = std::env::args().any(|one| one == "--bench");
    let (requests, sign_ins) = if real { (REQUESTS, SIGN_INS) } else { (20, 2) };
    let daemon = Served::start(None).await?;
    let token = daemon.place(0).await?;
    // One is the genuine one but for its signature's end, the other but for its Random Value's beginning; the third names a key that is
    // not ours, which stands in every link and is no secret.
    let wrong = |at: usize| format!("{}{}{}", &token[..at], other(&token[at..at + 4]), &token[at + 4..]);
    let (near, far, foreign) = (wrong(token.len() - 4), wrong(RANDOM_VALUE), wrong(0));
    let api =
        |token: &str| format!("GET /v1/orders HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes();
    let (api_near, api_far) = (format!("{}x", &TOKEN[..TOKEN.len() - 1]), format!("x{}", &TOKEN[1..]));
    for (what, kinds, status) in [
        ("a link, wrong at its signature's end, beside itself", [show(&near), show(&near)], 404),
        ("a link, wrong at its signature's end or its Random Value's beginning", [show(&near), show(&far)], 404),
        ("a link, wrong at its signature's end or of a key that is not ours", [show(&near), show(&foreign)], 404),
        ("an API token, wrong at its end or its beginning", [api(&api_near), api(&api_far)], 401),
    ] {
        let mut connection = client::Connection::to(daemon.address).await?;
        let mut times = Times::default();
        for _ in 0..requests {
            let kind = usize::from(daemon.app.random::<1>()[0] % 2);
            let begun = Instant::now();
            connection.ask(&kinds[kind], status).await?;
            times.add(kind, begun);
        }
        times.tell(what);
    }
    operator(&daemon).await?;
    let from = From { peer: "192.0.2.1".to_owned(), user_agent: "bench".to_owned() };
    let mut times = Times::default();
    for _ in 0..sign_ins {
        let kind = usize::from(daemon.app.random::<1>()[0] % 2);
        let begun = Instant::now();
        let name = ["somebody", "nobody"][kind];
        anyhow::ensure!(sign_in(&daemon.app, name, "wrong", "000000", None, &from).await?.is_none(), "nobody is let in");
        times.add(kind, begun);
    }
    times.tell("a sign-in with a wrong password, of somebody or of nobody");
    daemon.end().await
}

/// Another text of the same letters.
fn other(text: &str) -> String {
    text.chars().map(|c| if c == 'a' { 'b' } else { 'a' }).collect()
}

/// Somebody who may sign in.
async fn operator(daemon: &Served) -> anyhow::Result<()> {
    let password = dcvd::adapters::credentials::hash("right")?;
    let now = daemon.app.now();
    let row = OperatorRow {
        name: "somebody".to_owned(),
        role: "viewer".to_owned(),
        password,
        nonce: vec![7; 16],
        last_step: 0,
        created_at: now.unix_micros(),
        disabled_at: None,
    };
    anyhow::ensure!(set_operator(&daemon.app.store, row, true, now).await?, "there is nobody yet");
    Ok(())
}

/// How long two kinds took, in microseconds.
#[derive(Default)]
struct Times([Vec<f64>; 2]);

impl Times {
    fn add(&mut self, kind: usize, begun: Instant) {
        self.0[kind].push(begun.elapsed().as_secs_f64() * 1e6);
    }

    fn tell(mut self, what: &str) {
        let mut all = self.0.concat();
        all.sort_unstable_by(f64::total_cmp);
        let most = all.get(all.len() * 9 / 10).copied().unwrap_or(f64::MAX);
        let [one, two] = self.0.each_mut().map(|times| {
            times.retain(|time| *time <= most);
            spread(times)
        });
        let t = (one.0 - two.0) / (one.1 + two.1).sqrt();
        let found = if t.abs() < LIMIT { "no difference" } else { "a difference" };
        println!("{what}: {:.2} and {:.2} µs, t = {t:.2}: {found} (the limit is {LIMIT})", one.0, two.0);
    }
}

/// The mean, and the variance of that mean.
#[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
fn spread(times: &[f64]) -> (f64, f64) {
    let count = times.len() as f64;
    let mean = times.iter().sum::<f64>() / count;
    let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance / count)
}
