//! Looks at client certificates: the chain with rustls-webpki, against the authorities and revocation lists that the configuration names.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, Error, KeyUsage, RevocationOptionsBuilder,
    UnknownStatusPolicy, anchor_from_trusted_cert,
};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Name};

use crate::dcv::operator_certificate::{Chain, Presented};
use crate::dcv::timestamp::Timestamp;
use crate::ports::ClientCertificates;

/// Largest chain looked at, in certificates.
const CHAIN_MAX: usize = 8;

/// The authorities, and what they revoked.
pub struct Authorities {
    anchors: Vec<CertificateDer<'static>>,
    /// Read again for each look, so that a new list counts at once.
    revocation_lists: Vec<PathBuf>,
}

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
        let authorities = Self { anchors, revocation_lists: revocation_lists.to_vec() };
        authorities.lists().context("admin.client_crl_files")?;
        Ok(authorities)
    }

    fn lists(&self) -> anyhow::Result<Vec<CertRevocationList<'static>>> {
        self.revocation_lists.iter().map(|path| list(path).with_context(|| path.display().to_string())).collect()
    }

    fn chain(&self, chain: &[Vec<u8>], now: Timestamp) -> Chain {
        let certificates: Vec<CertificateDer<'_>> = chain.iter().map(|one| CertificateDer::from(one.as_slice())).collect();
        let Some((first, between)) = certificates.split_first().filter(|_| certificates.len() <= CHAIN_MAX) else {
            return Chain::Unusable;
        };
        let (Ok(end), Ok(lists)) = (EndEntityCert::try_from(first), self.lists()) else { return Chain::Unusable };
        let anchors: Vec<_> = self.anchors.iter().filter_map(|one| anchor_from_trusted_cert(one).ok()).collect();
        let lists: Vec<&CertRevocationList<'_>> = lists.iter().collect();
        // Whom no list speaks of, is not revoked: not every authority publishes one.
        let revocation = RevocationOptionsBuilder::new(&lists)
            .ok()
            .map(|options| options.with_status_policy(UnknownStatusPolicy::Allow).build());
        let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.unix_secs()).unwrap_or_default()));
        let verified = end.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            between,
            time,
            KeyUsage::client_auth(),
            revocation,
            None,
        );
        match verified {
            Ok(_) => Chain::Good,
            Err(Error::CertExpired { .. }) => Chain::Expired,
            Err(Error::CertNotValidYet { .. }) => Chain::NotYetValid,
            Err(Error::CertRevoked) => Chain::Revoked,
            Err(Error::UnknownIssuer | Error::InvalidSignatureForPublicKey) => Chain::UnknownIssuer,
            Err(_) => Chain::Unusable,
        }
    }
}

/// Reads a revocation list.
fn list(path: &Path) -> anyhow::Result<CertRevocationList<'static>> {
    let bytes = fs::read(path)?;
    let der = CertificateRevocationListDer::from_pem_slice(&bytes).map_or(bytes, |list| list.as_ref().to_vec());
    Ok(BorrowedCertRevocationList::from_der(&der)?.to_owned()?.into())
}

impl ClientCertificates for Authorities {
    fn look_at(&self, chain: &[Vec<u8>], now: Timestamp) -> Option<Presented> {
        let first = chain.first()?;
        let unreadable = || Presented { chain: Chain::Unusable, subject: Vec::new(), issuer: Vec::new(), serial: String::new() };
        let Ok((_, read)) = X509Certificate::from_der(first) else { return Some(unreadable()) };
        Some(Presented {
            chain: self.chain(chain, now),
            subject: attributes(read.subject()),
            issuer: attributes(read.issuer()),
            serial: data_encoding::HEXLOWER.encode(read.raw_serial()).trim_start_matches('0').to_owned(),
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
