//! What lies in the kernel's maps: layouts shared by the XDP program and user space.
//!
//! All types are `repr(C)`, have no padding the compiler chooses, and hold integers only. Units are in the names.
//! Any change here that an older program or daemon would misread raises [`ABI_VERSION`]: maps are pinned under it,
//! so a daemon never adopts maps of another version but builds new ones and swaps the program onto them.
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::verdict::Verdict;

/// Version of every layout here and of the areas ([`crate::area`]).
pub const ABI_VERSION: u32 = 8;

/// Policy slots: the generation in force, the one it can fall back to, the one being built, one to spare.
pub const SLOTS: u32 = 4;

/// Moments at which an overlay value can change; a key that needs more goes by rebuild and flip.
pub const OVERLAY_SEGMENTS: usize = 3;

/// The same for what remains under a lifted address.
pub const LIFT_SEGMENTS: usize = 2;

/// Longest run of entries that end one after the other which a packet follows; the builder refuses longer ones.
pub const RUN_STEPS: u32 = 8;

/// Places for a limit's dimensions; one more than there are, so that an index is bounded by a mask.
pub const DIMENSION_SLOTS: usize = 8;

/// Limits a source can have: everybody's, the tighter one, and those that lists name.
pub const PROFILES: usize = 8;

/// The bits that tell them apart.
pub const PROFILE_MASK: u32 = 7;
const _: () = assert!(PROFILES == PROFILE_MASK as usize + 1);

/// Limits of destination ports.
pub const PORT_LIMITS: usize = 16;

/// Rows that destination ports lead to; 0 is the row of ports nothing is said about.
pub const PORT_ROWS: usize = 256;

/// Words of a slot's table of destination ports: a byte for each port of TCP, then of UDP.
pub const PORT_WORDS: u32 = 2 * 65_536 / 8;

/// Words of each slot's filter: a megabyte, so that it stays in a CPU's own cache. Four of them are what Linux 5.10 takes for
/// one element.
pub const FILTER_WORDS: u32 = 1 << 17;

/// Words of a generation's bitmap of IPv6 chunks.
pub const BITMAP_WORDS: u32 = 1 << 17;

/// Indices of the words in the `CONTROL` map.
pub mod control_word {
    /// The descriptor: which slot is in force, and whether a confirm is pending. See [`super::Control`].
    pub const CONTROL: u32 = 0;
    /// Non-zero: everything passes as `bypassed`.
    pub const BYPASS: u32 = 1;
    /// Which overlay maps hold anything: [`super::overlay_flag`].
    pub const OVERLAY: u32 = 2;
    /// Random per boot: keys the hash of tracked sources.
    pub const SEED: u32 = 3;
    /// Non-zero in a private instance: the monotonic clock in nanoseconds, written by user space.
    pub const CLOCK_NS: u32 = 4;
    /// Beside [`CLOCK_NS`]: the boot-time clock in seconds.
    pub const CLOCK_BOOT_S: u32 = 5;
    /// Non-zero: `weir detach` was given; a live daemon does not attach again.
    pub const DETACHED: u32 = 6;
    /// The first eight bytes of the hash of the object whose program is pinned.
    pub const BUILD: u32 = 7;
    /// Words in the map.
    pub const COUNT: usize = 8;
}

/// Bits of [`control_word::OVERLAY`]; a clear bit means the map is empty and is not consulted.
pub mod overlay_flag {
    /// `OVERLAY_V4` holds something.
    pub const EXACT_V4: u64 = 1;
    /// `OVERLAY_V6` holds something.
    pub const EXACT_V6: u64 = 2;
    /// `OVERLAY_ALLOW_V4` holds something.
    pub const ALLOW_V4: u64 = 4;
    /// `OVERLAY_DENY_V4` holds something.
    pub const DENY_V4: u64 = 8;
    /// `OVERLAY_ALLOW_V6` holds something.
    pub const ALLOW_V6: u64 = 16;
    /// `OVERLAY_DENY_V6` holds something.
    pub const DENY_V6: u64 = 32;
}

/// Bits of [`Slot::features`].
pub mod feature {
    /// Nothing is dropped: every drop is counted as observed.
    pub const OBSERVE_ALL: u32 = 16;
    /// A packet over the header budget passes instead of dropping.
    pub const BUDGET_PASSES: u32 = 32;
    /// Every packet is counted for its source, so that `top` can show who sends.
    pub const TRACK_SOURCES: u32 = 128;
    /// The transport header is read: something in the slot asks for it.
    pub const TRANSPORT: u32 = 256;
    /// Layer-4 headers that lie and flags that cannot be are `malformed`.
    pub const SHAPE: u32 = 512;
    /// The same, only observed.
    pub const OBSERVE_SHAPE: u32 = 1024;
    /// First fragments are dropped.
    pub const DROP_FIRST_FRAGMENTS: u32 = 2048;
    /// Later fragments are dropped.
    pub const DROP_LATER_FRAGMENTS: u32 = 4096;
    /// Later fragments pass only behind a first one that passed.
    pub const MATCH_FRAGMENTS: u32 = 8192;
    /// What is said about fragments is only observed.
    pub const OBSERVE_FRAGMENTS: u32 = 1 << 14;
    /// Destination ports lead to rows.
    pub const PORTS: u32 = 1 << 15;
    /// Answers by UDP from [`super::Slot::answers`] must have been asked for.
    pub const ANSWERS: u32 = 1 << 16;
    /// The same, only observed.
    pub const OBSERVE_ANSWERS: u32 = 1 << 17;
    /// Some types of ICMP are dropped.
    pub const ICMP_TYPES: u32 = 1 << 18;
    /// The same, only observed.
    pub const OBSERVE_ICMP_TYPES: u32 = 1 << 19;
    /// Some limit is of new flows, so known ones are remembered.
    pub const FLOWS: u32 = 1 << 20;
    /// There is a limit of networks.
    pub const NETWORK_LIMIT: u32 = 1 << 21;
    /// There is a limit for everything.
    pub const GLOBAL_LIMIT: u32 = 1 << 22;
    /// Everybody has a limit, or a profile that some class names has one.
    pub const SOURCE_LIMIT: u32 = 1 << 23;
    /// A first fragment must hold its transport header: something in the slot goes by what stands there.
    pub const WHOLE_FIRST_FRAGMENTS: u32 = 1 << 24;
}

/// The low half of a word.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
pub const fn low(word: u64) -> u32 {
    word as u32
}

/// Asserts a layout's size at compile time and derives what makes it safe to cross the kernel boundary as bytes.
macro_rules! abi {
    ($(#[$meta:meta])* $vis:vis struct $name:ident: $size:literal { $($(#[$fmeta:meta])* $fvis:vis $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        $vis struct $name { $($(#[$fmeta])* $fvis $field: $ty,)* }
        const _: () = assert!(size_of::<$name>() == $size);
    };
}

mod counters;
mod layout;

pub use counters::{
    Buckets, CpuState, FLOW_LINES, FRAGMENT_CELLS, NETWORK_SETS, NETWORK_WAYS, NetworkSet, NetworkWay, Offender,
    OffenderKey, SAMPLE_BYTES, SCOPE_SLOTS, SCRATCH_PLACES, SOURCE_SETS, SOURCE_WAYS, Sample, SourceSet, SourceWay,
    Tally,
};
pub use layout::Layout;

/// The control word: names the slot in force.
///
/// Bits 0–7: slot. Bit 8: a confirm is pending, so the slot's deadline must be compared. Bits 16–63: generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Control(u64);

impl Control {
    const PENDING: u64 = 1 << 8;

    /// The word for `generation` in `slot`; generations beyond 48 bits wrap.
    pub const fn new(slot: u32, generation: u64, confirm_pending: bool) -> Self {
        let pending = if confirm_pending { Self::PENDING } else { 0 };
        Self((generation << 16) | pending | (slot as u64 & 0xff))
    }

    /// The word as read from the map.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The word as stored in the map.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The slot in force, always below [`SLOTS`].
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        low(self.0) & (SLOTS - 1)
    }

    /// Whether the slot is undone at its deadline.
    #[inline(always)]
    pub const fn confirm_pending(self) -> bool {
        self.0 & Self::PENDING != 0
    }

    /// The generation's number, 0 before the first.
    pub const fn generation(self) -> u64 {
        self.0 >> 16
    }
}

abi! {
    /// What tables are made of: one cache line. How its words are read depends on the table; see [`crate::lookup`].
    #[derive(Default)]
    pub struct Line: 64 {
        /// The words.
        pub words: [u64; 8],
    }
}

/// Fewest lines of a quotient table: with fewer, 16 bits would not tell the addresses of one line apart.
pub const QUOTIENT_LINES: u32 = 1 << 16;

/// Classes whose row lies in the slot and whose counters lie with the CPU's: no look-up is needed for them. Those beyond
/// have both in maps of their own.
pub const NEAR_CLASSES: usize = 256;

/// Bits of [`Limit::flags`].
pub mod limit_flag {
    /// What is over it is only counted.
    pub const OBSERVE: u32 = 1;
}

abi! {
    /// A limit in all its dimensions ([`crate::traffic::Dimension`]), in the words buckets count in.
    #[derive(Default)]
    pub struct Limit: 176 {
        /// Time a packet costs, in 1/16 ns; of bytes, 1,024 of them; 0: no limit.
        pub cost: [u64; DIMENSION_SLOTS],
        /// Time the whole burst costs, in 1/16 ns.
        pub window: [u64; DIMENSION_SLOTS],
        /// What a packet, or 1,024 bytes, adds to what a CPU counts for a source by itself, in parts of
        /// [`crate::sources::PRESSURE`].
        pub pressure: [u32; DIMENSION_SLOTS],
        /// A bit for each dimension that has a limit; 0: there is none.
        pub dimensions: u32,
        /// What a source may come to on one CPU while there is no room for its bucket.
        pub fallback: u32,
        /// [`limit_flag`] bits.
        pub flags: u32,
        /// Explicit padding.
        pub reserved: u32,
    }
}

/// Bits of [`PortRow::flags`].
pub mod port_flag {
    /// Dropped as `port`.
    pub const DENY: u32 = 1;
    /// The denial is only observed.
    pub const OBSERVE: u32 = 2;
    /// The limit is each source's, not everybody's together.
    pub const PER_SOURCE: u32 = 4;
}

abi! {
    /// What is said about a destination port.
    #[derive(Default, Hash)]
    pub struct PortRow: 8 {
        /// [`port_flag`] bits.
        pub flags: u32,
        /// Its limit, from 1 on; 0: none.
        pub limit: u32,
    }
}

abi! {
    /// One immutable policy slot: everything but the tables themselves.
    pub struct Slot: 23232 {
        /// The generation in this slot.
        pub generation: u64,
        /// [`feature`] bits.
        pub features: u32,
        /// The slot to use once the deadline has passed.
        pub fallback: u32,
        /// Where the address tables are.
        pub layout: Layout,
        /// Boot-time second at which an unconfirmed change is undone; 0: none.
        pub confirm_deadline_s: u64,
        /// Lines of class counters a CPU has; four counters to a line.
        pub hits_stride: u32,
        /// The lowest local port that a socket gets without asking for it.
        pub askers_from: u32,
        /// Sampled drops: time one sample costs on each CPU, in 1/16 ns; 0: none are taken.
        pub sample_cost: u64,
        /// Sampled drops: time the burst costs, in 1/16 ns.
        pub sample_window: u64,
        /// Each source's limit: everybody's, the tighter one, those that lists name.
        pub source_limits: [Limit; PROFILES],
        /// Each network's limit.
        pub network_limit: Limit,
        /// The limit for everything.
        pub global_limit: Limit,
        /// Types of ICMP that are dropped, a bit each.
        pub icmp_v4: [u64; 4],
        /// Types of `ICMPv6` that are dropped, a bit each.
        pub icmp_v6: [u64; 4],
        /// Explicit padding: rows stand two to a cache line.
        pub reserved: [u64; 2],
        /// Rows of the first classes.
        pub near_rows: [ClassRow; NEAR_CLASSES],
        /// Limits of destination ports.
        pub port_limits: [Limit; PORT_LIMITS],
        /// What the bytes of the table of destination ports lead to.
        pub port_rows: [PortRow; PORT_ROWS],
        /// UDP source ports whose answers must have been asked for, a bit each.
        pub answers: [u64; 1024],
    }
}

abi! {
    /// A decision as the kernel compares it, packed so that the stronger one is the greater number and zero is none.
    ///
    /// High word: strength (16 bits; the complement of the rank), allow or deny (8), [`ruling_flag`] bits (8).
    /// Low word: list (16), verdict slot (8), zero (8). Two halves, because a prefix map's value may not be aligned to
    /// eight bytes.
    #[derive(Default, PartialOrd, Ord, Hash)]
    pub struct Ruling: 8 {
        high: u32,
        low: u32,
    }
}

/// Bits of a ruling's flags.
pub mod ruling_flag {
    /// The operator named the address with `--force`: protection does not void it.
    pub const FORCED: u8 = 1;
}

impl Ruling {
    /// No ruling.
    pub const NONE: Self = Self { high: 0, low: 0 };
    const ALLOW: u32 = 1;
    const DENY: u32 = 2;

    /// Let through as `allowed`. Ranks are below `u16::MAX`; a lower one is stronger.
    pub const fn allow(rank: u16, list: u16) -> Self {
        Self { high: ((u16::MAX - rank) as u32) << 16 | Self::ALLOW << 8, low: (list as u32) << 16 }
    }

    /// Drop as `verdict`, which must be a dropping one.
    pub const fn deny(rank: u16, list: u16, verdict: Verdict, flags: u8) -> Self {
        Self {
            high: ((u16::MAX - rank) as u32) << 16 | Self::DENY << 8 | flags as u32,
            low: (list as u32) << 16 | verdict.slot() << 8,
        }
    }

    /// The word that rulings are compared by; 0: none.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        (self.high as u64) << 32 | self.low as u64
    }

    /// The ruling with this word.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { high: low(word >> 32), low: low(word) }
    }

    /// Whether there is no ruling.
    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.high == 0
    }

    /// Its place in the order of origins; lower is stronger.
    #[inline(always)]
    pub const fn rank(self) -> u16 {
        u16::MAX - (self.high >> 16) as u16
    }

    /// Whether it lets through.
    #[inline(always)]
    pub const fn is_allow(self) -> bool {
        (self.high >> 8) & 0xff == Self::ALLOW
    }

    /// Whether it drops.
    #[inline(always)]
    pub const fn is_deny(self) -> bool {
        (self.high >> 8) & 0xff == Self::DENY
    }

    /// Whether protection does not void it.
    #[inline(always)]
    pub const fn is_forced(self) -> bool {
        self.high & ruling_flag::FORCED as u32 != 0
    }

    /// The list it came from; 0: none.
    #[inline(always)]
    pub const fn list(self) -> u16 {
        (self.low >> 16) as u16
    }

    /// Counter slot of the verdict it drops as.
    #[inline(always)]
    pub const fn verdict_slot(self) -> u32 {
        (self.low >> 8) & 0xff
    }
}

/// Bits of [`ClassRow::flags`].
pub mod class_flag {
    /// In the protected set: no decision but a forced operator's may deny it.
    pub const PROTECTED: u32 = 1;
    /// In the never-block set: only the operator may deny it.
    pub const NEVER_BLOCK: u32 = 2;
    /// What is judged by whom a decision may deny.
    pub const GUARDED: u32 = PROTECTED | NEVER_BLOCK;
    /// Where the number of the limit begins that its sources have in place of everybody's; 0: everybody's.
    pub const PROFILE_SHIFT: u32 = 8;

    /// The bits that name a limit.
    #[inline(always)]
    pub const fn profile(number: u32) -> u32 {
        number << PROFILE_SHIFT
    }

    /// The limit that flags name.
    #[inline(always)]
    pub const fn profile_of(flags: u32) -> u32 {
        (flags >> PROFILE_SHIFT) & super::PROFILE_MASK
    }
}

abi! {
    /// What is done with a class: the set of lists that cover an address. Two to a line.
    #[derive(Default)]
    pub struct ClassRow: 32 {
        /// The strongest ruling that is enforced.
        pub enforced: Ruling,
        /// The strongest observed denial above it.
        pub observed: Ruling,
        /// [`class_flag`] bits, and from bit 8 on which of [`Slot::source_limits`] its sources have.
        pub flags: u32,
        /// All that is to know where nothing but the enforced ruling counts: its list (upper half) and the counter slot of
        /// its verdict; 0: more than that counts.
        pub plain: u32,
        /// Explicit padding.
        pub reserved: u64,
    }
}

impl ClassRow {
    /// The row of these rulings and flags.
    pub const fn new(enforced: Ruling, observed: Ruling, flags: u32) -> Self {
        let verdict = if enforced.is_deny() { enforced.verdict_slot() } else { Verdict::Allowed.slot() };
        let is_plain = flags == 0 && !enforced.is_none() && observed.is_none();
        let plain = if is_plain { (enforced.list() as u32) << 16 | verdict } else { 0 };
        Self { enforced, observed, flags, plain, reserved: 0 }
    }
}

abi! {
    /// What holds until a moment; the segment behind it holds afterwards.
    #[derive(Default)]
    pub struct Segment: 20 {
        /// Boot-time second from which the next segment holds; 0: this one never ends.
        pub expires_at_s: u32,
        /// The strongest ruling that is enforced.
        pub enforced: Ruling,
        /// The strongest observed denial.
        pub observed: Ruling,
    }
}

/// Bit of [`OverlayValue::flags`], shifted by a slot's number: the answer of the slot's tables for this address is replaced
/// by `lifted`. A slot that the value knows nothing of answers for itself.
pub const OVERLAY_LIFT: u32 = 1;

abi! {
    /// A live change that the tables do not hold yet.
    #[derive(Default)]
    pub struct OverlayValue: 236 {
        /// [`OVERLAY_LIFT`] of each slot whose answer is replaced.
        pub flags: u32,
        /// Index of the value's counter.
        pub counter: u32,
        /// Sequence number of the change, low and high word (a prefix value may not be aligned to eight bytes).
        pub sequence: [u32; 2],
        /// What the decisions on this very key, and for prefixes on the wider ones it hides, come to.
        pub segments: [Segment; OVERLAY_SEGMENTS],
        /// What remains of the tables' answer, per slot; without meaning where the slot's bit is clear.
        pub lifted: [[Segment; LIFT_SEGMENTS]; SLOTS as usize],
    }
}

/// Key of an IPv4 prefix map: prefix length, then the address in network order.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PrefixV4 {
    /// Prefix length, 0–32.
    pub prefix_len: u32,
    /// The network's address.
    pub address: [u8; 4],
}

/// Key of an IPv6 prefix map: prefix length, then the address in network order.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PrefixV6 {
    /// Prefix length, 0–128.
    pub prefix_len: u32,
    /// The network's address.
    pub address: [u8; 16],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stronger_ruling_is_the_greater_and_none_is_the_weakest() {
        let allow = Ruling::allow(0, 1);
        let deny = Ruling::deny(1, 2, Verdict::Denied, 0);
        let country = Ruling::deny(0xfff0, u16::MAX, Verdict::Country, ruling_flag::FORCED);
        assert!(allow > deny && deny > country && country > Ruling::NONE);
        assert_eq!(Ruling::from_word(country.word()), country);
        assert_eq!((country.rank(), country.list(), country.is_forced()), (0xfff0, u16::MAX, true));
        assert_eq!(country.verdict_slot(), Verdict::Country.slot());
        assert!(allow.is_allow() && !allow.is_deny() && deny.is_deny() && Ruling::NONE.is_none());
    }

    #[test]
    fn control_word_keeps_its_three_parts_apart() {
        let c = Control::new(3, 0xffff_ffff_ffff, true);
        assert_eq!((c.slot(), c.confirm_pending(), c.generation()), (3, true, 0xffff_ffff_ffff));
        let c = Control::new(1, 0, false);
        assert_eq!((c.slot(), c.confirm_pending(), c.generation()), (1, false, 0));
        assert_eq!(Control::from_word(c.word()), c);
    }
}
