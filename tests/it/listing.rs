//! Who may approve: the listing, stored look-ups, and the check of what is chosen.

use std::net::SocketAddr;
use std::time::Duration;

use dcvd::dcv::contact::Source;
use dcvd::dcv::contact::dns_txt::DnsOutcome;
use dcvd::dcv::contact::whois::HopError;
use dcvd::dcv::evidence::Dnssec;
use hickory_resolver::proto::op::ResponseCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::Setup;
use crate::support::app::TestApp;
use crate::support::dns::{OverTcp, Says, scripted};
use crate::support::on_both;

on_both!(the_listing_is_as_the_contract_says, an_order_keeps_the_evidence_it_rests_on);

const JP_DOMAIN: &str = "Domain Information:\na. [Domain Name]                EXAMPLE.CO.JP\n\
    m. [Administrative Contact]     AB1234JP\nn. [Technical Contact]          CD5678JP\n";

fn contact(handle: &str, email: &str) -> String {
    format!("Contact Information:\na. [JPNIC Handle]               {handle}\nd. [E-Mail]                     {email}\n")
}

fn jp_world(app: &TestApp) {
    app.whois.answers("whois.iana.org", "jp", "refer:        whois.jprs.jp\n\ndomain:       JP\n");
    app.whois.answers("whois.jprs.jp", "example.co.jp/e", JP_DOMAIN);
    app.whois.answers("whois.jprs.jp", "CONTACT AB1234JP/e", &contact("AB1234JP", "a@example.co.jp"));
    app.whois.answers("whois.jprs.jp", "CONTACT CD5678JP/e", &contact("CD5678JP", "t@elsewhere.example"));
}

fn emails(listing: &Value, source: &str) -> Vec<String> {
    let of_source = listing["approvers"].as_array().unwrap().iter().filter(|one| one["source"] == source);
    of_source.map(|one| one["email"].as_str().unwrap().to_owned()).collect()
}

fn source<'l>(listing: &'l Value, source: &str) -> &'l Value {
    listing["sources"].as_array().unwrap().iter().find(|one| one["source"] == source).unwrap()
}

/// A name may hold 253 octets and an address 254: what does not fit is left out with its reason, and never stored.
#[tokio::test]
async fn at_a_very_long_name_only_the_addresses_that_fit_are_offered() {
    let app = TestApp::sqlite().await;
    let long = format!("{}.example.jp", [&*"a".repeat(63), &"b".repeat(63), &"c".repeat(63), &"d".repeat(48)].join("."));
    assert_eq!(long.len(), 251);
    let (status, listing) = app.get(&format!("/v1/approvers?name={long}&profile=standard")).await;
    assert_eq!(status, 200, "{listing}");
    assert!(emails(&listing, "constructed").iter().all(|email| email.len() <= 254));
    assert!(emails(&listing, "constructed").contains(&"administrator@example.jp".to_owned()));
    assert!(!emails(&listing, "constructed").contains(&format!("admin@{long}")));
    assert_eq!(source(&listing, "constructed")["reasons"], json!(["too-long"]));
    assert_eq!(source(&listing, "dns_txt")["status"], "empty", "a name that cannot exist has no record");
}

async fn the_listing_is_as_the_contract_says(app: TestApp) {
    jp_world(&app);
    app.dns.txt_is("example.co.jp", &["owner@elsewhere.example"]);
    app.dns.caa_is("example.co.jp", "ContactEmail", "caa@elsewhere.example");
    let (status, listing) = app.get("/v1/approvers?name=*.WWW.example.co.jp&profile=standard").await;
    assert_eq!(status, 200, "{listing}");
    for (member, value) in [
        ("name", "*.www.example.co.jp"),
        ("base_domain", "example.co.jp"),
        ("class", "jp-organizational"),
        ("profile", "standard"),
    ] {
        assert_eq!(listing[member], value);
    }
    let constructed = emails(&listing, "constructed");
    assert_eq!(constructed.len(), 10, "five at each ADN");
    assert!(constructed.contains(&"postmaster@www.example.co.jp".to_owned()));
    let admin = listing["approvers"].as_array().unwrap().iter().find(|one| one["email"] == "admin@example.co.jp").unwrap();
    assert_eq!(
        *admin,
        json!({"email": "admin@example.co.jp", "adn": "example.co.jp", "source": "constructed", "role": null, "method": "3.2.2.4.4",
               "usable": true, "rule": {"status": "should-not", "since": "2026-03-15", "ends": "2028-03-15"}})
    );
    assert_eq!(emails(&listing, "dns_txt"), ["owner@elsewhere.example"]);
    assert_eq!(emails(&listing, "whois"), ["a@example.co.jp", "t@elsewhere.example"]);
    let whois = listing["approvers"].as_array().unwrap().iter().find(|one| one["source"] == "whois").unwrap();
    assert_eq!((whois["role"].as_str(), whois["rule"]["status"].as_str()), (Some("administrative"), Some("must-not")));
    assert_eq!(*source(&listing, "whois"), json!({"source": "whois", "status": "ok", "server": "whois.jprs.jp", "reasons": []}));
    assert_eq!(source(&listing, "dns_txt")["dnssec"], "secure");
    assert_eq!((source(&listing, "dns_caa")["status"].as_str(), emails(&listing, "dns_caa").len()), (Some("ok"), 2));
    assert_eq!(*source(&listing, "rdap"), json!({"source": "rdap", "status": "empty", "reasons": ["no-rdap-service"]}));
}

async fn an_order_keeps_the_evidence_it_rests_on(app: TestApp) {
    jp_world(&app);
    app.dns.txt_is("example.co.jp", &["owner@elsewhere.example"]);
    let order =
        app.place(&json!({"order_ref": "A-1", "names": ["example.co.jp"], "approvers": ["owner@elsewhere.example"]})).await;
    let id = dcvd::dcv::id::OrderId::parse(order["id"].as_str().unwrap()).unwrap();
    let lookups = app.app.store.order_lookups(id).await.unwrap();
    assert_eq!(lookups.len(), 4);
    let txt = lookups.iter().find(|lookup| lookup.source == Source::DnsTxt).unwrap();
    assert_eq!((txt.dnssec, txt.perspective.as_str()), (Some(Dnssec::Secure), "primary"));
    assert!(lookups.iter().any(|lookup| lookup.exchanges.len() == 4), "IANA, the domain and two handles");
    assert_eq!(order["mails"][0]["source"], "dns_txt");
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    let (status, bundle) = app.get(&format!("/v1/orders/{}/evidence", order["id"].as_str().unwrap())).await;
    assert_eq!(status, 200);
    assert_eq!((bundle["lookups"].as_array().unwrap().len(), bundle["br_version"].as_str()), (4, Some("2.2.6")));
    assert!(
        bundle["lookups"].as_array().unwrap().iter().all(|one| one["exchanges"]
            .as_array()
            .unwrap()
            .iter()
            .all(|x| x["sha256"].is_string()))
    );
    assert_eq!(bundle["profile"]["values"]["window"]["days"], 26);
    assert_eq!(
        (bundle["answers"][0]["decided"].as_bool(), bundle["answers"][0]["signer"].as_str()),
        (Some(true), Some("試験 太郎"))
    );
    let token = app.last_link().rsplit('/').next().unwrap().to_owned();
    assert!(!bundle.to_string().contains(&token), "no link is in it");
}

#[tokio::test]
async fn a_stored_look_up_serves_listings_until_it_is_old_or_refreshed() {
    let app = TestApp::sqlite().await;
    jp_world(&app);
    app.dns.txt_is("example.co.jp", &["owner@elsewhere.example"]);
    let ask = async |more: &str| app.get(&format!("/v1/approvers?name=example.co.jp{more}")).await.1;
    let first = ask("").await;
    let (dns, whois) = (app.dns.asked(), app.whois.asked().len());
    app.clock.advance(Duration::from_secs(3600));
    assert_eq!(ask("").await["looked_up_at"], first["looked_up_at"]);
    assert_eq!((app.dns.asked(), app.whois.asked().len()), (dns, whois), "nothing was asked again");
    app.dns.txt_is("example.co.jp", &["new-owner@elsewhere.example"]);
    assert_eq!(emails(&ask("&refresh=true").await, "dns_txt"), ["new-owner@elsewhere.example"]);
    assert_eq!(app.whois.asked().len(), whois + 3, "the registry's server is still known: IANA is not asked again");
    app.clock.advance(Duration::from_secs(25 * 3600));
    ask("").await;
    assert_eq!(app.whois.asked().len(), whois + 3 + 4, "after a day all is asked again, IANA too");
    assert_eq!(app.get("/v1/approvers?name=example.co.jp&refresh=maybe").await.1["errors"][0]["pointer"], "/refresh");
}

#[tokio::test]
async fn a_source_that_fails_hides_no_other_and_says_why() {
    let app = TestApp::sqlite().await;
    app.whois.answers("whois.iana.org", "jp", "refer: whois.jprs.jp\n");
    app.whois.fails("whois.jprs.jp", "example.co.jp/e", HopError::Timeout);
    for (outcome, dnssec, reason) in [
        (DnsOutcome::ServFail, Dnssec::Indeterminate, "servfail"),
        (DnsOutcome::Timeout, Dnssec::Indeterminate, "timeout"),
        (DnsOutcome::Bogus, Dnssec::Bogus, "dnssec-bogus"),
        (DnsOutcome::Other("Query Refused".to_owned()), Dnssec::Indeterminate, "dns-error"),
        (DnsOutcome::Records(vec![b"owner@example.co.jp".to_vec()]), Dnssec::Bogus, "dnssec-bogus"),
    ] {
        app.dns.outcome_is("example.co.jp", outcome, dnssec, Duration::ZERO);
        let (status, listing) = app.get("/v1/approvers?name=example.co.jp&refresh=true").await;
        assert_eq!(status, 200);
        assert_eq!(emails(&listing, "constructed").len(), 5);
        assert!(emails(&listing, "dns_txt").is_empty());
        assert_eq!(source(&listing, "dns_txt")["status"], "failed");
        assert_eq!(source(&listing, "dns_txt")["reasons"], json!([reason]));
        assert_eq!(source(&listing, "whois")["reasons"], json!(["timeout"]));
    }
}

/// The built program at a name server that refuses, garbles, or sends elsewhere whoever asks for a name's contact.
#[tokio::test]
async fn a_name_server_of_no_help_is_a_source_that_failed_and_whose_addresses_nobody_can_choose() {
    for says in [Says::Code(ResponseCode::Refused), Says::CutShort, Says::Referral { with_record: false }] {
        let setup = Setup::new().await;
        let upstream = setup.world.dns.address;
        let server = scripted("_validation-contactemail.sample-shop.co.jp", says, OverTcp::Refuses, Some(upstream)).await;
        let text = std::fs::read_to_string(&setup.config).unwrap();
        let servers = |address: SocketAddr| format!("nameservers = [\"{address}\"]");
        assert!(text.contains(&servers(upstream)));
        std::fs::write(&setup.config, text.replace(&servers(upstream), &servers(server))).unwrap();
        let _daemon = setup.serve().await;
        let request =
            |method, path: &str| setup.client.request(method, format!("{}{path}", setup.base)).bearer_auth(&setup.world.token);
        let answer = request(Method::GET, "/v1/approvers?name=sample-shop.co.jp").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let listing: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let dns_txt = source(&listing, "dns_txt");
        assert_eq!(dns_txt["status"], "failed", "{says:?}: {dns_txt}");
        assert!(["dns-error", "dnssec-bogus"].contains(&dns_txt["reasons"][0].as_str().unwrap()), "{says:?}: {dns_txt}");
        assert_eq!((emails(&listing, "dns_txt").len(), emails(&listing, "constructed").len()), (0, 5));
        // What stands there could be chosen if it were known: it is neither taken nor refused.
        let body =
            json!({"order_ref": "A-1", "names": ["sample-shop.co.jp"], "approvers": ["dns-owner@sample-shop.co.jp"]}).to_string();
        let order = request(Method::POST, "/v1/orders").header("content-type", "application/json").body(body);
        let answer = order.send().await.unwrap();
        assert_eq!(answer.status(), 503);
        let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!((problem["code"].as_str(), problem["source"].as_str()), (Some("source-unavailable"), Some("dns_txt")));
    }
}

#[tokio::test]
async fn a_gtlds_rdap_leads_through_the_registrar_and_is_bounded() {
    let app = TestApp::sqlite().await;
    app.whois.answers("whois.iana.org", "com", "domain: COM\nsource: IANA\n");
    let (_, listing) = app.get("/v1/approvers?name=www.example.com").await;
    assert_eq!(emails(&listing, "rdap"), ["rdap-admin@example.com"]);
    assert_eq!(source(&listing, "rdap")["server"], "127.0.0.1");
    let (_, unknown) = app.get("/v1/approvers?name=unknown.com").await;
    assert_eq!(source(&unknown, "rdap")["reasons"], json!(["not-found"]));
    let (_, endless) = app.get("/v1/approvers?name=endless.com").await;
    assert_eq!(source(&endless, "rdap")["reasons"], json!(["connection-failed"]));
    assert_eq!(emails(&endless, "constructed").len(), 5);
    let (_, plain) = app.get("/v1/approvers?name=plain.com").await;
    assert_eq!(
        (source(&plain, "rdap")["status"].as_str(), &source(&plain, "rdap")["reasons"]),
        (Some("failed"), &json!(["other-media-type"])),
        "what is not said to be RDAP is not read as RDAP"
    );
    assert!(emails(&plain, "rdap").is_empty());
    let kept = app.app.store.latest_lookup(Source::Rdap, "plain.com").await.unwrap().unwrap();
    let [exchange] = &kept.exchanges[..] else { panic!("{:?}", kept.exchanges) };
    assert!(exchange.answer.contains("plain.com") && exchange.error.as_deref().is_some_and(|words| words.contains("text/plain")));
    let (_, packed) = app.get("/v1/approvers?name=packed.com").await;
    assert_eq!(source(&packed, "rdap")["reasons"], json!(["unreadable-answer"]), "it was not asked for and is not unpacked");
}

#[tokio::test]
async fn an_address_that_could_not_be_checked_is_neither_taken_nor_refused() {
    let app = TestApp::sqlite().await;
    jp_world(&app);
    app.dns.outcome_is("example.co.jp", DnsOutcome::ServFail, Dnssec::Indeterminate, Duration::ZERO);
    let body = json!({"order_ref": "A-1", "names": ["example.co.jp"], "approvers": ["owner@elsewhere.example"]});
    let answer = app.request(reqwest::Method::POST, "/v1/orders").header("content-type", "application/json");
    let answer = answer.body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "30");
    let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!((problem["code"].as_str(), problem["source"].as_str()), (Some("source-unavailable"), Some("dns_txt")));
    // A constructed address waits for no network and no failure.
    assert_eq!(app.place_plain("A-2").await["state"], "pending");
}

#[tokio::test]
async fn an_address_is_refused_though_a_source_failed_that_could_not_hold_it() {
    let external = format!("{ENFORCE}corroboration = \"external\"\n");
    let app = TestApp::with_profiles(&[("public", ENFORCE), ("external", &external)]).await;
    // Nobody's WHOIS answers here, and DNS does at `www` alone.
    app.dns.outcome_is("example.co.jp", DnsOutcome::Timeout, Dnssec::Indeterminate, Duration::ZERO);
    let ask = async |profile: &str, adn: Option<&str>| {
        let wanted = json!({"email": "ceo@elsewhere.example", "adn": adn});
        let body = json!({"order_ref": "A-1", "profile": profile, "names": ["www.example.co.jp"], "approvers": [wanted]});
        let (status, answer) = app.post("/v1/orders", &body).await;
        (status, answer["code"].as_str().unwrap_or_default().to_owned())
    };
    let refused = (422, "approver-not-allowed".to_owned());
    let unsure = (503, "source-unavailable".to_owned());
    for (profile, adn, told) in [
        ("standard", None, &unsure),
        ("standard", Some("example.co.jp"), &unsure),
        ("standard", Some("www.example.co.jp"), &refused),
        ("standard", Some("example.com"), &refused),
        // WHOIS is over, and what DNS shows nobody corroborates.
        ("public", None, &refused),
        ("external", None, &unsure),
        ("external", Some("www.example.co.jp"), &refused),
    ] {
        assert_eq!(ask(profile, adn).await, *told, "{profile} {adn:?}");
    }
    // Whether DNS answers or not: validation is switched off, and the profile demands it.
    app.dns.outcome_is("example.co.jp", DnsOutcome::Timeout, Dnssec::Off, Duration::ZERO);
    assert_eq!(ask("external", None).await, refused);
}

#[tokio::test]
async fn an_address_that_may_approve_at_another_adn_is_pointed_there() {
    let app = TestApp::sqlite().await;
    jp_world(&app);
    app.dns.txt_is("example.co.jp", &["ceo@corp.example"]);
    let wanted = json!({"email": "ceo@corp.example", "adn": "www.example.co.jp"});
    let body = json!({"order_ref": "A-1", "names": ["www.example.co.jp"], "approvers": [wanted]});
    let (status, answer) = app.post("/v1/orders", &body).await;
    assert_eq!((status, answer["code"].as_str()), (422, Some("approver-not-allowed")), "{answer}");
    let detail = answer["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.ends_with("it may approve at example.co.jp") && !detail.contains("did you mean"), "{detail}");
}

#[tokio::test]
async fn a_chosen_dns_address_is_asked_again_when_the_order_is_placed() {
    let app = TestApp::sqlite().await;
    jp_world(&app);
    app.dns.txt_is("example.co.jp", &["owner@elsewhere.example"]);
    app.get("/v1/approvers?name=example.co.jp").await;
    app.dns.txt_is("example.co.jp", &["successor@elsewhere.example"]);
    let body = json!({"order_ref": "A-1", "names": ["example.co.jp"], "approvers": ["owner@elsewhere.example"]});
    assert_eq!(app.post("/v1/orders", &body).await.1["code"], "approver-not-allowed");
}

#[tokio::test]
async fn an_address_that_cannot_be_checked_when_the_mail_is_sent_waits_for_the_answer() {
    let app = TestApp::sqlite().await;
    jp_world(&app);
    app.dns.txt_is("example.co.jp", &["owner@elsewhere.example"]);
    let body = json!({"order_ref": "A-1", "names": ["example.co.jp"], "approvers": ["owner@elsewhere.example"]});
    let order = app.place(&body).await;
    app.dns.outcome_is("example.co.jp", DnsOutcome::ServFail, Dnssec::Indeterminate, Duration::ZERO);
    app.clock.advance(Duration::from_secs(61));
    app.run_jobs().await;
    assert!(app.inbox.arrived().is_empty());
    assert_eq!(app.order(&order).await["mails"][0]["delivery"], "sending", "a failure says nothing about the address");
    app.dns.txt_is("example.co.jp", &["owner@elsewhere.example"]);
    app.clock.advance(Duration::from_secs(61));
    app.run_jobs().await;
    assert_eq!(app.inbox.arrived().len(), 1);
    assert_eq!(app.order(&order).await["mails"][0]["delivery"], "accepted");
}

#[tokio::test]
async fn an_address_that_is_gone_when_the_mail_is_sent_gets_none() {
    let app = TestApp::sqlite().await;
    jp_world(&app);
    app.dns.txt_is("example.co.jp", &["owner@elsewhere.example"]);
    let body = json!({"order_ref": "A-1", "names": ["example.co.jp"], "approvers": ["owner@elsewhere.example"]});
    let order = app.place(&body).await;
    app.dns.txt_is("example.co.jp", &["successor@elsewhere.example"]);
    app.clock.advance(Duration::from_secs(61));
    app.run_jobs().await;
    assert!(app.approval_mails().is_empty());
    let order = app.order(&order).await;
    assert_eq!(
        (order["mails"][0]["delivery"].as_str(), order["mails"][0]["failure"].as_str()),
        (Some("failed"), Some("approver-gone"))
    );
    assert_eq!(app.hooks.taken("mail.failed")[0].body["data"]["reason"], "approver-gone");
}

const WHOIS_ONLY: &str = "extends = \"standard\"\naddresses.sources = [\"whois\"]\nwindow.selection_days = 7\n";

#[tokio::test]
async fn a_name_nobody_could_be_chosen_for_awaits_an_approver_and_then_expires() {
    let app = TestApp::with_profiles(&[("whois-only", WHOIS_ONLY)]).await;
    app.whois.answers("whois.iana.org", "jp", "refer: whois.jprs.jp\n");
    app.whois.answers("whois.jprs.jp", "example.co.jp/e", "No match!!\n");
    let order =
        app.place(&json!({"order_ref": "A-1", "profile": "whois-only", "names": ["example.co.jp"], "approvers": "all"})).await;
    assert_eq!(order["validations"][0]["state"], "awaiting_approver");
    assert_eq!(order["mails"], json!([]));
    assert_eq!(app.event_types(&order).await, ["order.created", "approver.needed"]);
    app.run_jobs().await;
    assert_eq!(app.hooks.taken("approver.needed")[0].body["data"]["sources"][0]["reasons"], json!(["not-found"]));
    app.clock.advance(Duration::from_secs(7 * 86_400));
    app.run_jobs().await;
    let ended = app.order(&order).await;
    assert_eq!((ended["state"].as_str(), ended["validations"][0]["state"].as_str()), (Some("completed"), Some("expired")));
    assert_eq!(app.event_types(&order).await[2..], ["validation.expired", "order.completed"]);
}

#[tokio::test]
async fn an_order_that_would_send_a_flood_is_refused() {
    let app = TestApp::sqlite().await;
    let names: Vec<String> = (0..60).map(|n| format!("n{n}.jp")).collect();
    let (status, answer) = app.post("/v1/orders", &json!({"order_ref": "A-1", "names": names, "approvers": "all"})).await;
    assert_eq!((status, answer["code"].as_str()), (422, Some("too-many")), "{answer}");
}

#[tokio::test]
async fn all_asks_everyone_who_may_with_one_mail_for_each() {
    let app = TestApp::with_profiles(&[("whois-only", WHOIS_ONLY)]).await;
    jp_world(&app);
    let order = app
        .place(&json!({"order_ref": "A-1", "profile": "whois-only", "names": ["example.co.jp", "www.example.co.jp"], "approvers": "all"}))
        .await;
    let mails = order["mails"].as_array().unwrap();
    assert_eq!(mails.len(), 2);
    assert!(mails.iter().all(|mail| mail["names"].as_array().unwrap().len() == 2));
    app.run_jobs().await;
    assert!(app.inbox.arrived()[0].text().contains("同じお尋ねを 1 件"));
    // One approval is enough: the other link then says that it is done.
    let link = app.last_link();
    assert_eq!(app.approve(&link).await.0, 303);
    let other = app.inbox.arrived()[0].link().unwrap();
    let (status, page) = app.page(&other).await;
    assert_eq!(status, 200);
    assert!(page.contains("承認の手続きは完了しています"));
}

#[tokio::test]
async fn one_mailbox_from_several_sources_is_one_approver_with_all_that_speaks_for_it() {
    let app = TestApp::sqlite().await;
    jp_world(&app);
    app.whois.answers("whois.jprs.jp", "CONTACT CD5678JP/e", &contact("CD5678JP", "a@example.co.jp"));
    app.dns.txt_is("example.co.jp", &["a@example.co.jp", "admin@example.co.jp"]);
    let (_, listing) = app.get("/v1/approvers?name=example.co.jp").await;
    let of = |email: &str| -> Vec<Value> {
        listing["approvers"].as_array().unwrap().iter().filter(|one| one["email"] == email).cloned().collect()
    };
    let [one] = &of("a@example.co.jp")[..] else { panic!("{listing}") };
    assert_eq!(
        (one["source"].as_str(), one["method"].as_str()),
        (Some("dns_txt"), Some("3.2.2.4.14")),
        "the method that is still allowed"
    );
    let also: Vec<_> = one["also"]
        .as_array()
        .unwrap()
        .iter()
        .map(|also| (also["source"].as_str().unwrap(), also["role"].as_str().unwrap()))
        .collect();
    assert_eq!(also, [("whois", "administrative"), ("whois", "technical")]);
    let [one] = &of("admin@example.co.jp")[..] else { panic!("{listing}") };
    assert_eq!((one["source"].as_str(), one["also"][0]["source"].as_str()), (Some("constructed"), Some("dns_txt")));
}

#[tokio::test]
async fn a_gtld_is_asked_by_whois_only_where_no_rdap_service_answers() {
    let app = TestApp::sqlite().await;
    for name in ["com", "net"] {
        app.whois.answers("whois.iana.org", name, &format!("refer: whois.registry.example\n\ndomain: {}\n", name.to_uppercase()));
    }
    for name in ["endless.com", "example.net"] {
        let answer = format!("Domain Name: {name}\r\nAdmin Email: admin-c@{name}\r\n");
        app.whois.answers("whois.registry.example", name, &answer);
    }
    let (_, listing) = app.get("/v1/approvers?name=example.com").await;
    assert_eq!(emails(&listing, "rdap"), ["rdap-admin@example.com"]);
    assert_eq!(*source(&listing, "whois"), json!({"source": "whois", "status": "off", "reasons": ["rdap-answered"]}));
    let (_, listing) = app.get("/v1/approvers?name=unknown.com").await;
    assert_eq!(
        (source(&listing, "rdap")["status"].as_str(), source(&listing, "whois")["status"].as_str()),
        (Some("empty"), Some("off"))
    );
    assert!(app.whois.asked().is_empty(), "an RDAP service answered each time");
    let (_, listing) = app.get("/v1/approvers?name=endless.com").await;
    assert_eq!(source(&listing, "rdap")["status"], "failed");
    assert_eq!(emails(&listing, "whois"), ["admin-c@endless.com"]);
    for _ in 0..2 {
        let (_, listing) = app.get("/v1/approvers?name=example.net").await;
        assert_eq!(source(&listing, "rdap")["reasons"], json!(["no-rdap-service"]));
        assert_eq!(emails(&listing, "whois"), ["admin-c@example.net"]);
    }
    assert_eq!(
        app.whois.asked().iter().filter(|question| question.query == "example.net").count(),
        1,
        "the second listing is from the store"
    );
}

#[tokio::test]
async fn what_stands_under_a_doubled_name_is_explained_and_not_used() {
    let app = TestApp::sqlite().await;
    app.dns.txt_is("example.jp.example.jp", &["owner@elsewhere.example"]);
    let (_, listing) = app.get("/v1/approvers?name=example.jp").await;
    assert_eq!(source(&listing, "dns_txt")["reasons"], json!(["no-record", "nxdomain", "doubled-name"]));
    assert!(emails(&listing, "dns_txt").is_empty());
}

#[tokio::test]
async fn a_whois_server_that_refuses_is_left_alone() {
    let app = TestApp::sqlite().await;
    app.whois.answers("whois.iana.org", "jp", "refer: whois.jprs.jp\n");
    app.whois.answers("whois.jprs.jp", "example.jp/e", "Too many requests. Try again later.\n");
    let (_, listing) = app.get("/v1/approvers?name=example.jp").await;
    assert_eq!(
        (source(&listing, "whois")["status"].as_str(), &source(&listing, "whois")["reasons"]),
        (Some("failed"), &json!(["rate-limited"]))
    );
    assert_eq!(app.whois.refused(), ["whois.jprs.jp"]);
}

#[tokio::test]
async fn a_source_that_hangs_ends_with_the_deadline_and_hides_no_other() {
    let app = TestApp::sqlite().await;
    app.whois.answers("whois.iana.org", "jp", "refer: whois.jprs.jp\n");
    app.whois.hangs("whois.jprs.jp");
    app.dns.txt_is("example.jp", &["owner@elsewhere.example"]);
    let (status, listing) = app.get("/v1/approvers?name=example.jp").await;
    assert_eq!(status, 200);
    assert_eq!((emails(&listing, "constructed").len(), emails(&listing, "dns_txt").len()), (5, 1));
    let whois = source(&listing, "whois");
    assert_eq!((whois["status"].as_str(), &whois["reasons"]), (Some("failed"), &json!(["deadline"])));
    let kept = app.app.store.latest_lookup(Source::Whois, "example.jp").await.unwrap().unwrap();
    assert!(
        kept.exchanges.last().unwrap().error.as_deref().unwrap().contains("the time was over"),
        "the failure is evidence too"
    );
}

#[tokio::test]
async fn a_slip_of_the_keyboard_and_a_mailbox_that_is_none_of_the_five_are_refused_with_a_hint() {
    let app = TestApp::sqlite().await;
    jp_world(&app);
    for (email, hint) in [
        ("webmasuter@example.co.jp", "did you mean webmaster@example.co.jp?"),
        ("info@example.co.jp", "`info` is none of the five"),
    ] {
        let (status, answer) =
            app.post("/v1/orders", &json!({"order_ref": email, "names": ["example.co.jp"], "approvers": [email]})).await;
        assert_eq!((status, answer["code"].as_str()), (422, Some("approver-not-allowed")), "{answer}");
        let detail = answer["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(hint), "{detail}");
    }
}

const ENFORCE: &str = "extends = \"standard\"\ncompliance = \"enforce\"\n";

#[tokio::test]
async fn under_enforce_what_the_table_forbids_is_listed_and_not_usable() {
    let external = format!("{ENFORCE}corroboration = \"external\"\n");
    let app = TestApp::with_profiles(&[("public", ENFORCE), ("external", &external)]).await;
    jp_world(&app);
    app.dns.txt_is("example.co.jp", &["owner@elsewhere.example"]);
    let usable = async |profile: &str, source: &str| {
        let (_, listing) = app.get(&format!("/v1/approvers?name=example.co.jp&profile={profile}")).await;
        let one = listing["approvers"].as_array().unwrap().iter().find(|one| one["source"] == source).unwrap().clone();
        (one["usable"].as_bool().unwrap(), one["reason"].as_str().map(str::to_owned))
    };
    assert_eq!(usable("public", "whois").await, (false, Some("method-must-not".to_owned())));
    assert_eq!(usable("public", "dns_txt").await, (false, Some("mpic-not-available".to_owned())));
    assert_eq!(usable("public", "constructed").await, (true, None));
    assert_eq!(usable("external", "dns_txt").await, (true, None));
    let body = json!({"order_ref": "A-1", "profile": "public", "names": ["example.co.jp"], "approvers": ["a@example.co.jp"]});
    let (status, answer) = app.post("/v1/orders", &body).await;
    assert_eq!(status, 422);
    assert!(answer["errors"][0]["detail"].as_str().unwrap().contains("method-must-not"), "{answer}");
    app.dns.outcome_is(
        "example.co.jp",
        DnsOutcome::Records(vec![b"owner@elsewhere.example".to_vec()]),
        Dnssec::Off,
        Duration::from_secs(60),
    );
    let (_, listing) = app.get("/v1/approvers?name=example.co.jp&profile=external&refresh=true").await;
    assert_eq!(source(&listing, "dns_txt")["reasons"], json!(["dnssec-required"]));
    assert!(emails(&listing, "dns_txt").is_empty());
}

#[tokio::test]
async fn what_others_are_to_corroborate_is_told_with_the_very_name_that_was_asked() {
    let external = format!("{ENFORCE}corroboration = \"external\"\nreuse.mode = \"per_domain\"\n");
    let app = TestApp::with_profiles(&[("external", &external)]).await;
    // The record stands above the ADN: the climb finds it.
    app.dns.caa_is("example.co.jp", "contactemail", "caa@corp.example");
    app.dns.txt_is("www.example.co.jp", &["txt@corp.example"]);
    let place = async |order_ref: &str, approver: &str, applicant: &str| {
        let wanted = json!({"email": approver, "adn": "www.example.co.jp"});
        let order = app
            .place(&json!({
                "order_ref": order_ref, "profile": "external", "names": ["www.example.co.jp"], "approvers": [wanted],
                "applicant": {"organization": applicant},
            }))
            .await;
        app.run_jobs().await;
        order
    };
    let said = |data: &Value| {
        ["order_ref", "approver", "adn", "mpic", "asked_name"].map(|member| data[member].as_str().unwrap_or_default().to_owned())
    };
    let told = async |kind: &str| {
        app.run_jobs().await;
        said(&app.hooks.taken(kind).pop().unwrap().body["data"])
    };
    let (caa, txt) = ("example.co.jp", "_validation-contactemail.www.example.co.jp");
    for (order_ref, approver, applicant, asked) in
        [("A-1", "caa@corp.example", "甲", caa), ("A-2", "txt@corp.example", "乙", txt)]
    {
        place(order_ref, approver, applicant).await;
        assert_eq!(app.approve(&app.last_link()).await.0, 303);
        assert_eq!(told("validation.approved").await, [order_ref, approver, "www.example.co.jp", "external", asked]);
    }
    // Whatever rests on it tells the same.
    assert_eq!(place("A-3", "caa@corp.example", "甲").await["state"], "completed");
    let by_caa = |order_ref| [order_ref, "caa@corp.example", "www.example.co.jp", "external", caa];
    assert_eq!(told("validation.approved").await, by_caa("A-3"));
    let (_, live) = app.get("/v1/validations?name=www.example.co.jp").await;
    let mut live: Vec<_> = live["validations"].as_array().unwrap().iter().map(said).collect();
    live.sort();
    assert_eq!(live, [by_caa("A-1"), ["A-2", "txt@corp.example", "www.example.co.jp", "external", txt]]);
    let receipt = app.inbox.arrived().into_iter().find(|mail| mail.link().is_none()).unwrap().text();
    let dispute = receipt.lines().find(|line| line.contains("/dispute/")).unwrap();
    assert_eq!(app.send_form(dispute, &[("sure", "yes")]).await.0, 303);
    app.run_jobs().await;
    let mut disputed: Vec<_> = app.hooks.taken("validation.disputed").iter().map(|hook| said(&hook.body["data"])).collect();
    disputed.sort();
    assert_eq!(disputed, [by_caa("A-1"), by_caa("A-3")]);
    // A constructed address takes no look-up and nobody's corroboration.
    app.place_plain("A-4").await;
    app.run_jobs().await;
    assert_eq!(app.approve(&app.last_link()).await.0, 303);
    app.run_jobs().await;
    let data = app.hooks.taken("validation.approved").pop().unwrap().body["data"].clone();
    assert!(["mpic", "asked_name", "looked_up_at"].iter().all(|member| data.get(*member).is_none()), "{data}");
}

#[tokio::test]
async fn bad_names_in_a_query_are_refused_with_their_codes() {
    let app = TestApp::sqlite().await;
    for (query, code) in [
        ("name=co.jp", "public-suffix"),
        ("name=192.0.2.1", "ip-address"),
        ("name=", "empty"),
        ("", "missing-field"),
        ("name=a.jp&profile=none", "unknown-profile"),
        ("name=a.jp&nmae=b", "unknown-field"),
    ] {
        let (status, answer) = app.get(&format!("/v1/approvers?{query}")).await;
        assert_eq!((status, answer["code"].as_str()), (422, Some(code)), "{query}");
    }
}
