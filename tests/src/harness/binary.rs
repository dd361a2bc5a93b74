//! The binary under test.
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The `weir` binary: the one that the environment's `WEIR_BIN` names, the one beside the running binary (as
/// `cargo xtask` builds it for the demo and the benches), else built now, once.
///
/// # Panics
/// Where it cannot be built: with the compiler's words.
pub fn path() -> &'static Path {
    static PATH: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    // A failure is kept as well: what could not be built for one test is not tried again for the next.
    let built = PATH.get_or_init(|| env::var_os("WEIR_BIN").map(PathBuf::from).or_else(beside).map_or_else(build, Ok));
    built.as_ref().unwrap_or_else(|why| panic!("{why}"))
}

fn beside() -> Option<PathBuf> {
    Some(env::current_exe().ok()?.with_file_name("weir")).filter(|path| path.is_file())
}

/// Builds it in the profile of the tests themselves, and asks cargo where it is.
fn build() -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    // With the tests' own package beside it: features are then as the tests were built with, and little is built twice.
    command.args(["build", "--package", "weir", "--package", "weir-tests", "--bin", "weir"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    if super::is_release() {
        command.arg("--release");
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo could not build weir: {}", output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    });
    let mut weir = executables.filter(|path| path.file_name().is_some_and(|name| name == "weir"));
    weir.next().ok_or_else(|| "cargo built no binary called weir".to_owned())
}
