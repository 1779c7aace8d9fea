//! The gateway as its users meet it: the real program, real sockets, the sandbox as the cloud.

#![expect(clippy::unwrap_used, reason = "a test that meets an error fails by it, helpers included")]
#![expect(clippy::print_stderr, reason = "a test that fails shows what the gateway logged")]
#![expect(unreachable_pub, reason = "a test binary has no outside")]
#![expect(clippy::type_complexity, reason = "a row of a table is read in place")]

#[path = "../../src/server/tls/testing.rs"]
mod certificates;
mod collector;
mod harness;
mod tls_client;

mod audit;
mod audit_sink;
mod callers;
mod cors;
mod docs;
mod edge;
mod failures;
mod fairness;
mod files;
mod freshness;
mod guessing;
mod hostile;
mod lists;
mod load;
mod main_job;
mod metrics;
mod panics;
mod process;
mod readiness;
mod redis_server;
mod reload;
mod rotation;
mod secrets;
mod shared;
mod shared_outages;
mod shared_quota;
mod shared_tls;
mod tls;
mod traces;
