//! The kernel's counters, read through mapped memory: no system call, no lock, nothing written.
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use weir_common::abi::{
    Control, CpuState, DIMENSION_SLOTS, Offender, OffenderKey, SCOPE_SLOTS, SOURCE_SETS, SOURCE_WAYS, SourceSet, Tally,
    control_word,
};
use weir_common::verdict::VERDICT_SLOTS;

use super::map::{Mapped, Table};

/// Packets and bytes of each verdict slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// As enforced.
    pub enforced: [Tally; VERDICT_SLOTS],
    /// As observed.
    pub observed: [Tally; VERDICT_SLOTS],
    /// Samples taken.
    pub samples: u64,
    /// Samples lost because the ring was full.
    pub samples_lost: u64,
    /// Packets of sources that found the offenders full.
    pub offenders_full: u64,
    /// Packets that some limit refused, dropped or not.
    pub refusals: u64,
    /// Packets dropped over a limit, by scope and dimension.
    pub limited: [[Tally; DIMENSION_SLOTS]; SCOPE_SLOTS],
    /// Packets over a limit that is only observed.
    pub limited_observed: [[Tally; DIMENSION_SLOTS]; SCOPE_SLOTS],
}

/// A tracked source, summed over CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackedSource {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Packets that were dropped.
    pub dropped: u64,
}

/// Lines that sources are counted in, on all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceLines {
    /// Taken.
    pub used: u64,
    /// There are.
    pub all: u64,
}

/// Read access to everything that counts.
#[derive(Debug)]
pub struct KernelReader {
    control: Mapped<u64>,
    cpus: Mapped<CpuState>,
    sources: Mapped<SourceSet>,
    overlay_hits: Mapped<Tally>,
    offenders: Table<OffenderKey, Offender>,
}

impl KernelReader {
    /// Maps the arrays found by `open`.
    ///
    /// # Errors
    /// The opening's or the mapping's.
    pub fn new(open: impl Fn(&str) -> io::Result<std::os::fd::OwnedFd>) -> io::Result<Arc<Self>> {
        fn map<T: zerocopy::FromBytes + zerocopy::IntoBytes + Copy>(fd: BorrowedFd<'_>) -> io::Result<Mapped<T>> {
            Mapped::new(fd)
        }
        Ok(Arc::new(Self {
            control: Mapped::new(open("CONTROL")?.as_fd())?,
            cpus: map(open("CPUS")?.as_fd())?,
            sources: map(open("SOURCES")?.as_fd())?,
            overlay_hits: map(open("OVERLAY_HITS")?.as_fd())?,
            offenders: Table::new(open("OFFENDERS")?)?,
        }))
    }

    /// A control word.
    pub fn word(&self, word: u32) -> u64 {
        self.control.read(word as usize).unwrap_or(0)
    }

    /// The control word that names the slot in force.
    pub fn descriptor(&self) -> Control {
        Control::from_word(self.word(control_word::CONTROL))
    }

    /// CPUs that count.
    pub fn cpus(&self) -> usize {
        self.cpus.len()
    }

    /// All verdict counters, summed over CPUs.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters {
            enforced: [Tally::default(); VERDICT_SLOTS],
            observed: [Tally::default(); VERDICT_SLOTS],
            samples: 0,
            samples_lost: 0,
            offenders_full: 0,
            refusals: 0,
            limited: [[Tally::default(); DIMENSION_SLOTS]; SCOPE_SLOTS],
            limited_observed: [[Tally::default(); DIMENSION_SLOTS]; SCOPE_SLOTS],
        };
        for cpu in (0..self.cpus.len()).filter_map(|cpu| self.cpus.read(cpu)) {
            let verdicts = sum.enforced.iter_mut().zip(cpu.enforced).chain(sum.observed.iter_mut().zip(cpu.observed));
            let limits = sum.limited.as_flattened_mut().iter_mut().zip(cpu.limited.as_flattened().iter().copied());
            let observed = sum.limited_observed.as_flattened_mut().iter_mut();
            let observed = observed.zip(cpu.limited_observed.as_flattened().iter().copied());
            for (into, from) in verdicts.chain(limits).chain(observed) {
                into.packets = into.packets.saturating_add(from.packets);
                into.bytes = into.bytes.saturating_add(from.bytes);
            }
            sum.samples += cpu.samples;
            sum.samples_lost += cpu.samples_lost;
            sum.offenders_full += cpu.offenders_full;
            sum.refusals += cpu.refusals;
        }
        sum
    }

    /// Every tracked source by its key, summed over CPUs.
    pub fn sources(&self) -> std::collections::HashMap<u64, TrackedSource> {
        let mut sums = std::collections::HashMap::new();
        for set in (0..self.sources.len()).filter_map(|set| self.sources.read(set)) {
            for way in set.ways.iter().filter(|way| way.packets > 0) {
                let sum: &mut TrackedSource = sums.entry(way.key).or_default();
                sum.packets += way.packets;
                sum.bytes += way.bytes;
                sum.dropped += way.dropped;
            }
        }
        sums
    }

    /// How full the lines are that sources are counted in.
    pub fn source_lines(&self) -> SourceLines {
        let sets = (0..self.sources.len()).filter_map(|set| self.sources.read(set));
        let used = sets.map(|set| set.ways.iter().filter(|way| way.packets > 0).count() as u64).sum();
        SourceLines { used, all: (self.sources.len() * SOURCE_WAYS) as u64 }
    }

    /// One tracked source, summed over CPUs; `None` where no CPU tracks it.
    pub fn source(&self, key: weir_common::addr::SourceKey) -> Option<TrackedSource> {
        let set = (key.hash(self.word(control_word::SEED)) & (SOURCE_SETS - 1)) as usize;
        let mut sum: Option<TrackedSource> = None;
        for cpu in 0..self.cpus.len() {
            let Some(set) = self.sources.read(cpu * SOURCE_SETS as usize + set) else { continue };
            for way in set.ways.iter().filter(|way| way.key == key.word() && way.packets > 0) {
                let sum = sum.get_or_insert_default();
                sum.packets += way.packets;
                sum.bytes += way.bytes;
                sum.dropped += way.dropped;
            }
        }
        sum
    }

    /// The exact bucket of a source that broke its limit.
    ///
    /// # Errors
    /// The system call's.
    pub fn offender(&self, key: &OffenderKey) -> io::Result<Option<Offender>> {
        self.offenders.get(key)
    }

    /// Everybody who came near a limit.
    ///
    /// # Errors
    /// The system call's.
    pub fn all_offenders(&self) -> io::Result<Vec<(OffenderKey, Offender)>> {
        self.offenders.entries()
    }

    /// Sources that can have an exact bucket at once.
    ///
    /// # Errors
    /// The system call's.
    pub fn offender_capacity(&self) -> io::Result<u32> {
        self.offenders.capacity()
    }

    /// Keys of all offenders.
    ///
    /// # Errors
    /// The system call's.
    pub fn offenders(&self) -> io::Result<Vec<OffenderKey>> {
        self.offenders.keys()
    }

    /// Hits of an overlay value's counter, summed over CPUs; `stride` is the number of counters a CPU has.
    pub fn overlay_hits(&self, counter: u32) -> Tally {
        let stride = self.overlay_hits.len() / self.cpus.len().max(1);
        let mut sum = Tally::default();
        for cpu in 0..self.cpus.len() {
            if let Some(tally) = self.overlay_hits.read(cpu * stride + counter as usize) {
                sum.packets += tally.packets;
                sum.bytes += tally.bytes;
            }
        }
        sum
    }
}
