//! weir's set-up, build and checks. `cargo xtask --help` lists the commands; `.ci/run` is the same list in one go.
pub mod ci;
pub mod fuzz;
pub mod kernels;
pub mod setup;
pub mod shell;
pub mod tasks;
pub mod tidy;
pub mod toolchain;
pub mod unpacked;
pub mod venv;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use anyhow::Result;

/// Sets up, builds, runs and checks weir.
#[derive(Debug, clap::Parser)]
#[command(bin_name = "cargo xtask")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Finds or installs all that building, testing and checking weir needs
    Setup,
    /// Sets up and builds weir, optimised
    Build,
    /// Sets up, builds weir and runs its daemon on an interface
    Run {
        /// The interface to protect
        #[arg(short, long)]
        interface: OsString,
        /// Further arguments of `weir run`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Sets up and runs every test; needs root
    Test {
        /// Arguments of `cargo test`, such as a part of a test's name
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Shows weir at work between private network namespaces; needs root
    #[command(disable_help_flag = true)]
    Demo {
        /// Arguments of the demo; `--help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Measures what a packet costs; needs root
    #[command(disable_help_flag = true)]
    Bench {
        /// Arguments of the benchmark; `--help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Runs what takes long; needs root
    #[command(disable_help_flag = true)]
    Soak {
        /// Arguments of the soak test; `--help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Looks for inputs that show a fault, steered by coverage
    Fuzz {
        /// What is fuzzed; all in turn unless given
        #[arg(value_parser = fuzz::TARGETS)]
        target: Option<String>,
        /// How long each is
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Boots other kernels in an emulator and judges packets there
    Kernels {
        /// Images of kernels, or Debian packages with one
        #[arg(required = true)]
        kernels: Vec<PathBuf>,
    },
    /// Checks the layering and the kernel ABI without building anything
    Tidy {
        /// Records the kernel ABI as it is now
        #[arg(long)]
        bless: bool,
    },
    /// Runs every check, as CI does; needs root
    Ci,
}

/// Does what the command line says.
///
/// # Errors
/// Whatever kept it from being done, with the remedy where there is one.
pub fn run(cli: Cli) -> Result<()> {
    let root = shell::workspace()?;
    let mut out = io::stdout();
    match cli.command {
        Command::Setup => setup::everything(&mut out),
        Command::Build => tasks::build(&root, &mut out),
        Command::Run { interface, args } => tasks::run(&root, &interface, &args, &mut out),
        Command::Test { args } => tasks::test(&root, &args, &mut out),
        Command::Demo { args } => tasks::tool(&root, "weir-demo", &args, &mut out),
        Command::Bench { args } => tasks::tool(&root, "weir-bench", &args, &mut out),
        Command::Soak { args } => tasks::tool(&root, "weir-soak", &args, &mut out),
        Command::Fuzz { target, seconds } => fuzz::run(&root, target.as_deref(), seconds, &mut out),
        Command::Kernels { kernels } => kernels::run(&root, &kernels, &mut out),
        Command::Tidy { bless } => tidy::run(&root, bless, &mut out),
        Command::Ci => ci::run(&root, &mut out),
    }
}
