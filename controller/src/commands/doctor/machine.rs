//! What the configured ceilings cost, and whether the state can be kept.
use std::fs::{self, File};
use std::io;
use std::path::Path;

use weir_common::abi::{CpuState, Offender, OverlayValue, SOURCE_SETS, SourceSet, Tally};

use super::Finding;
use crate::adapters::kernel::object::{self, Sizes};
use crate::adapters::kernel::probes::Outcome;
use crate::commands::failure::said;
use crate::config::State;
use crate::render::numbers::{memory as words, whole};

/// Bytes of kernel memory an entry takes, with what the kernel keeps beside it: measured with a million entries in a
/// hash of IPv4 addresses, one of IPv6 addresses, and a prefix tree, rounded up.
const ADDRESS_V4: u64 = 81;
const ADDRESS_V6: u64 = 85;
const PREFIX: u64 = 130;
/// The generation in force, the one to fall back to, and the one that is being built.
const GENERATIONS: u64 = 3;
/// What a hash keeps beside key and value.
const ELEMENT: u64 = 56;

/// What the ceilings cost in memory, against what the machine has to spare.
pub(super) fn memory(state: &State) -> Finding {
    const NAME: &str = "memory";
    let cpus = object::possible_cpus().unwrap_or(1);
    let (fixed, full) = cost(state, cpus);
    let capacity = state.capacity;
    let found = format!(
        "{} at once, and up to {} with {} addresses and {} prefixes a family in {GENERATIONS} generations",
        words(fixed),
        words(full),
        whole(capacity.addresses as u64),
        whole(capacity.prefixes as u64)
    );
    match available() {
        Some(available) if fixed.saturating_add(full) > available => {
            let found = format!("{found}; {} are available", words(available));
            Finding::new(NAME, Outcome::Degraded, found, Some("lower max_addresses and max_prefixes under [state]"))
        }
        Some(available) => {
            Finding::new(NAME, Outcome::Good, format!("{found}; {} are available", words(available)), None)
        }
        None => Finding::new(NAME, Outcome::Unknown, found, None),
    }
}

/// Bytes that are taken as soon as weir runs, and bytes that full tables take on top.
fn cost(state: &State, cpus: u32) -> (u64, u64) {
    let sizes = Sizes { offenders: state.max_sources, ..Sizes::default() };
    let size = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let each_cpu = size(size_of::<CpuState>())
        + u64::from(SOURCE_SETS) * size(size_of::<SourceSet>())
        + u64::from(sizes.overlay_counters()) * size(size_of::<Tally>());
    let offenders = u64::from(sizes.offenders) * (ELEMENT + 8 + size(size_of::<Offender>()));
    let overlay = u64::from(sizes.overlay_counters()) * (ELEMENT + 16 + size(size_of::<OverlayValue>()));
    let capacity = state.capacity;
    let generation = (capacity.addresses as u64)
        .saturating_mul(ADDRESS_V4 + ADDRESS_V6)
        .saturating_add((capacity.prefixes as u64).saturating_mul(2 * PREFIX));
    (u64::from(cpus) * each_cpu + offenders, generation.saturating_mul(GENERATIONS).saturating_add(overlay))
}

/// Bytes that can be had without swapping.
fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether the store can be written, or made where there is none.
pub(super) fn state_folder(folder: &Path) -> Finding {
    const NAME: &str = "state folder";
    let place = folder.ancestors().find(|place| place.exists()).unwrap_or(folder);
    match write_there(place) {
        Ok(()) if place == folder => {
            Finding::new(NAME, Outcome::Good, format!("{} can be written", folder.display()), None)
        }
        Ok(()) => {
            let found = format!("{} is not there yet; `weir run` makes it", folder.display());
            Finding::new(NAME, Outcome::Good, found, None)
        }
        Err(error) => {
            let found = format!("{} cannot be written: {}", place.display(), said(&error));
            let remedy = "run weir as its owner, or name another folder as `dir` under [state]";
            Finding::new(NAME, Outcome::Missing, found, Some(remedy))
        }
    }
}

/// Makes a file there and takes it away again.
fn write_there(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".weir-doctor-{}", std::process::id()));
    File::options().write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tables::Capacity;

    fn state(addresses: usize, prefixes: usize) -> State {
        let capacity = Capacity { addresses, prefixes };
        State { dir: "/nonexistent".into(), bpffs: None, capacity, max_sources: 1_000 }
    }

    #[test]
    fn full_tables_cost_what_was_measured_in_each_generation() {
        let (fixed, full) = cost(&state(1_000_000, 100_000), 2);
        let (less_fixed, empty) = cost(&state(0, 0), 1);
        assert_eq!(full - empty, 3 * (1_000_000 * (81 + 85) + 100_000 * 2 * 130));
        // A CPU's counters, tracked sources (1 MiB) and overlay counters.
        assert_eq!(fixed - less_fixed, 1_152 + 8_192 * 128 + 147_456 * 16);
        assert_eq!(less_fixed - (fixed - less_fixed), 1_000 * (56 + 8 + 40));
    }

    #[test]
    fn ceilings_beyond_the_machine_are_found() {
        assert_eq!(memory(&state(1, 1)).outcome, Outcome::Good);
        let finding = memory(&state(1 << 50, 1));
        assert_eq!(finding.outcome, Outcome::Degraded);
        assert!(finding.remedy.is_some_and(|remedy| remedy.contains("max_addresses")));
    }

    #[test]
    fn a_folder_that_can_be_written_or_made_is_good() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(state_folder(folder.path()).outcome, Outcome::Good);
        let finding = state_folder(&folder.path().join("a/b"));
        assert!(finding.outcome == Outcome::Good && finding.found.contains("not there yet"), "{finding:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let finding = state_folder(Path::new("/proc/weir"));
        assert_eq!(finding.outcome, Outcome::Missing);
    }
}
