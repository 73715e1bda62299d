//! A PostgreSQL cluster of the test run's own, on a private port, gone with the test process.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

struct Cluster {
    port: u16,
    // The shell stops the cluster when this pipe closes, which it does however the test process ends.
    _alive: ChildStdin,
    _shell: Child,
}

static CLUSTER: OnceLock<Cluster> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

const SCRIPT: &str = r#"
set -e
dir=$(mktemp -d "${TMPDIR:-/tmp}/dcvd-test-pg.XXXXXX")
chmod 777 "$dir"
# PostgreSQL refuses to run as root.
as() { if [ "$(id -u)" = 0 ]; then runuser -u nobody -- "$@"; else "$@"; fi; }
cd "$dir"
trap 'as "$BIN/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1; rm -rf "$dir"' EXIT
# As many a database has it, and unlike octets: nothing may rest on how text is ordered.
as "$BIN/initdb" -D "$dir/data" -A trust -U dcvd -E UTF8 --locale=C.UTF-8 --locale-provider=icu --icu-locale=ja >/dev/null
as "$BIN/pg_ctl" -D "$dir/data" -w -l "$dir/log" -o "$DURABLE -p $PORT -k $dir -c listen_addresses=127.0.0.1 -c max_connections=200" start >/dev/null
echo ready
cat >/dev/null
"#;

/// The newest PostgreSQL of Debian's packages.
pub fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|dir| dir.filter_map(Result::ok).map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    found.retain(|bin| bin.join("initdb").exists());
    found.sort();
    found.pop().expect("PostgreSQL is installed: run tests/run, which installs what the tests need")
}

/// Whether commits are durable, as a measurement wants them; the tests do without, which is quicker. To be set before the first database.
pub static DURABLE: AtomicBool = AtomicBool::new(false);

fn cluster() -> &'static Cluster {
    CLUSTER.get_or_init(|| {
        let port = super::process::address().port();
        let mut shell = Command::new("bash")
            .args(["-c", SCRIPT])
            .env("BIN", programs())
            .env("PORT", port.to_string())
            .env("DURABLE", if DURABLE.load(Ordering::SeqCst) { "" } else { "-F" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash starts");
        let alive = shell.stdin.take().expect("the shell has a standard input");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("the shell has a standard output"))
            .read_line(&mut line)
            .expect("the shell speaks");
        assert_eq!(line.trim(), "ready", "the cluster starts");
        Cluster { port, _alive: alive, _shell: shell }
    })
}

/// Makes an empty database and returns its address.
pub async fn database() -> String {
    let port = cluster().port;
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::SeqCst));
    let mut conn =
        PgConnection::connect(&format!("postgres://dcvd@127.0.0.1:{port}/postgres")).await.expect("the cluster answers");
    conn.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("a database is made");
    format!("postgres://dcvd@127.0.0.1:{port}/{name}")
}
