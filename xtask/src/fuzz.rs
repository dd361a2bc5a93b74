//! Fuzzing, steered by what of the code an input reaches.
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::setup::{self, Scope};
use crate::shell;

/// What is fuzzed, each with its folder of inputs in `tests/corpus`.
pub const TARGETS: [&str; 11] =
    ["tables", "crowd", "packet", "list", "config", "crowdsec", "geo", "fail2ban", "decode", "rule", "logline"];

/// Has the compiler count which branches an input takes and what it compares: a stable compiler does.
const INSTRUMENTED: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions=on",
    "-Coverflow-checks=on",
];

/// Separates flags in cargo's variable for them.
const SEPARATOR: &str = "\u{1f}";

/// Most memory an input may take, in MiB.
const MEMORY_MIB: u32 = 1_024;

/// Longest an input may take, in seconds.
const INPUT_SECONDS: u32 = 20;

/// Sets up, builds the fuzzer, and gives each target its seconds.
///
/// # Errors
/// When something is missing, the build fails, or an input shows a fault: which one, libFuzzer says, and keeps it.
pub fn run(root: &Path, target: Option<&str>, seconds: u64, out: &mut impl Write) -> Result<()> {
    setup::ensure(Scope::Fuzz, out)?;
    let folder = root.join("target").join("fuzz");
    let binary = build(root, &folder)?;
    for name in TARGETS.into_iter().filter(|name| target.is_none_or(|target| target == *name)) {
        let (grown, found) = (folder.join("corpus").join(name), folder.join("found").join(name));
        for folder in [&grown, &found] {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        writeln!(out, "fuzzing {name} for {seconds} s; a file that shows a fault comes to {}", found.display())?;
        let mut prefix = OsString::from("-artifact_prefix=");
        prefix.push(found.join(""));
        let mut fuzzer = Command::new(&binary);
        fuzzer
            .env("WEIR_FUZZ", name)
            .arg(grown)
            .arg(root.join("tests").join("corpus").join(name))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-timeout={INPUT_SECONDS}"))
            .args(["-max_len=1024", "-len_control=0", "-print_final_stats=1"])
            .arg(prefix);
        shell::succeed(&mut fuzzer).with_context(|| {
            format!("{name} has a fault: mend it, and keep the file in tests/corpus/{name} under a name that says what")
        })?;
    }
    Ok(())
}

/// Builds the fuzzer beside everything else, and says where it is.
fn build(root: &Path, folder: &Path) -> Result<PathBuf> {
    // Flags for one target spare build scripts and macros: they run here and are not what is fuzzed.
    let host = host(root)?;
    let mut command = shell::cargo(root, "build");
    command
        .args(["--profile", "release", "--package", "weir-tests", "--bin", "weir-fuzz", "--target", &host])
        .arg("--target-dir")
        .arg(folder)
        .env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTED.join(SEPARATOR));
    shell::succeed(&mut command)?;
    Ok(folder.join(host).join("release").join("weir-fuzz"))
}

/// The triple of this machine.
fn host(root: &Path) -> Result<String> {
    let said = shell::output(shell::cargo(root, "version").arg("--verbose")).context("cargo does not run")?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`cargo version --verbose` names no host")?.to_owned())
}
