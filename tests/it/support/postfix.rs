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

/// What a relay does besides handing on mail for one domain.
#[derive(Default)]
pub struct Extras<'e> {
    /// A mailbox of its own: its address.
    pub mailbox: Option<&'e str>,
    /// Another address of somebody's: from, to.
    pub alias: Option<(&'e str, &'e str)>,
    /// TLS alone, by STARTTLS on its address and from the first byte on `implicit`.
    pub tls: bool,
    /// Settings of its own, as lines of main.cf.
    pub settings: &'e str,
}

pub struct Postfix {
    pub address: SocketAddr,
    /// Where TLS begins with the first byte, if at all.
    pub implicit: SocketAddr,
    /// The certificate, for whoever wants to believe it.
    pub certificate: PathBuf,
    /// Where the mailbox's messages are.
    pub mailbox: PathBuf,
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
    pub fn with(domain: &str, next: SocketAddr, extras: &Extras<'_>) -> Self {
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
        let (address, implicit) = (address(), address());
        let (own_domain, own_box) = extras.mailbox.map_or_else(Default::default, |address| {
            (format!(", {}", address.split('@').next_back().unwrap()), format!(", {{{address} = people/}}"))
        });
        let alias =
            extras.alias.map_or_else(String::new, |(from, to)| format!("virtual_alias_maps = inline:{{ {{{from} = {to}}} }}\n"));
        let certificate = etc.join("cert.pem");
        let tls = if extras.tls { tls(&etc, &certificate) } else { String::new() };
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {home}/queue\ndata_directory = {home}/data\nmeta_directory = /etc/postfix\n\
             daemon_directory = /usr/lib/postfix/sbin\ncommand_directory = /usr/sbin\nmail_owner = postfix\nsetgid_group = postdrop\n\
             maillog_file = {home}/maillog\nmaillog_file_prefixes = {home}, /var\nmyhostname = mx.test\nmydestination =\nalias_maps =\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\nrecipient_delimiter = +\n\
             virtual_mailbox_domains = bounces.test{own_domain}\nvirtual_mailbox_base = {home}/mail\n\
             virtual_mailbox_maps = inline:{{ {{bounces@bounces.test = bounces/}}{own_box} }}\nvirtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\n\
             smtpd_relay_restrictions = permit_mynetworks, reject\ntransport_maps = inline:{{ {{{domain} = smtp:[127.0.0.1]:{port}}} }}\n\
             default_transport = error:5.4.4 no route off this host\ndisable_dns_lookups = yes\nsmtputf8_enable = yes\n\
             queue_run_delay = 2s\nminimal_backoff_time = 2s\nmaximal_backoff_time = 2s\nmaximal_queue_lifetime = 9s\nbounce_queue_lifetime = 9s\n\
             delay_warning_time = 3s\n{alias}{tls}{settings}\n",
            settings = extras.settings,
            port = next.port()
        );
        fs::write(etc.join("main.cf"), main).unwrap();
        let mut master = format!("{address} inet n - n - - smtpd\n");
        if extras.tls {
            writeln!(master, "{implicit} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes").unwrap();
        }
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
        let mailbox = dir.path().join("mail/people");
        let postfix = Self { address, implicit, certificate, mailbox, maildir, etc, _dir: dir };
        postfix.listens();
        postfix
    }

    /// Waits until it takes connections.
    fn listens(&self) {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < end, "Postfix does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Takes a line out of its configuration, for when it starts again.
    pub fn drop_setting(&self, setting: &str) {
        let path = self.etc.join("main.cf");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(setting));
        fs::write(&path, text.replace(setting, "")).unwrap();
    }

    pub fn stop(&self) {
        run(Command::new("timeout").args(["20", "postfix", "-c"]).arg(&self.etc).arg("stop"));
    }

    pub fn start_again(&self) {
        run(Command::new("postfix").arg("-c").arg(&self.etc).arg("start"));
        self.listens();
    }

    /// What is in its own mailbox.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        let files = fs::read_dir(self.mailbox.join("new")).into_iter().flatten();
        files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
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

/// Makes a certificate for 127.0.0.1 and says how Postfix uses it.
fn tls(etc: &Path, certificate: &Path) -> String {
    let key = etc.join("key.pem");
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args([
            "-subj",
            "/CN=relay.test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(certificate));
    format!(
        "smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n",
        certificate.display(),
        key.display()
    )
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
