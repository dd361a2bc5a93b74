//! `cargo xtask soak`.
use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use weir_tests::soak::{self, Args};
use weir_tests::tool;

fn main() -> ExitCode {
    let args = Args::parse();
    tool::main(|stop| soak::run(&args, &mut io::stdout().lock(), stop))
}
