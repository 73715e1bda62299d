//! What strangers write begins no line of its own: no header of an answer, and none of a mail.

use data_encoding::BASE64;
use dcvd::app::export::export_part;
use dcvd::app::ingest::{Ingested, ingest};
use dcvd::dcv::id::EventId;
use dcvd::dcv::returned_mail::Kind;
use reqwest::header::{CONTENT_DISPOSITION, HeaderName, LOCATION};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::on_both;

on_both!(no_field_of_an_order_breaks_a_line, metadata_is_the_ordering_systems_own_and_stays_as_it_was);

/// What begins another line somewhere, or does something to a terminal.
const BREAKS: [&str; 8] =
    ["a\r\nBcc: x@example.com", "a\nb", "a\rb", "a\0b", "a\u{85}b", "a\u{2028}b", "a\u{1b}[2Jb", "a\u{7f}b"];

fn plain() -> Value {
    json!({"order_ref": "A-1", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]})
}

async fn no_field_of_an_order_breaks_a_line(app: TestApp) {
    for text in BREAKS {
        let (address, name) = (format!("admin@example.co.jp{text}"), format!("www.example.co.jp{text}"));
        for (field, value, pointer) in [
            ("order_ref", json!(text), "/order_ref"),
            ("profile", json!(text), "/profile"),
            ("names", json!([name]), "/names/0"),
            ("approvers", json!([address]), "/approvers/0"),
            ("approvers", json!([{"email": address}]), "/approvers/0/email"),
            ("approvers", json!([{"email": "admin@example.co.jp", "adn": name}]), "/approvers/0/adn"),
            ("applicant", json!({"organization": text}), "/applicant/organization"),
            ("requester", json!(text), "/requester"),
            ("product", json!(text), "/product"),
            ("kind", json!(text), "/kind"),
            ("locale", json!(text), "/locale"),
            ("notify", json!(["staff@reseller.example", address]), "/notify/1"),
            ("contract_code", json!(text), "/contract_code"),
            ("previous_order_id", json!(text), "/previous_order_id"),
        ] {
            let mut body = plain();
            body[field] = value;
            let (status, answer) = app.post("/v1/orders", &body).await;
            assert!(status == 422 && answer["errors"][0]["pointer"] == pointer, "{field} {text:?}: {answer}");
        }
    }
    assert_eq!(app.get("/v1/orders").await.1["orders"], json!([]));
    app.run_jobs().await;
    assert!(app.inbox.arrived().is_empty() && app.hooks.received().is_empty());
}

async fn metadata_is_the_ordering_systems_own_and_stays_as_it_was(app: TestApp) {
    let key = BREAKS[0];
    let mut body = plain();
    body["metadata"] = json!({key: BREAKS});
    let order = app.place(&body).await;
    assert_eq!(order["metadata"], body["metadata"]);
    app.run_jobs().await;
    assert_eq!(app.order(&order).await["metadata"], body["metadata"]);
    let raw = app.last_mail().raw;
    assert!(!String::from_utf8_lossy(&raw).contains("Bcc"), "no mail tells it");
}

/// The names of a message's header fields; whatever line is there begins a field, or goes on with one.
fn fields(raw: &[u8]) -> Vec<String> {
    let raw = String::from_utf8_lossy(raw);
    let (head, _) = raw.split_once("\r\n\r\n").expect("a head and a body");
    assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "{head}");
    let begins = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    begins.map(|line| line.split_once(':').unwrap_or_else(|| panic!("{line}")).0.to_owned()).collect()
}

#[tokio::test]
async fn no_mail_has_a_header_of_a_strangers() {
    let named = "extends = \"standard\"\nmail.subject_ja = \"{order_ref} {domain}\"\n";
    let app = TestApp::with_profiles(&[("named", named)]).await;
    let mut heads: Vec<Vec<Vec<String>>> = Vec::new();
    // As long as a signer's name may be and partly Japanese, so that it is encoded and folded.
    for (order_ref, written, subject) in
        [("A-1", "plain".to_owned(), "Re: plain"), ("A-2", "x-zz9: 1 あ ".repeat(9), "Re: a\r\nx-zz9: 1\r\n\r\nあ")]
    {
        let before = app.inbox.arrived().len();
        app.place(&json!({"order_ref": format!("{order_ref} {written}"), "profile": "named", "names": ["www.example.co.jp"],
            "approvers": ["admin@example.co.jp"], "applicant": {"organization": written}, "requester": written,
            "product": written, "contract_code": written, "notify": ["staff@reseller.example"], "metadata": {"x": written}}))
            .await;
        app.run_jobs().await;
        let mail = app.last_mail();
        let link = mail.link().unwrap();
        let nonce = app.nonce(&link).await;
        // Whoever answers writes as well, and so does whoever replies.
        let form = [("decision", "reject"), ("reason", "a\r\nx-zz9: 1"), ("signer", written.as_str()), ("nonce", nonce.as_str())];
        assert_eq!(app.send_form(&link, &form).await.0, 303);
        let (to, subject) = (mail.reply_to(), BASE64.encode(subject.as_bytes()));
        let reply = format!(
            "From: =?UTF-8?B?{subject}?= <hanako@example.jp>\nTo: {to}\nSubject: =?UTF-8?B?{subject}?=\nIn-Reply-To: <x@dcv.example.net>\n\n\
             x-zz9: 1\n"
        );
        assert!(matches!(ingest(&app.app, reply.as_bytes(), None).await.unwrap(), Ingested::Of(_, Kind::Reply)));
        app.run_jobs().await;
        let mails = app.inbox.arrived().split_off(before);
        assert!(mails.iter().all(|mail| !mail.subject().contains(['\r', '\n'])));
        assert!(app.notices().iter().any(|(kind, _)| kind == "reply"), "operators are told");
        let mut these: Vec<Vec<String>> = mails.iter().map(|mail| fields(&mail.raw)).collect();
        these.sort();
        heads.push(these);
    }
    assert!(heads[0].len() >= 4, "{heads:?}");
    assert_eq!(heads[0], heads[1], "whatever is written, the headers are the same");
}

/// A line's end and a header, as addresses carry them.
const BREAK: &str = "%0d%0ax-zz9:%201";

/// Holds an answer to what none of a stranger's words may change; where it leads.
fn leads(what: &str, answer: &Response) -> String {
    assert!(answer.status().as_u16() < 500, "{what}: {}", answer.status());
    let is_theirs =
        |name: &HeaderName, value: &[u8]| name.as_str().contains("zz9") || value.windows(3).any(|part| part == b"zz9");
    let theirs = answer.headers().iter().find(|(name, value)| is_theirs(name, value.as_bytes()));
    assert!(theirs.is_none(), "{what}: {theirs:?}");
    answer.headers().get(LOCATION).map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// Sends a form as a page of ours does.
async fn press(app: &TestApp, path: &str, fields: &[(&str, &str)]) -> String {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = app.client.post(format!("{}{path}", app.base)).header("origin", &app.base);
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
    leads(path, &request.send().await.unwrap())
}

#[tokio::test]
async fn no_answer_has_a_header_of_a_strangers() {
    let app = TestApp::sqlite().await;
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let (link, id) = (app.last_link(), order["id"].as_str().unwrap());
    let token = link.rsplit('/').next().unwrap();
    for path in [
        format!("/approve/{token}{BREAK}"),
        format!("/approve/{token}?lang=en{BREAK}&receipt=x{BREAK}"),
        format!("/dispute/x{BREAK}"),
        format!("/enter?lang={BREAK}"),
        format!("/status?lang={BREAK}"),
        format!("/about-mail?lang={BREAK}"),
        format!("/problems/x{BREAK}"),
        format!("/static/x{BREAK}"),
        format!("/x{BREAK}"),
        format!("/v1/orders?cursor=x{BREAK}&order_ref=x{BREAK}"),
        format!("/v1/orders/{id}{BREAK}"),
        format!("/v1/approvers?name=example.jp{BREAK}"),
        format!("/admin?lang=en{BREAK}"),
        format!("/admin/orders?q=x{BREAK}&cursor=x{BREAK}&lang=en{BREAK}"),
        format!("/admin/orders/{id}{BREAK}"),
        format!("/admin/orders/{id}{BREAK}/bundle"),
        format!("/admin/profiles/standard{BREAK}"),
        format!("/admin/exports/x{BREAK}"),
        format!("/admin/sign-in?why=x{BREAK}"),
    ] {
        leads(&path, &app.request(Method::GET, &path).send().await.unwrap());
    }
    // What is pressed leads back to where it was pressed, and nowhere else.
    let (at, broken) = (format!("/admin/orders/{id}"), "x\r\nx-zz9: 1");
    let once = [("once", broken), ("note", "x"), ("days", "1"), ("reason", "x")];
    assert_eq!(press(&app, &format!("{at}/put/notes?lang=en{BREAK}"), &once).await, format!("{at}?lang=ja"));
    assert_eq!(press(&app, &format!("{at}/extend?lang=en{BREAK}"), &once).await, format!("{at}?lang=ja"));
    assert_eq!(press(&app, &format!("{at}/put/notes"), &[("note", broken)]).await, "");
    assert_eq!(press(&app, &format!("{at}/cancel"), &[("reason", broken)]).await, "");
    assert_eq!(press(&app, &format!("{at}{BREAK}/cancel"), &[("reason", "x")]).await, "");
    assert_eq!(press(&app, "/admin/exports", &[("rows", broken), ("format", "csv")]).await, "");
    assert_eq!(press(&app, "/admin/exports", &[("rows", "orders"), ("format", "csv"), ("q", broken)]).await, "");
    let made = [("rows", "orders"), ("format", "csv"), ("once", broken), ("q", "\"; x-zz9=\"1")];
    assert_eq!(press(&app, &format!("/admin/exports?lang=en{BREAK}"), &made).await, "/admin/exports?lang=ja");
    // Nor does what is taken away as a file bear another name.
    while export_part(&app.app).await.unwrap() {}
    let file = app.app.store.exports(None, 1).await.unwrap().remove(0);
    let file = EventId::from_bytes(file.id.try_into().unwrap());
    for (path, ending) in [(format!("/admin/exports/{file}?x={BREAK}"), ".csv\""), (format!("{at}/bundle?x={BREAK}"), ".zip\"")] {
        let answer = app.request(Method::GET, &path).send().await.unwrap();
        leads(&path, &answer);
        let named = answer.headers()[CONTENT_DISPOSITION].to_str().unwrap();
        assert!(named.starts_with("attachment; filename=\"") && named.ends_with(ending), "{named}");
    }
    // An owner's link is entered and answered whatever is behind it.
    let enter = format!("/enter?lang=en{BREAK}");
    for pasted in [format!("{link}\r\nx-zz9: 1"), format!("{link}{BREAK}"), format!("x-zz9: 1\r\n{link}?lang=ja{BREAK}")] {
        assert_eq!(press(&app, &enter, &[("link", &pasted)]).await, format!("{link}?lang=ja"), "{pasted}");
    }
    assert_eq!(press(&app, &format!("/status?lang={BREAK}"), &[("request", id), ("email", broken)]).await, "");
    let nonce = app.nonce(&link).await;
    let answer = [("decision", "reject"), ("reason", broken), ("signer", "x"), ("nonce", nonce.as_str())];
    let to = press(&app, &format!("/approve/{token}?lang=en{BREAK}"), &answer).await;
    assert!(to.starts_with(&format!("{link}?receipt=")) && !to.contains('&'), "{to}");
}
