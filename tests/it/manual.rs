//! The administrators' documentation: every command that can run here runs, and the examples for other programs work with those programs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::Client;

use crate::process::Setup;
use crate::support::process::{address, program, wait};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = std::fs::read_dir(docs()).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|end| end == "md"));
    pages.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    pages.sort();
    pages
}

/// The fenced blocks of a page that begin with one of these words, with the line on which each begins.
fn blocks(text: &str, kind: &str) -> Vec<(usize, String)> {
    let (mut found, mut open): (Vec<(usize, String)>, Option<bool>) = (Vec::new(), None);
    for (at, line) in text.lines().enumerate() {
        match (open, line.strip_prefix("```")) {
            (None, Some(word)) => {
                open = Some(word.trim() == kind);
                if open == Some(true) {
                    found.push((at + 1, String::new()));
                }
            }
            (Some(_), Some(_)) => open = None,
            (Some(true), None) => {
                let block = &mut found.last_mut().unwrap().1;
                block.push_str(line);
                block.push('\n');
            }
            _ => {}
        }
    }
    found
}

#[tokio::test]
async fn every_command_of_the_manual_runs() {
    let mut ran = 0;
    for page in pages() {
        let blocks = blocks(&std::fs::read_to_string(&page).unwrap(), "sh");
        if blocks.is_empty() || page.ends_with("README.md") {
            continue;
        }
        let setup = Setup::new().await;
        let _daemon = setup.serve().await;
        let dir = setup.config.parent().unwrap().to_owned();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dcvd"), dir.join("dcvd")).unwrap();
        for (line, block) in blocks {
            let mut command = Command::new("bash");
            command.args(["-euo", "pipefail", "-c", &block]).current_dir(&dir).env_clear().stdin(Stdio::null());
            command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", dir.display()));
            command.env("BASE", &setup.base).env("TOKEN", &setup.world.token).env("HOME", &dir).env("RUST_BACKTRACE", "0");
            let told = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            let said = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
            assert!(told.status.success(), "{}:{line}:\n{block}\n{said}", page.display());
            ran += 1;
        }
    }
    assert!(ran >= 12, "{ran} blocks ran");
}

#[test]
fn what_cannot_run_here_is_at_least_well_formed() {
    for page in pages() {
        for (line, block) in blocks(&std::fs::read_to_string(&page).unwrap(), "sh host") {
            let told = Command::new("bash").args(["-n", "-c", &block]).output().unwrap();
            assert!(told.status.success(), "{}:{line}: {}", page.display(), String::from_utf8_lossy(&told.stderr));
            // Not what only says its version, nor what has no end.
            for command in block.lines().filter_map(|line| line.split("dcvd ").nth(1).filter(|_| is_command(line))) {
                let words: Vec<&str> = command
                    .split_whitespace()
                    .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
                    .collect();
                let words: Vec<&str> = words.into_iter().take_while(|word| !word.starts_with('-')).take(2).collect();
                let known = words.is_empty()
                    || (1..=words.len())
                        .rev()
                        .any(|some| program().args(&words[..some]).arg("--help").output().unwrap().status.success());
                assert!(known, "{}:{line}: dcvd {command}: there is no such command", page.display());
            }
        }
    }
}

/// Whether a line runs the program, and does not name a unit, a user or a package of the same name.
fn is_command(line: &str) -> bool {
    let line = line.trim_start();
    ["dcvd ", "sudo dcvd ", "sudo -u dcvd dcvd "].iter().any(|start| line.starts_with(start))
}

/// A server of somebody else's, ended when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// A daemon behind a proxy on `proxy`, with the status page on an address of its own, and a certificate for the proxy in its folder.
async fn behind(proxy: SocketAddr) -> (Setup, SocketAddr) {
    let (setup, admin) = (Setup::new().await, address());
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let text = text.replace("[server]\n", &format!("[server]\nadmin_listen = \"{admin}\"\ntrusted_proxies = [\"127.0.0.1\"]\n"));
    let text = text.replace(&format!("public_url = \"{}\"", setup.base), &format!("public_url = \"https://{proxy}\""));
    std::fs::write(&setup.config, format!("{text}\n[admin]\nsign_in = true\n")).unwrap();
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "dcv.example.net".to_owned()]).unwrap();
    let dir = setup.config.parent().unwrap();
    std::fs::write(dir.join("proxy.pem"), own.cert.pem()).unwrap();
    std::fs::write(dir.join("proxy.key"), own.signing_key.serialize_pem()).unwrap();
    (setup, admin)
}

/// Orders, approves and looks at the status page through the proxy.
async fn works_through(setup: &Setup, base: &str, host: &str) {
    let client = Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .resolve(host, base.trim_start_matches("https://").parse().unwrap())
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let port = base.rsplit(':').next().unwrap();
    let base = format!("https://{host}:{port}");
    wait("the proxy", async || {
        client.get(format!("{base}/static/style.css")).send().await.ok().filter(|answer| answer.status() == 200)
    })
    .await;
    setup.place("A-1").await;
    let mail = wait("the mail", async || setup.world.inbox.arrived().into_iter().next()).await;
    let link = mail.link().unwrap();
    let path = format!("/approve/{}", link.rsplit('/').next().unwrap());
    let answer = client.get(format!("{base}{path}")).header("x-forwarded-for", "203.0.113.9").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));
    let page = answer.text().await.unwrap();
    let nonce = page.split("name=\"nonce\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let body = format!("decision=approve&authority=yes&nonce={nonce}");
    let request = client.post(format!("{base}{path}")).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(request.header("x-forwarded-for", "203.0.113.9").body(body).send().await.unwrap().status(), 303);
    wait("the result", async || setup.world.webhooks.taken("order.completed").into_iter().next()).await;
    let request = setup.client.get(format!("{}/v1/orders?order_ref=A-1", setup.base)).bearer_auth(&setup.world.token);
    let orders: serde_json::Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
    let id = orders["orders"][0]["id"].as_str().unwrap();
    let request = setup.client.get(format!("{}/v1/orders/{id}/evidence", setup.base)).bearer_auth(&setup.world.token);
    let evidence = request.send().await.unwrap().text().await.unwrap();
    assert!(!evidence.contains("203.0.113.9") && evidence.contains("127.0.0.1"), "what a caller says of itself is not believed");
}

#[tokio::test]
async fn the_example_for_nginx_works() {
    let proxy = address();
    let (setup, admin) = behind(proxy).await;
    let _daemon = setup.serve().await;
    let dir = setup.config.parent().unwrap().to_owned();
    let example = std::fs::read_to_string(docs().join("nginx/dcvd.conf")).unwrap();
    let listen = setup.base.trim_start_matches("http://").to_owned();
    let mut ours = String::new();
    for line in example.lines() {
        let line = line.replace("127.0.0.1:8080", &listen).replace("127.0.0.1:8081", &admin.to_string());
        let line = line.replace("/var/log/nginx", dir.to_str().unwrap());
        let word = line.trim_start();
        // Its addresses and certificates are an administrator's own.
        let line = match word {
            _ if word.starts_with("ssl_certificate_key ") => format!("ssl_certificate_key {}/proxy.key;", dir.display()),
            _ if word.starts_with("ssl_certificate ") => format!("ssl_certificate {}/proxy.pem;", dir.display()),
            _ if word.starts_with("listen ") && word.contains("[::]") => String::new(),
            _ if word.starts_with("listen ") && word.contains("443") => format!("listen {proxy} ssl http2;"),
            _ if word.starts_with("listen ") => format!("listen {};", address()),
            _ => line,
        };
        ours.push_str(&line);
        ours.push('\n');
    }
    let run = dir.display();
    let around = format!(
        "pid {run}/nginx.pid;\nerror_log {run}/nginx.err;\nevents {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path {run}/body;\n\
         proxy_temp_path {run}/proxy;\nfastcgi_temp_path {run}/f;\nuwsgi_temp_path {run}/u;\nscgi_temp_path {run}/s;\n{ours}\n}}\n"
    );
    std::fs::write(dir.join("nginx.conf"), around).unwrap();
    let child = Command::new("nginx")
        .args(["-g", "daemon off;", "-c"])
        .arg(dir.join("nginx.conf"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _server = Server(child);
    works_through(&setup, &format!("https://{proxy}"), "dcv.example.net").await;
}

#[tokio::test]
async fn the_example_for_caddy_works() {
    let proxy = address();
    let (setup, admin) = behind(proxy).await;
    let _daemon = setup.serve().await;
    let dir = setup.config.parent().unwrap().to_owned();
    let example = std::fs::read_to_string(docs().join("caddy/Caddyfile")).unwrap();
    let listen = setup.base.trim_start_matches("http://").to_owned();
    let adapted = example.replace("127.0.0.1:8080", &listen).replace("127.0.0.1:8081", &admin.to_string());
    // It would fetch certificates; here it has its own authority, and ports of its own.
    let port = proxy.port();
    let adapted = adapted.replace("dcv.example.net {", &format!("dcv.example.net:{port} {{\n\ttls internal"));
    let adapted = adapted.replace("dcv-admin.example.net {", &format!("dcv-admin.example.net:{port} {{\n\ttls internal"));
    let more = format!(
        "{{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n\thttp_port {}\n\thttps_port {port}\n",
        address().port()
    );
    let adapted = adapted.replacen("{\n\tlog default", &format!("{more}\tlog default"), 1);
    std::fs::write(dir.join("Caddyfile"), adapted).unwrap();
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(dir.join("Caddyfile")).current_dir(&dir);
    command
        .env("HOME", &dir)
        .env("XDG_DATA_HOME", &dir)
        .env("XDG_CONFIG_HOME", &dir)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.join("caddy.log")).unwrap());
    let _server = Server(command.spawn().unwrap());
    works_through(&setup, &format!("https://{proxy}"), "dcv.example.net").await;
}

#[test]
fn the_dashboard_and_the_alerts_name_what_there_is() {
    let telemetry = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/telemetry.rs")).unwrap();
    let board = std::fs::read_to_string(docs().join("grafana/dcvd.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&board).expect("JSON");
    let rules = std::fs::read_to_string(docs().join("prometheus/dcvd.rules.yml")).unwrap();
    let mut names = 0;
    for text in [&board, &rules] {
        for (at, _) in text.match_indices("dcvd_") {
            let name: String = text[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            assert!(telemetry.contains(&format!("\"{base}\"")), "{name}: nothing of this name is counted");
            names += 1;
        }
    }
    assert!(names > 30, "{names}");
}

#[test]
fn the_example_for_postfix_is_one_that_postfix_takes() {
    let dir = tempfile::tempdir().unwrap();
    let main = std::fs::read_to_string(docs().join("postfix/main.cf")).unwrap();
    std::fs::write(dir.path().join("main.cf"), main).unwrap();
    let master = std::fs::read_to_string(docs().join("postfix/master.cf")).unwrap();
    std::fs::write(dir.path().join("master.cf"), master).unwrap();
    for list in ["-n", "-M"] {
        let told = Command::new("postconf").arg("-c").arg(dir.path()).arg(list).output().unwrap();
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.status.success() && said.is_empty() && !told.stdout.is_empty(), "{list}: {said}");
    }
}
