//! What the configured ceilings cost, and whether the state can be kept.
use std::fs::{self, File};
use std::io;
use std::path::Path;

use weir_common::abi::{
    CpuState, FLOW_LINES, FRAGMENT_CELLS, Line, NETWORK_SETS, NetworkSet, Offender, OffenderKey, OverlayValue,
    SOURCE_SETS, SourceSet, Tally,
};
use weir_common::area;

use super::Finding;
use crate::adapters::kernel::object::{self, Sizes};
use crate::adapters::kernel::probes::Outcome;
use crate::causes::said;
use crate::config::State;
use crate::domain::cutoff::CutOff;
use crate::domain::tables::MAX_CLASSES;
use crate::render::numbers::memory as words;

/// The generation in force, the one to fall back to, and the one that is being built.
const GENERATIONS: u64 = 3;
/// What a hash keeps beside key and value.
const ELEMENT: u64 = 56;

/// What weir takes.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    /// As soon as it runs.
    at_once: u64,
    /// Live changes, when as many as can be wait for the next generation.
    live: u64,
    /// Full tables in as many generations as there are at a time.
    tables: u64,
}

/// What settings for ports cut off here.
pub(super) fn ports(CutOff { refused, warned }: &CutOff) -> Finding {
    const NAME: &str = "ports";
    const REMEDY: &str = "correct the configuration, unless it is meant so";
    if !refused.is_empty() {
        return Finding::new(NAME, Outcome::Missing, refused.join("; "), None);
    }
    if warned.is_empty() {
        return Finding::new(NAME, Outcome::Good, "nothing that listens here is cut off", None);
    }
    Finding::new(NAME, Outcome::Degraded, warned.join("; "), Some(REMEDY))
}

/// What the ceilings cost in memory, against what the machine has to spare.
pub(super) fn memory(state: &State) -> Finding {
    const NAME: &str = "memory";
    let cpus = object::possible_cpus().unwrap_or(1);
    let cost = cost(state, cpus);
    let full = cost.live.saturating_add(cost.tables);
    let found = format!(
        "{} at once, and up to {} more: {} for full tables of {} in {GENERATIONS} generations, {} for live changes",
        words(cost.at_once),
        words(full),
        words(cost.tables),
        words(state.capacity.bytes),
        words(cost.live)
    );
    match available() {
        Some(available) if cost.at_once.saturating_add(full) > available => {
            let found = format!("{found}; {} are available", words(available));
            Finding::new(NAME, Outcome::Degraded, found, Some("lower max_table_mib under [state]"))
        }
        Some(available) => {
            Finding::new(NAME, Outcome::Good, format!("{found}; {} are available", words(available)), None)
        }
        None => Finding::new(NAME, Outcome::Unknown, found, None),
    }
}

fn cost(state: &State, cpus: u32) -> Cost {
    let sizes = Sizes { offenders: state.max_sources, ..Sizes::default() };
    let size = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let each_cpu = size(size_of::<CpuState>())
        + u64::from(SOURCE_SETS) * size(size_of::<SourceSet>())
        + u64::from(NETWORK_SETS) * size(size_of::<NetworkSet>())
        + u64::from(FLOW_LINES) * size(size_of::<Line>())
        + u64::from(sizes.overlay_counters()) * size(size_of::<Tally>());
    let offenders =
        u64::from(sizes.offenders) * (ELEMENT + size(size_of::<OffenderKey>()) + size(size_of::<Offender>()));
    let live = u64::from(sizes.overlay_counters()) * (ELEMENT + 16 + size(size_of::<OverlayValue>()));
    // Class rows are part of what a generation may take; the counters behind them come on top, for each CPU.
    let hits = u64::from(cpus) * size(MAX_CLASSES * size_of::<Tally>());
    let tables = state.capacity.bytes.saturating_add(hits).saturating_mul(GENERATIONS);
    let fixed = 8 * u64::from(FRAGMENT_CELLS) + area::ALL.iter().map(|area| size(area.bytes)).sum::<u64>();
    Cost { at_once: u64::from(cpus) * each_cpu + offenders + fixed, live, tables }
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

    fn state(bytes: u64) -> State {
        let capacity = Capacity { addresses: 1_000_000, prefixes: 100_000, bytes };
        State { dir: "/nonexistent".into(), bpffs: None, capacity, max_sources: 1_000 }
    }

    #[test]
    fn full_tables_cost_their_ceiling_and_their_counters_in_each_generation() {
        let (one, two) = (cost(&state(0), 1), cost(&state(128 << 20), 2));
        assert_eq!(one.tables, 3 * 65_535 * 16);
        assert_eq!(two.tables, 3 * ((128 << 20) + 2 * 65_535 * 16));
        // A CPU's counters, tracked sources (1 MiB) and networks, known flows, overlay counters.
        let each_cpu = two.at_once - one.at_once;
        assert_eq!(each_cpu, 18_832 + 8_192 * 128 + 8_192 * 64 + 4_096 * 64 + 147_456 * 16);
        // Whatever the CPUs: offenders, first fragments, ports and filters, slots, shared buckets, control words.
        assert_eq!(
            one.at_once - each_cpu,
            1_000 * (56 + 16 + 152) + 8 * 131_072 + 4 * (131_072 + 1_048_576) + 4 * 23_232 + 17 * 144 + 64
        );
        assert_eq!((one.live, two.live), (147_456 * (56 + 16 + 236), 147_456 * (56 + 16 + 236)));
    }

    #[test]
    fn ceilings_beyond_the_machine_are_found() {
        let finding = memory(&state(1));
        assert_eq!(finding.outcome, Outcome::Good, "{}", finding.found);
        let finding = memory(&state(1 << 50));
        assert_eq!(finding.outcome, Outcome::Degraded);
        assert!(finding.found.contains("for full tables of 1024 TiB in 3 generations"), "{}", finding.found);
        assert!(finding.remedy.is_some_and(|remedy| remedy.contains("max_table_mib")));
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
