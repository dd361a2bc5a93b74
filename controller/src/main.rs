//! The `weir` command.
use std::process::ExitCode;

use weir::commands::{self, io::Io};

/// Events are a dozen texts each, made in one thread and let go of in another: the system's own allocator takes four times as
/// long over a line of a log.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut io = Io::of_process();
    ExitCode::from(commands::main(std::env::args_os(), &mut io))
}
