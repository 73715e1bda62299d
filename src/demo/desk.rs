//! The demo's desk: a page on which a person places the sample order, reads the mail and sees the webhooks arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;

use super::{SAMPLE_NAME, World};

const TEMPLATE: &str = include_str!("desk.html");

/// What the desk needs.
pub struct Desk {
    world: Arc<World>,
    daemon: String,
    orders: AtomicU32,
    client: reqwest::Client,
}

#[derive(Serialize)]
struct Page {
    daemon: String,
    sample: &'static str,
    mails: Vec<MailLine>,
    webhooks: Vec<WebhookLine>,
}

#[derive(Serialize)]
struct MailLine {
    number: usize,
    to: String,
    subject: String,
}

#[derive(Serialize)]
struct WebhookLine {
    kind: String,
    verified: bool,
    body: String,
}

#[derive(Serialize)]
struct MailPage {
    to: String,
    from: String,
    subject: String,
    before: String,
    link: String,
    after: String,
}

/// Serves the desk on `listener` for the daemon at `daemon`.
///
/// # Errors
/// The HTTP client cannot be built.
pub fn start(listener: TcpListener, world: Arc<World>, daemon: String) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let desk = Arc::new(Desk { world, daemon, orders: AtomicU32::new(0), client });
    let router =
        Router::new().route("/", get(show)).route("/mails/{number}", get(mail)).route("/orders", post(order)).with_state(desk);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

async fn show(State(desk): State<Arc<Desk>>) -> Response {
    let mails = desk.world.inbox.arrived();
    let page = Page {
        daemon: desk.daemon.clone(),
        sample: SAMPLE_NAME,
        mails: mails
            .iter()
            .enumerate()
            .map(|(number, mail)| MailLine { number, to: mail.rcpt_to.join(", "), subject: mail.subject() })
            .rev()
            .collect(),
        webhooks: desk
            .world
            .webhooks
            .received()
            .into_iter()
            .rev()
            .map(|one| WebhookLine {
                kind: one.kind().to_owned(),
                verified: one.verified,
                body: serde_json::to_string_pretty(&one.body).unwrap_or_default(),
            })
            .collect(),
    };
    render("desk.html", &page)
}

async fn mail(State(desk): State<Arc<Desk>>, Path(number): Path<usize>) -> Response {
    let Some(mail) = desk.world.inbox.arrived().into_iter().nth(number) else { return StatusCode::NOT_FOUND.into_response() };
    let text = mail.text();
    let link = mail.link().unwrap_or_default();
    let (before, after) = text.split_once(&link).unwrap_or((&text, ""));
    let page = MailPage {
        to: mail.rcpt_to.join(", "),
        from: mail.mail_from.clone(),
        subject: mail.subject(),
        before: before.to_owned(),
        after: if link.is_empty() { after.to_owned() } else { after.replace(&link, "(the same link)") },
        link,
    };
    render("mail.html", &page)
}

async fn order(State(desk): State<Arc<Desk>>) -> Response {
    let number = desk.orders.fetch_add(1, Ordering::Relaxed) + 1;
    let body = json!({
        "order_ref": format!("DEMO-{}-{number}", std::process::id()),
        "names": [SAMPLE_NAME, format!("*.{}", SAMPLE_NAME.trim_start_matches("www."))],
        "approvers": ["admin@sample-shop.co.jp"],
        "applicant": {"organization": "株式会社サンプル"},
        "requester": "サンプルホスティング株式会社",
        "product": "OV 1年",
        "kind": "new",
    });
    let sent = desk
        .client
        .post(format!("{}/v1/orders", desk.daemon))
        .bearer_auth(&desk.world.token)
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await;
    match sent {
        Ok(answer) if answer.status() == StatusCode::CREATED => Redirect::to("/").into_response(),
        Ok(answer) => (StatusCode::BAD_GATEWAY, answer.text().await.unwrap_or_default()).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

fn render<C: Serialize>(name: &str, context: &C) -> Response {
    let mut environment = minijinja::Environment::new();
    let rendered = environment
        .add_template("desk.html", TEMPLATE)
        .and_then(|()| environment.add_template("mail.html", include_str!("mail.html")))
        .and_then(|()| environment.get_template(name)?.render(minijinja::value::Serde(context)));
    match rendered {
        Ok(page) => Html(page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
