//! What an administrator does over the years: reload, hand sockets over, back up, restore, move.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use dcvd::store::copy::{CopyError, TABLES, copy, tables};
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::process::Setup;
use crate::support::app::TestApp;
use crate::support::log_watch::FILTER;
use crate::support::postgres;
use crate::support::process::{Daemon, PATIENCE, address, program, wait};

fn systemd() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

/// Each unit as it is, but with the program that was built.
fn units() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(systemd()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap().replace("/usr/bin/dcvd", env!("CARGO_BIN_EXE_dcvd"));
        std::fs::write(dir.path().join(path.file_name().unwrap()), text).unwrap();
    }
    dir
}

#[test]
fn the_units_are_well_formed_and_let_nothing_out() {
    let dir = units();
    for unit in ["dcvd.service", "dcvd.socket", "dcvd-backup.service", "dcvd-backup.timer"] {
        let told = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(dir.path().join(unit)).output().unwrap();
        let words = String::from_utf8_lossy(&told.stderr).into_owned();
        // Before systemd 253 there is no notify-reload; it says so and goes on.
        let ours: Vec<&str> = words.lines().filter(|line| line.contains("dcvd") && !line.contains("notify-reload")).collect();
        let ours: Vec<&str> = ours.into_iter().filter(|line| !line.contains("Failed to parse service type")).collect();
        assert!(told.status.success() && ours.is_empty(), "{unit}: {words}");
    }
    for unit in ["dcvd.service", "dcvd-backup.service"] {
        let told = Command::new("systemd-analyze")
            .args(["security", "--offline=yes", "--threshold=15"])
            .arg(systemd().join(unit))
            .output();
        let told = told.unwrap();
        assert!(told.status.success(), "{unit}: {}", String::from_utf8_lossy(&told.stdout));
    }
}

/// What a daemon says to systemd, line by line.
fn said(socket: &UnixDatagram) -> Vec<String> {
    let mut lines = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = socket.recv(&mut buffer) {
        lines.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
    }
    lines
}

#[tokio::test]
async fn systemd_hands_a_socket_over_and_hears_how_the_daemon_fares() {
    let setup = Setup::new().await;
    let listen = setup.base.trim_start_matches("http://").to_owned();
    let socket = setup.config.with_file_name("notify");
    let heard = UnixDatagram::bind(&socket).unwrap();
    heard.set_nonblocking(true).unwrap();
    // It opens the address itself and starts the daemon at the first connection.
    let mut activate = Command::new("systemd-socket-activate")
        .current_dir(setup.config.parent().unwrap())
        .env_clear()
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "400000")
        .args(["-E", "NOTIFY_SOCKET", "-E", "WATCHDOG_USEC", "-l", &listen, env!("CARGO_BIN_EXE_dcvd"), "serve", "--config"])
        .arg(&setup.config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ready = wait("the daemon behind the socket", async || {
        setup
            .client
            .get(format!("http://{listen}/readyz"))
            .timeout(PATIENCE)
            .send()
            .await
            .ok()
            .filter(|answer| answer.status() == 200)
    })
    .await;
    let told: Value = serde_json::from_str(&ready.text().await.unwrap()).unwrap();
    assert_eq!((&told["status"], &told["clock"], &told["queue"]), (&json!("ok"), &json!("ok"), &json!("ok")));
    let mut lines = Vec::new();
    wait("signs of life", async || {
        lines.extend(said(&heard));
        (lines.iter().filter(|line| *line == "WATCHDOG=1").count() >= 3).then_some(())
    })
    .await;
    assert!(lines.contains(&"READY=1".to_owned()), "{lines:?}");
    let pid = activate.id().to_string();
    let kill = |signal: &str| assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    kill("-HUP");
    wait("the reload", async || {
        lines.extend(said(&heard));
        let at = lines.iter().position(|line| line == "RELOADING=1")?;
        lines[at..].iter().any(|line| line.starts_with("MONOTONIC_USEC=")).then_some(())?;
        lines[at..].contains(&"READY=1".to_owned()).then_some(())
    })
    .await;
    kill("-TERM");
    wait("the end", async || activate.try_wait().unwrap()).await;
    lines.extend(said(&heard));
    assert!(lines.contains(&"STOPPING=1".to_owned()), "{lines:?}");
}

#[tokio::test]
async fn a_socket_for_another_address_stops_the_start() {
    let setup = Setup::new().await;
    let listen = address();
    let log = setup.config.with_file_name("activate.log");
    let mut activate = Command::new("systemd-socket-activate")
        .current_dir(setup.config.parent().unwrap())
        .env_clear()
        .args(["-l", &listen.to_string(), env!("CARGO_BIN_EXE_dcvd"), "serve", "--config"])
        .arg(&setup.config)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    wait("a connection", async || std::net::TcpStream::connect(listen).ok()).await;
    let ended = wait("the end", async || activate.try_wait().unwrap()).await;
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(!ended.success() && said.contains("neither server.listen nor server.admin_listen"), "{said}");
}

#[tokio::test]
async fn a_reload_puts_everything_in_force_or_nothing() {
    let setup = Setup::new().await;
    let dir = setup.config.parent().unwrap().to_owned();
    let daemon = setup.serve().await;
    let hang_up = || assert!(Command::new("kill").args(["-HUP", &daemon.child.id().to_string()]).status().unwrap().success());
    let order = async |token: &str, order_ref: &str, profile: &str| {
        let body = json!({"order_ref": order_ref, "names": ["www.sample-shop.co.jp"], "approvers": ["admin@sample-shop.co.jp"], "profile": profile});
        let request = setup.client.post(format!("{}/v1/orders", setup.base)).bearer_auth(token);
        request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap().status().as_u16()
    };
    let token = setup.world.token.as_str();
    assert_eq!(order(token, "A-1", "quick").await, 422, "there is no such profile");
    // Another profile, another client, another wording.
    std::fs::write(dir.join("profiles/quick.toml"), "extends = \"standard\"\ntitle_en = \"Quick\"\n").unwrap();
    std::fs::create_dir_all(dir.join("templates/mail")).unwrap();
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let hash = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(b"another-token-of-the-tests"));
    let more = format!("template_dir = \"templates\"\n{text}\n[[clients]]\nname = \"second\"\ntoken_sha256 = \"{hash}\"\n");
    std::fs::write(&setup.config, &more).unwrap();
    hang_up();
    wait("the new profile", async || (order(token, "A-2", "quick").await == 201).then_some(())).await;
    assert_eq!(order("another-token-of-the-tests", "B-1", "standard").await, 201);
    // What cannot be read leaves all of it as it was, whichever part it is.
    for (file, bad) in [
        (setup.config.clone(), format!("{more}\n[nonsense]\nkey = 1\n")),
        (dir.join("profiles/quick.toml"), "extends = \"nobody\"\n".to_owned()),
        (dir.join("templates/mail/approval.en.html"), "{% nonsense %}".to_owned()),
    ] {
        let good = std::fs::read_to_string(&file).ok();
        std::fs::write(&file, bad).unwrap();
        let told = |log: &str| log.matches("the configuration in force stays as it was").count();
        let before = told(&std::fs::read_to_string(&daemon.log).unwrap());
        hang_up();
        wait("the complaint", async || (told(&std::fs::read_to_string(&daemon.log).unwrap()) > before).then_some(())).await;
        let again = format!("A-{}", file.display().to_string().len());
        assert_eq!(order("another-token-of-the-tests", &again, "quick").await, 201);
        match good {
            Some(good) => std::fs::write(&file, good).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
    }
    // A client that is gone is nobody.
    std::fs::write(&setup.config, text).unwrap();
    hang_up();
    wait("the client's end", async || (order("another-token-of-the-tests", "B-9", "standard").await == 401).then_some(())).await;
    // The workers of before have handed over to those of now, and every mail went.
    wait("the mails", async || (setup.world.inbox.arrived().len() >= 5).then_some(())).await;
}

#[tokio::test]
async fn tls_of_its_own_with_http_2_and_another_certificate_on_reload() {
    let setup = Setup::new().await;
    let dir = setup.config.parent().unwrap().to_owned();
    let certificate = || {
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(dir.join("server.pem"), own.cert.pem()).unwrap();
        std::fs::write(dir.join("server.key"), own.signing_key.serialize_pem()).unwrap();
        own.cert.pem()
    };
    let first = certificate();
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let text = text.replace("[server]\n", "[server]\ntls_cert_file = \"server.pem\"\ntls_key_file = \"server.key\"\n");
    std::fs::write(&setup.config, text).unwrap();
    let base = setup.base.replace("http://", "https://");
    let log = setup.config.with_extension("log");
    let mut command = program();
    command.current_dir(&dir).args(["serve", "--config"]).arg(&setup.config).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    let daemon = Daemon { child: command.spawn().unwrap(), log };
    let trusting = |pem: &str| {
        let pem = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        Client::builder().no_proxy().tls_certs_only([pem]).build().unwrap()
    };
    let reads =
        async |pem: &str| trusting(pem).get(format!("{base}/healthz")).send().await.is_ok_and(|answer| answer.status() == 200);
    wait("the daemon", async || reads(&first).await.then_some(())).await;
    assert!(setup.client.get(format!("{}/healthz", setup.base)).send().await.is_err(), "nothing without TLS");
    let told = Command::new("curl")
        .args(["-sS", "--http2", "-o", "/dev/null", "-w", "%{http_version}", "--cacert"])
        .arg(dir.join("server.pem"))
        .arg(format!("{base}/healthz"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stdout), "2", "{}", String::from_utf8_lossy(&told.stderr));
    // HTTP/2 names its host elsewhere; the page must know it all the same.
    let told = Command::new("curl")
        .args(["-sS", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", "--cacert"])
        .arg(dir.join("server.pem"))
        .arg(format!("{base}/admin"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stdout), "2 200", "{}", String::from_utf8_lossy(&told.stderr));
    let second = certificate();
    assert!(Command::new("kill").args(["-HUP", &daemon.child.id().to_string()]).status().unwrap().success());
    wait("the other certificate", async || reads(&second).await.then_some(())).await;
    assert!(!reads(&first).await);
}

/// Some orders in every state, with what belongs to them.
async fn filled(app: &TestApp) -> Value {
    let order = app
        .place(&json!({"order_ref": "A-1", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"],
            "applicant": {"organization": "見本商店 ≠ 株式会社"}, "metadata": {"x": "\u{1f600}"}}))
        .await;
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    for n in 0..3 {
        app.place_plain(&format!("B-{n}")).await;
    }
    app.run_jobs().await;
    app.clock.advance(Duration::from_secs(200));
    app.run_jobs().await;
    order
}

#[tokio::test]
async fn a_database_moves_to_the_other_kind_and_back_row_by_row() {
    let app = TestApp::sqlite().await;
    filled(&app).await;
    assert_eq!(sorted(tables(&app.url).await.unwrap()), sorted(TABLES.map(str::to_owned).to_vec()), "no table is forgotten");
    let there = postgres::database().await;
    let told = program().args(["migrate", "--from", &app.url, "--to", &there]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&told.stdout).into_owned(), String::from_utf8_lossy(&told.stderr).into_owned());
    assert!(told.status.success() && out.contains("rows copied and compared; the audit log is whole"), "{out}{err}");
    // Into what holds rows nothing is copied.
    assert!(matches!(copy(&app.url, &there, &mut |_, _| ()).await, Err(CopyError::NotEmpty("profile_versions"))));
    let dir = tempfile::tempdir().unwrap();
    let back = format!("sqlite://{}/back.db", dir.path().display());
    let rows = copy(&there, &back, &mut |_, _| ()).await.unwrap();
    assert!(out.starts_with(&format!("{rows} rows")), "{out}");
    // And once more to the other kind, which compares every row with the first.
    let third = postgres::database().await;
    assert_eq!(copy(&back, &third, &mut |_, _| ()).await.unwrap(), rows);
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[tokio::test]
async fn what_was_backed_up_while_it_ran_comes_back_on_sqlite() {
    let setup = Setup::new().await;
    let elsewhere = format!("sqlite://{}", setup.config.with_file_name("elsewhere.db").display());
    back_up_and_restore(setup, &elsewhere).await;
}

#[tokio::test]
async fn what_was_backed_up_while_it_ran_comes_back_on_postgres() {
    let setup = Setup::on(Some(postgres::database().await)).await;
    back_up_and_restore(setup, &postgres::database().await).await;
}

async fn back_up_and_restore(setup: Setup, elsewhere: &str) {
    let mut daemon = setup.serve().await;
    let order = setup.place("A-1").await;
    let mail = wait("the mail", async || setup.world.inbox.arrived().into_iter().next()).await;
    let dir = setup.config.with_file_name("backups");
    let dcvd = |arguments: &[&str], database: Option<&str>| {
        let mut command = program();
        command.current_dir(setup.config.parent().unwrap()).args(arguments).arg("--config").arg(&setup.config);
        command.envs(database.or(setup.database()).map(|url| ("DCVD__DATABASE__URL", url)));
        let told = command.output().unwrap();
        (
            told.status.success(),
            String::from_utf8_lossy(&told.stdout).into_owned(),
            String::from_utf8_lossy(&told.stderr).into_owned(),
        )
    };
    let mut files = Vec::new();
    for _ in 0..3 {
        let (done, out, err) = dcvd(&["backup", dir.to_str().unwrap(), "--keep", "2"], None);
        assert!(done, "{err}");
        files.push(PathBuf::from(out.trim()));
        // Names are told apart by the second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    assert_eq!(files.iter().map(|file| file.exists()).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "no part is left behind");
    // What comes after the backup is not in it.
    setup.place("A-2").await;
    daemon.kill();
    let last = files.last().unwrap().to_str().unwrap();
    let (done, out, err) = dcvd(&["restore", last], Some(elsewhere));
    assert!(done && out.contains("the audit log is whole"), "{out}{err}");
    let (done, _, err) = dcvd(&["restore", last], Some(elsewhere));
    assert!(!done && err.contains("not empty"), "{err}");
    let damaged = dir.join("dcvd-damaged.backup.db");
    let mut bytes = std::fs::read(last).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xff);
    std::fs::write(&damaged, bytes).unwrap();
    let fresh = format!("sqlite://{}", setup.config.with_file_name("fresh.db").display());
    let (done, _, err) = dcvd(&["restore", damaged.to_str().unwrap()], Some(&fresh));
    assert!(!done, "{err}");
    // The link of before is good in what was restored, since its key came along.
    let _daemon = Daemon::start(&setup.config, &setup.base, Some(elsewhere)).await;
    let get = async |path: &str| {
        let answer = setup.client.get(format!("{}{path}", setup.base)).bearer_auth(&setup.world.token).send().await.unwrap();
        serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()
    };
    assert_eq!(get("/v1/orders").await["orders"].as_array().unwrap().len(), 1);
    assert_eq!(setup.approve(&mail.link().unwrap()).await, 303);
    assert_eq!(get(&format!("/v1/orders/{}", order["id"].as_str().unwrap())).await["state"], "completed");
}

#[tokio::test]
async fn a_clock_that_went_back_and_a_queue_that_is_late_are_told() {
    let app = TestApp::sqlite().await;
    let ready = async || {
        let answer = app.client.get(format!("{}/readyz", app.base)).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    assert_eq!(ready().await.0, 200);
    app.place_plain("A-1").await;
    app.clock.advance(Duration::from_secs(16 * 60));
    let (status, told) = ready().await;
    assert_eq!((status, &told["queue"], &told["queue_age_seconds"]), (200, &json!("late"), &json!(960)));
    app.clock.go_back(Duration::from_secs(3600));
    let (status, told) = ready().await;
    assert_eq!((status, &told["clock"]), (503, &json!("behind")));
}

#[tokio::test]
async fn what_is_counted_is_told_and_a_request_is_followed_to_its_mail() {
    let setup = Setup::new().await;
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let text = text.replace(&format!("filter = \"{FILTER}\""), "filter = \"info\"\nformat = \"json\"");
    std::fs::write(&setup.config, text).unwrap();
    let daemon = setup.serve().await;
    let body = json!({"order_ref": "A-1", "names": ["www.sample-shop.co.jp"], "approvers": ["admin@sample-shop.co.jp"]});
    let request = setup.client.post(format!("{}/v1/orders", setup.base)).bearer_auth(&setup.world.token);
    let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    wait("the mail", async || setup.world.inbox.arrived().into_iter().next()).await;
    wait("the mail's end", async || setup.world.webhooks.taken("mail.sent").into_iter().next()).await;
    let lines: Vec<Value> =
        std::fs::read_to_string(&daemon.log).unwrap().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of =
        |span: &str, field: &str| lines.iter().any(|line| line["span"]["name"] == span && line["span"][field] == id.as_str());
    assert!(of("request", "id") && of("effect", "request"), "{lines:#?}");
    let metrics = setup.client.get(format!("{}/metrics", setup.base)).send().await.unwrap().text().await.unwrap();
    for wanted in [
        "dcvd_http_request_duration_seconds_bucket{route=\"/v1/orders\",method=\"POST\",status=\"201\",le=\"0.25\"} 1",
        "dcvd_events_total{type=\"order.created\"} 1",
        "dcvd_attempts_total{kind=\"mail\",outcome=\"done\"} 1",
        "dcvd_queue_length{kind=\"mail\"} 0",
        "dcvd_queue_given_up{kind=\"webhook\"} 0",
        "dcvd_orders_open 1",
        "dcvd_link_key_age_seconds ",
        "dcvd_rules_age_seconds ",
        "dcvd_commit_duration_seconds_count ",
        "br=\"2.2.6\"",
    ] {
        assert!(metrics.contains(wanted), "{wanted}: {metrics}");
    }
    assert!(!metrics.contains("sample-shop"), "nothing personal");
}

#[tokio::test]
async fn rows_are_written_for_other_programs() {
    let setup = Setup::new().await;
    let mut daemon = setup.serve().await;
    let order = setup.place("A-1").await;
    setup.place("=A-2").await;
    assert!(daemon.terminate().await);
    let export = |arguments: &[&str]| {
        let mut command = program();
        command.current_dir(setup.config.parent().unwrap()).arg("export").args(arguments).arg("--config").arg(&setup.config);
        let told = command.output().unwrap();
        (
            told.status.code(),
            String::from_utf8_lossy(&told.stdout).into_owned(),
            String::from_utf8_lossy(&told.stderr).into_owned(),
        )
    };
    let (code, out, err) = export(&["--rows", "orders"]);
    assert_eq!((code, out.lines().count()), (Some(0), 2), "{err}");
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["order_id"], &last["recipients"]), (&order["id"], &json!("admin@sample-shop.co.jp")));
    let (_, out, _) = export(&["--rows", "orders", "--where", "order_ref=A-1", "--masked"]);
    assert!(out.lines().count() == 1 && !out.contains("admin@"), "{out}");
    let (_, out, _) = export(&["--rows", "orders", "--format", "csv", "--spreadsheet"]);
    assert!(out.starts_with('\u{feff}') && out.contains("'=A-2"), "{out}");
    assert_eq!(export(&["--rows", "orders", "--where", "nonsense=1"]).0, Some(1));
    assert_eq!(export(&["--rows", "nonsense"]).0, Some(2));
}

#[tokio::test]
async fn a_newer_schema_leaves_the_running_daemon_at_work_and_starts_no_older_one() {
    let setup = Setup::on(Some(postgres::database().await)).await;
    let mut daemon = setup.serve().await;
    setup.place("A-1").await;
    // What a newer version does first when it comes beside this one: it adds.
    let mut conn = sqlx::PgConnection::connect(setup.database().unwrap()).await.unwrap();
    for sql in [
        "ALTER TABLE orders ADD COLUMN of_tomorrow TEXT",
        "CREATE TABLE of_tomorrow (id BYTEA NOT NULL PRIMARY KEY)",
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'tomorrow', true, '', 0)",
    ] {
        sqlx::query(sql).execute(&mut conn).await.unwrap();
    }
    setup.place("A-2").await;
    let mail = wait("both mails", async || setup.world.inbox.arrived().get(1).cloned()).await;
    assert_eq!(setup.approve(&mail.link().unwrap()).await, 303);
    wait("the result", async || setup.world.webhooks.taken("order.completed").into_iter().next()).await;
    assert!(daemon.terminate().await);
    for migrate in ["true", "false"] {
        let mut command = program();
        command.current_dir(setup.config.parent().unwrap()).args(["serve", "--config"]).arg(&setup.config);
        command.env("DCVD__DATABASE__URL", setup.database().unwrap()).env("DCVD__DATABASE__MIGRATE", migrate);
        let told = command.output().unwrap();
        let words = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.status.code() == Some(1) && words.contains("schema is not this build's"), "{words}");
    }
}

#[tokio::test]
async fn link_keys_change_over_without_a_gap() {
    let setup = Setup::new().await;
    let dir = setup.config.parent().unwrap().to_owned();
    for key in ["old.key", "new.key"] {
        let made = program().args(["key", "new"]).output().unwrap();
        std::fs::write(dir.join(key), made.stdout).unwrap();
    }
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let keys = |keys: &str| std::fs::write(&setup.config, format!("{text}\n[link]\nkey_files = [{keys}]\n")).unwrap();
    keys("\"old.key\"");
    let daemon = setup.serve().await;
    let reloads = async || {
        let metrics = setup.client.get(format!("{}/metrics", setup.base)).send().await.unwrap().text().await.unwrap();
        metrics
            .lines()
            .find_map(|line| line.strip_prefix("dcvd_reloads_total{outcome=\"done\"} ")?.parse::<u32>().ok())
            .unwrap_or(0)
    };
    let reload = async |wanted: u32| {
        assert!(Command::new("kill").args(["-HUP", &daemon.child.id().to_string()]).status().unwrap().success());
        wait("the reload", async || (reloads().await == wanted).then_some(())).await;
    };
    let link = async |order_ref: &str, number: usize| {
        setup.place(order_ref).await;
        let links = || setup.world.inbox.arrived().iter().filter_map(dcvd::demo::smtp::Arrived::link).collect::<Vec<_>>();
        wait("the mail", async || links().get(number).cloned()).await
    };
    let (first, second) = (link("A-1", 0).await, link("A-2", 1).await);
    keys("\"new.key\", \"old.key\"");
    reload(1).await;
    let third = link("A-3", 2).await;
    assert_eq!((setup.approve(&first).await, setup.approve(&third).await), (303, 303), "of either key");
    keys("\"new.key\"");
    reload(2).await;
    assert_eq!(setup.client.get(&second).send().await.unwrap().status(), 404, "a key that is gone opens nothing");
    assert_eq!(setup.approve(&link("A-4", 3).await).await, 303);
}
