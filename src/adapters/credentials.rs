//! Passwords by argon2id, one-time passwords by RFC 6238.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use async_trait::async_trait;
use tokio::sync::Semaphore;
use totp_rs::{Builder, Totp};

use crate::dcv::timestamp::Timestamp;
use crate::ports::Credentials;

/// Verifications under way at once: each takes tens of milliseconds and 19 MiB.
const AT_ONCE: usize = 1;

/// What is verified where no operator has the name given, so that it takes as long.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The real thing.
#[derive(Clone)]
pub struct Argon {
    turns: Arc<Semaphore>,
}

impl Default for Argon {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// The hash of a password, as a PHC string.
///
/// # Errors
/// The system yields no salt.
pub fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::default().hash_password(password.as_bytes())?.to_string())
}

/// The one-time passwords of a secret: SHA-1, six digits, thirty seconds, as every app has them; one before and one after count.
fn totp(secret: &[u8; 20]) -> Option<Totp> {
    Builder::new().with_secret(secret.to_vec()).with_skew(1).build().ok()
}

/// The one-time password of an instant, for tests and tools.
#[must_use]
pub fn one_time_password(secret: &[u8; 20], at: Timestamp) -> Option<String> {
    let seconds = u64::try_from(at.unix_secs()).ok()?;
    totp(secret).map(|totp| totp.generate(seconds).to_string())
}

#[async_trait]
impl Credentials for Argon {
    async fn is_password(&self, password: &str, hash: Option<&str>) -> bool {
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else { return false };
        let (password, known) = (password.to_owned(), hash.map(str::to_owned));
        let verified = tokio::task::spawn_blocking(move || {
            // Kept until it is done, also where nobody waits for it any more.
            let _turn = turn;
            let hash = known.as_deref().unwrap_or(NOBODY);
            let parsed = PasswordHash::new(hash).map_err(|_| ());
            let fits = parsed.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            fits && known.is_some()
        });
        verified.await.unwrap_or(false)
    }

    fn step(&self, secret: &[u8; 20], code: &str, at: Timestamp) -> Option<i64> {
        let seconds = u64::try_from(at.unix_secs()).ok()?;
        let digits: String = code.chars().filter(char::is_ascii_digit).collect();
        totp(secret)?.check(&digits, seconds).and_then(|step| i64::try_from(step).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_alone() {
        let hash = hash("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$") && !hash.contains("horse"));
        let argon = Argon::default();
        assert!(argon.is_password("correct horse", Some(&hash)).await);
        assert!(!argon.is_password("wrong", Some(&hash)).await && !argon.is_password("", None).await);
        assert!(PasswordHash::new(NOBODY).is_ok(), "nobody's takes as long");
    }

    #[test]
    fn a_one_time_password_is_of_its_time() {
        let (secret, now) = ([7; 20], Timestamp::from_unix_secs(1_795_305_600));
        let code = one_time_password(&secret, now).unwrap();
        let step = |later: u64| Argon::default().step(&secret, &code, now + std::time::Duration::from_secs(later));
        assert_eq!(step(0), step(29));
        assert!(step(45).is_some() && step(90).is_none());
        assert_eq!(Argon::default().step(&secret, "", now), None);
    }
}
