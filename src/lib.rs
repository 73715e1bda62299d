//! dcvd, a domain-control-validation daemon.
//!
//! Data flows one way:
//!
//! ```text
//! PARSE    bytes → types, once, at the edge                        http/  cli/  jobs/
//! GATHER   rows and evidence: answer, time, server, DNSSEC proof    app/ → store/, ports → adapters/
//! DECIDE   pure: decide(state, evidence, now, random) → decision    dcv/
//! COMMIT   one transaction: state + audit event + outbox rows       store/
//! ACT      lease an outbox row → one effect → record the attempt    jobs/ → app/ → ports → adapters/
//! ```
//!
//! Nothing leaves the process before the commit; no network call happens inside a transaction; effects run at least once and
//! carry a stable id, so that the receiver can drop a repeat.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`dcv`] | the core: every rule, pure functions over values |
//! | [`ports`] | what the shell needs of the outside world |
//! | [`adapters`] | the ports on real protocols, one file each |
//! | [`store`] | all SQL, for SQLite and PostgreSQL |
//! | [`app`] | the use cases, one file each |
//! | [`jobs`] | workers that lease effects and let `app` do them |
//! | [`http`] | the ordering API, the approve page, the status page |
//! | [`render`] | templates → mail and pages |
//! | [`config`], [`cli`], [`telemetry`], [`lifecycle`] | the program around it |
//! | `demo` | loopback stand-ins, behind the feature of that name |
//!
//! `tests/tidy.rs` holds each room to what it may use.

/// What one thread allocates another frees here, all the time; glibc's keeps a lock for each arena.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod adapters;
pub mod app;
pub mod cli;
pub mod config;
pub mod dcv;
#[cfg(feature = "demo")]
pub mod demo;
pub mod http;
pub mod jobs;
pub mod lifecycle;
pub mod ports;
pub mod render;
pub mod store;
pub mod telemetry;
