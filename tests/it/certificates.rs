//! Operators who come by a client certificate: over real TLS handshakes, and through a proxy's header.

use std::path::Path;

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Client, Identity};

use crate::process::Setup;
use crate::support::process::address;

pub type Authority = CertifiedIssuer<'static, KeyPair>;

pub fn authority(organization: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, format!("{organization} CA"));
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A client's certificate with its key, and how it is presented in PEM.
fn client(authority: &Authority, locality: &str, serial: u8, until: i32) -> (Certificate, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "登録 花子");
    params.distinguished_name.push(DnType::LocalityName, locality);
    params.serial_number = Some(SerialNumber::from(vec![serial]));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
    (certificate, pem)
}

/// The daemon's own certificate, the authority's and its revocation list, in files.
fn files(dir: &Path, authority: &Authority, other: &Authority, revoked: u8) {
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(dir.join("server.pem"), own.cert.pem()).unwrap();
    std::fs::write(dir.join("server.key"), own.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    // As proxies want them: the lists of several authorities in one file.
    let list = |authority: &Authority| {
        let one = RevokedCertParams {
            serial_number: SerialNumber::from(vec![revoked]),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2124, 1, 1),
            crl_number: SerialNumber::from(vec![1]),
            issuing_distribution_point: None,
            revoked_certs: vec![one],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(authority).unwrap().pem().unwrap()
    };
    std::fs::write(dir.join("crl.pem"), format!("{}{}", list(other), list(authority))).unwrap();
}

const RULES: &str = "client_ca_files = [\"ca.pem\"]\nclient_crl_files = [\"crl.pem\"]\n
[[admin.certificates]]\nissuer = { O = \"NII\" }\nsubject = { L = \"Academe-ops\" }\nrole = \"viewer\"\n";

/// What becomes of a sign-in: the status and the page, and what the cookie is set to.
async fn sign_in(client: &Client, base: &str, header: Option<(&str, String)>) -> (u16, String, Option<String>) {
    let mut request = client.post(format!("{base}/admin/sign-in/certificate?lang=en")).header("origin", base);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let answer = request.send().await.unwrap();
    let cookie = answer.headers().get(SET_COOKIE).map(|value| value.to_str().unwrap().split(';').next().unwrap().to_owned());
    (answer.status().as_u16(), answer.text().await.unwrap(), cookie)
}

#[tokio::test]
async fn certificates_let_in_over_tls_or_say_why_not() {
    let (ours, theirs) = (authority("NII"), authority("Elsewhere"));
    let setup = Setup::new().await;
    let (admin, dir) = (address(), setup.config.parent().unwrap().to_owned());
    files(&dir, &ours, &theirs, 3);
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let text = text.replace("[server]\n", &format!("[server]\nadmin_listen = \"{admin}\"\n"));
    let text = format!(
        "{text}\n[admin]\nsign_in = true\npasswords = false\ntls_cert_file = \"server.pem\"\ntls_key_file = \"server.key\"\n{RULES}"
    );
    std::fs::write(&setup.config, text).unwrap();
    let _daemon = setup.serve().await;
    let base = format!("https://{admin}");
    let with = |pem: Option<&str>| {
        let mut builder = Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
        if let Some(pem) = pem {
            builder = builder.identity(Identity::from_pem(pem.as_bytes()).unwrap());
        }
        builder.redirect(reqwest::redirect::Policy::none()).build().unwrap()
    };
    for (pem, told) in [
        (None, "No certificate was presented"),
        (Some(client(&ours, "Academe-ops", 2, 2021).1), "The certificate has expired"),
        (Some(client(&ours, "Academe-ops", 3, 2124).1), "The certificate was revoked"),
        (Some(client(&theirs, "Academe-ops", 4, 2124).1), "no authority that is accepted here"),
        (Some(client(&ours, "Academe", 5, 2124).1), "The certificate does not let you in"),
    ] {
        let (status, page, cookie) = sign_in(&with(pem.as_deref()), &base, None).await;
        assert!(status == 403 && page.contains(told) && cookie.is_none(), "{told}: {page}");
    }
    let good = with(Some(&client(&ours, "Academe-ops", 6, 2124).1));
    let page = good.get(format!("{base}/admin/sign-in?lang=en")).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Sign in by certificate") && !page.contains("type=\"password\""), "{page}");
    let (status, _, cookie) = sign_in(&good, &base, None).await;
    assert_eq!(status, 303);
    let cookie = cookie.unwrap();
    let get = async |path: &str| {
        let answer = good.get(format!("{base}{path}")).header(COOKIE, &cookie).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, page) = get("/admin?lang=en").await;
    assert!(status == 200 && page.contains("cert:登録 花子#6@"), "{page}");
    assert_eq!(get("/admin/access").await.0, 403, "a viewer");
    // Without TLS nobody is understood, and a password lets nobody in.
    assert!(with(None).get(format!("http://{admin}/admin")).send().await.is_err());
    let form = good
        .post(format!("{base}/admin/sign-in"))
        .header("origin", &base)
        .header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(form.body("name=x&password=y&code=z").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_proxys_word_counts_and_nobody_elses() {
    let ours = authority("NII");
    let (certificate, _) = client(&ours, "Academe-ops", 7, 2124);
    let rfc_9440 = format!(":{}:", BASE64.encode(certificate.der()));
    let escaped: String =
        url::form_urlencoded::byte_serialize(certificate.pem().as_bytes()).collect::<String>().replace('+', "%20");
    for (proxies, is_believed) in [("[\"127.0.0.1\"]", true), ("[]", false)] {
        let setup = Setup::new().await;
        let (admin, dir) = (address(), setup.config.parent().unwrap().to_owned());
        files(&dir, &ours, &authority("Elsewhere"), 3);
        let text = std::fs::read_to_string(&setup.config).unwrap();
        let text = text.replace("[server]\n", &format!("[server]\nadmin_listen = \"{admin}\"\ntrusted_proxies = {proxies}\n"));
        let text = format!("{text}\n[admin]\nsign_in = true\nclient_cert_header = \"client-cert\"\n{RULES}");
        std::fs::write(&setup.config, text).unwrap();
        let _daemon = setup.serve().await;
        let base = format!("http://{admin}");
        for value in [&rfc_9440, &escaped] {
            let (status, page, cookie) = sign_in(&setup.client, &base, Some(("client-cert", value.clone()))).await;
            let wanted = if is_believed { 303 } else { 403 };
            assert!(status == wanted && cookie.is_some() == is_believed, "{page}");
        }
        let (status, page, _) = sign_in(&setup.client, &base, Some(("client-cert", "nonsense".to_owned()))).await;
        assert!(status == 403 && page.contains("No certificate was presented"), "{page}");
    }
}
