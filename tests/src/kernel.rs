//! The real program on the real maps, run frame by frame by the kernel's test-run.
//!
//! The object is loaded for this process alone: nothing is attached or pinned, and time comes from the control words.
use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::{TestRun as _, TestRunOptions};
use weir::adapters::kernel::map::{Mapped, Table};
use weir::adapters::kernel::object::{Clock, Object, Sizes};
use weir::adapters::kernel::sys;
use weir_common::abi::{
    Buckets, CpuState, FLOW_LINES, Line, NETWORK_SETS, NetworkSet, Offender, OffenderKey, OverlayValue, PORT_WORDS,
    PrefixV4, PrefixV6, SLOTS, SOURCE_SETS, Slot, SourceSet, Tally, control_word,
};
use weir_common::addr::Source;
use weir_common::model::Model;
use weir_common::verdict::{Action, Verdict};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::reference::Outcome;

pub mod image;
pub mod trio;

use image::{Image, SlotImage};

/// Shortest frame the kernel's test-run takes: an Ethernet header.
pub const SHORTEST: usize = 14;

/// Offenders that fit: few, so that tests can fill them.
pub const OFFENDERS: u32 = 64;

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// Maps that hold one inner map per slot.
const OUTER: [&str; 3] = ["TABLES", "CLASSES", "CLASS_HITS"];

/// A loaded program and its maps, used from one CPU.
#[derive(Debug)]
pub struct Kernel {
    object: RefCell<Object>,
    cpu: usize,
    sizes: Sizes,
    control: Mapped<u64>,
    policy: Mapped<Slot>,
    filters: Mapped<u64>,
    outer: HashMap<&'static str, OwnedFd>,
    class_hits: Vec<Option<(Mapped<Line>, u32)>>,
    overlay: Overlay,
    overlay_hits: Mapped<Tally>,
    cpus: Mapped<CpuState>,
    sources: Mapped<SourceSet>,
    networks: Mapped<NetworkSet>,
    shared: Mapped<Buckets>,
    flows: Table<u32, Line>,
    fragments: Table<u32, Line>,
    ports: Mapped<Line>,
    offenders: Table<OffenderKey, Offender>,
    before: CpuState,
}

#[derive(Debug)]
struct Overlay {
    v4: Table<[u8; 4], OverlayValue>,
    v6: Table<[u8; 16], OverlayValue>,
    /// Allowed, denied.
    prefix_v4: [Table<PrefixV4, OverlayValue>; 2],
    /// Allowed, denied.
    prefix_v6: [Table<PrefixV6, OverlayValue>; 2],
}

impl Kernel {
    /// Loads the program and keeps the thread on one CPU, so that one CPU's counters tell everything.
    ///
    /// # Errors
    /// Where this is not root, or the kernel refuses the program: it says what to do.
    pub fn load() -> Result<Self> {
        // SAFETY: takes nothing and always succeeds.
        let user = unsafe { libc::geteuid() };
        ensure!(user == 0, "these tests load an XDP program: run them as root (`sudo cargo xtask test`)");
        let cpu = stay_on_one_cpu()?;
        let sizes = Sizes { overlay_addresses: 64, overlay_prefixes: 64, offenders: OFFENDERS, compared: 1 };
        let mut object = Object::load(&sizes, Clock::Words, &HashMap::new()).context(
            "the kernel refused weir's maps: in a container it needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, \
             and the kernel must be 5.10 or newer",
        )?;
        object.load_program().context("the kernel's verifier refused weir's program")?;
        let fd = |name: &str| object.map_fd(name);
        let mut outer = HashMap::new();
        for name in OUTER {
            outer.insert(name, fd(name)?);
        }
        let overlay = Overlay {
            v4: Table::new(fd("OVERLAY_V4")?)?,
            v6: Table::new(fd("OVERLAY_V6")?)?,
            prefix_v4: [Table::new(fd("OVERLAY_ALLOW_V4")?)?, Table::new(fd("OVERLAY_DENY_V4")?)?],
            prefix_v6: [Table::new(fd("OVERLAY_ALLOW_V6")?)?, Table::new(fd("OVERLAY_DENY_V6")?)?],
        };
        Ok(Self {
            cpu,
            control: Mapped::new(fd("CONTROL")?.as_fd())?,
            policy: Mapped::new(fd("POLICY")?.as_fd())?,
            filters: Mapped::new(fd("FILTERS")?.as_fd())?,
            outer,
            class_hits: (0..SLOTS).map(|_| None).collect(),
            overlay,
            overlay_hits: Mapped::new(fd("OVERLAY_HITS")?.as_fd())?,
            cpus: Mapped::new(fd("CPUS")?.as_fd())?,
            sources: Mapped::new(fd("SOURCES")?.as_fd())?,
            networks: Mapped::new(fd("NETWORKS")?.as_fd())?,
            shared: Mapped::new(fd("SHARED")?.as_fd())?,
            flows: Table::new(fd("FLOWS")?)?,
            fragments: Table::new(fd("FRAGMENTS")?)?,
            ports: Mapped::new(fd("PORTS")?.as_fd())?,
            offenders: Table::new(fd("OFFENDERS")?)?,
            sizes,
            object: RefCell::new(object),
            before: CpuState::new_zeroed(),
        })
    }

    /// Puts a policy into the maps, and every counter and bucket to zero.
    ///
    /// # Errors
    /// The system calls'.
    pub fn install(&mut self, image: &Image) -> Result<()> {
        for (index, slot) in (0..).zip(&image.slots) {
            self.install_slot(index, slot)?;
        }
        self.overlay.install(image)?;
        self.words(image);
        for cpu in 0..self.cpus.len() {
            self.cpus.write(cpu, CpuState::new_zeroed());
        }
        for set in 0..self.sources.len() {
            if self.sources.read(set) != Some(SourceSet::default()) {
                self.sources.write(set, SourceSet::default());
            }
        }
        for counter in 0..self.overlay_hits.len() {
            self.overlay_hits.write(counter, Tally::default());
        }
        for set in 0..self.networks.len() {
            if self.networks.read(set) != Some(NetworkSet::default()) {
                self.networks.write(set, NetworkSet::default());
            }
        }
        for buckets in 0..self.shared.len() {
            self.shared.write(buckets, Buckets::default());
        }
        empty(&self.flows)?;
        empty(&self.fragments)?;
        clear(&self.offenders)?;
        self.before = CpuState::new_zeroed();
        Ok(())
    }

    /// Writes the control words and slot descriptors alone: tables, counters and buckets stay.
    pub fn words(&self, image: &Image) {
        for (index, slot) in image.slots.iter().enumerate() {
            self.policy.write(index, slot.slot);
        }
        for (index, word) in image.control.iter().enumerate() {
            self.control.publish(index, *word);
        }
    }

    /// Sets the clocks.
    pub fn clock(&self, boot_seconds: u64, monotonic_ns: u64) {
        self.control.publish(control_word::CLOCK_BOOT_S as usize, boot_seconds);
        self.control.publish(control_word::CLOCK_NS as usize, monotonic_ns);
    }

    fn install_slot(&mut self, index: u32, image: &SlotImage) -> Result<()> {
        let key = index.to_ne_bytes();
        self.inner("TABLES", key, array(&image.lines)?)?;
        for (at, word) in (image.slot.layout.filter_v4 as usize..).zip(&image.filter) {
            self.filters.write(at, *word);
        }
        let rows: Vec<u8> = image.classes.as_bytes().to_vec();
        self.inner("CLASSES", key, array(&lines(&rows))?)?;
        let stride = image.slot.hits_stride;
        let cpus = u32::try_from(self.cpus.len())?;
        let hits = array(&vec![Line::default(); (stride * cpus) as usize])?;
        self.class_hits[index as usize] = match &hits {
            Some(map) => Some((Mapped::new(map.as_fd())?, stride)),
            None => None,
        };
        self.inner("CLASS_HITS", key, hits)?;
        let at = index as usize * PORT_WORDS as usize / 8;
        let ports = lines(&image.ports).into_iter().chain(std::iter::repeat(Line::default()));
        for (place, line) in ports.take(PORT_WORDS as usize / 8).enumerate() {
            if self.ports.read(at + place) != Some(line) {
                self.ports.write(at + place, line);
            }
        }
        Ok(())
    }

    /// Puts an inner map into a slot, or takes out what is there. The kernel keeps what it holds.
    fn inner(&self, outer: &str, slot: [u8; 4], map: Option<OwnedFd>) -> Result<()> {
        let outer = self.outer.get(outer).with_context(|| format!("no map {outer}"))?.as_fd();
        match map {
            Some(map) => sys::map_update(outer, &slot, &map.as_raw_fd().to_ne_bytes(), 0)?,
            None => {
                sys::map_delete(outer, &slot)?;
            }
        }
        Ok(())
    }

    /// Takes a table out of a slot that goes on saying it has it.
    ///
    /// # Errors
    /// The system call's.
    pub fn tear_out(&self, outer: &str, slot: u32) -> Result<()> {
        self.inner(outer, slot.to_ne_bytes(), None)
    }

    /// Runs a frame and reads what became of it out of the counters: one enforced slot has grown by one packet of the
    /// frame's length, at most one observed slot has too, nothing else has moved, and the action is the verdict's.
    ///
    /// # Errors
    /// Where the kernel refuses the frame, or the ledger does not add up.
    pub fn run(&mut self, frame: &[u8]) -> Result<Outcome> {
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
        let action = self.object.borrow_mut().program()?.test_run(options).context("test-run of a frame")?.return_value;
        let after = self.cpus.read(self.cpu).context("no counters for this CPU")?;
        let bytes = u64::try_from(frame.len())?;
        let enforced = grown(&self.before.enforced, &after.enforced, bytes)?;
        let observed = grown(&self.before.observed, &after.observed, bytes)?;
        self.before = after;
        let Some(verdict) = enforced else { bail!("no verdict was counted") };
        let expected = match verdict.action() {
            Action::Pass => XDP_PASS,
            Action::Drop => XDP_DROP,
        };
        ensure!(action == expected, "{} came with XDP action {action}", verdict.name());
        Ok(Outcome { verdict, observed })
    }

    /// Everything the program counted or keeps, beside the model's: what differs, in words.
    ///
    /// # Errors
    /// The system calls'.
    pub fn differences(&self, model: &Model) -> Result<Vec<String>> {
        let mut differ = Vec::new();
        let mut check = |what: &str, same: bool| {
            if !same {
                differ.push(what.to_owned());
            }
        };
        for cpu in 0..self.cpus.len() {
            let mut state = self.cpus.read(cpu).context("counters")?;
            state.scratch = [0; _];
            state.offender = Offender::default();
            state.tuple = [0; _];
            if cpu == self.cpu {
                let ours = model.cpu.borrow();
                check("verdicts", state.enforced == ours.enforced && state.observed == ours.observed);
                check("essential bucket", state.essential_tat == ours.essential_tat);
                check("sampling bucket", state.sample_tat == ours.sample_tat && state.samples == ours.samples);
                check("offenders that did not fit", state.offenders_full == ours.offenders_full);
                check("refusals", state.refusals == ours.refusals);
                check("limits", state.limited == ours.limited && state.limited_observed == ours.limited_observed);
            } else {
                check("another CPU's counters", state == CpuState::new_zeroed());
            }
        }
        let sets = SOURCE_SETS as usize;
        let ours = model.sources.borrow();
        for (set, ours) in ours.iter().enumerate() {
            check("tracked sources", self.sources.read(self.cpu * sets + set) == Some(*ours));
        }
        let sets = NETWORK_SETS as usize;
        for (set, ours) in model.networks.borrow().iter().enumerate() {
            check("tracked networks", self.networks.read(self.cpu * sets + set) == Some(*ours));
        }
        for (index, ours) in model.shared.iter().enumerate() {
            check("shared buckets", self.shared.read(index) == Some(ours.get().buckets));
        }
        let ours = model.flows.borrow();
        let from = self.cpu * FLOW_LINES as usize;
        for (index, line) in self.flows.entries()? {
            let ours = (index as usize).checked_sub(from).and_then(|at| ours.get(at)).copied().unwrap_or_default();
            check("known flows", line == ours);
        }
        let ours = model.fragments.borrow();
        for (index, line) in self.fragments.entries()? {
            for (cell, word) in (index * 8..).zip(line.words) {
                check("first fragments", word == ours.get(&cell).copied().unwrap_or(0));
            }
        }
        let offenders = model.offenders.borrow();
        let keys = self.offenders.keys()?;
        check("number of offenders", keys.len() == offenders.len());
        for key in keys {
            check("an offender", self.offenders.get(&key)? == offenders.get(&key).map(|offender| offender.get()));
        }
        let near_hits = self.cpus.read(self.cpu).context("counters")?.near_hits;
        for (slot, hits) in (0u32..).zip(&self.class_hits) {
            let Some((hits, stride)) = hits else { continue };
            for class in 0..*stride * 4 {
                let ours = model.class_hits.borrow().get(&(slot, class)).copied().unwrap_or_default();
                let line = hits.read(self.cpu * *stride as usize + class as usize / 4).unwrap_or_default();
                let far = &line.words[2 * (class as usize % 4)..][..2];
                let near = near_hits[slot as usize].get(class as usize).copied().unwrap_or_default();
                check("class hits", [far[0] + near.packets, far[1] + near.bytes] == [ours.packets, ours.bytes]);
            }
        }
        let stride = self.sizes.overlay_counters();
        for counter in 0..stride {
            let ours = model.overlay_hits.borrow().get(&counter).copied().unwrap_or_default();
            check("overlay hits", self.overlay_hits.read(self.cpu * stride as usize + counter as usize) == Some(ours));
        }
        differ.dedup();
        Ok(differ)
    }
}

impl Overlay {
    fn install(&self, image: &Image) -> Result<()> {
        clear(&self.v4)?;
        clear(&self.v6)?;
        for kind in 0..2 {
            clear(&self.prefix_v4[kind])?;
            clear(&self.prefix_v6[kind])?;
        }
        for (source, value) in &image.overlay_exact {
            match source {
                Source::V4(a) => self.v4.set(a, value)?,
                Source::V6(a) => self.v6.set(a, value)?,
            }
        }
        for (denies, source, len, value) in &image.overlay_prefixes {
            let (kind, prefix_len) = (usize::from(*denies), u32::from(*len));
            match source {
                Source::V4(a) => self.prefix_v4[kind].set(&PrefixV4 { prefix_len, address: *a }, value)?,
                Source::V6(a) => self.prefix_v6[kind].set(&PrefixV6 { prefix_len, address: *a }, value)?,
            }
        }
        Ok(())
    }
}

/// The one slot that has grown by a packet of `bytes`, if any has.
fn grown(before: &[Tally; 32], after: &[Tally; 32], bytes: u64) -> Result<Option<Verdict>> {
    if before == after {
        return Ok(None);
    }
    let mut changed = (0u8..).zip(before.iter().zip(after)).filter(|(_, (before, after))| before != after);
    let Some((slot, (before, after))) = changed.next() else { return Ok(None) };
    ensure!(changed.next().is_none(), "more than one verdict was counted");
    let verdict = Verdict::from_slot(slot).with_context(|| format!("slot {slot} has no verdict"))?;
    let expected = Tally { packets: before.packets + 1, bytes: before.bytes + bytes };
    ensure!(*after == expected, "{} went from {before:?} to {after:?} by a frame of {bytes} bytes", verdict.name());
    Ok(Some(verdict))
}

/// Bytes as lines, the last one filled up with zeros.
fn lines(bytes: &[u8]) -> Vec<Line> {
    let line = |chunk: &[u8]| {
        let mut line = Line::default();
        line.as_mut_bytes()[..chunk.len()].copy_from_slice(chunk);
        line
    };
    bytes.chunks(size_of::<Line>()).map(line).collect()
}

fn clear<K, V>(table: &Table<K, V>) -> Result<()>
where
    K: zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable + Copy,
    V: zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable + Copy,
{
    for key in table.keys()? {
        table.remove(&key)?;
    }
    Ok(())
}

/// Zeroes an array of lines.
fn empty(lines: &Table<u32, Line>) -> Result<()> {
    for (index, line) in lines.entries()? {
        if line != Line::default() {
            lines.set(&index, &Line::default())?;
        }
    }
    Ok(())
}

/// An array of values; none where there is nothing to hold.
fn array<V: zerocopy::IntoBytes + zerocopy::Immutable>(values: &[V]) -> Result<Option<OwnedFd>> {
    if values.is_empty() {
        return Ok(None);
    }
    let value = u32::try_from(size_of::<V>())?;
    let map = sys::inner_array_create("test", value, u32::try_from(values.len())?)?;
    for (index, value) in (0u32..).zip(values) {
        sys::map_update(map.as_fd(), index.as_bytes(), value.as_bytes(), 0)?;
    }
    Ok(Some(map))
}

/// Keeps the thread on one of the CPUs it may use, another one for each caller in turn, and says which.
pub(crate) fn stay_on_one_cpu() -> Result<usize> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    // SAFETY: a set of bits, valid when zero.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is as large as said, and 0 is the calling thread.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    ensure!(result == 0, "sched_getaffinity: {}", std::io::Error::last_os_error());
    // SAFETY: all indices lie below the set's size.
    let usable: Vec<usize> = (0..8 * size_of_val(&set)).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect();
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let cpu = *usable.get(turn % usable.len().max(1)).context("no CPU may be used")?;
    // SAFETY: as above.
    unsafe {
        libc::CPU_ZERO(&mut set);
        libc::CPU_SET(cpu, &mut set);
    }
    // SAFETY: as above.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    ensure!(result == 0, "sched_setaffinity: {}", std::io::Error::last_os_error());
    Ok(cpu)
}
