//! How keys are hashed that every hit looks up.
//!
//! The standard library's hash withstands an adversary who sees hashes and costs a dozen times as much; these are seeded
//! anew for each map and never leave it.

/// Hashes the keys of a map.
pub type FastHashing = foldhash::quality::RandomState;
