//! The checks of CI, in order: formatting, lints for host and kernel, documentation, layering, tests.
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::setup::{self, Scope};
use crate::shell;
use crate::tasks;
use crate::tidy;
use crate::toolchain::{Places, Toolchain, Way};

/// The workspace without the XDP program, which only the BPF target can compile.
const HOST: [&str; 3] = ["--workspace", "--exclude", "weir-xdp"];

/// Runs every check and stops at the first that fails.
///
/// # Errors
/// When a check fails.
pub fn run(root: &Path, out: &mut impl Write) -> Result<()> {
    setup::ensure(Scope::Check, out)?;
    step("format", out, |_| shell::succeed(shell::cargo(root, "fmt").args(["--all", "--check"])))?;
    step("clippy, host", out, |_| {
        let mut clippy = shell::cargo(root, "clippy");
        shell::succeed(clippy.args(HOST).args(["--all-targets", "--", "-D", "warnings"]))
    })?;
    step("clippy, BPF", out, |_| bpf_clippy(root))?;
    step("documentation", out, |_| {
        let mut doc = shell::cargo(root, "doc");
        doc.args(HOST).args(["--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "-Dwarnings");
        shell::succeed(&mut doc)
    })?;
    step("tidy", out, |out| tidy::run(root, false, out))?;
    step("tests", out, |out| tasks::test(root, &[], out))
}

/// Lints the XDP program with the clippy that belongs to its compiler.
fn bpf_clippy(root: &Path) -> Result<()> {
    let toolchain = Toolchain::find(&Places::of_this_machine()).context("run `cargo xtask setup`")?;
    let clippy = toolchain.compiler.cargo.with_file_name("cargo-clippy");
    let mut command = toolchain.command(&clippy, "clippy");
    let target_dir = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    // Named by the way, so that two compilers do not undo each other's work.
    let way = match toolchain.compiler.way {
        Way::Distribution => "distribution",
        Way::Nightly => "nightly",
    };
    command.current_dir(root).arg("--target-dir").arg(target_dir.join("bpf-clippy").join(way));
    shell::succeed(command.args(["--locked", "--", "-D", "warnings"]))
}

fn step<W: Write>(name: &str, out: &mut W, check: impl FnOnce(&mut W) -> Result<()>) -> Result<()> {
    writeln!(out, "== {name}")?;
    let start = Instant::now();
    check(out).with_context(|| format!("{name} failed"))?;
    writeln!(out, "== {name}: ok, {:.1} s", start.elapsed().as_secs_f64())?;
    Ok(())
}
