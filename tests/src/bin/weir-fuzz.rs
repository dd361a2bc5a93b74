//! `cargo xtask fuzz`: libFuzzer's own command line, over the target that `WEIR_FUZZ` names.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod fuzzer {
    use std::env;
    use std::sync::LazyLock;

    use clap::ValueEnum as _;
    use libfuzzer_sys::fuzz_target;
    use weir_tests::fuzz::Target;

    static TARGET: LazyLock<Target> = LazyLock::new(|| {
        let name = env::var("WEIR_FUZZ").unwrap_or_default();
        Target::from_str(&name, false).unwrap_or_else(|error| panic!("WEIR_FUZZ={name:?}: {error}"))
    });

    fuzz_target!(|data: &[u8]| TARGET.run(data));
}

/// Without the compiler's instrumentation there is nothing to steer by.
#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    use std::io::Write as _;
    // Nothing is left to do if standard error is gone as well.
    drop(writeln!(std::io::stderr(), "built without instrumentation; run `cargo xtask fuzz`"));
    std::process::ExitCode::FAILURE
}
