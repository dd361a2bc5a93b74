//! `cargo xtask bench`.
use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use weir_tests::bench::{self, Args};
use weir_tests::tool;

fn main() -> ExitCode {
    let args = Args::parse();
    tool::main(|stop| bench::run(&args, &mut io::stdout().lock(), &mut io::stderr(), stop))
}
