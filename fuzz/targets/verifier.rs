//! Tokens, claims, key sets and `Authorization` fields; see `shared/verifier.rs`.

#![no_main]

#[path = "../shared/verifier.rs"]
mod verifier;

libfuzzer_sys::fuzz_target!(|input: &[u8]| verifier::check(input));
