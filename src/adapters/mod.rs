//! The ports on real protocols, one file each.

pub mod address;
pub mod client_certificate;
pub mod clock;
pub mod credentials;
pub mod dns;
pub mod entropy;
pub mod mail_out;
pub mod maildir;
#[cfg(feature = "oidc")]
pub mod openid;
pub mod rdap;
pub mod webhook;
pub mod whois;
