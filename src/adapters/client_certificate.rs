//! Looks at client certificates: the chain with rustls-webpki, against the authorities and revocation lists that the configuration names.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use sha2::{Digest as _, Sha256};
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage, RevocationOptionsBuilder,
    UnknownStatusPolicy, anchor_from_trusted_cert,
};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate, X509Name};

use crate::dcv::operator_certificate::{Chain, Presented};
use crate::dcv::timestamp::Timestamp;
use crate::ports::ClientCertificates;

/// Largest chain looked at, in certificates.
const CHAIN_MAX: usize = 8;

/// The authorities, and what they revoked.
pub struct Authorities {
    anchors: Vec<CertificateDer<'static>>,
    /// Read again when they change, so that a new list counts at once.
    revocation_lists: Vec<PathBuf>,
    read: Mutex<HashMap<PathBuf, Read>>,
}

/// A file of lists as it was read: when it was changed, its length, and what is in it.
struct Read {
    changed: Option<SystemTime>,
    length: u64,
    lists: Lists,
}

/// Lists with the time at which each was made.
type Lists = Arc<Vec<(i64, CertRevocationList<'static>)>>;

impl Authorities {
    /// Reads the authorities' certificates, PEM; revocation lists, PEM or DER, are read when they are needed.
    ///
    /// # Errors
    /// A file cannot be read or holds none.
    pub fn read(authorities: &[PathBuf], revocation_lists: &[PathBuf]) -> anyhow::Result<Self> {
        let mut anchors = Vec::new();
        for path in authorities {
            let read: Vec<_> = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect)
                .map_err(|error| anyhow::anyhow!("{error}"))
                .with_context(|| path.display().to_string())?;
            ensure!(!read.is_empty(), "{}: holds no certificate", path.display());
            for one in &read {
                anchor_from_trusted_cert(one).with_context(|| path.display().to_string())?;
            }
            anchors.extend(read);
        }
        let authorities = Self { anchors, revocation_lists: revocation_lists.to_vec(), read: Mutex::default() };
        authorities.lists().context("admin.client_crl_files")?;
        Ok(authorities)
    }

    fn lists(&self) -> anyhow::Result<Vec<Lists>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |path: &PathBuf| {
            let file = fs::metadata(path)?;
            let (changed, length) = (file.modified().ok(), file.len());
            if let Some(known) = read.get(path).filter(|known| known.changed == changed && known.length == length) {
                return Ok(Arc::clone(&known.lists));
            }
            let lists = Arc::new(lists_in(path)?);
            read.insert(path.clone(), Read { changed, length, lists: Arc::clone(&lists) });
            Ok(lists)
        };
        self.revocation_lists.iter().map(one).collect()
    }

    fn chain(&self, chain: &[Vec<u8>], now: Timestamp) -> Chain {
        let certificates: Vec<CertificateDer<'_>> = chain.iter().map(|one| CertificateDer::from(one.as_slice())).collect();
        let Some((first, between)) = certificates.split_first().filter(|_| certificates.len() <= CHAIN_MAX) else {
            return Chain::Unusable;
        };
        let Ok(end) = EndEntityCert::try_from(first) else { return Chain::Unusable };
        let anchors: Vec<_> = self.anchors.iter().filter_map(|one| anchor_from_trusted_cert(one).ok()).collect();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.unix_secs()).unwrap_or_default()));
        let verify = |revocation| {
            let usage = KeyUsage::client_auth();
            end.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, between, time, usage, revocation, None).map(|_| ())
        };
        // Strangers' certificates get no further than this.
        if let Err(error) = verify(None) {
            return of_error(&error);
        }
        let lists = match self.lists() {
            Ok(lists) => lists,
            Err(error) => {
                tracing::error!(%error, "a revocation list cannot be read: nobody is let in by certificate");
                return Chain::Unusable;
            }
        };
        // The first that speaks of an issuer counts: the newest.
        let mut lists: Vec<&(i64, CertRevocationList<'_>)> = lists.iter().flat_map(|lists| lists.iter()).collect();
        lists.sort_by_key(|(made, _)| std::cmp::Reverse(*made));
        let lists: Vec<&CertRevocationList<'_>> = lists.into_iter().map(|(_, list)| list).collect();
        // Whom no list speaks of, is not revoked: not every authority publishes one. A list that is out of date counts no more.
        let Ok(options) = RevocationOptionsBuilder::new(&lists) else { return Chain::Good };
        let options = options.with_status_policy(UnknownStatusPolicy::Allow).with_expiration_policy(ExpirationPolicy::Enforce);
        verify(Some(options.build())).map_or_else(
            |error| {
                if matches!(error, Error::CrlExpired { .. }) {
                    tracing::error!("a revocation list is out of date: whom it speaks of is not let in by certificate");
                }
                of_error(&error)
            },
            |()| Chain::Good,
        )
    }
}

fn of_error(error: &Error) -> Chain {
    match error {
        Error::CertExpired { .. } => Chain::Expired,
        Error::CertNotValidYet { .. } => Chain::NotYetValid,
        Error::CertRevoked => Chain::Revoked,
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => Chain::UnknownIssuer,
        _ => Chain::Unusable,
    }
}

/// Reads revocation lists: all of a PEM file, or one in DER.
fn lists_in(path: &Path) -> anyhow::Result<Vec<(i64, CertRevocationList<'static>)>> {
    let told = || path.display().to_string();
    let bytes = fs::read(path).with_context(told)?;
    let pem: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    let read = |der: &[u8]| {
        let (_, list) = CertificateRevocationList::from_der(der).map_err(|error| anyhow::anyhow!("{error}"))?;
        let made = list.last_update().timestamp();
        anyhow::Ok((made, BorrowedCertRevocationList::from_der(der)?.to_owned()?.into()))
    };
    match pem {
        Ok(lists) if !lists.is_empty() => lists.iter().map(|one| read(one.as_ref()).with_context(told)).collect(),
        Ok(_) => Ok(vec![read(&bytes).with_context(told)?]),
        Err(error) => anyhow::bail!("{}: {error}", told()),
    }
}

impl ClientCertificates for Authorities {
    fn look_at(&self, chain: &[Vec<u8>], now: Timestamp) -> Option<Presented> {
        let first = chain.first()?;
        let unreadable = || Presented {
            chain: Chain::Unusable,
            subject: Vec::new(),
            issuer: Vec::new(),
            serial: String::new(),
            issuer_mark: String::new(),
        };
        let Ok((_, read)) = X509Certificate::from_der(first) else { return Some(unreadable()) };
        Some(Presented {
            chain: self.chain(chain, now),
            subject: attributes(read.subject()),
            issuer: attributes(read.issuer()),
            serial: data_encoding::HEXLOWER.encode(read.raw_serial()).trim_start_matches('0').to_owned(),
            issuer_mark: data_encoding::HEXLOWER.encode(&Sha256::digest(read.issuer().as_raw())[..4]),
        })
    }
}

/// A name's attributes, in their order; those whose names or values are no text are left out, so that no rule fits them.
fn attributes(name: &X509Name<'_>) -> Vec<(String, String)> {
    let read = |one: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let key = oid2abbrev(one.attr_type(), oid_registry()).map_or_else(|_| one.attr_type().to_id_string(), str::to_owned);
        one.as_str().ok().map(|value| (key, value.to_owned()))
    };
    name.iter_attributes().filter_map(read).collect()
}
