//! The cloud: signed calls to the vendor's redis API, and what its answers mean.
//!
//! It makes one attempt a call and says how that went; who waits, who retries and what it costs is the broker's.

pub mod client;
pub mod cos_url;
pub mod credentials;
pub mod endpoint;
pub mod error;
pub mod tc3;
pub mod wire;
