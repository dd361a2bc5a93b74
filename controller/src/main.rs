//! The `weir` command.
use std::process::ExitCode;

use weir::commands::{self, io::Io};

fn main() -> ExitCode {
    let mut io = Io::of_process();
    ExitCode::from(commands::main(std::env::args_os(), &mut io))
}
