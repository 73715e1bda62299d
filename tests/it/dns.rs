//! The DNS adapter against a real server with signed zones: secure, insecure, bogus and failed are different results.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dcvd::adapters::clock::SystemClock;
use dcvd::adapters::dns::HickoryDns;
use dcvd::adapters::dns::anchor::Anchor;
use dcvd::dcv::contact::SourceStatus;
use dcvd::dcv::contact::dns_caa::CaaRecord;
use dcvd::dcv::contact::dns_txt::{self, DnsOutcome};
use dcvd::dcv::evidence::Dnssec;
use dcvd::demo::dns::{BOGUS_NAME, DnsServer, INSECURE_NAME, SILENT_NAME};
use dcvd::ports::{Dns as _, DnsAnswer};
use futures_util::future::join_all;
use hickory_resolver::proto::op::ResponseCode;

use crate::support::bind::{Bind, Signing};
use crate::support::dns::{HUGE, OverTcp, Says, huge, scripted};

struct Setup {
    _server: DnsServer,
    dns: HickoryDns,
}

impl Setup {
    async fn new(validates: bool) -> Self {
        let server = DnsServer::start().await.unwrap();
        let anchor = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(anchor.path(), server.trust_anchor()).unwrap();
        let anchor = validates.then(|| Anchor::read(anchor.path()).unwrap());
        let dns = HickoryDns::new(&[server.address], anchor, Duration::from_secs(2), Arc::new(SystemClock)).unwrap();
        Self { _server: server, dns }
    }

    async fn txt(&self, name: &str) -> DnsAnswer<Vec<u8>> {
        self.dns.txt(&format!("_validation-contactemail.{name}")).await
    }
}

fn records(values: &[&str]) -> DnsOutcome<Vec<u8>> {
    DnsOutcome::Records(values.iter().map(|value| value.as_bytes().to_vec()).collect())
}

#[tokio::test]
async fn a_signed_answer_is_secure() {
    let setup = Setup::new(true).await;
    let answer = setup.txt("sample-shop.co.jp").await;
    assert_eq!((answer.outcome, answer.dnssec), (records(&["dns-owner@sample-shop.co.jp"]), Dnssec::Secure));
    assert_eq!(answer.ttl, Duration::from_secs(60));
    assert!(answer.exchange.answer.contains("dns-owner"));
}

#[tokio::test]
async fn an_unsigned_zones_answer_is_insecure() {
    let answer = Setup::new(true).await.txt(INSECURE_NAME).await;
    assert_eq!((answer.outcome, answer.dnssec), (records(&["owner@insecure-shop.jp"]), Dnssec::Insecure));
}

#[tokio::test]
async fn an_answer_signed_by_a_stranger_is_bogus_and_has_no_records() {
    let answer = Setup::new(true).await.txt(BOGUS_NAME).await;
    assert_eq!((answer.outcome, answer.dnssec), (DnsOutcome::Bogus, Dnssec::Bogus));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_proven_not_to() {
    let answer = Setup::new(true).await.txt("www.sample-shop.co.jp").await;
    assert_eq!((answer.outcome, answer.dnssec), (DnsOutcome::NxDomain, Dnssec::Secure));
}

#[tokio::test]
async fn a_name_without_such_a_record_is_no_data() {
    let setup = Setup::new(true).await;
    let answer = setup.dns.txt("sample-shop.co.jp").await;
    assert_eq!((answer.outcome, answer.dnssec), (DnsOutcome::NoData, Dnssec::Secure));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_timeout() {
    let answer = Setup::new(true).await.txt(SILENT_NAME).await;
    assert_eq!(answer.outcome, DnsOutcome::Timeout);
    let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
    let dns = HickoryDns::new(&[deaf.local_addr().unwrap()], None, Duration::from_secs(1), Arc::new(SystemClock)).unwrap();
    assert_eq!(dns.txt("_validation-contactemail.example.jp").await.outcome, DnsOutcome::Timeout);
}

#[tokio::test]
async fn with_validation_off_nothing_is_called_secure() {
    let setup = Setup::new(false).await;
    for name in ["sample-shop.co.jp", BOGUS_NAME] {
        let answer = setup.txt(name).await;
        assert_eq!(answer.dnssec, Dnssec::Off);
        assert!(matches!(answer.outcome, DnsOutcome::Records(_)));
    }
}

#[tokio::test]
async fn caa_records_are_read_as_they_stand() {
    let setup = Setup::new(true).await;
    let answer = setup.dns.caa("sample-shop.com").await;
    let DnsOutcome::Records(records) = answer.outcome else { panic!("{:?}", answer.outcome) };
    assert_eq!((records[0].tag.as_str(), records[0].value.as_slice()), ("contactemail", &b"caa-owner@sample-shop.com"[..]));
    assert_eq!(answer.dnssec, Dnssec::Secure);
    assert_eq!(setup.dns.caa("sample-shop.jp").await.outcome, DnsOutcome::NoData);
}

const RECORDS: &str = r#"
txt.ZONE          IN TXT   "a@example.test"
parts.ZONE        IN TXT   "a@exam" "ple.test"
ZONE              IN MX    10 ns.ZONE
caa.ZONE          IN CAA   128 ContactEmail "c@example.test"
alias.ZONE        IN CNAME txt.ZONE
www.ZONE          IN CNAME ZONE
dangling.ZONE     IN CNAME none.ZONE
*.wild.ZONE       IN TXT   "w@example.test"
*.wildalias.ZONE  IN CNAME txt.ZONE
a.ent.ZONE        IN TXT   "e@example.test"
to-plain.ZONE     IN CNAME txt.plain.test.
loop.ZONE         IN CNAME pool.ZONE
pool.ZONE         IN CNAME loop.ZONE
"#;

const PLAIN: &str = r#"
txt.plain.test.        IN TXT   "a@example.test"
to-signed.plain.test.  IN CNAME txt.nsec.test.
to-nodata.plain.test.  IN CNAME nsec.test.
"#;

const GENUINE: &str = r#"
txt.ZONE IN TXT "genuine@example.test"
caa.ZONE IN CAA 0 contactemail "genuine@example.test"
"#;

fn world() -> Bind {
    let records = |zone: &str, text: &str| text.replace("ZONE", zone);
    let mut nsec = records("nsec.test.", RECORDS);
    let long: Vec<String> = (0..12).map(|_| format!("\"{}\"", "x".repeat(250))).collect();
    nsec += "bytes.nsec.test. IN TXT \"\\000\\255\\128\"\nlong.nsec.test. IN TXT ";
    nsec += &long.join(" ");
    Bind::start(&[
        ("nsec.test.", Signing::Nsec, &nsec),
        ("nsec3.test.", Signing::Nsec3, &records("nsec3.test.", RECORDS)),
        ("plain.test.", Signing::Unsigned, PLAIN),
        ("tampered.test.", Signing::Tampered, &records("tampered.test.", GENUINE)),
        ("expired.test.", Signing::Expired, &records("expired.test.", GENUINE)),
        ("stripped.test.", Signing::Stripped, &records("stripped.test.", GENUINE)),
        ("ed448.test.", Signing::Ed448, &records("ed448.test.", GENUINE)),
    ])
}

fn validating(server: SocketAddr, anchor: &str) -> HickoryDns {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), anchor).unwrap();
    HickoryDns::new(&[server], Some(Anchor::read(file.path()).unwrap()), Duration::from_secs(5), Arc::new(SystemClock)).unwrap()
}

/// Asks for TXT, or for CAA where the name begins with `CAA `, and tells the outcome and the verdict in a line.
async fn told(dns: &HickoryDns, question: &str) -> String {
    let (answer, verdict) = match question.strip_prefix("CAA ") {
        None => {
            let answer = dns.txt(question).await;
            (format!("{:?}", answer.outcome.clone().map(|text| String::from_utf8_lossy(&text).into_owned())), answer.dnssec)
        }
        Some(name) => {
            let answer = dns.caa(name).await;
            let say = |caa: CaaRecord| format!("{} {} {}", caa.critical, caa.tag, String::from_utf8_lossy(&caa.value));
            (format!("{:?}", answer.outcome.clone().map(say)), answer.dnssec)
        }
    };
    format!("{question}: {answer} {}", verdict.as_str())
}

/// Every row of what a validator must tell apart, as `delv` tells it.
#[tokio::test]
async fn against_bind_every_answer_is_what_it_is_and_proven_as_it_is() {
    let bind = world();
    let dns = validating(bind.recursive, &bind.dnskey);
    let mut rows = Vec::new();
    for zone in ["nsec.test", "nsec3.test"] {
        for (question, expected) in [
            ("txt.ZONE", r#"Records(["a@example.test"]) secure"#),
            ("parts.ZONE", r#"Records(["a@example.test"]) secure"#),
            ("CAA caa.ZONE", r#"Records(["true ContactEmail c@example.test"]) secure"#),
            ("alias.ZONE", r#"Records(["a@example.test"]) secure"#),
            ("CAA www.ZONE", "NoData secure"),
            ("CAA alias.ZONE", "NoData secure"),
            ("dangling.ZONE", "NxDomain secure"),
            ("a.wild.ZONE", r#"Records(["w@example.test"]) secure"#),
            ("a.b.wild.ZONE", r#"Records(["w@example.test"]) secure"#),
            ("CAA a.wild.ZONE", "NoData secure"),
            ("a.wildalias.ZONE", r#"Records(["a@example.test"]) secure"#),
            ("CAA a.wildalias.ZONE", "NoData secure"),
            ("to-plain.ZONE", r#"Records(["a@example.test"]) insecure"#),
            ("CAA to-plain.ZONE", "NoData insecure"),
            ("none.ZONE", "NxDomain secure"),
            ("ZONE", "NoData secure"),
            ("ent.ZONE", "NoData secure"),
        ] {
            rows.push((question.replace("ZONE", zone), expected.to_owned()));
        }
    }
    for (question, expected) in [
        ("txt.plain.test", r#"Records(["a@example.test"]) insecure"#),
        ("none.plain.test", "NxDomain insecure"),
        ("CAA txt.plain.test", "NoData insecure"),
        ("to-signed.plain.test", r#"Records(["a@example.test"]) insecure"#),
        ("CAA to-nodata.plain.test", "NoData insecure"),
        ("CAA to-signed.plain.test", "NoData insecure"),
        ("txt.tampered.test", "Bogus bogus"),
        ("CAA caa.tampered.test", "Bogus bogus"),
        ("txt.expired.test", "Bogus bogus"),
        ("none.expired.test", "Bogus bogus"),
        ("txt.stripped.test", "Bogus bogus"),
        ("none.stripped.test", "Bogus bogus"),
        ("txt.ed448.test", r#"Records(["genuine@example.test"]) insecure"#),
        ("bytes.nsec.test", "Records([\"\\0\u{fffd}\u{fffd}\"]) secure"),
    ] {
        rows.push((question.to_owned(), expected.to_owned()));
    }
    let mut wrong = Vec::new();
    for (question, expected) in rows {
        let (told, expected) = (told(&dns, &question).await, format!("{question}: {expected}"));
        if told != expected {
            wrong.push(format!("{told}\n    expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let long = dns.txt("long.nsec.test").await;
    assert_eq!((long.outcome, long.dnssec), (records(&[&"x".repeat(3000)]), Dnssec::Secure), "over TCP");
    assert_eq!(dns.txt("loop.nsec.test").await.outcome, DnsOutcome::ServFail, "aliases that go round");
}

/// Straight at the authority, where an answer through an alias into another zone carries that zone's denial.
#[tokio::test]
async fn at_an_authority_too_a_denial_is_no_better_proven_than_the_aliases_that_led_to_it() {
    let bind = world();
    let dns = validating(bind.authority, &bind.dnskey);
    for (question, expected) in [
        ("CAA to-nodata.plain.test", "NoData insecure"),
        ("CAA to-signed.plain.test", "NoData insecure"),
        ("to-signed.plain.test", r#"Records(["a@example.test"]) insecure"#),
        ("none.plain.test", "NxDomain insecure"),
        ("CAA www.nsec.test", "NoData secure"),
        ("dangling.nsec3.test", "NxDomain secure"),
        ("a.wild.nsec.test", r#"Records(["w@example.test"]) secure"#),
        ("txt.tampered.test", "Bogus bogus"),
    ] {
        assert_eq!(told(&dns, question).await, format!("{question}: {expected}"));
    }
}

#[tokio::test]
async fn a_forged_denial_in_a_signed_zone_hides_nothing() {
    let bind = world();
    for with_record in [false, true] {
        let says = Says::Referral { with_record };
        let dns = validating(scripted("www.nsec.test", says, OverTcp::Refuses, Some(bind.recursive)).await, &bind.dnskey);
        assert_eq!(told(&dns, "CAA www.nsec.test").await, "CAA www.nsec.test: Bogus bogus", "{with_record}");
        assert_eq!(told(&dns, "txt.nsec.test").await, r#"txt.nsec.test: Records(["a@example.test"]) secure"#);
    }
}

#[tokio::test]
async fn the_second_validators_verdict_counts_where_the_first_is_wrong_and_both_are_evidence() {
    let bind = world();
    let dns = validating(bind.recursive, &bind.dnskey);
    let answer = dns.txt("a.wild.nsec.test").await;
    let validation = answer.exchange.validation.unwrap();
    assert_eq!((validation.verdict, validation.overruled), (Dnssec::Secure, Some(Dnssec::Bogus)));
    assert_eq!(validation.anchor_key_tags.len(), 1);
    let answer = dns.txt("txt.nsec.test").await;
    assert_eq!(answer.exchange.validation.unwrap().overruled, None);
}

#[tokio::test]
async fn a_ds_record_is_a_trust_anchor_and_a_strangers_proves_nothing() {
    let bind = world();
    for server in [bind.recursive, bind.authority] {
        let dns = validating(server, &bind.ds);
        assert_eq!(told(&dns, "txt.nsec.test").await, r#"txt.nsec.test: Records(["a@example.test"]) secure"#);
    }
    let stranger = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";
    let answer = validating(bind.recursive, stranger).txt("txt.nsec.test").await;
    assert!(
        !matches!((&answer.outcome, answer.dnssec), (DnsOutcome::Records(_), Dnssec::Secure | Dnssec::Insecure)),
        "{answer:?}"
    );
}

/// What is no answer, over UDP and where that says so over TCP, and how it is told without validation.
const NO_ANSWERS: [(Says, OverTcp, &str); 11] = [
    (Says::Code(ResponseCode::Refused), OverTcp::Refuses, "Other(\"Query Refused\")"),
    (Says::Code(ResponseCode::ServFail), OverTcp::Refuses, "ServFail"),
    (Says::CutShort, OverTcp::Refuses, "Other(\"protocol error"),
    (Says::Referral { with_record: false }, OverTcp::Refuses, "Other(\"the server refers to others"),
    (Says::Truncated, OverTcp::Refuses, "Other(\"response was truncated"),
    (Says::Truncated, OverTcp::Resets, "Other(\"response was truncated"),
    (Says::Truncated, OverTcp::Says(Says::CutShort), "Timeout"),
    (Says::Truncated, OverTcp::Says(Says::Truncated), "Other(\"response was truncated"),
    (Says::Truncated, OverTcp::Silent, "Timeout"),
    (Says::WrongId, OverTcp::Refuses, "Timeout"),
    (Says::WrongQuestion, OverTcp::Refuses, "Timeout"),
];

/// Asks a server of no help, and looks at the time that it took and at what is kept.
async fn ask_in_vain(dns: &HickoryDns, name: &str, limit: Duration) -> DnsOutcome<Vec<u8>> {
    let begin = Instant::now();
    let answer = dns.txt(name).await;
    assert!(begin.elapsed() < limit * 2, "{:?} in {:?}", answer.outcome, begin.elapsed());
    assert!(answer.exchange.error.is_some() && answer.ttl.is_zero(), "{answer:?}");
    answer.outcome
}

#[tokio::test]
async fn what_is_no_answer_is_a_failure_of_its_kind_and_in_time() {
    let (name, limit) = ("txt.plain.test", Duration::from_secs(2));
    join_all(NO_ANSWERS.map(async |(udp, tcp, expected)| {
        let server = scripted(name, udp, tcp, None).await;
        let dns = HickoryDns::new(&[server], None, limit, Arc::new(SystemClock)).unwrap();
        let told = format!("{:?}", ask_in_vain(&dns, name, limit).await);
        assert!(told.starts_with(expected), "{udp:?}, {tcp:?}: {told}");
    }))
    .await;
}

#[tokio::test]
async fn with_validation_too_what_is_no_answer_is_neither_a_record_nor_a_denial() {
    let bind = world();
    let in_zone = async |name: &'static str| {
        join_all(NO_ANSWERS.map(async |(udp, tcp, _)| {
            let dns = validating(scripted(name, udp, tcp, Some(bind.recursive)).await, &bind.dnskey);
            let told = ask_in_vain(&dns, name, Duration::from_secs(5)).await;
            let is_answer = matches!(told, DnsOutcome::Records(_) | DnsOutcome::NoData | DnsOutcome::NxDomain);
            assert!(!is_answer, "{name}, {udp:?}, {tcp:?}: {told:?}");
        }))
        .await;
    };
    tokio::join!(in_zone("txt.nsec.test"), in_zone("txt.plain.test"));
}

#[tokio::test]
async fn as_much_as_one_message_holds_is_read_whole_and_is_too_much() {
    let server = scripted("txt.plain.test", Says::Truncated, OverTcp::Says(Says::Huge), None).await;
    let dns = HickoryDns::new(&[server], None, Duration::from_secs(5), Arc::new(SystemClock)).unwrap();
    let answer = dns.txt("txt.plain.test").await;
    let whole = DnsOutcome::Records((0..HUGE).map(|number| huge(number).into_bytes()).collect());
    assert!(answer.outcome == whole, "{:?}", answer.exchange);
    let (status, contacts, reasons) = dns_txt::read(&answer.outcome, answer.dnssec);
    assert_eq!((status, contacts.len(), reasons), (SourceStatus::Failed, 0, vec!["too-many-records".to_owned()]));
}
