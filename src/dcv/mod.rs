//! The core: every rule of domain control validation, as pure functions over values.
//!
//! Nothing here reads a clock, draws a random number, opens a socket or logs; time and randomness arrive as arguments.
//! `tests/tidy.rs` holds this room to it.

pub mod allowlist;
pub mod authorization_request;
pub mod certificate;
pub mod client;
pub mod contact;
pub mod coverage;
pub mod decision;
pub mod email;
pub mod event;
pub mod evidence;
pub mod extend;
pub mod field;
pub mod id;
pub mod link;
pub mod mail_cause;
pub mod mail_host;
pub mod mask;
pub mod method;
pub mod name;
pub mod notice;
pub mod operator;
pub mod operator_certificate;
pub mod operator_claims;
pub mod order;
pub mod policy;
pub mod profile;
pub mod quorum;
pub mod redact;
pub mod remedy;
pub mod renewal;
pub mod reread;
pub mod resend;
pub mod retention;
pub mod retry;
pub mod return_path;
pub mod returned_mail;
pub mod reuse;
pub mod seal;
pub mod sender_policy;
pub mod tally;
pub mod timestamp;
pub mod viewer;
