//! What fuzzing has found so far, replayed without a fuzzer. `scripts/fuzz` looks for more.

#![expect(unreachable_pub, reason = "the fuzz targets share these files, and there they are public")]

#[path = "../fuzz/shared/request.rs"]
mod request;
#[path = "../fuzz/shared/verifier.rs"]
mod verifier;

use std::{fs, path::Path};

#[test]
fn every_input_of_the_verifiers_corpus_holds() {
    assert!(replay("verifier", verifier::check) >= 10);
}

#[test]
fn every_input_of_the_requests_corpus_holds() {
    assert!(replay("request", request::check) >= 10);
}

/// Checks every input, and says how many there were. The name of the one that fails is told by the panic.
fn replay(target: &str, check: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let inputs = fs::read_dir(&folder).expect("the corpus is in the repository");
    let mut count = 0;
    for input in inputs {
        let path = input.expect("the folder can be read").path();
        let outcome = std::panic::catch_unwind(|| check(&fs::read(&path).expect("the input can be read")));
        assert!(outcome.is_ok(), "{}", path.display());
        count += 1;
    }
    count
}
