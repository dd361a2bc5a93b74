//! What the program counts: layouts of counters, tracked sources, buckets and samples.
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{DIMENSION_SLOTS, NEAR_CLASSES, SLOTS};
use crate::verdict::VERDICT_SLOTS;

/// Ways in a set of tracked sources.
pub const SOURCE_WAYS: usize = 3;

/// Sets of tracked sources per CPU; a power of two.
pub const SOURCE_SETS: u32 = 8192;

/// Ways in a set of tracked networks.
pub const NETWORK_WAYS: usize = 5;

/// Sets of tracked networks per CPU; a power of two.
pub const NETWORK_SETS: u32 = 8192;

/// Lines of known flows per CPU; a power of two.
pub const FLOW_LINES: u32 = 4096;

/// First fragments that are remembered, for all CPUs; a power of two.
pub const FRAGMENT_CELLS: u32 = 1 << 17;

/// Bytes of a sampled frame that are kept.
pub const SAMPLE_BYTES: usize = 96;

abi! {
    /// Packets and bytes.
    #[derive(Default)]
    pub struct Tally: 16 {
        /// Packets.
        pub packets: u64,
        /// Bytes of the frames as XDP sees them, without FCS.
        pub bytes: u64,
    }
}

impl Tally {
    /// Counts a packet of so many bytes.
    #[inline(always)]
    pub(crate) fn add(&mut self, bytes: u64) {
        self.packets += 1;
        self.bytes += bytes;
    }
}

/// Places of [`CpuState::scratch`].
pub const SCRATCH_PLACES: usize = 20;

/// Places for the scopes of limits.
pub const SCOPE_SLOTS: usize = 4;

abi! {
    /// One CPU's counters and small buckets.
    pub struct CpuState: 18832 {
        /// Packets by verdict, as enforced.
        pub enforced: [Tally; VERDICT_SLOTS],
        /// Packets let through that the verdict would have dropped, were it enforced.
        pub observed: [Tally; VERDICT_SLOTS],
        /// Theoretical arrival time of the essential traffic's bucket, 1/16 ns.
        pub essential_tat: u64,
        /// Theoretical arrival time of the sampling bucket, 1/16 ns.
        pub sample_tat: u64,
        /// Samples taken.
        pub samples: u64,
        /// Samples lost because the ring was full.
        pub samples_lost: u64,
        /// Sources that found the offenders full.
        pub offenders_full: u64,
        /// Packets that some limit refused, whatever became of them.
        pub refusals: u64,
        /// Numbers on their way through [`crate::tables::Tables::forget`].
        pub scratch: [u64; SCRATCH_PLACES],
        /// Where a new offender is made: it is too large for the program's stack.
        pub offender: Offender,
        /// Where the addresses and ports of a socket are put together.
        pub tuple: [u64; 5],
        /// Packets over a limit, dropped: by [`crate::traffic::Scope`] and dimension.
        pub limited: [[Tally; DIMENSION_SLOTS]; SCOPE_SLOTS],
        /// Packets over a limit that is only observed.
        pub limited_observed: [[Tally; DIMENSION_SLOTS]; SCOPE_SLOTS],
        /// Hits of the first classes of each slot.
        pub near_hits: [[Tally; NEAR_CLASSES]; SLOTS as usize],
    }
}

abi! {
    /// A tracked source.
    #[derive(Default)]
    pub struct SourceWay: 40 {
        /// [`crate::addr::SourceKey`]; 0 with no packets: free.
        pub key: u64,
        /// Packets since the source is tracked.
        pub packets: u64,
        /// Bytes since the source is tracked.
        pub bytes: u64,
        /// Packets of it that were dropped.
        pub dropped: u64,
        /// Decaying weight that decides who is replaced: inherited from the one replaced.
        pub heat: u32,
        /// Decaying count of its own packets, weighed by what they are to its limit; bit 31: its packets are in an
        /// offender's buckets.
        pub own: u32,
    }
}

abi! {
    /// A set of tracked sources: two cache lines.
    #[derive(Default)]
    pub struct SourceSet: 128 {
        /// When the decaying counts were last halved.
        pub epoch: u32,
        /// Explicit padding.
        pub reserved: u32,
        /// The sources.
        pub ways: [SourceWay; SOURCE_WAYS],
    }
}

abi! {
    /// A tracked network.
    #[derive(Default)]
    pub struct NetworkWay: 12 {
        /// Part of its key's hash; 0 with no heat: free.
        pub tag: u32,
        /// As [`SourceWay::heat`].
        pub heat: u32,
        /// As [`SourceWay::own`].
        pub own: u32,
    }
}

abi! {
    /// A set of tracked networks: one cache line.
    #[derive(Default)]
    pub struct NetworkSet: 64 {
        /// When the decaying counts were last halved.
        pub epoch: u32,
        /// The networks.
        pub ways: [NetworkWay; NETWORK_WAYS],
    }
}

abi! {
    /// Whose buckets: a source's or a network's, of one limit.
    #[derive(Default, Hash)]
    pub struct OffenderKey: 16 {
        /// [`crate::addr::SourceKey`] of the source, or of the network's first address.
        pub key: u64,
        /// Which limit: [`crate::traffic::Scope`], and from bit 8 on the number of the port's limit.
        pub scope: u32,
        /// Explicit padding.
        pub reserved: u32,
    }
}

abi! {
    /// Exact buckets that all CPUs share, one a dimension.
    #[derive(Default)]
    pub struct Buckets: 144 {
        /// Theoretical arrival times, 1/16 ns of the monotonic clock.
        pub tat: [u64; DIMENSION_SLOTS],
        /// Packets that each refused.
        pub refused: [u64; DIMENSION_SLOTS],
        /// Packets they let through.
        pub passed: u64,
        /// Monotonic nanoseconds at which they were last asked.
        pub seen_ns: u64,
    }
}

abi! {
    /// A source or network that came near a limit.
    #[derive(Default)]
    pub struct Offender: 152 {
        /// Its buckets.
        pub buckets: Buckets,
        /// Monotonic nanoseconds at which it became an offender.
        pub since_ns: u64,
    }
}

impl Offender {
    /// One whose buckets are full, from now on.
    pub fn of(now_ns: u64) -> Self {
        Self { buckets: Buckets { seen_ns: now_ns, ..Buckets::default() }, since_ns: now_ns }
    }
}

abi! {
    /// A sampled drop.
    pub struct Sample: 128 {
        /// Monotonic nanoseconds.
        pub at_ns: u64,
        /// Interface index it arrived on.
        pub interface: u32,
        /// Bytes of the whole frame.
        pub frame_len: u32,
        /// [`crate::verdict::Verdict`] slot.
        pub verdict: u32,
        /// Bytes of `words` that are the frame's: whole words only.
        pub captured: u32,
        /// List that decided; 0: none.
        pub list: u16,
        /// 1: observed only.
        pub observed: u8,
        /// What in particular: [`crate::traffic::detail`].
        pub detail: u8,
        /// Explicit padding.
        pub reserved: [u8; 4],
        /// The start of the frame.
        pub words: [[u8; 8]; SAMPLE_BYTES / 8],
    }
}
