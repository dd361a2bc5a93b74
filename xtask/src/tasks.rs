//! What is built and run: the daemon, the demo, the benchmark, the tests.
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::setup::{self, Scope};
use crate::shell;
use crate::unpacked;
use crate::venv;

/// Names the directory of real-world data; tests without it skip what needs it.
const DATA: &str = "WEIR_DATA";

/// Where [`DATA`] is looked for when it is not set, relative to the workspace.
const USUAL_DATA: &str = "../shared/data";

/// Names the file to which tests add a line for each thing they skipped.
const SKIPPED: &str = "WEIR_SKIPPED";

/// Sets up and builds the daemon.
///
/// # Errors
/// When something is missing or the build fails.
pub fn build(root: &Path, out: &mut impl Write) -> Result<()> {
    setup::ensure(Scope::Build, out)?;
    let weir = release(root, &[("weir", "weir")])?;
    writeln!(out, "built {}", weir.display())?;
    Ok(())
}

/// Sets up, builds the daemon and becomes it.
///
/// # Errors
/// When something is missing, the build fails or the daemon can't be started.
pub fn run(root: &Path, interface: &OsStr, args: &[OsString], out: &mut impl Write) -> Result<()> {
    setup::ensure(Scope::Build, out)?;
    let weir = release(root, &[("weir", "weir")])?;
    let mut command = if shell::is_root()? {
        Command::new(weir)
    } else {
        writeln!(out, "attaching an XDP program needs root: starting weir with sudo")?;
        let mut sudo = Command::new("sudo");
        sudo.arg(weir);
        sudo
    };
    shell::become_program(command.args(["run", "-i"]).arg(interface).args(args))
}

/// Sets up, builds a binary of the integration crate and becomes it.
///
/// # Errors
/// When not root, something is missing, the build fails or the binary can't be started.
pub fn tool(root: &Path, binary: &str, args: &[OsString], out: &mut impl Write) -> Result<()> {
    let asks_for_help = args.iter().any(|arg| arg == "--help" || arg == "-h");
    if !asks_for_help {
        require_root()?;
    }
    setup::ensure(Scope::Test, out)?;
    // The daemon as well, and in one go, so that both share one set of features: these binaries start it.
    let binary = release(root, &[("weir", "weir"), ("weir-tests", binary)])?;
    let mut command = Command::new(binary);
    set_data(root, &mut command);
    shell::become_program(command.args(args))
}

/// Sets up, runs every test and says what was skipped.
///
/// # Errors
/// When not root, something is missing or a test fails.
pub fn test(root: &Path, args: &[OsString], out: &mut impl Write) -> Result<()> {
    require_root()?;
    setup::ensure(Scope::Test, out)?;
    let skipped = env::temp_dir().join(format!("weir-skipped-{}", std::process::id()));
    fs::write(&skipped, "").with_context(|| format!("cannot write {}", skipped.display()))?;

    let mut command = shell::cargo(root, "test");
    command.args(["--workspace", "--exclude", "weir-xdp"]).args(args).env(SKIPPED, &skipped);
    set_data(root, &mut command);
    let passed = shell::succeed(&mut command);

    let lines = fs::read_to_string(&skipped).with_context(|| format!("cannot read {}", skipped.display()))?;
    fs::remove_file(&skipped).with_context(|| format!("cannot remove {}", skipped.display()))?;
    write!(out, "{}", skips(&lines))?;
    passed
}

/// What the tests skipped, or that they skipped nothing.
fn skips(lines: &str) -> String {
    let mut lines: Vec<&str> = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.dedup();
    if lines.is_empty() {
        return "nothing was skipped\n".to_owned();
    }
    format!("skipped ({DATA} names the directory of real-world data):\n  {}\n", lines.join("\n  "))
}

/// Points tests at the data beside the repository and at programs that are not on the path, unless the user has said where
/// they are.
fn set_data(root: &Path, command: &mut Command) {
    if env::var_os(DATA).is_none()
        && let Ok(usual) = root.join(USUAL_DATA).canonicalize()
    {
        command.env(DATA, usual);
    }
    if env::var_os(unpacked::VARIABLE).is_none()
        && let Some(programs) = unpacked::find(root)
    {
        command.env(unpacked::VARIABLE, programs);
    }
    if env::var_os(venv::VARIABLE).is_none()
        && let Some(program) = venv::find(root)
    {
        command.env(venv::VARIABLE, program);
    }
}

fn require_root() -> Result<()> {
    if !shell::is_root()? {
        bail!(
            "this makes network namespaces and loads XDP programs, so it needs root: \
             run it as `sudo env \"PATH=$PATH\" \"HOME=$HOME\" cargo xtask …`"
        );
    }
    Ok(())
}

/// Builds binaries, optimised, each given with its package, and says where cargo put the last.
fn release(root: &Path, binaries: &[(&str, &str)]) -> Result<PathBuf> {
    let mut command = shell::cargo(root, "build");
    command.args(["--release", "--message-format", "json-render-diagnostics"]);
    for (package, binary) in binaries {
        command.args(["--package", package, "--bin", binary]);
    }
    let wanted = binaries.last().map_or("", |(_, binary)| *binary);
    // Progress and diagnostics go to standard error as ever; standard output has one line a file made.
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", shell::line(&command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", shell::line(&command), output.status);
    }
    let made = String::from_utf8_lossy(&output.stdout);
    let made = made.lines().filter_map(executable).find(|path| path.file_name() == Some(OsStr::new(wanted)));
    made.with_context(|| format!("cargo built no binary called {wanted}"))
}

/// The binary one line of cargo's messages tells of.
fn executable(message: &str) -> Option<PathBuf> {
    let (_, rest) = message.split_once(r#""executable":""#)?;
    let mut path = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return Some(PathBuf::from(path)),
            // Cargo escapes quotes and backslashes; a path with control characters is not supported.
            '\\' => path.push(chars.next().filter(|escaped| matches!(escaped, '"' | '\\' | '/'))?),
            plain => path.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_is_read_from_the_artifact_line_only() {
        let line =
            r#"{"reason":"compiler-artifact","filenames":["/t/weir"],"executable":"/a \"b\"/weir","fresh":true}"#;
        assert_eq!(executable(line), Some(PathBuf::from(r#"/a "b"/weir"#)));
        assert_eq!(executable(r#"{"reason":"compiler-artifact","executable":null,"fresh":true}"#), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
    }

    #[test]
    fn skips_are_listed_once_and_their_absence_is_said() {
        assert_eq!(skips("\n"), "nothing was skipped\n");
        let listed = skips("b: no capture\na: no feed\nb: no capture\n");
        assert!(listed.ends_with(":\n  a: no feed\n  b: no capture\n"), "{listed}");
    }
}
