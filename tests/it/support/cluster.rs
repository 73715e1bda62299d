//! A PostgreSQL cluster of one test's own, that it may stop, start and have followed by a replica.

use std::process::{Command, Stdio};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use super::postgres::programs;
use super::process::address;

/// The cluster, stopped when dropped.
pub struct Cluster {
    dir: tempfile::TempDir,
    pub port: u16,
}

impl Cluster {
    /// Makes and starts one.
    pub fn start() -> Self {
        let own = Self { dir: folder(), port: address().port() };
        own.run("initdb", &["-A", "trust", "-U", "dcvd", "-E", "UTF8", "--locale=C.UTF-8"]);
        own.go_on();
        own
    }

    /// A replica that every commit waits for from now on.
    pub async fn replica(&self) -> Self {
        let other = Self { dir: folder(), port: address().port() };
        let port = self.port.to_string();
        other.run("pg_basebackup", &["-h", "127.0.0.1", "-p", &port, "-U", "dcvd", "-R", "-c", "fast"]);
        other.go_on();
        for sql in ["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"] {
            self.execute(sql).await;
        }
        other
    }

    /// Starts it, again where it was stopped.
    pub fn go_on(&self) {
        let (dir, log) = (self.dir.path().display(), self.dir.path().join("log"));
        let options = format!("-p {} -k {dir} -c listen_addresses=127.0.0.1", self.port);
        self.run("pg_ctl", &["-w", "-l", log.to_str().unwrap(), "-o", &options, "start"]);
    }

    /// Stops it at once, as a crash does: it recovers when it is started again.
    pub fn crash(&self) {
        self.run("pg_ctl", &["-m", "immediate", "stop"]);
    }

    /// Makes a replica the one that is written to.
    pub fn promote(&self) {
        self.run("pg_ctl", &["-w", "promote"]);
    }

    pub async fn execute(&self, sql: &'static str) {
        let mut conn = PgConnection::connect(&Self::url(self.port)).await.expect("the cluster answers");
        conn.execute(sql).await.expect("it does as it is told");
    }

    /// Its database, by a port that leads to it.
    pub fn url(port: u16) -> String {
        format!("postgres://dcvd@127.0.0.1:{port}/postgres")
    }

    fn run(&self, what: &str, arguments: &[&str]) {
        let as_nobody = Command::new("id").arg("-u").output().expect("id runs").stdout == b"0\n";
        let path = programs().join(what);
        let mut command = if as_nobody { Command::new("runuser") } else { Command::new(&path) };
        if as_nobody {
            command.args(["-u", "nobody", "--"]).arg(&path);
        }
        command.arg("-D").arg(self.dir.path().join("data")).args(arguments).current_dir(self.dir.path());
        let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("it runs");
        assert!(ended.success() || what == "pg_ctl", "{what} {arguments:?}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.crash();
    }
}

/// A folder that whoever PostgreSQL runs as may write to.
fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a folder is made");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    dir
}
