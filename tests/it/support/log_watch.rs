//! Reads every line that is logged while tests run: no secret and no person's address may stand in any.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::support::app::{OTHER_TOKEN, READER_TOKEN, SECRET, SLOW_TOKEN, TEST_TOKEN, TOKEN};

/// The filter that is shipped, with all that this program itself says.
pub const FILTER: &str = "dcvd=debug,info,hickory_net=error,hickory_server=error";

static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

static STATEMENTS: Mutex<Option<BTreeSet<String>>> = Mutex::new(None);

/// From now on keeps the statements that databases are asked.
pub fn gather_statements() {
    *STATEMENTS.lock().unwrap() = Some(BTreeSet::new());
}

/// Those that were kept; no more are.
pub fn statements() -> BTreeSet<String> {
    STATEMENTS.lock().unwrap().take().unwrap_or_default()
}

/// While it lives, what is logged is read; its end fails the test where something was found.
pub struct LogWatch;

impl LogWatch {
    pub fn begin() -> Self {
        static BEGIN: Once = Once::new();
        BEGIN.call_once(|| {
            let lines = tracing_subscriber::fmt::layer().with_writer(Reader).with_ansi(false).with_filter(EnvFilter::new(FILTER));
            let asked = |meta: &Metadata<'_>| meta.target() == "sqlx::query" && STATEMENTS.lock().unwrap().is_some();
            let statements = Statements.with_filter(dynamic_filter_fn(move |meta, _| asked(meta)));
            tracing_subscriber::registry().with(lines).with(statements).init();
        });
        Self
    }
}

impl Drop for LogWatch {
    fn drop(&mut self) {
        let found = FOUND.lock().unwrap().clone();
        assert!(std::thread::panicking() || found.is_empty(), "the log holds what it must not: {found:#?}");
    }
}

/// What must not stand in a line of the log; `None` where nothing is wrong with it.
pub fn complaint(line: &str) -> Option<&'static str> {
    let secrets = [TOKEN, OTHER_TOKEN, TEST_TOKEN, READER_TOKEN, SLOW_TOKEN, SECRET.trim_start_matches("whsec_")];
    if secrets.iter().any(|secret| line.contains(secret)) {
        return Some("a secret");
    }
    let is_token = |part: &str| part.len() >= 38 && !part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).any(is_token) {
        return Some("a token");
    }
    let of_address = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let is_address =
        |at: usize| line[..at].ends_with(|c: char| of_address(c) || c == '+') && line[at + 1..].starts_with(of_address);
    line.match_indices('@').any(|(at, _)| is_address(at)).then_some("an address")
}

struct Reader;

impl MakeWriter<'_> for Reader {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        if let Some(complaint) = complaint(&line) {
            FOUND.lock().unwrap().push(format!("{complaint}: {line}"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Statements;

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Read(String, String);
        impl Visit for Read {
            fn record_str(&mut self, field: &Field, value: &str) {
                match field.name() {
                    "summary" => value.clone_into(&mut self.0),
                    "db.statement" => value.clone_into(&mut self.1),
                    _ => {}
                }
            }

            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.record_str(field, &format!("{value:?}"));
            }
        }
        let mut read = Read(String::new(), String::new());
        event.record(&mut read);
        let text = if read.1.trim().is_empty() { read.0 } else { read.1 };
        if let Some(statements) = STATEMENTS.lock().unwrap().as_mut() {
            statements.insert(text.trim().to_owned());
        }
    }
}

#[test]
fn what_must_not_be_logged_is_known() {
    let token = "Aa-_".repeat(15);
    for line in [format!("a link {token}"), "to=<admin@example.jp>".to_owned(), format!("bearer {TOKEN}")] {
        assert!(complaint(&line).is_some(), "{line}");
    }
    let hash = "0af9".repeat(16);
    for line in [format!("sealed number=1 hash=\"{hash}\""), "order=ord_06h013bm02qnaw7nm60gpyqqhg user @ host".to_owned()] {
        assert_eq!(complaint(&line), None, "{line}");
    }
}
