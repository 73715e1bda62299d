//! BIND with a signed root of its own: one server that is the authority for every zone, and a recursive one before it.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::{PATIENCE, address};

/// How a zone is signed, and what is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    Nsec,
    Nsec3,
    /// Its parent vouches for no key.
    Unsigned,
    /// Signed, and changed afterwards: each `genuine` became `tampered`.
    Tampered,
    /// The signatures ended yesterday.
    Expired,
    /// Its parent vouches for a key, and nothing is signed.
    Stripped,
    /// An algorithm that few validators know.
    Ed448,
}

pub struct Bind {
    pub authority: SocketAddr,
    pub recursive: SocketAddr,
    /// The root's key as a DNSKEY record, and as a DS record.
    pub dnskey: String,
    pub ds: String,
    _servers: [Server; 2],
    _dir: TempDir,
}

/// A server, stopped when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bind {
    /// Signs `zones`, which lie below `test.`, and serves them.
    pub fn start(zones: &[(&str, Signing, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut top = String::new();
        let mut names = vec![(".", "root".to_owned()), ("test.", "test".to_owned())];
        for (zone, signing, records) in zones {
            let ds = sign(dir.path(), zone, *signing, records).1;
            write!(top, "{zone} IN NS ns.{zone}\nns.{zone} IN A 127.0.0.1\n").unwrap();
            if *signing != Signing::Unsigned {
                top += &ds;
            }
            names.push((zone, zone.trim_end_matches('.').to_owned()));
        }
        let test = sign(dir.path(), "test.", Signing::Nsec, &top).1;
        let root = format!("test. IN NS ns.test.\nns.test. IN A 127.0.0.1\n{test}");
        let (dnskey, ds) = sign(dir.path(), ".", Signing::Nsec, &root);
        let mut served = String::new();
        for (zone, file) in &names {
            writeln!(served, "zone \"{zone}\" {{ type primary; file \"{file}.signed\"; }};").unwrap();
        }
        let (authority, recursive) = (address(), address());
        let forward =
            format!("recursion yes; forward only; forwarders {{ 127.0.0.1 port {}; }}; empty-zones-enable no;", authority.port());
        let servers = [
            named(dir.path(), "authority", authority, "recursion no;", &served),
            named(dir.path(), "recursive", recursive, &forward, ""),
        ];
        Self { authority, recursive, dnskey, ds, _servers: servers, _dir: dir }
    }
}

/// Signs one zone into `<zone>.signed` and returns its key as a DNSKEY and a DS record.
fn sign(dir: &Path, zone: &str, signing: Signing, records: &str) -> (String, String) {
    let file = if zone == "." { "root".to_owned() } else { zone.trim_end_matches('.').to_owned() };
    let algorithm = if signing == Signing::Ed448 { "ED448" } else { "ECDSAP256SHA256" };
    let key = tool(dir, "dnssec-keygen", &["-q", "-a", algorithm, "-f", "KSK", zone]).trim().to_owned();
    let dnskey = fs::read_to_string(dir.join(format!("{key}.key"))).unwrap();
    let dnskey = dnskey.lines().find(|line| !line.starts_with(';')).unwrap().to_owned();
    let ds = tool(dir, "dnssec-dsfromkey", &["-2", &key]);
    let own = if zone == "." { "ns.test." } else { &format!("ns.{zone}") };
    let mut text = format!("$TTL 300\n{zone} IN SOA {own} hostmaster.test. 1 3600 600 86400 60\n{zone} IN NS {own}\n");
    if zone != "." && zone != "test." {
        writeln!(text, "ns.{zone} IN A 127.0.0.1").unwrap();
    } else if zone == "test." {
        text += "ns.test. IN A 127.0.0.1\n";
    }
    text += records;
    let out = format!("{file}.signed");
    if matches!(signing, Signing::Unsigned | Signing::Stripped) {
        fs::write(dir.join(&out), text).unwrap();
        return (dnskey, ds);
    }
    writeln!(text, "\n{dnskey}").unwrap();
    fs::write(dir.join(&file), text).unwrap();
    let mut arguments = vec!["-q", "-P", "-z", "-O", "full", "-o", zone, "-f", &out];
    if signing == Signing::Nsec3 {
        arguments.extend(["-3", "-", "-H", "0"]);
    }
    if signing == Signing::Expired {
        arguments.extend(["-s", "now-30d", "-e", "now-1d"]);
    }
    arguments.extend([file.as_str(), key.as_str()]);
    tool(dir, "dnssec-signzone", &arguments);
    if signing == Signing::Tampered {
        let signed = fs::read_to_string(dir.join(&out)).unwrap();
        assert!(signed.contains("genuine"));
        fs::write(dir.join(&out), signed.replace("genuine", "tampered")).unwrap();
    }
    (dnskey, ds)
}

fn tool(dir: &Path, name: &str, arguments: &[&str]) -> String {
    let output = Command::new(name).current_dir(dir).args(arguments).output().unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(output.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Starts a server and waits until it serves.
fn named(dir: &Path, name: &str, listen: SocketAddr, options: &str, zones: &str) -> Server {
    let home = dir.display();
    let config = format!(
        "options {{ directory \"{home}\"; pid-file none; session-keyfile none; listen-on port {} {{ 127.0.0.1; }}; \
         listen-on-v6 {{ none; }}; dnssec-validation no; querylog no; {options} }};\ncontrols {{ }};\n{zones}",
        listen.port()
    );
    let (conf, log) = (dir.join(format!("{name}.conf")), dir.join(format!("{name}.log")));
    fs::write(&conf, config).unwrap();
    let child = Command::new("named")
        .args(["-g", "-n", "1", "-c"])
        .arg(&conf)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .expect("named is installed");
    let server = Server(child);
    let end = Instant::now() + PATIENCE;
    loop {
        let said = fs::read_to_string(&log).unwrap_or_default();
        if said.lines().any(|line| line.ends_with(" running")) {
            return server;
        }
        assert!(Instant::now() < end, "{name} does not serve: {said}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
