//! The tests that need a database, a socket or the built program. One binary: it links once.
#![expect(unreachable_pub, clippy::unwrap_used, reason = "a test binary has no outside, and failing is what tests do")]

mod api;
mod approve;
mod audit;
mod browser;
mod certificates;
mod change;
mod clients;
mod clock;
mod dns;
mod faults;
mod hostile;
mod keys;
mod kills;
mod listing;
mod mail;
mod manual;
mod notices;
mod openid;
mod operators;
mod ordering;
mod policy;
mod postfix;
mod process;
mod renewals;
mod resend;
mod retention;
mod returned;
mod seeds;
mod services;
mod status_page;
mod store;
mod support;
mod webhooks;
mod whois;
mod years;
