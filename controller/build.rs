//! Compiles the XDP program for the BPF target and leaves the object where the daemon embeds it; lists the rules that are
//! embedded as well.
//!
//! The nested build has a target directory of its own under `OUT_DIR`: the outer cargo holds the lock of the usual one.
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

#[path = "../xtask/src/toolchain.rs"]
#[expect(dead_code, unreachable_pub, reason = "the file is shared with xtask, where it is public and used in full")]
mod toolchain;

use toolchain::{Places, TARGET, Toolchain};

/// What the object depends on, relative to the workspace.
const SOURCES: [&str; 6] =
    ["Cargo.lock", "Cargo.toml", "common", "controller/build.rs", "xdp-ebpf", "xtask/src/toolchain.rs"];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let package = directory("CARGO_MANIFEST_DIR")?;
    let root = package.parent().ok_or("the controller lies outside its workspace")?;
    let out = directory("OUT_DIR")?;
    for source in SOURCES {
        watch(&root.join(source));
    }

    rules(&package.join("rules"), &out)?;

    let toolchain = Toolchain::find(&Places::of_this_machine())
        .map_err(|missing| format!("{missing}; `cargo xtask setup` finds or installs it"))?;
    watch(&toolchain.compiler.rustc);
    watch(&toolchain.linker);

    let target_dir = out.join("bpf");
    let mut cargo = toolchain.build(&target_dir).map_err(|e| format!("cannot write {}: {e}", out.display()))?;
    cargo.current_dir(root);
    if root.join("Cargo.lock").is_file() {
        cargo.arg("--locked");
    }
    if env::var_os("CARGO_FEATURE_TRACE").is_some() {
        cargo.args(["--features", "trace"]);
    }
    // This script's standard output is read by cargo as instructions.
    cargo.stdout(Stdio::from(io::stderr()));
    let status = cargo.status().map_err(|e| format!("{} does not start: {e}", toolchain.compiler.cargo.display()))?;
    if !status.success() {
        return Err(format!("the XDP program does not build ({status})"));
    }

    let object = target_dir.join(TARGET).join("bpf/weir-xdp");
    fs::copy(&object, out.join("weir.bpf.o")).map_err(|e| format!("cannot copy {}: {e}", object.display()))?;
    Ok(())
}

/// Writes the list of the rules' files, in the order of their names, as the daemon includes it.
fn rules(folder: &Path, out: &Path) -> Result<(), String> {
    watch(folder);
    let mut list = String::from("[\n");
    for class in entries(folder)? {
        for file in entries(&class)?.iter().filter(|file| file.extension().is_some_and(|ending| ending == "yml")) {
            let name = file.strip_prefix(folder).unwrap_or(file);
            let (name, file) = (name.display().to_string(), file.display().to_string());
            list.extend(["    (", &format!("{name:?}"), ", include_str!(", &format!("{file:?}"), ")),\n"]);
        }
    }
    list.push_str("]\n");
    let place = out.join("rules.rs");
    fs::write(&place, list).map_err(|e| format!("cannot write {}: {e}", place.display()))
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unread = |e: io::Error| format!("cannot read {}: {e}", folder.display());
    let found = fs::read_dir(folder).map_err(unread)?.map(|entry| entry.map(|entry| entry.path()));
    let mut found = found.collect::<Result<Vec<_>, _>>().map_err(unread)?;
    found.sort();
    Ok(found)
}

fn directory(variable: &str) -> Result<PathBuf, String> {
    env::var_os(variable).map(PathBuf::from).ok_or_else(|| format!("cargo has not set {variable}"))
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
