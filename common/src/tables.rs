//! Where policy and counters live: the port between the verdict code and its two homes, the kernel's maps and a model.
use core::ops::DerefMut;

use crate::abi::{
    ClassRow, CpuState, Line, NEAR_CLASSES, NetworkSet, OffenderKey, OverlayValue, SLOTS, Sample, Slot, SourceSet, low,
};
use crate::addr::Source;
use crate::verdict::VERDICT_SLOTS;

/// A table that should be there could not be read: weir's own fault, never the packet's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// Exact buckets that all CPUs share, one a dimension ([`crate::traffic::Dimension`]).
pub trait Buckets {
    /// Theoretical arrival time, 1/16 ns.
    fn tat(&self, dimension: usize) -> u64;
    /// Stores a new theoretical arrival time.
    fn set_tat(&self, dimension: usize, tat: u64);
    /// Adds to the theoretical arrival time, atomically.
    fn add_tat(&self, dimension: usize, by: u64);
    /// Counts a packet let through, seen at `now_ns`.
    fn count_passed(&self, now_ns: u64);
    /// Counts a packet refused, seen at `now_ns`.
    fn count_refused(&self, dimension: usize, now_ns: u64);
}

/// What the host has to do with an answer by UDP.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// No socket would take it.
    Nobody,
    /// A socket would, that is connected to the very sender.
    ThisSender,
    /// A socket would, that is connected to nobody, on a port below those that askers get by themselves.
    AService,
    /// A socket would, that is connected to nobody, on a port as askers get them.
    AnAsker,
}

/// Everything the walk asks of its surroundings and writes to them.
///
/// Times are asked for lazily because reading a clock costs more than a look-up: the boot-time clock (suspend counts)
/// in seconds for expiries, the monotonic one in nanoseconds for rates.
pub trait Tables {
    /// Exact buckets.
    type Buckets: Buckets;
    /// The lines of a slot's address tables.
    type Lines: Copy;

    /// A word of the control map ([`crate::abi::control_word`]).
    fn control(&self, word: u32) -> Option<u64>;
    /// The policy slot.
    fn slot(&self, slot: u32) -> Option<&Slot>;
    /// The lines of the slot's address tables: found once for all that is looked up of an address, and again for what ends.
    fn lines(&self, slot: u32) -> Option<Self::Lines>;
    /// One of the lines; which table it is part of, the slot's [`crate::abi::Layout`] says.
    fn line(&self, lines: Self::Lines, index: u32) -> Option<&Line>;
    /// A word of the filters of all slots ([`crate::abi::Layout::filter_v4`]).
    fn filter_word(&self, word: u32) -> Option<u64>;
    /// The slot's row for a class beyond the near ones.
    fn far_row(&self, slot: u32, class: u32) -> Option<&ClassRow>;
    /// The slot's row for a class.
    #[inline(always)]
    fn row<'a>(&'a self, index: u32, slot: &'a Slot, class: u32) -> Option<&'a ClassRow> {
        if (class as usize) < NEAR_CLASSES {
            return Some(&slot.near_rows[self.hide(class) as usize % NEAR_CLASSES]);
        }
        self.far_row(index, class)
    }
    /// The overlay's value for the very address.
    fn overlay_exact(&self, source: Source) -> Option<&OverlayValue>;
    /// The overlay's value for the longest allowed prefix that covers the address.
    fn overlay_allow(&self, source: Source) -> Option<&OverlayValue>;
    /// The overlay's value for the longest denied prefix that covers the address.
    fn overlay_deny(&self, source: Source) -> Option<&OverlayValue>;

    /// `number` unchanged, but unknown to the optimiser: a bound that it could prove and drop stays in the program,
    /// where the verifier, who does not know what an enum is, needs to see it.
    #[inline(always)]
    fn hide(&self, number: u32) -> u32 {
        number
    }

    /// [`Tables::hide`] for a whole word: what is computed from it stays arithmetic, where the optimiser would see a choice
    /// and make it a branch.
    #[inline(always)]
    fn hide_word(&self, word: u64) -> u64 {
        word
    }

    /// `number` unchanged, but unknown to the verifier: what it learned on each way here ends, so the ways that lead to
    /// one point are one state and the rest of the program is verified once, not once for each. `place` is below
    /// [`crate::abi::SCRATCH_PLACES`], and its own at each point.
    #[inline(always)]
    fn forget(&self, place: usize, number: u64) -> u64 {
        let _ = place;
        number
    }

    /// Puts a number aside until [`Tables::kept`] asks for it, where carrying it along would cost every step between.
    #[inline(always)]
    fn keep(&self, place: usize, number: u64) {
        self.with_cpu(|cpu| cpu.scratch[place] = number);
    }

    /// What was put aside last.
    #[inline(always)]
    fn kept(&self, place: usize) -> u64 {
        self.with_cpu(|cpu| cpu.scratch[place]).unwrap_or(0)
    }

    /// [`Tables::forget`] for half a word.
    #[inline(always)]
    fn forget_half(&self, place: usize, number: u32) -> u32 {
        low(self.forget(place, u64::from(number)))
    }

    /// Boot-time clock, seconds.
    fn boot_seconds(&self) -> u64;
    /// Monotonic clock, nanoseconds; may be as coarse as a tick (1–10 ms).
    fn monotonic_ns(&self) -> u64;

    /// Runs `f` on this CPU's counters.
    fn with_cpu<R>(&self, f: impl FnOnce(&mut CpuState) -> R) -> Option<R>;
    /// This CPU's set of tracked sources for `hash`. Lent out, like the next two, and not handed to a function: such a one
    /// would become a call in the kernel.
    fn sources(&self, hash: u32) -> Option<impl DerefMut<Target = SourceSet>>;
    /// Counts a hit of a class of the slot beyond the near ones.
    fn count_far_class(&self, slot: &Slot, index: u32, class: u32, bytes: u64);
    /// Counts a hit of a class of the slot.
    #[inline(always)]
    fn count_class(&self, slot: &Slot, index: u32, class: u32, bytes: u64) {
        if class as usize >= NEAR_CLASSES {
            return self.count_far_class(slot, index, class, bytes);
        }
        self.with_cpu(|cpu| {
            let of_slot = &mut cpu.near_hits[self.hide(index) as usize % SLOTS as usize];
            of_slot[self.hide(class) as usize % NEAR_CLASSES].add(bytes);
        });
    }
    /// Counts a verdict that is enforced.
    #[inline(always)]
    fn count_verdict(&self, verdict: u32, bytes: u64) {
        self.with_cpu(|cpu| cpu.enforced[self.hide(verdict) as usize % VERDICT_SLOTS].add(bytes));
    }
    /// Counts a hit of an overlay value.
    fn count_overlay(&self, counter: u32, bytes: u64);
    /// This CPU's set of tracked networks.
    fn networks(&self, set: u32) -> Option<impl DerefMut<Target = NetworkSet>>;
    /// This CPU's line of known flows.
    fn flows(&self, line: u32) -> Option<impl DerefMut<Target = Line>>;
    /// The cell where a first fragment is remembered; 0: none was.
    fn fragment(&self, cell: u32) -> u64;
    /// Remembers a first fragment.
    fn set_fragment(&self, cell: u32, word: u64);
    /// The buckets of whoever came near a limit.
    fn offender(&self, key: &OffenderKey) -> Option<Self::Buckets>;
    /// Makes somebody an offender, with buckets that are full; `false` where the map is. One that is there already is
    /// left alone.
    fn insert_offender(&self, key: &OffenderKey, now_ns: u64) -> bool;
    /// The buckets for everything (0), and of the limits of ports (from 1 on).
    fn shared_buckets(&self, index: u32) -> Option<Self::Buckets>;
    /// Whether a local socket waits for UDP from this source and port to this destination and port; `ports` as in
    /// [`crate::traffic::Facts`], `askers_from` the lowest port that a socket gets without asking for it.
    fn asked(&self, source: Source, destination: Source, ports: u32, askers_from: u32) -> Asked;
    /// The byte for a destination port in the slot's table of ports: the number of its row.
    fn port_row(&self, slot: u32, is_udp: bool, port: u32) -> u32;
    /// Index of the interface the packet arrived on, for samples.
    fn interface(&self) -> u32;
    /// Lets `fill` write a sampled drop for user space; `false` where the ring is full.
    fn emit(&self, fill: impl FnOnce(&mut Sample)) -> bool;
}
