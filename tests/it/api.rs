//! The ordering API: what it takes, what it tells, and what it refuses without changing anything.

use dcvd::http::CODES;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{OTHER_TOKEN, TestApp};
use crate::support::on_both;

on_both!(
    an_order_is_told_as_the_contract_says,
    orders_are_listed_newest_first_in_stable_pages,
    every_malformed_order_is_refused_with_code_and_pointer_and_changes_nothing,
);

async fn an_order_is_told_as_the_contract_says(app: TestApp) {
    let body = json!({
        "order_ref": "A-1001", "profile": "standard", "names": ["www.example.co.jp", "*.example.co.jp"],
        "approvers": ["admin@example.co.jp"], "applicant": {"organization": "株式会社サンプル"},
        "requester": "サンプルホスティング株式会社", "product": "OV 1年", "kind": "new", "locale": "ja",
        "notify": ["staff@reseller.example"], "contract_code": "C0010914", "previous_order_id": null, "metadata": {"x": [1]},
    });
    let order = app.place(&body).await;
    assert!(order["id"].as_str().unwrap().starts_with("ord_"));
    assert_eq!(order["state"], "pending");
    assert_eq!(order["expires_at"], "2026-12-18T00:00:00Z");
    assert_eq!(
        order["validations"][0],
        json!({"name": "www.example.co.jp", "state": "pending", "answer": null, "method": null, "scope": null, "signer": null,
               "approved_at": null, "ended_at": null, "reusable_until": null, "selection_ends_at": null})
    );
    let mail = &order["mails"][0];
    assert_eq!((mail["to"].as_str(), mail["adn"].as_str()), (Some("admin@example.co.jp"), Some("example.co.jp")));
    assert_eq!(mail["names"], json!(["www.example.co.jp", "*.example.co.jp"]));
    assert_eq!((mail["state"].as_str(), mail["delivery"].as_str()), (Some("queued"), Some("queued")));
    assert_eq!(app.order(&order).await, order, "reading it again tells the same");
    assert_eq!(app.event_types(&order).await, ["order.created"]);

    let id = order["id"].as_str().unwrap();
    let other = app.client.get(format!("{}/v1/orders/{id}", app.base)).bearer_auth(OTHER_TOKEN).send().await.unwrap();
    assert_eq!(other.status(), 404, "another client's order does not exist");
    let events = app.client.get(format!("{}/v1/orders/{id}/events", app.base)).bearer_auth(OTHER_TOKEN).send().await.unwrap();
    assert_eq!(events.status(), 404);
}

async fn orders_are_listed_newest_first_in_stable_pages(app: TestApp) {
    for n in 0..5 {
        app.clock.advance(std::time::Duration::from_millis(10));
        app.place_plain(&format!("A-{n}")).await;
    }
    let refs = |page: &Value| -> Vec<String> {
        page["orders"].as_array().unwrap().iter().map(|order| order["order_ref"].as_str().unwrap().to_owned()).collect()
    };
    let (_, first) = app.get("/v1/orders?limit=2").await;
    assert_eq!(refs(&first), ["A-4", "A-3"]);
    app.clock.advance(std::time::Duration::from_millis(10));
    app.place_plain("A-5").await;
    let (_, second) = app.get(&format!("/v1/orders?limit=2&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!(refs(&second), ["A-2", "A-1"], "a new order moves no page");
    let (_, last) = app.get(&format!("/v1/orders?limit=2&cursor={}", second["next_cursor"].as_str().unwrap())).await;
    assert_eq!((refs(&last), &last["next_cursor"]), (vec!["A-0".to_owned()], &Value::Null));
    assert_eq!(refs(&app.get("/v1/orders?order_ref=A-3").await.1), ["A-3"]);
    assert_eq!(refs(&app.get("/v1/orders?name=WWW.example.co.jp&state=pending").await.1).len(), 6);
    assert!(refs(&app.get("/v1/orders?state=completed").await.1).is_empty());
    assert_eq!(app.get("/v1/orders?limit=0").await.1["errors"][0]["pointer"], "/limit");
    assert_eq!(app.get("/v1/orders?colour=red").await.1["code"], "unknown-field");
    assert_eq!(app.get("/v1/orders?cursor=zz").await.0, 422);
}

async fn every_malformed_order_is_refused_with_code_and_pointer_and_changes_nothing(app: TestApp) {
    let good = json!({"order_ref": "A-1", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let without = |field: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        body
    };
    let names = |name: &str| with("names", json!([name]));
    let many: Vec<String> = (0..10_000).map(|n| format!("n{n}.jp")).collect();
    let cases = [
        (without("order_ref"), "missing-field", "/order_ref"),
        (without("names"), "missing-field", "/names"),
        (without("approvers"), "no-approver", "/names/0"),
        (with("approvers", json!([])), "no-approver", "/names/0"),
        (with("names", json!([])), "missing-field", "/names"),
        (with("names", json!(many)), "too-many", "/names"),
        (with("names", json!("www.example.co.jp")), "bad-value", "/names"),
        (with("names", json!([5])), "bad-value", "/names/0"),
        (with("names", json!(["a.jp", "A.JP."])), "duplicate-name", "/names/1"),
        (names("co.jp"), "public-suffix", "/names/0"),
        (names("192.0.2.1"), "ip-address", "/names/0"),
        (names("localhost"), "single-label", "/names/0"),
        (names("xn--abcd.example.jp"), "bad-idn", "/names/0"),
        (names("*.*.example.jp"), "bad-wildcard", "/names/0"),
        (names(""), "empty", "/names/0"),
        (names("a.internal"), "unknown-tld", "/names/0"),
        (names("1.0.0.127.in-addr.arpa"), "reverse-zone", "/names/0"),
        (names("x.onion"), "onion", "/names/0"),
        (with("order_ref", json!(5)), "bad-value", "/order_ref"),
        (with("order_ref", json!("")), "bad-value", "/order_ref"),
        (with("order_ref", json!("a\r\nBcc: x@example.com")), "bad-value", "/order_ref"),
        (with("order_ref", json!("x".repeat(129))), "bad-value", "/order_ref"),
        (with("order_ref", json!("a\u{202e}b")), "bad-value", "/order_ref"),
        (with("profile", json!("none-such")), "unknown-profile", "/profile"),
        (with("colour", json!("red")), "unknown-field", "/colour"),
        (with("a/b~c", json!(1)), "unknown-field", "/a~1b~0c"),
        (with("applicant", json!({"organization": "a\nb"})), "bad-value", "/applicant/organization"),
        (with("applicant", json!({"name": "a"})), "unknown-field", "/applicant/name"),
        (with("applicant", json!("a")), "bad-value", "/applicant"),
        (with("requester", json!("x".repeat(201))), "bad-value", "/requester"),
        (with("kind", json!("gift")), "bad-value", "/kind"),
        (with("locale", json!("fr")), "bad-value", "/locale"),
        (with("notify", json!(["not an address"])), "bad-email", "/notify/0"),
        (with("metadata", json!({"x": "y".repeat(9000)})), "too-long", "/metadata"),
        (with("previous_order_id", json!("42")), "bad-value", "/previous_order_id"),
        (with("approvers", json!("some")), "bad-value", "/approvers"),
        (with("approvers", json!(["a@b@c"])), "bad-email", "/approvers/0"),
        (with("approvers", json!([{"adn": "example.co.jp"}])), "missing-field", "/approvers/0/email"),
        (with("approvers", json!([{"email": "admin@example.co.jp", "names": ["b.jp"]}])), "bad-value", "/approvers/0/names/0"),
        (with("approvers", json!([{"email": "admin@example.co.jp", "colour": 1}])), "unknown-field", "/approvers/0/colour"),
        (json!([good]), "bad-value", ""),
    ];
    for (body, code, pointer) in cases {
        let (status, answer) = app.post("/v1/orders", &body).await;
        let short: String = body.to_string().chars().take(200).collect();
        assert_eq!(status, 422, "{short} {answer}");
        assert_eq!(answer["code"], code, "{short} {answer}");
        assert_eq!(answer["errors"][0]["pointer"], pointer, "{short} {answer}");
        assert_eq!(answer["errors"][0]["code"], code, "{short}");
    }
    assert_eq!(app.get("/v1/orders").await.1["orders"], json!([]));
    assert_eq!(app.get("/v1/orders?order_ref=%00").await.1["errors"][0]["pointer"], "/order_ref");
    assert_eq!(app.get("/v1/orders?name=%00").await.0, 422);
    app.run_jobs().await;
    assert!(app.inbox.arrived().is_empty() && app.hooks.received().is_empty());
}

#[tokio::test]
async fn several_errors_are_told_at_once() {
    let app = TestApp::sqlite().await;
    let (_, answer) = app.post("/v1/orders", &json!({"names": ["co.jp", "a.jp"], "locale": "fr", "x": 1})).await;
    let pointers: Vec<_> = answer["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/order_ref", "/names/0", "/locale", "/x"]);
}

#[tokio::test]
async fn an_approver_outside_the_list_is_refused_with_the_list() {
    let app = TestApp::sqlite().await;
    app.whois.answers("whois.iana.org", "jp", "refer: whois.jprs.jp\n");
    app.whois.answers("whois.jprs.jp", "example.co.jp/e", "No match!!\n");
    for stranger in ["ceo@example.co.jp", "info@example.co.jp", "webmasuter@example.co.jp", "admin@example.com", "admin@co.jp"] {
        let (status, answer) =
            app.post("/v1/orders", &json!({"order_ref": "A-1", "names": ["www.example.co.jp"], "approvers": [stranger]})).await;
        assert_eq!((status, answer["code"].as_str()), (422, Some("approver-not-allowed")), "{answer}");
        assert_eq!(answer["errors"][0]["pointer"], "/approvers/0");
        assert!(answer["allowed"].as_array().unwrap().contains(&json!("admin@example.co.jp")), "{answer}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused_by_kind() {
    let app = TestApp::sqlite().await;
    let send = async |kind: &str, body: String| {
        let answer = app.request(Method::POST, "/v1/orders").header("content-type", kind).body(body).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        (status, body["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(send("application/json", "{\"a\":".to_owned()).await, (400, "broken-json".to_owned()));
    assert_eq!(send("application/json", "\u{1}".to_owned()).await, (400, "broken-json".to_owned()));
    assert_eq!(send("application/json", "[".repeat(10_000)).await, (400, "broken-json".to_owned()));
    assert_eq!(send("text/plain", "{}".to_owned()).await, (415, "wrong-content-type".to_owned()));
    assert_eq!(send("application/json; charset=utf-8", "{}".to_owned()).await, (422, "missing-field".to_owned()));
    let large = format!("{{\"order_ref\":\"{}\"}}", "x".repeat(300_000));
    let answer =
        app.request(Method::POST, "/v1/orders").header("content-type", "application/json").body(large).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()["code"], "body-too-large");
}

#[tokio::test]
async fn only_known_ordering_systems_get_in() {
    let app = TestApp::sqlite().await;
    for token in ["", "wrong", "test-token-0123456789abcde", "test-token-0123456789abcdef0"] {
        let answer = app.client.get(format!("{}/v1/orders", app.base)).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{token:?}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    }
    assert_eq!(app.client.get(format!("{}/v1/approvers?name=a.jp", app.base)).send().await.unwrap().status(), 401);
    let (status, answer) = app.get("/v1/none-such").await;
    assert_eq!((status, answer["code"].as_str()), (404, Some("not-found")));
    assert_eq!(app.request(Method::DELETE, "/v1/orders").send().await.unwrap().status(), 405);
    assert_eq!(app.get("/v1/orders/ord_zz").await.0, 404);
    assert_eq!(app.get("/v1/orders/%ff").await.1["code"], "bad-request");
    assert_eq!(app.get("/v1/orders/ord_00000000000000000000000000").await.0, 404);
}

#[tokio::test]
async fn signs_of_life_are_open_to_all() {
    let app = TestApp::sqlite().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(app.client.get(format!("{}{path}", app.base)).send().await.unwrap().status(), 200, "{path}");
    }
}

#[tokio::test]
async fn the_status_page_exists_for_this_host_alone() {
    let app = TestApp::sqlite().await;
    app.dns.txt_is("example.co.jp", &["owner@example.co.jp"]);
    let order = app
        .place(&json!({"order_ref": "<b>A-1</b>", "names": ["www.example.co.jp"], "approvers": ["owner@example.co.jp"]}))
        .await;
    app.run_jobs().await;
    let get = async |path: &str, headers: &[(&str, &str)]| {
        let mut request = app.client.get(format!("{}{path}", app.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, list) = get("/admin", &[]).await;
    assert_eq!(status, 200);
    assert!(list.contains("&lt;b&gt;A-1") && !list.contains("<b>A-1"), "names of strangers are escaped");
    let (status, page) = get(&format!("/admin/orders/{}?lang=en", order["id"].as_str().unwrap()), &[]).await;
    assert_eq!(status, 200);
    for told in ["order.created", "mail.sent", "owner@example.co.jp", "DNSSEC secure", "2.0.0 taken"] {
        assert!(page.contains(told), "{told}");
    }
    assert!(!page.contains("/approve/"), "the page never shows the link");
    for header in
        [("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=127.0.0.1"), ("x-forwarded-host", "a"), ("host", "dcv.example.net")]
    {
        assert_eq!(get("/admin", &[header]).await.0, 404, "{header:?}");
        assert_eq!(get("/metrics", &[header]).await.0, 404, "{header:?}");
    }
    assert_eq!((get("/metrics", &[]).await.0, get("/metrics", &[("host", "localhost:8080")]).await.0), (200, 200));
    assert_eq!(get("/admin", &[("host", "localhost:8080")]).await.0, 404, "buttons are pressed at an address alone");
    let replay = app.client.post(format!("{}/admin/effects/eff_00000000000000000000000000/replay", app.base));
    assert_eq!(replay.try_clone().unwrap().send().await.unwrap().status(), 403, "a form from elsewhere");
    let own = replay.header("origin", app.base.clone()).send().await.unwrap();
    assert_eq!(own.status(), 404, "nothing to replay");
}

#[test]
fn problem_codes_are_distinct_and_spelled_alike() {
    let mut codes: Vec<_> = CODES.iter().map(|(code, ..)| *code).collect();
    assert!(codes.iter().all(|code| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), CODES.len());
}
