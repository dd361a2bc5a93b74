//! `cargo xtask bench`.
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use weir_tests::bench::{self, Args};

fn main() -> ExitCode {
    match bench::run(&Args::parse(), &mut io::stdout().lock(), &mut io::stderr().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do if standard error is gone as well.
            drop(writeln!(io::stderr(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
