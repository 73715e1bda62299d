//! The DNSSEC trust anchor: DS or DNSKEY records from a file, or the IANA root's. Spec: RFC 4033 §4, RFC 5011 §2.1 (revoked keys).

use std::path::Path;

use data_encoding::BASE64;
use domain::base::iana::Class;
use domain::rdata::ZoneRecordData;
use domain::zonefile::inplace::{Entry, Zonefile};
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DS};
use hickory_resolver::proto::dnssec::{Algorithm, DigestType, PublicKey as _, PublicKeyBuf, TrustAnchors};
use hickory_resolver::proto::rr::Name;

/// Why a file is no trust anchor.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A line is no record.
    #[error("{0}")]
    Syntax(String),
    /// A record of another type, or a key that signs no zone.
    #[error("only DS records and DNSKEY records of zones, not revoked, can be trust anchors")]
    OtherRecord,
    /// Nothing stands in it.
    #[error("it holds no DS or DNSKEY record")]
    Empty,
}

/// What validation begins from.
#[derive(Clone)]
pub struct Anchor {
    keys: Vec<(Name, DNSKEY)>,
    digests: Vec<(Name, DS)>,
    /// The records as a zone file.
    text: String,
    tags: Vec<u16>,
    is_iana: bool,
}

impl Anchor {
    /// The IANA root's keys, as compiled in.
    #[must_use]
    pub fn iana() -> Self {
        let record = |key: PublicKeyBuf| {
            let (flags, algorithm) = (DNSKEY::from_key(&key).flags(), u8::from(key.algorithm()));
            format!(". 86400 IN DNSKEY {flags} 3 {algorithm} {}\n", BASE64.encode(key.public_bytes()))
        };
        let text: String = iana_keys().map(record).collect();
        let parsed = Self::parse(&text);
        parsed.unwrap_or(Self { keys: Vec::new(), digests: Vec::new(), text, tags: Vec::new(), is_iana: true })
    }

    /// Reads a file of DS or DNSKEY records in zone file format.
    ///
    /// # Errors
    /// [`AnchorError`] says what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, AnchorError> {
        Self::parse(&std::fs::read_to_string(path)?)
    }

    fn parse(text: &str) -> Result<Self, AnchorError> {
        let mut zone = Zonefile::new();
        zone.set_default_class(Class::IN);
        zone.extend_from_slice(text.as_bytes());
        zone.extend_from_slice(b"\n");
        let (mut keys, mut digests, mut tags) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(entry) = zone.next_entry().map_err(|error| AnchorError::Syntax(error.to_string()))? {
            let Entry::Record(record) = entry else { return Err(AnchorError::OtherRecord) };
            let owner = Name::from_ascii(format!("{}.", record.owner().to_string().trim_end_matches('.')))
                .map_err(|error| AnchorError::Syntax(error.to_string()))?;
            match record.data() {
                // Any other protocol is no key of DNSSEC's. Spec: RFC 4034 §2.1.2.
                ZoneRecordData::Dnskey(key) if key.protocol() == 3 => {
                    let public = PublicKeyBuf::new(key.public_key().to_vec(), Algorithm::from_u8(key.algorithm().to_int()));
                    let key = DNSKEY::with_flags(key.flags(), public);
                    if !key.zone_key() || key.revoke() {
                        return Err(AnchorError::OtherRecord);
                    }
                    tags.push(key.calculate_key_tag().map_err(|error| AnchorError::Syntax(error.to_string()))?);
                    keys.push((owner, key));
                }
                ZoneRecordData::Ds(ds) => {
                    let kind = DigestType::from(ds.digest_type().to_int());
                    let algorithm = Algorithm::from_u8(ds.algorithm().to_int());
                    tags.push(ds.key_tag());
                    digests.push((owner, DS::new(ds.key_tag(), algorithm, kind, ds.digest().to_vec())));
                }
                _ => return Err(AnchorError::OtherRecord),
            }
        }
        if tags.is_empty() {
            return Err(AnchorError::Empty);
        }
        let is_iana = keys.iter().all(|(owner, key)| owner.is_root() && iana_keys().any(|iana| DNSKEY::from_key(&iana) == *key))
            && digests
                .iter()
                .all(|(owner, ds)| owner.is_root() && iana_keys().any(|iana| is_of(ds, owner, &DNSKEY::from_key(&iana))));
        Ok(Self { keys, digests, text: text.to_owned(), tags, is_iana })
    }

    /// Whether every record is one of the IANA root's.
    #[must_use]
    pub const fn is_iana(&self) -> bool {
        self.is_iana
    }

    /// The key tags of its records. Spec: RFC 4034 appendix B.
    #[must_use]
    pub fn key_tags(&self) -> &[u16] {
        &self.tags
    }

    /// The records as a zone file.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The names whose DNSKEY records must be fetched before the digests can be used.
    pub(super) fn owners_of_digests(&self) -> Vec<Name> {
        let mut owners: Vec<Name> = self.digests.iter().map(|(owner, _)| owner.clone()).collect();
        owners.dedup();
        owners
    }

    /// The keys to trust: those that stand in the file, and those fetched that a digest covers.
    pub(super) fn trusted(&self, fetched: &[(Name, DNSKEY)]) -> TrustAnchors {
        let mut anchors = TrustAnchors::empty();
        for (owner, key) in &self.keys {
            anchors.insert_with_name(key.public_key(), owner.into());
        }
        for (owner, key) in fetched.iter().filter(|(owner, key)| self.covers(owner, key)) {
            anchors.insert_with_name(key.public_key(), owner.into());
        }
        anchors
    }

    /// Whether a key is one that a digest in the file vouches for.
    pub(super) fn covers(&self, owner: &Name, key: &DNSKEY) -> bool {
        let covered = |(of, ds): &(Name, DS)| of == owner && is_of(ds, owner, key);
        key.zone_key() && !key.revoke() && self.digests.iter().any(covered)
    }
}

/// Whether a DS record is a key's: by its tag, its algorithm and its digest. Spec: RFC 4035 §5.2.
fn is_of(ds: &DS, owner: &Name, key: &DNSKEY) -> bool {
    let fits = ds.algorithm() == key.public_key().algorithm() && key.calculate_key_tag().is_ok_and(|tag| tag == ds.key_tag());
    fits && ds.covers(owner, key).unwrap_or(false)
}

fn iana_keys() -> impl Iterator<Item = PublicKeyBuf> {
    let iana = TrustAnchors::default();
    (0..iana.len()).filter_map(move |at| iana.get(at).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_anchor_is_ianas_two_keys() {
        let iana = Anchor::iana();
        assert!(iana.is_iana());
        assert_eq!(iana.key_tags(), [20326, 38696]);
    }

    #[test]
    fn ds_records_of_the_root_are_known_as_ianas_and_others_are_not() {
        let root = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";
        let anchor = Anchor::parse(root).unwrap();
        assert!(anchor.is_iana());
        assert_eq!((anchor.key_tags(), anchor.owners_of_digests().len()), (&[20326][..], 1));
        let other = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8E";
        assert!(!Anchor::parse(other).unwrap().is_iana());
        for like in ["20327 8 2", "20326 13 2"] {
            let like = format!(". IN DS {like} E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D");
            assert!(!Anchor::parse(&like).unwrap().is_iana(), "{like}");
        }
        let key = Anchor::iana().text;
        assert!(Anchor::parse(&key).unwrap().is_iana());
        assert!(!Anchor::parse(&key.replacen(" 257 ", " 256 ", 1)).unwrap().is_iana(), "its flags are another's");
        let below = "jp. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";
        assert!(!Anchor::parse(below).unwrap().is_iana());
    }

    #[test]
    fn a_file_is_taken_whole_or_refused_whole() {
        let root = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n";
        for bad in [
            "",
            "; a comment\n",
            "not an anchor",
            ". IN TXT \"x\"",
            ". IN DNSKEY 0 3 8 AwEAAQ==",
            ". IN DNSKEY 257 4 8 AwEAAQ==",
            "$INCLUDE other",
        ] {
            assert!(Anchor::parse(bad).is_err(), "{bad}");
            assert!(bad.is_empty() || bad.starts_with(';') || Anchor::parse(&format!("{root}{bad}")).is_err(), "{bad}");
        }
    }
}
