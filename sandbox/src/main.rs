//! The sandbox: a loopback-only stand-in for the cloud.
fn main() {}
