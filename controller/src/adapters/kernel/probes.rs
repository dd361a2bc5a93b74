//! What this kernel, this machine and these interfaces can do: each probe is made now, by doing the thing or by
//! asking whoever knows, and undone at once. Nothing is attached to an interface of the system.
mod attempts;
mod interface;
mod machine;

use std::fmt;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use super::bpffs::{self, State};
use super::sys;

pub use machine::{lift_locked_memory, privilege};

/// How a probe came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There, and as it should be.
    Good,
    /// weir runs, with less of something.
    Degraded,
    /// weir does not run without it.
    Missing,
    /// The probe could not be made; what was found says why.
    Unknown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        })
    }
}

/// A probe that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What was probed; the same words every time.
    pub name: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found, as a sentence without a full stop; starts with the interface's name where it is about one.
    pub found: String,
    /// The way out, where something is to be done.
    pub remedy: Option<String>,
}

impl Probe {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Good, found: found.into(), remedy: None }
    }

    fn unknown(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Unknown, found: found.into(), remedy: None }
    }

    fn degraded(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Degraded, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn missing(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Missing, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Makes all probes of the kernel and the machine, and those of each named interface of the calling thread's network
/// namespace. Pins are looked for in the system's BPF filesystem.
///
/// Lifts the process's limit on locked memory if it may. Takes some tens of milliseconds. Never fails: what cannot be probed is [`Outcome::Unknown`].
pub fn run(interfaces: &[String]) -> Vec<Probe> {
    run_with_bpffs(interfaces, None)
}

/// As [`run`], with pins in a configured place.
pub fn run_with_bpffs(interfaces: &[String], configured: Option<&Path>) -> Vec<Probe> {
    // Where that is refused and matters, the probe of locked memory says so.
    drop(lift_locked_memory());
    let mut probes = machine::probes();
    probes.extend(attempts::probes());
    probes.push(pins(configured));
    for name in interfaces {
        probes.extend(interface::probes(name));
    }
    probes
}

/// The probes that say this process cannot run weir's program on this kernel at all: privilege or kernel features that
/// are missing. What is wrong with an interface or with the place for pins is not among them.
pub fn missing_essentials(probes: &[Probe]) -> Vec<&Probe> {
    let essential = |probe: &&Probe| {
        probe.outcome == Outcome::Missing
            && (probe.name == machine::PRIVILEGE || attempts::ESSENTIAL.contains(&probe.name))
    };
    probes.iter().filter(essential).collect()
}

/// The name of the program with this id.
///
/// # Errors
/// The system call's: `EPERM` without `CAP_SYS_ADMIN`, `ENOENT` where the program is gone.
pub fn program_name(id: u32) -> io::Result<String> {
    let program = sys::program_by_id(id)?;
    sys::program_info(program.as_fd()).map(|(_, name)| name)
}

fn pins(configured: Option<&Path>) -> Probe {
    const NAME: &str = "BPF filesystem";
    let path = configured.unwrap_or(Path::new(bpffs::DEFAULT)).display();
    match bpffs::inspect(configured) {
        Ok(State::Ready) => Probe::good(NAME, format!("mounted at {path}, and outlives the daemon")),
        Ok(State::Mountable) => Probe::good(NAME, format!("not mounted at {path} yet; `weir run` mounts it")),
        // The text holds the way out.
        Err(error @ bpffs::BpffsError::Io { .. }) => Probe::unknown(NAME, with_cause(&error)),
        Err(error) => Probe { name: NAME, outcome: Outcome::Missing, found: error.to_string(), remedy: None },
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_the_essentials_and_every_probe_says_something() {
        let probes = run(&[]);
        assert_eq!(missing_essentials(&probes), Vec::<&Probe>::new(), "this test needs root");
        for probe in &probes {
            assert!(!probe.found.is_empty(), "{probe:?}");
            assert_ne!(probe.outcome, Outcome::Unknown, "this test needs root: {probe:?}");
            // A place for pins that is refused says the way out with the reason.
            if probe.name != "BPF filesystem" {
                assert_eq!(probe.remedy.is_some(), probe.outcome != Outcome::Good, "{probe:?}");
            }
        }
        for name in attempts::ESSENTIAL.iter().chain([&machine::PRIVILEGE]) {
            assert_eq!(probes.iter().filter(|probe| probe.name == *name).count(), 1, "{name}");
        }
    }

    #[test]
    fn only_missing_essentials_of_the_kernel_and_privilege_count() {
        let probes = [
            Probe::missing(attempts::ESSENTIAL[0], "a", "x"),
            Probe::missing("BPF filesystem", "b", "x"),
            Probe::missing(machine::PRIVILEGE, "c", "x"),
            Probe::degraded(attempts::ESSENTIAL[1], "d", "x"),
            Probe::unknown(attempts::ESSENTIAL[2], "e"),
        ];
        let found: Vec<_> = missing_essentials(&probes).into_iter().map(|probe| probe.found.as_str()).collect();
        assert_eq!(found, ["a", "c"]);
    }

    #[test]
    fn a_place_for_pins_that_is_taken_is_told_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(pins(Some(&folder.path().join("bpf"))).outcome, Outcome::Good);
        std::fs::write(folder.path().join("file"), "").unwrap();
        let probe = pins(Some(folder.path()));
        assert_eq!(probe.outcome, Outcome::Missing);
        assert!(probe.found.contains("bpffs"), "{probe:?}");
    }

    #[test]
    fn a_program_that_is_gone_has_no_name() {
        let error = program_name(u32::MAX).expect_err("no such program");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "this test needs root: {error}");
    }
}
