//! The example clients of `docs/clients`, run as they stand: each places an order, verifies its webhooks with the official library of its
//! language, and refuses what is forged, changed, or old.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dcvd::adapters::clock::SystemClock;
use dcvd::adapters::webhook::signature;
use dcvd::ports::Clock as _;

use serde_json::json;

use crate::process::Setup;
use crate::support::process::{address, wait};

/// What `tests/run` fetched and compiled.
fn fetched() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_dcvd")).parent().unwrap().parent().unwrap().join("clients")
}

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients").join(file)
}

struct Shop {
    child: Child,
    output: PathBuf,
}

impl Shop {
    fn said(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Places an order by a client and leads it to its result.
async fn leads_to_a_result(command: impl FnOnce(&Setup, &str) -> Command) {
    let setup = Setup::new().await;
    let listen = address().to_string();
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let text = text.replace(&setup.world.webhooks.url, &format!("http://{listen}/hook"));
    assert!(text.contains(&listen));
    std::fs::write(&setup.config, text).unwrap();
    let secret = setup.world.secret.clone();
    let output = setup.config.with_extension("shop");
    let log = std::fs::File::create(&output).unwrap();
    let mut command = command(&setup, &listen);
    command.env("DCVD_TOKEN", &setup.world.token).env("DCVD_WEBHOOK_SECRET", &secret);
    command.stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log);
    let _daemon = setup.serve().await;
    let mut shop = Shop { child: command.spawn().expect("tests/run fetched what it needs"), output };
    let mail = wait("the mail", async || setup.world.inbox.arrived().pop()).await;
    // Another order's result is none of this one's.
    let other = setup.place("B-1").await;
    let told = json!({"reason": "x"}).to_string();
    let url = format!("{}/v1/orders/{}/cancel", setup.base, other["id"].as_str().unwrap());
    let request = setup.client.post(url).bearer_auth(&setup.world.token).header("content-type", "application/json");
    assert_eq!(request.body(told).send().await.unwrap().status(), 200);
    wait("the first events", async || shop.said().contains("mail.sent").then_some(())).await;

    let key = data_encoding::BASE64.decode(secret.trim_start_matches("whsec_").as_bytes()).unwrap();
    let now = SystemClock.now().unix_secs();
    let body =
        r#"{"type":"order.completed","timestamp":"2026-11-22T00:00:00Z","data":{"order_id":"x","order_ref":"A-1001","seq":9}}"#;
    let post = async |at: i64, signed: &str, sent: &str| {
        let request = setup.client.post(format!("http://{listen}/hook")).header("webhook-id", "evt_forged");
        let request =
            request.header("webhook-timestamp", at).header("webhook-signature", signature(&key, "evt_forged", at, signed));
        request.body(sent.to_owned()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(post(now, "{}", body).await, 400, "changed");
    assert_eq!(post(now - 3600, body, body).await, 400, "old");
    let request = setup.client.post(format!("http://{listen}/hook")).body(body);
    assert_eq!(request.send().await.unwrap().status(), 400, "unsigned");
    assert!(shop.child.try_wait().unwrap().is_none(), "none of it was believed: {}", shop.said());

    assert_eq!(setup.approve(&mail.link().unwrap()).await, 303);
    let ended = wait("the result", async || shop.child.try_wait().unwrap()).await;
    let said = shop.said();
    assert!(ended.success(), "{said}");
    assert!(said.contains("result: {\"www.sample-shop.co.jp\":") && said.contains("approved"), "{said}");
    let seqs: Vec<&str> =
        said.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).map(|line| &line[..1]).collect();
    // Entries of the timeline that are not told leave gaps.
    assert!(seqs.len() == 4 && seqs.is_sorted_by(|one, next| one < next), "in order, each once: {said}");
}

#[tokio::test]
async fn the_python_example_places_an_order_and_believes_only_us() {
    leads_to_a_result(|setup, listen| {
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", fetched().join("python")).arg(example("python/shop.py"));
        command.args(["--base", &setup.base, "--listen", listen, "--order-ref", "A-1001", "--name", "www.sample-shop.co.jp"]);
        command.args(["--approver", "admin@sample-shop.co.jp", "--patience", "25"]);
        command
    })
    .await;
}

#[tokio::test]
async fn the_typescript_example_places_an_order_and_believes_only_us() {
    leads_to_a_result(|setup, listen| {
        let mut command = Command::new("node");
        command.arg(fetched().join("typescript/out/shop.js"));
        command.args([&setup.base, listen, "A-1001", "www.sample-shop.co.jp", "admin@sample-shop.co.jp"]);
        command
    })
    .await;
}
