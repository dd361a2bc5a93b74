//! A package whose programs the tests run, and that is only unpacked: installing CrowdSec signs the machine up with a
//! central service and starts a server.
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::setup::attempt;
use crate::shell;

/// Names the folder of CrowdSec's programs for the tests.
pub const VARIABLE: &str = "WEIR_TEST_CROWDSEC";

/// Where it is unpacked, in the workspace.
const FOLDER: &str = "target/crowdsec";

/// Programs the tests run.
const PROGRAMS: [&str; 2] = ["crowdsec", "cscli"];

/// The server, and the bouncer that weir is measured beside.
const PACKAGES: [&str; 2] = ["crowdsec", "crowdsec-firewall-bouncer"];

/// The folder of its programs: the one the environment names, one of a package somebody installed, or the one that was
/// unpacked into this workspace.
pub fn find(root: &Path) -> Option<PathBuf> {
    let named = env::var_os(VARIABLE).map(PathBuf::from);
    named
        .into_iter()
        .chain([PathBuf::from("/usr/bin"), root.join(FOLDER).join("usr/bin")])
        .find(|folder| is_whole(folder))
}

fn is_whole(folder: &Path) -> bool {
    PROGRAMS.iter().all(|program| folder.join(program).is_file())
}

/// What a person can do where there is none.
pub fn remedy(root: &Path) -> String {
    let folder = root.join(FOLDER);
    format!(
        "`apt-get download {}`, then `dpkg -x` each into {}; do not install them",
        PACKAGES.join(" "),
        folder.display()
    )
}

/// Fetches the packages and unpacks them. What fails is told and left, as for all that is provided.
///
/// # Errors
/// Where the folder cannot be made or read.
pub fn provide(root: &Path, out: &mut impl Write) -> Result<()> {
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    if shell::is_root()? {
        attempt(Command::new("apt-get").args(["update", "-qq"]), out)?;
    }
    attempt(Command::new("apt-get").args(["download", "-qq"]).args(PACKAGES).current_dir(&folder), out)?;
    for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry.with_context(|| format!("read {}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            attempt(Command::new("dpkg").arg("-x").arg(&path).arg(&folder), out)?;
            fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_serves_only_with_every_program() {
        let folder = env::temp_dir().join(format!("weir-unpacked-{}", std::process::id()));
        let programs = folder.join(FOLDER).join("usr/bin");
        fs::create_dir_all(&programs).unwrap();
        fs::write(programs.join("crowdsec"), "").unwrap();
        assert!(!is_whole(&programs));
        fs::write(programs.join("cscli"), "").unwrap();
        assert!(is_whole(&programs));
        assert!(find(&folder).is_some());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_remedy_unpacks_and_does_not_install() {
        let remedy = remedy(Path::new("/w"));
        assert!(remedy.contains("dpkg -x") && !remedy.contains("apt-get install"), "{remedy}");
    }
}
