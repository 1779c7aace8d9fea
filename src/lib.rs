//! The gateway: pre-signed download URLs of Redis backups for callers who hold no cloud keys.
//!
//! The modules stand in reading order: a request comes in at the top and sinks until it is answered. Imports point
//! downwards only; `tests/layout.rs` holds them to it.

pub mod cli;
pub mod config;
pub mod server;

pub mod http;

pub mod broker;

pub mod audit;
pub mod cache;
pub mod identity;
pub mod policy;
pub mod quota;
pub mod tencent;
pub mod traces;

pub mod store;

pub mod metrics;
pub mod outbound;
pub mod telemetry;

pub mod domain;
