//! The status page's screens and what is pressed there.

use std::collections::BTreeSet;
use std::time::Duration;

use dcvd::app::export::{export_part, forget_exports};
use dcvd::app::show_status::{send_status_code, show_status};
use dcvd::dcv::email::{EmailAddress, masked_text};
use dcvd::demo::smtp::Reply;
use reqwest::header::ACCEPT;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use crate::support::app::TestApp;
use crate::support::browser::Browser;
use crate::support::process::wait;
use crate::support::{log_watch, on_both};

/// A page as a browser asks for it.
async fn page(app: &TestApp, path: &str) -> (u16, String) {
    let request = app.client.get(format!("{}{path}", app.base)).header(ACCEPT, "text/html");
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Sends a form of the page.
async fn press(app: &TestApp, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = app.client.post(format!("{}{path}", app.base)).header("origin", &app.base).header(ACCEPT, "text/html");
    let answer = request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn once(page: &str) -> String {
    page.split("name=\"once\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

fn id(order: &Value) -> &str {
    order["id"].as_str().unwrap()
}

on_both!(
    an_order_is_found_by_whatever_is_known_of_it,
    each_press_counts_once_and_says_why,
    the_numbers_tell_what_happened,
    whoever_opened_a_link_is_told_and_programs_are_told_apart,
    domains_addresses_and_receivers_are_looked_up,
    rows_are_taken_away_as_files,
    a_new_link_to_one_leaves_the_others_theirs,
    an_amended_order_comes_in_the_first_ones_place,
    a_long_file_is_made_a_part_at_a_time,
    nothing_that_strangers_write_is_markup,
    whoever_is_told_of_an_order_sees_its_state_once,
);

async fn an_order_is_found_by_whatever_is_known_of_it(app: TestApp) {
    let one = app
        .place(
            &json!({"order_ref": "A-1", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"], "kind": "renewal",
            "applicant": {"organization": "株式会社 100%_試験"}, "requester": "窓口"}),
        )
        .await;
    let other = app.place(&json!({"order_ref": "B-2", "names": ["example.jp"], "approvers": ["admin@example.jp"]})).await;
    let found = async |query: &str| {
        let (status, list) = page(&app, &format!("/admin/orders?{query}")).await;
        assert_eq!(status, 200, "{query}: {list}");
        (list.contains(id(&one)), list.contains(id(&other)))
    };
    assert_eq!(found("").await, (true, true));
    for (query, wanted) in [
        ("q=A-1", (true, false)),
        ("q=example.co.jp", (true, false)),
        ("q=WWW.EXAMPLE.co.jp", (true, false)),
        ("q=example.jp", (false, true)),
        ("q=admin@example.jp", (false, true)),
        ("q=100%25_", (true, false)),
        ("q=100%25x", (false, false)),
        ("q=%E7%AA%93%E5%8F%A3", (true, false)),
        ("q=nothing", (false, false)),
        ("q=%27%20OR%201=1", (false, false)),
        ("kind=renewal", (true, false)),
        ("state=completed", (false, false)),
        ("state=pending&source=constructed", (true, true)),
        ("source=dns_txt", (false, false)),
        ("profile=standard", (true, true)),
        ("profile=other", (false, false)),
        ("requester=%E7%AA%93%E5%8F%A3", (true, false)),
        ("requester=%25", (false, false)),
        ("method=3.2.2.4.4", (false, false)),
        ("client=nobody", (false, false)),
        ("is=in-trouble", (false, false)),
        ("is=due-soon", (false, false)),
        ("from=2000-01-01&to=2000-01-02", (false, false)),
        ("suffix=jp", (true, true)),
        ("suffix=.CO.jp", (true, false)),
        ("suffix=%25", (false, false)),
        ("role=technical", (false, false)),
        ("role=nothing&has=nothing&decided_from=x", (true, true)),
        ("has=reported", (false, false)),
        ("decided_from=2000-01-01", (false, false)),
    ] {
        assert_eq!(found(query).await, wanted, "{query}");
    }
    assert_eq!(found(&format!("q={}", id(&other))).await, (false, true));
    // What happens is found: a link opened by a program, by a person, and reported.
    app.run_jobs().await;
    let link = |to: &str| {
        app.approval_mails().into_iter().find(|mail| mail.rcpt_to.concat() == to).and_then(|mail| mail.link()).unwrap()
    };
    let (first, second) = (link("admin@example.co.jp"), link("admin@example.jp"));
    app.client.get(&first).header("user-agent", "curl/8").send().await.unwrap();
    app.clock.advance(Duration::from_secs(600));
    let by_hand = app.client.get(&second).header("user-agent", "Mozilla/5.0 (X11) Firefox/145.0").header("accept-language", "ja");
    by_hand.send().await.unwrap();
    app.run_jobs().await;
    assert_eq!(found("has=scanned").await, (true, false));
    assert_eq!(found("has=unanswered").await, (false, true));
    let nonce = app.nonce(&second).await;
    assert_eq!(app.send_form(&second, &[("decision", "report"), ("nonce", &nonce)]).await.0, 303);
    app.run_jobs().await;
    for (query, wanted) in [
        ("has=reported", (false, true)),
        ("has=unanswered", (false, false)),
        ("decided_from=2000-01-01", (false, true)),
        ("decided_from=2000-01-01&decided_to=2000-01-02", (false, false)),
    ] {
        assert_eq!(found(query).await, wanted, "{query}");
    }
    app.clock.advance(Duration::from_secs(24 * 86_400));
    assert_eq!(found("is=due-soon").await, (true, false));
    assert_eq!(page(&app, "/admin/orders/ord_nothing").await.0, 404);
}

async fn each_press_counts_once_and_says_why(app: TestApp) {
    let order =
        app.place(&json!({"order_ref": "A-1", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"]})).await;
    app.run_jobs().await;
    let at = format!("/admin/orders/{}", id(&order));
    let (_, shown) = page(&app, &format!("{at}?lang=en")).await;
    let key = once(&shown);
    let count =
        async |kind: &str| app.app.store.events(order_id(&order)).await.unwrap().iter().filter(|one| one.kind == kind).count();
    // A note, sent twice as by a double click.
    for _ in 0..2 {
        let (status, _) =
            press(&app, &format!("{at}/put/notes"), &[("once", &key), ("note", "電話しました"), ("check", "phone")]).await;
        assert_eq!(status, 303);
    }
    assert_eq!(count("order.noted").await, 1);
    assert_eq!(press(&app, &format!("{at}/put/notes"), &[("note", "")]).await.0, 400);
    assert_eq!(press(&app, &format!("{at}/put/nothing"), &[]).await.0, 404);
    // What changes what is asked wants a reason.
    let mail = app.order(&order).await["mails"][0]["id"].as_str().unwrap().to_owned();
    app.clock.advance(Duration::from_secs(3600));
    let reissue = format!("{at}/mails/{mail}/reissue");
    for (path, fields) in [
        ("extend", vec![("days", "1")]),
        ("cancel", vec![]),
        ("amend", vec![("names", "www.example.co.jp")]),
        ("approvers", vec![("choice", "instead"), ("email", "admin@example.co.jp")]),
    ] {
        let (status, told) = press(&app, &format!("{at}/{path}?lang=en"), &fields).await;
        assert!(status == 400 && told.contains("say why") && told.contains("Nothing was changed"), "{path}: {told}");
    }
    assert_eq!(press(&app, &reissue, &[]).await.0, 400);
    for _ in 0..2 {
        assert_eq!(press(&app, &reissue, &[("once", &key), ("reason", "届いていない")]).await.0, 303);
    }
    app.run_jobs().await;
    assert_eq!((count("approver.changed").await, app.approval_mails().len()), (1, 2));
    let mails = app.order(&order).await["mails"].clone();
    assert_eq!((mails[0]["state"].as_str(), mails[1]["state"].as_str()), (Some("superseded"), Some("sent")));
    assert_eq!(mails[1]["to"], "admin@example.co.jp");
    // Somebody else in their place.
    app.clock.advance(Duration::from_secs(3600));
    let (status, told) = press(
        &app,
        &format!("{at}/approvers"),
        &[("once", &key), ("choice", "instead"), ("email", "postmaster@example.co.jp"), ("reason", "退職")],
    )
    .await;
    assert_eq!(status, 303, "{told}");
    let stranger = [("choice", "instead"), ("email", "x@evil.example"), ("reason", "x")];
    assert_eq!(press(&app, &format!("{at}/approvers"), &stranger).await.0, 503, "WHOIS, which may list it, does not answer");
    app.whois.answers("whois.iana.org", "jp", "refer: whois.jprs.jp\n\ndomain: JP\n");
    app.whois.answers("whois.jprs.jp", "example.co.jp/e", "No match!!\n");
    assert_eq!(press(&app, &format!("{at}/approvers"), &stranger).await.0, 422, "nobody but those listed");
    app.run_jobs().await;
    assert_eq!(app.last_mail().rcpt_to.concat(), "postmaster@example.co.jp");
    // A form that cannot be read does nothing.
    let long = "x".repeat(3 * 1024 * 1024);
    assert_eq!(press(&app, &format!("{at}/put/pause"), &[("reason", &long)]).await.0, 413);
    assert_eq!(count("order.paused").await, 0);
    // Reminders rest, the deadline moves, the order ends: each twice, each once.
    for (path, fields, kind) in [
        ("put/pause", vec![("reason", "休暇中")], "order.paused"),
        ("put/resume", vec![], "order.resumed"),
        ("extend", vec![("days", "2"), ("reason", "連休")], "order.extended"),
        ("cancel", vec![("reason", "重複")], "order.cancelled"),
    ] {
        for _ in 0..2 {
            let mut fields = fields.clone();
            fields.push(("once", &key));
            let (status, told) = press(&app, &format!("{at}/{path}"), &fields).await;
            assert_eq!(status, 303, "{path}: {told}");
        }
        assert_eq!(count(kind).await, 1, "{path}");
    }
    let (status, told) = press(&app, &format!("{at}/cancel?lang=en"), &[("reason", "again")]).await;
    assert!(status == 409 && told.contains("The order has ended"), "{told}");
    let (_, shown) = page(&app, &at).await;
    for told in ["電話しました", "届いていない", "退職", "休暇中", "連休", "重複"] {
        assert!(shown.contains(told), "{told}");
    }
    let (_, events) = app.get(&format!("/v1/orders/{}/events", id(&order))).await;
    assert!(!events.to_string().contains("電話しました"), "what operators write to each other is theirs");
    let (_, evidence) = app.get(&format!("/v1/orders/{}/evidence", id(&order))).await;
    assert!(!evidence.to_string().contains("電話しました"));
}

fn order_id(order: &Value) -> dcvd::dcv::id::OrderId {
    dcvd::dcv::id::OrderId::parse(id(order)).unwrap()
}

async fn the_numbers_tell_what_happened(app: TestApp) {
    for (order_ref, name, answer) in
        [("A-1", "www.example.co.jp", "approve"), ("A-2", "example.jp", "reject"), ("A-3", "example.com", "")]
    {
        let admin = format!("admin@{}", name.trim_start_matches("www."));
        let order = app.place(&json!({"order_ref": order_ref, "names": [name], "approvers": [admin]})).await;
        app.run_jobs().await;
        let link = app.last_link();
        app.clock.advance(Duration::from_secs(7200));
        match answer {
            "approve" => assert_eq!(app.approve(&link).await.0, 303),
            "reject" => {
                let nonce = app.nonce(&link).await;
                assert_eq!(app.send_form(&link, &[("decision", "reject"), ("nonce", &nonce)]).await.0, 303);
            }
            _ => {}
        }
        app.run_jobs().await;
        let _ = order;
    }
    app.clock.advance(Duration::from_secs(120));
    app.run_jobs().await;
    let (status, shown) = page(&app, "/admin/statistics?lang=en&by=class").await;
    assert_eq!(status, 200);
    let row = |value: &str| {
        let row = shown.split("<tr>").find(|row| row.starts_with(&format!("<th scope=\"row\">{value}</th>"))).unwrap_or_default();
        row.split("<td class=\"number\">").skip(1).map(|cell| cell.split('<').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // orders, names, sent, delivered, bounced, approved, reused, rejected …
    assert_eq!(row("jp-organizational")[..8], ["0", "1", "0", "0", "0", "1", "0", "0"], "{shown}");
    assert_eq!(row("jp-general")[..8], ["0", "1", "0", "0", "0", "0", "0", "1"]);
    assert_eq!((row("jp-organizational").last().unwrap().as_str(), row("gtld").last().unwrap().as_str()), ("100%", "-"));
    assert!(shown.contains("half of the approvals within") && shown.contains("4 h"));
    assert_eq!(shown.matches("<svg ").count(), 8);
    for by in ["profile", "client", "domain", "requester", "method", "source", "local-part"] {
        assert_eq!(page(&app, &format!("/admin/statistics?by={by}&days=365")).await.0, 200, "{by}");
    }
    // Counted once, however often it is counted.
    app.run_jobs().await;
    let (_, overview) = page(&app, "/admin?lang=en").await;
    let funnel = overview.split("<h2 id=\"funnel\">").nth(1).unwrap();
    let steps: Vec<&str> = funnel.split("<td class=\"number\">").skip(1).map(|cell| cell.split('<').next().unwrap()).collect();
    // The pages were opened by a program, the ordering system took the news within the hour, and nobody reported a certificate.
    assert_eq!(steps, ["3", "3", "3", "3", "0", "2", "2", "0"]);
}

async fn whoever_opened_a_link_is_told_and_programs_are_told_apart(app: TestApp) {
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    let link = app.last_link();
    let open = async |agent: &str, language: Option<&str>| {
        let mut request = app.client.get(&link).header("user-agent", agent);
        if let Some(language) = language {
            request = request.header("accept-language", language);
        }
        assert_eq!(request.send().await.unwrap().status(), 200);
    };
    open("curl/8", None).await;
    app.clock.advance(Duration::from_secs(600));
    for _ in 0..3 {
        open("Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0", Some("ja")).await;
    }
    app.run_jobs().await;
    let views = app.app.store.views(order_id(&order)).await.unwrap();
    let told: Vec<_> = views.iter().map(|one| (one.user_agent.as_str(), one.scanner, one.times)).collect();
    assert_eq!(told, [("curl/8", 1, 1), ("Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0", 0, 3)]);
    let (_, shown) = page(&app, &format!("/admin/orders/{}?lang=en", id(&order))).await;
    for told in ["likely a scanner", "Firefox"] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    assert!(!shown.contains(link.rsplit('/').next().unwrap()), "never the link");
    // However many agents come, so many are kept.
    for number in 0..60 {
        open(&format!("agent {number}"), None).await;
    }
    app.run_jobs().await;
    assert_eq!(app.app.store.views(order_id(&order)).await.unwrap().len(), 50);
}

async fn domains_addresses_and_receivers_are_looked_up(app: TestApp) {
    app.dns.txt_is("example.co.jp", &["owner@example.co.jp"]);
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    app.approve(&app.last_link()).await;
    app.clock.advance(Duration::from_secs(120));
    app.run_jobs().await;
    let screen = async |path: &str| {
        let (status, shown) = page(&app, path).await;
        assert_eq!(status, 200, "{path}: {shown}");
        shown
    };
    let domain = screen("/admin/domains?name=EXAMPLE.co.jp&lang=en").await;
    assert!(domain.contains(id(&order)) && domain.contains("3.2.2.4.4") && domain.contains(">100%<"), "{domain}");
    assert!(screen("/admin/domains?name=co.jp&lang=en").await.contains("public suffix"));
    let address = screen("/admin/approvers?address=admin@example.co.jp&lang=en").await;
    assert!(address.contains(id(&order)) && address.contains("answered"), "{address}");
    assert!(screen("/admin/approvers?address=nobody&lang=en").await.contains("This is no e-mail address"));
    let dns = screen("/admin/dns?name=www.example.co.jp&lang=en").await;
    assert!(dns.contains("owner@example.co.jp") && dns.contains("_validation-contactemail.example.co.jp. 3600 IN TXT"), "{dns}");
    let hooks = screen("/admin/webhooks?lang=en").await;
    assert!(hooks.contains("validation.approved") && hooks.contains("evt_"), "{hooks}");
    // The same event once more, with the same id.
    let event = hooks.split("/admin/events/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let before = app.hooks.received().iter().filter(|one| one.id == event).count();
    for _ in 0..2 {
        assert_eq!(press(&app, &format!("/admin/events/{event}/replay"), &[("once", "k")]).await.0, 303);
        app.run_jobs().await;
    }
    assert!(app.event_types(&order).await.contains(&"effect.replayed".to_owned()));
    assert_eq!((before, app.hooks.received().iter().filter(|one| one.id == event).count()), (1, 2));
    // The profile as it works, and what it looks like: nothing of it is stored, and no link of it leads anywhere.
    let profile = screen("/admin/profiles/standard?lang=en").await;
    assert!(profile.contains("window.days") && profile.contains("株式会社サンプル"), "{profile}");
    assert!(profile.contains("&#x2f;approve&#x2f;"), "the sample mail shows what a link looks like");
    for (state, told) in
        [("valid", "Do you approve"), ("approved", "has been approved"), ("expired", "deadline"), ("superseded", "newer")]
    {
        let shown = screen(&format!("/admin/profiles/standard/page?state={state}&lang=en")).await;
        assert!(shown.contains(told), "{state}: {shown}");
    }
    assert_eq!(page(&app, "/admin/profiles/none").await.0, 404);
    let count: Vec<String> = app.event_types(&order).await;
    assert_eq!(count.iter().filter(|kind| *kind == "order.created").count(), 1);
}

async fn a_new_link_to_one_leaves_the_others_theirs(app: TestApp) {
    let order = app
        .place(&json!({"order_ref": "A-1", "names": ["www.example.co.jp"],
            "approvers": ["admin@example.co.jp", "postmaster@example.co.jp"]}))
        .await;
    app.run_jobs().await;
    app.clock.advance(Duration::from_secs(3600));
    let mails = app.order(&order).await["mails"].clone();
    let path = format!("/admin/orders/{}/mails/{}/reissue", id(&order), mails[0]["id"].as_str().unwrap());
    assert_eq!(press(&app, &path, &[("reason", "紛失")]).await.0, 303);
    app.run_jobs().await;
    let after = app.order(&order).await["mails"].clone();
    let states: Vec<_> = after.as_array().unwrap().iter().map(|mail| mail["state"].as_str().unwrap()).collect();
    assert_eq!((states[0], states[1], states[2]), ("superseded", "sent", "sent"));
    assert_eq!(after[2]["to"], mails[0]["to"]);
    // Whoever has the other link may refuse still.
    let other = app.approval_mails().into_iter().find(|mail| mail.rcpt_to.concat() == mails[1]["to"].as_str().unwrap());
    let link = other.and_then(|mail| mail.link()).unwrap();
    let nonce = app.nonce(&link).await;
    assert_eq!(app.send_form(&link, &[("decision", "reject"), ("nonce", &nonce)]).await.0, 303);
    assert_eq!(app.order(&order).await["validations"][0]["state"], "rejected");
}

#[tokio::test]
async fn a_new_link_asks_what_the_first_one_asked() {
    let app = TestApp::sqlite().await;
    for name in ["example.co.jp", "www.example.co.jp"] {
        app.dns.txt_is(name, &["owner@elsewhere.example"]);
    }
    let chosen = json!([{"email": "owner@elsewhere.example", "adn": "www.example.co.jp"}]);
    let order = app.place(&json!({"order_ref": "A-1", "names": ["www.example.co.jp"], "approvers": chosen})).await;
    app.run_jobs().await;
    app.clock.advance(Duration::from_secs(3600));
    let first = app.order(&order).await["mails"][0].clone();
    let path = format!("/admin/orders/{}/mails/{}/reissue", id(&order), first["id"].as_str().unwrap());
    assert_eq!(press(&app, &path, &[("reason", "紛失")]).await.0, 303);
    let second = app.order(&order).await["mails"][1].clone();
    assert_eq!((&first["adn"], &second["adn"]), (&json!("www.example.co.jp"), &json!("www.example.co.jp")));
    assert_eq!(first["source"], second["source"]);
}

/// A file of rows, made to its end.
async fn an_amended_order_comes_in_the_first_ones_place(app: TestApp) {
    let first = app
        .place(&json!({"order_ref": "A-1", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"],
            "applicant": {"organization": "見本商店"}}))
        .await;
    app.run_jobs().await;
    let old_link = app.last_link();
    let at = format!("/admin/orders/{}", id(&first));
    let key = once(&page(&app, &at).await.1);
    let amend = async |names: &str, organization: &str, key: &str| {
        let fields = [("names", names), ("organization", organization), ("reason", "社名の訂正"), ("once", key)];
        press(&app, &format!("{at}/amend?lang=en"), &fields).await
    };
    // What cannot be done does nothing.
    for (names, organization, wanted, told) in [
        ("www.example.co.jp", "見本商店", 400, "nothing of the order would change"),
        ("", "見本商会", 400, "at least one"),
        ("www.another.co.jp", "見本商会", 400, "none of the order"),
        ("www.example.co.jp exa_mple..jp", "見本商会", 400, "exa_mple..jp"),
    ] {
        let (status, page) = amend(names, organization, "").await;
        assert!(status == wanted && page.contains(told), "{told}: {page}");
    }
    assert_eq!(app.order(&first).await["state"], "pending");
    app.clock.advance(Duration::from_secs(3600));
    for _ in 0..2 {
        assert_eq!(amend("WWW.example.co.jp\r\nwww.example.ne.jp", "見本商会", &key).await.0, 303);
    }
    app.run_jobs().await;
    let (_, listed) = app.get("/v1/orders").await;
    let orders = listed["orders"].as_array().unwrap();
    assert_eq!(orders.len(), 2, "{listed}");
    let second = orders.iter().find(|one| one["id"] != first["id"]).unwrap();
    assert_eq!((&second["order_ref"], &second["amends"]), (&json!("A-1/amended/1"), &first["id"]));
    assert_eq!(second["organization"], "見本商会");
    // Whoever was asked is asked again; nobody was for the other name.
    let states: Vec<_> = second["validations"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["pending", "awaiting_approver"]);
    assert_eq!(app.last_mail().rcpt_to.concat(), "admin@example.co.jp");
    assert_ne!(app.last_link(), old_link);
    assert!(app.page(&old_link).await.1.contains("取り消"), "the first link asks nothing any more");
    let ended = app.order(&first).await;
    assert_eq!(ended["state"], "cancelled");
    let (_, events) = app.get(&format!("/v1/orders/{}/events", id(&first))).await;
    let cancelled = events["events"].as_array().unwrap().iter().find(|one| one["type"] == "order.cancelled").unwrap();
    assert_eq!((&cancelled["data"]["successor"], &cancelled["data"]["reason"]), (&second["id"], &json!("社名の訂正")));
    assert_eq!(cancelled["actor"], "operator");
    let (status, told) = amend("www.example.co.jp", "x", "").await;
    assert!(status == 409 && told.contains("has ended"), "{told}");
}

async fn export(app: &TestApp, fields: &[(&str, &str)]) -> Vec<u8> {
    assert_eq!(press(app, "/admin/exports", fields).await.0, 303, "{fields:?}");
    while export_part(&app.app).await.unwrap() {}
    let (_, list) = page(app, "/admin/exports").await;
    let at = list.split("href=\"/admin/exports/evt_").nth(1).expect("a file is ready").split('"').next().unwrap();
    let answer = app.client.get(format!("{}/admin/exports/evt_{at}", app.base)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["content-disposition"].to_str().unwrap().starts_with("attachment; filename=\"dcvd-"));
    answer.bytes().await.unwrap().to_vec()
}

async fn rows_are_taken_away_as_files(app: TestApp) {
    for number in 0..3 {
        app.place(&json!({"order_ref": format!("=A-{number}"), "names": [format!("www{number}.example.co.jp"), "example.co.jp"],
            "approvers": ["admin@example.co.jp"], "applicant": {"organization": "株式会社試験"}}))
            .await;
    }
    app.place(&json!({"order_ref": "B-1", "names": ["example.jp"], "approvers": ["admin@example.jp"]})).await;
    app.run_jobs().await;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let csv = text(export(&app, &[("rows", "orders"), ("format", "csv"), ("q", "example.co.jp")]).await);
    assert!(csv.starts_with("\u{feff}order_id,order_ref,client,"), "{csv}");
    assert_eq!((csv.lines().count(), csv.matches(",'=A-").count(), csv.contains("B-1")), (4, 3, false), "{csv}");
    let lines = text(export(&app, &[("rows", "names"), ("format", "json-lines"), ("for_programs", "1")]).await);
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 7);
    assert_eq!(rows[0]["name"], "example.jp", "the latest order first");
    assert!(rows[6]["order_ref"].as_str().unwrap().starts_with("=A-"), "as it was written");
    let mails = export(&app, &[("rows", "mails"), ("format", "tsv-shift-jis")]).await;
    assert_eq!(encoding_rs::SHIFT_JIS.decode(&mails).0.lines().count(), 5);
    let orders = export(&app, &[("rows", "orders"), ("format", "tsv-shift-jis")]).await;
    assert!(encoding_rs::SHIFT_JIS.decode(&orders).0.contains("株式会社試験"));
    for rows in ["allow-list", "statistics", "access-log"] {
        assert!(text(export(&app, &[("rows", rows), ("format", "tsv")]).await).contains('\t'), "{rows}");
    }
    assert_eq!(press(&app, "/admin/exports", &[("rows", "secrets"), ("format", "csv")]).await.0, 400);
    // A press sent twice makes one file.
    let count = app.app.store.exports(None, 100).await.unwrap().len();
    for _ in 0..2 {
        assert_eq!(press(&app, "/admin/exports", &[("once", "k"), ("rows", "orders"), ("format", "csv")]).await.0, 303);
    }
    assert_eq!(app.app.store.exports(None, 100).await.unwrap().len(), count + 1);
    app.clock.advance(Duration::from_secs(8 * 86_400));
    assert!(forget_exports(&app.app).await.unwrap() > 0);
    assert_eq!(app.app.store.exports(None, 100).await.unwrap().len(), 0);
}

async fn a_long_file_is_made_a_part_at_a_time(app: TestApp) {
    let line = |number: i32| {
        json!({"order_ref": format!("L-{number}"), "names": ["example.jp"], "approvers": ["admin@example.jp"]}).to_string()
    };
    let lines = (0..620).map(line).collect::<Vec<_>>().join("\n");
    let request = app.client.post(format!("{}/v1/orders/bulk", app.base)).header("content-type", "application/jsonl");
    let request = request.bearer_auth(crate::support::app::TOKEN).body(lines);
    let taken = request.send().await.unwrap().text().await.unwrap();
    assert_eq!(taken.lines().count(), 620, "{taken}");
    let made = [("rows", "orders"), ("format", "tsv")];
    assert_eq!(press(&app, "/admin/exports", &made).await.0, 303);
    let file = &app.app.store.exports(None, 1).await.unwrap()[0];
    assert_eq!((file.state.as_str(), file.row_count), ("waiting", 500), "the first part is there at once");
    let (_, shown) = page(&app, "/admin/exports").await;
    assert!(shown.contains("<progress"), "{shown}");
    // Two daemons at it add nothing twice.
    let (one, other) = tokio::join!(export_part(&app.app), export_part(&app.app));
    assert!(one.unwrap() | other.unwrap());
    while export_part(&app.app).await.unwrap() {}
    let file = &app.app.store.exports(None, 1).await.unwrap()[0];
    assert_eq!((file.state.as_str(), file.row_count), ("ready", 620));
}

/// What whoever fills a field might write there: markup, and what a template would work out.
const MARKUP: &str = "<img src=x onerror=alert(1)>\"'&lt;script&gt;zz{{7*7}}zz{% raw %}{{ config }}";

/// What of it is shown as it was written.
const LITERAL: &str = "zz{{7*7}}zz{% raw %}{{ config }}";

async fn nothing_that_strangers_write_is_markup(app: TestApp) {
    let mut order = json!({"order_ref": MARKUP, "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"],
        "applicant": {"organization": MARKUP}, "requester": MARKUP, "product": MARKUP, "contract_code": MARKUP,
        "metadata": {MARKUP: MARKUP}});
    // A record that is no address, and one that is.
    app.dns.txt_is("example.co.jp", &[MARKUP, "\"<b>\"@example.co.jp"]);
    app.get("/v1/approvers?name=www.example.co.jp").await;
    let placed = app.place(&order).await;
    app.run_jobs().await;
    let link = app.last_link();
    let request = app.client.get(&link).header("user-agent", MARKUP).header("accept-language", "ja");
    request.send().await.unwrap();
    let nonce = app.nonce(&link).await;
    let form = [("decision", "reject"), ("reason", MARKUP), ("signer", MARKUP), ("nonce", nonce.as_str())];
    assert_eq!(app.send_form(&link, &form).await.0, 303);
    app.inbox.answer_with(Reply::RefuseMail(format!("550 5.1.1 {MARKUP}")));
    order["order_ref"] = json!("second");
    let refused = app.place(&order).await;
    app.run_jobs().await;
    app.clock.advance(Duration::from_secs(120));
    app.run_jobs().await;
    let (shown, lost) = (format!("/admin/orders/{}", id(&placed)), format!("/admin/orders/{}", id(&refused)));
    press(&app, &format!("{shown}/put/notes"), &[("note", MARKUP)]).await;
    for path in [
        "/admin",
        "/admin/orders",
        &format!("/admin/orders?q={}", url::form_urlencoded::byte_serialize(MARKUP.as_bytes()).collect::<String>()),
        &shown,
        &lost,
        "/admin/statistics?by=requester",
        &format!("/admin/domains?name={}", url::form_urlencoded::byte_serialize(MARKUP.as_bytes()).collect::<String>()),
        "/admin/domains?name=example.co.jp",
        "/admin/approvers?address=admin@example.co.jp",
        &format!("/admin/approvers?address={}", url::form_urlencoded::byte_serialize(MARKUP.as_bytes()).collect::<String>()),
        "/admin/dns?name=example.co.jp",
        "/admin/webhooks",
        "/admin/returned",
        "/admin/exports",
        "/admin/access",
        "/admin/orders/%3Cimg%3E",
    ] {
        let (_, text) = page(&app, path).await;
        assert!(!text.contains("<img") && !text.contains("<b>\"@") && !text.contains("\"'&lt;s"), "{path}: {text}");
        assert!(!text.contains("zz49zz"), "{path} works out what was written: {text}");
        let is_shown = path == "/admin/orders" || path == shown || path == lost;
        assert!(!is_shown || text.contains(LITERAL), "{path}: {text}");
    }
}

#[test]
fn addresses_are_hidden_wherever_they_stand() {
    assert_eq!(masked_text("to: taro.yamada@example.jp, <x@y.example>"), "to: t***@example.jp, <x***@y.example>");
    assert_eq!(masked_text("no address @ all"), "no address ***@ all");
    assert_eq!(masked_text("山田@example.jp@x"), "山***@e***@x");
    assert_eq!(masked_text("<\"taro yamada\"@example.jp> x%40y.example \"@z"), "<t***@example.jp> x***@y.example ***@z");
}

#[tokio::test]
async fn every_screen_is_well_in_a_browser() {
    let app = TestApp::sqlite().await;
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    app.clock.advance(Duration::from_secs(3600));
    app.approve(&app.last_link()).await;
    app.place(&json!({"order_ref": "A-2", "names": ["example.jp"], "approvers": ["admin@example.jp"]})).await;
    app.run_jobs().await;
    app.clock.advance(Duration::from_secs(120));
    app.run_jobs().await;
    for (width, language) in [(360, "ja"), (1200, "en")] {
        let browser = Browser::start(width, language).await;
        let shown = format!("/orders/{}?", id(&order));
        for path in [
            "?",
            "/orders?",
            &shown,
            "/statistics?",
            "/domains?name=www.example.co.jp&",
            "/approvers?address=admin@example.co.jp&",
            "/dns?name=example.co.jp&",
            "/webhooks?",
            "/profiles?",
            "/profiles/standard?",
            "/profiles/standard/page?state=valid&",
            "/profiles/standard/page?state=superseded&",
            "/returned?",
            "/exports?",
            "/access?",
            "/orders/ord_x?",
        ] {
            browser.open(&format!("{}/admin{path}lang={language}", app.base)).await;
            assert_eq!(browser.complaints().await, Vec::<String>::new(), "{path} at {width}");
        }
    }
}

#[tokio::test]
async fn an_open_page_looks_again_by_itself() {
    let app = TestApp::sqlite().await;
    let browser = Browser::start(1200, "en").await;
    browser.open(&format!("{}/admin?lang=en", app.base)).await;
    let source = async || browser.client.source().await.unwrap();
    assert!(source().await.contains("There are no orders yet"));
    app.place_plain("LIVE-1").await;
    wait("the new order", async || source().await.contains("LIVE-1").then_some(())).await;
}

#[tokio::test]
async fn no_screen_walks_through_a_whole_table() {
    let app = TestApp::sqlite().await;
    let order = app.place_plain("A-1").await;
    app.run_jobs().await;
    log_watch::gather_statements();
    for path in [
        "/admin",
        "/admin/orders",
        "/admin/orders?state=pending",
        "/admin/orders?is=in-trouble",
        "/admin/orders?is=due-soon",
        "/admin/orders?is=undelivered",
        "/admin/orders?is=given-up",
        "/admin/orders?is=awaiting",
        "/admin/orders?is=held",
        "/admin/orders?q=A-1",
        "/admin/orders?q=example.co.jp",
        "/admin/orders?q=admin@example.co.jp",
        "/admin/orders?q=nothing&profile=standard&source=whois&kind=new&state=completed",
        &format!("/admin/orders/{}", id(&order)),
        "/admin/statistics?days=365&by=domain",
        "/admin/domains?name=example.co.jp",
        "/admin/approvers?address=admin@example.co.jp",
        "/admin/webhooks",
        "/admin/returned",
        "/admin/profiles/standard",
        "/admin/exports",
        "/admin/access",
    ] {
        assert_eq!(page(&app, path).await.0, 200, "{path}");
    }
    let asked: Vec<String> = log_watch::statements().into_iter().filter(|text| text.starts_with("SELECT")).collect();
    assert!(asked.len() > 30, "{} statements", asked.len());
    none_walks(&app, asked).await;
}

/// Fails for a statement that walks through a whole table.
async fn none_walks(app: &TestApp, asked: impl IntoIterator<Item = String>) {
    let mut conn = SqliteConnection::connect(&app.url).await.unwrap();
    for statement in asked {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain).fetch_all(&mut conn).await.unwrap();
        for (.., step) in &plan {
            // Through an index it is as long as what is asked for, or is ended by a limit; sub-results and small tables may be walked.
            let walks = step.starts_with("SCAN") && !step.contains("USING");
            let small = [
                "counted",
                "latest",
                "newest",
                "ahead",
                "found",
                "gone_endpoints",
                "profile_versions",
                "marks",
                "SUBQUERY",
                "CONSTANT",
                "exports",
            ];
            let made_before =
                step.strip_prefix("SCAN ").is_some_and(|of| plan.iter().any(|(.., step)| *step == format!("CO-ROUTINE {of}")));
            assert!(!walks || made_before || small.iter().any(|one| step.contains(one)), "{step}: {statement}\n{plan:#?}");
        }
    }
}

#[tokio::test]
async fn no_step_of_an_order_walks_through_a_whole_table() {
    let app = TestApp::sqlite().await;
    app.place_plain("A-0").await;
    log_watch::gather_statements();
    for (order_ref, decision) in [("A-1", "approve"), ("A-2", "reject"), ("A-3", "report")] {
        app.place_plain(order_ref).await;
        app.run_jobs().await;
        let (link, nonce) = (app.last_link(), app.nonce(&app.last_link()).await);
        let form = [("decision", decision), ("authority", "yes"), ("nonce", nonce.as_str())];
        assert_eq!(app.send_form(&link, &form).await.0, 303);
        app.run_jobs().await;
    }
    let kinds = ["SELECT", "UPDATE", "DELETE", "INSERT"];
    // What SQLite is told together is one text.
    let told = log_watch::statements();
    let single = told.iter().flat_map(|text| text.split(";\n")).map(str::trim);
    let asked: BTreeSet<String> =
        single.filter(|text| kinds.iter().any(|kind| text.starts_with(kind))).map(str::to_owned).collect();
    assert!(asked.len() > 40, "{} statements", asked.len());
    none_walks(&app, asked).await;
}

async fn whoever_is_told_of_an_order_sees_its_state_once(app: TestApp) {
    let order = app
        .place(&json!({"order_ref": "A-1", "names": ["www.example.co.jp"], "approvers": ["admin@example.co.jp"],
            "notify": ["staff@reseller.example"]}))
        .await;
    app.run_jobs().await;
    let status = format!("{}/status?lang=en", app.base);
    assert!(app.page(&status).await.1.contains("Request no."));
    let codes = || {
        let mails = app.inbox.arrived();
        let text = |raw: &[u8]| {
            mail_parser::MessageParser::new().parse(raw).and_then(|mail| mail.body_text(0).map(std::borrow::Cow::into_owned))
        };
        let codes = mails.iter().filter_map(|mail| {
            Some((mail.rcpt_to.concat(), text(&mail.raw)?.split("Code          ").nth(1)?.get(..8)?.to_owned()))
        });
        codes.collect::<Vec<_>>()
    };
    // Whoever names another address, or another order, is told the same and gets nothing.
    for (request, email) in [
        (id(&order), "admin@example.co.jp"),
        ("ord_00000000000000000000000000", "staff@reseller.example"),
        (id(&order), "staff@reseller.example"),
    ] {
        let (code, page) = app.send_form(&status, &[("request", request), ("email", email)]).await;
        assert!(code == 200 && page.contains("a code is on its way"), "{page}");
    }
    app.run_jobs().await;
    let sent = codes();
    assert_eq!(sent.iter().map(|(to, _)| to.as_str()).collect::<Vec<_>>(), ["staff@reseller.example"]);
    let code = sent[0].1.clone();
    let show = async |code: &str| {
        app.send_form(&status, &[("request", id(&order)), ("email", "Staff@reseller.example"), ("code", code)]).await
    };
    let wrong = if code == "00000000" { "00000001" } else { "00000000" };
    assert_eq!(show(wrong).await.0, 422);
    let (answer, page) = show(&code).await;
    assert!(answer == 200 && page.contains("www.example.co.jp") && page.contains("a***@example.co.jp"), "{page}");
    assert!(!page.contains("admin@") && !page.contains("/approve/") && !page.contains("<form"), "{page}");
    assert_eq!(show(&code).await.0, 422, "once");
    assert_eq!(app.send_form(&status, &[("request", "x"), ("email", "y")]).await.0, 422);
    // Its time is short, and there are few.
    for _ in 0..4 {
        app.send_form(&status, &[("request", id(&order)), ("email", "STAFF@reseller.example")]).await;
    }
    app.run_jobs().await;
    let sent = codes();
    assert_eq!(sent.len(), 2, "asking and trying are limited together, however the address is written");
    let email = EmailAddress::parse("staff@reseller.example").unwrap();
    app.clock.advance(Duration::from_secs(15 * 60));
    assert!(show_status(&app.app, order_id(&order), &email, &sent[1].1).await.unwrap().is_none());
    // There are few within that time, and within a day.
    for _ in 0..4 {
        send_status_code(&app.app, order_id(&order), &email).await.unwrap();
    }
    app.run_jobs().await;
    let sent = codes();
    assert_eq!(sent.len(), 5);
    assert!(show_status(&app.app, order_id(&order), &email, &sent[4].1).await.unwrap().is_some());
    for _ in 0..4 {
        app.clock.advance(Duration::from_secs(15 * 60));
        for _ in 0..3 {
            send_status_code(&app.app, order_id(&order), &email).await.unwrap();
        }
    }
    app.run_jobs().await;
    assert_eq!(codes().len(), 10);
}
