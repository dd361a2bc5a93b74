//! A Python tool that the tests run, in an environment of its own: no package of the distribution's has it.
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::setup::attempt;

/// Names the program for the tests.
pub const VARIABLE: &str = "WEIR_TEST_SCHEMATHESIS";

/// What makes the environment.
pub const PACKAGES: [&str; 2] = ["python3", "python3-venv"];

/// Another release finds other things: which one is said here alone.
const RELEASE: &str = "4.32.5";

const FOLDER: &str = "target/schemathesis";

/// The program: the one the environment names, or that of this release in this workspace.
pub fn find(root: &Path) -> Option<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE).map(PathBuf::from) {
        return Some(named).filter(|program| program.is_file());
    }
    let folder = root.join(FOLDER);
    Some(folder.join("bin/schemathesis")).filter(|program| program.is_file() && has_release(&folder))
}

/// Whether an environment has this release. Asking the program takes a second.
fn has_release(folder: &Path) -> bool {
    let versions = fs::read_dir(folder.join("lib")).into_iter().flatten().flatten();
    let installed = format!("site-packages/schemathesis-{RELEASE}.dist-info");
    versions.into_iter().any(|version| version.path().join(&installed).is_dir())
}

fn commands(root: &Path) -> [Command; 2] {
    let folder = root.join(FOLDER);
    let (mut make, mut fill) = (Command::new("python3"), Command::new(folder.join("bin/pip")));
    make.args(["-m", "venv"]).arg(&folder);
    fill.args(["install", "--quiet", "--disable-pip-version-check"]).arg(format!("schemathesis=={RELEASE}"));
    [make, fill]
}

/// What a person can do where there is none.
pub fn remedy(root: &Path) -> String {
    let [make, fill] = commands(root).map(|command| crate::shell::line(&command));
    format!("`sudo apt-get install {}`, then `{make} && {fill}`", PACKAGES.join(" "))
}

/// Makes the environment and fills it. What fails is told and left, as for all that is provided.
///
/// # Errors
/// Where nothing can be told.
pub fn provide(root: &Path, out: &mut impl Write) -> Result<()> {
    for mut command in commands(root) {
        attempt(&mut command, out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_serves_only_with_this_release() {
        let root = env::temp_dir().join(format!("weir-venv-{}", std::process::id()));
        let folder = root.join(FOLDER);
        let packages = folder.join("lib/python3.11/site-packages");
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::create_dir_all(packages.join("schemathesis-1.0.0.dist-info")).unwrap();
        fs::write(folder.join("bin/schemathesis"), "").unwrap();
        assert!(!has_release(&folder));
        fs::create_dir(packages.join(format!("schemathesis-{RELEASE}.dist-info"))).unwrap();
        assert!(has_release(&folder));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn the_remedy_is_what_is_done() {
        let remedy = remedy(Path::new("/w"));
        let done = format!("python3 -m venv /w/{FOLDER} && /w/{FOLDER}/bin/pip install");
        assert!(remedy.contains(&done) && remedy.contains(RELEASE), "{remedy}");
    }
}
