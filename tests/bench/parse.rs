//! How fast the parsers read one answer on one core: `cargo bench --bench parse`.

use std::fmt::Write as _;

use dcvd::dcv::contact::whois::{WhoisStatus, read_domain};
use dcvd::dcv::contact::{list, rdap};
use dcvd::dcv::name::{Adn, CertificateName, SuffixList};
use dcvd::dcv::policy::Policy;
use dcvd::dcv::returned_mail;
use dcvd::dcv::timestamp::Timestamp;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

fn base(name: &str) -> Adn {
    Adn::parse(name, &SuffixList::BuiltIn).expect("a good name")
}

/// A registrar's answer as long as those recorded: about 3.5 KiB with its legal notice.
fn registrar() -> Vec<u8> {
    let mut text = String::from(
        "Domain Name: example.com\r\nRegistry Domain ID: 2336799_DOMAIN_COM-VRSN\r\nRegistrar WHOIS Server: whois.registrar.example\r\n\
         Registrar URL: http://www.registrar.example\r\nUpdated Date: 2026-08-14T07:01:31+0000\r\nCreation Date: 1995-08-14T04:00:00+0000\r\n\
         Registrar Registration Expiration Date: 2027-08-13T04:00:00+0000\r\nRegistrar: Registrar Example, Inc.\r\n\
         Registrar IANA ID: 292\r\nRegistrar Abuse Contact Email: abuse@registrar.example\r\nRegistrar Abuse Contact Phone: +1.2086851750\r\n\
         Domain Status: clientUpdateProhibited (https://www.icann.org/epp#clientUpdateProhibited)\r\n",
    );
    for (role, email) in [("Registrant", "r@example.com"), ("Admin", "a@example.com"), ("Tech", "t@example.com")] {
        write!(
            text,
            "Registry {role} ID: \r\n{role} Name: Hanako Example\r\n{role} Organization: Example K.K.\r\n{role} Street: 1-1 Chiyoda\r\n\
             {role} City: Tokyo\r\n{role} State/Province: Tokyo\r\n{role} Postal Code: 100-0001\r\n{role} Country: JP\r\n\
             {role} Phone: +81.300000000\r\n{role} Phone Ext: \r\n{role} Fax: \r\n{role} Email: {email}\r\n"
        )
        .expect("text takes text");
    }
    text += "Name Server: ns1.example.com\r\nName Server: ns2.example.com\r\nDNSSEC: signedDelegation\r\n\
             URL of the ICANN WHOIS Data Problem Reporting System: http://wdprs.internic.net/\r\n\
             >>> Last update of WHOIS database: 2026-11-20T10:04:08+0000 <<<\r\n\r\n";
    text +=
        &"For more information on WHOIS status codes, please visit the registrar's site; the data is for information only.\r\n"
            .repeat(12);
    text.into_bytes()
}

fn jprs() -> Vec<u8> {
    "[ JPRS database provides information on network administration. Its use is    ]\r\n\
     [ restricted to network administration purposes. For further information,     ]\r\n\
     [ use 'whois -h whois.jprs.jp help'. To suppress Japanese output, add'/e'     ]\r\n\
     [ at the end of command, e.g. 'whois -h whois.jprs.jp xxx/e'.                 ]\r\n\r\n\
     Domain Information:\r\n[Domain Name]                   EXAMPLE.JP\r\n\r\n[Registrant]                    Example K.K.\r\n\r\n\
     [Name Server]                   ns1.example.jp\r\n[Name Server]                   ns2.example.jp\r\n[Signing Key]                   \r\n\r\n\
     [Created on]                    2005/05/30\r\n[Expires on]                    2027/05/31\r\n[Status]                        Active\r\n\
     [Last Updated]                  2026/06/01 01:05:04 (JST)\r\n\r\nContact Information:\r\n[Name]                          Example K.K.\r\n\
     [Email]                         public@example.jp\r\n[Web Page]                       \r\n[Postal code]                   100-0001\r\n\
     [Postal Address]                Tokyo\r\n                                Chiyoda\r\n[Phone]                         03-0000-0000\r\n[Fax]                           \r\n\r\n"
        .replace("\n     ", "\n")
        .into_bytes()
}

fn rdap_answer() -> Vec<u8> {
    let entity = |role: &str, email: &str| {
        serde_json::json!({"objectClassName": "entity", "handle": "H1", "roles": [role], "vcardArray": ["vcard", [
            ["version", {}, "text", "4.0"], ["fn", {}, "text", "Hanako Example"], ["org", {}, "text", "Example K.K."],
            ["adr", {}, "text", ["", "", "1-1 Chiyoda", "Tokyo", "", "100-0001", "JP"]],
            ["tel", {"type": "voice"}, "uri", "tel:+81-3-0000-0000"], ["email", {}, "text", email]]]})
    };
    serde_json::json!({
        "objectClassName": "domain", "ldhName": "EXAMPLE.COM", "handle": "2336799_DOMAIN_COM-VRSN",
        "rdapConformance": ["rdap_level_0", "icann_rdap_response_profile_1"], "status": ["active"],
        "links": [{"rel": "self", "type": "application/rdap+json", "href": "https://rdap.example/domain/EXAMPLE.COM"}],
        "entities": [entity("registrant", "r@example.com"), entity("administrative", "a@example.com"),
                     entity("technical", "t@example.com"), entity("registrar", "x@registrar.example")],
        "events": [{"eventAction": "registration", "eventDate": "1995-08-14T04:00:00Z"}],
        "nameservers": [{"objectClassName": "nameserver", "ldhName": "ns1.example.com"}],
        "notices": [{"title": "Terms", "description": ["text ".repeat(200)]}],
    })
    .to_string()
    .into_bytes()
}

#[divan::bench(sample_size = 200)]
fn whois_registrar(bencher: Bencher<'_, '_>) {
    let (raw, base) = (registrar(), base("example.com"));
    assert_eq!(read_domain(&raw, &base).contacts.len(), 3);
    bencher.counter(ItemsCount::new(1_usize)).bench(|| read_domain(black_box(&raw), &base));
}

#[divan::bench(sample_size = 200)]
fn whois_jprs(bencher: Bencher<'_, '_>) {
    let (raw, base) = (jprs(), base("example.jp"));
    assert_eq!(read_domain(&raw, &base).status, WhoisStatus::Found);
    bencher.counter(ItemsCount::new(1_usize)).bench(|| read_domain(black_box(&raw), &base));
}

#[divan::bench(sample_size = 200)]
fn rdap_domain(bencher: Bencher<'_, '_>) {
    let (raw, base) = (rdap_answer(), base("example.com"));
    assert_eq!(rdap::read(&raw, &base).contacts.len(), 3);
    bencher.counter(ItemsCount::new(1_usize)).bench(|| rdap::read(black_box(&raw), &base));
}

/// The constructed part of a listing, as `GET /v1/approvers` makes it for each request.
#[divan::bench(sample_size = 1000)]
fn listing(bencher: Bencher<'_, '_>) {
    let profiles =
        dcvd::config::load_profiles(std::path::Path::new("config/profiles"), "standard").expect("the shipped profiles");
    let profile = &profiles.get(None).expect("the default profile").profile;
    let (policy, now) = (Policy::default(), Timestamp::from_unix_secs(1_795_305_600));
    let CertificateName::Fqdn(name) = CertificateName::parse("www.example.co.jp", &SuffixList::BuiltIn).expect("a good name")
    else {
        return;
    };
    bencher.counter(ItemsCount::new(1_usize)).bench(|| list(black_box(&name), profile, &policy, &[], now));
}

/// One returned mail with a delivery report.
#[divan::bench(sample_size = 200)]
fn returned_mail(bencher: Bencher<'_, '_>) {
    let raw = "From: MAILER-DAEMON@mx.example.jp\r\nTo: bounce@dcv.example.net\r\nSubject: Undelivered Mail Returned to Sender\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n\r\n\
        --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.jp\r\n\r\nFinal-Recipient: rfc822; admin@example.jp\r\n\
        Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 unknown\r\n\r\n--b--\r\n";
    bencher.counter(ItemsCount::new(1_usize)).bench(|| returned_mail::read(black_box(raw.as_bytes())));
}

#[divan::bench(sample_size = 1000, args = ["www.example.co.jp", "*.日本語.jp", "a.b.c.d.example.com"])]
fn name(bencher: Bencher<'_, '_>, name: &str) {
    bencher.counter(ItemsCount::new(1_usize)).bench(|| CertificateName::parse(black_box(name), &SuffixList::BuiltIn));
}
