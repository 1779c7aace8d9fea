//! Path, query and header fields; see `shared/request.rs`.

#![no_main]

#[path = "../shared/request.rs"]
mod request;

libfuzzer_sys::fuzz_target!(|input: &[u8]| request::check(input));
