//! The maps, and the tables port over them. Five more the program knows by their addresses ([`weir_common::area`]).
//!
//! Every map that user space reads often is a plain memory-mapped array; per-CPU ones are indexed by CPU so that they
//! can be mapped too. What has one inner map per policy slot is an array of maps: a new generation's maps are put into
//! an unused slot and become visible with the one store to the control word.
use core::arch::asm;
use core::ops::DerefMut;
use core::ptr::{addr_of, addr_of_mut};

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap, LpmTrie, RingBuf};
use aya_ebpf::helpers::generated::{
    bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns,
};
use aya_ebpf::macros::btf_map;
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::programs::XdpContext;
use weir_common::abi::{
    self, ClassRow, CpuState, FILTER_WORDS, FLOW_LINES, FRAGMENT_CELLS, Line, NETWORK_SETS, NetworkSet, Offender,
    OffenderKey, OverlayValue, PORT_LIMITS, PORT_WORDS, SLOTS, SOURCE_SETS, Sample, Slot, SourceSet, Tally,
    control_word, low,
};
use weir_common::addr::Source;
use weir_common::area;
use weir_common::tables::{Asked, Buckets, Tables};

use crate::sockets;

const MMAPABLE: usize = 1 << 10;
const INNER: usize = 1 << 12;
const NO_PREALLOC: usize = 1;
const NSLOTS: usize = SLOTS as usize;

/// Sizes that user space sets when it loads the object are declared as 1.
const SIZED_AT_LOAD: usize = 1;

type InnerArray<T> = Array<T, 1, { MMAPABLE | INNER }>;

/// The address tables of each slot.
#[btf_map]
static TABLES: ArrayOfMaps<InnerArray<Line>, NSLOTS> = ArrayOfMaps::new();
/// The class rows of each slot.
#[btf_map]
static CLASSES: ArrayOfMaps<InnerArray<Line>, NSLOTS> = ArrayOfMaps::new();
/// The class counters of each slot, CPU by CPU.
#[btf_map]
static CLASS_HITS: ArrayOfMaps<InnerArray<Line>, NSLOTS> = ArrayOfMaps::new();

// Not preallocated: an element that a packet is reading is freed only after a grace period, never reused under it.
#[btf_map]
static OVERLAY_V4: HashMap<[u8; 4], OverlayValue, SIZED_AT_LOAD, NO_PREALLOC> = HashMap::new();
#[btf_map]
static OVERLAY_V6: HashMap<[u8; 16], OverlayValue, SIZED_AT_LOAD, NO_PREALLOC> = HashMap::new();
#[btf_map]
static OVERLAY_ALLOW_V4: LpmTrie<[u8; 4], OverlayValue, SIZED_AT_LOAD> = LpmTrie::new();
#[btf_map]
static OVERLAY_DENY_V4: LpmTrie<[u8; 4], OverlayValue, SIZED_AT_LOAD> = LpmTrie::new();
#[btf_map]
static OVERLAY_ALLOW_V6: LpmTrie<[u8; 16], OverlayValue, SIZED_AT_LOAD> = LpmTrie::new();
#[btf_map]
static OVERLAY_DENY_V6: LpmTrie<[u8; 16], OverlayValue, SIZED_AT_LOAD> = LpmTrie::new();
#[btf_map]
static OVERLAY_HITS: Array<Tally, SIZED_AT_LOAD, MMAPABLE> = Array::new();

#[btf_map]
static CPUS: Array<CpuState, SIZED_AT_LOAD, MMAPABLE> = Array::new();
#[btf_map]
static SOURCES: Array<SourceSet, SIZED_AT_LOAD, MMAPABLE> = Array::new();
#[btf_map]
static NETWORKS: Array<NetworkSet, SIZED_AT_LOAD, MMAPABLE> = Array::new();
#[btf_map]
static FLOWS: Array<Line, SIZED_AT_LOAD> = Array::new();
/// Eight cells to an element.
#[btf_map]
static FRAGMENTS: Array<Line, { FRAGMENT_CELLS as usize / 8 }> = Array::new();
#[btf_map]
static OFFENDERS: HashMap<OffenderKey, Offender, SIZED_AT_LOAD> = HashMap::new();
#[btf_map]
static SAMPLES: RingBuf<(), { 1 << 18 }> = RingBuf::new();

/// How the program tells the time, chosen when it is loaded: the verifier drops the other branches, so a kernel that
/// lacks a helper still loads the program.
#[unsafe(no_mangle)]
static CLOCK: u32 = 0;
/// Overlay values that have a counter, per CPU; chosen when the program is loaded.
#[unsafe(no_mangle)]
static OVERLAY_STRIDE: u32 = 0;

/// [`CLOCK`]: the coarse monotonic clock (Linux 5.11).
const CLOCK_COARSE: u32 = 0;
/// [`CLOCK`]: the precise monotonic clock, ten times the cost.
const CLOCK_PRECISE: u32 = 1;

/// Where the area with this mark begins: the number that stands for it until the program is loaded. The verifier refuses a
/// program in which it still does.
#[inline(always)]
fn address<const MARK: u64, T>() -> *mut T {
    let place: u64;
    // SAFETY: puts a number into a register.
    unsafe { asm!("{0} = {1} ll", out(reg) place, const MARK, options(pure, nomem, nostack)) };
    place as *mut T
}

#[inline(always)]
fn constant(value: &'static u32) -> u32 {
    // SAFETY: a plain read of an initialised static; volatile because the loader writes it after compilation.
    unsafe { core::ptr::read_volatile(addr_of!(*value)) }
}

/// A key on the stack where the verifier wants it: the compiler may copy an address as whole words, which must not
/// straddle the stack's eight-byte slots.
#[repr(C, align(8))]
struct Aligned<T>(T);

/// A prefix key whose address, behind the four bytes of its length, starts at an eight-byte slot.
#[repr(C, align(8))]
struct AlignedPrefix<T> {
    pad: u32,
    key: Key<T>,
}

impl<T> AlignedPrefix<T> {
    /// The key of one whole address of so many bits.
    #[inline(always)]
    const fn whole(bits: u32, address: T) -> Self {
        Self { pad: 0, key: Key::new(bits, address) }
    }
}

#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: no arguments, no memory.
    unsafe { bpf_get_smp_processor_id() }
}

/// Adds atomically: the BPF target has no atomic types, the machine has the instruction.
#[inline(always)]
fn atomic_add(word: *mut u64, by: u64) {
    // SAFETY: `word` points to a live, aligned map value; the instruction touches nothing else.
    unsafe { asm!("lock *(u64 *)({p} + 0) += {v}", p = in(reg) word, v = in(reg) by) };
}

/// Adds packet and bytes to a counter that only this CPU writes.
#[inline(always)]
fn tally(counter: *mut Tally, bytes: u64) {
    // SAFETY: `counter` is a live map value that no other CPU writes.
    unsafe {
        (*counter).packets += 1;
        (*counter).bytes += bytes;
    }
}

/// The tables port over the maps.
pub(crate) struct Maps<'a> {
    ctx: &'a XdpContext,
    cpu: *mut CpuState,
}

impl<'a> Maps<'a> {
    /// The maps as this CPU sees them; `None` where it has no counters, which only wrongly sized maps can cause.
    #[inline(always)]
    pub(crate) fn new(ctx: &'a XdpContext) -> Option<Self> {
        Some(Self { ctx, cpu: CPUS.get_ptr_mut(cpu())? })
    }
}

/// The first word of a line of a slot's address tables.
#[inline(always)]
pub(crate) fn word_of_line(slot: u32, line: u32) -> Option<u64> {
    Some(TABLES.get(slot)?.get(line)?.words[0])
}

/// Buckets in a map, one a dimension.
pub(crate) struct BucketsRef(*mut abi::Buckets);

impl BucketsRef {
    /// Where the bucket of a dimension is.
    #[inline(always)]
    fn place(&self, dimension: usize) -> *mut u64 {
        // SAFETY: a live map value; dimensions are below its eight places.
        unsafe { addr_of_mut!((*self.0).tat).cast::<u64>().add(dimension & 7) }
    }
}

impl Buckets for BucketsRef {
    #[inline(always)]
    fn tat(&self, dimension: usize) -> u64 {
        // SAFETY: a live map value; a word is read whole.
        unsafe { core::ptr::read_volatile(self.place(dimension)) }
    }
    #[inline(always)]
    fn set_tat(&self, dimension: usize, tat: u64) {
        // SAFETY: a live map value; a word is written whole.
        unsafe { core::ptr::write_volatile(self.place(dimension), tat) }
    }
    #[inline(always)]
    fn add_tat(&self, dimension: usize, by: u64) {
        atomic_add(self.place(dimension), by);
    }
    #[inline(always)]
    fn count_passed(&self, now_ns: u64) {
        // SAFETY: a live map value; the time is a word that is written whole.
        unsafe {
            atomic_add(addr_of_mut!((*self.0).passed), 1);
            core::ptr::write_volatile(addr_of_mut!((*self.0).seen_ns), now_ns);
        }
    }
    #[inline(always)]
    fn count_refused(&self, dimension: usize, now_ns: u64) {
        // SAFETY: as above; dimensions are below its eight places.
        unsafe {
            atomic_add(addr_of_mut!((*self.0).refused).cast::<u64>().add(dimension & 7), 1);
            core::ptr::write_volatile(addr_of_mut!((*self.0).seen_ns), now_ns);
        }
    }
}

impl Tables for Maps<'_> {
    type Buckets = BucketsRef;
    type Lines = &'static InnerArray<Line>;

    #[inline(always)]
    fn control(&self, word: u32) -> Option<u64> {
        if word as usize >= control_word::COUNT {
            return None;
        }
        // SAFETY: a live map value, inside its bounds; volatile because user space writes it at any moment.
        Some(unsafe { core::ptr::read_volatile(address::<{ area::CONTROL.mark }, u64>().add(word as usize)) })
    }

    #[inline(always)]
    fn slot(&self, slot: u32) -> Option<&Slot> {
        // Masked where the verifier sees it, whatever the optimiser knows of the number.
        let slot = self.hide(slot) as usize & (NSLOTS - 1);
        // SAFETY: a live map value, inside its bounds; slots in force never change.
        Some(unsafe { &*address::<{ area::POLICY.mark }, Slot>().add(slot) })
    }

    #[inline(always)]
    fn lines(&self, slot: u32) -> Option<Self::Lines> {
        TABLES.get(slot)
    }

    #[inline(always)]
    fn line(&self, lines: Self::Lines, index: u32) -> Option<&Line> {
        lines.get(index)
    }

    #[inline(always)]
    fn filter_word(&self, word: u32) -> Option<u64> {
        let word = self.hide(word);
        if word >= SLOTS * FILTER_WORDS {
            return None;
        }
        // SAFETY: a live map value, inside its bounds; a filter in force never changes.
        Some(unsafe { address::<{ area::FILTERS.mark }, u64>().add(word as usize).read() })
    }

    #[inline(always)]
    fn far_row(&self, slot: u32, class: u32) -> Option<&ClassRow> {
        let line: *const Line = CLASSES.get_value(slot, &(class >> 1))?;
        let half = self.hide(class & 1) as usize & 1;
        // SAFETY: a line is two rows, and any bytes are valid ones.
        Some(unsafe { &*line.cast::<ClassRow>().add(half) })
    }

    #[inline(always)]
    #[expect(clippy::needless_borrows_for_generic_args, reason = "by value the key would leave its aligned place")]
    fn overlay_exact(&self, source: Source) -> Option<&OverlayValue> {
        // SAFETY: values are replaced, never changed in place, and freed after a grace period.
        unsafe {
            match source {
                Source::V4(a) => OVERLAY_V4.get(&Aligned(a).0),
                Source::V6(a) => OVERLAY_V6.get(&Aligned(a).0),
            }
        }
    }

    #[inline(always)]
    fn overlay_allow(&self, source: Source) -> Option<&OverlayValue> {
        match source {
            Source::V4(a) => OVERLAY_ALLOW_V4.get(&AlignedPrefix::whole(32, a).key),
            Source::V6(a) => OVERLAY_ALLOW_V6.get(&AlignedPrefix::whole(128, a).key),
        }
    }

    #[inline(always)]
    fn overlay_deny(&self, source: Source) -> Option<&OverlayValue> {
        match source {
            Source::V4(a) => OVERLAY_DENY_V4.get(&AlignedPrefix::whole(32, a).key),
            Source::V6(a) => OVERLAY_DENY_V6.get(&AlignedPrefix::whole(128, a).key),
        }
    }

    #[inline(always)]
    fn hide(&self, number: u32) -> u32 {
        let mut hidden = number;
        // SAFETY: copies a register onto itself.
        unsafe { asm!("{0} = {0}", inout(wreg) hidden, options(nomem, nostack)) };
        hidden
    }

    #[inline(always)]
    fn hide_word(&self, word: u64) -> u64 {
        let mut hidden = word;
        // SAFETY: copies a register onto itself.
        unsafe { asm!("{0} = {0}", inout(reg) hidden, options(nomem, nostack)) };
        hidden
    }

    #[inline(always)]
    fn forget(&self, place: usize, number: u64) -> u64 {
        // SAFETY: a live map value that only this CPU writes; `place` is a constant below the places there are at every call.
        unsafe {
            let cell = addr_of_mut!((*self.cpu).scratch).cast::<u64>().add(place);
            core::ptr::write_volatile(cell, number);
            core::ptr::read_volatile(cell)
        }
    }

    #[inline(always)]
    fn keep(&self, place: usize, number: u64) {
        // SAFETY: as above.
        unsafe { core::ptr::write_volatile(addr_of_mut!((*self.cpu).scratch).cast::<u64>().add(place), number) }
    }

    #[inline(always)]
    fn kept(&self, place: usize) -> u64 {
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(addr_of!((*self.cpu).scratch).cast::<u64>().add(place)) }
    }

    #[inline(always)]
    fn boot_seconds(&self) -> u64 {
        match constant(&CLOCK) {
            // SAFETY: no arguments, no memory.
            CLOCK_COARSE | CLOCK_PRECISE => unsafe { bpf_ktime_get_boot_ns() / 1_000_000_000 },
            _ => self.control(control_word::CLOCK_BOOT_S).unwrap_or(0),
        }
    }

    #[inline(always)]
    fn monotonic_ns(&self) -> u64 {
        match constant(&CLOCK) {
            // SAFETY: no arguments, no memory.
            CLOCK_COARSE => unsafe { bpf_ktime_get_coarse_ns() },
            // SAFETY: no arguments, no memory.
            CLOCK_PRECISE => unsafe { bpf_ktime_get_ns() },
            _ => self.control(control_word::CLOCK_NS).unwrap_or(0),
        }
    }

    #[inline(always)]
    fn with_cpu<R>(&self, f: impl FnOnce(&mut CpuState) -> R) -> Option<R> {
        // SAFETY: a live map value that only this CPU writes.
        Some(f(unsafe { &mut *self.cpu }))
    }

    #[inline(always)]
    fn sources(&self, hash: u32) -> Option<impl DerefMut<Target = SourceSet>> {
        let set = SOURCES.get_ptr_mut(cpu() * SOURCE_SETS + (hash & (SOURCE_SETS - 1)))?;
        // SAFETY: a live map value that only this CPU writes.
        Some(unsafe { &mut *set })
    }

    #[inline(always)]
    fn count_far_class(&self, slot: &Slot, index: u32, class: u32, bytes: u64) {
        let line = cpu().wrapping_mul(slot.hits_stride).wrapping_add(class >> 2);
        if let Some(line) = CLASS_HITS.get_value_ptr_mut(index, &line) {
            let quarter = self.hide(class & 3) as usize & 3;
            // SAFETY: a line is four counters.
            tally(unsafe { line.cast::<Tally>().add(quarter) }, bytes);
        }
    }

    #[inline(always)]
    fn count_overlay(&self, counter: u32, bytes: u64) {
        if let Some(counter) = OVERLAY_HITS.get_ptr_mut(cpu() * constant(&OVERLAY_STRIDE) + counter) {
            tally(counter, bytes);
        }
    }

    #[inline(always)]
    fn networks(&self, set: u32) -> Option<impl DerefMut<Target = NetworkSet>> {
        let set = NETWORKS.get_ptr_mut(cpu() * NETWORK_SETS + (set & (NETWORK_SETS - 1)))?;
        // SAFETY: a live map value that only this CPU writes.
        Some(unsafe { &mut *set })
    }

    #[inline(always)]
    fn flows(&self, line: u32) -> Option<impl DerefMut<Target = Line>> {
        let line = FLOWS.get_ptr_mut(cpu() * FLOW_LINES + (line & (FLOW_LINES - 1)))?;
        // SAFETY: a live map value that only this CPU writes.
        Some(unsafe { &mut *line })
    }

    #[inline(always)]
    fn fragment(&self, cell: u32) -> u64 {
        let Some(line) = FRAGMENTS.get_ptr(cell >> 3) else { return 0 };
        let place = self.hide(cell & 7) as usize & 7;
        // SAFETY: a live map value of eight words, each read whole; any CPU may write it meanwhile.
        unsafe { core::ptr::read_volatile(line.cast::<u64>().add(place)) }
    }

    #[inline(always)]
    fn set_fragment(&self, cell: u32, word: u64) {
        if let Some(line) = FRAGMENTS.get_ptr_mut(cell >> 3) {
            let place = self.hide(cell & 7) as usize & 7;
            // SAFETY: as above, written whole.
            unsafe { core::ptr::write_volatile(line.cast::<u64>().add(place), word) }
        }
    }

    #[inline(always)]
    fn offender(&self, key: &OffenderKey) -> Option<BucketsRef> {
        // The buckets are the value's first field.
        OFFENDERS.get_ptr_mut(key).map(|offender| BucketsRef(offender.cast()))
    }

    #[inline(always)]
    fn insert_offender(&self, key: &OffenderKey, now_ns: u64) -> bool {
        const NOEXIST: u64 = 1;
        const EEXIST: i32 = -17;
        // SAFETY: a live map value that only this CPU writes. Nothing but these two times is ever written to it.
        let offender = unsafe {
            (*self.cpu).offender.since_ns = now_ns;
            (*self.cpu).offender.buckets.seen_ns = now_ns;
            &(*self.cpu).offender
        };
        match OFFENDERS.insert(key, offender, NOEXIST) {
            Ok(()) => true,
            Err(error) => error == EEXIST,
        }
    }

    #[inline(always)]
    fn shared_buckets(&self, index: u32) -> Option<BucketsRef> {
        let index = self.hide(index) as usize;
        if index > PORT_LIMITS {
            return None;
        }
        // SAFETY: a live map value, inside its bounds.
        Some(BucketsRef(unsafe { address::<{ area::SHARED.mark }, abi::Buckets>().add(index) }))
    }

    #[inline(always)]
    fn asked(&self, source: Source, destination: Source, ports: u32, askers_from: u32) -> Asked {
        // SAFETY: a live map value that only this CPU writes.
        let tuple = unsafe { addr_of_mut!((*self.cpu).tuple) };
        sockets::udp(self.ctx, tuple.cast(), source, destination, ports, askers_from)
    }

    #[inline(always)]
    fn port_row(&self, slot: u32, is_udp: bool, port: u32) -> u32 {
        let protocol = if is_udp { PORT_WORDS / 2 } else { 0 };
        let word = (slot & (SLOTS - 1)) * PORT_WORDS + protocol + (port >> 3 & 0x1fff);
        let word = self.hide(word) & (SLOTS * PORT_WORDS - 1);
        // SAFETY: a live map value, inside its bounds.
        let word = unsafe { address::<{ area::PORTS.mark }, u64>().add(word as usize).read() };
        low(word >> ((port & 7) << 3)) & 0xff
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        low(self.ctx.ingress_ifindex() as u64)
    }

    #[inline(always)]
    fn emit(&self, fill: impl FnOnce(&mut Sample)) -> bool {
        // The reader polls: a flood must not cost a wake-up per sample.
        const NO_WAKEUP: u64 = 1;
        let Some(mut entry) = SAMPLES.reserve_untyped::<Sample>(0) else { return false };
        // SAFETY: the reserved record is as large as a sample, and `fill` writes every field.
        fill(unsafe { &mut *entry.as_mut_ptr() });
        entry.submit(NO_WAKEUP);
        true
    }
}
