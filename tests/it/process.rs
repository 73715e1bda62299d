//! The built program: serving, stopping, being killed, and refusing a bad configuration.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use dcvd::demo::World;
use dcvd::demo::smtp::Reply;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::log_watch::FILTER;
use crate::support::postgres;
use crate::support::process::{Daemon, address, program, run, wait};

pub struct Setup {
    pub world: World,
    pub config: PathBuf,
    pub base: String,
    pub client: Client,
    database: Option<String>,
    _dir: tempfile::TempDir,
}

impl Setup {
    pub async fn new() -> Self {
        Self::on(None).await
    }

    /// The database, where it is not the configured one.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    pub async fn on(database: Option<String>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let world = World::start().await.unwrap();
        let listen = address();
        world.configure(dir.path(), listen).unwrap();
        let config = dir.path().join("dcvd.toml");
        // Leases that end soon, so that a killed worker's effect is taken over within the test's patience.
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text.replace("filter = \"warn,hickory_server=error\"", &format!("filter = \"{FILTER}\""));
        std::fs::write(&config, format!("{text}\n[jobs]\nlease = \"2s\"\npoll = \"50ms\"\n")).unwrap();
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { world, config, base: format!("http://{listen}"), client, database, _dir: dir }
    }

    pub async fn serve(&self) -> Daemon {
        Daemon::start(&self.config, &self.base, self.database.as_deref()).await
    }

    pub async fn place(&self, order_ref: &str) -> Value {
        self.place_at(&self.base, order_ref).await
    }

    /// Places an order at one of several daemons.
    pub async fn place_at(&self, base: &str, order_ref: &str) -> Value {
        let body = json!({"order_ref": order_ref, "names": ["www.sample-shop.co.jp"], "approvers": ["admin@sample-shop.co.jp"]});
        let request = self.client.post(format!("{base}/v1/orders")).bearer_auth(&self.world.token);
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    pub async fn approve(&self, link: &str) -> u16 {
        self.try_approve(link).await.unwrap()
    }

    /// As [`approve`](Self::approve); none where the daemon is dead, or the page has no button any more.
    pub async fn try_approve(&self, link: &str) -> Option<u16> {
        let nonce = self.nonce(link).await?;
        Some(self.press(link, &nonce).await?.status().as_u16())
    }

    /// The nonce of a link's page; none where the daemon is dead, or the page has no button any more.
    pub async fn nonce(&self, link: &str) -> Option<String> {
        let page = self.client.get(link).send().await.ok()?.text().await.ok()?;
        let nonce = page.split("name=\"nonce\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        nonce.map(str::to_owned)
    }

    /// Presses the button that approves; none where the daemon is dead, or died of it.
    pub async fn press(&self, link: &str, nonce: &str) -> Option<Response> {
        let form = [("decision", "approve"), ("authority", "yes"), ("nonce", nonce)];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(link).header("content-type", "application/x-www-form-urlencoded");
        request.body(body).send().await.ok()
    }
}

#[tokio::test]
async fn killed_between_commit_and_effect_nothing_is_lost_on_sqlite() {
    killed_between_commit_and_effect(Setup::new().await).await;
}

#[tokio::test]
async fn killed_between_commit_and_effect_nothing_is_lost_on_postgres() {
    killed_between_commit_and_effect(Setup::on(Some(postgres::database().await)).await).await;
}

async fn killed_between_commit_and_effect(setup: Setup) {
    // The relay refuses for now, so the mail is committed and not handed over when the daemon is killed.
    setup.world.inbox.answer_with(Reply::RefuseData("451 4.3.0 later".to_owned()));
    setup.world.webhooks.answer_with(503);
    let mut daemon = setup.serve().await;
    setup.place("A-1").await;
    wait("an attempt at the webhook", async || setup.world.webhooks.received().into_iter().next()).await;
    daemon.kill();
    assert!(setup.world.inbox.arrived().is_empty());
    setup.world.inbox.answer_with(Reply::Take);
    setup.world.webhooks.answer_with(200);
    let mut daemon = setup.serve().await;
    let mail = wait("the mail", async || setup.world.inbox.arrived().into_iter().next()).await;
    // The key made at the first start is kept: the link of before the kill is good.
    assert_eq!(setup.approve(&mail.link().unwrap()).await, 303);
    daemon.kill();
    let _daemon = setup.serve().await;
    let hook = wait("the result", async || setup.world.webhooks.taken("validation.approved").into_iter().next()).await;
    assert!(hook.verified);
    wait("the end", async || setup.world.webhooks.taken("order.completed").into_iter().next()).await;
    let ids = |kind: &str| {
        let mut ids: Vec<_> =
            setup.world.webhooks.received().into_iter().filter(|one| one.kind() == kind).map(|one| one.id).collect();
        ids.dedup();
        ids.len()
    };
    for kind in ["order.created", "mail.sent", "validation.approved", "order.completed"] {
        assert_eq!(ids(kind), 1, "{kind} has one id however often it was sent");
    }
}

#[tokio::test]
async fn sigterm_ends_the_work_in_hand_and_nothing_is_lost() {
    let setup = Setup::new().await;
    let mut daemon = setup.serve().await;
    // Each mail takes a while, so that the signal comes with some in hand and some waiting.
    setup.world.inbox.answer_with(Reply::TakeAfter(Duration::from_millis(300)));
    for n in 0..20 {
        setup.place(&format!("A-{n}")).await;
    }
    assert!(daemon.terminate().await, "a good end");
    let before = setup.world.inbox.arrived().len();
    assert!(before < 20, "the signal came too late to show anything");
    let _daemon = setup.serve().await;
    wait("the rest of the mails", async || (setup.world.inbox.arrived().len() >= 20).then_some(())).await;
    let mut to: Vec<_> = setup.world.inbox.arrived().iter().map(|mail| mail.link().unwrap()).collect();
    to.sort();
    to.dedup();
    assert_eq!(to.len(), 20, "{before} were sent before the end");
    assert_eq!(setup.world.inbox.arrived().len(), 20, "a good end leaves no mail half-recorded");
}

#[tokio::test]
async fn no_secret_and_no_address_is_logged() {
    let setup = Setup::new().await;
    let text = std::fs::read_to_string(&setup.config)
        .unwrap()
        .replace(&format!("filter = \"{FILTER}\""), "filter = \"debug,hickory_net=error,hickory_server=error\"");
    std::fs::write(&setup.config, text).unwrap();
    let mut daemon = setup.serve().await;
    setup.place("A-1").await;
    let mail = wait("the mail", async || setup.world.inbox.arrived().into_iter().next()).await;
    let link = mail.link().unwrap();
    assert_eq!(setup.approve(&link).await, 303);
    wait("the result", async || setup.world.webhooks.taken("order.completed").into_iter().next()).await;
    assert!(daemon.terminate().await);
    let log = std::fs::read_to_string(&daemon.log).unwrap();
    assert!(log.contains("/approve/{token}"), "requests are logged by their matched path");
    let token = link.rsplit('/').next().unwrap();
    for secret in [token, &setup.world.token, setup.world.secret.trim_start_matches("whsec_"), "admin@sample-shop.co.jp"] {
        assert!(!log.contains(secret), "the log holds {secret}");
    }
}

#[tokio::test]
async fn traces_go_to_a_collector_and_tell_nothing_of_people() {
    let setup = Setup::new().await;
    let gathered = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let into = Arc::clone(&gathered);
    let take = post(|body: Bytes| async move { into.lock().unwrap().extend_from_slice(&body) });
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", take)).await });
    let text = std::fs::read_to_string(&setup.config).unwrap();
    std::fs::write(&setup.config, text.replace("[log]\n", &format!("[log]\notlp_endpoint = \"{collector}\"\n"))).unwrap();
    let mut daemon = setup.serve().await;
    setup.place("A-1").await;
    let mail = wait("the mail", async || setup.world.inbox.arrived().into_iter().next()).await;
    let link = mail.link().unwrap();
    assert_eq!(setup.approve(&link).await, 303);
    wait("the result", async || setup.world.webhooks.taken("order.completed").into_iter().next()).await;
    assert!(daemon.terminate().await);
    let traces = String::from_utf8_lossy(&gathered.lock().unwrap()).into_owned();
    for told in ["request", "effect", "place_order", "service.version", "outcome"] {
        assert!(traces.contains(told), "{told}: {traces}");
    }
    for secret in [link.rsplit('/').next().unwrap(), &setup.world.token, "admin@sample-shop.co.jp"] {
        assert!(!traces.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn the_status_page_can_have_an_address_of_its_own_beside_a_proxy() {
    let setup = Setup::new().await;
    let admin = address();
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let text = text.replace("[server]\n", &format!("[server]\nadmin_listen = \"{admin}\"\ntrusted_proxies = [\"127.0.0.1\"]\n"));
    std::fs::write(&setup.config, text).unwrap();
    let _daemon = setup.serve().await;
    let status = async |url: String| setup.client.get(url).send().await.unwrap().status().as_u16();
    assert_eq!(status(format!("{}/admin", setup.base)).await, 404);
    assert_eq!(status(format!("http://{admin}/admin")).await, 200);
    assert_eq!(status(format!("http://{admin}/v1/orders")).await, 404, "and nothing else is there");
}

#[tokio::test]
async fn the_lists_are_read_again_on_sighup_and_a_bad_file_leaves_them_as_they_were() {
    let setup = Setup::new().await;
    let hold = setup.config.with_file_name("hold.toml");
    let psl = setup.config.with_file_name("list.dat");
    std::fs::write(&hold, "\"example.jp\" = \"phished\"\n").unwrap();
    let list = |rules: &str| {
        format!("// VERSION: 2026-11-01_00-00-00_UTC\n// ===BEGIN ICANN DOMAINS===\n{rules}\n// ===END ICANN DOMAINS===\n")
    };
    std::fs::write(&psl, list("jp\nco.jp")).unwrap();
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let head = format!("psl_file = \"{}\"\n", psl.display());
    std::fs::write(&setup.config, format!("{head}{text}\n[policy]\nhold = \"{}\"\n", hold.display())).unwrap();
    let daemon = setup.serve().await;
    let metrics = async || setup.client.get(format!("{}/metrics", setup.base)).send().await.unwrap().text().await.unwrap();
    let hangup = || daemon.signal("-HUP");
    let text = metrics().await;
    assert!(text.contains("dcvd_policy_entries{list=\"hold\"} 1"), "{text}");
    let age = text.lines().find_map(|line| line.strip_prefix("dcvd_public_suffix_list_age_seconds ")).unwrap();
    assert!(age.parse::<f64>().unwrap() > 21.0 * 86_400.0, "{age}");
    std::fs::write(&hold, "\"example.jp\" = \"phished\"\n\"example.com\" = \"a bank\"\n").unwrap();
    std::fs::write(&psl, list("jp\nco.jp\nsample-shop.jp")).unwrap();
    hangup();
    wait("reading the lists again", async || metrics().await.contains("{list=\"hold\"} 2").then_some(())).await;
    let url = format!("{}/v1/approvers?name=sample-shop.jp", setup.base);
    let answer = setup.client.get(url).bearer_auth(&setup.world.token).send().await.unwrap();
    assert!(answer.text().await.unwrap().contains("public-suffix"));
    std::fs::write(&hold, "\"example.jp\" = \"\"\n").unwrap();
    hangup();
    wait("the complaint", async || std::fs::read_to_string(&daemon.log).unwrap().contains("stays as it was").then_some(())).await;
    assert!(metrics().await.contains("{list=\"hold\"} 2"));
}

#[test]
fn the_demos_script_runs_through() {
    let output = run(&["demo", "--script"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("6. webhook verified"), "{said}");
}

#[test]
fn a_bad_configuration_is_refused_with_the_keys_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dcvd.toml");
    for (text, key) in [
        ("[server]\nlisten_on = \"x\"\n", "server.listen_on"),
        ("[smtp]\nfrom = 5\n", "smtp.from"),
        ("[smtp]\nurl = \"http://x\"\n", "smtp.url"),
        ("[smtp]\nbounce_address = \"none\"\n", "smtp.bounce_address"),
        ("profile_dir = \"/none-such\"\n", "profile_dir"),
        ("psl_file = \"/none-such\"\n", "psl_file"),
        ("[policy]\nhold = \"/none-such\"\n", "policy.hold"),
        ("[dns]\nnameservers = [\"127.0.0.1:53\"]\ntrust_anchor_file = \"/none-such\"\n", "dns.trust_anchor_file"),
        ("[[webhooks]]\nname = \"a\"\nurl = \"https://a.example/\"\nsecret_file = \"/none-such\"\n", "/none-such"),
        ("this is no TOML", "dcvd.toml"),
    ] {
        std::fs::write(&path, format!("{text}\n")).unwrap();
        let output = run(&["serve", "--config", path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(said.contains(key), "{text}: {said}");
    }
    assert_eq!(run(&["serve", "--config", "/none-such.toml"]).status.code(), Some(1));
    assert_eq!(run(&["serve", "--no-such-flag"]).status.code(), Some(2));
}

#[test]
fn a_foreign_trust_anchor_does_not_start_beside_an_enforcing_profile_unless_all_servers_are_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let (path, anchor, profiles) = (dir.path().join("dcvd.toml"), dir.path().join("anchor"), dir.path().join("profiles"));
    let foreign = ". IN DS 4711 13 2 06D044B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n";
    std::fs::write(&anchor, foreign).unwrap();
    std::fs::create_dir(&profiles).unwrap();
    std::fs::write(profiles.join("standard.toml"), include_str!("../../config/profiles/standard.toml")).unwrap();
    let start = |nameserver: &str| {
        let (anchor, profiles) = (anchor.display(), profiles.display());
        // The key file that does not exist ends the start after the anchor was judged.
        let text = format!(
            "profile_dir = \"{profiles}\"\n[dns]\nnameservers = [\"{nameserver}\"]\ntrust_anchor_file = \"{anchor}\"\n\
             [link]\nkey_files = [\"/none-such\"]\n"
        );
        std::fs::write(&path, text).unwrap();
        String::from_utf8(run(&["serve", "--config", path.to_str().unwrap()]).stderr).unwrap()
    };
    assert!(start("192.0.2.53:53").contains("link.key_files"), "a profile that records may use it");
    std::fs::write(profiles.join("public.toml"), "extends = \"standard\"\ncompliance = \"enforce\"\n").unwrap();
    let said = start("192.0.2.53:53");
    assert!(said.contains("dns.trust_anchor_file") && said.contains("`public`"), "{said}");
    assert!(start("127.0.0.1:53").contains("link.key_files"));
}

#[test]
fn parse_prints_one_object_and_tells_by_its_exit_code() {
    let parse = |what: &str, input: &str| {
        let output = run(&["parse", what, "--", input]);
        (output.status.code().unwrap(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    assert_eq!(
        parse("name", "*.www.example.co.jp"),
        (
            0,
            json!({"input": "*.www.example.co.jp", "ascii": "*.www.example.co.jp", "unicode": "*.www.example.co.jp", "wildcard": true,
                   "base_domain": "example.co.jp", "authorization_domains": ["www.example.co.jp", "example.co.jp"], "class": "jp-organizational"})
        )
    );
    let (code, refused) = parse("name", "co.jp");
    assert_eq!((code, refused["error"]["code"].as_str()), (1, Some("public-suffix")));
    assert_eq!(parse("name", "-a.jp").1["error"]["code"], "bad-label");
    assert_eq!(parse("email", "a@b.example"), (0, json!({"input": "a@b.example", "ok": true, "ascii_domain": "b.example"})));
    assert_eq!(parse("email", "a b@c.example").1["ok"], false);
    assert_eq!(parse("txt", "\"a@b.\" \"example\"").1["ascii_domain"], "b.example");
    assert_eq!(parse("txt", "\"a@b.example ").0, 1);
}

#[test]
fn parse_reads_saved_answers_as_the_daemon_would() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).to_str().unwrap().to_owned()
    };
    let parse = |arguments: &[&str]| {
        let output = run(&[&["parse"], arguments].concat());
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let domain = file(
        "domain.txt",
        "Domain Information:\na. [Domain Name]  EXAMPLE.CO.JP\nm. [Administrative Contact]  AB1234JP\nn. [Technical Contact]  CD5678JP\n",
    );
    let contact = file("contact.txt", "Contact Information:\na. [JPNIC Handle]  AB1234JP\nd. [E-Mail]  a@example.co.jp\n");
    assert_eq!(
        parse(&["whois", "--name", "example.co.jp", &domain, &contact]),
        json!({"name": "example.co.jp", "status": "found", "handles_to_query": ["CD5678JP"], "referral": null, "reasons": [],
               "contacts": [{"role": "administrative", "label": "登録担当者", "handle": "AB1234JP", "email": "a@example.co.jp", "usable": true, "reason": null}]})
    );
    let card = r#"{"objectClassName":"domain","ldhName":"example.com","entities":[{"roles":["technical"],"vcardArray":["vcard",[["email",{},"text","t@example.com"]]]}]}"#;
    let rdap = parse(&["rdap", "--name", "example.com", &file("rdap.json", card)]);
    assert_eq!(
        (rdap["contacts"][0]["role"].as_str(), rdap["contacts"][0]["email"].as_str()),
        (Some("technical"), Some("t@example.com"))
    );
    let deep = file("deep.json", &"[".repeat(40));
    assert_eq!(run(&["parse", "rdap", "--name", "example.com", &deep]).status.code(), Some(1));
    let deep = parse(&["rdap", "--name", "example.com", &deep]);
    assert_eq!((deep["status"].as_str(), &deep["reasons"]), (Some("error"), &json!(["unreadable-answer"])));
    let mail = file(
        "mail.eml",
        "From: MAILER-DAEMON@mx.example\nSubject: failure notice\n\nUnable to deliver your message.\n<a@example.jp>:\n550 5.1.1 no such user\n",
    );
    assert_eq!(
        parse(&["mail", &mail]),
        json!({"kind": "bounce", "permanent": true, "original_message_id": null, "mail_id": null,
               "recipients": [{"address": "a@example.jp", "action": "failed", "status": "5.1.1", "diagnostic": "550 5.1.1 no such user"}]})
    );
}

#[tokio::test]
async fn approvers_are_listed_on_the_command_line() {
    let setup = Setup::new().await;
    let config = setup.config.to_str().unwrap().to_owned();
    let (table, object) = tokio::task::spawn_blocking(move || {
        (
            run(&["approvers", "www.sample-shop.co.jp", "--config", &config]),
            run(&["approvers", "sample-shop.jp", "--json", "--config", &config]),
        )
    })
    .await
    .unwrap();
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("hanako@sample-shop.co.jp") && table.contains("3.2.2.4.14"), "{table}");
    let object: Value = serde_json::from_slice(&object.stdout).unwrap();
    assert_eq!(object["class"], "jp-general");
    let com = setup.config.to_str().unwrap().to_owned();
    let com =
        tokio::task::spawn_blocking(move || run(&["approvers", "sample-shop.com", "--json", "--config", &com])).await.unwrap();
    let com = String::from_utf8_lossy(&com.stdout).into_owned();
    for email in ["caa-owner@sample-shop.com", "rdap-admin@sample-shop.com"] {
        assert!(com.contains(email), "{com}");
    }
    assert!(!com.contains("abuse@") && !com.contains("registrant@") && !com.contains("admin-contact@"), "{com}");
    assert!(object["sources"].as_array().unwrap().iter().any(|one| one["reasons"] == json!(["mailto"])), "{object}");
}

#[tokio::test]
async fn many_names_are_listed_from_a_file_and_as_on_another_day() {
    let setup = Setup::new().await;
    let names = setup.config.with_file_name("names.txt");
    std::fs::write(&names, "sample-shop.jp  # the shop\n\n# nothing\nco.jp\nsample-shop.net\n").unwrap();
    let (config, file) = (setup.config.to_str().unwrap().to_owned(), names.to_str().unwrap().to_owned());
    let (csv, jsonl, table) = tokio::task::spawn_blocking(move || {
        let many = |format| run(&["approvers", "--file", &file, "--config", &config, "--format", format, "--on", "2028-03-15"]);
        let table = run(&["approvers", "sample-shop.jp", "--config", &config, "--on", "2028-03-15"]);
        (many("csv"), many("jsonl"), table)
    })
    .await
    .unwrap();
    assert_eq!(csv.status.code(), Some(1), "one name was refused");
    let mut reader = csv::Reader::from_reader(&csv.stdout[..]);
    let rows: Vec<std::collections::HashMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    let row = |name: &str, email: &str| rows.iter().find(|row| row["name"] == name && row["email"] == email).unwrap();
    assert_eq!(row("co.jp", "")["reason"], "public-suffix");
    let admin = row("sample-shop.jp", "admin@sample-shop.jp");
    assert_eq!(
        (admin["status"].as_str(), admin["on"].as_str(), admin["on_status"].as_str()),
        ("should-not", "2028-03-15", "must-not")
    );
    assert_eq!(row("sample-shop.net", "admin-contact@sample-shop.net")["role"], "administrative");
    let order: Vec<&str> = rows.iter().map(|row| row["name"].as_str()).collect();
    assert!(order.is_sorted_by_key(|name| ["sample-shop.jp", "co.jp", "sample-shop.net"].iter().position(|one| one == name)));
    let lines: Vec<Value> =
        String::from_utf8(jsonl.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), lines[1]["error"]["code"].as_str()), (3, Some("public-suffix")));
    assert_eq!(lines[0]["on"]["reuse_days"], 100);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.contains("should-not → must-not (3.2.2.4.4, SC-090)") && table.contains("publish the bare address (mailto)"),
        "{table}"
    );
}

#[test]
fn migrate_makes_the_schema_that_serve_may_be_told_to_expect() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dcvd.toml");
    let profiles = concat!(env!("CARGO_MANIFEST_DIR"), "/config/profiles");
    let config = format!(
        "profile_dir = \"{profiles}\"\n[server]\nlisten = \"127.0.0.1:0\"\n[database]\nurl = \"sqlite://{}\"\nmigrate = false\n",
        dir.path().join("a.db").display()
    );
    std::fs::write(&path, config).unwrap();
    let path = path.to_str().unwrap();
    let refused = run(&["serve", "--config", path]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("dcvd migrate"), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(run(&["migrate", "--config", path]).status.success());
    assert!(run(&["migrate", "--config", path]).status.success(), "twice is once");
}

#[test]
fn a_new_key_is_one_that_the_configuration_takes() {
    let first = run(&["key", "new"]).stdout;
    assert_ne!(first, run(&["key", "new"]).stdout);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.key"), &first).unwrap();
    let link = dcvd::config::Link { key_files: vec![dir.path().join("a.key")] };
    assert_eq!(link.keys().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_what_works_and_what_does_not() {
    let setup = Setup::new().await;
    let check = |arguments: &[&str]| {
        let mut command = crate::support::process::program();
        let output = command
            .current_dir(setup.config.parent().unwrap())
            .args(["check", "--config"])
            .arg(&setup.config)
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, told) = tokio::task::block_in_place(|| check(&["--json"]));
    let rows: Value = serde_json::from_str(&told).unwrap();
    let status = |part: &str| {
        let found = rows.as_array().unwrap().iter().find(|row| row["part"] == part);
        found.unwrap_or_else(|| panic!("{part} is missing: {rows}"))["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(code, Some(0), "{told}");
    for part in ["configuration", "profiles", "templates", "lists", "smtp", "alignment"] {
        assert_eq!(status(part), "ok", "{part}: {told}");
    }
    for part in ["database", "inbound", "SPF", "DMARC", "return path"] {
        assert_eq!(status(part), "advice", "{part}: {told}");
    }
    assert!(!setup.config.with_file_name("dcvd.db").exists(), "nothing is made by looking");
    let text = std::fs::read_to_string(&setup.config).unwrap();
    std::fs::write(&setup.config, text.replace(&setup.world.inbox.address.to_string(), &address().to_string())).unwrap();
    let (code, told) = tokio::task::block_in_place(|| check(&[]));
    assert_eq!(code, Some(1));
    assert!(told.lines().any(|line| line.starts_with("smtp ") && line.contains("FAILED") && line.contains("refused")), "{told}");
}

#[tokio::test]
async fn a_client_is_added_gets_a_second_token_and_loses_the_first() {
    let setup = Setup::new().await;
    let config = setup.config.to_str().unwrap();
    let _daemon = setup.serve().await;
    let cli = |arguments: &[&str]| {
        let dir = setup.config.parent().unwrap();
        let output = program().current_dir(dir).args(arguments).args(["--config", config]).output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap().trim().to_owned(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let status = async |token: &str, path: &str| {
        setup.client.get(format!("{}{path}", setup.base)).bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    let (done, first, said) = cli(&["client", "add", "shop", "--scope", "orders:read"]);
    assert!(done && first.starts_with("dcvd_") && !said.contains(&first), "{said}");
    wait("the new token", async || (status(&first, "/v1/orders").await == 200).then_some(())).await;
    assert_eq!(status(&first, "/v1/orders/ord_06h05e7n8m7cf25yex003awh3r/events").await, 403, "the scopes hold");
    let (done, second, _) = cli(&["client", "add", "shop"]);
    assert!(done && second != first);
    let (_, listed, _) = cli(&["client", "list"]);
    assert!(listed.lines().count() == 2 && !listed.contains(&first) && listed.contains("orders:read"), "{listed}");
    let hash = listed.lines().next().unwrap().split('\t').nth(1).unwrap().to_owned();
    assert!(cli(&["client", "revoke", &hash]).0);
    wait("the end of the first", async || (status(&first, "/v1/orders").await == 401).then_some(())).await;
    wait("the second token", async || (status(&second, "/v1/orders").await == 200).then_some(())).await;
    for refused in [
        &["client", "revoke", "00"][..],
        &["client", "revoke", &hash],
        &["client", "add", "shop", "--test"],
        &["client", "add", "a\nb"],
    ] {
        let (done, out, said) = cli(refused);
        assert!(!done && out.is_empty() && !said.is_empty(), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_is_given_no_role_may_look_alone() {
    let setup = Setup::new().await;
    let (config, dir) = (setup.config.to_str().unwrap(), setup.config.parent().unwrap());
    let cli = |arguments: &[&str]| program().current_dir(dir).args(arguments).args(["--config", config]).output().unwrap();
    for arguments in [&["operator", "add", "alice"][..], &["operator", "add", "bob", "--role", "operator"]] {
        let added = cli(arguments);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    }
    let listed = String::from_utf8(cli(&["operator", "list"]).stdout).unwrap();
    assert_eq!(listed.lines().map(str::trim_end).collect::<Vec<_>>(), ["alice\tviewer", "bob\toperator"]);
    // A new password must not take a role away by the way.
    assert_eq!(cli(&["operator", "reset", "bob"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_tried_from_the_command_line() {
    let setup = Setup::new().await;
    let config = setup.config.to_str().unwrap();
    let dir = setup.config.parent().unwrap();
    let cli = |arguments: &[&str]| program().current_dir(dir).args(arguments).args(["--config", config]).output().unwrap();
    let name = std::fs::read_to_string(&setup.config).unwrap();
    let name =
        name.split("[[webhooks]]").nth(1).unwrap().split("name = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let tried = cli(&["webhook", "test", &name]);
    assert!(tried.status.success(), "{}", String::from_utf8_lossy(&tried.stderr));
    let taken = setup.world.webhooks.taken("webhook.test");
    assert!(taken.len() == 1 && taken[0].verified);
    setup.world.webhooks.answer_with(500);
    let tried = cli(&["webhook", "test", &name]);
    assert!(!tried.status.success() && String::from_utf8_lossy(&tried.stderr).contains("500"));
    assert!(!cli(&["webhook", "test", "nobody"]).status.success());
    assert!(!cli(&["webhook", "enable", &name]).status.success(), "it was not gone");
}

#[tokio::test]
async fn auditors_are_answered_from_what_the_daemon_wrote() {
    let setup = Setup::new().await;
    let mut daemon = setup.serve().await;
    let order = json!({"order_ref": "A-1", "names": ["www.sample-shop.co.jp"], "approvers": ["dns-owner@sample-shop.co.jp"]});
    let request = setup.client.post(format!("{}/v1/orders", setup.base)).bearer_auth(&setup.world.token);
    let answer = request.header("content-type", "application/json").body(order.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let mail = wait("the mail", async || setup.world.inbox.arrived().into_iter().next()).await;
    assert_eq!(setup.approve(&mail.link().unwrap()).await, 303);
    wait("the result", async || setup.world.webhooks.taken("order.completed").into_iter().next()).await;
    assert!(daemon.terminate().await);
    let dir = setup.config.parent().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        let mut command = program();
        command.current_dir(&dir).arg("audit").args(arguments).args(["--config", setup.config.to_str().unwrap()]);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, told) = run(&["verify"]);
    assert!(code == Some(0) && told.contains("waiting for the next seal, 0 removed and 0 masked by retention; head"), "{told}");
    // With what a real DNS server answered.
    let (code, told) = run(&["replay", "--source", "dns_txt"]);
    assert_eq!((code, told.as_str()), (Some(0), ""));
    let (code, told) = run(&["affected", "--method", "3.2.2.4.14"]);
    assert!(code == Some(0) && told.contains("\tdns-owner@sample-shop.co.jp\tdns_txt\t3.2.2.4.14\t"), "{told}");
    assert_eq!(run(&["affected", "--between", "2020-01-01..2020-02-01"]).1.lines().count(), 1, "the heading alone");
    let (code, told) = run(&["sample", "--percent", "3", "--out", "samples"]);
    assert!(code == Some(0) && told.lines().count() == 2, "{told}");
    assert_eq!(std::fs::read_dir(dir.join("samples")).unwrap().count(), 1);
    assert_eq!(run(&["sample", "--out", "samples"]).0, Some(1), "what is there is not written over");
    assert_eq!(run(&["affected", "--method", "1"]).0, Some(2));
}
