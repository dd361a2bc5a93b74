//! Finds what building, testing and checking need, and installs what is missing.
//!
//! What is there is only looked at, so a second run costs little. Nothing a person installed is replaced.
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell;
use crate::toolchain::{self, Compiler, LINKER_VERSION, Missing, OLDEST_RUST, Places, Way};
use crate::unpacked;
use crate::venv;

/// What the machine is to be made ready for; each includes the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Building and running weir.
    Build,
    /// Running the tests, the demo and the benchmarks.
    Test,
    /// Running the checks of CI.
    Check,
    /// Fuzzing.
    Fuzz,
    /// Booting other kernels.
    Kernels,
}

/// A program that comes from a Debian package.
#[derive(Debug)]
struct Tool {
    /// The program whose presence shows that the package is installed.
    program: &'static str,
    packages: &'static [&'static str],
    purpose: &'static str,
    scope: Scope,
    /// A service the package starts and weir has no use for: it is stopped and disabled again.
    service: Option<&'static str>,
}

/// What tools of attackers are for.
const ATTACKS: &str = "real attacks, on a web server in a namespace of the tests' own";

/// What is needed besides Rust.
const TOOLS: [Tool; 23] = [
    Tool {
        program: "cc",
        packages: &["gcc", "libc6-dev"],
        purpose: "linking, and the bundled SQLite",
        scope: Scope::Build,
        service: None,
    },
    Tool {
        program: "ip",
        packages: &["iproute2"],
        purpose: "namespaces and veth pairs of the tests",
        scope: Scope::Test,
        service: None,
    },
    Tool {
        program: "ethtool",
        packages: &["ethtool"],
        purpose: "switching off offloads of veth pairs",
        scope: Scope::Test,
        service: None,
    },
    Tool {
        program: "bpftool",
        packages: &["bpftool"],
        purpose: "a second opinion on programs, maps and links",
        scope: Scope::Test,
        service: None,
    },
    Tool {
        program: "promtool",
        packages: &["prometheus"],
        purpose: "checking the metrics",
        scope: Scope::Test,
        service: Some("prometheus.service"),
    },
    Tool {
        program: "nft",
        packages: &["nftables"],
        purpose: "reading what weir exports, and the bouncer it is measured beside",
        scope: Scope::Test,
        service: None,
    },
    Tool {
        program: "ipset",
        packages: &["ipset"],
        purpose: "reading what weir exports",
        scope: Scope::Test,
        service: None,
    },
    Tool {
        program: "fail2ban-server",
        packages: &["fail2ban"],
        purpose: "bans of a real fail2ban",
        scope: Scope::Test,
        service: Some("fail2ban.service"),
    },
    Tool {
        program: "tshark",
        packages: &["tshark"],
        purpose: "a second opinion on captures",
        scope: Scope::Test,
        service: None,
    },
    Tool {
        program: "mkfs.ext4",
        packages: &["e2fsprogs"],
        purpose: "a disk whose power is cut",
        scope: Scope::Test,
        service: None,
    },
    Tool {
        program: "faketime",
        packages: &["faketime"],
        purpose: "a wall clock that is wrong",
        scope: Scope::Test,
        service: None,
    },
    Tool {
        program: "logrotate",
        packages: &["logrotate"],
        purpose: "rotating logs as it is done everywhere",
        scope: Scope::Test,
        service: Some("logrotate.timer"),
    },
    Tool {
        program: "nginx",
        packages: &["nginx"],
        purpose: "a real web server, whose logs are followed",
        scope: Scope::Test,
        service: Some("nginx.service"),
    },
    Tool { program: "sqlmap", packages: &["sqlmap"], purpose: ATTACKS, scope: Scope::Test, service: None },
    Tool { program: "gobuster", packages: &["gobuster"], purpose: ATTACKS, scope: Scope::Test, service: None },
    Tool { program: "dirb", packages: &["dirb"], purpose: ATTACKS, scope: Scope::Test, service: None },
    Tool { program: "hydra", packages: &["hydra"], purpose: ATTACKS, scope: Scope::Test, service: None },
    Tool { program: "wfuzz", packages: &["wfuzz"], purpose: ATTACKS, scope: Scope::Test, service: None },
    Tool {
        program: "git",
        packages: &["git"],
        purpose: "listing the repository's files",
        scope: Scope::Check,
        service: None,
    },
    Tool { program: "c++", packages: &["g++"], purpose: "the fuzzer's own runtime", scope: Scope::Fuzz, service: None },
    Tool {
        program: "qemu-system-x86_64",
        packages: &["qemu-system-x86"],
        purpose: "booting other kernels",
        scope: Scope::Kernels,
        service: None,
    },
    Tool {
        program: "busybox",
        packages: &["busybox-static"],
        purpose: "all that a booted kernel has besides the tests",
        scope: Scope::Kernels,
        service: None,
    },
    Tool {
        program: "cpio",
        packages: &["cpio"],
        purpose: "packing what a booted kernel has",
        scope: Scope::Kernels,
        service: None,
    },
];

/// The distribution's compiler for the BPF target, as Debian 12 names its packages.
const COMPILER_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];

/// The linter that belongs to it.
const CLIPPY_PACKAGE: &str = "rust-web-clippy";

/// Rustup components of the toolchain in use, by the cargo subcommand they bring.
const COMPONENTS: [(&str, &str); 2] = [("clippy", "clippy"), ("fmt", "rustfmt")];

/// One thing that is needed.
#[derive(Clone, Copy, Debug)]
enum Need {
    Compiler,
    Linker,
    Tool(&'static Tool),
    /// CrowdSec's programs, unpacked and not installed.
    CrowdSec,
    /// The fuzzer of the API, in an environment of its own.
    Schemathesis,
    Component {
        subcommand: &'static str,
        name: &'static str,
    },
    BpfClippy,
}

/// Every need up to `scope`, in the order they are installed and told.
fn needs(scope: Scope) -> Vec<Need> {
    let mut needs = vec![Need::Compiler, Need::Linker];
    needs.extend(TOOLS.iter().map(Need::Tool));
    needs.extend([Need::CrowdSec, Need::Schemathesis]);
    needs.extend(COMPONENTS.iter().map(|&(subcommand, name)| Need::Component { subcommand, name }));
    needs.push(Need::BpfClippy);
    needs.retain(|need| need.scope() <= scope);
    needs
}

impl Need {
    fn scope(self) -> Scope {
        match self {
            Self::Compiler | Self::Linker => Scope::Build,
            Self::Tool(tool) => tool.scope,
            Self::CrowdSec | Self::Schemathesis => Scope::Test,
            Self::Component { .. } | Self::BpfClippy => Scope::Check,
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Compiler => "BPF compiler",
            Self::Linker => "bpf-linker",
            Self::Tool(tool) => tool.program,
            Self::CrowdSec => "crowdsec",
            Self::Schemathesis => "schemathesis",
            Self::Component { name, .. } => name,
            Self::BpfClippy => "BPF clippy",
        }
    }

    /// Where it is, or why it is not.
    fn look(self, places: &Places) -> Result<String, String> {
        match self {
            Self::Compiler => match Compiler::find(places) {
                Ok(compiler) => Ok(format!("{} {}, {}", compiler.rustc.display(), compiler.release, way(compiler.way))),
                Err(missing) => Err(missing.to_string()),
            },
            Self::Linker => match toolchain::find_linker(places) {
                Ok(at) => Ok(format!("{} {LINKER_VERSION}", at.display())),
                Err(missing) => Err(missing.to_string()),
            },
            Self::Tool(tool) => match places.program(tool.program) {
                Some(at) => Ok(at.display().to_string()),
                None => Err(format!("no {} on PATH, for {}", tool.program, tool.purpose)),
            },
            Self::CrowdSec => match shell::workspace().ok().and_then(|root| unpacked::find(&root)) {
                Some(at) => Ok(at.display().to_string()),
                None => Err("no crowdsec and cscli, for decisions of a real CrowdSec server".to_owned()),
            },
            Self::Schemathesis => match shell::workspace().ok().and_then(|root| venv::find(&root)) {
                Some(at) => Ok(at.display().to_string()),
                None => Err("no schemathesis of the release that is used, for fuzzing the API".to_owned()),
            },
            Self::Component { subcommand, .. } => {
                let said = shell::output(shell::cargo(Path::new("."), subcommand).arg("--version"));
                said.map(|version| version.trim().to_owned()).ok_or(format!("`cargo {subcommand}` does not run"))
            }
            Self::BpfClippy => {
                let compiler = Compiler::find(places).map_err(|_missing| "goes with the BPF compiler".to_owned())?;
                let clippy = compiler.cargo.with_file_name("clippy-driver");
                if clippy.is_file() && compiler.cargo.with_file_name("cargo-clippy").is_file() {
                    Ok(clippy.display().to_string())
                } else {
                    Err(format!("no clippy beside {}", compiler.cargo.display()))
                }
            }
        }
    }

    /// The Debian packages that bring it.
    fn packages(self, places: &Places) -> Vec<&'static str> {
        match self {
            Self::Compiler => COMPILER_PACKAGES.to_vec(),
            Self::Linker | Self::CrowdSec | Self::Component { .. } => Vec::new(),
            Self::Tool(tool) => tool.packages.to_vec(),
            Self::Schemathesis => venv::PACKAGES.to_vec(),
            Self::BpfClippy => match Compiler::find(places) {
                Ok(Compiler { way: Way::Nightly, .. }) => Vec::new(),
                Ok(Compiler { way: Way::Distribution, .. }) | Err(_) => vec![CLIPPY_PACKAGE],
            },
        }
    }

    /// What a person can do about its absence.
    fn remedy(self, places: &Places) -> String {
        let apt = |packages: &[&str]| format!("`sudo apt-get install {}`", packages.join(" "));
        match self {
            Self::Compiler => {
                let (major, minor) = OLDEST_RUST;
                format!(
                    "on Debian {} (release {major}.{minor} or newer); \
                     anywhere else `rustup toolchain install nightly --component rust-src`",
                    apt(&COMPILER_PACKAGES)
                )
            }
            Self::Linker => format!("`{}`", shell::line(&install_linker())),
            Self::Tool(tool) => apt(tool.packages),
            Self::CrowdSec => shell::workspace().map_or_else(|error| error.to_string(), |root| unpacked::remedy(&root)),
            Self::Schemathesis => shell::workspace().map_or_else(|error| error.to_string(), |root| venv::remedy(&root)),
            Self::Component { name, .. } => format!("`rustup component add {name}`"),
            Self::BpfClippy => match self.packages(places).as_slice() {
                [] => "`rustup component add clippy --toolchain nightly`".to_owned(),
                packages => apt(packages),
            },
        }
    }
}

fn way(way: Way) -> &'static str {
    match way {
        Way::Distribution => "core prebuilt",
        Way::Nightly => "core from rust-src",
    }
}

/// A need and what became of it.
#[derive(Debug)]
struct Outcome {
    need: Need,
    before: Result<String, String>,
    after: Result<String, String>,
}

/// Makes ready for everything and lists each need: `cargo xtask setup`.
///
/// # Errors
/// When something is missing and can't be installed; the message names the remedies.
pub fn everything(out: &mut impl Write) -> Result<()> {
    let outcomes = provide(Scope::Check, out)?;
    write!(out, "{}", table(outcomes.iter()))?;
    complete(&outcomes)
}

/// Makes ready for `scope`; says nothing about what was there already.
///
/// # Errors
/// When something is missing and can't be installed; the message names the remedies.
pub fn ensure(scope: Scope, out: &mut impl Write) -> Result<()> {
    let outcomes = provide(scope, out)?;
    write!(out, "{}", table(outcomes.iter().filter(|outcome| outcome.before.is_err())))?;
    complete(&outcomes)
}

/// One aligned line for each outcome: what, how it stands, where.
fn table<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> String {
    let line = |outcome: &Outcome| {
        let (state, place) = match (&outcome.before, &outcome.after) {
            (Ok(_), Ok(place)) => ("found", place),
            (Err(_), Ok(place)) => ("installed", place),
            (_, Err(reason)) => ("MISSING", reason),
        };
        format!("{:<13} {state:<10} {place}\n", outcome.need.what())
    };
    outcomes.map(line).collect()
}

fn complete(outcomes: &[Outcome]) -> Result<()> {
    let places = Places::of_this_machine();
    let missing = outcomes.iter().filter(|outcome| outcome.after.is_err());
    let remedies: Vec<String> =
        missing.map(|outcome| format!("\n  {}: {}", outcome.need.what(), outcome.need.remedy(&places))).collect();
    if !remedies.is_empty() {
        bail!("set-up is not complete; install by hand:{}", remedies.concat());
    }
    Ok(())
}

fn provide(scope: Scope, out: &mut impl Write) -> Result<Vec<Outcome>> {
    let places = Places::of_this_machine();
    let before: Vec<(Need, Result<String, String>)> =
        needs(scope).into_iter().map(|need| (need, need.look(&places))).collect();
    let missing: Vec<Need> = before.iter().filter(|(_, state)| state.is_err()).map(|(need, _)| *need).collect();
    if missing.is_empty() {
        let found =
            |(need, state): (Need, Result<String, String>)| Outcome { need, before: state.clone(), after: state };
        return Ok(before.into_iter().map(found).collect());
    }
    install(&missing, &places, out)?;
    let look_again =
        |(need, before): (Need, Result<String, String>)| Outcome { need, before, after: need.look(&places) };
    Ok(before.into_iter().map(look_again).collect())
}

/// Tries to install what is missing. What fails is told and left: the second look says what is still not there.
fn install(missing: &[Need], places: &Places, out: &mut impl Write) -> Result<()> {
    install_packages(missing, places, out)?;
    for need in missing.iter().filter(|need| need.look(places).is_err()) {
        match need {
            Need::Compiler => install_nightly(places, out)?,
            Need::Linker => match toolchain::find_linker(places) {
                Err(Missing::LinkerRelease { at, .. }) if is_installed_by_cargo(&at, places) => {
                    writeln!(out, "{} is another release and is not replaced unasked", at.display())?;
                }
                _ => attempt(&mut install_linker(), out)?,
            },
            Need::CrowdSec => unpacked::provide(&shell::workspace()?, out)?,
            Need::Schemathesis => venv::provide(&shell::workspace()?, out)?,
            Need::Component { name, .. } => attempt(Command::new("rustup").args(["component", "add", name]), out)?,
            Need::BpfClippy if need.packages(places).is_empty() => add_to_nightly("clippy", out)?,
            Need::BpfClippy | Need::Tool(_) => {}
        }
    }
    Ok(())
}

/// All Debian packages in one go, on machines that have `apt-get` and to root.
fn install_packages(missing: &[Need], places: &Places, out: &mut impl Write) -> Result<()> {
    let mut packages: BTreeSet<&str> = missing.iter().flat_map(|need| need.packages(places)).collect();
    if packages.is_empty() || places.program("apt-get").is_none() {
        return Ok(());
    }
    let list = |packages: &BTreeSet<&str>| packages.iter().copied().collect::<Vec<_>>().join(" ");
    if !shell::is_root()? {
        writeln!(out, "Debian packages need root: sudo apt-get install --no-install-recommends {}", list(&packages))?;
        return Ok(());
    }
    attempt(Command::new("apt-get").args(["update", "-qq"]), out)?;
    let absent: Vec<&str> = packages.iter().copied().filter(|package| !has_candidate(package)).collect();
    if !absent.is_empty() {
        writeln!(out, "this distribution has no package {}", absent.join(", "))?;
        packages.retain(|package| !absent.contains(package));
        // The compiler is of use only as a whole.
        if COMPILER_PACKAGES.iter().any(|package| absent.contains(package)) {
            packages.retain(|package| !COMPILER_PACKAGES.contains(package) && *package != CLIPPY_PACKAGE);
        }
    }
    if packages.is_empty() {
        return Ok(());
    }
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&packages);
    attempt(apt.env("DEBIAN_FRONTEND", "noninteractive"), out)?;
    for tool in TOOLS.iter().filter(|tool| tool.packages.iter().any(|package| packages.contains(package))) {
        if let Some(service) = tool.service
            && Path::new("/run/systemd/system").is_dir()
        {
            attempt(Command::new("systemctl").args(["disable", "--now", service]), out)?;
        }
    }
    Ok(())
}

fn has_candidate(package: &str) -> bool {
    let policy = shell::output(Command::new("apt-cache").args(["policy", package])).unwrap_or_default();
    candidate(&policy).is_some()
}

/// The version `apt-cache policy` would install; it prints nothing at all for a name it does not know.
fn candidate(policy: &str) -> Option<&str> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    (version != "(none)").then_some(version)
}

/// A nightly with `rust-src`, by rustup. A nightly that is there already gets the component and is not updated.
fn install_nightly(places: &Places, out: &mut impl Write) -> Result<()> {
    if places.program("rustup").is_none() {
        writeln!(out, "there is no rustup either, so no nightly can be had")?;
        return Ok(());
    }
    let installed = shell::output(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    if installed.lines().any(|line| line.starts_with("nightly")) {
        return add_to_nightly("rust-src", out);
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["toolchain", "install", "nightly", "--profile", "minimal"]);
    attempt(rustup.args(["--component", "rust-src", "--component", "clippy"]), out)
}

fn add_to_nightly(component: &str, out: &mut impl Write) -> Result<()> {
    attempt(Command::new("rustup").args(["component", "add", component, "--toolchain", "nightly"]), out)
}

fn install_linker() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked"]);
    cargo
}

fn is_installed_by_cargo(program: &Path, places: &Places) -> bool {
    places.cargo_home.as_ref().is_some_and(|home| program.starts_with(home))
}

/// Says what is run, runs it, and says when it failed.
pub(crate) fn attempt(command: &mut Command, out: &mut impl Write) -> Result<()> {
    writeln!(out, "running: {}", shell::line(command))?;
    out.flush().context("cannot write to standard output")?;
    if let Err(error) = shell::succeed(command) {
        writeln!(out, "{error:#}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_includes_the_ones_before() {
        let count = |scope| needs(scope).len();
        assert!(count(Scope::Build) < count(Scope::Test) && count(Scope::Test) < count(Scope::Check));
        assert!(count(Scope::Check) < count(Scope::Fuzz) && count(Scope::Fuzz) < count(Scope::Kernels));
        assert_eq!(count(Scope::Kernels), 2 + TOOLS.len() + 2 + COMPONENTS.len() + 1);
    }

    #[test]
    fn table_tells_found_installed_and_missing_apart() {
        let outcome = |need, before: Result<&str, &str>, after: Result<&str, &str>| Outcome {
            need,
            before: before.map(str::to_owned).map_err(str::to_owned),
            after: after.map(str::to_owned).map_err(str::to_owned),
        };
        let outcomes = [
            outcome(Need::Compiler, Ok("/usr/bin/rustc"), Ok("/usr/bin/rustc")),
            outcome(Need::Linker, Err("none"), Ok("/home/me/bpf-linker")),
            outcome(Need::BpfClippy, Err("none"), Err("no clippy")),
        ];
        let expected = "BPF compiler  found      /usr/bin/rustc\n\
                        bpf-linker    installed  /home/me/bpf-linker\n\
                        BPF clippy    MISSING    no clippy\n";
        assert_eq!(table(outcomes.iter()), expected);
        let error = complete(&outcomes).unwrap_err().to_string();
        assert!(error.contains("\n  BPF clippy: `"), "{error}");
        assert!(!error.contains("bpf-linker:"), "{error}");
    }

    #[test]
    fn only_a_known_package_has_a_candidate() {
        assert_eq!(candidate("gcc:\n  Installed: (none)\n  Candidate: 4:12.2.0-3\n"), Some("4:12.2.0-3"));
        assert_eq!(candidate("rustc-web:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(candidate(""), None);
    }

    #[test]
    fn compiler_remedy_names_both_ways() {
        let remedy = Need::Compiler.remedy(&Places::of_this_machine());
        assert!(remedy.contains(COMPILER_PACKAGES[0]) && remedy.contains("rust-src"), "{remedy}");
    }
}
