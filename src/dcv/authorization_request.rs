//! What a browser keeps while its person signs in at an OpenID Connect provider. Everything that the protocol wants kept secret follows from
//! it under our keys, so that nothing is stored for somebody who may never come back, and any daemon can take the answer.
//!
//! ```text
//! begun 8 (unix microseconds) │ random 32 │ language 1 │ 32 of the sign-in that this one replaces, or zeros │ HMAC-SHA256 32
//! ```

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use super::link::KeyRing;
use super::timestamp::Timestamp;

/// How long somebody may stay at the provider.
pub const AWAY_MAX: Duration = Duration::from_secs(15 * 60);

const SIGNED_OCTETS: usize = 8 + 32 + 1 + 32;
const TAG_OCTETS: usize = 32;

const COOKIE: &[u8] = b"dcvd/authorization-request/v1\0";
const STATE: &[u8] = b"dcvd/authorization-request-state/v1\0";
const NONCE: &[u8] = b"dcvd/authorization-request-nonce/v1\0";
const VERIFIER: &[u8] = b"dcvd/authorization-request-verifier/v1\0";

/// A sign-in that was begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuthorizationRequest {
    /// When.
    pub begun: Timestamp,
    /// What tells it from all others.
    pub random: [u8; 32],
    /// The page was in English.
    pub english: bool,
    /// The hash of the sign-in that the browser had, which this one replaces.
    pub before: Option<[u8; 32]>,
}

/// What the protocol carries; made of the request under one key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    /// Goes to the provider and back. Spec: RFC 6749 section 10.12.
    pub state: String,
    /// Comes back in the ID token. Spec: OpenID Connect Core 1.0 section 15.5.2.
    pub nonce: String,
    /// Shows at the token endpoint who began. Spec: RFC 7636 section 4.1 (43 characters).
    pub code_verifier: String,
}

impl AuthorizationRequest {
    fn signed(&self) -> [u8; SIGNED_OCTETS] {
        let mut bytes = [0; SIGNED_OCTETS];
        bytes[..8].copy_from_slice(&self.begun.unix_micros().to_be_bytes());
        bytes[8..40].copy_from_slice(&self.random);
        bytes[40] = u8::from(self.english);
        bytes[41..].copy_from_slice(&self.before.unwrap_or_default());
        bytes
    }

    /// What the browser keeps.
    #[must_use]
    pub fn cookie(&self, ring: &KeyRing) -> String {
        let signed = self.signed();
        BASE64URL_NOPAD.encode(&[signed.as_slice(), &ring.tag(COOKIE, &signed)].concat())
    }

    /// What the protocol carries, under the signing key.
    #[must_use]
    pub fn secrets(&self, ring: &KeyRing) -> Secrets {
        let signed = self.signed();
        let text = |label| BASE64URL_NOPAD.encode(&ring.tag(label, &signed));
        Secrets { state: text(STATE), nonce: text(NONCE), code_verifier: text(VERIFIER) }
    }

    /// Reads what a browser kept, under any key still in use, with what the protocol carried; `None` where it is none of ours.
    #[must_use]
    pub fn read(ring: &KeyRing, cookie: &str) -> Option<(Self, Secrets)> {
        let bytes = BASE64URL_NOPAD.decode(cookie.as_bytes()).ok().filter(|bytes| bytes.len() == SIGNED_OCTETS + TAG_OCTETS)?;
        let (signed, tag) = bytes.split_at(SIGNED_OCTETS);
        let ring = ring.alone(COOKIE, signed, tag)?;
        let before: [u8; 32] = signed[41..].try_into().ok()?;
        let request = Self {
            begun: Timestamp::from_unix_micros(i64::from_be_bytes(signed[..8].try_into().ok()?)),
            random: signed[8..40].try_into().ok()?,
            english: signed[40] == 1,
            before: (before != [0; 32]).then_some(before),
        };
        let secrets = request.secrets(&ring);
        Some((request, secrets))
    }

    /// Whether somebody has been away for too long, or from the future.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now < self.begun || now.since(self.begun) > AWAY_MAX
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::link::LinkKey;
    use super::*;

    fn ring(keys: &[u8]) -> KeyRing {
        KeyRing::new(keys.iter().map(|key| LinkKey::new([*key; 32])).collect()).unwrap()
    }

    const BEGUN: Timestamp = Timestamp::from_unix_secs(1_795_305_600);

    fn request(before: Option<[u8; 32]>) -> AuthorizationRequest {
        AuthorizationRequest { begun: BEGUN, random: [9; 32], english: true, before }
    }

    #[test]
    fn it_comes_back_as_it_went() {
        for before in [None, Some([3; 32])] {
            let (one, ring) = (request(before), ring(&[1]));
            let (read, secrets) = AuthorizationRequest::read(&ring, &one.cookie(&ring)).unwrap();
            assert!(read == one && secrets == one.secrets(&ring));
            assert!(secrets.state.len() == 43 && secrets.nonce.len() == 43 && secrets.code_verifier.len() == 43);
            assert!(secrets.state != secrets.nonce && secrets.nonce != secrets.code_verifier);
        }
    }

    #[test]
    fn a_key_that_signs_no_more_still_reads_what_it_signed() {
        let one = request(None);
        let (read, secrets) = AuthorizationRequest::read(&ring(&[2, 1]), &one.cookie(&ring(&[1]))).unwrap();
        assert!(read == one && secrets == one.secrets(&ring(&[1])));
        assert!(AuthorizationRequest::read(&ring(&[2]), &one.cookie(&ring(&[1]))).is_none());
    }

    #[test]
    fn it_ends() {
        let at = |secs| BEGUN + Duration::from_secs(secs);
        assert!(!request(None).is_over(at(0)) && !request(None).is_over(at(900)));
        assert!(request(None).is_over(at(901)) && request(None).is_over(BEGUN - Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn nothing_else_is_read(text in "\\PC{0,200}", at in 0_usize..140, to in "[A-Za-z0-9_-]") {
            let ring = ring(&[1]);
            prop_assert!(AuthorizationRequest::read(&ring, &text).is_none());
            let mut cookie = request(Some([3; 32])).cookie(&ring);
            let same = cookie[at..=at] == to;
            cookie.replace_range(at..=at, &to);
            prop_assert_eq!(AuthorizationRequest::read(&ring, &cookie).is_some(), same);
        }
    }
}
