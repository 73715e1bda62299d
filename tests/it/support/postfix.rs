//! A Postfix of the test's own on a private port, with a Maildir for returned mail. Its master wants to be root.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::{PATIENCE, address};

pub struct Postfix {
    pub address: SocketAddr,
    /// Where mail for `bounces@bounces.test`, extensions and all, is delivered.
    pub maildir: PathBuf,
    etc: PathBuf,
    _dir: TempDir,
}

/// The services a relay needs, none in a chroot.
const SERVICES: &[(&str, &str, &str, &str, &str)] = &[
    ("pickup", "unix", "n", "60", "1 pickup"),
    ("cleanup", "unix", "n", "-", "0 cleanup"),
    ("qmgr", "unix", "n", "3", "1 qmgr"),
    ("tlsmgr", "unix", "-", "1000?", "1 tlsmgr"),
    ("rewrite", "unix", "-", "-", "- trivial-rewrite"),
    ("bounce", "unix", "-", "-", "0 bounce"),
    ("defer", "unix", "-", "-", "0 bounce"),
    ("trace", "unix", "-", "-", "0 bounce"),
    ("verify", "unix", "-", "-", "1 verify"),
    ("flush", "unix", "n", "1000?", "0 flush"),
    ("proxymap", "unix", "-", "-", "- proxymap"),
    ("smtp", "unix", "-", "-", "- smtp"),
    ("showq", "unix", "n", "-", "- showq"),
    ("error", "unix", "-", "-", "- error"),
    ("retry", "unix", "-", "-", "- error"),
    ("virtual", "unix", "-", "-", "- virtual"),
    ("anvil", "unix", "-", "-", "1 anvil"),
    ("scache", "unix", "-", "-", "1 scache"),
    ("postlog", "unix-dgram", "n", "-", "1 postlogd"),
];

impl Postfix {
    /// Starts it as a relay that hands mail for `domain` to `next`.
    pub fn start(domain: &str, next: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Its parts run as users of their own.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (home, etc) = (dir.path().display().to_string(), dir.path().join("etc"));
        for folder in ["etc", "queue", "data", "mail"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let own = |path: &str, owner: &str| run(Command::new("chown").arg(owner).arg(dir.path().join(path)));
        own("data", "postfix");
        own("mail", "nobody");
        let address = address();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {home}/queue\ndata_directory = {home}/data\nmeta_directory = /etc/postfix\n\
             daemon_directory = /usr/lib/postfix/sbin\ncommand_directory = /usr/sbin\nmail_owner = postfix\nsetgid_group = postdrop\n\
             maillog_file = {home}/maillog\nmaillog_file_prefixes = {home}, /var\nmyhostname = mx.test\nmydestination =\nalias_maps =\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\nrecipient_delimiter = +\n\
             virtual_mailbox_domains = bounces.test\nvirtual_mailbox_base = {home}/mail\n\
             virtual_mailbox_maps = inline:{{ {{bounces@bounces.test = bounces/}} }}\nvirtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\n\
             smtpd_relay_restrictions = permit_mynetworks, reject\ntransport_maps = inline:{{ {{{domain} = smtp:[127.0.0.1]:{port}}} }}\n\
             default_transport = error:5.4.4 no route off this host\ndisable_dns_lookups = yes\nsmtputf8_enable = yes\n\
             queue_run_delay = 2s\nminimal_backoff_time = 2s\nmaximal_backoff_time = 2s\nmaximal_queue_lifetime = 9s\nbounce_queue_lifetime = 9s\n\
             delay_warning_time = 3s\n",
            port = next.port()
        );
        fs::write(etc.join("main.cf"), main).unwrap();
        let mut master = format!("{address} inet n - n - - smtpd\n");
        for (name, kind, private, wake, rest) in SERVICES {
            // Only local delivery writes as the mailbox's user, for which it begins as root.
            let unprivileged = if *name == "virtual" { "n" } else { "-" };
            writeln!(master, "{name} {kind} {private} {unprivileged} n {wake} {rest}").unwrap();
        }
        fs::write(etc.join("master.cf"), master).unwrap();
        // The Maildir is there before the first message, as an administrator would make it.
        let maildir = dir.path().join("mail/bounces");
        for folder in ["", "new", "cur", "tmp"] {
            fs::create_dir_all(maildir.join(folder)).unwrap();
            run(Command::new("chown").arg("nobody").arg(maildir.join(folder)));
        }
        run(Command::new("postfix").arg("-c").arg(&etc).arg("start"));
        let postfix = Self { address, maildir, etc, _dir: dir };
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "Postfix does not listen: {}", postfix.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        postfix
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.etc.parent().unwrap_or(Path::new("/")).join("maillog")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        let _ = Command::new("postfix").arg("-c").arg(&self.etc).arg("abort").output();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
