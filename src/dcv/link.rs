//! Link tokens: signed, opaque, good for one mail.
//!
//! ```text
//! version 1 │ key id 4 │ last instant 4 (unix seconds, big-endian) │ random 16 │ HMAC-SHA256, first 20
//! ```
//!
//! 45 bytes, 60 URL-safe characters. The 16 random bytes are the mail's Random Value (128 bits; BR v2.2.6 §1.6.1 asks for 112).
//! The last instant is when the link could latest be answered by any extension: 30 days after the Random Value's creation.
//! The deadline that counts is in the database.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::profile::WINDOW_MAX_DAYS;
use super::timestamp::Timestamp;

/// Octets of a Random Value. Spec: BR v2.2.6 §1.6.1 (at least 112 bits).
pub const RANDOM_VALUE_OCTETS: usize = 16;

/// Characters of a token.
pub const TOKEN_CHARS: usize = 60;

/// Octets of a link key.
pub const KEY_OCTETS: usize = 32;

const VERSION: u8 = 1;
const TOKEN_OCTETS: usize = 45;
const MAC_OCTETS: usize = 20;
const SIGNED_OCTETS: usize = TOKEN_OCTETS - MAC_OCTETS;

/// A key that signs and verifies tokens.
#[derive(Clone)]
pub struct LinkKey {
    id: [u8; 4],
    secret: [u8; KEY_OCTETS],
}

impl LinkKey {
    /// Takes the key's secret; its id is the beginning of a hash of it.
    #[must_use]
    pub fn new(secret: [u8; KEY_OCTETS]) -> Self {
        let hash = Sha256::new_with_prefix(b"dcvd/link-key-id/v1\0").chain_update(secret).finalize();
        Self { id: [hash[0], hash[1], hash[2], hash[3]], secret }
    }

    /// The key's public name, in hex.
    #[must_use]
    pub fn id(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.id)
    }

    /// Starts a MAC under a label of its own, so that no two uses of the key can be confused.
    fn mac(&self, label: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        mac.update(label);
        mac
    }
}

impl Drop for LinkKey {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkKey({})", self.id())
    }
}

/// The keys in use: the first signs, all verify.
#[derive(Clone, Debug)]
pub struct KeyRing {
    keys: Vec<LinkKey>,
}

/// A key ring without a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no link key")]
pub struct NoKey;

impl KeyRing {
    /// Takes the keys, the signing one first.
    ///
    /// # Errors
    /// [`NoKey`] when there is none.
    pub fn new(keys: Vec<LinkKey>) -> Result<Self, NoKey> {
        if keys.is_empty() { Err(NoKey) } else { Ok(Self { keys }) }
    }

    /// A MAC over `data` by the signing key, under a label of its own.
    pub(super) fn tag(&self, label: &[u8], data: &[u8]) -> [u8; 32] {
        self.signing().mac(label).chain_update(data).finalize().into_bytes().into()
    }

    /// Whether `tag` is the beginning of such a MAC by any of the keys; in constant time for each.
    pub(super) fn is_tag(&self, label: &[u8], data: &[u8], tag: &[u8]) -> bool {
        self.keys.iter().any(|key| key.mac(label).chain_update(data).verify_truncated_left(tag).is_ok())
    }

    /// The ring of that key alone by which `tag` is such a MAC, whole; compared in constant time.
    pub(super) fn alone(&self, label: &[u8], data: &[u8], tag: &[u8]) -> Option<Self> {
        let key = self.keys.iter().find(|key| key.mac(label).chain_update(data).verify_slice(tag).is_ok())?;
        Some(Self { keys: vec![key.clone()] })
    }

    fn signing(&self) -> &LinkKey {
        &self.keys[0]
    }

    /// Characters of a token that hold its version and key id, in whole groups of base64.
    pub(super) const HEAD_CHARS: usize = 8;

    /// Whether a token of one of these keys begins so: a link's or a dispute's.
    pub(super) fn begins_token(&self, head: [u8; Self::HEAD_CHARS]) -> bool {
        let mut bytes = [0; Self::HEAD_CHARS / 4 * 3];
        // The version's bits alone sort out nearly everything.
        matches!(head[0], b'A' | b'R')
            && URL_SAFE_NO_PAD.decode_slice(head, &mut bytes).is_ok()
            && matches!(bytes[0], VERSION | DISPUTE_VERSION)
            && self.keys.iter().any(|key| key.id == bytes[1..5])
    }
}

/// A mail's Random Value. Spec: BR v2.2.6 §3.2.2.4.4. It never appears in a log; the database holds [`RandomValue::hash`].
#[derive(Clone, PartialEq, Eq)]
pub struct RandomValue([u8; RANDOM_VALUE_OCTETS]);

impl RandomValue {
    /// Takes fresh random bytes.
    #[must_use]
    pub const fn new(random: [u8; RANDOM_VALUE_OCTETS]) -> Self {
        Self(random)
    }

    /// What the database keeps, to find the mail again.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new_with_prefix(b"dcvd/random-value/v1\0").chain_update(self.0).finalize().into()
    }
}

impl Drop for RandomValue {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for RandomValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RandomValue(…)")
    }
}

/// Why a token was not believed. To the outside they are one: unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// Not 60 URL-safe characters.
    #[error("not a token")]
    Malformed,
    /// A version or a key that is not ours.
    #[error("a token of another version or key")]
    Foreign,
    /// The MAC does not fit.
    #[error("the signature does not fit")]
    Forged,
}

/// Signs a token for a Random Value created at `created`.
#[must_use]
pub fn sign(ring: &KeyRing, random: &RandomValue, created: Timestamp) -> String {
    let key = ring.signing();
    let last = u32::try_from(created.plus_days(WINDOW_MAX_DAYS).unix_secs()).unwrap_or(u32::MAX);
    let mut token = [0; TOKEN_OCTETS];
    token[0] = VERSION;
    token[1..5].copy_from_slice(&key.id);
    token[5..9].copy_from_slice(&last.to_be_bytes());
    token[9..SIGNED_OCTETS].copy_from_slice(&random.0);
    let tag = key.mac(b"dcvd/approve/v1\0").chain_update(&token[..SIGNED_OCTETS]).finalize().into_bytes();
    token[SIGNED_OCTETS..].copy_from_slice(&tag[..MAC_OCTETS]);
    let text = URL_SAFE_NO_PAD.encode(token);
    token.zeroize();
    text
}

/// Verifies a token in constant time and returns its Random Value.
///
/// A genuine token is returned whatever its age: a decided link says so even when late.
///
/// # Errors
/// [`TokenError`]; a token that fails never reaches the database.
pub fn verify(ring: &KeyRing, token: &str) -> Result<RandomValue, TokenError> {
    if token.len() != TOKEN_CHARS {
        return Err(TokenError::Malformed);
    }
    let bytes: [u8; TOKEN_OCTETS] =
        URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError::Malformed)?.try_into().map_err(|_| TokenError::Malformed)?;
    let key = ring.keys.iter().find(|key| bytes[0] == VERSION && key.id == bytes[1..5]).ok_or(TokenError::Foreign)?;
    key.mac(b"dcvd/approve/v1\0")
        .chain_update(&bytes[..SIGNED_OCTETS])
        .verify_truncated_left(&bytes[SIGNED_OCTETS..])
        .map_err(|_| TokenError::Forged)?;
    let mut random = [0; RANDOM_VALUE_OCTETS];
    random.copy_from_slice(&bytes[9..SIGNED_OCTETS]);
    Ok(RandomValue(random))
}

/// The form nonce of a page: bound to the link and to what the page showed, so that it needs neither cookie nor storage.
#[must_use]
pub fn page_nonce(ring: &KeyRing, random: &RandomValue, shown: &[u8]) -> String {
    let tag = ring.signing().mac(b"dcvd/page-nonce/v1\0").chain_update(random.0).chain_update(shown).finalize().into_bytes();
    URL_SAFE_NO_PAD.encode(&tag[..18])
}

/// Whether `nonce` belongs to the page, under any key still in use; in constant time.
#[must_use]
pub fn page_nonce_fits(ring: &KeyRing, random: &RandomValue, shown: &[u8], nonce: &str) -> bool {
    use subtle::ConstantTimeEq as _;
    ring.keys.iter().any(|key| {
        let ring = KeyRing { keys: vec![key.clone()] };
        page_nonce(&ring, random, shown).as_bytes().ct_eq(nonce.as_bytes()).into()
    })
}

/// Digits of a confirmation code.
pub const CODE_DIGITS: usize = 8;

/// The confirmation code that stands in the mail and not in its link: whoever has only the link, a scanner above all, lacks it.
#[must_use]
pub fn confirmation_code(ring: &KeyRing, random: &RandomValue) -> String {
    code_by(ring.signing(), random)
}

fn code_by(key: &LinkKey, random: &RandomValue) -> String {
    digits_by(key, b"dcvd/confirmation-code/v1\0", &random.0)
}

/// Eight digits that a key makes of something.
fn digits_by(key: &LinkKey, label: &[u8], data: &[u8]) -> String {
    let tag: [u8; 32] = key.mac(label).chain_update(data).finalize().into_bytes().into();
    // Of 2^64 values, one in 10^11 codes is likelier than another by one in 10^11.
    let number = tag[..8].iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    format!("{:08}", number % 100_000_000)
}

/// The access PIN of a mail: made of its id and not of its Random Value, so that it can be told again and says nothing of the link.
#[must_use]
pub fn access_pin(ring: &KeyRing, mail: &[u8; 16]) -> String {
    digits_by(ring.signing(), ACCESS_PIN, mail)
}

const ACCESS_PIN: &[u8] = b"dcvd/access-pin/v1\0";

/// The secrets of an operator's one-time passwords, one for each key still in use, the signing one first: made of a nonce, so that no
/// secret is stored.
#[must_use]
pub fn one_time_secrets(ring: &KeyRing, nonce: &[u8]) -> Vec<[u8; 20]> {
    let secret = |key: &LinkKey| {
        let tag: [u8; 32] = key.mac(b"dcvd/one-time-password/v1\0").chain_update(nonce).finalize().into_bytes().into();
        let mut secret = [0; 20];
        secret.copy_from_slice(&tag[..20]);
        secret
    };
    ring.keys.iter().map(secret).collect()
}

/// Whether a PIN is the mail's, under any key still in use; as [`confirmation_code_fits`].
#[must_use]
pub fn access_pin_fits(ring: &KeyRing, mail: &[u8; 16], entered: &str) -> bool {
    fits(ring, entered, |key| digits_by(key, ACCESS_PIN, mail))
}

const STATUS_CODE: &[u8] = b"dcvd/status-code/v1\0";

/// The code that shows an order's state once to whoever is told of it: made of the id of the notice that tells it.
#[must_use]
pub fn status_code(ring: &KeyRing, notice: &[u8; 16]) -> String {
    digits_by(ring.signing(), STATUS_CODE, notice)
}

/// Whether a code is the notice's, under any key still in use; as [`confirmation_code_fits`].
#[must_use]
pub fn status_code_fits(ring: &KeyRing, notice: &[u8; 16], entered: &str) -> bool {
    fits(ring, entered, |key| digits_by(key, STATUS_CODE, notice))
}

/// Whether a code is the link's, under any key still in use; in constant time. Blanks, hyphens and full-width digits are as people
/// type them.
#[must_use]
pub fn confirmation_code_fits(ring: &KeyRing, random: &RandomValue, entered: &str) -> bool {
    fits(ring, entered, |key| code_by(key, random))
}

/// Whether digits as people type them are those that one of the keys makes; in constant time.
fn fits(ring: &KeyRing, entered: &str, made: impl Fn(&LinkKey) -> String) -> bool {
    use subtle::ConstantTimeEq as _;
    let digits: String =
        entered.chars().map(half_width).filter(|c| !c.is_whitespace() && !matches!(c, '-' | '‐' | '−')).collect();
    ring.keys.iter().fold(subtle::Choice::from(0), |fits, key| fits | made(key).as_bytes().ct_eq(digits.as_bytes())).into()
}

/// A full-width letter, digit or sign as the half-width one it stands for; the ideographic space as a space.
const fn half_width(c: char) -> char {
    match c {
        '\u{3000}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => match char::from_u32(c as u32 - 0xfee0) {
            Some(half) => half,
            None => c,
        },
        _ => c,
    }
}

/// What somebody pasted where a link or its token was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pasted {
    /// As long as a token.
    Token(String),
    /// The beginning of one: the rest was lost at a line's end.
    Cut,
    /// Nothing like one.
    Nothing,
}

/// Longest text looked at, in characters: a link with whatever a mailer put around it.
const PASTED_MAX_CHARS: usize = 2000;

/// Reads a token, or the whole link, however a mailer and a clipboard have broken it.
#[must_use]
pub fn pasted(text: &str) -> Pasted {
    let plain: String = text.chars().take(PASTED_MAX_CHARS).map(half_width).collect();
    let joined: String = plain
        .lines()
        .map(|line| line.trim_start_matches(|c: char| c == '>' || c == '|' || c.is_whitespace()).trim_end())
        .map(|line| line.strip_suffix('=').unwrap_or(line))
        .collect::<String>()
        .chars()
        .filter(|c| !c.is_whitespace() && !super::field::is_invisible(*c))
        .collect();
    let behind = |marks: [&str; 3]| marks.iter().find_map(|mark| joined.rfind(mark).map(|at| at + mark.len()));
    let approve = behind(["/approve/", "%2Fapprove%2F", "%2fapprove%2f"]);
    let dispute = behind(["/dispute/", "%2Fdispute%2F", "%2fdispute%2f"]).filter(|_| approve.is_none());
    let (from, whole) = (approve.or(dispute), if dispute.is_some() { DISPUTE_CHARS } else { TOKEN_CHARS });
    let rest = joined.get(from.unwrap_or(0)..).unwrap_or_default();
    let token: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    match token.len() {
        // After the mark a token is whole, whatever text was pasted behind it.
        length if from.is_some() && length >= whole => Pasted::Token(token[..whole].to_owned()),
        TOKEN_CHARS => Pasted::Token(token),
        // A bare word is no beginning of a token.
        length if length < TOKEN_CHARS && (from.is_some() || length >= TOKEN_CHARS / 3) => Pasted::Cut,
        _ => Pasted::Nothing,
    }
}

/// Characters of a dispute token.
const DISPUTE_CHARS: usize = 55;

/// Octets of a dispute token: version, key id, the receipt's id, MAC.
const DISPUTE_OCTETS: usize = 1 + 4 + 16 + MAC_OCTETS;

/// The first octet of a dispute token, which no link token has.
const DISPUTE_VERSION: u8 = 0x44;

/// Signs the token by which whoever got a receipt may dispute what it tells. It approves nothing and holds no Random Value.
#[must_use]
pub fn sign_dispute(ring: &KeyRing, receipt: &[u8; 16]) -> String {
    let key = ring.signing();
    let mut token = Vec::with_capacity(DISPUTE_OCTETS);
    token.push(DISPUTE_VERSION);
    token.extend(key.id);
    token.extend(receipt);
    let tag = key.mac(b"dcvd/dispute/v1\0").chain_update(&token).finalize().into_bytes();
    token.extend(&tag[..MAC_OCTETS]);
    URL_SAFE_NO_PAD.encode(token)
}

/// Verifies a dispute token in constant time and returns the receipt's id.
///
/// # Errors
/// [`TokenError`]; a token that fails never reaches the database.
pub fn verify_dispute(ring: &KeyRing, token: &str) -> Result<[u8; 16], TokenError> {
    if token.len() > TOKEN_CHARS {
        return Err(TokenError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError::Malformed)?;
    if bytes.len() != DISPUTE_OCTETS {
        return Err(TokenError::Malformed);
    }
    let (signed, tag) = bytes.split_at(DISPUTE_OCTETS - MAC_OCTETS);
    let key = ring.keys.iter().find(|key| signed[0] == DISPUTE_VERSION && key.id == signed[1..5]).ok_or(TokenError::Foreign)?;
    key.mac(b"dcvd/dispute/v1\0").chain_update(signed).verify_truncated_left(tag).map_err(|_| TokenError::Forged)?;
    signed[5..].try_into().map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ring(byte: u8) -> KeyRing {
        KeyRing::new(vec![LinkKey::new([byte; 32])]).unwrap()
    }

    const NOW: Timestamp = Timestamp::from_unix_secs(1_795_000_000);

    #[test]
    fn a_token_is_sixty_url_safe_characters() {
        let token = sign(&ring(1), &RandomValue::new([7; 16]), NOW);
        assert_eq!(token.len(), TOKEN_CHARS);
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }

    #[test]
    fn an_old_key_still_verifies_and_a_foreign_one_does_not() {
        let old = sign(&ring(1), &RandomValue::new([7; 16]), NOW);
        let both = KeyRing::new(vec![LinkKey::new([2; 32]), LinkKey::new([1; 32])]).unwrap();
        assert_eq!(verify(&both, &old), Ok(RandomValue::new([7; 16])));
        assert_eq!(verify(&ring(2), &old), Err(TokenError::Foreign));
    }

    #[test]
    fn the_nonce_is_bound_to_link_and_content() {
        let (ring, random) = (ring(1), RandomValue::new([7; 16]));
        let nonce = page_nonce(&ring, &random, b"shown");
        assert!(page_nonce_fits(&ring, &random, b"shown", &nonce));
        assert!(!page_nonce_fits(&ring, &random, b"other", &nonce));
        assert!(!page_nonce_fits(&ring, &RandomValue::new([8; 16]), b"shown", &nonce));
        assert!(!page_nonce_fits(&ring, &random, b"shown", ""));
    }

    #[test]
    fn the_code_is_the_links_own_and_is_taken_as_people_type_it() {
        let (ring_1, random) = (ring(1), RandomValue::new([7; 16]));
        let code = confirmation_code(&ring_1, &random);
        assert!(code.len() == CODE_DIGITS && code.bytes().all(|digit| digit.is_ascii_digit()));
        assert_ne!(code, confirmation_code(&ring_1, &RandomValue::new([8; 16])));
        let full: String = code.chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap()).collect();
        for typed in [code.clone(), format!("{} {}", &code[..4], &code[4..]), format!("{}-{}", &code[..4], &code[4..]), full] {
            assert!(confirmation_code_fits(&ring_1, &random, &typed), "{typed}");
        }
        for wrong in ["", "00000000", &code[..7], &format!("{code}0")] {
            assert!(!confirmation_code_fits(&ring_1, &random, wrong) || wrong == code, "{wrong}");
        }
        let both = KeyRing::new(vec![LinkKey::new([2; 32]), LinkKey::new([1; 32])]).unwrap();
        assert!(confirmation_code_fits(&both, &random, &code), "a key that no longer signs still counts");
        let pin = access_pin(&ring_1, &[7; 16]);
        assert!(pin.len() == CODE_DIGITS && pin != code && access_pin_fits(&both, &[7; 16], &pin));
        assert!(!access_pin_fits(&both, &[8; 16], &pin));
    }

    #[test]
    fn a_pasted_link_is_read_however_it_was_broken() {
        let token = sign(&ring(1), &RandomValue::new([7; 16]), NOW);
        let link = format!("https://dcv.example.net/approve/{token}");
        let full: String =
            link.chars().map(|c| if c.is_ascii_graphic() { char::from_u32(c as u32 + 0xfee0).unwrap() } else { c }).collect();
        for text in [
            token.clone(),
            format!("  {link}?lang=ja  "),
            format!("<{link}>"),
            format!("{}\r\n{}", &link[..50], &link[50..]),
            format!("> {}=\n> {}", &link[..50], &link[50..]),
            format!("https://safe.example/?url=https%3A%2F%2Fdcv%2Fapprove%2F{token}&data=1"),
            full,
            format!("{link}\nIf the page does not open, paste the whole link"),
        ] {
            assert_eq!(pasted(&text), Pasted::Token(token.clone()), "{text}");
        }
        assert_eq!(pasted(&link[..60]), Pasted::Cut);
        assert_eq!(pasted("https://dcv.example.net/approve/"), Pasted::Cut);
        for nothing in ["", "hello", "https://dcv.example.net/about-mail", &format!("{token}{token}x")] {
            assert_eq!(pasted(nothing), Pasted::Nothing, "{nothing}");
        }
    }

    #[test]
    fn a_dispute_token_is_another_thing_than_a_link() {
        let token = sign_dispute(&ring(1), &[9; 16]);
        assert_eq!(verify_dispute(&ring(1), &token), Ok([9; 16]));
        assert_eq!(verify_dispute(&ring(2), &token), Err(TokenError::Foreign));
        assert!(verify(&ring(1), &token).is_err());
        assert!(verify_dispute(&ring(1), &sign(&ring(1), &RandomValue::new([7; 16]), NOW)).is_err());
    }

    /// Octets that look random and are the same in every run: splitmix64.
    fn octets(state: &mut u64, into: &mut [u8]) {
        for chunk in into.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = *state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }

    #[test]
    fn of_a_hundred_thousand_guesses_none_is_a_token() {
        let (ring, mut state) = (ring(1), 1);
        let head = URL_SAFE_NO_PAD.decode(sign(&ring, &RandomValue::new([7; 16]), NOW)).unwrap();
        let mut token = [0; TOKEN_OCTETS];
        for number in 0..100_000 {
            octets(&mut state, &mut token);
            // Every second one has the version and the key's name, which every link shows: only the MAC stands against it.
            let wanted = if number % 2 == 0 {
                token[..5].copy_from_slice(&head[..5]);
                TokenError::Forged
            } else {
                TokenError::Foreign
            };
            assert_eq!(verify(&ring, &URL_SAFE_NO_PAD.encode(token)), Err(wanted), "{number}");
        }
    }

    #[test]
    fn a_token_with_any_one_bit_turned_is_none() {
        let ring = ring(1);
        let link = URL_SAFE_NO_PAD.decode(sign(&ring, &RandomValue::new([7; 16]), NOW)).unwrap();
        let dispute = URL_SAFE_NO_PAD.decode(sign_dispute(&ring, &[9; 16])).unwrap();
        for genuine in [link, dispute] {
            for bit in 0..genuine.len() * 8 {
                let mut turned = genuine.clone();
                turned[bit / 8] ^= 1 << (bit % 8);
                let token = URL_SAFE_NO_PAD.encode(turned);
                // As either kind: no turned bit makes one of the other.
                assert!(verify(&ring, &token).is_err() && verify_dispute(&ring, &token).is_err(), "{bit}");
            }
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        assert_eq!(format!("{:?}", RandomValue::new([7; 16])), "RandomValue(…)");
        assert!(!format!("{:?}", ring(0x41)).contains("4141"));
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies(random: [u8; 16], secs in 0_i64..4_000_000_000) {
            let token = sign(&ring(1), &RandomValue::new(random), Timestamp::from_unix_secs(secs));
            prop_assert_eq!(verify(&ring(1), &token), Ok(RandomValue::new(random)));
        }

        #[test]
        fn any_flipped_bit_breaks_a_token(random: [u8; 16], bit in 0_usize..TOKEN_OCTETS * 8) {
            let token = sign(&ring(1), &RandomValue::new(random), NOW);
            let mut bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify(&ring(1), &URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = verify(&ring(1), &text);
            let _ = verify_dispute(&ring(1), &text);
            let _ = (pasted(&text), confirmation_code_fits(&ring(1), &RandomValue::new([7; 16]), &text));
        }

        #[test]
        fn any_flipped_bit_breaks_a_dispute_token(receipt: [u8; 16], bit in 0_usize..DISPUTE_OCTETS * 8) {
            let mut bytes = URL_SAFE_NO_PAD.decode(sign_dispute(&ring(1), &receipt)).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_dispute(&ring(1), &URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }
    }
}
