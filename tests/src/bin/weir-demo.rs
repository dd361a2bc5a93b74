//! `cargo xtask demo`.
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Parser as _;
use weir_tests::demo::{self, Args};
use weir_tests::tool;

fn main() -> ExitCode {
    let args = Args::parse();
    tool::main(|stop| {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        demo::run(&args, stdout.lock(), is_terminal, stop)
    })
}
