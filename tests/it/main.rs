//! The tests that need a database, a socket or the built program. One binary: it links once.
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod api;
mod approve;
mod dns;
mod listing;
mod mail;
mod process;
mod store;
mod support;
mod webhooks;
mod whois;
