//! The WHOIS adapter against scripted servers: questions, limits, and addresses it must not reach.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dcvd::adapters::clock::SystemClock;
use dcvd::adapters::whois::PortFortyThree;
use dcvd::dcv::contact::SourceStatus;
use dcvd::dcv::contact::whois::{HopError, Outcome, Question, Walk};
use dcvd::dcv::name::{Adn, SuffixList};
use dcvd::demo::whois;
use dcvd::ports::Whois as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::fakes::FakeClock;

fn adapter(connect_to: &[(&str, SocketAddr)], timeout: Duration) -> PortFortyThree {
    let connect_to: HashMap<_, _> = connect_to.iter().map(|(host, address)| ((*host).to_owned(), *address)).collect();
    PortFortyThree::new(connect_to, timeout, Duration::from_millis(10), 20, Arc::new(SystemClock))
}

fn ask(server: &str, query: &str) -> Question {
    Question { server: server.to_owned(), query: query.to_owned() }
}

/// What a scripted server does with a connection.
#[derive(Clone, Copy)]
enum Behaviour {
    Endless,
    Silent,
    Close,
    Reset,
}

async fn server(behaviour: Behaviour) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut question = [0; 100];
                let _ = stream.read(&mut question).await;
                match behaviour {
                    Behaviour::Endless => while stream.write_all(&[b'x'; 4096]).await.is_ok() {},
                    Behaviour::Silent => tokio::time::sleep(Duration::from_secs(20)).await,
                    Behaviour::Close => {}
                    // Closing with bytes unread makes the kernel send a reset.
                    Behaviour::Reset => drop(stream.set_zero_linger()),
                }
            });
        }
    });
    address
}

async fn walk(name: &str) -> (Outcome, Vec<String>) {
    let servers = whois::start().await.unwrap();
    let adapter = adapter(&servers, Duration::from_secs(5));
    let mut walk = Walk::new(&Adn::parse(name, &SuffixList::BuiltIn).unwrap(), "whois.iana.org", None);
    let mut asked = Vec::new();
    while let Some(question) = walk.question() {
        asked.push(format!("{}: {}", question.server, question.query));
        let answer = adapter.ask(&question).await;
        walk.answer(answer.result.as_deref().map_err(Clone::clone));
    }
    (walk.finish(), asked)
}

#[tokio::test]
async fn an_organizational_name_takes_a_second_query_for_each_handle() {
    let (outcome, asked) = walk("sample-shop.co.jp").await;
    let emails: Vec<_> = outcome.contacts.iter().map(|contact| contact.email.to_string()).collect();
    assert_eq!(emails, ["hanako@sample-shop.co.jp", "network@sample-shop.co.jp"]);
    assert_eq!(asked.len(), 4);
    assert_eq!(outcome.server.as_deref(), Some("whois.jprs.jp"));
}

#[tokio::test]
async fn a_general_name_shows_its_public_contact() {
    let (outcome, asked) = walk("sample-shop.jp").await;
    assert_eq!(outcome.contacts[0].email.to_string(), "public@sample-shop.jp");
    assert_eq!(asked, ["whois.iana.org: jp", "whois.jprs.jp: sample-shop.jp/e"]);
}

#[tokio::test]
async fn a_gtld_name_leads_through_the_registrar() {
    let (outcome, asked) = walk("sample-shop.com").await;
    assert_eq!(outcome.status, SourceStatus::Ok);
    assert_eq!(outcome.server.as_deref(), Some("whois.registrar.example"));
    assert_eq!(asked.len(), 3);
    assert!(!outcome.contacts.iter().any(|contact| contact.email.to_string().contains("abuse")));
}

#[tokio::test]
async fn an_unknown_name_and_a_top_level_without_whois_are_empty_and_nonsense_fails() {
    assert_eq!(walk("none-such-shop.jp").await.0.status, SourceStatus::Empty);
    let (outcome, _) = walk("sample-shop.dev").await;
    assert_eq!(
        (outcome.status, outcome.reasons),
        (SourceStatus::Empty, vec!["no-whois-server".to_owned()]),
        "IANA says so: an answer"
    );
    let (outcome, _) = walk("sample-shop.org").await;
    assert_eq!((outcome.status, outcome.reasons), (SourceStatus::Failed, vec!["unreadable-answer".to_owned()]));
}

#[tokio::test]
async fn endless_silent_empty_and_reset_answers_are_failures_within_the_limits() {
    for (behaviour, timeout_expected) in
        [(Behaviour::Endless, false), (Behaviour::Silent, true), (Behaviour::Close, false), (Behaviour::Reset, false)]
    {
        let adapter = adapter(&[("whois.test.example", server(behaviour).await)], Duration::from_millis(500));
        let answer = adapter.ask(&ask("whois.test.example", "example.jp")).await;
        let error = answer.result.unwrap_err();
        assert_eq!(error == HopError::Timeout, timeout_expected, "{error:?}");
        assert!(answer.exchange.error.is_some(), "the failure is evidence too");
    }
}

#[tokio::test]
async fn a_server_on_a_private_address_is_not_reached() {
    let adapter = adapter(&[], Duration::from_secs(2));
    let answer = adapter.ask(&ask("localhost", "example.jp")).await;
    assert_eq!(answer.result.unwrap_err(), HopError::ForbiddenAddress);
}

#[tokio::test]
async fn a_server_that_refused_is_not_asked_again_for_longer_and_longer() {
    let servers = whois::start().await.unwrap();
    let connect_to: HashMap<_, _> = servers.iter().map(|(host, address)| ((*host).to_owned(), *address)).collect();
    let clock = Arc::new(FakeClock::new());
    let adapter = PortFortyThree::new(connect_to, Duration::from_secs(5), Duration::from_millis(10), 20, clock.clone());
    let question = ask("whois.iana.org", "jp");
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert!(adapter.ask(&question).await.result.is_ok());
        adapter.back_off("whois.iana.org");
        clock.advance(Duration::from_secs(minutes * 60 - 1));
        assert_eq!(adapter.ask(&question).await.result, Err(HopError::BackingOff), "{minutes}");
        assert!(adapter.ask(&ask("whois.jprs.jp", "sample-shop.jp/e")).await.result.is_ok(), "another server is asked");
        clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn questions_to_one_server_wait_for_the_rate() {
    let servers = whois::start().await.unwrap();
    let connect_to: HashMap<_, _> = servers.iter().map(|(host, address)| ((*host).to_owned(), *address)).collect();
    let slow = PortFortyThree::new(connect_to, Duration::from_secs(5), Duration::from_secs(3600), 1, Arc::new(SystemClock));
    let question = ask("whois.iana.org", "jp");
    assert!(slow.ask(&question).await.result.is_ok());
    let second = tokio::time::timeout(Duration::from_millis(300), slow.ask(&question)).await;
    assert!(second.is_err(), "the second waits");
    assert!(slow.ask(&ask("whois.jprs.jp", "sample-shop.jp/e")).await.result.is_ok(), "another server is another rate");
}
