//! What operators write down and how they come in: profiles, trust anchors, a provider's claims, certificates, and what authorities say of them.
//!
//! An input that is a JSON object is a provider's claims; one that holds a PEM label, or is no text, a chain of certificates, the file of an
//! authority and one of revocation lists; one that names DNSKEY or DS a trust anchor; any other a profile's file, whole.
#![no_main]

use std::sync::LazyLock;

use dcvd::adapters::client_certificate::Authorities;
use dcvd::adapters::dns::anchor::Anchor;
use dcvd::dcv::field::is_one_line;
use dcvd::dcv::operator::Role;
use dcvd::dcv::operator_certificate::Chain;
use dcvd::dcv::operator_claims::{ClaimRule, Identity, admit, called};
use dcvd::dcv::profile::{Profile, SubjectFields, Versioned, advice};
use dcvd::dcv::timestamp::Timestamp;
use dcvd::ports::ClientCertificates as _;
use libfuzzer_sys::fuzz_target;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value};
use tempfile::NamedTempFile;

const NOW: Timestamp = Timestamp::from_unix_secs(1_795_305_600);

static AUTHORITIES: LazyLock<Authorities> = LazyLock::new(|| Authorities::read(&[], &[]).expect("there is nothing to read"));

static IANA: LazyLock<Anchor> = LazyLock::new(Anchor::iana);

/// An authority of the name that the seeds' list has, in a file, and a certificate of its for a client.
static ISSUED: LazyLock<(NamedTempFile, Vec<u8>)> = LazyLock::new(|| {
    let key = || KeyPair::generate().expect("a key is made");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::OrganizationName, "Operators of the fuzzer");
    params.distinguished_name.push(DnType::CommonName, "Operators CA");
    let issuer = CertifiedIssuer::self_signed(params, key()).expect("an authority is made");
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    // What the seeds' list revokes.
    params.serial_number = Some(SerialNumber::from(vec![0x66, 0xfc, 0xf1, 0x1a, 0x83, 0x84, 0x10]));
    let issued = params.signed_by(&key(), &issuer).expect("a certificate is made").der().to_vec();
    let file = written(issuer.pem().as_bytes());
    let known = Authorities::read(&[file.path().to_owned()], &[]).expect("the authority can be read");
    assert!(known.look_at(&[issued.clone()], NOW).is_some_and(|known| known.chain == Chain::Good));
    // Its own list, which it signed, does revoke it.
    let one = RevokedCertParams {
        serial_number: params.serial_number.clone().expect("it has one"),
        revocation_time: date_time_ymd(2026, 11, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 11, 1),
        next_update: date_time_ymd(2100, 1, 1),
        crl_number: SerialNumber::from(vec![1]),
        issuing_distribution_point: None,
        revoked_certs: vec![one],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = written(list.signed_by(&issuer).expect("a list is made").pem().expect("it can be written").as_bytes());
    let revoking = Authorities::read(&[file.path().to_owned()], &[list.path().to_owned()]).expect("the list can be read");
    assert!(revoking.look_at(&[issued.clone()], NOW).is_some_and(|known| known.chain == Chain::Revoked));
    (file, issued)
});

/// Whoever is let in is so by the rule, under a name of one line.
fn claims(claims: Map<String, Value>) {
    let rule = ClaimRule { claim: "groups".to_owned(), value: "dcvd".to_owned(), role: Role::Operator };
    let identity = Identity { issuer: "https://id.example".to_owned(), claims };
    if let Ok((name, role)) = admit(&identity, &[rule]) {
        assert!(is_one_line(&name) && role == Role::Operator);
        assert!(identity.claims["groups"].to_string().contains("\"dcvd\""), "{:?}", identity.claims);
    }
    assert!(called(&identity).is_none_or(|name| is_one_line(&name)));
}

/// Of authorities that nobody knows: nobody is let in, whatever it says of itself.
fn chain(raw: &[u8]) {
    let pem = CertificateDer::pem_slice_iter(raw).map_while(Result::ok).map(|one| one.as_ref().to_vec());
    let mut chain: Vec<Vec<u8>> = pem.collect();
    if chain.is_empty() {
        chain.push(raw.to_vec());
    }
    let presented = AUTHORITIES.look_at(&chain, NOW).expect("there is one");
    assert!(presented.chain != Chain::Good && !presented.operator_name().chars().any(char::is_control));
    let file = written(raw);
    let own = [file.path().to_owned()];
    // Lists that an authority did not sign revoke nothing of its.
    if let Ok(revoking) = Authorities::read(&[ISSUED.0.path().to_owned()], &own) {
        assert!(revoking.look_at(&[ISSUED.1.clone()], NOW).is_some_and(|known| known.chain != Chain::Revoked));
    }
    // An authority of the input's own may let in whom it likes.
    if let Ok(trusting) = Authorities::read(&own, &[]) {
        let _ = trusting.look_at(&chain, NOW);
    }
}

/// The input as a file that the configuration names.
fn written(raw: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a file can be made");
    std::fs::write(file.path(), raw).expect("a file can be written");
    file
}

/// An anchor is the root's where it says no more than the root's.
fn anchor(raw: &[u8]) {
    if let Ok(anchor) = Anchor::read(written(raw).path()) {
        assert!(!anchor.is_iana() || anchor.key_tags().iter().all(|tag| IANA.key_tags().contains(tag)));
    }
}

/// What the loader would take is stored and read back the same, and what it words stands on one line.
fn profile(text: &str) {
    let Ok(profile) = toml::from_str::<Profile>(&format!("id = \"fuzzed\"\n{text}")) else { return };
    let profile = profile.effective();
    if profile.lint().is_err() {
        return;
    }
    let stored = Versioned::new(profile).expect("a profile can be written");
    let read = Versioned::from_body(&stored.body).expect("what was written can be read");
    assert!(read.profile == stored.profile && read.hash == stored.hash, "{}", stored.body);
    let _ = advice(&stored.profile, NOW);
    let fields = SubjectFields { domain: "example.jp", request_id: "ord_1", order_ref: "A-1" };
    for (japanese, renewal) in [(true, true), (true, false), (false, false)] {
        let subject = stored.profile.mail.subject(japanese, renewal, &fields);
        assert!(subject.is_none_or(|subject| is_one_line(&subject) && subject.contains("example.jp")));
    }
}

fuzz_target!(|raw: &[u8]| {
    match std::str::from_utf8(raw) {
        Ok(text) if text.contains("-----BEGIN") => chain(raw),
        Err(_) => chain(raw),
        Ok(text) => match serde_json::from_str(text) {
            Ok(Value::Object(object)) => claims(object),
            _ if text.contains("DNSKEY") || text.contains("DS") => anchor(raw),
            _ => profile(text),
        },
    }
});
