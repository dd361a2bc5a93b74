//! The tables port over ordinary memory: the host's half of every comparison with the kernel, and the ledger of tests.
use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::ops::DerefMut;
use std::rc::Rc;

use crate::abi::{
    self, ClassRow, Control, CpuState, FILTER_WORDS, FLOW_LINES, FRAGMENT_CELLS, Layout, Line, NETWORK_SETS,
    NetworkSet, Offender, OffenderKey, OverlayValue, PORT_LIMITS, SLOTS, SOURCE_SETS, Sample, Slot, SourceSet, Tally,
    control_word, overlay_flag,
};
use crate::addr::Source;
use crate::tables::{Asked, Buckets, Tables};
use zerocopy::FromZeros as _;

/// One slot's tables.
#[derive(Debug, Default, Clone)]
pub struct ModelSlot {
    /// The address tables.
    pub lines: Vec<Line>,
    /// The words of its filter.
    pub filter: Vec<u64>,
    /// Class rows; 0 is the class of the unlisted.
    pub classes: Vec<ClassRow>,
    /// Rows of destination ports, by protocol (UDP or not) and port.
    pub ports: HashMap<(bool, u16), u8>,
}

/// Policy and counters in memory, with one CPU and settable clocks.
#[derive(Debug)]
pub struct Model {
    /// The control map.
    pub control: [u64; control_word::COUNT],
    /// Slot descriptors.
    pub slots: Vec<Slot>,
    /// Slot tables.
    pub tables: Vec<ModelSlot>,
    /// Overlay values of single addresses.
    pub overlay_exact: HashMap<Source, OverlayValue>,
    /// Overlay values of allowed prefixes.
    pub overlay_allow: HashMap<(Source, u8), OverlayValue>,
    /// Overlay values of denied prefixes.
    pub overlay_deny: HashMap<(Source, u8), OverlayValue>,
    /// Boot-time clock, seconds.
    pub boot_seconds: Cell<u64>,
    /// Monotonic clock, nanoseconds.
    pub monotonic_ns: Cell<u64>,
    /// Counters.
    pub cpu: RefCell<CpuState>,
    /// Tracked sources.
    pub sources: RefCell<Vec<SourceSet>>,
    /// Hits by slot and class.
    pub class_hits: RefCell<HashMap<(u32, u32), Tally>>,
    /// Hits by overlay counter.
    pub overlay_hits: RefCell<HashMap<u32, Tally>>,
    /// Tracked networks.
    pub networks: RefCell<Vec<NetworkSet>>,
    /// Known flows.
    pub flows: RefCell<Vec<Line>>,
    /// First fragments that are remembered.
    pub fragments: RefCell<HashMap<u32, u64>>,
    /// Sockets: whether one waits for UDP from a source and port to a destination and port.
    pub sockets: HashMap<(Source, Source, u32), Asked>,
    /// The buckets for everything, then those of ports.
    pub shared: Vec<Rc<Cell<Offender>>>,
    /// Offenders.
    pub offenders: RefCell<HashMap<OffenderKey, Rc<Cell<Offender>>>>,
    /// Offenders that fit.
    pub offender_capacity: usize,
    /// Samples that were taken.
    pub samples: RefCell<Vec<Sample>>,
}

impl Model {
    /// An empty policy in slot 0: generation 1, no list, no limit, everything enforced.
    pub fn new() -> Self {
        let mut control = [0; control_word::COUNT];
        control[control_word::CONTROL as usize] = Control::new(0, 1, false).word();
        control[control_word::SEED as usize] = 0x5eed;
        Self {
            control,
            slots: vec![Slot::new_zeroed(); SLOTS as usize],
            tables: vec![ModelSlot { classes: vec![ClassRow::default()], ..ModelSlot::default() }; SLOTS as usize],
            overlay_exact: HashMap::new(),
            overlay_allow: HashMap::new(),
            overlay_deny: HashMap::new(),
            boot_seconds: Cell::new(1_000),
            monotonic_ns: Cell::new(1_000_000_000_000),
            cpu: RefCell::new(CpuState::new_zeroed()),
            sources: RefCell::new(vec![SourceSet::default(); SOURCE_SETS as usize]),
            class_hits: RefCell::default(),
            overlay_hits: RefCell::default(),
            networks: RefCell::new(vec![NetworkSet::default(); NETWORK_SETS as usize]),
            flows: RefCell::new(vec![Line::default(); FLOW_LINES as usize]),
            fragments: RefCell::default(),
            sockets: HashMap::new(),
            shared: (0..=PORT_LIMITS).map(|_| Rc::default()).collect(),
            offenders: RefCell::default(),
            offender_capacity: 1 << 16,
            samples: RefCell::default(),
        }
    }

    /// Puts address tables and class rows into a slot, as the kernel's writer does.
    pub fn load(&mut self, slot: usize, layout: Layout, (lines, filter): (&[Line], &[u64]), rows: &[ClassRow]) {
        self.tables[slot].lines = lines.to_vec();
        self.tables[slot].filter = filter.to_vec();
        self.tables[slot].classes = rows.to_vec();
        let filter_v4 = u32::try_from(slot).unwrap_or(0) * FILTER_WORDS;
        self.slots[slot].layout = Layout { filter_v4, ..layout };
        for (near, row) in self.slots[slot].near_rows.iter_mut().zip(rows) {
            *near = *row;
        }
    }

    /// As before the first packet: all that packets counted or left behind is gone, and the policy stays.
    pub fn forget_packets(&mut self) {
        *self.cpu.get_mut() = CpuState::new_zeroed();
        self.sources.get_mut().fill(SourceSet::default());
        self.class_hits.get_mut().clear();
        self.overlay_hits.get_mut().clear();
        self.networks.get_mut().fill(NetworkSet::default());
        self.flows.get_mut().fill(Line::default());
        self.fragments.get_mut().clear();
        self.shared.iter().for_each(|buckets| buckets.set(Offender::default()));
        self.offenders.get_mut().clear();
        self.samples.get_mut().clear();
    }

    /// Puts a value into the overlay and sets its flag; `deny` says which prefix map.
    pub fn put_overlay(&mut self, source: Source, len: u8, deny: bool, value: OverlayValue) {
        let (full, exact, allow_bit, deny_bit) = match source {
            Source::V4(_) => (32, overlay_flag::EXACT_V4, overlay_flag::ALLOW_V4, overlay_flag::DENY_V4),
            Source::V6(_) => (128, overlay_flag::EXACT_V6, overlay_flag::ALLOW_V6, overlay_flag::DENY_V6),
        };
        let bit = if len == full {
            self.overlay_exact.insert(source, value);
            exact
        } else if deny {
            self.overlay_deny.insert((masked(source, len), len), value);
            deny_bit
        } else {
            self.overlay_allow.insert((masked(source, len), len), value);
            allow_bit
        };
        self.control[control_word::OVERLAY as usize] |= bit;
    }
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

/// The address with all bits behind `len` cleared.
pub fn masked(source: Source, len: u8) -> Source {
    match source {
        Source::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            Source::V4((u32::from_be_bytes(a) & mask).to_be_bytes())
        }
        Source::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            Source::V6((u128::from_be_bytes(a) & mask).to_be_bytes())
        }
    }
}

fn longest<V>(map: &HashMap<(Source, u8), V>, source: Source) -> Option<&V> {
    let full = match source {
        Source::V4(_) => 32,
        Source::V6(_) => 128,
    };
    (0..=full).rev().find_map(|len| map.get(&(masked(source, len), len)))
}

/// Buckets of the model, shared with their map.
#[derive(Debug, Clone)]
pub struct ModelBuckets(Rc<Cell<Offender>>);

impl ModelBuckets {
    fn change(&self, change: impl FnOnce(&mut abi::Buckets)) {
        let mut offender = self.0.get();
        change(&mut offender.buckets);
        self.0.set(offender);
    }
}

impl Buckets for ModelBuckets {
    fn tat(&self, dimension: usize) -> u64 {
        self.0.get().buckets.tat[dimension]
    }
    fn set_tat(&self, dimension: usize, tat: u64) {
        self.change(|buckets| buckets.tat[dimension] = tat);
    }
    fn add_tat(&self, dimension: usize, by: u64) {
        self.change(|buckets| buckets.tat[dimension] += by);
    }
    fn count_passed(&self, now_ns: u64) {
        self.change(|buckets| {
            buckets.passed += 1;
            buckets.seen_ns = now_ns;
        });
    }
    fn count_refused(&self, dimension: usize, now_ns: u64) {
        self.change(|buckets| {
            buckets.refused[dimension] += 1;
            buckets.seen_ns = now_ns;
        });
    }
}

impl Tables for Model {
    type Buckets = ModelBuckets;
    type Lines = u32;

    fn control(&self, word: u32) -> Option<u64> {
        self.control.get(word as usize).copied()
    }
    fn slot(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(slot as usize)
    }
    fn lines(&self, slot: u32) -> Option<u32> {
        Some(slot)
    }
    fn line(&self, slot: u32, index: u32) -> Option<&Line> {
        self.tables.get(slot as usize)?.lines.get(index as usize)
    }
    fn filter_word(&self, word: u32) -> Option<u64> {
        let slot = self.tables.get((word / FILTER_WORDS) as usize)?;
        slot.filter.get((word % FILTER_WORDS) as usize).copied()
    }
    fn far_row(&self, slot: u32, class: u32) -> Option<&ClassRow> {
        self.tables.get(slot as usize)?.classes.get(class as usize)
    }
    fn overlay_exact(&self, source: Source) -> Option<&OverlayValue> {
        self.overlay_exact.get(&source)
    }
    fn overlay_allow(&self, source: Source) -> Option<&OverlayValue> {
        longest(&self.overlay_allow, source)
    }
    fn overlay_deny(&self, source: Source) -> Option<&OverlayValue> {
        longest(&self.overlay_deny, source)
    }
    fn boot_seconds(&self) -> u64 {
        self.boot_seconds.get()
    }
    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.get()
    }
    fn with_cpu<R>(&self, f: impl FnOnce(&mut CpuState) -> R) -> Option<R> {
        Some(f(&mut self.cpu.borrow_mut()))
    }
    fn sources(&self, hash: u32) -> Option<impl DerefMut<Target = SourceSet>> {
        RefMut::filter_map(self.sources.borrow_mut(), |sets| sets.get_mut(hash as usize)).ok()
    }
    fn count_far_class(&self, slot: &Slot, index: u32, class: u32, bytes: u64) {
        self.count_class(slot, index, class, bytes);
    }
    fn count_class(&self, _slot: &Slot, index: u32, class: u32, bytes: u64) {
        let mut hits = self.class_hits.borrow_mut();
        let tally = hits.entry((index, class)).or_default();
        tally.packets += 1;
        tally.bytes += bytes;
    }
    fn count_overlay(&self, counter: u32, bytes: u64) {
        let mut hits = self.overlay_hits.borrow_mut();
        let tally = hits.entry(counter).or_default();
        tally.packets += 1;
        tally.bytes += bytes;
    }
    fn networks(&self, set: u32) -> Option<impl DerefMut<Target = NetworkSet>> {
        RefMut::filter_map(self.networks.borrow_mut(), |sets| sets.get_mut(set as usize)).ok()
    }
    fn flows(&self, line: u32) -> Option<impl DerefMut<Target = Line>> {
        RefMut::filter_map(self.flows.borrow_mut(), |lines| lines.get_mut(line as usize)).ok()
    }
    fn fragment(&self, cell: u32) -> u64 {
        assert!(cell < FRAGMENT_CELLS, "cell {cell}");
        self.fragments.borrow().get(&cell).copied().unwrap_or(0)
    }
    fn set_fragment(&self, cell: u32, word: u64) {
        assert!(cell < FRAGMENT_CELLS, "cell {cell}");
        self.fragments.borrow_mut().insert(cell, word);
    }
    fn offender(&self, key: &OffenderKey) -> Option<ModelBuckets> {
        self.offenders.borrow().get(key).cloned().map(ModelBuckets)
    }
    fn insert_offender(&self, key: &OffenderKey, now_ns: u64) -> bool {
        let mut offenders = self.offenders.borrow_mut();
        if offenders.len() >= self.offender_capacity && !offenders.contains_key(key) {
            return false;
        }
        offenders.entry(*key).or_insert_with(|| Rc::new(Cell::new(Offender::of(now_ns))));
        true
    }
    fn shared_buckets(&self, index: u32) -> Option<ModelBuckets> {
        self.shared.get(index as usize).cloned().map(ModelBuckets)
    }
    fn asked(&self, source: Source, destination: Source, ports: u32, _askers_from: u32) -> Asked {
        self.sockets.get(&(source, destination, ports)).copied().unwrap_or(Asked::Nobody)
    }
    fn port_row(&self, slot: u32, is_udp: bool, port: u32) -> u32 {
        let ports = self.tables.get(slot as usize).map(|slot| &slot.ports);
        let port = u16::try_from(port).unwrap_or(u16::MAX);
        ports.and_then(|ports| ports.get(&(is_udp, port))).copied().map_or(0, u32::from)
    }
    fn interface(&self) -> u32 {
        1
    }
    fn emit(&self, fill: impl FnOnce(&mut Sample)) -> bool {
        let mut sample = Sample::new_zeroed();
        fill(&mut sample);
        self.samples.borrow_mut().push(sample);
        true
    }
}
