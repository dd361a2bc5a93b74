//! What the fuzzer found or reached: every file of the corpus runs through its target.
#![expect(clippy::unwrap_used, reason = "a broken expectation is the test's failure")]
use std::fs;
use std::path::Path;

use weir_tests::fuzz::Target;

fn files(target: Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name());
    let files = fs::read_dir(&folder).unwrap();
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn every_input_of_the_corpus_is_judged_right() {
    for target in Target::ALL {
        let files = files(target);
        assert!(!files.is_empty(), "{} has no corpus", target.name());
        for file in &files {
            target.run(file);
        }
    }
}

/// No input at all, and one that says yes to everything.
#[test]
fn the_least_and_the_most_are_input_too() {
    for target in Target::ALL {
        for data in [&[][..], &[0; 300], &[0xff; 300]] {
            target.run(data);
        }
    }
}
