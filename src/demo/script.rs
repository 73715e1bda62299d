//! `dcvd demo --script`: drives one order through every step over HTTP and prints each.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::{SAMPLE_NAME, World};

/// How long a step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// Drives the daemon at `daemon`.
///
/// # Errors
/// The first step that does not do what it should.
pub async fn run(world: &World, daemon: &str) -> anyhow::Result<()> {
    let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(STEP_TIMEOUT).build()?;
    let get = async |path: &str| -> anyhow::Result<Value> {
        let answer = client.get(format!("{daemon}{path}")).bearer_auth(&world.token).send().await?;
        ensure!(answer.status() == StatusCode::OK, "GET {path}: {}", answer.status());
        Ok(serde_json::from_str(&answer.text().await?)?)
    };

    step(1, "who may approve", SAMPLE_NAME);
    let listed = get(&format!("/v1/approvers?name={SAMPLE_NAME}")).await?;
    for source in ["constructed", "dns_txt", "whois"] {
        let found: Vec<_> = listed["approvers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| one["source"] == source)
            .filter_map(|one| one["email"].as_str())
            .collect();
        ensure!(!found.is_empty(), "no approver from {source}: {listed}");
        println!("    {source}: {}", found.join(", "));
    }
    let secure =
        listed["sources"].as_array().into_iter().flatten().any(|one| one["source"] == "dns_txt" && one["dnssec"] == "secure");
    ensure!(secure, "the TXT answer was not proven: {}", listed["sources"]);

    let order = json!({
        "order_ref": "SCRIPT-1",
        "names": [SAMPLE_NAME],
        "approvers": ["dns-owner@sample-shop.co.jp"],
        "applicant": {"organization": "株式会社サンプル"},
        "product": "OV 1年",
        "kind": "new",
    });
    let request = client.post(format!("{daemon}/v1/orders")).bearer_auth(&world.token).header("content-type", "application/json");
    let answer = request.body(order.to_string()).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status == StatusCode::CREATED, "the order was refused: {status} {text}");
    let order: Value = serde_json::from_str(&text)?;
    let id = order["id"].as_str().context("the order has an id")?.to_owned();
    step(2, "order placed", &id);

    let mail = wait("the mail", || world.inbox.arrived().into_iter().next()).await?;
    step(3, "mail arrived", &format!("{} → {}", mail.subject(), mail.rcpt_to.join(", ")));
    let link = mail.link().context("the mail holds a link alone on its line")?;

    let page = client.get(&link).send().await?;
    ensure!(page.status() == StatusCode::OK, "the page: {}", page.status());
    let page = page.text().await?;
    ensure!(
        get(&format!("/v1/orders/{id}")).await?["validations"][0]["state"] == "pending",
        "opening the page decided something"
    );
    step(4, "page opened", "still pending");

    let nonce =
        page.split("name=\"nonce\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).context("the page holds a nonce")?;
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("decision", "approve"), ("authority", "yes"), ("signer", "サンプル 花子"), ("nonce", nonce)])
        .finish();
    let answer = client.post(&link).header("content-type", "application/x-www-form-urlencoded").body(form).send().await?;
    ensure!(answer.status() == StatusCode::SEE_OTHER, "the approval: {}", answer.status());
    let state = get(&format!("/v1/orders/{id}")).await?;
    ensure!(state["validations"][0]["state"] == "approved" && state["state"] == "completed", "not approved: {state}");
    step(5, "approved", state["validations"][0]["reusable_until"].as_str().unwrap_or("not reusable"));

    let hook = wait("the webhook", || world.webhooks.taken("validation.approved").into_iter().next()).await?;
    if !hook.verified {
        bail!("the webhook's signature does not verify");
    }
    step(6, "webhook verified", &hook.id);
    Ok(())
}

fn step(number: u32, what: &str, detail: &str) {
    println!("{number}. {what}: {detail}");
}

/// Looks again and again until there is something.
async fn wait<T>(what: &str, look: impl Fn() -> Option<T>) -> anyhow::Result<T> {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(STEP_TIMEOUT, looking).await.with_context(|| format!("{what} did not arrive"))
}
