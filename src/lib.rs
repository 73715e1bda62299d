//! dcvd
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
